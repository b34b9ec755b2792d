/**
 * This file evaluates dynamic references such as `{{resolve:ssm:/path}}`. AWS fetches the value when it makes the
 * stack, wherever the text came from.
 * Source: AWS CloudFormation User Guide, "Get values stored in other services using dynamic references".
 */
import { findSupplied, supplyHint } from './parameters.ts';
import { takeChars, type Scope } from './scope.ts';
import {
  abbreviate,
  makeInvalid,
  makeUnknown,
  moveTo,
  type TextValue,
  type Value,
} from './values.ts';

const REFERENCE = /\{\{resolve:([^{}]*)\}\}/g;

/** The key for a supplied value: the reference without the version of a stored parameter. */
function keyOf(reference: string): string {
  return reference.replace(/^ssm(?:-secure)?:([^:]*)(:\d+)?$/, 'ssm:$1');
}

/** Replaces the references in a text by their values. The result is unknown if one of them was not supplied. */
export function resolveDynamic(scope: Scope, value: TextValue): Value {
  if (!value.text.includes('{{resolve:')) return value;
  const pieces: string[] = [];
  let last = 0;
  for (const match of value.text.matchAll(REFERENCE)) {
    const key = keyOf(match[1]);
    const supplied = findSupplied(scope.inputs, key, value);
    const isWhole = match[0].length === value.text.length;
    if (isWhole && supplied !== undefined) return moveTo(supplied, value);
    if (supplied?.kind !== 'text') {
      const reason = `'{{resolve:${abbreviate(match[1])}}}' is resolved by AWS alone`;
      return makeUnknown(reason, supplyHint(scope.inputs, key), value);
    }
    pieces.push(value.text.slice(last, match.index), supplied.text);
    last = match.index + match[0].length;
  }
  pieces.push(value.text.slice(last));
  const text = pieces.join('');
  return takeChars(scope, text.length, value) ? { ...value, text } : makeInvalid(value);
}
