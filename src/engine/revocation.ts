/**
 * Decides what a change of rules does to a tracked flow (policy/model.ts, Revocation).
 *
 * The flow is judged as if it were opened again: at the gate that it was opened through, with its own addresses and
 * ports. The code only reads, so the control plane can use it for a policy that is not in force yet (`sgctl reload
 * --dry-run`).
 */
import { OPENED_LOCALLY, REVOKED_FLOW } from '../conntrack/states.ts';
import {
  type FlowIndex,
  RULE_PLATFORM,
  asksLocally,
  localPortOf,
  portOf,
  protocolOf,
  remoteAddressAt,
  remotePortOf,
  ruleOf,
  stateOf,
  stateWordOf,
} from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import {
  GATE_EGRESS,
  GATE_INGRESS,
  REVOKE_AUDIT,
  REVOKE_AWS,
  REVOKE_RECHECK,
  type CompiledPolicy,
} from '../policy/compiled.ts';
import { lookUpHost, NO_RULE, type Matcher } from '../policy/match.ts';
import { serviceBit } from '../policy/special-addresses.ts';
import { PROTO_ICMP, PROTO_ICMPV6 } from '../wire/fields.ts';

/** No rule keeps the flow. */
export const NO_HEIR = -1;

/**
 * By which rule a flow in use lives on under `policy`. It is the flow's own, but for audit (policy/audit.ts): a flow
 * that would end goes on by a rule that only audits, and a flow of such a rule goes by what admits it now.
 * @param matcher a matcher of that policy
 * @returns the rule's number, or NO_HEIR: the flow ends
 */
export function ruleAfter(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
): number {
  if (!hasInterface(policy, portOf(table, flow))) return NO_HEIR;
  const rule = ruleOf(table, flow);
  // A revoked flow is kept so that nothing brings it back.
  if (stateOf(table, flow) === REVOKED_FLOW) return rule;
  if (rule === RULE_PLATFORM) return isStillExempt(table, flow, policy) ? rule : NO_HEIR;
  const mode = policy.revocation[rule];
  if (mode === REVOKE_AWS) return rule;
  // The gate that the rule audits is another one for an untracked flow whose rule only audits by now (gate.ts).
  if (mode >= REVOKE_AUDIT)
    return admittedOrAudited(table, flow, mode - REVOKE_AUDIT, policy, matcher) - 1;
  const gate = openingGate(table, flow);
  const wanted = mode === REVOKE_RECHECK ? NO_RULE : rule + 1;
  if (admittedBy(table, flow, gate, policy, matcher, wanted) !== NO_RULE) return rule;
  if (isAdmittedByName(table, flow, policy, matcher)) return rule;
  return auditedBy(table, flow, gate, policy, matcher) - 1;
}

/** Whether a rule that only audits stands for packets. @param rule number of a rule, or less than 0 for none */
export function isAudit(policy: CompiledPolicy, rule: number): boolean {
  const { auditProfiles, revocation } = policy;
  // Where nothing audits, no rule is looked up.
  return (
    auditProfiles.length > 0 &&
    rule >= 0 &&
    rule < revocation.length &&
    revocation[rule] >= REVOKE_AUDIT
  );
}

/** Whether a flow that was opened to the platform is to a service that groups still never filter. */
function isStillExempt(table: FlowTable, flow: FlowIndex, policy: CompiledPolicy): boolean {
  const { words } = table;
  const isIpv4 = table.family === 4;
  const remote = remoteAddressAt(table, flow);
  const special = lookUpHost(
    policy.special4,
    policy.special6,
    table.family,
    words[remote],
    isIpv4 ? 0 : words[remote + 1],
    isIpv4 ? 0 : words[remote + 2],
    isIpv4 ? 0 : words[remote + 3],
  );
  return (special & serviceBit(protocolOf(table, flow), remotePortOf(table, flow))) !== 0;
}

/**
 * Whether an interface has the port. If not, its flows must be removed: the port may soon belong to another
 * interface.
 */
export function hasInterface(policy: CompiledPolicy, port: number): boolean {
  return port < policy.profiles.length && policy.profiles[port] >= 0;
}

/**
 * Which rule would admit the flow if it were opened now.
 * @param gate GATE_INGRESS or GATE_EGRESS: most often openingGate
 * @param wanted the only rule that counts, or NO_RULE for any
 * @returns one more than the rule's number, or NO_RULE
 */
export function admittedBy(
  table: FlowTable,
  flow: FlowIndex,
  gate: number,
  policy: CompiledPolicy,
  matcher: Matcher,
  wanted: number,
): number {
  const { words } = table;
  const { family } = table;
  const isIpv4 = family === 4;
  const remote = remoteAddressAt(table, flow);
  const a0 = words[remote];
  const a1 = isIpv4 ? 0 : words[remote + 1];
  const a2 = isIpv4 ? 0 : words[remote + 2];
  const a3 = isIpv4 ? 0 : words[remote + 3];
  const protocol = protocolOf(table, flow);
  const rulePort = rulePortOf(table, flow, gate);
  const row = 2 * policy.profiles[portOf(table, flow)] + gate;
  if (wanted === NO_RULE) return matcher.match(row, family, protocol, rulePort, a0, a1, a2, a3);
  const admits = matcher.admits(wanted, row, family, protocol, rulePort, a0, a1, a2, a3);
  return admits ? wanted : NO_RULE;
}

/**
 * Whether the flow's own rule has a DNS name as its peer, and still admits it but for the address. A name gets other
 * addresses all the time, and that changes no rule: a connection to a former one lives on.
 */
export function isAdmittedByName(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
): boolean {
  const opening = openingGate(table, flow);
  const gate = 2 * policy.profiles[portOf(table, flow)] + opening;
  const protocol = protocolOf(table, flow);
  const rule = ruleOf(table, flow) + 1;
  return matcher.matchByName(rule, gate, protocol, rulePortOf(table, flow, opening)) !== NO_RULE;
}

/** By which rule audit would let the flow pass if it were opened now. @returns as admittedBy */
export function auditedBy(
  table: FlowTable,
  flow: FlowIndex,
  gate: number,
  policy: CompiledPolicy,
  matcher: Matcher,
): number {
  if (policy.auditProfiles.length === 0) return NO_RULE;
  const { words } = table;
  const isIpv4 = table.family === 4;
  const remote = remoteAddressAt(table, flow);
  return matcher.matchAudit(
    portOf(table, flow),
    gate,
    table.family,
    protocolOf(table, flow),
    rulePortOf(table, flow, gate),
    words[remote],
    isIpv4 ? 0 : words[remote + 1],
    isIpv4 ? 0 : words[remote + 2],
    isIpv4 ? 0 : words[remote + 3],
  );
}

/** Which rule would let the flow open now, be it one that only audits. @returns as admittedBy */
export function admittedOrAudited(
  table: FlowTable,
  flow: FlowIndex,
  gate: number,
  policy: CompiledPolicy,
  matcher: Matcher,
): number {
  const rule = admittedBy(table, flow, gate, policy, matcher, NO_RULE);
  return rule === NO_RULE ? auditedBy(table, flow, gate, policy, matcher) : rule;
}

/** The gate that the flow was opened through: GATE_EGRESS or GATE_INGRESS. */
export function openingGate(table: FlowTable, flow: FlowIndex): number {
  return (stateWordOf(table, flow) & OPENED_LOCALLY) === 0 ? GATE_INGRESS : GATE_EGRESS;
}

/** The port of a flow as rules of a gate name it (gate.ts). */
function rulePortOf(table: FlowTable, flow: FlowIndex, gate: number): number {
  const protocol = protocolOf(table, flow);
  const openedLocally = gate === GATE_EGRESS;
  const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
  const isReply = isIcmp && asksLocally(table, flow) !== openedLocally;
  // Rules name the port of the side that did not open. For an ICMP query that is the query's type. Where a reply
  // opened the flow, its own side has that port.
  const asked = openedLocally !== isReply ? remotePortOf(table, flow) : localPortOf(table, flow);
  const type = isReply ? replyTypeOf(asked) : asked & 0xff;
  return isIcmp ? type << 8 : asked;
}

/** The type of the reply to an ICMP query: the next number, except for echo in IPv4. */
function replyTypeOf(query: number): number {
  return query === 8 ? 0 : query + 1;
}
