/** What of a list changed: most of what a change of policy costs is finding that out. */
import type { Rule } from './model.ts';

/** From `start` to either list's end, which what they share at their ends lies behind. */
export type ChangedPart = readonly [start: number, oldEnd: number, nextEnd: number];

/** A shorter list is compared again sooner than looked up. */
const REMEMBERED_MIN = 64;

/**
 * By the next list. One change of policy asks three times for the same lists: to tell people, to number the rules,
 * to compile them. The old list is held weakly: else each would keep the one before it.
 */
const remembered = new WeakMap<
  readonly Rule[],
  { readonly old: WeakRef<readonly Rule[]>; readonly part: ChangedPart }
>();

/** What lies between the parts at the start and at the end that two lists share: from `start` to either's end. */
export function changedPart<T>(
  old: readonly T[],
  next: readonly T[],
  isSame: (a: T, b: T) => boolean,
): ChangedPart {
  let oldEnd = old.length;
  let nextEnd = next.length;
  const shorter = Math.min(oldEnd, nextEnd);
  let start = 0;
  while (start < shorter && isSame(old[start], next[start])) start++;
  while (oldEnd > start && nextEnd > start && isSame(old[oldEnd - 1], next[nextEnd - 1])) {
    oldEnd--;
    nextEnd--;
  }
  return [start, oldEnd, nextEnd];
}

/** As changedPart of rules, which are the same if their ids are: an id is made from all that a rule decides by. */
export function changedRules(old: readonly Rule[], next: readonly Rule[]): ChangedPart {
  const known = remembered.get(next);
  if (known !== undefined && known.old.deref() === old) return known.part;
  const part = compareIds(old, next);
  if (next.length >= REMEMBERED_MIN) remembered.set(next, { old: new WeakRef(old), part });
  return part;
}

/** changedPart written out: the first changes run in code that V8 has not compiled yet, where a call is dear. */
function compareIds(old: readonly Rule[], next: readonly Rule[]): ChangedPart {
  let oldEnd = old.length;
  let nextEnd = next.length;
  const shorter = Math.min(oldEnd, nextEnd);
  let start = 0;
  while (start < shorter && old[start].id === next[start].id) start++;
  while (oldEnd > start && nextEnd > start && old[oldEnd - 1].id === next[nextEnd - 1].id) {
    oldEnd--;
    nextEnd--;
  }
  return [start, oldEnd, nextEnd];
}
