/**
 * This file makes a draft of a group by the calls of the API that do the same: revoke, authorize, descriptions, and the
 * tag by which a rule only audits. All are made on one edit, so that they are one commit: all of them or none.
 */
import { formatCidr } from '../addr/address.ts';
import type { CallContext } from '../estate/calls.ts';
import type { Edit } from '../estate/edit.ts';
import { authorizeRules, findGroup, revokeRules, updateDescriptions } from '../estate/groups.ts';
import type { EstateGroup } from '../estate/model.ts';
import { createTags, deleteTags } from '../estate/tags.ts';
import { auditedRules } from '../policy/audit.ts';
import { AUDIT_TAG, AUDITS, isAuditTagged } from '../policy/audit-tags.ts';
import type { Direction, PolicyModel, Rule, SecurityGroup } from '../policy/model.ts';
import type { PeerText, PermissionText } from '../policy/permissions.ts';
import { makeRefusal, type Checked } from '../policy/refusals.ts';
import { ruleKey, ruleText } from '../policy/rules.ts';
import type { ApplyCall } from '../console/contract.ts';

const RULES_SHOWN = 100;
const DIRECTIONS = [
  ['ingress', 'Ingress'],
  ['egress', 'Egress'],
] as const;

/** What a draft changes in one direction. */
interface Difference {
  readonly revoked: readonly Rule[];
  readonly authorized: readonly Rule[];
  /** Rules that are there, as the draft has them. */
  readonly described: readonly Rule[];
  readonly audited: readonly Rule[];
  readonly enforced: readonly Rule[];
}

/**
 * Makes a draft. Rules that the configuration lacks, since they name what is not there, stay as they are.
 * @param drafted the group as the draft has it
 * @param names the model that the draft was made of
 * @returns the calls that it took; none: the draft is what there is
 */
export function makeDraft(
  edit: Edit,
  drafted: SecurityGroup,
  names: PolicyModel,
  context: CallContext,
): Checked<readonly ApplyCall[]> {
  const { id } = drafted;
  const found = findGroup(edit, id);
  if (!found.ok) return found;
  const shown = names.groups.get(id);
  if (shown === undefined) throw new Error(`${id} is drafted, and not in the model`);
  const calls: ApplyCall[] = [];
  const call = (action: string, rules: readonly Rule[]): void => {
    const texts = rules.slice(0, RULES_SHOWN).map((rule) => ruleText(rule, names));
    calls.push({ action, rules: texts, ruleCount: rules.length });
  };
  const steps = DIRECTIONS.map(
    ([direction, suffix]) =>
      [direction, suffix, compare(found.value, shown, drafted, direction)] as const,
  );
  // First what goes: what comes may need its place within the quota.
  for (const [direction, suffix, { revoked }] of steps) {
    if (revoked.length === 0) continue;
    const ids = revoked.map((rule) => rule.id);
    const done = revokeRules(edit, id, direction, { kind: 'ids', ids });
    if (!done.ok) return done;
    call(`RevokeSecurityGroup${suffix}`, revoked);
  }
  for (const [direction, suffix, { authorized, described }] of steps) {
    const named = authorized.find(({ peer }) => peer.kind === 'dns');
    if (named !== undefined) {
      const message = `${ruleText(named, names)} has a DNS name, for which the EC2 API has no word`;
      const hint = 'declare the group in a configuration file';
      return { ok: false, refusals: [makeRefusal('InvalidParameterValue', message, hint)] };
    }
    for (const isAudit of [false, true]) {
      const rules = authorized.filter(({ audit }) => (audit === true) === isAudit);
      if (rules.length === 0) continue;
      const tags = isAudit ? [AUDITS] : [];
      const done = authorizeRules(edit, id, direction, rules.map(permissionOf), tags, context);
      if (!done.ok) return done;
      call(`AuthorizeSecurityGroup${suffix}`, rules);
    }
    if (described.length === 0) continue;
    const descriptions = described.map(({ id: ruleId, description }) => ({
      ruleId,
      description: description === '' ? undefined : description,
    }));
    const done = updateDescriptions(edit, id, direction, { kind: 'ids', descriptions });
    if (!done.ok) return done;
    call(`UpdateSecurityGroupRuleDescriptions${suffix}`, described);
  }
  return tagAudits(
    edit,
    steps.map(([, , difference]) => difference),
    calls,
    call,
  );
}

function tagAudits(
  edit: Edit,
  differences: readonly Difference[],
  calls: readonly ApplyCall[],
  call: (action: string, rules: readonly Rule[]) => void,
): Checked<readonly ApplyCall[]> {
  const audited = differences.flatMap((one) => one.audited);
  const enforced = differences.flatMap((one) => one.enforced);
  const idsOf = (rules: readonly Rule[]): readonly string[] => rules.map(({ id }) => id);
  if (audited.length > 0) {
    const done = createTags(edit, idsOf(audited), [AUDITS]);
    if (!done.ok) return done;
    call('CreateTags', audited);
  }
  if (enforced.length > 0) {
    const done = deleteTags(edit, idsOf(enforced), [{ key: AUDIT_TAG }]);
    if (!done.ok) return done;
    call('DeleteTags', enforced);
  }
  return { ok: true, value: calls };
}

function compare(
  { group, ruleTags }: EstateGroup,
  shown: SecurityGroup,
  drafted: SecurityGroup,
  direction: Direction,
): Difference {
  const wanted = new Map(
    [...drafted[direction], ...auditedRules(drafted, direction)].map((rule) => [
      ruleKey(rule),
      rule,
    ]),
  );
  const ids = new Set([...shown[direction], ...auditedRules(shown, direction)].map(({ id }) => id));
  const known = group[direction].filter(({ id }) => ids.has(id));
  const had = new Map(known.map((rule) => [ruleKey(rule), rule]));
  const kept = [...wanted].flatMap(([key, next]) => {
    const rule = had.get(key);
    return rule === undefined ? [] : [{ rule, next }];
  });
  const isAudited = ({ id }: Rule): boolean => isAuditTagged(ruleTags.get(id) ?? []);
  return {
    revoked: [...had].flatMap(([key, rule]) => (wanted.has(key) ? [] : [rule])),
    authorized: [...wanted].flatMap(([key, rule]) => (had.has(key) ? [] : [rule])),
    described: kept
      .filter(({ rule, next }) => rule.description !== next.description)
      .map(({ rule, next }) => ({ ...rule, description: next.description })),
    audited: kept
      .filter(({ rule, next }) => next.audit === true && !isAudited(rule))
      .map(({ rule }) => rule),
    enforced: kept
      .filter(({ rule, next }) => next.audit !== true && isAudited(rule))
      .map(({ rule }) => rule),
  };
}

/** A rule as a call gives it. */
function permissionOf({ protocol, fromPort, toPort, peer, description }: Rule): PermissionText {
  const told = description === '' ? {} : { description };
  return { protocol, fromPort, toPort, peers: [{ ...peerTextOf(peer), ...told }] };
}

function peerTextOf(peer: Rule['peer']): PeerText {
  switch (peer.kind) {
    case 'cidr': {
      const kind = peer.cidr.family === 4 ? 'cidrIpv4' : 'cidrIpv6';
      return { kind, text: formatCidr(peer.cidr) };
    }
    case 'group':
      return { kind: 'group', text: peer.groupId };
    case 'prefixList':
      return { kind: 'prefixList', text: peer.prefixListId };
    case 'dns':
      throw new Error('a rule with a DNS name has no form in the EC2 API');
    default:
      return peer satisfies never;
  }
}
