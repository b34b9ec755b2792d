/** This file evaluates Fn::Sub: `${Name}`, `${Id.Attribute}`, `${!Literal}`, and variables of its own map. */
import type { Mapping } from '../source/yaml.ts';
import { findEntry, needText, type Call } from './calls.ts';
import { findUnread, writeOutTransform } from './macros.ts';
import { fail } from './reporting.ts';
import { takeChars, TEXT_CHARS_MAX, type Scope } from './scope.ts';
import {
  abbreviate,
  makeInvalid,
  makeText,
  moveTo,
  type UnknownValue,
  type Value,
} from './values.ts';

/** `${…}` up to the first brace. An unclosed `${` is text, as in AWS. */
const VARIABLE = /\$\{([^{}]*)\}/g;

export function substitute(scope: Scope, call: Call): Value {
  const macro = findMacroPattern(call);
  if (macro !== undefined) return moveTo(macro, call);
  const shape = readShape(call);
  if (shape === undefined) {
    return fail(
      scope,
      'bad-function',
      call,
      'Fn::Sub takes a text, or a list of a text and a mapping',
      'write !Sub "text ${Name}"',
    );
  }
  const { pattern, names } = shape;
  const pieces: string[] = [];
  let chars = 0;
  const add = (piece: string): boolean => {
    pieces.push(piece);
    chars += piece.length;
    // Checked before the text is built: in a doubling bomb the pieces are shared, but their sum is not.
    return chars <= TEXT_CHARS_MAX || takeChars(scope, chars, call);
  };
  let last = 0;
  for (const match of pattern.matchAll(VARIABLE)) {
    if (!add(pattern.slice(last, match.index))) return makeInvalid(call);
    last = match.index + match[0].length;
    const name = match[1];
    if (name.startsWith('!')) {
      if (!add(`\${${name.slice(1)}}`)) return makeInvalid(call);
      continue;
    }
    const value = needText(
      scope,
      call,
      readVariable(scope, call, name, names),
      `the value of \${${abbreviate(name)}}`,
    );
    if (value.kind !== 'text') return value;
    if (!add(value.text)) return makeInvalid(call);
  }
  if (!add(pattern.slice(last)) || !takeChars(scope, chars, call)) return makeInvalid(call);
  return makeText(pieces.join(''), call);
}

/** Why the text is not known, if a macro writes it. */
function findMacroPattern({ argument }: Call): UnknownValue | undefined {
  const pattern =
    argument.kind === 'list' && argument.tag === undefined ? argument.items[0] : argument;
  return pattern === undefined ? undefined : findUnread(writeOutTransform(pattern));
}

function readShape({
  argument,
}: Call): { pattern: string; names: Mapping | undefined } | undefined {
  if (
    argument.kind === 'scalar' &&
    typeof argument.value === 'string' &&
    argument.tag === undefined
  ) {
    return { pattern: argument.text, names: undefined };
  }
  if (argument.kind !== 'list' || argument.items.length < 1 || argument.items.length > 2)
    return undefined;
  const [pattern, written] = argument.items;
  const names = written === undefined ? undefined : writeOutTransform(written);
  if (pattern?.kind !== 'scalar' || typeof pattern.value !== 'string' || pattern.tag !== undefined)
    return undefined;
  if (names !== undefined && names.kind !== 'mapping') return undefined;
  return { pattern: pattern.text, names };
}

function readVariable(scope: Scope, call: Call, name: string, names: Mapping | undefined): Value {
  const own = names === undefined ? undefined : findEntry(names, name);
  if (own !== undefined) return scope.evaluate(own);
  const unread = findUnread(names);
  if (unread !== undefined) return moveTo(unread, call);
  if (!/^[A-Za-z0-9_.:]+$/.test(name)) {
    const message = `\${${abbreviate(name)}} is no name`;
    const hint =
      'variable names in Fn::Sub contain only alphanumeric characters, underscores, periods, and colons; for the text itself write ${!…}';
    return fail(scope, 'bad-function', call, message, hint);
  }
  const dot = name.indexOf('.');
  return dot < 0
    ? scope.refer(name, call)
    : scope.readAttribute(name.slice(0, dot), name.slice(dot + 1), call);
}
