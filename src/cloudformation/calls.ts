/**
 * Function calls as they are written: `!Sub x`, `Fn::Sub: x` and `{ "Fn::Sub": "x" }` are one thing.
 */
import { describeNode, type Mapping, type Node } from '../source/yaml.ts';
import { findUnread } from './macros.ts';
import type { Scope } from './scope.ts';
import { fail } from './scope.ts';
import type { InvalidValue, TextValue, UnknownValue, Value, Where } from './values.ts';
import { describeKind, makeText } from './values.ts';

export interface Call extends Where {
  /** The long name: `Ref`, `Condition`, `Fn::Sub`. */
  readonly name: string;
  readonly argument: Node;
}

/** The call a node is, or undefined if it is plain data. A node with a tag is always a call. */
export function readCall(node: Node): Call | undefined {
  if (node.tag !== undefined) {
    const name = node.tag.replace(/^!/, '');
    const { tag, ...argument } = node;
    return {
      name: tag === '!Ref' || tag === '!Condition' ? name : `Fn::${name}`,
      argument: argument as Node,
      at: node.at,
      path: node.path,
    };
  }
  if (node.kind !== 'mapping' || node.entries.length !== 1) return undefined;
  const { key, value } = node.entries[0];
  if (key !== 'Ref' && key !== 'Condition' && !key.startsWith('Fn::')) return undefined;
  return { name: key, argument: value, at: node.at, path: node.path };
}

/** The call's arguments, which must be written as a list; undefined if they are not (reported). */
export function takeArguments(
  scope: Scope,
  call: Call,
  min: number,
  max: number,
  shape: string,
): readonly Node[] | undefined {
  const { argument } = call;
  if (
    argument.kind === 'list' &&
    argument.tag === undefined &&
    argument.items.length >= min &&
    argument.items.length <= max
  ) {
    return argument.items;
  }
  fail(
    scope,
    'bad-function',
    call,
    `${call.name} has the wrong arguments`,
    `write ${call.name}: ${shape}`,
  );
  return undefined;
}

/** A value that must be text; what is not known or already in error goes through as it is. */
export function needText(
  scope: Scope,
  call: Call,
  value: Value,
  what: string,
): TextValue | UnknownValue | InvalidValue {
  switch (value.kind) {
    case 'text':
    case 'unknown':
    case 'invalid':
      return value;
    default:
      return fail(
        scope,
        'bad-function',
        call,
        `${what} of ${call.name} must be text, not ${describeKind(value)}`,
      );
  }
}

/** The name of a condition: as it is written, or what a function gives. */
export function readConditionName(
  scope: Scope,
  node: Node,
): TextValue | UnknownValue | InvalidValue {
  if (node.kind === 'scalar' && node.tag === undefined && node.value !== null)
    return makeText(node.source ?? node.text, node);
  if (readCall(node) !== undefined) {
    const value = scope.evaluate(node);
    if (value.kind === 'text' || value.kind === 'unknown' || value.kind === 'invalid') return value;
  }
  return fail(
    scope,
    'bad-function',
    node,
    `a condition is named by a text, not by ${describeNode(node)}`,
  );
}

const LARGE_MAPPING_ENTRIES = 16;
const indexes = new WeakMap<Mapping, Map<string, Node>>();

/** The value under `key`. Large mappings are indexed once, so that looking things up stays linear in the template. */
export function findEntry(mapping: Mapping, key: string): Node | undefined {
  if (mapping.entries.length <= LARGE_MAPPING_ENTRIES) {
    return mapping.entries.find((entry) => entry.key === key)?.value;
  }
  let index = indexes.get(mapping);
  if (index === undefined) {
    index = new Map(mapping.entries.map((entry) => [entry.key, entry.value]));
    indexes.set(mapping, index);
  }
  return index.get(key);
}

/** The value of a property; undefined if it is not given, or given as AWS::NoValue. Unknown if a macro may give it. */
export function readProperty(
  scope: Scope,
  properties: Node | undefined,
  name: string,
): Value | undefined {
  if (properties?.kind !== 'mapping') return undefined;
  const node = findEntry(properties, name);
  if (node === undefined) return findUnread(properties);
  const value = scope.evaluate(node);
  return value.kind === 'absent' ? undefined : value;
}
