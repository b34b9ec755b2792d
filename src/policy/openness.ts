/**
 * Decides for every loader where AWS's own rules apply.
 *
 * AWS fills silence. A group without egress rules may reach everything; the group `default` without ingress rules
 * lets in everything from itself. Nobody writes these rules. So they may apply only where it is certain that nothing
 * else is written. Otherwise a list that could not be read, a macro or a misspelt key would open what its author
 * closed. So a loader says for each direction of a group whether anything is stated, and what may state more and was
 * not understood (its gaps). Either keeps AWS's own rules out. Rules that are written and understood apply in any
 * case: groups only allow, so nothing else can take anything from them.
 *
 * AWS's own rules are marked as `implied`, because a later statement from another template removes them again.
 */
import { defaultEgress, defaultIngress } from './default-group.ts';
import { separateRepeated } from './group-rules.ts';
import type { Direction, Rule, SecurityGroup } from './model.ts';
import { ruleKey } from './rules.ts';
import { DEFAULT_GROUP_NAME } from './texts.ts';

/** What a loader found about one direction of a group. */
export interface Said {
  /** The rules that were understood. */
  readonly rules: readonly Rule[];
  /** Whether anything is written: a rule or a list of rules, understood or not. */
  readonly isStated: boolean;
  /** Parts that may state more and were not understood, each as a clause. Empty if all was understood. */
  readonly gaps: readonly string[];
}

/** A group without its rules. */
export type GroupHead = Omit<SecurityGroup, 'ingress' | 'egress' | 'gaps'>;

/**
 * Makes the group with its rules, and with AWS's own rules in each direction about which certainly nothing is stated.
 */
export function openGroup(head: GroupHead, said: Readonly<Record<Direction, Said>>): SecurityGroup {
  const ingress = isSilent(said.ingress) ? ownIngress(head) : said.ingress.rules;
  const egress = isSilent(said.egress) ? defaultEgress(head.id, head.origin) : said.egress.rules;
  const group = { ...head, ingress, egress };
  if (said.ingress.gaps.length === 0 && said.egress.gaps.length === 0) return group;
  const gaps = {
    ...(said.ingress.gaps.length === 0 ? {} : { ingress: said.ingress.gaps }),
    ...(said.egress.gaps.length === 0 ? {} : { egress: said.egress.gaps }),
  };
  return { ...group, gaps };
}

function ownIngress({ id, name, origin }: GroupHead): readonly Rule[] {
  return name === DEFAULT_GROUP_NAME ? defaultIngress(id, origin) : [];
}

function isSilent({ rules, isStated, gaps }: Said): boolean {
  return rules.length === 0 && !isStated && gaps.length === 0;
}

/** What other places state about a group: the rules they add, and the directions they state something about. */
export interface Addition {
  readonly rules: readonly Rule[];
  readonly stated: ReadonlySet<Direction>;
  /** Why they may state more, in either direction, than was understood, each as a clause. */
  readonly gaps?: readonly string[];
}

/** Adds such statements to a group. A rule that the group already has is not added again. */
export function addToGroup(
  group: SecurityGroup,
  { rules, stated, gaps = [] }: Addition,
): SecurityGroup {
  const kept = [...group.ingress, ...group.egress].filter(
    (rule) =>
      rule.implied !== true ||
      (!stated.has(rule.direction) && (gaps.length === 0 || isWritten(group, rule))),
  );
  const all = new Map(kept.map((rule) => [ruleKey(rule), rule]));
  const added = separateRepeated(rules, all).fresh.map(({ rule }) => rule);
  const of = (direction: Direction): Rule[] =>
    [...all.values(), ...added].filter((rule) => rule.direction === direction);
  const reasons = (direction: Direction): readonly string[] => [
    ...(group.gaps?.[direction] ?? []),
    ...gaps,
  ];
  return {
    ...group,
    ingress: of('ingress'),
    egress: of('egress'),
    ...(gaps.length === 0
      ? {}
      : { gaps: { ingress: reasons('ingress'), egress: reasons('egress') } }),
  };
}

/** Whether a rule equal to one of AWS's own is written in a file. AWS's own rules have the position of their group. */
function isWritten({ origin: { path } }: SecurityGroup, rule: Rule): boolean {
  return rule.origin.path !== path;
}
