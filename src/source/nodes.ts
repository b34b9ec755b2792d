/**
 * Defines the nodes of a tree and makes them.
 *
 * A node has the property `tag` only if there is a tag. Each variant is written out, because spreading would take
 * longer than all the rest of reading.
 */
import type { Position } from './problem.ts';

export interface NodeBase {
  readonly at: Position;
  /** Path inside the document, as `securityGroups.db.ingress[0].ports`. Empty for the whole document. */
  readonly path: string;
  /** An explicit local tag, as `!Sub`. Absent if there is none. */
  readonly tag?: string;
}

export interface Scalar extends NodeBase {
  readonly kind: 'scalar';
  readonly value: string | number | boolean | null;
  /**
   * The content as written, without quotes. It distinguishes `08`, `0x10` and `1e3` from plain numbers. In the
   * dialect `aws`: the text that the value becomes.
   */
  readonly text: string;
  /** The content as written, where `text` differs from it: `Yes` for `true`. */
  readonly source?: string;
}

export interface List extends NodeBase {
  readonly kind: 'list';
  readonly items: readonly Node[];
}

export interface Entry {
  readonly key: string;
  /** The key as written, where `key` differs from it. */
  readonly source?: string;
  readonly keyAt: Position;
  readonly value: Node;
}

export interface Mapping extends NodeBase {
  readonly kind: 'mapping';
  /** In the order of the text. Keys are unique. */
  readonly entries: readonly Entry[];
}

export type Node = Scalar | List | Mapping;

/** How plain scalars are read: `core` as in YAML 1.2, `aws` as CloudFormation does (yaml11.ts; without merge keys). */
export type Dialect = 'core' | 'aws';

export function makeMapping(
  at: Position,
  path: string,
  tag: string | undefined,
  entries: readonly Entry[],
): Mapping {
  return tag === undefined
    ? { at, path, kind: 'mapping', entries }
    : { at, path, tag, kind: 'mapping', entries };
}

export function makeList(
  at: Position,
  path: string,
  tag: string | undefined,
  items: readonly Node[],
): List {
  return tag === undefined
    ? { at, path, kind: 'list', items }
    : { at, path, tag, kind: 'list', items };
}

/** @param source the word as written, if it became a truth value with another text: `Yes` */
export function makeScalar(
  at: Position,
  path: string,
  tag: string | undefined,
  value: Scalar['value'],
  text: string,
  source = text,
): Scalar {
  if (tag !== undefined) return { at, path, tag, kind: 'scalar', value, text };
  return source !== text && typeof value === 'boolean'
    ? { at, path, kind: 'scalar', value, text, source }
    : { at, path, kind: 'scalar', value, text };
}

/** @param source the key as written, if it differs */
export function makeEntry(
  key: string,
  keyAt: Position,
  value: Node,
  source: string | undefined,
): Entry {
  return source === undefined || source === key
    ? { key, keyAt, value }
    : { key, keyAt, value, source };
}
