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
  REVOKE_AWS,
  REVOKE_RECHECK,
  type CompiledPolicy,
} from '../policy/compiled.ts';
import { lookUpHost, NO_RULE, type Matcher } from '../policy/match.ts';
import { serviceBit } from '../policy/special-addresses.ts';
import { PROTO_ICMP, PROTO_ICMPV6 } from '../wire/fields.ts';

/** Whether a flow in use lives on under `policy`. @param matcher a matcher of that policy */
export function flowOutlives(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
): boolean {
  if (!hasInterface(policy, portOf(table, flow))) return false;
  // A revoked flow is kept so that nothing brings it back.
  if (stateOf(table, flow) === REVOKED_FLOW) return true;
  const rule = ruleOf(table, flow);
  if (rule === RULE_PLATFORM) return isStillExempt(table, flow, policy);
  const mode = policy.revocation[rule];
  if (mode === REVOKE_AWS) return true;
  return isAdmitted(table, flow, policy, matcher, mode === REVOKE_RECHECK ? NO_RULE : rule + 1);
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
 * Whether the rules would admit the flow if it were opened now.
 * @param wanted the only rule that counts, or NO_RULE for any
 */
export function isAdmitted(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
  wanted: number,
): boolean {
  return admittedBy(table, flow, policy, matcher, wanted) !== NO_RULE;
}

/**
 * Which rule would admit the flow if it were opened now.
 * @param wanted as for isAdmitted
 * @returns one more than the rule's number, or NO_RULE
 */
export function admittedBy(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
  wanted: number,
): number {
  const { words } = table;
  const protocol = protocolOf(table, flow);
  const openedLocally = (stateWordOf(table, flow) & OPENED_LOCALLY) !== 0;
  const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
  const isReply = isIcmp && asksLocally(table, flow) !== openedLocally;
  // Rules name the port of the side that did not open. For an ICMP query that is the query's type. Where a reply
  // opened the flow, its own side has that port.
  const asked = openedLocally !== isReply ? remotePortOf(table, flow) : localPortOf(table, flow);
  const type = isReply ? replyTypeOf(asked) : asked & 0xff;
  const rulePort = isIcmp ? type << 8 : asked;
  const profile = policy.profiles[portOf(table, flow)];
  const gate = 2 * profile + (openedLocally ? GATE_EGRESS : GATE_INGRESS);
  const { family } = table;
  const isIpv4 = family === 4;
  const remote = remoteAddressAt(table, flow);
  const a0 = words[remote];
  const a1 = isIpv4 ? 0 : words[remote + 1];
  const a2 = isIpv4 ? 0 : words[remote + 2];
  const a3 = isIpv4 ? 0 : words[remote + 3];
  if (wanted === NO_RULE) return matcher.match(gate, family, protocol, rulePort, a0, a1, a2, a3);
  const admits = matcher.admits(wanted, gate, family, protocol, rulePort, a0, a1, a2, a3);
  return admits ? wanted : NO_RULE;
}

/** The type of the reply to an ICMP query: the next number, except for echo in IPv4. */
function replyTypeOf(query: number): number {
  return query === 8 ? 0 : query + 1;
}
