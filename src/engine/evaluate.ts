/**
 * One packet, from the port it came in by to the port it goes out by, or to the reason it was dropped.
 *
 *   decode ► source check ► egress gate of A ─┬─► ingress gate of B ► B
 *                                             └─► uplink
 *   uplink ► spoof check ─────────────────────────► ingress gate of B ► B
 *
 * Port 0 is the uplink, whether or not there is one; interfaces have the ports behind it.
 * Every way out returns a port or minus a drop reason and counts it.
 */
import { GATE_EGRESS, GATE_INGRESS, UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_HOST } from '../policy/match.ts';
import { decode } from '../wire/decode.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import { NO_FLOW } from '../conntrack/table.ts';
import type { CaptureRing } from './capture-ring.ts';
import { count, EGRESS, INGRESS } from './counters.ts';
import {
  EVENT_DROP,
  EVENT_NO_RULE,
  EVENT_PASS,
  WANT_CAPTURE,
  WANT_DROPS,
  WANT_PASSES,
  WANT_UNTRACKED,
  type EventRing,
} from './events.ts';
import { Gates, type GateOptions } from './gate.ts';
import { LINK_SCOPE, MARTIAN, NO_ROUTE, PASS, SOURCE_CHECK, UPLINK_SPOOF } from './reasons.ts';
import type { RuleHits } from './rule-hits.ts';
import { isLinkScope, isMartian, portOfDestination, portOfSource } from './scope.ts';

const NO_PORT = -1;

export interface EngineParts {
  readonly policy: CompiledPolicy;
  readonly conntrack: GateOptions;
  /** counterBytes(ports) of shared memory. */
  readonly counters: Float64Array;
  readonly capture: CaptureRing;
  readonly hasUplink: boolean;
}

export class Engine {
  readonly gates: Gates;
  readonly counters: Float64Array;
  /** The packet last evaluated; the caller may read it until the next one. */
  readonly packet = new Packet();
  private readonly events: EventRing;
  private readonly capture: CaptureRing;
  private readonly ruleHits: RuleHits;
  private policy: CompiledPolicy;
  private readonly hasUplink: boolean;

  constructor(parts: EngineParts) {
    this.policy = parts.policy;
    this.gates = new Gates(parts.policy, parts.conntrack);
    this.events = parts.conntrack.events;
    this.ruleHits = parts.conntrack.ruleHits;
    this.capture = parts.capture;
    this.counters = parts.counters;
    this.hasUplink = parts.hasUplink;
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.gates.setPolicy(policy);
  }

  /** Before the packets of a round. @param uptimeSec seconds of the loop's clock, not scaled */
  beginRound(nowMs: number, uptimeSec: number): void {
    this.events.beginRound(nowMs);
    this.ruleHits.nowSec = uptimeSec;
  }

  /**
   * Judges the IP packet at `offset` that came in by `port`.
   * @param length bytes captured
   * @param packets what it counts as: 1, or the segments of a GSO superpacket
   * @returns the port to write it to, or minus a drop reason
   */
  evaluate(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    packets: number,
    nowMs: number,
  ): number {
    const { packet, gates } = this;
    const fromUplink = port === UPLINK_PORT;
    const direction = fromUplink ? INGRESS : EGRESS;
    gates.forget();
    const status = decode(view, offset, length, packet);
    const reason =
      status !== DECODE_OK
        ? status
        : fromUplink
          ? this.checkFromUplink(packet)
          : this.checkFromInterface(packet, port);
    if (reason !== PASS) return this.refuse(view, offset, length, port, direction, reason, packets);

    const to = this.route(packet);
    // The uplink is no transit, and what an instance sends to itself never leaves it: a packet that did
    // would meet at the ingress gate the very flow entry that its egress just made.
    if (to === NO_PORT || to === port)
      return this.refuse(view, offset, length, port, direction, NO_ROUTE, packets);

    if (!fromUplink) {
      const refused = gates.judge(view, packet, port, port, GATE_EGRESS, nowMs);
      if (refused !== PASS)
        return this.refuse(view, offset, length, port, EGRESS, refused, packets);
      this.admit(view, offset, length, port, EGRESS, packets, nowMs);
    } else count(this.counters, port, direction, PASS, packets, length);
    if (to === UPLINK_PORT) {
      count(this.counters, to, EGRESS, PASS, packets, length);
      return to;
    }
    const refused = gates.judge(view, packet, port, to, GATE_INGRESS, nowMs);
    if (refused !== PASS) return this.refuse(view, offset, length, to, INGRESS, refused, packets);
    this.admit(view, offset, length, to, INGRESS, packets, nowMs);
    return to;
  }

  /** Counts the drop of a frame that holds no IP packet to judge; returns what evaluate returns for it. */
  drop(port: number, direction: number, reason: number, packets: number, bytes: number): number {
    count(this.counters, port, direction, reason, packets, bytes);
    const { events } = this;
    if ((events.wanted & WANT_DROPS) !== 0)
      events.tellPacket(
        EVENT_DROP,
        reason,
        this.packet,
        false,
        port,
        direction,
        EVENT_NO_RULE,
        NO_FLOW,
        packets,
        bytes,
      );
    return -reason;
  }

  /** Counts and tells of a packet that a gate, or what comes before it, dropped. @returns minus the reason */
  private refuse(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    direction: number,
    reason: number,
    packets: number,
  ): number {
    count(this.counters, port, direction, reason, packets, length);
    const { events, gates, packet } = this;
    const { wanted } = events;
    if (wanted === 0) return -reason;
    if ((wanted & WANT_DROPS) !== 0)
      events.tellPacket(
        EVENT_DROP,
        reason,
        packet,
        packet.status === DECODE_OK,
        port,
        direction,
        gates.rule,
        gates.flow,
        packets,
        length,
      );
    if ((wanted & WANT_CAPTURE) !== 0)
      this.capture.copy(view, offset, length, port, direction, reason, gates.rule, events.nowMs);
    return -reason;
  }

  /** Counts, accounts and tells of a packet that passed the gate of an interface. */
  private admit(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    direction: number,
    packets: number,
    nowMs: number,
  ): void {
    count(this.counters, port, direction, PASS, packets, length);
    const { events, gates, packet } = this;
    const { flow, rule } = gates;
    const { wanted } = events;
    if (flow !== NO_FLOW) {
      const accounts = packet.family === 4 ? gates.tracker.accounts4 : gates.tracker.accounts6;
      if (accounts !== null)
        accounts.add(
          flow,
          direction === EGRESS,
          packets,
          length,
          packet.tcpFlags,
          events.interval,
          nowMs,
        );
    }
    if (wanted === 0) return;
    if ((wanted & WANT_PASSES) !== 0 || (flow === NO_FLOW && (wanted & WANT_UNTRACKED) !== 0))
      events.tellPacket(
        EVENT_PASS,
        PASS,
        packet,
        true,
        port,
        direction,
        rule,
        flow,
        packets,
        length,
      );
    if ((wanted & WANT_CAPTURE) !== 0)
      this.capture.copy(view, offset, length, port, direction, PASS, rule, events.nowMs);
  }

  /** Link scope comes before the source check: a host without an address yet speaks to its link from `::`. */
  private checkFromInterface(packet: Packet, port: number): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(packet)) return MARTIAN;
    const isChecked = this.policy.sourceDestCheck[port] === 1;
    return isChecked && portOfSource(this.policy, packet) !== port ? SOURCE_CHECK : PASS;
  }

  private checkFromUplink(packet: Packet): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(packet)) return MARTIAN;
    return portOfSource(this.policy, packet) !== NO_HOST ? UPLINK_SPOOF : PASS;
  }

  /** The port of the destination: a local interface, else the uplink, else NO_PORT. */
  private route(packet: Packet): number {
    const local = portOfDestination(this.policy, packet);
    if (local !== NO_HOST) return local;
    return this.hasUplink ? UPLINK_PORT : NO_PORT;
  }
}
