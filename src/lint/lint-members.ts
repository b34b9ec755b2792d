/** These rules find groups that no interface has, and rules that admit nobody because of that. */
import { cidrContains } from '../addr/address.ts';
import type {
  GroupId,
  NetworkInterface,
  PolicyModel,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { PROTOCOL_ICMP } from '../policy/protocols.ts';
import { peerText } from '../policy/rules.ts';
import type { Problem } from '../source/problem.ts';
import { problemAt } from '../policy/problem-at.ts';
import { placeKey } from './lint-finding.ts';

type Members = ReadonlyMap<GroupId, readonly NetworkInterface[]>;

export function findIdle(model: PolicyModel): Problem[] {
  // Without interfaces no group has members, so there is nothing to report.
  if (model.interfaces.size === 0) return [];
  const members = membersOf(model);
  const named = namedByOthers(model);
  return [...model.groups.values()].flatMap((group) => [
    ...findUnused(group, members),
    ...findUnreachable(model, group, members),
    ...findAlone(group, members),
    ...findMute(model, group, members, named),
  ]);
}

function membersOf(model: PolicyModel): Members {
  const members = new Map<GroupId, NetworkInterface[]>();
  for (const one of model.interfaces.values()) {
    for (const id of new Set(one.groupIds)) {
      const list = members.get(id);
      if (list === undefined) members.set(id, [one]);
      else list.push(one);
    }
  }
  return members;
}

/** Finds the groups that rules of other groups name. */
function namedByOthers({ groups }: PolicyModel): ReadonlySet<GroupId> {
  const named = new Set<GroupId>();
  for (const { id, ingress, egress } of groups.values()) {
    for (const { peer } of [...ingress, ...egress])
      if (peer.kind === 'group' && peer.groupId !== id) named.add(peer.groupId);
  }
  return named;
}

function findUnused({ id, name, origin }: SecurityGroup, members: Members): Problem[] {
  // Nobody wrote the VPC's own default group, so it has no line.
  if (members.has(id) || origin.line === 0) return [];
  const message = `the security group '${name}' is on no interface`;
  const hint = "name it in an interface's securityGroups, or remove it";
  return [problemAt(origin, 'notice', 'unused-group', message, hint)];
}

function findUnreachable(model: PolicyModel, group: SecurityGroup, members: Members): Problem[] {
  // The rules of a group that is on no interface admit nobody anyway.
  if (!members.has(group.id)) return [];
  return writtenPeers(group).flatMap(({ peer, origin }) => {
    const text = `${peerText(peer, model)} is nobody`;
    if (peer.kind === 'group' && !members.has(peer.groupId)) {
      const message = `${text}: the security group is on no interface`;
      const hint = 'a group as a peer means the addresses of the interfaces it is on';
      return [problemAt(origin, 'warning', 'unreachable-reference', message, hint)];
    }
    const list = peer.kind === 'prefixList' ? model.prefixLists.get(peer.prefixListId) : undefined;
    if (list === undefined || list.entries.length > 0) return [];
    const message = `${text}: the prefix list is empty`;
    return [problemAt(origin, 'notice', 'empty-prefix-list', message)];
  });
}

function findAlone(group: SecurityGroup, members: Members): Problem[] {
  const own = members.get(group.id) ?? [];
  if (own.length !== 1) return [];
  return writtenPeers(group).flatMap(({ peer, origin }) => {
    if (peer.kind !== 'group' || peer.groupId !== group.id) return [];
    const message = `the rule is for members of '${group.name}' among themselves, and there is only '${own[0].name}'`;
    return [problemAt(origin, 'notice', 'lone-member', message)];
  });
}

/**
 * Finds groups without rules. Beside other groups such a group is a label for rules elsewhere, which is fine. As the
 * only group of an interface it cuts the interface off.
 */
function findMute(
  model: PolicyModel,
  group: SecurityGroup,
  members: Members,
  named: ReadonlySet<GroupId>,
): Problem[] {
  const own = members.get(group.id) ?? [];
  if (own.length === 0 || !isMute(group)) return [];
  const cutOff = own.filter(({ groupIds }) =>
    groupIds.every((id) => {
      const other = model.groups.get(id);
      return other === undefined || isMute(other);
    }),
  );
  const hint = 'give it ingress or egress rules; replies to what a rule admits need none';
  if (cutOff.length > 0) {
    const who =
      cutOff.length === 1
        ? `'${cutOff[0].name}'`
        : `'${cutOff[0].name}' and ${cutOff.length - 1} more`;
    const message = `the security group '${group.name}' has neither ingress nor egress rules: nothing reaches or leaves ${who}`;
    return [problemAt(group.origin, 'warning', 'mute-group', message, hint)];
  }
  if (named.has(group.id)) return [];
  const message = `the security group '${group.name}' has neither ingress nor egress rules, and no rule names it: it does nothing`;
  return [problemAt(group.origin, 'warning', 'mute-group', message, hint)];
}

function isMute({ ingress, egress }: SecurityGroup): boolean {
  return ingress.length === 0 && egress.every(isSentinel);
}

/**
 * Checks for egress rules that mean "none". CloudFormation has no other way to say it. Known are rules to 127.0.0.0/8,
 * and the rule that CDK writes (ICMP 252/86 to 255.255.255.255/32).
 */
function isSentinel({ protocol, fromPort, toPort, peer }: Rule): boolean {
  if (peer.kind !== 'cidr' || peer.cidr.family !== 4) return false;
  if (cidrContains({ family: 4, words: [0x7f000000], length: 8 }, peer.cidr))
    return peer.cidr.length >= 8;
  return (
    protocol === PROTOCOL_ICMP &&
    fromPort === 252 &&
    toPort === 86 &&
    peer.cidr.length === 32 &&
    peer.cidr.words[0] === -1
  );
}

/**
 * Collects the rules that somebody wrote, once for each place: one item of the text may stand for many rules. AWS's
 * default rules have the place of their group.
 */
function writtenPeers({ ingress, egress, origin }: SecurityGroup): readonly Rule[] {
  const peers = new Map<string, Rule>();
  const nowhere = { groups: new Map(), prefixLists: new Map() };
  for (const rule of [...ingress, ...egress]) {
    const place = placeKey(rule.origin);
    if (place === placeKey(origin) || rule.peer.kind === 'cidr') continue;
    const key = `${place} ${peerText(rule.peer, nowhere)}`;
    if (!peers.has(key)) peers.set(key, rule);
  }
  return [...peers.values()];
}
