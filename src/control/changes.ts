/** What differs between the configuration in force and the next one, in the words of those who wrote them. */
import { isDeepStrictEqual } from 'node:util';
import { sameAddress, sameAddresses } from '../addr/address.ts';
import { isSameSpecial } from './config/config-platform.ts';
import { changedPart, changedRules } from '../policy/changed-part.ts';
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
import type { Problem } from '../source/problem.ts';
import type { Config, DeviceConfig, InterfaceConfig } from './config/config.ts';
import { groupLabel } from '../policy/vpcs.ts';

const NO_RULES: readonly Rule[] = [];
const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];

/** Names and rules, sorted as they stand in the files; plain data for logs and `--json`. */
export interface Changes {
  readonly groups: NameChanges;
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly kept: number;
  };
  readonly prefixLists: NameChanges;
  readonly interfaces: NameChanges;
}

export interface NameChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

export function hasChanges({ groups, rules, prefixLists, interfaces }: Changes): boolean {
  const names = [groups, prefixLists, interfaces].flatMap(({ added, removed, changed }) => [
    ...added,
    ...removed,
    ...changed,
  ]);
  return names.length + rules.added.length + rules.removed.length > 0;
}

/** Whether both mean the same to packets: no change, rules in the same order, the same special addresses. */
export function isSamePolicy(before: Config, after: Config, changes: Changes): boolean {
  if (hasChanges(changes)) return false;
  for (const [id, group] of before.model.groups) {
    for (const direction of DIRECTIONS) {
      const rules = group[direction];
      const [start] = changedRules(rules, after.model.groups.get(id)?.[direction] ?? NO_RULES);
      if (start < rules.length) return false;
    }
  }
  return (
    isSameSpecial(before.special, after.special) &&
    isDeepStrictEqual(nextHopsIn(before), nextHopsIn(after))
  );
}

/**
 * Costs what changed, and a walk through what did not: neither side's ten thousand rules are put into a map or
 * written out as text. Most changes are the first of their process, when code is slow and garbage dear.
 */
export function compareConfigs(current: Config, next: Config): Changes {
  const [before, after] = [current.model, next.model];
  return {
    groups: compareNamed([...before.groups.values()], [...after.groups.values()], isSameGroup),
    rules: compareRules(before, after),
    prefixLists: compareNamed(
      [...before.prefixLists.values()],
      [...after.prefixLists.values()],
      isSamePrefixList,
    ),
    interfaces: withUplink(
      compareUplinks(current, next),
      compareNamed(
        current.interfaces,
        next.interfaces,
        (a, b) => isSameInterface(a, b) && isSameNetwork(networkOf(before, a), networkOf(after, b)),
      ),
    ),
  };
}

/** What can't be changed while the daemon runs: an error for each, at the place in the next file. */
export function refuseFixedChanges(current: Config, next: Config, problems: Problem[]): void {
  const fixed: readonly (readonly [path: string, before: unknown, after: unknown])[] = [
    ['workers', current.workers, next.workers],
    ['conntrack', current.conntrack, next.conntrack],
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

/** What decides to whom on the uplink's link packets are handed. */
function nextHopsIn({ uplink }: Config): unknown {
  return [uplink?.addresses, uplink?.gateways];
}

/** The uplink, as if it were an interface. Its routes are no matter of the policy; what else is, isSamePolicy asks. */
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

/** A rule, and the name of its group. */
type NamedRule = readonly [rule: Rule, group: string];

function compareRules(before: PolicyModel, after: PolicyModel): Changes['rules'] {
  const gone: NamedRule[] = [];
  const come: NamedRule[] = [];
  let total = 0;
  for (const [id, group] of before.groups) {
    for (const direction of DIRECTIONS) {
      const next = after.groups.get(id)?.[direction] ?? NO_RULES;
      const [start, end] = changedRules(group[direction], next);
      takeRules(gone, group, direction, start, end);
    }
  }
  for (const [id, group] of after.groups) {
    for (const direction of DIRECTIONS) {
      const old = before.groups.get(id)?.[direction] ?? NO_RULES;
      const [start, , end] = changedRules(old, group[direction]);
      takeRules(come, group, direction, start, end);
      total += group[direction].length;
    }
  }
  // Those that only stand elsewhere are on both sides.
  const [goneIds, comeIds] = [gone, come].map((rules) => new Set(rules.map(([{ id }]) => id)));
  const added = come.filter(([{ id }]) => !goneIds.has(id));
  return {
    added: added.map((rule) => describeRule(rule, after)),
    removed: gone.filter(([{ id }]) => !comeIds.has(id)).map((rule) => describeRule(rule, before)),
    kept: total - added.length,
  };
}

function takeRules(
  rules: NamedRule[],
  group: SecurityGroup,
  direction: Direction,
  start: number,
  end: number,
): void {
  for (let i = start; i < end; i++) rules.push([group[direction][i], groupLabel(group)]);
}

function describeRule([rule, group]: NamedRule, model: PolicyModel): string {
  return `${group} ${rule.direction}: ${ruleText(rule, model)}`;
}

function isSameGroup(a: SecurityGroup, b: SecurityGroup): boolean {
  return a.id === b.id && a.description === b.description && a.revocation === b.revocation;
}

function isSamePrefixList(a: PrefixList, b: PrefixList): boolean {
  if (a.entries.length !== b.entries.length) return false;
  const [start] = changedPart(a.entries, b.entries, isSameEntry);
  return start === a.entries.length;
}

function isSameEntry(a: PrefixList['entries'][number], b: PrefixList['entries'][number]): boolean {
  return a.cidr.length === b.cidr.length && sameAddress(a.cidr, b.cidr);
}

function isSameInterface(a: InterfaceConfig, b: InterfaceConfig): boolean {
  return a.id === b.id && a.maxFlows === b.maxFlows && isSameDevice(a.device, b.device);
}

/** Where it was written is nothing of the device. */
function isSameDevice(a: DeviceConfig, b: DeviceConfig): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.netns === b.netns &&
    a.netnsPath === b.netnsPath &&
    a.mtu === b.mtu &&
    a.configure === b.configure &&
    a.persist === b.persist
  );
}

function networkOf({ interfaces }: PolicyModel, { id }: InterfaceConfig): NetworkInterface {
  return interfaces.get(id)!;
}

function isSameNetwork(a: NetworkInterface, b: NetworkInterface): boolean {
  const [tracking, nextTracking] = [a.connectionTracking, b.connectionTracking];
  return (
    a.sourceDestCheck === b.sourceDestCheck &&
    (a.alwaysTracked === true) === (b.alwaysTracked === true) &&
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
): NameChanges {
  const [start, currentEnd, nextEnd] = changedPart(
    current,
    next,
    (a, b) => a.name === b.name && isSame(a, b),
  );
  const before = new Map(current.slice(start, currentEnd).map((one) => [one.name, one]));
  const after = new Map(next.slice(start, nextEnd).map((one) => [one.name, one]));
  return {
    added: [...after.keys()].filter((name) => !before.has(name)),
    removed: [...before.keys()].filter((name) => !after.has(name)),
    changed: [...after]
      .filter(([name, one]) => before.has(name) && !isSame(before.get(name)!, one))
      .map(([name]) => name),
  };
}
