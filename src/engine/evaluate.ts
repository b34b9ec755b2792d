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
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_HOST } from '../policy/match.ts';
import { decode } from '../wire/decode.ts';
import type { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { NO_FLOW, type FlowTable } from '../conntrack/table.ts';
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
import { findNeighbourMessage } from './neighbour-messages.ts';
import { MISFIT, segmentsOf } from './offload.ts';
import {
  BAD_OFFLOAD,
  LINK_SCOPE,
  MARTIAN,
  NO_ROUTE,
  PASS,
  SOURCE_CHECK,
  UPLINK_SPOOF,
} from './reasons.ts';
import type { RuleHits } from './rule-hits.ts';
import {
  isLinkScope,
  isMartian,
  isSpecialSource,
  isUnprovided,
  portOfDestination,
  portOfSource,
} from './scope.ts';

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
  /** Index slots that were read ahead, by family; at most two a packet of a chunk. */
  private readonly touched4 = new Int32Array(RECORDS);
  private readonly touched6 = new Int32Array(RECORDS);
  /** Nobody reads it: what was read ahead ends here, or the reads would be left out. */
  sink = 0;
  private readonly events: EventRing;
  private readonly capture: CaptureRing;
  private readonly ruleHits: RuleHits;
  // Packets that passed from one port to another, one after the other: counted at once, when another pair comes.
  private runFrom = NO_PORT;
  private runTo = NO_PORT;
  private runPackets = 0;
  private runBytes = 0;
  /** Packets prepared since `fetch` that don't repeat the one before: for the others there is nothing to bring in. */
  private fresh = 0;
  private policy: CompiledPolicy;
  private hasUplink: boolean;

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

  /** Whether what is for nobody here has a way out. To be followed by no packet that was prepared before. */
  setUplink(hasUplink: boolean): void {
    this.hasUplink = hasUplink;
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
    const at = this.prepare(view, offset, length, port);
    const to = this.judge(at, view, offset, length, packets, nowMs);
    this.endRun();
    return to;
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
    ahead.repeats = 0;
    if (decode(view, offset, length, packet) !== DECODE_OK) {
      ahead.reason = packet.status;
      return at;
    }
    if (before.from === port && before.reason === PASS && hasSameEnds(packet, before.packet)) {
      ahead.reason = PASS;
      ahead.to = before.to;
      if (hasSamePorts(packet, before.packet)) {
        ahead.hash = before.hash;
        ahead.repeats = 1;
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
    this.fresh++;
    return at;
  }

  /**
   * Holds what the virtio header at `vnet` asks of the kernel against the packet prepared in the record `at`, which
   * is dropped if it does not fit.
   * @returns packets it will be on the wire
   */
  holdOffload(at: number, view: DataView, vnet: number): number {
    const ahead = this.records[at];
    if (ahead.packet.status !== DECODE_OK) return 1;
    const segments = segmentsOf(view, vnet, ahead.packet);
    if (segments !== MISFIT) return segments;
    ahead.reason = BAD_OFFLOAD;
    return 1;
  }

  /** Brings what `judge` will ask of the flow tables into the cache, for the packets that were prepared last, so many. */
  fetch(prepared: number): void {
    if (this.fresh === 0) return;
    this.fresh = 0;
    const { records, touched4, touched6 } = this;
    const { tracker } = this.gates;
    const first = this.next - prepared;
    let count4 = 0;
    let count6 = 0;
    for (let i = 0; i < prepared; i++) {
      const { packet, hash, from, to, reason, repeats } = records[(first + i) & (RECORDS - 1)];
      if (reason !== PASS || repeats === 1) continue;
      const { protocol } = packet;
      if (packet.family === 4) {
        const { flows4 } = tracker;
        if (from !== UPLINK_PORT)
          touched4[count4++] = flows4.touchIndex(hash, (from << 16) | protocol);
        if (to !== UPLINK_PORT) touched4[count4++] = flows4.touchIndex(hash, (to << 16) | protocol);
      } else {
        const { flows6 } = tracker;
        if (from !== UPLINK_PORT)
          touched6[count6++] = flows6.touchIndex(hash, (from << 16) | protocol);
        if (to !== UPLINK_PORT) touched6[count6++] = flows6.touchIndex(hash, (to << 16) | protocol);
      }
    }
    if (count4 > 0) this.fetchEntries(tracker.flows4, tracker.accounts4, touched4, count4);
    if (count6 > 0) this.fetchEntries(tracker.flows6, tracker.accounts6, touched6, count6);
  }

  /** @param touched index slots that name the entries, so many */
  private fetchEntries(
    table: FlowTable,
    accounts: FlowAccounts | null,
    touched: Int32Array,
    slots: number,
  ): void {
    let { sink } = this;
    for (let i = 0; i < slots; i++) {
      const entry = table.entryOf(touched[i]);
      if (entry === NO_FLOW) continue;
      sink ^= table.touchEntry(entry);
      if (accounts !== null) sink ^= accounts.touch(entry);
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
    const { packet, from: port, to, reason, hash, repeats } = this.records[at];
    const first = port === UPLINK_PORT ? INGRESS : EGRESS;
    this.packet = packet;
    if (reason !== PASS) {
      gates.forget();
      return this.refuse(view, offset, length, port, first, reason, packets);
    }
    gates.tracker.begin(hash, repeats === 1);
    // The sender's gate, if it has one, then the receiver's: one after the other in one place, so that V8 makes one
    // piece of code of all that a gate asks.
    for (let direction = first; ; direction = INGRESS) {
      const gate = direction === EGRESS ? port : to;
      const refused = gates.judge(view, packet, port, gate, direction, nowMs);
      if (refused !== PASS) {
        if (direction === INGRESS) count(this.counters, port, first, PASS, packets, length);
        return this.refuse(view, offset, length, gate, direction, refused, packets);
      }
      this.admit(view, offset, length, gate, direction, packets, nowMs);
      if (direction === INGRESS || to === UPLINK_PORT) break;
    }
    if (port !== this.runFrom || to !== this.runTo) {
      this.endRun();
      this.runFrom = port;
      this.runTo = to;
    }
    this.runPackets += packets;
    this.runBytes += length;
    return to;
  }

  /** Counts what has passed and is not counted yet. To be called after a batch. */
  endRun(): void {
    const { counters, runFrom, runTo, runPackets, runBytes } = this;
    if (runPackets === 0) return;
    const direction = runFrom === UPLINK_PORT ? INGRESS : EGRESS;
    const towards = runTo === UPLINK_PORT ? EGRESS : INGRESS;
    count(counters, runFrom, direction, PASS, runPackets, runBytes);
    count(counters, runTo, towards, PASS, runPackets, runBytes);
    this.runPackets = 0;
    this.runBytes = 0;
  }

  /** Counts the drop of the frame at `frame`, which holds no IP packet to judge; returns what evaluate returns for it. */
  drop(
    view: DataView,
    frame: number,
    bytes: number,
    port: number,
    direction: number,
    reason: number,
  ): number {
    count(this.counters, port, direction, reason, 1, bytes);
    const { events } = this;
    if ((events.wanted & WANT_DROPS) === 0) return -reason;
    const message = findNeighbourMessage(view, frame, bytes);
    if (message === 0)
      events.tellPacket(
        EVENT_DROP,
        reason,
        this.packet,
        false,
        port,
        direction,
        EVENT_NO_RULE,
        NO_FLOW,
        1,
        bytes,
      );
    else {
      const isArp = message < 0;
      const offset = frame + (isArp ? -message : message);
      events.tellNeighbour(isArp, reason, view, offset, port, direction, bytes);
    }
    return -reason;
  }

  /** The packet last judged passed to `to`, and can't be delivered there. @returns what judge returns of a drop */
  takeBack(
    view: DataView,
    offset: number,
    length: number,
    to: number,
    reason: number,
    packets: number,
  ): number {
    this.endRun();
    const direction = to === UPLINK_PORT ? EGRESS : INGRESS;
    count(this.counters, to, direction, PASS, -packets, -length);
    return this.refuse(view, offset, length, to, direction, reason, packets);
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

  /** Accounts and tells of a packet that passed the gate of an interface. */
  private admit(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    direction: number,
    packets: number,
    nowMs: number,
  ): void {
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
    if (isMartian(this.policy, packet)) return MARTIAN;
    const owner = portOfSource(this.policy, packet);
    if (owner === port) return PASS;
    // Without the check an interface speaks for strangers, never for another interface, the platform or the uplink
    // device itself: groups would take it for one of their members.
    if (this.policy.sourceDestCheck[port] === 1 || owner !== NO_HOST) return SOURCE_CHECK;
    return isSpecialSource(this.policy, packet) ? SOURCE_CHECK : PASS;
  }

  private checkFromUplink(packet: Packet): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(this.policy, packet)) return MARTIAN;
    return portOfSource(this.policy, packet) !== NO_HOST ? UPLINK_SPOOF : PASS;
  }

  /** The port of the destination: a local interface, else the uplink, else NO_PORT. */
  private route(packet: Packet): number {
    const local = portOfDestination(this.policy, packet);
    if (local !== NO_HOST) return local;
    return this.hasUplink && !isUnprovided(this.policy, packet) ? UPLINK_PORT : NO_PORT;
  }
}
