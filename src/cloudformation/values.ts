/**
 * What an expression in a template comes to.
 *
 * CloudFormation knows text, lists and maps. Three more kinds make a loader honest: `absent`
 * (AWS::NoValue, the property goes away), `unknown` (only AWS could tell: the reason is kept and told
 * where the value is needed) and `invalid` (a problem has been reported; whoever needs it stays silent).
 *
 * Every value carries where it was written, so that what is wrong with it points at its line.
 * Maps are lazy: their entries are evaluated when they are asked for, so that an expression nobody
 * needs can't fail.
 */
import type { Position } from '../source/problem.ts';
import type { Mapping } from '../source/yaml.ts';

export interface Where {
  readonly at: Position;
  readonly path: string;
}

/** A scalar. Numbers keep the text they were written as; `form` only matters to Fn::ToJsonString. */
export interface TextValue extends Where {
  readonly kind: 'text';
  readonly text: string;
  readonly form: 'string' | 'number' | 'boolean';
}

export interface ListValue extends Where {
  readonly kind: 'list';
  readonly items: readonly Value[];
}

export interface MapValue extends Where {
  readonly kind: 'map';
  readonly node: Mapping;
}

export interface AbsentValue extends Where {
  readonly kind: 'absent';
}

export interface UnknownValue extends Where {
  readonly kind: 'unknown';
  /** Why, as a clause: `parameter 'Office' has no default and no value was given`. */
  readonly reason: string;
  /** What would make it known, as a sentence without a full stop. */
  readonly hint: string;
}

export interface InvalidValue extends Where {
  readonly kind: 'invalid';
}

export type Value = TextValue | ListValue | MapValue | AbsentValue | UnknownValue | InvalidValue;

/** Outcome of a condition. */
export type Truth =
  { readonly kind: 'truth'; readonly value: boolean } | UnknownValue | InvalidValue;

export function makeText(text: string, { at, path }: Where): TextValue {
  return { kind: 'text', text, form: 'string', at, path };
}

export function makeList(items: readonly Value[], { at, path }: Where): ListValue {
  return { kind: 'list', items, at, path };
}

export function makeUnknown(reason: string, hint: string, { at, path }: Where): UnknownValue {
  return { kind: 'unknown', reason, hint, at, path };
}

export function makeInvalid({ at, path }: Where): InvalidValue {
  return { kind: 'invalid', at, path };
}

/** `value` as if it stood at `where`: what a reference brings belongs to the line of the reference. */
export function moveTo(value: Value, { at, path }: Where): Value {
  if (value.kind === 'list') {
    return { ...value, items: value.items.map((item) => moveTo(item, { at, path })), at, path };
  }
  return { ...value, at, path };
}

/** `a text`, `a list` …: for messages that say what was found in the wrong place. */
export function describeKind(value: Value): string {
  switch (value.kind) {
    case 'text':
      return `'${abbreviate(value.text)}'`;
    case 'list':
      return 'a list';
    case 'map':
      return 'a mapping';
    case 'absent':
      return 'AWS::NoValue';
    case 'unknown':
      return 'a value that is not known';
    case 'invalid':
      return 'a value in error';
    default:
      return value satisfies never;
  }
}

const SHOWN_CHARS_MAX = 80;

/** Text from a template in a message: one line, and never longer than a reader wants. */
export function abbreviate(text: string, charsMax = SHOWN_CHARS_MAX): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return line.length <= charsMax ? line : `${line.slice(0, charsMax)}…`;
}
