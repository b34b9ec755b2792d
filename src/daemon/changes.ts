/**
 * This file describes the difference between the configuration in force and the next one, in the words of its author.
 *
 * Everything that a reload puts in force is in `Changes`. `unchanged` is reported only if nothing has changed.
 * `isSamePolicy` says whether anything has changed that decides about packets. Only then the generation of the policy
 * goes up.
 */
import { isDeepStrictEqual } from 'node:util';
import { sameAddress, sameAddresses } from '../addr/address.ts';
import { isSameSpecial } from '../config/config-platform.ts';
import { changedSettings, isSameNextHops } from './changed-settings.ts';
import {
  changedGroups,
  changedPart,
  changedRules,
  countRules,
  isSameRule,
} from '../policy/changed-part.ts';
import type {
  Direction,
  GroupId,
  NetworkInterface,
  PolicyModel,
  PrefixList,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { ruleText } from '../policy/rules.ts';
import type { Changes, NameChanges } from '../queries/reload-result.ts';
import type { Problem } from '../source/problem.ts';
import type { Config, DeviceConfig, InterfaceConfig } from '../config/config.ts';
import { groupLabel } from '../policy/vpcs.ts';

const NO_RULES: readonly Rule[] = [];
/** The lists of rules that a group has. */
const LISTS: readonly (Direction | 'audited')[] = ['ingress', 'egress', 'audited'];

const INTERFACE_ORDER = 'interfaces';

/** Checks whether both give every packet the same verdict. */
export function isSamePolicy(before: Config, after: Config, changes: Changes): boolean {
  const { groups, rules, prefixLists, interfaces, order } = changes;
  const [old, next] = [before.model, after.model];
  const comeOrGone = [groups, rules, prefixLists, interfaces].flatMap(({ added, removed }) => [
    ...added,
    ...removed,
  ]);
  return (
    comeOrGone.length + interfaces.changed.length === 0 &&
    old.remoteMembers === next.remoteMembers &&
    old.areGroupsStale === next.areGroupsStale &&
    order.every((what) => what === INTERFACE_ORDER) &&
    (groups.changed.length === 0 ||
      [...old.groups.values()].every((group) => isKept(group, next))) &&
    (prefixLists.changed.length === 0 || hasSameEntries(old, next)) &&
    isSameSpecial(before.special, after.special) &&
    isSameNextHops(before, after)
  );
}

function isKept({ id, revocation }: SecurityGroup, { groups }: PolicyModel): boolean {
  const next = groups.get(id);
  return next !== undefined && next.revocation === revocation;
}

function hasSameEntries(before: PolicyModel, after: PolicyModel): boolean {
  return [...before.prefixLists.values()].every((list) => {
    const next = after.prefixLists.get(list.id);
    return next !== undefined && isSameEntries(list, next);
  });
}

/** Finds prefix lists of both models whose entries differ. */
export function changedEntries(before: PolicyModel, after: PolicyModel): readonly PrefixList[] {
  return [...after.prefixLists.values()].filter((list) => {
    const old = before.prefixLists.get(list.id);
    return old !== undefined && !isSameEntries(old, list);
  });
}

/**
 * Compares two configurations. The cost is that of the changes, plus one walk through the rest: rules that are the same
 * on both sides are neither put into a map nor written as text. Most processes make only one change, and then code is
 * not compiled yet and garbage is expensive.
 */
export function compareConfigs(current: Config, next: Config): Changes {
  const [before, after] = [current.model, next.model];
  return {
    groups: compareGroups(before, after),
    rules: compareRules(before, after),
    prefixLists: compareNamed(
      [...before.prefixLists.values()],
      [...after.prefixLists.values()],
      isSamePrefixList,
    ),
    interfaces: withUplink(compareUplinks(current, next), compareInterfaces(current, next)),
    flowLogs: compareNamed(current.flowLogs, next.flowLogs, isDeepStrictEqual),
    order: compareOrders(current, next),
    settings: changedSettings(current, next),
  };
}

/** Reports an error for each change that a running daemon can't make, at its place in the next file. */
export function refuseFixedChanges(current: Config, next: Config, problems: Problem[]): void {
  const fixed: readonly (readonly [path: string, before: unknown, after: unknown])[] = [
    ['workers', current.workers, next.workers],
    ['busyPollUs', current.busyPollUs, next.busyPollUs],
    ['offload', current.offload, next.offload],
    ['conntrack', current.conntrack, next.conntrack],
    ['names', current.names, next.names],
    ['metrics', current.metrics, next.metrics],
  ];
  for (const [path, before, after] of fixed) {
    if (JSON.stringify(before) === JSON.stringify(after)) continue;
    problems.push({
      severity: 'error',
      code: 'needs-restart',
      at: { file: next.file, line: 0, column: 0 },
      path,
      message: `'${path}' can't be changed while the daemon runs`,
      hint: 'leave it as it was, or run: systemctl restart secgroupd',
    });
  }
}

/** Compares uplinks as if they were interfaces. Their addresses, gateways and routes are settings. */
function compareUplinks({ uplink: before }: Config, { uplink: after }: Config): NameChanges {
  const isChanged =
    before !== undefined && after !== undefined && !isSameDevice(before.device, after.device);
  return {
    added: before === undefined && after !== undefined ? ['uplink'] : [],
    removed: before !== undefined && after === undefined ? ['uplink'] : [],
    changed: isChanged ? ['uplink'] : [],
  };
}

function withUplink(uplink: NameChanges, interfaces: NameChanges): NameChanges {
  return {
    added: [...uplink.added, ...interfaces.added],
    removed: [...uplink.removed, ...interfaces.removed],
    changed: [...uplink.changed, ...interfaces.changed],
  };
}

/**
 * Finds lists whose order has changed, where the order matters. Of several rules that admit a flow, the first one gets
 * the flow and its hit, and `cut` depends on it. Of several interfaces in one namespace, the first gets the default
 * route.
 */
function compareOrders(before: Config, after: Config): string[] {
  const { come } = changedGroups(before.model.groups, after.model.groups);
  const moved = come.flatMap(([old, next]) =>
    old !== undefined &&
    (isReordered(old.ingress, next.ingress) || isReordered(old.egress, next.egress))
      ? [next]
      : [],
  );
  const [start, oldEnd, nextEnd] = changedPart(
    before.interfaces,
    after.interfaces,
    (a, b) => a === b || a.name === b.name,
  );
  const isOther = !isSameOrder(
    before.interfaces.slice(start, oldEnd).map(({ name }) => name),
    after.interfaces.slice(start, nextEnd).map(({ name }) => name),
  );
  const orders = moved.map((group) => `rules of ${groupLabel(group)}`);
  return isOther ? [INTERFACE_ORDER, ...orders] : orders;
}

function isReordered(before: readonly Rule[], after: readonly Rule[]): boolean {
  const [start, oldEnd, nextEnd] = changedRules(before, after);
  return !isSameOrder(
    before.slice(start, oldEnd).map(({ id }) => id),
    after.slice(start, nextEnd).map(({ id }) => id),
  );
}

/** Checks whether the elements that both have are in the same order. */
function isSameOrder(before: readonly string[], after: readonly string[]): boolean {
  const [old, next] = [new Set(before), new Set(after)];
  const kept = [...old].filter((name) => next.has(name));
  return isDeepStrictEqual(
    kept,
    [...next].filter((name) => old.has(name)),
  );
}

/** A rule, and the name of its group. */
type NamedRule = readonly [rule: Rule, group: string];

function compareRules(before: PolicyModel, after: PolicyModel): Changes['rules'] {
  const removedOrMoved: NamedRule[] = [];
  const addedOrMoved: NamedRule[] = [];
  const changed: NamedRule[] = [];
  const groups = changedGroups(before.groups, after.groups);
  const losers = [...groups.gone, ...groups.come.flatMap(([was]) => was ?? [])];
  for (const group of inOrderOf(before, losers)) {
    for (const list of LISTS) {
      const [old, next] = [rulesOf(group, list), rulesOf(after.groups.get(group.id), list)];
      const [start, end] = changedRules(old, next);
      takeRules(removedOrMoved, group, old, start, end);
    }
  }
  for (const [was, group] of groups.come) {
    for (const list of LISTS) {
      const [old, next] = [rulesOf(was, list), rulesOf(group, list)];
      const [start, , end] = changedRules(old, next);
      takeRules(addedOrMoved, group, next, start, end);
      takeDescribed(changed, group, old, next);
    }
  }
  // Rules that only moved are in both lists.
  const [gone, come] = [removedOrMoved, addedOrMoved].map(
    (rules) => new Map(rules.map(([rule]) => [rule.id, rule])),
  );
  const isIn = (rules: ReadonlyMap<string, Rule>, rule: Rule): boolean => {
    const other = rules.get(rule.id);
    return other !== undefined && isSameRule(other, rule);
  };
  const added = addedOrMoved.filter(([rule]) => !isIn(gone, rule));
  return {
    added: added.map((rule) => describeRule(rule, after)),
    removed: removedOrMoved
      .filter(([rule]) => !isIn(come, rule))
      .map((rule) => describeRule(rule, before)),
    changed: changed.map((rule) => describeRule(rule, after)),
    kept: countRules(after.groups, before.groups) - added.length,
  };
}

/** Some groups of a model, in the order in which they were written. Those that calls made are written nowhere. */
function inOrderOf(model: PolicyModel, some: readonly SecurityGroup[]): readonly SecurityGroup[] {
  if (some.length < 2 || some.every(({ origin }) => origin.line === 0)) return some;
  const set = new Set(some);
  return [...model.groups.values()].filter((group) => set.has(group));
}

/** Takes the rules of a group whose description has changed. */
function takeDescribed(
  rules: NamedRule[],
  group: SecurityGroup,
  old: readonly Rule[],
  next: readonly Rule[],
): void {
  const [start, oldEnd, nextEnd] = changedRules(old, next);
  const between = new Map(old.slice(start, oldEnd).map((rule) => [rule.id, rule]));
  for (let i = 0; i < next.length; i++) {
    const before =
      i < start ? old[i] : i < nextEnd ? between.get(next[i].id) : old[i - nextEnd + oldEnd];
    if (before === undefined || !isSameRule(before, next[i])) continue;
    if (before.description !== next[i].description) rules.push([next[i], groupLabel(group)]);
  }
}

function takeRules(
  rules: NamedRule[],
  group: SecurityGroup,
  list: readonly Rule[],
  start: number,
  end: number,
): void {
  for (let i = start; i < end; i++) rules.push([list[i], groupLabel(group)]);
}

function rulesOf(group: SecurityGroup | undefined, list: (typeof LISTS)[number]): readonly Rule[] {
  return group?.[list] ?? NO_RULES;
}

/** `web ingress: tcp 443 from 10.0.0.0/8` */
export function describeRule([rule, group]: NamedRule, model: PolicyModel): string {
  const audit = rule.audit === true ? ' (audit)' : '';
  return `${group} ${rule.direction}: ${ruleText(rule, model)}${audit}`;
}

function compareInterfaces(current: Config, next: Config): NameChanges {
  const [before, after] = [current.model, next.model];
  if (current.interfaces === next.interfaces && before.interfaces === after.interfaces)
    return { added: [], removed: [], changed: [] };
  return compareNamed(
    current.interfaces,
    next.interfaces,
    (a, b) => isSameInterface(a, b) && isSameNetwork(networkOf(before, a), networkOf(after, b)),
  );
}

/** Groups go by their label: one of another id is the same group, changed. */
function compareGroups(before: PolicyModel, after: PolicyModel): NameChanges {
  const { gone, come } = changedGroups(before.groups, after.groups);
  const old = inOrderOf(before, [...gone, ...come.flatMap(([was]) => was ?? [])]);
  const next = come.map(([, group]) => group);
  return compareNamed(old, next, isSameGroup, groupLabel);
}

function isSameGroup(a: SecurityGroup, b: SecurityGroup): boolean {
  return (
    a.id === b.id &&
    a.description === b.description &&
    a.revocation === b.revocation &&
    a.vpc?.id === b.vpc?.id &&
    isDeepStrictEqual(a.gaps, b.gaps)
  );
}

function isSamePrefixList(a: PrefixList, b: PrefixList): boolean {
  return (
    a.id === b.id &&
    a.family === b.family &&
    a.maxEntries === b.maxEntries &&
    isSameEntries(a, b) &&
    a.entries.every(({ description }, i) => description === b.entries[i].description)
  );
}

function isSameEntries(a: PrefixList, b: PrefixList): boolean {
  if (a.entries.length !== b.entries.length) return false;
  const [start] = changedPart(a.entries, b.entries, isSameEntry);
  return start === a.entries.length;
}

function isSameEntry(a: PrefixList['entries'][number], b: PrefixList['entries'][number]): boolean {
  return a.cidr.length === b.cidr.length && sameAddress(a.cidr, b.cidr);
}

function isSameInterface(a: InterfaceConfig, b: InterfaceConfig): boolean {
  if (a === b) return true;
  return a.id === b.id && a.maxFlows === b.maxFlows && isSameDevice(a.device, b.device);
}

/** Compares devices without the place where they are written. */
function isSameDevice(a: DeviceConfig, b: DeviceConfig): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.netns === b.netns &&
    a.netnsPath === b.netnsPath &&
    a.mtu === b.mtu &&
    a.configure === b.configure &&
    a.persist === b.persist &&
    a.dhcp === b.dhcp &&
    a.mac === b.mac &&
    a.group === b.group
  );
}

function networkOf({ interfaces }: PolicyModel, { id }: InterfaceConfig): NetworkInterface {
  return interfaces.get(id)!;
}

function isSameNetwork(a: NetworkInterface, b: NetworkInterface): boolean {
  if (a === b) return true;
  const [tracking, nextTracking] = [a.connectionTracking, b.connectionTracking];
  return (
    a.vpc?.id === b.vpc?.id &&
    a.sourceDestCheck === b.sourceDestCheck &&
    (a.alwaysTracked === true) === (b.alwaysTracked === true) &&
    a.audit === b.audit &&
    tracking.tcpEstablishedTimeoutSec === nextTracking.tcpEstablishedTimeoutSec &&
    tracking.udpTimeoutSec === nextTracking.udpTimeoutSec &&
    tracking.udpStreamTimeoutSec === nextTracking.udpStreamTimeoutSec &&
    sameGroups(a.groupIds, b.groupIds) &&
    sameAddresses(a.addresses, b.addresses)
  );
}

function sameGroups(a: readonly GroupId[], b: readonly GroupId[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

function compareNamed<T extends { readonly name: string }>(
  current: readonly T[],
  next: readonly T[],
  isSame: (a: T, b: T) => boolean,
  labelOf: (one: T) => string = ({ name }) => name,
): NameChanges {
  const [start, currentEnd, nextEnd] = changedPart(
    current,
    next,
    (a, b) => labelOf(a) === labelOf(b) && isSame(a, b),
  );
  const before = new Map(current.slice(start, currentEnd).map((one) => [labelOf(one), one]));
  const after = new Map(next.slice(start, nextEnd).map((one) => [labelOf(one), one]));
  return {
    added: [...after.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: [...after]
      .filter(([name, one]) => before.has(name) && !isSame(before.get(name)!, one))
      .map(([name]) => name),
  };
}
