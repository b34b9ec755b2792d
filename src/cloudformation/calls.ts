/** This file reads function calls. `!Sub x`, `Fn::Sub: x` and `{ "Fn::Sub": "x" }` are the same call. */
import { describeNode, type Mapping, type Node } from '../source/yaml.ts';
import { findUnread } from './macros.ts';
import { fail, type Reporting } from './reporting.ts';
import type { InvalidValue, TextValue, UnknownValue, Value, Where } from './values.ts';
import { describeKind, makeText } from './values.ts';

/** Evaluates the arguments of calls. A Scope does this. */
export interface Evaluating extends Reporting {
  evaluate(node: Node): Value;
}

export interface Call extends Where {
  /** The long name: `Ref`, `Condition`, `Fn::Sub`. */
  readonly name: string;
  readonly argument: Node;
}

/** The call that a node is, or undefined if it is plain data. A node with a tag is always a call. */
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

/** The arguments of a call, which must be written as a list. Undefined if they are not, which is reported. */
export function takeArguments(
  to: Reporting,
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
    to,
    'bad-function',
    call,
    `${call.name} has the wrong arguments`,
    `write ${call.name}: ${shape}`,
  );
  return undefined;
}

/** Requires a text. A value that is unknown or invalid already is returned unchanged. */
export function needText(
  to: Reporting,
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
        to,
        'bad-function',
        call,
        `${what} of ${call.name} must be text, not ${describeKind(value)}`,
      );
  }
}

/** The name of a condition, as it is written or as a function returns it. */
export function readConditionName(
  scope: Evaluating,
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

/** The value under `key`. Large mappings are indexed once, so that all lookups together take linear time. */
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

/** The value of a property. Undefined if it is absent or AWS::NoValue. Unknown if a macro may add it. */
export function readProperty(
  scope: Evaluating,
  properties: Node | undefined,
  name: string,
): Value | undefined {
  if (properties?.kind !== 'mapping') return undefined;
  const node = findEntry(properties, name);
  if (node === undefined) return findUnread(properties);
  const value = scope.evaluate(node);
  return value.kind === 'absent' ? undefined : value;
}
