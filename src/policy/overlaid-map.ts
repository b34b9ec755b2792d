/**
 * An OverlaidMap is a map made of another by a few changes, without copying it.
 *
 * Theory of operation. A change of one group of ten thousand makes a new model, while the packet path's compiler still
 * compares it with the old one; so each version needs a map of its own. Versions share one plain map, and each has a
 * small map of what it says differently. That is copied from version to version. When it has grown large, the next
 * version gets a plain map of its own again.
 */

/** Beyond this many entries, copying the changes costs more than they save. */
const CHANGES_MAX = 256;

export class OverlaidMap<K, V extends object> implements ReadonlyMap<K, V> {
  private base: Map<K, V>;
  private readonly changes: Map<K, V>;
  /** How many keys of the changes the base does not have. */
  private added: number;

  /** @param before has all that this map begins with; it must not change any more */
  constructor(before: ReadonlyMap<K, V>) {
    const other = before instanceof OverlaidMap ? (before as OverlaidMap<K, V>) : undefined;
    const shared = other !== undefined && other.changes.size < CHANGES_MAX ? other : undefined;
    this.base = shared?.base ?? new Map(before);
    this.changes = new Map(shared?.changes);
    this.added = shared?.added ?? 0;
  }

  get size(): number {
    return this.base.size + this.added;
  }

  get(key: K): V | undefined {
    return this.changes.get(key) ?? this.base.get(key);
  }

  has(key: K): boolean {
    return this.changes.has(key) || this.base.has(key);
  }

  set(key: K, value: V): void {
    if (!this.has(key)) this.added++;
    this.changes.set(key, value);
  }

  /** Costs as much as a copy: others may share the base. */
  delete(key: K): void {
    if (!this.has(key)) return;
    this.base = new Map(this);
    this.base.delete(key);
    this.changes.clear();
    this.added = 0;
  }

  *entries(): MapIterator<[K, V]> {
    for (const [key, value] of this.base) yield [key, this.changes.get(key) ?? value];
    for (const [key, value] of this.changes) if (!this.base.has(key)) yield [key, value];
  }

  *keys(): MapIterator<K> {
    for (const [key] of this.entries()) yield key;
  }

  *values(): MapIterator<V> {
    for (const [, value] of this.entries()) yield value;
  }

  forEach(act: (value: V, key: K, map: ReadonlyMap<K, V>) => void): void {
    for (const [key, value] of this.entries()) act(value, key, this);
  }

  [Symbol.iterator](): MapIterator<[K, V]> {
    return this.entries();
  }
}
