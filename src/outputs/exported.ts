/**
 * Prepares a model to be written in somebody else's words: each group and list with a name that is its own, and apart
 * from them what can't be made anew, because only its id is known. What is in doubt is not written: that opens nothing.
 */
import type {
  GroupId,
  Peer,
  PolicyModel,
  PrefixList,
  PrefixListId,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { AUDITS, AUDIT_TAG } from '../policy/audit-tags.ts';
import { groupAudit, namedAudits } from '../policy/audit.ts';
import { ruleText } from '../policy/rules.ts';
import type { Tag } from '../policy/tags.ts';
import { count } from '../source/count.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { groupLabel } from '../policy/vpcs.ts';

const TEXT_CHARS_MAX = 255;

export interface Exported {
  readonly model: PolicyModel;
  /** Groups that are made, by id, with a name that no other has, of letters, digits and hyphens. */
  readonly groups: ReadonlyMap<GroupId, { readonly group: SecurityGroup; readonly key: string }>;
  readonly lists: ReadonlyMap<PrefixListId, { readonly list: PrefixList; readonly key: string }>;
  /** What is not written, or is not as in the input, each as a sentence without a full stop. */
  readonly losses: readonly string[];
}

/** @param isOurs whether it is for our configuration: that keeps rules with DNS names, and audit. AWS has neither. */
export function prepare(model: PolicyModel, isOurs = false): Exported {
  const losses: string[] = isOurs ? [] : auditLosses(model);
  const taken = new Set<string>();
  const groups = new Map<GroupId, { group: SecurityGroup; key: string }>();
  for (const group of model.groups.values()) {
    const label = groupLabel(group);
    if (isElsewhere(group)) {
      losses.push(`the group ${label} is named by its id: ${group.memberGaps![0]}`);
      continue;
    }
    if (group.name === DEFAULT_GROUP_NAME && !isUsed(group, model)) continue;
    const written = isOurs ? group : withoutNames(group);
    groups.set(group.id, { group: cleanGroup(written), key: uniqueKey(label, taken) });
    for (const rule of group.egress)
      if (!written.egress.includes(rule))
        losses.push(
          `the rule '${ruleText(rule, model)}' of ${label} is left out: AWS has no rule with a DNS name`,
        );
    const open = [
      ...Object.values(group.gaps ?? {}).flat(),
      ...(group.possible ?? []).map(({ why }) => why),
    ];
    for (const why of new Set(open)) losses.push(`rules of ${label} may be missing: ${why}`);
  }
  const lists = new Map<PrefixListId, { list: PrefixList; key: string }>();
  for (const list of model.prefixLists.values()) {
    const [gap] = list.gaps ?? [];
    if (gap === undefined)
      lists.set(list.id, { list: cleanList(list), key: uniqueKey(list.name, taken) });
    else losses.push(`the prefix list ${list.name} is named by its id: ${gap}`);
  }
  return { model, groups, lists, losses };
}

/**
 * Audit is ours alone. AWS enforces what is written: what only an audit lets pass is refused there. A group in audit
 * mode has a tag by which we know it again. A rule that audits is left out, since AWS would let pass what it says.
 */
function auditLosses({ groups, interfaces }: PolicyModel): string[] {
  const losses: string[] = [];
  for (const group of groups.values()) {
    const label = groupLabel(group);
    const named = namedAudits(group);
    if (named.length > 0)
      losses.push(`${count(named.length, 'rule')} of ${label} only audit, and are not written`);
    if (groupAudit(group).length > 0)
      losses.push(
        `the group ${label} is in audit mode: it gets the tag ${AUDIT_TAG}, and AWS enforces its rules all the same`,
      );
  }
  for (const { name, audit } of interfaces.values())
    if (audit === true)
      losses.push(`the interface ${name} is in audit mode: what it lets pass so is refused there`);
  return losses;
}

/**
 * A text with no character that AWS does not take, and so with none that means something to a terminal or a shell's
 * quotes. What an account has is so already; a file may say anything.
 */
export function cleanText(text: string): string {
  return text.replace(/[^a-zA-Z0-9 ._\-:/()#,@[\]+=&;{}!$*]/g, '?').slice(0, TEXT_CHARS_MAX);
}

function cleanGroup(group: SecurityGroup): SecurityGroup {
  const clean = (rule: Rule): Rule => ({ ...rule, description: cleanText(rule.description) });
  const { name, description, ingress, egress, audited } = group;
  return {
    ...group,
    ...{ name: cleanText(name), description: cleanText(description) },
    ...{ ingress: ingress.map(clean), egress: egress.map(clean) },
    ...(audited === undefined ? {} : { audited: audited.map(clean) }),
  };
}

function cleanList(list: PrefixList): PrefixList {
  const entries = list.entries.map(({ cidr, description }) => ({
    cidr,
    description: cleanText(description),
  }));
  return { ...list, name: cleanText(list.name), entries };
}

function withoutNames(group: SecurityGroup): SecurityGroup {
  return { ...group, egress: group.egress.filter(({ peer }) => peer.kind !== 'dns') };
}

/** The peer of a rule that AWS has too: `prepare` leaves out the others. */
export function awsPeer({ peer }: Rule): Exclude<Peer, { kind: 'dns' }> {
  if (peer.kind === 'dns') throw new Error(`a rule with the DNS name ${peer.name} is written`);
  return peer;
}

/** Nothing of it is known but that it is there. */
function isElsewhere({ gaps, memberGaps, ingress, egress }: SecurityGroup): boolean {
  return (
    memberGaps !== undefined &&
    gaps?.ingress !== undefined &&
    gaps.egress !== undefined &&
    ingress.length + egress.length === 0
  );
}

function isUsed({ id }: SecurityGroup, { groups, interfaces }: PolicyModel): boolean {
  for (const { groupIds } of interfaces.values()) if (groupIds.includes(id)) return true;
  for (const other of groups.values())
    if (
      other.id !== id &&
      [...rulesOf(other), ...(other.audited ?? [])].some(
        ({ peer }) => peer.kind === 'group' && peer.groupId === id,
      )
    )
      return true;
  return false;
}

export function rulesOf({ ingress, egress }: SecurityGroup): readonly Rule[] {
  return [...ingress, ...egress];
}

function uniqueKey(label: string, taken: Set<string>): string {
  const plain = label.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-+|-+$/g, '');
  const stem = /^[A-Za-z]/.test(plain) ? plain : `g-${plain}`;
  let key = stem;
  for (let i = 2; taken.has(key.toLowerCase()); i++) key = `${stem}-${i}`;
  taken.add(key.toLowerCase());
  return key;
}

/** A description that AWS takes: it requires one of a group. */
export function descriptionOf({ description, name }: SecurityGroup): string {
  return description === '' ? name : description;
}

/** The tags that a group is made with. */
export function tagsOf(group: SecurityGroup): readonly Tag[] {
  return groupAudit(group).length === 0 ? [] : [AUDITS];
}
