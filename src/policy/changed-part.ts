/** Finds the part of a list that changed: that is most of the cost of a change of policy. */
import { sameAddress } from '../addr/address.ts';
import type { GroupId, Peer, Rule, SecurityGroup } from './model.ts';

/** The part that differs: [start, oldEnd) of the old list, [start, nextEnd) of the new one. */
export type ChangedPart = readonly [start: number, oldEnd: number, nextEnd: number];

/** For a shorter list, comparing again is faster than looking the result up. */
const REMEMBERED_MIN = 64;

/**
 * The last result, by the new list. One change of policy asks three times about the same lists: to report it, to
 * number the rules, and to compile them. The old list is held weakly, or each list would keep the one before it in
 * memory.
 */
const remembered = new WeakMap<
  readonly Rule[],
  { readonly old: WeakRef<readonly Rule[]>; readonly part: ChangedPart }
>();

/** Finds the part between the common start and the common end of two lists. */
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

/**
 * Whether two rules are one rule that decides the same. An id that a file's rule has is made from all that it decides
 * by; a call changes what a rule decides, and the rule keeps its id.
 */
export function isSameRule(a: Rule, b: Rule): boolean {
  return (
    a === b ||
    (a.id === b.id &&
      a.direction === b.direction &&
      a.protocol === b.protocol &&
      a.fromPort === b.fromPort &&
      a.toPort === b.toPort &&
      a.audit === b.audit &&
      isSamePeer(a.peer, b.peer))
  );
}

function isSamePeer(a: Peer, b: Peer): boolean {
  switch (a.kind) {
    case 'cidr':
      return b.kind === 'cidr' && a.cidr.length === b.cidr.length && sameAddress(a.cidr, b.cidr);
    case 'group':
      return b.kind === 'group' && a.groupId === b.groupId;
    case 'prefixList':
      return b.kind === 'prefixList' && a.prefixListId === b.prefixListId;
    case 'dns':
      return b.kind === 'dns' && a.name === b.name && a.tlsName === b.tlsName;
    default:
      return a satisfies never;
  }
}

/** changedPart for rules. */
export function changedRules(old: readonly Rule[], next: readonly Rule[]): ChangedPart {
  if (old === next) return [next.length, next.length, next.length];
  const known = remembered.get(next);
  if (known !== undefined && known.old.deref() === old) return known.part;
  const part = compareRules(old, next);
  if (next.length >= REMEMBERED_MIN) remembered.set(next, { old: new WeakRef(old), part });
  return part;
}

/** changedPart written out. The first changes run in code that V8 has not compiled yet, where a call is slow. */
function compareRules(old: readonly Rule[], next: readonly Rule[]): ChangedPart {
  let oldEnd = old.length;
  let nextEnd = next.length;
  const shorter = Math.min(oldEnd, nextEnd);
  let start = 0;
  while (start < shorter && isSameRule(old[start], next[start])) start++;
  while (oldEnd > start && nextEnd > start && isSameRule(old[oldEnd - 1], next[nextEnd - 1])) {
    oldEnd--;
    nextEnd--;
  }
  return [start, oldEnd, nextEnd];
}

type Groups = ReadonlyMap<GroupId, SecurityGroup>;

/** Groups that came, went, or are another object than before. Most are the same object where calls change groups. */
export interface ChangedGroups {
  /** Those that files declare are in the order of the old model. */
  readonly gone: readonly SecurityGroup[];
  /** Likewise in that of the new one, each with what it was before. */
  readonly come: readonly (readonly [old: SecurityGroup | undefined, next: SecurityGroup])[];
}

/** The last result, by the new groups: as with rules, one change of policy asks several times. */
const rememberedGroups = new WeakMap<
  Groups,
  { readonly old: WeakRef<Groups>; readonly changed: ChangedGroups }
>();

/** Finds the groups that differ between two models. */
export function changedGroups(old: Groups, next: Groups): ChangedGroups {
  const known = rememberedGroups.get(next);
  if (known !== undefined && known.old.deref() === old) return known.changed;
  const come: (readonly [SecurityGroup | undefined, SecurityGroup])[] = [];
  let kept = 0;
  for (const [id, group] of next) {
    const before = old.get(id);
    if (before !== undefined) kept++;
    if (before !== group) come.push([before, group]);
  }
  const gone = kept === old.size ? [] : [...old.values()].filter(({ id }) => !next.has(id));
  const changed = { gone, come };
  rememberedGroups.set(next, { old: new WeakRef(old), changed });
  return changed;
}

/** Has `changedGroups` look at these groups only, in this order: who made the new ones of the old changed no other. */
export function noteChanges(old: Groups, next: Groups, ids: Iterable<GroupId>): void {
  const gone: SecurityGroup[] = [];
  const come: (readonly [SecurityGroup | undefined, SecurityGroup])[] = [];
  for (const id of ids) {
    const [before, after] = [old.get(id), next.get(id)];
    if (after !== undefined && after !== before) come.push([before, after]);
    if (after === undefined && before !== undefined) gone.push(before);
  }
  rememberedGroups.set(next, { old: new WeakRef(old), changed: { gone, come } });
}

const rememberedCounts = new WeakMap<Groups, number>();

/** How many rules the groups have together. It is cheap for groups that were compared with others before. */
export function countRules(groups: Groups, before: Groups): number {
  let count = rememberedCounts.get(groups);
  if (count !== undefined) return count;
  const { gone, come } = changedGroups(before, groups);
  count = rememberedCounts.get(before) ?? sumRules(before.values());
  count -= sumRules(gone);
  for (const [old, next] of come)
    count += sumRules([next]) - (old === undefined ? 0 : sumRules([old]));
  rememberedCounts.set(groups, count);
  return count;
}

function sumRules(groups: Iterable<SecurityGroup>): number {
  let count = 0;
  for (const { ingress, egress, audited = [] } of groups)
    count += ingress.length + egress.length + audited.length;
  return count;
}
