/**
 * This file splits a large value into messages between threads, so that receiving it never blocks for long.
 *
 * Theory of operation. A structured clone of 165,000 prefix list entries blocks the receiver for more than half a
 * second. So maps and long lists are taken out of the value and sent before it, some thousand items at a time. Each
 * leaves a hole behind. A fragment lists where its holes are, so that the receiver visits only what it changes. Inner
 * parts are sent first, so the receiver knows the part for a hole before the hole arrives.
 */

/** Lists of up to this many items are not taken out. */
const ITEMS_IN_PLACE_MAX = 64;
/** The approximate number of values in a fragment, and in a message, which may hold many fragments. */
const VALUES_MAX = 20_000;

import type { LoadOptions } from './load-config.ts';

type Path = readonly (string | number)[];

/** The keys that lead from a fragment's items to the hole, and the number of the part for it. */
type Hole = readonly [path: Path, part: number];

/** A piece of a map (as pairs of key and value) or of a list. The value itself is the only item of the part WHOLE. */
export interface Fragment {
  readonly part: number;
  readonly isMap: boolean;
  readonly items: readonly unknown[];
  readonly holes: readonly Hole[];
  /** The approximate number of values in it. */
  readonly values: number;
}

/** What load-apart.ts asks a reading thread for: first to read a file, then for each next part of the result. */
export type ReadRequest = { readonly file: string; readonly options: LoadOptions } | 'next';

const WHOLE = 0;

/** Splits a value of plain objects, lists, maps, texts and numbers into messages of a few fragments each. */
export function toMessages(value: unknown): (readonly Fragment[])[] {
  const messages: Fragment[][] = [[]];
  let values = 0;
  for (const fragment of new Splitter().fragments(value)) {
    if (values >= VALUES_MAX) {
      messages.push([]);
      values = 0;
    }
    messages.at(-1)!.push(fragment);
    values += fragment.values;
  }
  return messages;
}

class Splitter {
  private readonly done: Fragment[] = [];
  private parts = WHOLE + 1;
  private values = 0;

  fragments(value: unknown): readonly Fragment[] {
    const holes: Hole[] = [];
    const whole = this.split(value, 0, [], holes);
    this.done.push({ part: WHOLE, isMap: false, items: [whole], holes, values: this.values });
    return this.done;
  }

  /**
   * Copies a value without the parts that are sent separately. Their positions are added to `holes`.
   * @param key the position of the value in its parent, whose path is `above`; `above` is unchanged on return
   */
  private split(
    value: unknown,
    key: string | number,
    above: (string | number)[],
    holes: Hole[],
  ): unknown {
    this.values++;
    if (typeof value !== 'object' || value === null) return value;
    const isMap = value instanceof Map;
    if (isMap || (Array.isArray(value) && value.length > ITEMS_IN_PLACE_MAX)) {
      const part = this.parts++;
      holes.push([[...above, key], part]);
      this.splitItems(part, isMap, isMap ? [...value] : value);
      return undefined;
    }
    above.push(key);
    const copy = Array.isArray(value)
      ? value.map((item, i) => this.split(item, i, above, holes))
      : Object.fromEntries(
          Object.entries(value).map(([name, item]) => [name, this.split(item, name, above, holes)]),
        );
    above.pop();
    return copy;
  }

  private splitItems(part: number, isMap: boolean, all: readonly unknown[]): void {
    const outside = this.values;
    let items: unknown[] = [];
    let holes: Hole[] = [];
    this.values = 0;
    for (const item of all) {
      items.push(this.split(item, items.length, [], holes));
      if (this.values < VALUES_MAX) continue;
      this.done.push({ part, isMap, items, holes, values: this.values });
      items = [];
      holes = [];
      this.values = 0;
    }
    this.done.push({ part, isMap, items, holes, values: this.values });
    this.values = outside;
  }
}

/** Puts a value together again. */
export class Assembler {
  private readonly parts = new Map<number, unknown[] | Map<unknown, unknown>>();

  /** @returns the value after the last message; undefined before that */
  take(message: readonly Fragment[]): { readonly value: unknown } | undefined {
    for (const { part, isMap, items, holes } of message) {
      for (const [path, number] of holes) fill(items, path, this.parts.get(number));
      const whole = this.open(part, isMap);
      if (whole instanceof Map)
        for (const [key, value] of items as [unknown, unknown][]) whole.set(key, value);
      else for (const item of items) whole.push(item);
    }
    const root = this.parts.get(WHOLE);
    return root === undefined ? undefined : { value: (root as unknown[])[0] };
  }

  private open(part: number, isMap: boolean): unknown[] | Map<unknown, unknown> {
    const known = this.parts.get(part);
    if (known !== undefined) return known;
    const made = isMap ? new Map<unknown, unknown>() : [];
    this.parts.set(part, made);
    return made;
  }
}

function fill(root: unknown, path: Path, value: unknown): void {
  let at = root as Record<string | number, unknown>;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  at[path.at(-1)!] = value;
}
