/**
 * This file says in words what a configuration that is not in force yet would admit and the one in force does not:
 * rules that an interface would get, and addresses that a rule which it has would stand for. A rule that another one
 * covers is told too. What would end is impact.ts's.
 */
import { formatAddress, formatCidr, type Address } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import type { GroupId, InterfaceId, PolicyModel, Rule } from '../policy/model.ts';
import { ruleKey } from '../policy/rules.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { listFirst } from '../source/suggest.ts';
import { describeRule } from './changes.ts';

const NAMES_MAX = 3;

/** A rule that may admit something anew at an interface. */
interface Candidate {
  readonly rule: Rule;
  readonly text: string;
  /** Of the rule's peer; empty: the group has not had the rule. */
  readonly gained: readonly string[];
}

/** @returns a line a rule, in the order of the interfaces */
export function admittedAnew(before: Config, after: Config): readonly string[] {
  const change = new ModelChange(before.model, after.model);
  const found = new Map<string, string[]>();
  for (const { id, name } of after.interfaces) {
    const was = before.model.interfaces.get(id)?.groupIds ?? [];
    const now = after.model.interfaces.get(id)!.groupIds;
    const candidates = now.flatMap((groupId) =>
      was.includes(groupId) ? change.grown(groupId) : change.all(groupId),
    );
    if (candidates.length === 0) continue;
    const known = new Set(was.flatMap((groupId) => rulesOf(before.model, groupId).map(ruleKey)));
    for (const { rule, text, gained } of candidates) {
      if (gained.length === 0 && known.has(ruleKey(rule))) continue;
      const line = gained.length === 0 ? text : `${text}, now also ${listFirst(gained, NAMES_MAX)}`;
      const names = found.get(line);
      if (names === undefined) found.set(line, [name]);
      else names.push(name);
    }
  }
  return [...found].map(([line, names]) => `${line} at ${listFirst(names, NAMES_MAX)}`);
}

class ModelChange {
  private readonly before: PolicyModel;
  private readonly after: PolicyModel;
  /** What a group or prefix list would stand for and does not yet. */
  private readonly gained: ReadonlyMap<string, readonly string[]>;
  private readonly grownByGroup = new Map<GroupId, readonly Candidate[]>();

  constructor(before: PolicyModel, after: PolicyModel) {
    this.before = before;
    this.after = after;
    this.gained = new Map([...gainedMembers(before, after), ...gainedEntries(before, after)]);
  }

  /** All rules of a group that an interface would get. */
  all(id: GroupId): readonly Candidate[] {
    return rulesOf(this.after, id).map((rule) => this.candidate(id, rule, []));
  }

  /** Rules that a group would get, and those whose peer would grow. */
  grown(id: GroupId): readonly Candidate[] {
    const known = this.grownByGroup.get(id);
    if (known !== undefined) return known;
    const isSame = this.before.groups.get(id) === this.after.groups.get(id);
    const had = new Set(isSame ? [] : rulesOf(this.before, id).map(ruleKey));
    const isUntouched = isSame && this.gained.size === 0;
    const grown = (isUntouched ? [] : rulesOf(this.after, id)).flatMap((rule) => {
      if (!isSame && !had.has(ruleKey(rule))) return [this.candidate(id, rule, [])];
      const gained = this.gainedBy(rule);
      return gained.length === 0 ? [] : [this.candidate(id, rule, gained)];
    });
    this.grownByGroup.set(id, grown);
    return grown;
  }

  private gainedBy({ peer }: Rule): readonly string[] {
    if (peer.kind === 'cidr' || peer.kind === 'dns') return [];
    return this.gained.get(peer.kind === 'group' ? peer.groupId : peer.prefixListId) ?? [];
  }

  private candidate(id: GroupId, rule: Rule, gained: readonly string[]): Candidate {
    const label = groupLabel(this.after.groups.get(id)!);
    return { rule, text: describeRule([rule, label], this.after), gained };
  }
}

function rulesOf({ groups }: PolicyModel, id: GroupId): readonly Rule[] {
  const group = groups.get(id);
  return group === undefined ? [] : [...group.ingress, ...group.egress];
}

/** Addresses of interfaces that come into a group, or that an interface of it gets. */
function gainedMembers(before: PolicyModel, after: PolicyModel): Map<string, string[]> {
  const gained = new Map<string, string[]>();
  if (before.interfaces === after.interfaces && before.remoteMembers === after.remoteMembers)
    return gained;
  const note = (groupId: GroupId, id: InterfaceId, addresses: readonly Address[]): void => {
    const had = addressesIn(before, groupId, id).map(formatAddress);
    const come = addresses.map(formatAddress).filter((text) => !had.includes(text));
    if (come.length > 0) gained.set(groupId, [...(gained.get(groupId) ?? []), ...come]);
  };
  for (const [id, { groupIds, addresses }] of after.interfaces)
    for (const groupId of groupIds) note(groupId, id, addresses);
  for (const [groupId, next] of after.remoteMembers ?? []) {
    const come = before.remoteMembers?.get(groupId)?.changesTo(next).come ?? next;
    for (const { id, addresses } of come) note(groupId, id, addresses);
  }
  return gained;
}

/** The addresses that an interface, here or elsewhere, brings into a group. */
function addressesIn(
  { interfaces, remoteMembers }: PolicyModel,
  groupId: GroupId,
  id: InterfaceId,
): readonly Address[] {
  const own = interfaces.get(id);
  if (own?.groupIds.includes(groupId) === true) return own.addresses;
  return remoteMembers?.get(groupId)?.get(id)?.addresses ?? [];
}

function gainedEntries(before: PolicyModel, after: PolicyModel): Map<string, string[]> {
  const gained = new Map<string, string[]>();
  for (const [id, list] of after.prefixLists) {
    const was = before.prefixLists.get(id);
    if (was === list) continue;
    const had = new Set(was?.entries.map(({ cidr }) => formatCidr(cidr)));
    const come = list.entries.map(({ cidr }) => formatCidr(cidr)).filter((text) => !had.has(text));
    if (come.length > 0) gained.set(id, come);
  }
  return gained;
}
