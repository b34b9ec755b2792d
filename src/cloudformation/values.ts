/**
 * This file defines the values of expressions in a template.
 *
 * CloudFormation has texts, lists and maps. Three more kinds are needed here: `absent` (AWS::NoValue, which removes the
 * property), `unknown` (only AWS could tell; the reason is kept, and reported where the value is needed) and `invalid`
 * (a problem has been reported, so nobody reports another).
 *
 * Every value knows where it was written, so that problems point at that line. Maps are lazy: their entries are
 * evaluated on request, so an expression that nobody needs can't fail.
 */
import type { Position } from '../source/problem.ts';
import type { Mapping } from '../source/yaml.ts';

export interface Where {
  readonly at: Position;
  readonly path: string;
}

/** A scalar. A number keeps its text. Only Fn::ToJsonString uses `form`. */
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
  /** The reason, as a clause: `parameter 'Office' has no default and no value was given`. */
  readonly reason: string;
  /** What would make it known, as a sentence without a full stop. */
  readonly hint: string;
}

export interface InvalidValue extends Where {
  readonly kind: 'invalid';
}

export type Value = TextValue | ListValue | MapValue | AbsentValue | UnknownValue | InvalidValue;

/** The outcome of a condition. */
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

/** `value` with the position `where`: the value of a reference belongs to the line of the reference. */
export function moveTo(value: Value, { at, path }: Where): Value {
  if (value.kind === 'list') {
    return { ...value, items: value.items.map((item) => moveTo(item, { at, path })), at, path };
  }
  return { ...value, at, path };
}

/** `a text`, `a list` …: for messages about a value of the wrong kind. */
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

/** A template's text for a message: on one line, and shortened. */
export function abbreviate(text: string, charsMax = SHOWN_CHARS_MAX): string {
  const line = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ');
  return line.length <= charsMax ? line : `${line.slice(0, charsMax)}…`;
}
