/**
 * When AWS's own rules stand: decided here, for every loader.
 *
 * AWS fills silence. A group that says nothing of egress may reach everything; the group `default` that
 * says nothing of ingress lets in everything from itself. Nobody writes these rules, so they may stand
 * only where it is certain that nothing else is written: a list that could not be read, a macro, a
 * misspelt key would otherwise open what their author closed. So a loader tells of each direction of a
 * group whether anything is stated, and what may say more and was not understood (its gaps). Either
 * keeps AWS's own rules away. Rules that are written out and understood stand by themselves: groups
 * only allow, so whatever else there may be takes nothing from them.
 *
 * AWS's own rules are marked as `implied`, since a later statement, from another template, sends them
 * away again.
 */
import { defaultEgress, defaultIngress } from './default-group.ts';
import type { Direction, Rule, SecurityGroup } from './model.ts';
import { ruleKey } from './rules.ts';
import { DEFAULT_GROUP_NAME } from './texts.ts';

/** What is said about one direction of a group. */
export interface Said {
  /** The rules that were understood. */
  readonly rules: readonly Rule[];
  /** Whether anything is written: a rule, or a list of rules, understood or not. */
  readonly isStated: boolean;
  /** Why not all that may say something was understood, each as a clause; empty if all of it was. */
  readonly gaps: readonly string[];
}

/** A group without its rules. */
export type GroupHead = Omit<SecurityGroup, 'ingress' | 'egress' | 'gaps'>;

/** The group with its rules, and with AWS's own in each direction of which certainly nothing is said. */
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

/** What others say about a group: rules they add, and the directions they say anything of. */
export interface Addition {
  readonly rules: readonly Rule[];
  readonly stated: ReadonlySet<Direction>;
  /** Why they may say more of it in either direction than is seen here, each as a clause. */
  readonly gaps?: readonly string[];
}

/** The group with what others say about it. A rule that it has already is not added again. */
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
  for (const rule of rules) if (!all.has(ruleKey(rule))) all.set(ruleKey(rule), rule);
  const of = (direction: Direction): Rule[] =>
    [...all.values()].filter((rule) => rule.direction === direction);
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

/** Whether a rule that AWS can't tell from its own stands in a file: its own have the place of their group. */
function isWritten({ origin: { path } }: SecurityGroup, rule: Rule): boolean {
  return rule.origin.path !== path;
}
