/**
 * What a change of rules does to a flow that is tracked already (policy/model.ts, Revocation).
 *
 * The flow is asked about as if it were opened again: at the gate it was opened through, with its own
 * addresses and ports. Reads only, so that the control plane can ask it of a policy that is not in force
 * yet (`sgctl reload --dry-run`).
 */
import { OPENED_LOCALLY, STATE_MASK, TCP_REVOKED } from '../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_ASKS_LOCALLY,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  type FlowIndex,
  type FlowTable,
} from '../conntrack/table.ts';
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

// The FLOW_RULE word.
export const RULE_BITS = 20;
export const RULE_MASK = (1 << RULE_BITS) - 1;
export const GENERATION_MASK = 0xfff;
/** Rule number of a flow that no rule admitted: to the platform, which groups do not filter. */
export const RULE_PLATFORM = RULE_MASK;

/** Whether a flow in use lives on under `policy`, which `matcher` answers for. */
export function flowOutlives(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
): boolean {
  const key = flow * table.stride;
  const port = table.words[key + KEY_META] >>> 16;
  if (!hasInterface(policy, port)) return false;
  const at = key + table.keyWords;
  // Ended by an earlier change, and kept so that nothing brings it back.
  if ((table.words[at + FLOW_STATE] & STATE_MASK) === TCP_REVOKED) return true;
  const rule = table.words[at + FLOW_RULE] & RULE_MASK;
  if (rule === RULE_PLATFORM) return isStillExempt(table, flow, policy);
  const mode = policy.revocation[rule];
  if (mode === REVOKE_AWS) return true;
  return isAdmitted(table, flow, policy, matcher, mode === REVOKE_RECHECK ? NO_RULE : rule + 1);
}

/** Whether what an instance opened to the platform is to a service that groups never filter, now as then. */
function isStillExempt(table: FlowTable, flow: FlowIndex, policy: CompiledPolicy): boolean {
  const { words } = table;
  const key = flow * table.stride;
  const isIpv4 = table.keyWords === KEY_WORDS_4;
  const remote = key + KEY_ADDRESSES + (isIpv4 ? 1 : 4);
  const special = lookUpHost(
    policy.special4,
    policy.special6,
    isIpv4 ? 4 : 6,
    words[remote],
    isIpv4 ? 0 : words[remote + 1],
    isIpv4 ? 0 : words[remote + 2],
    isIpv4 ? 0 : words[remote + 3],
  );
  return (
    (special & serviceBit(words[key + KEY_META] & 0xff, words[key + KEY_PORTS] & 0xffff)) !== 0
  );
}

/** Whether an interface has the port. If not, its flows must go altogether: the port may be another's soon. */
export function hasInterface(policy: CompiledPolicy, port: number): boolean {
  return port < policy.profiles.length && policy.profiles[port] >= 0;
}

/** Whether a rule, or the rule `wanted` if it is not NO_RULE, admits the flow if it were opened now. */
export function isAdmitted(
  table: FlowTable,
  flow: FlowIndex,
  policy: CompiledPolicy,
  matcher: Matcher,
  wanted: number,
): boolean {
  const { words } = table;
  const key = flow * table.stride;
  const meta = words[key + KEY_META];
  const ports = words[key + KEY_PORTS];
  const protocol = meta & 0xff;
  const openedLocally = (words[key + table.keyWords + FLOW_STATE] & OPENED_LOCALLY) !== 0;
  const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
  const isReply = isIcmp && ((meta & KEY_ASKS_LOCALLY) !== 0) !== openedLocally;
  // The side that did not open has the port that rules name; for an ICMP query it is the query's type. Where a
  // reply opened the flow, its own side has that.
  const asked = openedLocally !== isReply ? ports & 0xffff : ports >>> 16;
  const type = isReply ? replyTypeOf(asked) : asked & 0xff;
  const rulePort = isIcmp ? type << 8 : asked;
  const gate = 2 * policy.profiles[meta >>> 16] + (openedLocally ? GATE_EGRESS : GATE_INGRESS);
  const isIpv4 = table.keyWords === KEY_WORDS_4;
  const remote = key + KEY_ADDRESSES + (isIpv4 ? 1 : 4);
  const family = isIpv4 ? 4 : 6;
  const a0 = words[remote];
  const a1 = isIpv4 ? 0 : words[remote + 1];
  const a2 = isIpv4 ? 0 : words[remote + 2];
  const a3 = isIpv4 ? 0 : words[remote + 3];
  if (wanted === NO_RULE)
    return matcher.match(gate, family, protocol, rulePort, a0, a1, a2, a3) !== NO_RULE;
  return matcher.admits(wanted, gate, family, protocol, rulePort, a0, a1, a2, a3);
}

/** The type of the ICMP message that answers a query of this type: echo in IPv4 is the one it does not follow. */
function replyTypeOf(query: number): number {
  return query === 8 ? 0 : query + 1;
}
