/**
 * This file brings the rules of one group from what a stack made to what it wants.
 *
 * Only rules that the stack made are compared. What a call changed since stays changed: a rule that a call revoked is
 * not made again, and one that a call authorized stays. AWS's own "everything out" goes with the first egress rule that
 * the stack makes for a group, also for one that it did not make.
 */
import { formatCidr } from '../../addr/address.ts';
import type { CallContext } from '../../estate/calls.ts';
import type { Edit } from '../../estate/edit.ts';
import { authorizeRules, findGroup, revokeRules, updateDescriptions } from '../../estate/groups.ts';
import { PROTOCOL_ALL, type Direction, type Rule } from '../../policy/model.ts';
import type { PeerText, PermissionText } from '../../policy/permissions.ts';
import { hasIcmpType, hasPorts } from '../../policy/protocols.ts';
import type { Checked } from '../../policy/refusals.ts';
import { ruleKey } from '../../policy/rules.ts';
import { isOwnOfIpv6 } from './difference.ts';
import type { MadeRule } from './stack-rows.ts';

/** The rules that were made, by `GROUP-ID KEY`. */
export type MadeRules = Map<string, MadeRule>;

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress'];
const DONE = { ok: true, value: undefined } as const;

export function madeKey(groupId: string, key: string): string {
  return `${groupId} ${key}`;
}

/**
 * @param made the rules that the stack has made in the group; undefined: the group is new, and has AWS's own
 * @param isOutside whether another one made the group
 */
export function syncRules(
  edit: Edit,
  groupId: string,
  made: readonly MadeRule[] | undefined,
  rules: readonly Rule[],
  { context, isOutside, results }: SyncOptions,
): Checked<unknown> {
  const found = findGroup(edit, groupId);
  // A group that is gone takes its rules with it.
  if (!found.ok) return rules.length === 0 ? DONE : found;
  const { group } = found.value;
  const wanted = wantedRules(edit, group.vpc.id, rules);
  for (const direction of DIRECTIONS) {
    const present = new Map(group[direction].map((rule) => [rule.id, rule]));
    const before =
      made?.filter((one) => one.direction === direction) ??
      group[direction].map((rule) => madeRule(groupId, rule));
    const takesOwn =
      isOutside &&
      direction === 'egress' &&
      before.length === 0 &&
      [...wanted.values()].some((rule) => rule.direction === 'egress');
    const own = takesOwn ? group.egress.filter(allowsAll).map(({ id }) => id) : [];
    const gone = before.filter(({ key, id }) => !wanted.has(key) && present.has(id));
    const ids = [...own, ...gone.map(({ id }) => id)];
    if (ids.length > 0) {
      const done = revokeRules(edit, groupId, direction, { kind: 'ids', ids });
      if (!done.ok) return done;
    }
    const kept = keepRules(edit, before, wanted, { groupId, direction, present, results });
    if (!kept.ok) return kept;
    const known = new Set(before.map(({ key }) => key));
    const fresh = [...wanted.values()].filter(
      (rule) => rule.direction === direction && !known.has(ruleKey(rule)),
    );
    if (fresh.length === 0) continue;
    const texts = fresh.map(permissionText);
    const done = authorizeRules(edit, groupId, direction, texts, [], context);
    if (!done.ok) return done;
    for (const rule of done.value.added)
      results.set(madeKey(groupId, ruleKey(rule)), madeRule(groupId, rule));
  }
  return DONE;
}

export interface SyncOptions {
  readonly context: CallContext;
  readonly isOutside: boolean;
  readonly results: MadeRules;
}

/** Rules that a new group has from AWS and that the stack does not want go with the call that makes the group. */
export function dropOwnEgress(
  edit: Edit,
  groupId: string,
  rules: readonly Rule[],
): Checked<unknown> {
  const found = findGroup(edit, groupId);
  if (!found.ok) return found;
  const wanted = new Set(rules.map(ruleKey));
  const { egress } = found.value.group;
  const ids = egress.filter((rule) => !wanted.has(ruleKey(rule))).map(({ id }) => id);
  if (ids.length === 0) return DONE;
  return revokeRules(edit, groupId, 'egress', { kind: 'ids', ids });
}

/** A VPC's default group without AWS's own rules. */
export function emptyGroup(edit: Edit, groupId: string): Checked<unknown> {
  const found = findGroup(edit, groupId);
  if (!found.ok) return found;
  const { group } = found.value;
  const own = {
    ingress: group.ingress.filter(({ peer }) => peer.kind === 'group' && peer.groupId === groupId),
    egress: group.egress.filter(allowsAll),
  };
  return revokeAll(edit, groupId, own);
}

/** Takes all rules from a group that goes: two that name each other could not go otherwise. */
export function clearGroup(edit: Edit, groupId: string): Checked<unknown> {
  const found = findGroup(edit, groupId);
  return found.ok ? revokeAll(edit, groupId, found.value.group) : DONE;
}

function revokeAll(
  edit: Edit,
  groupId: string,
  rules: Readonly<Record<Direction, readonly Rule[]>>,
): Checked<unknown> {
  for (const direction of DIRECTIONS) {
    const ids = rules[direction].map(({ id }) => id);
    if (ids.length === 0) continue;
    const done = revokeRules(edit, groupId, direction, { kind: 'ids', ids });
    if (!done.ok) return done;
  }
  return DONE;
}

/** Rules that stay, with the descriptions that the template has now. */
function keepRules(
  edit: Edit,
  before: readonly MadeRule[],
  wanted: ReadonlyMap<string, Rule>,
  {
    groupId,
    direction,
    present,
    results,
  }: {
    readonly groupId: string;
    readonly direction: Direction;
    readonly present: ReadonlyMap<string, Rule>;
    readonly results: MadeRules;
  },
): Checked<unknown> {
  const changed: { ruleId: string; description: string }[] = [];
  for (const one of before) {
    const rule = wanted.get(one.key);
    if (rule === undefined) continue;
    const { description } = rule;
    results.set(madeKey(groupId, one.key), { ...one, description });
    if (description !== one.description && present.has(one.id))
      changed.push({ ruleId: one.id, description });
  }
  if (changed.length === 0) return DONE;
  return updateDescriptions(edit, groupId, direction, { kind: 'ids', descriptions: changed });
}

function wantedRules(edit: Edit, vpcId: string, rules: readonly Rule[]): Map<string, Rule> {
  const blocks = edit.peek('vpcs', vpcId)?.blocks ?? [];
  const hasIpv6 = blocks.some(({ cidr }) => cidr.family === 6);
  const kept = rules.filter((rule) => hasIpv6 || !isOwnOfIpv6(rule));
  return new Map(kept.map((rule) => [ruleKey(rule), rule]));
}

function madeRule(groupId: string, rule: Rule): MadeRule {
  const { id, direction, description } = rule;
  return { groupId, direction, key: ruleKey(rule), id, description };
}

function allowsAll({ protocol, peer }: Rule): boolean {
  return protocol === PROTOCOL_ALL && peer.kind === 'cidr' && peer.cidr.length === 0;
}

/** A rule as a call would say it. */
function permissionText({ protocol, fromPort, toPort, peer, description }: Rule): PermissionText {
  const range = hasPorts(protocol) || hasIcmpType(protocol) ? { fromPort, toPort } : {};
  return { protocol, ...range, peers: [{ ...peerText(peer), description }] };
}

function peerText(peer: Rule['peer']): PeerText {
  switch (peer.kind) {
    case 'cidr':
      return {
        kind: peer.cidr.family === 4 ? 'cidrIpv4' : 'cidrIpv6',
        text: formatCidr(peer.cidr),
      };
    case 'group':
      return { kind: 'group', text: peer.groupId };
    case 'prefixList':
      return { kind: 'prefixList', text: peer.prefixListId };
    case 'dns':
      throw new Error('a stack has no rule with a DNS name');
    default:
      return peer satisfies never;
  }
}
