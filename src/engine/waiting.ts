/**
 * Holds packets that wait for a neighbour's MAC address, and writes the questions that ask for it.
 *
 * A packet that was admitted, but whose next hop on a TAP has no known MAC address, is copied here with room for an
 * Ethernet header. Packets leave in their order when the address is known. After WAIT_MS they are dropped as
 * unresolved. Bounds: at most WAITING_MAX packets in a loop, WAITING_SHARE of them for an interface, none longer than
 * a slot. A packet that finds no room is dropped, and those before it in its flow go first.
 *
 * Questions are ARP requests and neighbour solicitations (RFC 826, RFC 4861 section 4.3). Their source is that of the
 * waiting packet. The daemon answers for that address on the link, so whoever is asked learns nothing wrong. The
 * tables decide how often to ask (neighbours.ts, link.ts).
 */
import { UPLINK_PORT } from '../policy/compiled.ts';
import { foldChecksum, sumWords } from '../wire/checksum.ts';
import {
  ARP_BYTES,
  ARP_HARDWARE_TYPE,
  ARP_LENGTHS,
  ARP_OPERATION,
  ARP_PROTOCOL_TYPE,
  ARP_SENDER_ADDRESS,
  ARP_SENDER_MAC,
  ARP_TARGET_ADDRESS,
  ARP_TARGET_MAC,
  ETHERNET_DESTINATION,
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE,
  ETHERNET_TYPE,
  ETHERTYPE_ARP,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  IPV4_SOURCE,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMPV6,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';
import { countUndelivered, EGRESS, INGRESS } from './counters.ts';
import { WRITE_FAILED } from './reasons.ts';

export const WAITING_MAX = 128;
export const WAITING_SHARE = 8;
export const WAIT_MS = 3000;
/** Most questions between two writes. */
export const ASKS_MAX = 64;

export const SLOT_BYTES = 2048;
const IP_AT = VNET_HDR_BYTES + ETHERNET_HEADER_BYTES;
export const ASK_BYTES = 96;
const ASKS_AT = WAITING_MAX * SLOT_BYTES;

const BROADCAST_HIGH = 0xffff;
const BROADCAST_LOW = -1;
const ARP_REQUEST = 1;
const ARP_OF_ETHERNET = 1;
const ARP_ETHERNET_IPV4 = 0x0604;
const NEIGHBOUR_SOLICITATION = 135;
const HOP_LIMIT = 255;
const SOLICITATION_BYTES = 32;
const OPTION_SOURCE_LINK_ADDRESS = 0x0101;
/** ff02::1:ff00:0/104 (RFC 4291 section 2.7.1). */
const SOLICITED_NODE_0 = 0xff020000 | 0;
const SOLICITED_NODE_3 = 0xff000000 | 0;

/** Words of a slot, as in a batch (engine/batch.ts): offset, length from there, port. */
const WORDS = 3;

/** Words of a waiting packet's note. */
const NOTE_WORDS = 7;
const NOTE_PORT = 0;
const NOTE_SHARE = 1;
const NOTE_SINCE = 2;
const NOTE_LENGTH = 3;
const NOTE_PACKETS = 4;
const NOTE_BYTES = 5;
const NOTE_SLOT = 6;

export class Waiting {
  readonly arena = new Uint8Array(ASKS_AT + ASKS_MAX * ASK_BYTES);
  readonly view = new DataView(this.arena.buffer);
  /** What is to be written, for writeBatch. */
  readonly slots = new Int32Array((WAITING_MAX + ASKS_MAX) * WORDS);
  /** Number of slots to write. */
  ready = 0;
  /** Number of waiting packets. Their notes are in the order of arrival. */
  count = 0;
  private asks = 0;
  private readonly notes = new Int32Array(WAITING_MAX * NOTE_WORDS);
  /**
   * Free slots of the arena: the first `WAITING_MAX - count` of this list. A slot that is being written stays intact
   * until the next `hold`.
   */
  private readonly free = Int32Array.from({ length: WAITING_MAX }, (_, i) => i);

  /** Of the packets among the first slots to write: port, and what they count as. */
  private sent = 0;
  private readonly sentNotes = new Int32Array(WAITING_MAX * WORDS);
  private readonly askPorts = new Int32Array(ASKS_MAX);

  /** Whether packets wait, or questions are to be sent. */
  get isBusy(): boolean {
    return this.count > 0 || this.asks > 0;
  }

  /**
   * Copies a packet whose virtio header counts from the IP packet on.
   * @param vnet offset of that header, right before the packet
   * @param length of both
   * @param share port of the interface that the packet counts for
   * @returns false if there is no room for it
   */
  hold(
    view: DataView,
    vnet: number,
    length: number,
    port: number,
    share: number,
    packets: number,
    bytes: number,
    nowMs: number,
  ): boolean {
    if (length - VNET_HDR_BYTES > SLOT_BYTES - IP_AT || this.count === WAITING_MAX) return false;
    const { notes } = this;
    let held = 0;
    for (let i = 0; i < this.count; i++) if (notes[i * NOTE_WORDS + NOTE_SHARE] === share) held++;
    if (held >= WAITING_SHARE) return false;
    const slot = this.free[WAITING_MAX - 1 - this.count];
    const to = slot * SLOT_BYTES + ETHERNET_HEADER_BYTES;
    for (let i = 0; i < length; i++) this.view.setUint8(to + i, view.getUint8(vnet + i));
    const note = this.count * NOTE_WORDS;
    notes[note + NOTE_PORT] = port;
    notes[note + NOTE_SHARE] = share;
    notes[note + NOTE_SINCE] = nowMs;
    notes[note + NOTE_LENGTH] = length;
    notes[note + NOTE_PACKETS] = packets;
    notes[note + NOTE_BYTES] = bytes;
    notes[note + NOTE_SLOT] = slot;
    this.count++;
    return true;
  }

  /** Begins the preparation of a write. */
  begin(): void {
    this.ready = 0;
    this.sent = 0;
  }

  portOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_PORT];
  }

  shareOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_SHARE];
  }

  packetsOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_PACKETS];
  }

  bytesOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_BYTES];
  }

  isPast(i: number, nowMs: number): boolean {
    return (nowMs - this.notes[i * NOTE_WORDS + NOTE_SINCE]) >>> 0 >= WAIT_MS;
  }

  /** Offset of the IP packet in the arena. */
  ipOf(i: number): number {
    return this.notes[i * NOTE_WORDS + NOTE_SLOT] * SLOT_BYTES + IP_AT;
  }

  /** Adds packet `i` to what is to be written. @param at offset of its virtio header */
  send(i: number, at: number): void {
    const bytes = this.notes[i * NOTE_WORDS + NOTE_LENGTH] + ETHERNET_HEADER_BYTES;
    const note = this.sent * WORDS;
    this.sentNotes[note] = this.portOf(i);
    this.sentNotes[note + 1] = this.packetsOf(i);
    this.sentNotes[note + 2] = this.bytesOf(i);
    this.sent++;
    this.push(at, bytes, this.portOf(i));
  }

  /** Adds the questions since the last call to what is to be written. */
  sendAsks(): void {
    for (let i = 0; i < this.asks; i++) {
      const at = ASKS_AT + i * ASK_BYTES;
      const isArp = this.view.getUint16(at + VNET_HDR_BYTES + ETHERNET_TYPE) === ETHERTYPE_ARP;
      const bytes = isArp ? ARP_BYTES : IPV6_HEADER_BYTES + SOLICITATION_BYTES;
      this.push(at, IP_AT + bytes, this.askPorts[i]);
    }
    this.asks = 0;
  }

  /** Counts the packets that their device refused. Call it after the write. Lost questions are asked again anyway. */
  countFailures(counters: Float64Array): void {
    for (let i = 0; i < this.sent; i++) {
      if (this.slots[i * WORDS + 2] >= 0) continue;
      const port = this.sentNotes[i * WORDS];
      const packets = this.sentNotes[i * WORDS + 1];
      const direction = port === UPLINK_PORT ? EGRESS : INGRESS;
      const bytes = this.sentNotes[i * WORDS + 2];
      countUndelivered(counters, port, direction, WRITE_FAILED, packets, bytes);
    }
  }

  private push(at: number, length: number, port: number): void {
    const slot = this.ready * WORDS;
    this.slots[slot] = at;
    this.slots[slot + 1] = length;
    this.slots[slot + 2] = port;
    this.ready++;
  }

  /** Moves the note of packet `from` to place `to`, to close a gap. */
  move(from: number, to: number): void {
    if (from === to) return;
    const { notes } = this;
    for (let i = 0; i < NOTE_WORDS; i++) {
      const kept = notes[to * NOTE_WORDS + i];
      notes[to * NOTE_WORDS + i] = notes[from * NOTE_WORDS + i];
      notes[from * NOTE_WORDS + i] = kept;
    }
  }

  /** Keeps the first `count` notes and frees the slots of the others. */
  keep(count: number): void {
    for (let i = count; i < this.count; i++)
      this.free[WAITING_MAX - 1 - i] = this.notes[i * NOTE_WORDS + NOTE_SLOT];
    this.count = count;
  }

  /**
   * Asks for an IPv4 address at `port`.
   * @param ip offset of the waiting packet in `view`
   * @param macHigh, macLow whom to ask: the neighbour itself, or broadcast
   */
  askArp(
    view: DataView,
    ip: number,
    port: number,
    target: number,
    macHigh: number,
    macLow: number,
    ownHigh: number,
    ownLow: number,
  ): void {
    const at = this.beginAsk(port, macHigh, macLow, ownHigh, ownLow, ETHERTYPE_ARP);
    if (at < 0) return;
    const out = this.view;
    const arp = at + IP_AT;
    out.setUint16(arp + ARP_HARDWARE_TYPE, ARP_OF_ETHERNET);
    out.setUint16(arp + ARP_PROTOCOL_TYPE, ETHERTYPE_IPV4);
    out.setUint16(arp + ARP_LENGTHS, ARP_ETHERNET_IPV4);
    out.setUint16(arp + ARP_OPERATION, ARP_REQUEST);
    setMac(out, arp + ARP_SENDER_MAC, ownHigh, ownLow);
    out.setInt32(arp + ARP_SENDER_ADDRESS, view.getInt32(ip + IPV4_SOURCE));
    setMac(out, arp + ARP_TARGET_MAC, 0, 0);
    out.setInt32(arp + ARP_TARGET_ADDRESS, target);
  }

  /** Asks for an IPv6 address at `port`, as askArp does. */
  askNeighbour(
    view: DataView,
    ip: number,
    port: number,
    t0: number,
    t1: number,
    t2: number,
    t3: number,
    macHigh: number,
    macLow: number,
    ownHigh: number,
    ownLow: number,
  ): void {
    const isToAll = macHigh === BROADCAST_HIGH && macLow === BROADCAST_LOW;
    const group = SOLICITED_NODE_3 | (t3 & 0xffffff);
    const toHigh = isToAll ? 0x3333 : macHigh;
    const toLow = isToAll ? group : macLow;
    const at = this.beginAsk(port, toHigh, toLow, ownHigh, ownLow, ETHERTYPE_IPV6);
    if (at < 0) return;
    const out = this.view;
    const to = at + IP_AT;
    out.setUint32(to, 0x60000000);
    out.setUint16(to + IPV6_PAYLOAD_LENGTH, SOLICITATION_BYTES);
    out.setUint16(to + IPV6_NEXT_HEADER, (PROTO_ICMPV6 << 8) | HOP_LIMIT);
    for (let i = 0; i < 16; i += 4)
      out.setInt32(to + IPV6_SOURCE + i, view.getInt32(ip + IPV6_SOURCE + i));
    setAddress(
      out,
      to + IPV6_DESTINATION,
      isToAll ? SOLICITED_NODE_0 : t0,
      isToAll ? 0 : t1,
      isToAll ? 1 : t2,
      isToAll ? group : t3,
    );
    const icmp = to + IPV6_HEADER_BYTES;
    out.setUint32(icmp, NEIGHBOUR_SOLICITATION << 24);
    out.setInt32(icmp + 4, 0);
    setAddress(out, icmp + 8, t0, t1, t2, t3);
    out.setUint16(icmp + 24, OPTION_SOURCE_LINK_ADDRESS);
    setMac(out, icmp + 26, ownHigh, ownLow);
    const sum = sumWords(
      out,
      to + IPV6_SOURCE,
      32 + SOLICITATION_BYTES,
      SOLICITATION_BYTES + PROTO_ICMPV6,
    );
    out.setUint16(icmp + 2, foldChecksum(sum));
  }

  /** @returns offset of the question's virtio header, which asks for nothing; -1 if there are too many questions */
  private beginAsk(
    port: number,
    macHigh: number,
    macLow: number,
    ownHigh: number,
    ownLow: number,
    type: number,
  ): number {
    if (this.asks === ASKS_MAX) return -1;
    const out = this.view;
    const at = ASKS_AT + this.asks * ASK_BYTES;
    this.askPorts[this.asks] = port;
    this.asks++;
    for (let i = 0; i < VNET_HDR_BYTES; i += 2) out.setUint16(at + i, 0);
    const frame = at + VNET_HDR_BYTES;
    setMac(out, frame + ETHERNET_DESTINATION, macHigh, macLow);
    setMac(out, frame + ETHERNET_SOURCE, ownHigh, ownLow);
    out.setUint16(frame + ETHERNET_TYPE, type);
    return at;
  }
}

function setMac(view: DataView, at: number, high: number, low: number): void {
  view.setUint16(at, high);
  view.setInt32(at + 2, low);
}

function setAddress(
  view: DataView,
  at: number,
  a0: number,
  a1: number,
  a2: number,
  a3: number,
): void {
  view.setInt32(at, a0);
  view.setInt32(at + 4, a1);
  view.setInt32(at + 8, a2);
  view.setInt32(at + 12, a3);
}
