/**
 * Makes and changes customer-managed prefix lists as the EC2 API does.
 *
 * The functions are pure. A list has a version, which goes up by one each time its entries change. The caller may
 * keep the entries of former versions. AWS changes a list in the background and reports a failure in its state; here
 * the call fails.
 *
 * AWS documents error codes for few of the mistakes below, and sentences for none. Where it is silent, both are ours.
 *
 * Source: EC2 API Reference, CreateManagedPrefixList, ModifyManagedPrefixList, RestoreManagedPrefixListVersion;
 * Amazon VPC User Guide, "Work with customer-managed prefix lists".
 */
import { formatCidr, type Cidr, type Family } from '../addr/address.ts';
import { listWords } from '../source/suggest.ts';
import { dependencyViolation } from './groups.ts';
import type { Origin, PrefixList, PrefixListId, SecurityGroup } from './model.ts';
import { parseBlock } from './permissions.ts';
import { findExcesses, RULES_LIMIT_HINT, RULES_LIMIT_TEXT } from './quotas.ts';
import {
  collect,
  makeRefusal,
  missingParameter,
  takeParsed,
  unlessRefused,
  type Checked,
  type Refusal,
} from './refusals.ts';
import { checkRuleDescription } from './texts.ts';

/** Source: EC2 API Reference, CreateManagedPrefixList, Entry.N: 0 to 100 items. */
export const REQUEST_ENTRIES_MAX = 100;

const NAME_CHARS_MAX = 255;

/** A list that calls can change. */
export interface ManagedPrefixList extends PrefixList {
  /** 1 for a new list. */
  readonly version: number;
}

export type PrefixListEntry = PrefixList['entries'][number];

export interface EntryText {
  readonly cidr: string;
  readonly description?: string | undefined;
}

/** Everything as given; undefined: not given. */
export interface NewPrefixList {
  readonly id: PrefixListId;
  readonly name: string | undefined;
  /** `IPv4` or `IPv6`. */
  readonly addressFamily: string | undefined;
  readonly maxEntries: number | undefined;
  readonly entries: readonly EntryText[];
  readonly origin: Origin;
}

/** Makes a list. @param most the quota of entries in a list; undefined: no limit */
export function createPrefixList(
  given: NewPrefixList,
  most: number | undefined,
): Checked<ManagedPrefixList> {
  const { id, name = '', addressFamily, maxEntries, origin } = given;
  const refusals = collect(
    given.name === undefined ? missingParameter('PrefixListName') : checkPrefixListName(name),
  );
  const family: Family = addressFamily === 'IPv6' ? 6 : 4;
  if (addressFamily === undefined) refusals.push(missingParameter('AddressFamily'));
  else if (addressFamily !== `IPv${family}`) {
    const message = `Value (${addressFamily}) for parameter AddressFamily is invalid. It is IPv4 or IPv6.`;
    refusals.push(makeRefusal('InvalidParameterValue', message));
  }
  if (maxEntries === undefined) refusals.push(missingParameter('MaxEntries'));
  else refusals.push(...checkMaxEntries(maxEntries, most));
  refusals.push(...checkRequestSize(given.entries.length));
  const entries = readEntries(given.entries, family, refusals);
  for (const { entry } of findRepeatedEntries(entries)) refusals.push(changedTwice(entry));
  refusals.push(...checkRoom(entries.length, maxEntries ?? entries.length));
  const list = { id, name, family, maxEntries: maxEntries ?? 1, entries, origin };
  return unlessRefused({ ...list, version: 1 }, refusals);
}

export interface PrefixListChange {
  /** The version that the caller means to change; undefined: any. */
  readonly currentVersion?: number | undefined;
  readonly name?: string | undefined;
  readonly maxEntries?: number | undefined;
  readonly add?: readonly EntryText[];
  /** Blocks, as text. */
  readonly remove?: readonly string[];
}

/** The bounds of a change of a list's size. */
export interface PrefixListBounds {
  /** The quota of entries in a list; undefined: no limit. */
  readonly prefixListEntries: number | undefined;
  /** The quota of rules in a group; undefined: no limit. */
  readonly rulesPerGroup: number | undefined;
  /** The groups with a rule that names the list. */
  readonly users: readonly SecurityGroup[];
  readonly prefixLists: { get(id: PrefixListId): PrefixList | undefined };
}

/**
 * Returns the list with other entries and a higher version, or with another name or size. As in AWS, a call changes
 * the entries or the size, not both. A block may appear once in a call. A block that is in the list can't be added:
 * to change its description, remove it first.
 */
export function modifyPrefixList(
  list: ManagedPrefixList,
  change: PrefixListChange,
  bounds: PrefixListBounds,
): Checked<ManagedPrefixList> {
  const { add = [], remove = [], maxEntries = list.maxEntries, name = list.name } = change;
  const refusals = collect(
    checkVersion(list, change.currentVersion),
    change.name === undefined ? undefined : checkPrefixListName(name),
  );
  const changesEntries = add.length > 0 || remove.length > 0;
  if (changesEntries && change.maxEntries !== undefined) {
    const message = 'The request must not contain both MaxEntries and entries to add or remove';
    refusals.push(makeRefusal('InvalidParameterCombination', message, 'make two calls of it'));
  }
  refusals.push(...checkRequestSize(add.length), ...checkRequestSize(remove.length));
  if (change.maxEntries !== undefined)
    refusals.push(...checkMaxEntries(maxEntries, bounds.prefixListEntries));
  const entries = changeEntries(list, add, remove, refusals);
  refusals.push(...checkRoom(entries.length, maxEntries));
  const version = list.version + (changesEntries ? 1 : 0);
  const changed = { ...list, name, maxEntries, entries, version };
  refusals.push(...checkUsers(list, changed, bounds));
  return unlessRefused(changed, refusals);
}

/**
 * Restores the entries of a former version, under a new version.
 * @param former the entries of `version`; undefined if it does not exist, or no longer
 */
export function restorePrefixList(
  list: ManagedPrefixList,
  version: number,
  former: readonly PrefixListEntry[] | undefined,
  currentVersion: number | undefined,
): Checked<ManagedPrefixList> {
  const refusals = collect(checkVersion(list, currentVersion));
  if (former === undefined) {
    const message = `The prefix list '${list.id}' has no version ${version}`;
    refusals.push(makeRefusal('InvalidParameterValue', message));
  }
  const entries = former ?? [];
  refusals.push(...checkRoom(entries.length, list.maxEntries));
  return unlessRefused({ ...list, entries, version: list.version + 1 }, refusals);
}

/** Checks whether a list may be deleted: no group or other resource may name it. AWS's code for this is not known. */
export function checkPrefixListDelete(
  { id }: Pick<PrefixList, 'id'>,
  users: readonly string[],
): Refusal | undefined {
  return users.length === 0 ? undefined : dependencyViolation(id, users);
}

/** Checks a name for a list. */
export function checkPrefixListName(name: string): Refusal | undefined {
  if (name === '' || name.length > NAME_CHARS_MAX) {
    const message = `the name of a prefix list has 1 to ${NAME_CHARS_MAX} characters`;
    return makeRefusal('InvalidParameterValue', message);
  }
  if (!name.startsWith('com.amazonaws')) return undefined;
  const message = "the name of a prefix list must not start with 'com.amazonaws'";
  const hint = 'such names belong to the lists AWS manages';
  return makeRefusal('InvalidParameterValue', message, hint);
}

/** Checks that a block has the family of its list. */
export function checkEntryFamily(cidr: Cidr, family: Family): Refusal | undefined {
  if (cidr.family === family) return undefined;
  const message = `${formatCidr(cidr)} is IPv${cidr.family} in a list of IPv${family} blocks`;
  const hint = 'a prefix list has one address family: make a second list';
  return makeRefusal('InvalidParameterValue', message, hint);
}

/** Finds the entries whose block an earlier entry has, with that earlier one. */
export function findRepeatedEntries<T extends { readonly cidr: Cidr }>(
  entries: readonly T[],
): readonly { readonly entry: T; readonly first: T }[] {
  const seen = new Map<string, T>();
  return entries.flatMap((entry) => {
    const text = formatCidr(entry.cidr);
    const first = seen.get(text);
    if (first !== undefined) return [{ entry, first }];
    seen.set(text, entry);
    return [];
  });
}

function readEntries(
  texts: readonly EntryText[],
  family: Family,
  refusals: Refusal[],
): readonly PrefixListEntry[] {
  return texts.flatMap(({ cidr: text, description = '' }) => {
    const cidr = readBlock(text, family, refusals);
    refusals.push(...collect(checkRuleDescription(description)));
    return cidr === undefined ? [] : [{ cidr, description }];
  });
}

function readBlock(text: string, family: Family, refusals: Refusal[]): Cidr | undefined {
  const elsewhere = `the AddressFamily of the list is IPv${family}`;
  return takeParsed(parseBlock(text, family, elsewhere), refusals)?.block;
}

function changeEntries(
  list: ManagedPrefixList,
  add: readonly EntryText[],
  remove: readonly string[],
  refusals: Refusal[],
): readonly PrefixListEntry[] {
  const added = readEntries(add, list.family, refusals);
  const removed = remove.flatMap((text) => {
    const cidr = readBlock(text, list.family, refusals);
    return cidr === undefined ? [] : [{ cidr }];
  });
  for (const { entry } of findRepeatedEntries([...removed, ...added]))
    refusals.push(changedTwice(entry));
  const there = new Set(list.entries.map(({ cidr }) => formatCidr(cidr)));
  const gone = new Set(removed.map(({ cidr }) => formatCidr(cidr)));
  for (const text of gone) {
    if (there.has(text)) continue;
    const message = `The prefix list '${list.id}' has no entry ${text}`;
    refusals.push(makeRefusal('InvalidPrefixListModification', message));
  }
  for (const { cidr } of added) {
    const text = formatCidr(cidr);
    if (!there.has(text) || gone.has(text)) continue;
    const message = `The prefix list '${list.id}' has the entry ${text} already`;
    const hint = 'for another description remove it in a call of its own, then add it';
    refusals.push(makeRefusal('InvalidPrefixListModification', message, hint));
  }
  return [...list.entries.filter(({ cidr }) => !gone.has(formatCidr(cidr))), ...added];
}

function changedTwice({ cidr }: { readonly cidr: Cidr }): Refusal {
  const message = `The entry ${formatCidr(cidr)} must not appear multiple times`;
  return makeRefusal('InvalidPrefixListModification', message);
}

function checkVersion(list: ManagedPrefixList, given: number | undefined): Refusal | undefined {
  if (given === undefined || given === list.version) return undefined;
  const message = `The prefix list '${list.id}' is at version ${list.version}, not ${given}`;
  const hint = 'somebody else has changed it: describe it, and try again';
  return makeRefusal('PrefixListVersionMismatch', message, hint);
}

function checkRequestSize(found: number): readonly Refusal[] {
  if (found <= REQUEST_ENTRIES_MAX) return [];
  const message = `The request has ${found} entries, more than the ${REQUEST_ENTRIES_MAX} of one request`;
  return [makeRefusal('InvalidParameterValue', message, 'make several calls of it')];
}

function checkMaxEntries(maxEntries: number, most: number | undefined): readonly Refusal[] {
  if (Number.isInteger(maxEntries) && maxEntries >= 1 && maxEntries <= (most ?? maxEntries))
    return [];
  const bounds = most === undefined ? 'It is at least 1.' : `It goes from 1 to ${most}.`;
  const message = `Value (${maxEntries}) for parameter MaxEntries is invalid. ${bounds}`;
  return [makeRefusal('InvalidParameterValue', message)];
}

function checkRoom(found: number, maxEntries: number): readonly Refusal[] {
  if (found <= maxEntries) return [];
  const message = `The prefix list would have ${found} entries, more than its MaxEntries ${maxEntries}`;
  return [
    makeRefusal('PrefixListMaxEntriesExceeded', message, 'raise MaxEntries, or remove entries'),
  ];
}

/**
 * Checks the groups that name the list. A rule counts the list's MaxEntries, so a larger list may exceed a group's
 * quota.
 */
function checkUsers(
  before: PrefixList,
  changed: PrefixList,
  { users, prefixLists, rulesPerGroup }: PrefixListBounds,
): readonly Refusal[] {
  if (before.maxEntries >= changed.maxEntries) return [];
  const source = {
    prefixLists: {
      get: (id: PrefixListId) => (id === changed.id ? changed : prefixLists.get(id)),
    },
  };
  const full = users.filter((group) => findExcesses([group], rulesPerGroup, source).length > 0);
  if (full.length === 0) return [];
  const hint = `there is no room in ${listWords(full.map(({ id }) => id))}. ${RULES_LIMIT_HINT}`;
  return [makeRefusal('RulesPerSecurityGroupLimitExceeded', RULES_LIMIT_TEXT, hint)];
}
