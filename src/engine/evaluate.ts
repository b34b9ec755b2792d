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
import type { Packet } from '../wire/packet.ts';
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
import { Ahead, hasSameEnds, hasSamePorts, RECORDS } from './lookahead.ts';
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
  /** The packet last judged; the caller may read it until another is prepared in its place. */
  packet: Packet;
  private readonly records: readonly Ahead[];
  /** Of the record that the next packet is prepared in. */
  private next = 0;
  /** Index slots that were read ahead, two a packet of a chunk. */
  private readonly touched = new Int32Array(RECORDS);
  /** Nobody reads it: what was read ahead ends here, or the reads would be left out. */
  sink = 0;
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
    this.records = Array.from({ length: RECORDS }, () => new Ahead());
    this.packet = this.records[0].packet;
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.gates.setPolicy(policy);
    this.forgetPackets();
  }

  /** Forgets what is known of the packets before: under another policy it is no help. */
  forgetPackets(): void {
    for (let i = 0; i < RECORDS; i++) this.records[i].from = NO_PORT;
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
    return this.judge(
      this.prepare(view, offset, length, port),
      view,
      offset,
      length,
      packets,
      nowMs,
    );
  }

  /**
   * Decodes and routes a packet that `judge` is to be asked about, before LOOKAHEAD others have been prepared.
   * Nothing is counted yet.
   * @returns the record it stands in
   */
  prepare(view: DataView, offset: number, length: number, port: number): number {
    const at = this.next;
    this.next = (at + 1) & (RECORDS - 1);
    const ahead = this.records[at];
    const before = this.records[(at - 1) & (RECORDS - 1)];
    const { packet } = ahead;
    ahead.from = port;
    ahead.isRepeat = false;
    if (decode(view, offset, length, packet) !== DECODE_OK) {
      ahead.reason = packet.status;
      return at;
    }
    if (before.from === port && before.reason === PASS && hasSameEnds(packet, before.packet)) {
      ahead.reason = PASS;
      ahead.to = before.to;
      if (hasSamePorts(packet, before.packet)) {
        ahead.hash = before.hash;
        ahead.isRepeat = true;
        return at;
      }
    } else {
      ahead.reason =
        port === UPLINK_PORT ? this.checkFromUplink(packet) : this.checkFromInterface(packet, port);
      if (ahead.reason !== PASS) return at;
      const to = this.route(packet);
      // The uplink is no transit, and what an instance sends to itself never leaves it: a packet that did
      // would meet at the ingress gate the very flow entry that its egress just made.
      if (to === NO_PORT || to === port) {
        ahead.reason = NO_ROUTE;
        return at;
      }
      ahead.to = to;
    }
    ahead.hash = this.gates.tracker.tupleHash.ofPacket(packet);
    return at;
  }

  /** Brings what `judge` will ask of the flow tables into the cache, for the `count` packets that were prepared last. */
  fetch(count: number): void {
    const { records, touched } = this;
    const { tracker } = this.gates;
    const first = this.next - count;
    for (let i = 0; i < count; i++) {
      const { packet, hash, from, to, reason, isRepeat } = records[(first + i) & (RECORDS - 1)];
      touched[2 * i] = 0;
      touched[2 * i + 1] = 0;
      if (reason !== PASS || isRepeat) continue;
      const table = packet.family === 4 ? tracker.flows4 : tracker.flows6;
      if (from !== UPLINK_PORT)
        touched[2 * i] = table.touchIndex(hash, (from << 16) | packet.protocol);
      if (to !== UPLINK_PORT)
        touched[2 * i + 1] = table.touchIndex(hash, (to << 16) | packet.protocol);
    }
    let sink = this.sink;
    for (let i = 0; i < count; i++) {
      const isIpv4 = records[(first + i) & (RECORDS - 1)].packet.family === 4;
      const table = isIpv4 ? tracker.flows4 : tracker.flows6;
      const accounts = isIpv4 ? tracker.accounts4 : tracker.accounts6;
      for (let slot = 2 * i; slot < 2 * i + 2; slot++) {
        const entry = table.entryOf(touched[slot]);
        if (entry === NO_FLOW) continue;
        sink ^= table.touchEntry(entry);
        if (accounts !== null) sink ^= accounts.touch(entry);
      }
    }
    this.sink = sink;
  }

  /** Judges the packet prepared in the record `at`. The other arguments, and what it returns, as for evaluate. */
  judge(
    at: number,
    view: DataView,
    offset: number,
    length: number,
    packets: number,
    nowMs: number,
  ): number {
    const { gates } = this;
    const { packet, from: port, to, reason, hash, isRepeat } = this.records[at];
    const fromUplink = port === UPLINK_PORT;
    const direction = fromUplink ? INGRESS : EGRESS;
    this.packet = packet;
    gates.forget();
    gates.tracker.begin(hash, isRepeat);
    if (reason !== PASS) return this.refuse(view, offset, length, port, direction, reason, packets);
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
