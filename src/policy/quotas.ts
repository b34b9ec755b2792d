/**
 * AWS's quotas of groups and rules: their defaults, how rules count, and what exceeds them. Source: "Amazon VPC
 * quotas".
 */
import type { Family } from '../addr/address.ts';
import type { Direction, PrefixList, PrefixListId, Rule, SecurityGroup } from './model.ts';
import { makeRefusal, type Refusal } from './refusals.ts';
import { count } from '../source/count.ts';

/** AWS's default of each quota. */
export const QUOTA_DEFAULTS = {
  rulesPerGroup: 60,
  groupsPerInterface: 5,
  rulesTimesGroups: 1000,
  prefixListEntries: 1000,
  securityGroups: 2500,
} as const;

export type QuotaName = keyof typeof QUOTA_DEFAULTS;

/** The maximum of each quota; undefined: no limit. */
export type QuotaMaxima = Readonly<Record<QuotaName, number | undefined>>;

/** Finds prefix lists by id. A whole PolicyModel is a PrefixListSource. */
export interface PrefixListSource {
  readonly prefixLists: { get(id: PrefixListId): PrefixList | undefined };
}

export const RULES_LIMIT_TEXT = 'The maximum number of rules per security group has been reached.';

export const RULES_LIMIT_HINT = 'A prefix list counts its maxEntries, a group 1 in each family';

const DIRECTIONS = ['ingress', 'egress'] as const;
const FAMILIES = [4, 6] as const;

/**
 * Counts rules for a family. A block counts 1 in its own family. A prefix list counts its most entries in its own
 * family. A group counts 1 in both, which is the stricter reading of AWS's text, and so does a DNS name.
 */
export function countRules(
  rules: readonly Rule[],
  family: Family,
  { prefixLists }: PrefixListSource,
): number {
  let found = 0;
  for (const { peer } of rules) {
    switch (peer.kind) {
      case 'cidr':
        found += peer.cidr.family === family ? 1 : 0;
        break;
      case 'prefixList': {
        const list = prefixLists.get(peer.prefixListId);
        found += list?.family === family ? list.maxEntries : 0;
        break;
      }
      case 'group':
      case 'dns':
        found++;
        break;
      default:
        peer satisfies never;
    }
  }
  return found;
}

/** A direction and family with more than `max` rules. */
export interface Excess {
  readonly direction: Direction;
  readonly family: Family;
  readonly found: number;
}

/** Finds the directions and families in which some groups together have more than `max` rules. */
export function findExcesses(
  groups: readonly Pick<SecurityGroup, Direction>[],
  max: number | undefined,
  source: PrefixListSource,
): readonly Excess[] {
  if (max === undefined) return [];
  return DIRECTIONS.flatMap((direction) => {
    const rules =
      groups.length === 1 ? groups[0][direction] : groups.flatMap((group) => group[direction]);
    return FAMILIES.flatMap((family) => {
      const found = countRules(rules, family, source);
      return found > max ? [{ direction, family, found }] : [];
    });
  });
}

/**
 * Checks a change of a group's rules by the quota. A group that already had more rules, under an earlier quota, may
 * be changed if their number does not grow.
 */
export function checkRuleQuota(
  before: Pick<SecurityGroup, Direction>,
  after: Pick<SecurityGroup, Direction>,
  max: number | undefined,
  source: PrefixListSource,
): readonly Refusal[] {
  return findExcesses([after], max, source)
    .filter(({ direction, family, found }) => found > countRules(before[direction], family, source))
    .map(({ direction, family, found }) => {
      const hint = `there would be ${count(found, `${direction} rule`)} for IPv${family}, and ${max} are allowed. ${RULES_LIMIT_HINT}`;
      return makeRefusal('RulesPerSecurityGroupLimitExceeded', RULES_LIMIT_TEXT, hint);
    });
}

/** AWS's sentence for an interface with more than `max` groups. @param account the account's id, where there is one */
export function membershipsText(max: number, account?: string): string {
  const who = account === undefined ? '' : `user ${account} `;
  return `${who}exceeded limit ${max} on the number of interface security group memberships`;
}
