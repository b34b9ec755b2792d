/**
 * Finds the rule of a gate that admits a packet as a new flow: by its addresses, by a DNS name that has the address now
 * (names/names.ts), by one that the connection must also say in TLS (tls/tls-names.ts), or by audit alone
 * (policy/audit.ts), in this order. So what requires more is asked only where nothing admits the packet as it is.
 */
import { RULE_PLATFORM } from '../conntrack/entry.ts';
import { isOpeningSyn } from '../conntrack/tcp.ts';
import { GATE_EGRESS, type CompiledPolicy } from '../policy/compiled.ts';
import { NAME_PEER, NAME_TLS_PEER } from '../policy/compiled-names.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import { ANY_NAME, type Names } from './names/names.ts';
import { EGRESS_RULES, INGRESS_RULES, PASS, STALE_GROUPS, TLS_NAME_AWAITED } from './reasons.ts';
import { isToExempt, rulePort } from './scope.ts';

export class GateRules {
  readonly matcher: Matcher;
  /** What is learnt of DNS names; null: no rule has one. */
  names: Names | null = null;
  /** Whether the rule that `find` has found admits only connections that have its name as TLS's server name. */
  requiresTlsName = false;
  /** Whether only such a rule would admit it, if it were the beginning of a connection. */
  private isNameUnseen = false;
  private policy: CompiledPolicy;

  constructor(policy: CompiledPolicy) {
    this.policy = policy;
    this.matcher = new Matcher(policy);
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.matcher.setPolicy(policy);
  }

  /**
   * @param from the port that the packet came in by
   * @returns the rule's number plus 1; RULE_PLATFORM + 1 if none is needed; NO_RULE
   */
  find(
    packet: Packet,
    port: number,
    direction: number,
    from: number,
    nowMs: number,
    countsStale = false,
  ): number {
    const fromLocal = direction === GATE_EGRESS;
    this.requiresTlsName = false;
    this.isNameUnseen = false;
    // Traffic to the platform is never filtered. Its answers pass because the flow is tracked. To admit every packet
    // with the platform's address as its source would let a spoofer outside reach every port.
    if (fromLocal && isToExempt(this.policy, packet)) return RULE_PLATFORM + 1;
    // What the platform sends is an answer. It opens nothing, whatever the rules let in.
    if (from === this.policy.platformPort) return NO_RULE;
    const { matcher } = this;
    const gate = 2 * this.policy.profiles[port] + direction;
    matcher.countsStale = countsStale;
    const found = matcher.match(
      gate,
      packet.family,
      packet.protocol,
      rulePort(packet),
      fromLocal ? packet.dst0 : packet.src0,
      fromLocal ? packet.dst1 : packet.src1,
      fromLocal ? packet.dst2 : packet.src2,
      fromLocal ? packet.dst3 : packet.src3,
    );
    const rule =
      found === NO_RULE && fromLocal ? this.findByName(packet, port, gate, nowMs) : found;
    const any = rule === NO_RULE ? this.findAudit(packet, port, fromLocal, direction) : rule;
    matcher.countsStale = true;
    return any;
  }

  /** The rule of an egress gate that admits a packet by a name. @returns as `find` */
  private findByName(packet: Packet, port: number, gate: number, nowMs: number): number {
    const { matcher, names } = this;
    if (names === null) return NO_RULE;
    const own = rulePort(packet);
    const rule = names.findRule(matcher, packet, port, gate, own, NAME_PEER, ANY_NAME, nowMs);
    if (rule !== NO_RULE) return rule;
    const strict = names.findRule(matcher, packet, port, gate, own, NAME_TLS_PEER, ANY_NAME, nowMs);
    this.requiresTlsName = strict !== NO_RULE && isBareSyn(packet);
    this.isNameUnseen = strict !== NO_RULE && !this.requiresTlsName;
    return this.isNameUnseen ? NO_RULE : strict;
  }

  /**
   * The rule by which audit lets a packet pass that no rule admits: its number plus 1, or NO_RULE.
   * @param gate GATE_INGRESS or GATE_EGRESS; of TCP and UDP also the one that answers to the packet pass
   */
  findAudit(packet: Packet, port: number, fromLocal: boolean, gate: number): number {
    if (this.policy.auditProfiles.length === 0) return NO_RULE;
    return this.matcher.matchAudit(
      port,
      gate,
      packet.family,
      packet.protocol,
      fromLocal === (gate === GATE_EGRESS) ? rulePort(packet) : packet.srcPort,
      fromLocal ? packet.dst0 : packet.src0,
      fromLocal ? packet.dst1 : packet.src1,
      fromLocal ? packet.dst2 : packet.src2,
      fromLocal ? packet.dst3 : packet.src3,
    );
  }

  /** Of a packet for which `find` found a rule that audits: what a required server name would drop it for, or PASS. */
  get auditedFor(): number {
    return this.isNameUnseen ? TLS_NAME_AWAITED : PASS;
  }

  /** Why no rule admits a packet as a new flow. @param from as for `find` */
  whyNone(packet: Packet, port: number, direction: number, from: number, nowMs: number): number {
    if (this.isNameUnseen) return TLS_NAME_AWAITED;
    const isStale = this.policy.stalePeers.length > 0;
    if (isStale && this.find(packet, port, direction, from, nowMs, true) !== NO_RULE)
      return STALE_GROUPS;
    return direction === GATE_EGRESS ? EGRESS_RULES : INGRESS_RULES;
  }
}

/** Whether a connection begins with the packet, and nothing of what its sides say has passed. */
function isBareSyn(packet: Packet): boolean {
  const { tcpFlags, tcpPayloadBytes, fragment } = packet;
  return isOpeningSyn(tcpFlags) && tcpPayloadBytes === 0 && fragment === FRAGMENT_NONE;
}
