/**
 * Audit: what no rule admits passes all the same, and counts as what would have been dropped.
 *
 * Theory of operation
 *
 * Rules that only audit are beside the rules of their group (SecurityGroup.audited), not among them. So whoever does
 * not know of them takes what they let pass for refused, as it will be: no check, comparison or export can take one for
 * a rule that admits. A gate asks them only where no rule admits (Matcher.matchAudit). The flow that opens then carries
 * the number of such a rule. So each of its packets is known as audited, and when the policy changes it goes by
 * whatever admits it then (engine/revocation.ts).
 *
 * A group in audit mode has four implied rules that pass everything: two directions, two families. An interface in
 * audit mode has such rules of nobody. The narrowest is asked first, since it tells most: rules that a group names,
 * then groups in audit mode, then the interface.
 *
 * Audit answers for the rules' refusal alone. Spoofed sources, states of TCP, limits, fences and fragments drop as
 * ever. An audited flow is always tracked: whether one is untracked is a matter of rules that admit.
 */
import type { Family } from '../addr/address.ts';
import { ANYWHERE_4, ANYWHERE_6 } from './default-group.ts';
import { stableId } from './ids.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type InterfaceId,
  type NetworkInterface,
  type Origin,
  type PolicyModel,
  type Rule,
  type RuleId,
  type SecurityGroup,
} from './model.ts';

const NOWHERE: Origin = { file: '', line: 0, column: 0, path: '' };
const NO_RULES: readonly Rule[] = [];

/** The rules by which an interface in audit mode passes everything, in the order of `makeAuditAll`. */
export const INTERFACE_AUDIT: readonly Rule[] = makeAuditAll('interface', NOWHERE);

/** The rules by which a group in audit mode passes everything: IPv4 and IPv6 of ingress, then of egress. */
export function makeAuditAll(owner: GroupId, origin: Origin): readonly Rule[] {
  return (['ingress', 'egress'] as const).flatMap((direction) =>
    [ANYWHERE_4, ANYWHERE_6].map((cidr): Rule => ({
      id: auditRuleId(owner, direction, `all ${cidr.family}`),
      direction,
      protocol: PROTOCOL_ALL,
      fromPort: ANY,
      toPort: ANY,
      peer: { kind: 'cidr', cidr },
      description: '',
      implied: true,
      audit: true,
      origin,
    })),
  );
}

/** The id of a rule that only audits. A rule that admits the same has another. @param key what it says (ruleKey) */
export function auditRuleId(owner: GroupId, direction: Direction, key: string): RuleId {
  return stableId('sgr', owner, 'audit', direction, key);
}

/** The rules that a group names for audit, in their order. */
export function namedAudits({ audited = NO_RULES }: SecurityGroup): readonly Rule[] {
  return audited.filter(({ implied }) => implied !== true);
}

/** Those of a direction. */
export function auditedRules(group: SecurityGroup, direction: Direction): readonly Rule[] {
  return namedAudits(group).filter((rule) => rule.direction === direction);
}

/** The rules by which a group in audit mode passes everything; empty: it is not in that mode. */
export function groupAudit({ audited = NO_RULES }: SecurityGroup): readonly Rule[] {
  return audited.filter(({ implied }) => implied === true);
}

/** INTERFACE_AUDIT if an interface of the model is in audit mode, else nothing. */
export function interfaceAudit({ interfaces }: Pick<PolicyModel, 'interfaces'>): readonly Rule[] {
  for (const { audit } of interfaces.values()) if (audit === true) return INTERFACE_AUDIT;
  return NO_RULES;
}

/** The rules by which an interface passes everything, the first to be asked in front. */
export function passAllRules(
  { groups }: Pick<PolicyModel, 'groups'>,
  { groupIds, audit }: Pick<NetworkInterface, 'groupIds' | 'audit'>,
): readonly Rule[] {
  const ofGroups = groupIds.flatMap((id) => groupAudit(groups.get(id)!));
  return [...ofGroups, ...(audit === true ? INTERFACE_AUDIT : NO_RULES)];
}

/** All rules that audit at an interface in a direction, the first to be asked in front. */
export function rulesThatAudit(
  { groups }: Pick<PolicyModel, 'groups'>,
  own: Pick<NetworkInterface, 'groupIds' | 'audit'>,
  direction: Direction,
): readonly Rule[] {
  const named = own.groupIds.flatMap((id) => auditedRules(groups.get(id)!, direction));
  const passAll = passAllRules({ groups }, own).filter((rule) => rule.direction === direction);
  return [...named, ...passAll];
}

/** What is audited at an interface. */
export interface AuditedPort {
  readonly port: number;
  /** Groups of it that name rules for audit. */
  readonly groupIds: readonly GroupId[];
  /** The rule that passes whatever no other admits, by direction and family; none: nothing does. */
  readonly passAll: readonly PassAll[];
}

export interface PassAll {
  readonly rule: Rule;
  readonly direction: Direction;
  readonly family: Family;
}

/** Finds the interfaces at which something is audited. @param ports of interfaces */
export function findAudited(
  { groups, interfaces }: Pick<PolicyModel, 'groups' | 'interfaces'>,
  ports: ReadonlyMap<InterfaceId, number>,
): readonly AuditedPort[] {
  const audited = new Set<GroupId>();
  for (const group of groups.values()) if (group.audited !== undefined) audited.add(group.id);
  const found: AuditedPort[] = [];
  for (const [id, port] of ports) {
    const own = interfaces.get(id)!;
    if (own.audit !== true && !own.groupIds.some((groupId) => audited.has(groupId))) continue;
    const groupIds = own.groupIds.filter((groupId) => namedAudits(groups.get(groupId)!).length > 0);
    found.push({ port, groupIds, passAll: firstOfEach(passAllRules({ groups }, own)) });
  }
  return found;
}

/** The first rule for each direction and family. */
function firstOfEach(rules: readonly Rule[]): readonly PassAll[] {
  const first = new Map<string, PassAll>();
  for (const rule of rules) {
    const { direction, peer } = rule;
    if (peer.kind !== 'cidr') continue;
    const key = `${direction} ${peer.cidr.family}`;
    if (!first.has(key)) first.set(key, { rule, direction, family: peer.cidr.family });
  }
  return [...first.values()];
}

/** The same rules, enforced: nothing passes by audit. */
export function enforced(model: PolicyModel): PolicyModel {
  const groups = [...model.groups].map(([id, { audited: _, ...group }]) => [id, group] as const);
  const interfaces = [...model.interfaces].map(([id, { audit: _, ...one }]) => [id, one] as const);
  return { ...model, groups: new Map(groups), interfaces: new Map(interfaces) };
}
