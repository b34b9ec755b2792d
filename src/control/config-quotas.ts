/** What AWS would not take, though it works here: the quotas of rules. Source: "Amazon VPC quotas". */
import type { Family } from '../addr/address.ts';
import type { PolicyModel, Rule, SecurityGroup } from '../policy/model.ts';
import { report, type Reader } from './config-reader.ts';

/** Rules per group, direction and address family; can be raised. */
export const AWS_RULES_MAX = 60;

/**
 * What a rule counts for a family: a block 1 in its own; a prefix list its most entries in its own;
 * a group 1 in both, which is the stricter reading of AWS's text.
 */
export function countRules(
  rules: readonly Rule[],
  family: Family,
  model: Pick<PolicyModel, 'prefixLists'>,
): number {
  let count = 0;
  for (const { peer } of rules) {
    switch (peer.kind) {
      case 'cidr':
        count += peer.cidr.family === family ? 1 : 0;
        break;
      case 'prefixList': {
        const list = model.prefixLists.get(peer.prefixListId);
        count += list?.family === family ? list.maxEntries : 0;
        break;
      }
      case 'group':
        count++;
        break;
      default:
        peer satisfies never;
    }
  }
  return count;
}

/** Warns of groups with more rules than AWS takes unless asked. */
export function warnOfQuotas(
  reader: Reader,
  groups: Iterable<SecurityGroup>,
  model: Pick<PolicyModel, 'prefixLists'>,
): void {
  for (const { name, ingress, egress, origin } of groups) {
    const { file, line, column, path } = origin;
    for (const [direction, rules] of [
      ['ingress', ingress],
      ['egress', egress],
    ] as const) {
      for (const family of [4, 6] as const) {
        const count = countRules(rules, family, model);
        if (count <= AWS_RULES_MAX) continue;
        const message = `the security group '${name}' has ${count} ${direction} rules for IPv${family}; AWS takes ${AWS_RULES_MAX} unless its quota is raised`;
        const hint = 'a prefix list counts its maxEntries; split the group, or use shorter lists';
        report(reader, 'warning', { at: { file, line, column }, path }, 'quota', message, hint);
      }
    }
  }
}
