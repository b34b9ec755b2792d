/**
 * Counts packets that passed by audit alone (policy/audit.ts): by interface and gate, and by the rule that audits. All
 * packets of such a flow count, of both directions, at the gate that would have refused it. The first is an event too.
 *
 * Theory of operation
 *
 * What would drop a packet is most often that no rule admits its flow: then the gate of the rule that audits says the
 * reason. Where a rule admits the flow, and requires a server name that it has not said (tls/tls-names.ts), users must
 * see that it is the name, since no rule is missing. All packets of such a flow count for the reason of the first one
 * that would have been dropped. So that is kept beside the flow's entry in the table, with the incarnation of the
 * entry: a later flow in it is another one. The memory is made when a policy requires such a name. It does not
 * outlive the process: connections from before a restart count for the rules of their gate.
 */
import { incarnationIn, NO_FLOW, stateWordOf, type FlowIndex } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { Packet } from '../wire/packet.ts';
import { REVOKE_AUDIT, type CompiledPolicy } from '../policy/compiled.ts';
import { AUDITED_BY_NAME, AUDITED_BYTES, AUDITED_PACKETS, counterRow, EGRESS } from './counters.ts';
import { EVENT_AUDIT, WANT_AUDITS, type EventRing } from './events.ts';
import type { Gates } from './gate.ts';
import { EGRESS_RULES, INGRESS_RULES, PASS, TLS_NAME } from './reasons.ts';
import type { RuleHits } from './rule-hits.ts';

/** Bits of a reason and of the incarnation of its flow. */
const REASON_SHIFT = 8;
const INCARNATION_BITS = (1 << REASON_SHIFT) - 1;

export class AuditCounts {
  private readonly gates: Gates;
  private readonly counters: Float64Array;
  private readonly ruleHits: RuleHits;
  private readonly events: EventRing;
  /** By flow: reason << REASON_SHIFT | incarnation. Null: no policy has required a name so far. */
  private reasons4: Uint16Array | null = null;
  private reasons6: Uint16Array | null = null;

  constructor(gates: Gates, counters: Float64Array, ruleHits: RuleHits, events: EventRing) {
    this.gates = gates;
    this.counters = counters;
    this.ruleHits = ruleHits;
    this.events = events;
    this.setPolicy(gates.policy);
  }

  setPolicy(policy: CompiledPolicy): void {
    if (policy.names.requiresTlsName && policy.auditProfiles.length > 0) this.makeReasons();
  }

  private makeReasons(): void {
    const { flows4, flows6 } = this.gates.tracker;
    this.reasons4 ??= new Uint16Array(flows4.capacity);
    this.reasons6 ??= new Uint16Array(flows6.capacity);
  }

  /**
   * Counts a packet that the gates have judged last, by a rule that audits.
   * @param direction of the packet at the gate
   * @param bytes of all `packets` together
   */
  note(packet: Packet, port: number, direction: number, packets: number, bytes: number): void {
    const { gates, counters, ruleHits, events } = this;
    const { rule, flow, isFirstAudited } = gates;
    const gate = gates.policy.revocation[rule] - REVOKE_AUDIT;
    const byName = this.reasonByName(packet.family, flow);
    const row = counterRow(port, gate);
    counters[row + AUDITED_PACKETS] += packets;
    counters[row + AUDITED_BYTES] += bytes;
    if (byName !== PASS) counters[row + AUDITED_BY_NAME + byName - TLS_NAME] += packets;
    ruleHits.noteAudited(rule, packets, bytes);
    if (!isFirstAudited) return;
    gates.isFirstAudited = false;
    if ((events.wanted & WANT_AUDITS) === 0) return;
    const byRules = gate === EGRESS ? EGRESS_RULES : INGRESS_RULES;
    events.tellPacket(
      EVENT_AUDIT,
      byName === PASS ? byRules : byName,
      packet,
      true,
      port,
      direction,
      rule,
      flow,
      packets,
      bytes,
    );
  }

  /** The reason about a server name that would have dropped the packet judged last; PASS: it is that of the rules. */
  private reasonByName(family: number, flow: FlowIndex): number {
    const { gates, reasons4, reasons6 } = this;
    const { isFirstAudited, auditedFor } = gates;
    const reasons = family === 4 ? reasons4 : reasons6;
    if (reasons === null || flow === NO_FLOW) return isFirstAudited ? auditedFor : PASS;
    const table: FlowTable = family === 4 ? gates.tracker.flows4 : gates.tracker.flows6;
    const incarnation = incarnationIn(stateWordOf(table, flow));
    if (isFirstAudited) reasons[flow] = (auditedFor << REASON_SHIFT) | incarnation;
    const known = reasons[flow];
    return (known & INCARNATION_BITS) === incarnation ? known >>> REASON_SHIFT : PASS;
  }
}
