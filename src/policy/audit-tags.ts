/**
 * This file says what the tag `secgroupd:audit` means on a security group, a rule or a network interface: with `true`
 * it is in audit mode (audit.ts). The EC2 API and CloudFormation have no word of their own for that.
 *
 * A rule with the tag keeps its id and is shown among the rules of its group. Only what is in force has it apart. So a
 * client that knows nothing of audit finds what it made.
 */
import { makeAuditAll } from './audit.ts';
import type { Rule, RuleId, SecurityGroup } from './model.ts';
import { makeRefusal, type Refusal } from './refusals.ts';
import type { Tag } from './tags.ts';

export const AUDIT_TAG = 'secgroupd:audit';
const NO_TAGS: readonly Tag[] = [];

/** Of what audits. */
export const AUDITS: Tag = { key: AUDIT_TAG, value: 'true' };

/** Whether tags put what has them in audit mode. Any other value than `true` leaves rules enforced. */
export function isAuditTagged(tags: readonly Tag[]): boolean {
  return tags.some(({ key, value }) => key === AUDIT_TAG && value === AUDITS.value);
}

/** What stands against such tags: a slip must not look like audit. */
export function checkAuditTag(tags: readonly Tag[]): readonly Refusal[] {
  return tags.flatMap(({ key, value }) => {
    if (key !== AUDIT_TAG || value === 'true' || value === 'false') return [];
    const message = `Value (${value}) for the tag ${AUDIT_TAG} is invalid`;
    return [makeRefusal('InvalidParameterValue', message, 'it is true or false')];
  });
}

/** A group as it is in force: the same object if no tag says that something of it audits. */
export function applyAuditTags(
  group: SecurityGroup,
  tags: readonly Tag[],
  ruleTags: ReadonlyMap<RuleId, readonly Tag[]>,
): SecurityGroup {
  const audits = ({ id }: Rule): boolean => isAuditTagged(ruleTags.get(id) ?? NO_TAGS);
  const isWhole = isAuditTagged(tags);
  const { id, ingress, egress, origin } = group;
  const named = ruleTags.size === 0 ? [] : [...ingress, ...egress].filter(audits);
  if (!isWhole && named.length === 0) return group;
  const enforced = (rule: Rule): boolean => !named.includes(rule);
  return {
    ...group,
    ingress: ingress.filter(enforced),
    egress: egress.filter(enforced),
    audited: [
      // A name has no place among rules that audit: such a rule admits nothing.
      ...named.filter(({ peer }) => peer.kind !== 'dns').map(asAudit),
      ...(isWhole ? makeAuditAll(id, origin) : []),
    ],
  };
}

/** A rule of AWS's own is one that a group names, as soon as it audits. */
function asAudit({ implied: _, ...rule }: Rule): Rule {
  return { ...rule, audit: true };
}
