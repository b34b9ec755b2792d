/**
 * The linter finds what is valid but surely not meant. `sgctl check` warns of it. The daemon ignores it.
 *
 * Every finding has its own code and the position of its rule or group. A finding must be certain: what a careful
 * author may have written on purpose (such as a group without rules that others name) is not reported. Findings about
 * members need to know the interfaces, so they are left out for a model without interfaces, such as a template by
 * itself.
 */
import { formatCidr } from '../addr/address.ts';
import type { PolicyModel, Rule } from '../policy/model.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, protocolName } from '../policy/protocols.ts';
import { ruleText } from '../policy/rules.ts';
import type { Problem } from '../source/problem.ts';
import type { Config } from '../config/config.ts';
import { findExposed } from './lint-exposure.ts';
import { problemAt } from '../policy/problem-at.ts';
import { makeBudget } from './lint-finding.ts';
import { findIdle } from './lint-members.ts';
import { findUnlearnt } from './lint-names.ts';
import { findShadowed } from './lint-shadow.ts';

/** Warnings and notices about `config`, in no particular order. */
export function lint(config: Pick<Config, 'model' | 'special'>): Problem[] {
  return [...lintModel(config.model), ...findUnlearnt(config.model, config.special)];
}

/** The same for a model alone. Without interfaces it says nothing about members. It uses up `budget`. */
export function lintModel(model: PolicyModel, budget = makeBudget()): Problem[] {
  const problems = [
    ...findExposed(model, budget),
    ...findMismatched(model),
    // Nobody knows all members of groups that are elsewhere.
    ...(model.isElsewhere === true ? [] : findIdle(model)),
    ...findShadowed(model, budget),
  ];
  if (budget.steps > 0) return problems;
  const message =
    'there are too many rules to compare all of them; some shadowed or open ones may not have been told';
  const at = [...model.groups.values()][0].origin;
  return [...problems, { ...problemAt(at, 'notice', 'lint-incomplete', message), path: '' }];
}

/** Finds ICMP rules for IPv6 peers and ICMPv6 rules for IPv4 peers. AWS accepts them, but they never match. */
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
  if (wanted === undefined || peer.kind === 'group' || peer.kind === 'dns') return undefined;
  let family: 4 | 6 | undefined;
  let text: string;
  if (peer.kind === 'cidr') {
    // For rules of the configuration itself the loader reports this already, at the block.
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
