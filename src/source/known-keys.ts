/** Tells whether the entries of a mapping that is being read have a key already. */
import type { Entry } from './nodes.ts';

/** From this many entries on, a set finds a key sooner. Most mappings have few, and a set for each would cost more. */
const MANY_ENTRIES = 32;
const keysOf = new WeakMap<readonly Entry[], Set<string>>();

/** Whether one of the entries has the key. If none has, an entry with the key must be added before the next call. */
export function hasKey(entries: readonly Entry[], key: string): boolean {
  if (entries.length < MANY_ENTRIES) {
    for (const entry of entries) if (entry.key === key) return true;
    return false;
  }
  let keys = keysOf.get(entries);
  if (keys === undefined) {
    keys = new Set(entries.map((entry) => entry.key));
    keysOf.set(entries, keys);
  }
  if (keys.has(key)) return true;
  keys.add(key);
  return false;
}
