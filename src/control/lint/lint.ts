/**
 * What is right in form and surely not meant: `sgctl check` warns of it, the daemon does not care.
 *
 * Every finding has a code of its own and the position of the rule or group it is about. A finding
 * must be certain: what a careful author may well have written (a group without rules that others
 * name, for one) is left alone. Findings that depend on who the members are need to know the
 * interfaces, and are not looked for in a model that has none, as a template by itself.
 */
import { formatCidr } from '../../addr/address.ts';
import type { PolicyModel, Rule } from '../../policy/model.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, protocolName } from '../../policy/protocols.ts';
import { ruleText } from '../../policy/rules.ts';
import type { Problem } from '../../source/problem.ts';
import type { Config } from '../config/config.ts';
import { findExposed } from './lint-exposure.ts';
import { makeBudget, problemAt } from './lint-finding.ts';
import { findIdle } from './lint-members.ts';
import { findShadowed } from './lint-shadow.ts';

/** Warnings and notices about `config`, in no particular order. */
export function lint(config: Config): Problem[] {
  return lintModel(config.model);
}

/** The same for a model alone; without interfaces in it, nothing is said about members. */
export function lintModel(model: PolicyModel): Problem[] {
  const budget = makeBudget();
  const problems = [
    ...findExposed(model, budget),
    ...findMismatched(model),
    ...findIdle(model),
    ...findShadowed(model, budget),
  ];
  if (budget.steps > 0) return problems;
  const message =
    'there are too many rules to compare all of them; some shadowed or open ones may not have been told';
  const at = [...model.groups.values()][0].origin;
  return [...problems, { ...problemAt(at, 'notice', 'lint-incomplete', message), path: '' }];
}

/** ICMP rules for peers of the family that the other ICMP is for: legal in AWS, and they never match. */
function findMismatched(model: PolicyModel): Problem[] {
  const problems: Problem[] = [];
  for (const { ingress, egress } of model.groups.values()) {
    for (const rule of [...ingress, ...egress]) {
      const problem = describeMismatch(rule, model);
      if (problem !== undefined) problems.push(problem);
    }
  }
  return problems;
}

function describeMismatch(rule: Rule, model: PolicyModel): Problem | undefined {
  const { protocol, peer, origin } = rule;
  const wanted = protocol === PROTOCOL_ICMP ? 4 : protocol === PROTOCOL_ICMPV6 ? 6 : undefined;
  if (wanted === undefined || peer.kind === 'group') return undefined;
  let family: 4 | 6 | undefined;
  let text: string;
  if (peer.kind === 'cidr') {
    // Of a rule of the configuration itself the loader says so already, at the very block.
    if (origin.logicalId === undefined) return undefined;
    family = peer.cidr.family;
    text = formatCidr(peer.cidr);
  } else {
    const list = model.prefixLists.get(peer.prefixListId);
    family = list?.family;
    text = `the IPv${family} prefix list '${list?.name}'`;
  }
  if (family === undefined || family === wanted) return undefined;
  const name = protocolName(protocol);
  const message = `the rule '${ruleText(rule, model)}' never matches: ${name} is for IPv${wanted}, ${text} is not`;
  const hint = `for IPv${family} write ${protocolName(wanted === 4 ? PROTOCOL_ICMPV6 : PROTOCOL_ICMP)}`;
  return problemAt(origin, 'warning', 'family-mismatch', message, hint);
}
