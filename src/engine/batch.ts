/**
 * Processes one batch: judges the packets that were read from one port, in order, and prepares them for the write.
 *
 * A batch is an arena and a list of slots. A slot has three int32: offset of the virtio header, length from there,
 * and the port to write to. `process` sets the port (NOT_SENT for a drop). It moves virtio and Ethernet headers where
 * a packet leaves by another kind of port than it came in by. It reorders nothing, so the packets of a flow keep
 * their order. It decodes some packets ahead of their verdicts (lookahead.ts). A frame for the link itself is not
 * decoded ahead: it waits until all packets before it have been judged.
 */
import { failInvariant } from '../conntrack/invariant.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { DHCP_SERVER_PORT } from '../wire/dhcp-fields.ts';
import {
  DESTINATION_PORT,
  ETHERNET_HEADER_BYTES,
  ETHERNET_TYPE,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  IPV4_HEADER_BYTES,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  PROTO_ICMPV6,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';
import { countUndelivered, EGRESS, INGRESS } from './counters.ts';
import type { Engine } from './evaluate.ts';
import type { Fence } from './fence.ts';
import { TAKEN } from './dhcp/verdicts.ts';
import { ANSWERED, type LinkLayer } from './link.ts';
import { unwrap } from './vnet-header.ts';
import { LOOKAHEAD } from './lookahead.ts';
import { isPlainVnet } from './offload.ts';
import { FENCED, PACKET_TOO_BIG, REASON_COUNT, UNRESOLVED, WRITE_FAILED } from './reasons.ts';
import { TooBig } from './too-big.ts';

export const SLOT_WORDS = 3;
export const SLOT_OFFSET = 0;
export const SLOT_LENGTH = 1;
/** Port to write to, or NOT_SENT. After the write also minus an errno. */
export const SLOT_PORT = 2;
export const NOT_SENT = -1;
/**
 * portOf's result for a packet that was cut into fragments, which are not in the batch. No drop reason has this
 * number.
 */
export const CUT = -REASON_COUNT;
/** portOf's result for a packet that waits until the MAC address of its next hop is known (engine/waiting.ts). */
export const HELD = CUT - 1;

/** The first byte of a multicast address of IPv6. */
const MULTICAST_6 = 0xff;
/** The bit in a MAC address's first byte that marks a group address. */
const MAC_GROUP = 0x01;

const NOTE_WORDS = 5;
/** Offset of the IP packet behind the virtio header; ANSWERED; TAKEN; or minus a drop reason. */
const NOTE_IP = 0;
/** Number of the engine's record of the packet. */
const NOTE_RECORD = 1;
/** The port that `process` chose. The write overwrites SLOT_PORT where it fails. */
const NOTE_PORT = 2;
/**
 * How many packets the slot counts as, 0 for an answer to its own port; and the bytes that the receiver's counters
 * got.
 */
const NOTE_PACKETS = 3;
const NOTE_BYTES = 4;

export class Batch {
  readonly view: DataView;
  readonly slots: Int32Array;
  /**
   * NOTE_WORDS for each slot. They share one array, since V8 loads and checks four words for every array that it
   * reads.
   */
  private readonly notes: Int32Array;
  /** Packets to count beyond one for each slot: the segments of superpackets, minus the answered frames. */
  private beyondSlots = 0;
  /** MTUs by port, and the fragments and errors to write behind the batch. */
  readonly tooBig: TooBig;

  /**
   * @param arena holds the packets
   * @param packetsMax most packets in a batch
   * @param ports number of ports
   */
  constructor(arena: Uint8Array, packetsMax: number, ports = 64) {
    this.tooBig = new TooBig(ports);
    this.view = new DataView(arena.buffer, arena.byteOffset, arena.byteLength);
    this.slots = new Int32Array(packetsMax * SLOT_WORDS);
    this.notes = new Int32Array(packetsMax * NOTE_WORDS);
  }

  /**
   * Judges the `count` packets that came in by `port`.
   * @param hasEthernet by port: 1 if frames carry Ethernet
   * @returns how many packets are to be written
   */
  process(
    engine: Engine,
    link: LinkLayer,
    hasEthernet: Uint8Array,
    port: number,
    count: number,
    nowMs: number,
  ): number {
    const before = engine.countedFrom(port);
    this.beyondSlots = 0;
    let sent = 0;
    for (let start = 0; start < count;) {
      const end = this.prepare(engine, link, hasEthernet[port] === 1, port, start, count, nowMs);
      for (let i = start; i < end; i++)
        if (this.judge(engine, link, hasEthernet, port, i, nowMs) >= 0) sent++;
      start = end;
    }
    engine.endRun();
    if (engine.countedFrom(port) - before !== count + this.beyondSlots)
      failInvariant('a packet that came in was neither passed nor dropped');
    return sent;
  }

  /** Prepares some packets from slot `start` on. @returns the slot behind the last */
  private prepare(
    engine: Engine,
    link: LinkLayer,
    hasEthernet: boolean,
    port: number,
    start: number,
    count: number,
    nowMs: number,
  ): number {
    const { view, slots, notes } = this;
    const limit = start + LOOKAHEAD < count ? start + LOOKAHEAD : count;
    let prepared = 0;
    let i = start;
    while (i < limit) {
      const at = slots[i * SLOT_WORDS + SLOT_OFFSET];
      const length = slots[i * SLOT_WORDS + SLOT_LENGTH];
      let ip = VNET_HDR_BYTES;
      let isForLink = false;
      if (hasEthernet) {
        isForLink = mayBeForLink(view, at, length);
        if (!isForLink) ip = link.receiveFrame(view, at, length, port, nowMs);
        else if (i > start) break;
        else ip = link.receiveQuestion(view, at, length, port, nowMs);
      }
      notes[i * NOTE_WORDS + NOTE_IP] = ip;
      if (ip > 0) {
        const record = engine.prepare(view, at + ip, length - ip, port);
        notes[i * NOTE_WORDS + NOTE_RECORD] = record;
        notes[i * NOTE_WORDS + NOTE_PACKETS] = 1;
        if (!isPlainVnet(view, at)) {
          const packets = engine.holdOffload(record, view, at);
          notes[i * NOTE_WORDS + NOTE_PACKETS] = packets;
          this.beyondSlots += packets - 1;
        }
        prepared++;
      }
      i++;
      if (isForLink) break;
    }
    // A frame without an IP packet takes no record, so the records of the prepared packets are consecutive.
    if (prepared > 1) engine.fetch(prepared);
    return i;
  }

  /** Judges the packet in slot `i`, which has been prepared. @returns its port; negative for a drop */
  private judge(
    engine: Engine,
    link: LinkLayer,
    hasEthernet: Uint8Array,
    port: number,
    i: number,
    nowMs: number,
  ): number {
    const { slots, notes } = this;
    const slot = i * SLOT_WORDS;
    const note = i * NOTE_WORDS;
    const ip = notes[note + NOTE_IP];
    let to = port;
    if (ip > 0) to = this.judgePacket(engine, link, hasEthernet, port, i, ip, nowMs) | 0;
    else if (ip === ANSWERED) {
      slots[slot + SLOT_LENGTH] = link.answerBytes;
      notes[note + NOTE_PACKETS] = 0;
      this.beyondSlots--;
      notes[note + NOTE_BYTES] = 0;
    } else if (ip === TAKEN) {
      to = TAKEN;
      this.beyondSlots--;
    } else {
      const direction = port === UPLINK_PORT ? INGRESS : EGRESS;
      const frame = slots[slot + SLOT_OFFSET] + VNET_HDR_BYTES;
      const bytes = slots[slot + SLOT_LENGTH] - VNET_HDR_BYTES;
      to = engine.drop(this.view, frame, bytes, port, direction, -ip) | 0;
    }
    slots[slot + SLOT_PORT] = to < 0 ? NOT_SENT : to;
    notes[note + NOTE_PORT] = to;
    return to;
  }

  /**
   * What `process` chose for slot `i`, whatever became of the write: a port, CUT, HELD, TAKEN, or minus a drop reason.
   */
  portOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_PORT];
  }

  /**
   * Counts the packets of the batch that their device refused. Call it after the write.
   * @param head by slot: the slot whose write carried it (engine/coalesce.ts)
   */
  countFailures(engine: Engine, count: number, head: Int32Array): void {
    const { slots, notes } = this;
    for (let i = 0; i < count; i++) {
      const note = i * NOTE_WORDS;
      const port = this.portOf(i);
      if (port < 0 || slots[head[i] * SLOT_WORDS + SLOT_PORT] >= 0) continue;
      const direction = port === UPLINK_PORT ? EGRESS : INGRESS;
      countUndelivered(
        engine.counters,
        port,
        direction,
        WRITE_FAILED,
        notes[note + NOTE_PACKETS],
        notes[note + NOTE_BYTES],
      );
    }
  }

  /**
   * Takes out of a judged batch what the fence stops by now: it closed after the batch was judged. Answers to the
   * uplink are about addresses that may be another host's too.
   * @param from port that the batch came in by
   * @returns how many packets are not to be written after all
   */
  withhold(counters: Float64Array, fence: Fence, from: number, count: number): number {
    const { slots, notes, tooBig } = this;
    let withheld = 0;
    for (let i = 0; i < count; i++) {
      const note = i * NOTE_WORDS;
      const to = this.portOf(i);
      if (
        to < 0 ||
        !(fence.holds(from) || fence.holds(to) || (from === UPLINK_PORT && to === from))
      )
        continue;
      const direction = to === UPLINK_PORT ? EGRESS : INGRESS;
      const packets = notes[note + NOTE_PACKETS];
      countUndelivered(counters, to, direction, FENCED, packets, notes[note + NOTE_BYTES]);
      slots[i * SLOT_WORDS + SLOT_PORT] = NOT_SENT;
      notes[note + NOTE_PORT] = -FENCED;
      withheld++;
    }
    tooBig.discard(counters, FENCED);
    return withheld;
  }

  /** Judges the IP packet in slot `i`. @param ip its offset behind the slot's virtio header */
  private judgePacket(
    engine: Engine,
    link: LinkLayer,
    hasEthernet: Uint8Array,
    port: number,
    i: number,
    ip: number,
    nowMs: number,
  ): number {
    const { view, slots, notes, tooBig } = this;
    const slot = i * SLOT_WORDS;
    const note = i * NOTE_WORDS;
    const at = slots[slot + SLOT_OFFSET];
    const ipOffset = at + ip;
    const ipBytes = slots[slot + SLOT_LENGTH] - ip;
    const packets = notes[note + NOTE_PACKETS];
    const to = engine.judge(notes[note + NOTE_RECORD], view, ipOffset, ipBytes, packets, nowMs) | 0;
    if (to >= 0 && hasEthernet[port] === 1) link.learn(view, at, port, nowMs);
    if (to < 0) return to;
    notes[note + NOTE_BYTES] = ipBytes;
    // The frame may have padding behind the packet. Only what was judged goes on.
    const { packet } = engine;
    const { names } = engine.gates.rules;
    if (names !== null) names.see(view, packet, port, to, packets, nowMs);
    const judgedBytes = packet.endOffset - ipOffset;
    if (judgedBytes > tooBig.mtu[to] && !tooBig.fitsCut(view, at, packet, packets, to)) {
      if (tooBig.cut(view, at, packet, packets, to)) return CUT;
      // A frame to a group reaches every router on the link, and each of them would send an error.
      if (hasEthernet[port] !== 1 || (view.getUint8(at + VNET_HDR_BYTES) & MAC_GROUP) === 0)
        tooBig.tell(view, packet, port, to, nowMs);
      return engine.takeBack(view, ipOffset, ipBytes, to, PACKET_TOO_BIG, packets);
    }
    if (hasEthernet[to] === 1) {
      if (!link.resolve(view, ipOffset, to, port, nowMs))
        return this.hold(engine, link, i, ipOffset, judgedBytes, port, to, nowMs);
      slots[slot + SLOT_OFFSET] = link.wrap(view, at, ipOffset);
      slots[slot + SLOT_LENGTH] = VNET_HDR_BYTES + ETHERNET_HEADER_BYTES + judgedBytes;
    } else if (ip !== VNET_HDR_BYTES || judgedBytes !== ipBytes) {
      slots[slot + SLOT_OFFSET] = unwrap(view, at, ipOffset);
      slots[slot + SLOT_LENGTH] = VNET_HDR_BYTES + judgedBytes;
    }
    const { tracker } = engine.gates;
    const { offload } = tracker;
    if (offload !== null && offload.joins(port, to)) {
      link.tellMacs(offload, port, to);
      tracker.offer(offload, packet, port, to);
    }
    return to;
  }

  /**
   * Keeps the packet in slot `i`, whose next hop on a TAP has no known MAC address.
   * @returns HELD, or the result of a drop
   */
  private hold(
    engine: Engine,
    link: LinkLayer,
    i: number,
    ipOffset: number,
    judgedBytes: number,
    from: number,
    to: number,
    nowMs: number,
  ): number {
    const { view, slots, notes } = this;
    const packets = notes[i * NOTE_WORDS + NOTE_PACKETS];
    const bytes = notes[i * NOTE_WORDS + NOTE_BYTES];
    const vnet = unwrap(view, slots[i * SLOT_WORDS + SLOT_OFFSET], ipOffset);
    const share = to === UPLINK_PORT ? from : to;
    const length = VNET_HDR_BYTES + judgedBytes;
    if (link.waiting.hold(view, vnet, length, to, share, packets, bytes, nowMs)) return HELD;
    return engine.takeBack(view, ipOffset, bytes, to, UNRESOLVED, packets);
  }
}

/**
 * Whether the link layer may answer the frame, or learn from it before any gate. False for plain IP packets, but for
 * those to the port of DHCP servers, and for multicast in IPv6.
 */
function mayBeForLink(view: DataView, at: number, length: number): boolean {
  if (length < VNET_HDR_BYTES + ETHERNET_HEADER_BYTES + IPV6_HEADER_BYTES) return true;
  const frame = at + VNET_HDR_BYTES;
  const type = view.getUint16(frame + ETHERNET_TYPE);
  const ip = frame + ETHERNET_HEADER_BYTES;
  // The port, where the header has no options. DHCP clients send none.
  if (type === ETHERTYPE_IPV4)
    return view.getUint16(ip + IPV4_HEADER_BYTES + DESTINATION_PORT) === DHCP_SERVER_PORT;
  return (
    type !== ETHERTYPE_IPV6 ||
    view.getUint8(ip + IPV6_NEXT_HEADER) === PROTO_ICMPV6 ||
    view.getUint8(ip + IPV6_DESTINATION) === MULTICAST_6
  );
}
