/**
 * Handles packets that are larger than the MTU of their device: cuts them into fragments, or refuses them and tells
 * the sender, as a router does.
 *
 * Theory of operation
 *
 * Problem. The link behind a device takes packets up to its MTU. TUN and TAP silently take longer ones from us, and a
 * bridge or hypervisor behind them loses them. The sender would wait for ever: a path MTU black hole. So the size is
 * compared with the MTU. This happens behind the gates, as in a router, so that no error tells of a packet that the
 * rules refuse.
 *
 * - IPv4 packets without DF are cut into fragments (RFC 791 section 3.2), and so are fragments. A checksum that was
 *   left to the device is filled in first, since nobody behind could do it.
 * - All other packets are dropped as `packet-too-big`. Their sender gets "fragmentation needed" (RFC 1191) or "packet
 *   too big" (RFC 4443 section 3.2) with the MTU, by the port that the packet came in by. There is no such error
 *   about an ICMP error, a later fragment, or a frame to a group (RFC 1812 section 4.3.2.7, RFC 4443 section 2.4
 *   (e)). The gates have no address of their own. So the error comes from the packet's destination, whose link is too
 *   small for it.
 * - The segments of a superpacket must fit. A TCP superpacket without DF is cut into smaller segments, which are as
 *   good. For all others the sender gets an error, for UDP without DF too: senders that segment understand it.
 *
 * Limits. Each port gets 1,000 errors a second and 50 at once, as Linux's defaults (icmp_msgs_per_sec,
 * icmp_msgs_burst). So no sender goes without errors because of another's flood. Fragments and errors are in an arena
 * of their own, which is written behind the batch. A packet for which it has no room is dropped: that takes some 500
 * packets in a batch that must all be cut.
 */
import { UPLINK_PORT } from '../policy/compiled.ts';
import { foldChecksum, sumWords } from '../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  ICMP_HEADER_BYTES,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_DONT_FRAGMENT,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_MORE_FRAGMENTS,
  IPV4_OFFSET_MASK,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  UDP_HEADER_BYTES,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_SIZE,
  VNET_HDR_BYTES,
} from '../wire/fields.ts';
import { FRAGMENT_LATER, type Packet } from '../wire/packet.ts';
import { countUndelivered, EGRESS, INGRESS } from './counters.ts';
import { LITTLE_ENDIAN } from './vnet-header.ts';
import { type LinkLayer } from './link.ts';
import { TCP_SEGMENTS_MAX } from './offload.ts';
import { UNRESOLVED, WRITE_FAILED } from './reasons.ts';

/** The MTU of a device whose MTU is not known: larger than any packet. */
export const MTU_UNKNOWN = 1 << 20;

const ARENA_BYTES = 1 << 20;
const SLOTS_MAX = 1024;
const SLOT_WORDS = 3;
/** Room in front of an IP packet for the virtio and the Ethernet header. */
const HEAD_BYTES = 24;

/** Errors that may be sent at once. One more is allowed each millisecond. */
const BURST = 50;

/** Largest error (RFC 1812 section 4.3.2.3; RFC 4443 section 3.2): it quotes as much of the packet as fits. */
const ERROR_BYTES_4 = 576;
const ERROR_BYTES_6 = 1280;
const UNREACHABLE_4 = 3;
const FRAGMENTATION_NEEDED = 4;
const TOO_BIG_6 = 2;
/** ICMPv6 types below this one are errors (RFC 4443 section 2.1). */
const QUERIES_6 = 128;
/** Version, header length, precedence "internetwork control" (RFC 1812 section 4.3.2.5). */
const ERROR_START_4 = 0x45c0;
const ERROR_HOPS = 64;

const OPTION_END = 0;
const OPTION_NO_OPERATION = 1;
/** The bit of an option's type that says that every fragment gets a copy (RFC 791 section 3.1). */
const OPTION_COPIED = 0x80;

/** Marks a slot whose next hop is not known, in place of its port. It is no errno. */
const NO_NEIGHBOUR = -0x7fff;

export class TooBig {
  /** By port: the largest IP packet that its device takes. */
  readonly mtu: Int32Array;
  readonly arena = new Uint8Array(ARENA_BYTES);
  private readonly view = new DataView(this.arena.buffer);
  /** What to write behind the batch. Slots are as in a batch (engine/batch.ts). */
  readonly slots = new Int32Array(SLOTS_MAX * SLOT_WORDS);
  count = 0;
  /**
   * By slot: its port. For a fragment also the number of its packet, from 1 on, and that packet's bytes; otherwise 0.
   */
  private readonly ports = new Int32Array(SLOTS_MAX);
  private readonly packets = new Int32Array(SLOTS_MAX);
  private readonly bytes = new Int32Array(SLOTS_MAX);
  /** Packets that were cut since `clear`. */
  private cutPackets = 0;
  private end = 0;
  /** By port: errors that may be sent, and when that was computed. */
  private readonly left: Int32Array;
  private readonly filledMs: Int32Array;

  constructor(ports: number) {
    this.mtu = new Int32Array(ports).fill(MTU_UNKNOWN);
    this.left = new Int32Array(ports).fill(BURST);
    this.filledMs = new Int32Array(ports);
  }

  /** Forgets everything that has been written. */
  clear(): void {
    this.count = 0;
    this.end = 0;
    this.cutPackets = 0;
  }

  /**
   * Adds Ethernet headers to what goes to TAPs. Call it before the write. A packet whose next hop is not known does
   * not wait: it is not sent.
   * @param hasEthernet by port: 1 if frames carry Ethernet
   */
  wrap(link: LinkLayer, hasEthernet: Uint8Array, nowMs: number): void {
    const { view, slots, ports } = this;
    for (let i = 0; i < this.count; i++) {
      if (hasEthernet[ports[i]] !== 1) continue;
      const vnet = slots[i * SLOT_WORDS];
      const ip = vnet + VNET_HDR_BYTES;
      if (!link.resolve(view, ip, ports[i], ports[i], nowMs)) {
        slots[i * SLOT_WORDS + 2] = NO_NEIGHBOUR;
        continue;
      }
      slots[i * SLOT_WORDS] = link.wrap(view, vnet, ip);
      slots[i * SLOT_WORDS + 1] += ETHERNET_HEADER_BYTES;
    }
  }

  /** Forgets what was to be written, and counts its packets as dropped. */
  discard(counters: Float64Array, reason: number): void {
    for (let i = 0; i < this.count; i++) this.slots[i * SLOT_WORDS + 2] = -1;
    this.countFailures(counters, reason);
    this.clear();
  }

  /**
   * Counts the packets of which a device refused a fragment. Call it after the write.
   * @param refused the drop reason of those
   */
  countFailures(counters: Float64Array, refused = WRITE_FAILED): void {
    let counted = 0;
    for (let i = 0; i < this.count; i++) {
      const packet = this.packets[i];
      if (this.slots[i * SLOT_WORDS + 2] >= 0 || packet === counted) continue;
      counted = packet;
      const port = this.ports[i];
      const direction = port === UPLINK_PORT ? EGRESS : INGRESS;
      const reason = this.slots[i * SLOT_WORDS + 2] === NO_NEIGHBOUR ? UNRESOLVED : refused;
      if (packet !== 0) countUndelivered(counters, port, direction, reason, 1, this.bytes[i]);
    }
  }

  /**
   * Whether a packet longer than the MTU of `port` is a superpacket whose segments fit, or can be made to fit.
   * @param segments how many packets it becomes on the wire
   */
  fitsCut(view: DataView, vnet: number, packet: Packet, segments: number, port: number): boolean {
    if (segments === 1) return false;
    const { ipOffset, transportOffset, endOffset } = packet;
    const isTcp = packet.protocol === PROTO_TCP;
    const transportBytes = isTcp
      ? endOffset - transportOffset - packet.tcpPayloadBytes
      : UDP_HEADER_BYTES;
    const room = this.mtu[port] - (transportOffset - ipOffset) - transportBytes;
    if (view.getUint16(vnet + VNET_GSO_SIZE, LITTLE_ENDIAN) <= room) return true;
    if (!isTcp || !mayBeCut(view, packet) || room * TCP_SEGMENTS_MAX < packet.tcpPayloadBytes)
      return false;
    view.setUint16(vnet + VNET_GSO_SIZE, room, LITTLE_ENDIAN);
    return true;
  }

  /**
   * Cuts an IPv4 packet into fragments for `port`, to be written behind the batch.
   * @returns false if it must not be cut, or there is no room
   */
  cut(view: DataView, vnet: number, packet: Packet, segments: number, port: number): boolean {
    if (segments !== 1 || !mayBeCut(view, packet)) return false;
    const { ipOffset, endOffset } = packet;
    const headerBytes = (view.getUint8(ipOffset) & 0x0f) << 2;
    const pieceBytes = (this.mtu[port] - headerBytes) & ~7;
    const dataBytes = endOffset - ipOffset - headerBytes;
    if (pieceBytes <= 0) return false;
    const pieces = Math.ceil(dataBytes / pieceBytes);
    const roomBytes = pieces * (HEAD_BYTES + headerBytes + pieceBytes + 3);
    if (this.count + pieces > SLOTS_MAX || this.end + roomBytes > ARENA_BYTES) return false;
    fillChecksum(view, vnet, endOffset);
    this.cutPackets++;
    const field = view.getUint16(ipOffset + IPV4_FRAGMENT);
    for (let at = 0; at < dataBytes; at += pieceBytes) {
      const isLast = at + pieceBytes >= dataBytes;
      const bytes = headerBytes + (isLast ? dataBytes - at : pieceBytes);
      const ip = this.begin(port, bytes, endOffset - ipOffset);
      this.copy(view, ipOffset, ip, headerBytes);
      this.copy(view, ipOffset + headerBytes + at, ip + headerBytes, bytes - headerBytes);
      if (at > 0) dropOptions(this.view, ip + IPV4_HEADER_BYTES, ip + headerBytes);
      const offset = (field & IPV4_OFFSET_MASK) + (at >>> 3);
      const more = isLast ? field & IPV4_MORE_FRAGMENTS : IPV4_MORE_FRAGMENTS;
      const rest = field & ~(IPV4_OFFSET_MASK | IPV4_MORE_FRAGMENTS);
      this.view.setUint16(ip + IPV4_FRAGMENT, rest | more | offset);
      this.view.setUint16(ip + IPV4_TOTAL_LENGTH, bytes);
      sumHeader(this.view, ip, headerBytes);
    }
    return true;
  }

  /** Sends an error to the sender of a packet that came in by `from` and was too long for `to`, if one may be sent. */
  tell(view: DataView, packet: Packet, from: number, to: number, nowMs: number): void {
    if (!isTold(packet) || !this.mayTell(from, nowMs)) return;
    const isIpv4 = packet.family === 4;
    const { ipOffset, endOffset } = packet;
    const errorBytes = isIpv4 ? ERROR_BYTES_4 : ERROR_BYTES_6;
    const headerBytes = (isIpv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES) + ICMP_HEADER_BYTES;
    const packetBytes = endOffset - ipOffset;
    const quoted = Math.min(packetBytes, errorBytes - headerBytes);
    const bytes = headerBytes + quoted;
    if (this.count === SLOTS_MAX || this.end + HEAD_BYTES + bytes + 3 > ARENA_BYTES) return;
    const ip = this.begin(from, bytes, 0);
    this.copy(view, ipOffset, ip + headerBytes, quoted);
    if (isIpv4) this.writeError4(ip, bytes, packet, this.mtu[to]);
    else this.writeError6(ip, bytes, view, packet, this.mtu[to]);
    this.left[from]--;
  }

  private mayTell(port: number, nowMs: number): boolean {
    const elapsed = (nowMs - this.filledMs[port]) | 0;
    // After more than 24 days without an error the difference is negative.
    if (elapsed < 0 || elapsed > BURST) this.left[port] = BURST;
    else this.left[port] = Math.min(BURST, this.left[port] + elapsed);
    this.filledMs[port] = nowMs;
    return this.left[port] > 0;
  }

  private writeError4(ip: number, bytes: number, packet: Packet, mtu: number): void {
    const { view } = this;
    view.setUint16(ip, ERROR_START_4);
    view.setUint16(ip + IPV4_TOTAL_LENGTH, bytes);
    view.setInt32(ip + 4, IPV4_DONT_FRAGMENT);
    view.setInt32(ip + 8, ((ERROR_HOPS << 8) | PROTO_ICMP) << 16);
    view.setInt32(ip + IPV4_SOURCE, packet.dst0);
    view.setInt32(ip + IPV4_DESTINATION, packet.src0);
    sumHeader(view, ip, IPV4_HEADER_BYTES);
    const icmp = ip + IPV4_HEADER_BYTES;
    view.setInt32(icmp, ((UNREACHABLE_4 << 8) | FRAGMENTATION_NEEDED) << 16);
    view.setInt32(icmp + 4, mtu);
    const sum = sumWords(view, icmp, bytes - IPV4_HEADER_BYTES, 0);
    view.setUint16(icmp + 2, foldChecksum(sum));
  }

  private writeError6(
    ip: number,
    bytes: number,
    from: DataView,
    packet: Packet,
    mtu: number,
  ): void {
    const { view } = this;
    const icmpBytes = bytes - IPV6_HEADER_BYTES;
    view.setInt32(ip, 6 << 28);
    view.setUint16(ip + IPV6_PAYLOAD_LENGTH, icmpBytes);
    view.setUint16(ip + 6, (PROTO_ICMPV6 << 8) | ERROR_HOPS);
    this.copy(from, packet.ipOffset + IPV6_DESTINATION, ip + IPV6_SOURCE, 16);
    this.copy(from, packet.ipOffset + IPV6_SOURCE, ip + IPV6_DESTINATION, 16);
    const icmp = ip + IPV6_HEADER_BYTES;
    view.setInt32(icmp, TOO_BIG_6 << 24);
    view.setInt32(icmp + 4, mtu);
    const sum = sumWords(view, ip + IPV6_SOURCE, 32 + icmpBytes, icmpBytes + PROTO_ICMPV6);
    view.setUint16(icmp + 2, foldChecksum(sum));
  }

  /**
   * Begins an IP packet for `port`, behind an empty virtio header.
   * @param wholeBytes bytes of the packet that it is a fragment of; 0 if it is none
   * @returns where it starts
   */
  private begin(port: number, bytes: number, wholeBytes: number): number {
    const { view, count } = this;
    // On a 4-byte boundary, like the packets of a batch.
    const ip = (this.end + HEAD_BYTES + 3) & ~3;
    for (let at = ip - VNET_HDR_BYTES; at < ip; at += 2) view.setUint16(at, 0);
    this.slots[count * SLOT_WORDS] = ip - VNET_HDR_BYTES;
    this.slots[count * SLOT_WORDS + 1] = VNET_HDR_BYTES + bytes;
    this.slots[count * SLOT_WORDS + 2] = port;
    this.ports[count] = port;
    this.packets[count] = wholeBytes === 0 ? 0 : this.cutPackets;
    this.bytes[count] = wholeBytes;
    this.count++;
    this.end = ip + bytes;
    return ip;
  }

  private copy(from: DataView, at: number, to: number, bytes: number): void {
    const { view } = this;
    let i = 0;
    for (; i + 4 <= bytes; i += 4) view.setInt32(to + i, from.getInt32(at + i));
    for (; i < bytes; i++) view.setUint8(to + i, from.getUint8(at + i));
  }
}

/** Whether it is an IPv4 packet without DF. */
function mayBeCut(view: DataView, packet: Packet): boolean {
  const { family, ipOffset } = packet;
  return family === 4 && (view.getUint16(ipOffset + IPV4_FRAGMENT) & IPV4_DONT_FRAGMENT) === 0;
}

/** Whether an error may be sent about the packet at all. */
function isTold(packet: Packet): boolean {
  if (packet.fragment === FRAGMENT_LATER) return false;
  const { protocol, icmpType } = packet;
  if (protocol === PROTO_ICMPV6) return icmpType >= QUERIES_6;
  return protocol !== PROTO_ICMP || !isError4(icmpType);
}

/** Unreachable, source quench, redirect, time exceeded, parameter problem (RFC 1122 section 3.2.2). */
function isError4(type: number): boolean {
  return type === 3 || type === 4 || type === 5 || type === 11 || type === 12;
}

/** Completes the checksum that the virtio header leaves to the device. */
function fillChecksum(view: DataView, vnet: number, end: number): void {
  if (view.getUint8(vnet + VNET_FLAGS) !== VNET_FLAG_NEEDS_CSUM) return;
  const start = vnet + VNET_HDR_BYTES + view.getUint16(vnet + VNET_CSUM_START, LITTLE_ENDIAN);
  const field = start + view.getUint16(vnet + VNET_CSUM_OFFSET, LITTLE_ENDIAN);
  const sum = foldChecksum(sumWords(view, start, end - start, 0));
  // As skb_checksum_help() of Linux does: 0 would mean "none" in UDP.
  view.setUint16(field, sum === 0 ? 0xffff : sum);
}

function sumHeader(view: DataView, ip: number, bytes: number): void {
  view.setUint16(ip + IPV4_CHECKSUM, 0);
  view.setUint16(ip + IPV4_CHECKSUM, foldChecksum(sumWords(view, ip, bytes, 0)));
}

/** Overwrites options that belong to the first fragment only. Decoding has checked that they stay inside the header. */
function dropOptions(view: DataView, start: number, end: number): void {
  let at = start;
  while (at < end) {
    const type = view.getUint8(at);
    if (type === OPTION_END) return;
    const bytes = type === OPTION_NO_OPERATION ? 1 : view.getUint8(at + 1);
    if ((type & OPTION_COPIED) === 0)
      for (let i = 0; i < bytes; i++) view.setUint8(at + i, OPTION_NO_OPERATION);
    at += bytes;
  }
}
