/**
 * Makes the groups and rules that exist without anybody writing them. Source: Amazon VPC User Guide, "Default
 * security groups for your VPCs" and "Security groups".
 */
import type { Cidr } from '../addr/address.ts';
import { stableId } from './ids.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Origin,
  type Peer,
  type RuleId,
  type Rule,
  type SecurityGroup,
  type VpcRef,
} from './model.ts';
import { ruleKey } from './rules.ts';
import { DEFAULT_GROUP_NAME } from './texts.ts';

export const DEFAULT_GROUP_DESCRIPTION = 'default VPC security group';

export const ANYWHERE_4: Cidr = { family: 4, words: [0], length: 0 };
export const ANYWHERE_6: Cidr = { family: 6, words: [0, 0, 0, 0], length: 0 };

/** A rule id that depends on the rule's content, not on its place in a list. A group has no two equal rules. */
export function ruleId(
  groupId: GroupId,
  rule: Omit<Rule, 'id' | 'description' | 'origin'>,
): RuleId {
  return ruleIdOfKey(groupId, rule.direction, ruleKey(rule));
}

/** The same id, for callers that have the rule's key (ruleKey). */
export function ruleIdOfKey(groupId: GroupId, direction: Direction, key: string): RuleId {
  return stableId('sgr', groupId, direction, key);
}

/** The rules that AWS gives a group without egress: everything to 0.0.0.0/0 and to ::/0. */
export function defaultEgress(groupId: GroupId, origin: Origin): readonly Rule[] {
  return [ANYWHERE_4, ANYWHERE_6].map((cidr) =>
    allowAll(groupId, 'egress', { kind: 'cidr', cidr }, origin),
  );
}

/** The rule of the group `default` unless it has others: everything from itself. */
export function defaultIngress(groupId: GroupId, origin: Origin): readonly Rule[] {
  return [allowAll(groupId, 'ingress', { kind: 'group', groupId }, origin)];
}

/**
 * Makes the default group, for interfaces that name none.
 * @param file the configuration that it belongs to; it has no line there
 * @param vpc the VPC that it belongs to, where there are several
 */
export function makeDefaultGroup(
  file: string,
  id: GroupId = stableId('sg', DEFAULT_GROUP_NAME),
  vpc?: VpcRef,
): SecurityGroup {
  const origin: Origin = { file, line: 0, column: 0, path: '' };
  return {
    id,
    name: DEFAULT_GROUP_NAME,
    ...(vpc === undefined ? {} : { vpc }),
    description: DEFAULT_GROUP_DESCRIPTION,
    ingress: defaultIngress(id, origin),
    egress: defaultEgress(id, origin),
    origin,
  };
}

function allowAll(
  groupId: GroupId,
  direction: Rule['direction'],
  peer: Peer,
  origin: Origin,
): Rule {
  const rule = {
    direction,
    protocol: PROTOCOL_ALL,
    fromPort: ANY,
    toPort: ANY,
    peer,
    description: '',
    implied: true as const,
    origin,
  };
  return { id: ruleId(groupId, rule), ...rule };
}
