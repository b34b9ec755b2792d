/**
 * Takes one packet from the port it came in by to the port it goes out by, or to its drop reason.
 *
 *   decode ► source check ► egress gate of A ─┬─► ingress gate of B ► B
 *                                             └─► uplink
 *   uplink ► spoof check ─────────────────────────► ingress gate of B ► B
 *   platform ► source check ──────────────────────► ingress gate of B, if it answers ► B
 *
 * Port 0 is the uplink, interfaces have the ports from 1 on. The platform's has no gate and
 * so no flows that others could use up. Every way out returns a port or minus a drop reason, and counts it.
 */
import { failInvariant } from '../conntrack/invariant.ts';
import { packMeta } from '../conntrack/flow-key.ts';
import { UPLINK_PORT, type CompiledPolicy } from '../policy/compiled.ts';
import { NO_HOST } from '../policy/match.ts';
import { decode } from '../wire/decode.ts';
import type { Packet } from '../wire/packet.ts';
import { DECODE_OK } from '../wire/status.ts';
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { NO_FLOW } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { AuditCounts } from './audit-counts.ts';
import type { CaptureRing } from './capture-ring.ts';
import { EGRESS, INGRESS, count, countedPackets, counterRow } from './counters.ts';
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
import { hasSameEnds, hasSamePorts, PreparedPacket, RECORDS } from './lookahead.ts';
import { findNeighbourMessage } from './neighbour-messages.ts';
import { MISFIT, segmentsOf } from './offload.ts';
import {
  BAD_OFFLOAD,
  LINK_SCOPE,
  MARTIAN,
  NO_ROUTE,
  PASS,
  ROGUE_SERVER,
  SOURCE_CHECK,
  UPLINK_SPOOF,
} from './reasons.ts';
import { isAudit } from './revocation.ts';
import type { RuleHits } from './rule-hits.ts';
import {
  isDhcpReply,
  isLinkScope,
  isMartian,
  isRouterAdvertisement,
  isSpecialSource,
  isUnprovided,
  portOfDestination,
  portOfSource,
  refusalAtPlatform,
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
  /** The packet judged last. It is valid until another is prepared in its record. */
  packet: Packet;
  private readonly records: readonly PreparedPacket[];
  /** Number of the record for the next packet. */
  private next = 0;
  /** Index slots read ahead, by family: at most two for each packet of a chunk. */
  private readonly touched4 = new Int32Array(RECORDS);
  private readonly touched6 = new Int32Array(RECORDS);
  /** Sink for the reads ahead, so that the compiler does not drop them. Never read. */
  sink = 0;
  private readonly events: EventRing;
  private readonly capture: CaptureRing;
  private readonly ruleHits: RuleHits;
  private readonly audits: AuditCounts;
  // A run is a sequence of packets from one port to another. It is counted when a packet of another pair comes.
  private runFrom = NO_PORT;
  private runTo = NO_PORT;
  private runPackets = 0;
  private runBytes = 0;
  /** Packets prepared since `fetch` that don't repeat the one before. The others need nothing fetched. */
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
    this.audits = new AuditCounts(this.gates, this.counters, this.ruleHits, this.events);
    this.records = Array.from({ length: RECORDS }, () => new PreparedPacket());
    this.packet = this.records[0].packet;
  }

  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.gates.setPolicy(policy);
    this.audits.setPolicy(policy);
    this.forgetPackets();
  }

  /**
   * Sets whether packets for no local interface have a way out. Packets prepared before must not be judged
   * afterwards.
   */
  setUplink(hasUplink: boolean): void {
    this.hasUplink = hasUplink;
    this.forgetPackets();
  }

  /** Forgets the routes and hashes of earlier packets. Under another policy they may be wrong. */
  forgetPackets(): void {
    for (let i = 0; i < RECORDS; i++) this.records[i].from = NO_PORT;
  }

  /**
   * Sets the time of a round, before its packets.
   * @param uptimeSec seconds of the loop's clock, not scaled
   * @param usec microseconds within the second
   */
  beginRound(nowMs: number, uptimeSec: number, usec: number): void {
    this.events.beginRound(nowMs);
    this.ruleHits.nowSec = uptimeSec;
    this.capture.beginRound(uptimeSec, usec);
  }

  /**
   * Judges the IP packet at `offset` that came in by `port`.
   * @param length bytes captured
   * @param packets how many it counts as: 1, or the segments of a GSO superpacket
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
   * Decodes and routes a packet for `judge`, which must be called before LOOKAHEAD others are prepared. Counts
   * nothing.
   * @returns the number of its record
   */
  prepare(view: DataView, offset: number, length: number, port: number): number {
    const at = this.next;
    this.next = (at + 1) & (RECORDS - 1);
    const prepared = this.records[at];
    const before = this.records[(at - 1) & (RECORDS - 1)];
    const { packet } = prepared;
    prepared.from = port;
    prepared.repeats = 0;
    if (decode(view, offset, length, packet) !== DECODE_OK) {
      prepared.reason = packet.status;
      return at;
    }
    if (before.from === port && before.reason === PASS && hasSameEnds(packet, before.packet)) {
      prepared.reason = PASS;
      prepared.to = before.to;
      if (hasSamePorts(packet, before.packet)) {
        prepared.hash = before.hash;
        prepared.repeats = 1;
        return at;
      }
    } else {
      prepared.reason =
        port === UPLINK_PORT ? this.checkFromUplink(packet) : this.checkFromInterface(packet, port);
      if (prepared.reason !== PASS) return at;
      const to = this.route(packet);
      // The uplink is no transit. And a packet that an instance sends to itself never leaves the instance; one that
      // did would meet, at its ingress gate, the flow entry that its egress just made.
      if (to === NO_PORT || to === port) {
        prepared.reason = NO_ROUTE;
        return at;
      }
      prepared.to = to;
    }
    prepared.reason = refusalAtPlatform(this.policy, packet, port, prepared.to);
    if (prepared.reason !== PASS) return at;
    // An instance's DHCP server is the network's: a neighbour's reply would give it another router. Beyond the uplink
    // there are other networks, and the rules judge.
    if (isDhcpReply(packet) && port !== UPLINK_PORT && prepared.to !== UPLINK_PORT) {
      prepared.reason = ROGUE_SERVER;
      return at;
    }
    prepared.hash = this.gates.tracker.tupleHash.ofPacket(packet);
    this.fresh++;
    return at;
  }

  /**
   * Checks the virtio header at `vnet` against the packet prepared in record `at`. If it asks the kernel for
   * something that does not fit, the packet will be dropped.
   * @returns how many packets it becomes on the wire
   */
  holdOffload(at: number, view: DataView, vnet: number): number {
    const prepared = this.records[at];
    if (prepared.packet.status !== DECODE_OK) return 1;
    const segments = segmentsOf(view, vnet, prepared.packet);
    if (segments !== MISFIT) return segments;
    prepared.reason = BAD_OFFLOAD;
    return 1;
  }

  /** Prefetches the entries of the flow tables that `judge` will read for the last `prepared` packets. */
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
          touched4[count4++] = flows4.touchIndex(hash, packMeta(from, protocol));
        if (to !== UPLINK_PORT)
          touched4[count4++] = flows4.touchIndex(hash, packMeta(to, protocol));
      } else {
        const { flows6 } = tracker;
        if (from !== UPLINK_PORT)
          touched6[count6++] = flows6.touchIndex(hash, packMeta(from, protocol));
        if (to !== UPLINK_PORT)
          touched6[count6++] = flows6.touchIndex(hash, packMeta(to, protocol));
      }
    }
    if (count4 > 0) this.fetchEntries(tracker.flows4, tracker.accounts4, touched4, count4);
    if (count6 > 0) this.fetchEntries(tracker.flows6, tracker.accounts6, touched6, count6);
  }

  /** @param touched index slots that name the entries */
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

  /** Judges the packet prepared in record `at`. The other arguments and the result are as for evaluate. */
  judge(
    at: number,
    view: DataView,
    offset: number,
    length: number,
    packets: number,
    nowMs: number,
  ): number {
    const { gates } = this;
    const { platformPort } = this.policy;
    const { packet, from: port, to, reason, hash, repeats } = this.records[at];
    const first = port === UPLINK_PORT ? INGRESS : EGRESS;
    this.packet = packet;
    if (reason !== PASS) {
      gates.forget();
      return this.refuse(view, offset, length, port, first, reason, packets);
    }
    gates.tracker.begin(hash, repeats === 1);
    // The sender's gate comes first, if it has one, then the receiver's. Both calls are in one place, so that V8
    // inlines all of a gate once.
    for (let direction = port === platformPort ? INGRESS : first; ; direction = INGRESS) {
      const gate = direction === EGRESS ? port : to;
      const refused = gates.judge(view, packet, port, gate, direction, nowMs);
      if (refused !== PASS) {
        if (direction === INGRESS) count(this.counters, port, first, PASS, packets, length);
        return this.refuse(view, offset, length, gate, direction, refused, packets);
      }
      this.admit(view, offset, length, gate, direction, packets, nowMs);
      if (direction === INGRESS || to === UPLINK_PORT || to === platformPort) break;
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

  /** Counts packets that have passed and are not counted yet. Call it after a batch. */
  endRun(): void {
    const { counters, runFrom, runTo, runPackets, runBytes } = this;
    if (runPackets === 0) return;
    const direction = runFrom === UPLINK_PORT ? INGRESS : EGRESS;
    const towards = runTo === UPLINK_PORT ? EGRESS : INGRESS;
    if (counterRow(runTo, towards) >= counters.length)
      failInvariant('a packet was sent to a port that does not exist');
    count(counters, runFrom, direction, PASS, runPackets, runBytes);
    count(counters, runTo, towards, PASS, runPackets, runBytes);
    this.runPackets = 0;
    this.runBytes = 0;
  }

  /** Packets from a port that are counted, but for what the kernel has forwarded. Call it after endRun. */
  countedFrom(port: number): number {
    const direction = port === UPLINK_PORT ? INGRESS : EGRESS;
    const forwarded = this.gates.tracker.offload?.counts.packetsFrom[port] ?? 0;
    return countedPackets(this.counters, port, direction) - forwarded;
  }

  /** Counts the drop of the frame at `frame`, which has no IP packet to judge. @returns minus the reason */
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

  /**
   * Turns the last judged packet, which passed towards `to`, into a drop, since it can't be delivered.
   * @returns minus the reason
   */
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

  /** Counts a packet that a gate or an earlier check drops, and records the event. @returns minus the reason */
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
      this.capture.copy(view, offset, length, port, direction, reason, gates.rule);
    return -reason;
  }

  /** Counts a packet that passed the gate of an interface in its flow's account, and records the event. */
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
    if (isAudit(this.policy, rule)) this.audits.note(packet, port, direction, packets, length);
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
      this.capture.copy(view, offset, length, port, direction, PASS, rule);
  }

  /** Link scope comes before the source check, since a host without an address speaks to its link from `::`. */
  private checkFromInterface(packet: Packet, port: number): number {
    if (isLinkScope(packet))
      return isDhcpReply(packet) || isRouterAdvertisement(packet) ? ROGUE_SERVER : LINK_SCOPE;
    if (isMartian(this.policy, packet)) return MARTIAN;
    const owner = portOfSource(this.policy, packet);
    if (owner === port) return PASS;
    // Without the check an interface may use strangers' addresses, but never those of another interface, the platform
    // or the uplink device: groups would take it for one of their members.
    if (this.policy.sourceDestCheck[port] === 1 || owner !== NO_HOST) return SOURCE_CHECK;
    return isSpecialSource(this.policy, packet) ? SOURCE_CHECK : PASS;
  }

  private checkFromUplink(packet: Packet): number {
    if (isLinkScope(packet)) return LINK_SCOPE;
    if (isMartian(this.policy, packet)) return MARTIAN;
    return portOfSource(this.policy, packet) !== NO_HOST ? UPLINK_SPOOF : PASS;
  }

  /** The port of the destination: a local interface, otherwise the uplink, otherwise NO_PORT. */
  private route(packet: Packet): number {
    const local = portOfDestination(this.policy, packet);
    if (local !== NO_HOST) return local;
    return this.hasUplink && !isUnprovided(this.policy, packet) ? UPLINK_PORT : NO_PORT;
  }
}
