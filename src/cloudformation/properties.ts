/** This file reads properties of resources: texts, unknown values, and properties that AWS does not have. */
import type { Mapping } from '../source/yaml.ts';
import { closest } from '../source/suggest.ts';
import { readProperty } from './calls.ts';
import { isMacroKey } from './macros.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import {
  abbreviate,
  describeKind,
  type TextValue,
  type UnknownValue,
  type Where,
} from './values.ts';

/**
 * Reports unknown properties. Returns whether all that the mapping may say is known. A misspelt property is an error,
 * as in AWS.
 * @param owner what has the properties, for the message
 * @param loss what follows from an unknown one, for the message
 */
export function checkProperties(
  scope: Scope,
  mapping: Mapping | undefined,
  known: readonly string[],
  owner: string,
  loss: string,
): boolean {
  let isKnown = true;
  for (const { key, keyAt, value } of mapping?.entries ?? []) {
    if (known.includes(key) || isMacroKey(key)) continue;
    isKnown = false;
    const where: Where = { at: keyAt, path: value.path };
    const name = abbreviate(key);
    if (key.startsWith('Fn::') || key === 'Ref') {
      const hint = 'a function is the only key of its mapping, and no property has that name';
      fail(scope, 'bad-function', where, `${name} stands among the properties of ${owner}`, hint);
      continue;
    }
    const message = `unknown property '${name}' of ${owner}`;
    const refused = `AWS refuses it: extraneous key [${name}] is not permitted`;
    const meant = closest(key, known);
    if (meant !== undefined) {
      const hint = `${refused}; write ${meant}`;
      fail(scope, 'unknown-property', where, `${message}; did you mean '${meant}'?`, hint);
      continue;
    }
    const hint = `${refused}; there are ${known.join(', ')}`;
    report(scope.problems, 'warning', 'unknown-property', where, `${message}; ${loss}`, hint);
  }
  return isKnown;
}

/**
 * Reads a property that is text. Undefined if it is absent. `unusable` if it has an error, which is reported here. An
 * unknown value is returned, since only the caller knows what is lost.
 */
export function readText(
  scope: Scope,
  mapping: Mapping | undefined,
  name: string,
): TextValue | UnknownValue | { readonly kind: 'unusable' } | undefined {
  const value = readProperty(scope, mapping, name);
  switch (value?.kind) {
    case undefined:
      return undefined;
    case 'text':
    case 'unknown':
      return value;
    case 'invalid':
      return { kind: 'unusable' };
    default:
      fail(scope, 'bad-property', value!, `${name} must be text, not ${describeKind(value!)}`);
      return { kind: 'unusable' };
  }
}

/** Warns that a value is unknown, and what is lost: `the rule is left out`. */
export function warnOfUnknown(
  scope: Scope,
  name: string,
  value: UnknownValue,
  path: string,
  loss: string,
): void {
  const where: Where = { at: value.at, path };
  report(
    scope.problems,
    'warning',
    'unknown-value',
    where,
    `${name} can't be known here: ${value.reason}; ${loss}`,
    value.hint,
  );
}
