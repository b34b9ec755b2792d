/**
 * Joins packets of one flow in one batch into a GSO superpacket, so that they leave in one write.
 *
 * Theory of operation
 *
 * Problem. A write to a TUN takes one packet through the receiver's whole stack. For small packets that is most of
 * their cost. A superpacket pays it once for up to 64 packets. The kernel cuts the superpacket apart where it has to:
 * before a socket that did not ask for GRO, and before a link that can't segment.
 *
 * Invisible. A packet joins a run only if the kernel's segmentation gives back exactly its bytes. So all headers in a
 * run are equal, except for the fields that segmentation counts up: IPv4's identification goes up by one a packet,
 * and TCP's sequence number by the payload. (With DF the identification means nothing, but the kernel counts it up
 * too. So packets of a sender that always sends 0 are not joined.) All payloads have one length; the last may be
 * shorter. None is empty: an empty one would vanish. TCP segments have the ACK flag and no other; the last may have
 * PSH. Options are equal. The IP header has none. Checksums are verified first, because segmentation writes right
 * ones, and a wrong one must stay wrong for the receiver to see. A transport checksum is of one of two kinds: partial
 * (the field holds the sum of the pseudo-header, the kernel does the rest) or complete (verified here). A UDP packet
 * over IPv4 without a checksum is not joined. All packets of a run have the same kind.
 *
 * Order. A run leaves in place of its first packet. Packets of other flows may lie between its packets, so flows can
 * overtake each other, but a packet never overtakes one of its own flow. A packet that can't join its flow's run ends
 * that run. A packet without ports (a fragment, another protocol) ends all runs, since its flow is not known.
 *
 * No copies. The code rewrites the first packet's headers. The slots of the others keep only their payload, and
 * `next` links them for writev(2). Runs are in a small table, found by a hash without a secret: a collision only ends
 * a run early.
 *
 * Rejected: moving payloads together in the arena (a second copy of every byte). Rejected: runs across batches (a
 * packet would wait for one that may never come). Rejected: joining superpackets with each other (they are long
 * already).
 */
import { foldChecksum, sumWords } from '../wire/checksum.ts';
import {
  ETHERNET_HEADER_BYTES,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_DONT_FRAGMENT,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_ID,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACK,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_PSH,
  TCP_SEQUENCE,
  TCP_URGENT,
  TCP_WINDOW,
  UDP_CHECKSUM,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_NONE,
  VNET_GSO_SIZE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_TYPE,
  VNET_GSO_UDP_L4,
  VNET_HDR_BYTES,
  VNET_HDR_LEN,
} from '../wire/fields.ts';
import { NOT_SENT, SLOT_LENGTH, SLOT_OFFSET, SLOT_PORT, SLOT_WORDS } from './batch.ts';
import { LITTLE_ENDIAN } from './vnet-header.ts';

/**
 * The most packets in a run: the kernel's limit for UDP segments before Linux 6.9 (UDP_MAX_SEGMENTS). It keeps iovecs
 * short.
 */
export const RUN_PACKETS_MAX = 64;
/**
 * The most that IPv4's total length can say. The limit of IPv6 is 40 bytes higher; a case of its own would gain
 * nothing.
 */
const SUPERPACKET_BYTES_MAX = 65535;

/** The data offset byte of a TCP header of 20 bytes. */
const TCP_OFFSET_MIN = 0x50;

const RUNS = 16;
/** 2^32 divided by the golden ratio: spreads differences in a few bits over the top bits. */
const SPREAD = 0x9e3779b1 | 0;

/** Ends a chain in `next`: slot 0 never follows another. */
export const NO_NEXT = 0;
const NO_RUN = -1;

export class Coalescer {
  /** By slot: the slot that follows it in the same write, or NO_NEXT. */
  readonly next: Int32Array;
  /** By slot: the slot whose write carries it. A slot that goes alone carries itself. */
  readonly head: Int32Array;
  /** By run: first and last slot. A first slot of -1 means no run. */
  private readonly first = new Int32Array(RUNS).fill(NO_RUN);
  private readonly last = new Int32Array(RUNS);
  private readonly packets = new Int32Array(RUNS);
  /** By run: payload bytes of the first packet, and of all packets so far. */
  private readonly size = new Int32Array(RUNS);
  private readonly bytes = new Int32Array(RUNS);
  private readonly ipOffset = new Int32Array(RUNS);

  // The current packet, as findTransport and measure found it.
  private ip = 0;
  private transport = 0;
  private payload = 0;
  private end = 0;
  private isIpv4 = false;
  private isTcp = false;
  private isPartial = false;
  private isLast = false;

  /** Packets since the start that left in the write of another packet. */
  joined = 0;

  constructor(packetsMax: number) {
    this.next = new Int32Array(packetsMax);
    this.head = new Int32Array(packetsMax);
  }

  /**
   * Joins packets of a judged batch (engine/batch.ts). The slots of packets that another's write carries become
   * NOT_SENT and keep only their payload.
   * @param hasEthernet by port: 1 if frames carry Ethernet
   * @param takesUso by port: 1 if its kernel takes UDP superpackets (Linux 6.2)
   * @param isCutHere by port: 1 if no kernel is behind it, and we would cut a superpacket ourselves
   */
  join(
    view: DataView,
    slots: Int32Array,
    count: number,
    hasEthernet: Uint8Array,
    takesUso: Uint8Array,
    isCutHere: Uint8Array,
  ): void {
    const { next, head } = this;
    for (let i = 0; i < count; i++) {
      next[i] = NO_NEXT;
      head[i] = i;
      const port = slots[i * SLOT_WORDS + SLOT_PORT];
      if (port < 0 || isCutHere[port] === 1) continue;
      const at = slots[i * SLOT_WORDS + SLOT_OFFSET];
      this.ip = at + VNET_HDR_BYTES + (hasEthernet[port] === 1 ? ETHERNET_HEADER_BYTES : 0);
      this.end = at + slots[i * SLOT_WORDS + SLOT_LENGTH];
      if (!this.findTransport(view)) {
        this.endAll(view, slots);
        continue;
      }
      const run = this.runOf(view);
      if (!this.measure(view, at) || (!this.isTcp && takesUso[port] === 0)) {
        this.endRun(view, slots, run);
      } else if (this.append(view, slots, run, i, port)) {
        this.joined++;
      } else {
        this.endRun(view, slots, run);
        if (!this.isLast) this.start(run, i);
      }
    }
    this.endAll(view, slots);
  }

  /**
   * Finds the transport header.
   * @returns false for fragments, IP options and other protocols: their flow is not known here
   */
  private findTransport(view: DataView): boolean {
    const { ip } = this;
    const bytes = this.end - ip;
    if (bytes < IPV4_HEADER_BYTES + UDP_HEADER_BYTES) return false;
    const versionAndLength = view.getUint8(ip);
    if (versionAndLength === 0x45) {
      const fragment = view.getUint16(ip + IPV4_FRAGMENT);
      if ((fragment & ~IPV4_DONT_FRAGMENT) !== 0) return false;
      const protocol = view.getUint8(ip + IPV4_PROTOCOL);
      this.isIpv4 = true;
      this.isTcp = protocol === PROTO_TCP;
      this.transport = ip + IPV4_HEADER_BYTES;
      return protocol === PROTO_TCP || protocol === PROTO_UDP;
    }
    if (versionAndLength >>> 4 !== 6 || bytes < IPV6_HEADER_BYTES + UDP_HEADER_BYTES) return false;
    const protocol = view.getUint8(ip + IPV6_NEXT_HEADER);
    this.isIpv4 = false;
    this.isTcp = protocol === PROTO_TCP;
    this.transport = ip + IPV6_HEADER_BYTES;
    return protocol === PROTO_TCP || protocol === PROTO_UDP;
  }

  /** The run that packets of this flow would be in. */
  private runOf(view: DataView): number {
    const { ip, isIpv4 } = this;
    const source = isIpv4 ? IPV4_SOURCE : IPV6_SOURCE + 12;
    const destination = isIpv4 ? IPV4_DESTINATION : IPV6_DESTINATION + 12;
    const mixed =
      Math.imul(view.getInt32(ip + source), 31) ^
      view.getInt32(ip + destination) ^
      view.getInt32(this.transport);
    return Math.imul(mixed, SPREAD) >>> 28;
  }

  /** Whether the packet, looked at alone, may be in a run. */
  private measure(view: DataView, vnet: number): boolean {
    const { ip, transport, end, isTcp } = this;
    if (view.getUint8(vnet + VNET_GSO_TYPE) !== VNET_GSO_NONE) return false;
    if (this.isIpv4) {
      if (view.getUint16(ip + IPV4_TOTAL_LENGTH) !== end - ip) return false;
      // 0xffff and 0 mean the same checksum, and the kernel writes 0.
      if (view.getUint16(ip + IPV4_CHECKSUM) === 0xffff) return false;
      if (foldChecksum(sumWords(view, ip, IPV4_HEADER_BYTES, 0)) !== 0) return false;
    } else if (view.getUint16(ip + IPV6_PAYLOAD_LENGTH) !== end - transport) {
      return false;
    }
    if (isTcp) {
      if (end - transport < TCP_HEADER_BYTES) return false;
      const flags = view.getUint8(transport + TCP_FLAGS);
      if ((flags & ~TCP_PSH) !== TCP_ACK) return false;
      this.isLast = flags !== TCP_ACK;
      const offset = view.getUint8(transport + TCP_DATA_OFFSET);
      // The bits behind the length are reserved, or belong to accurate ECN. Segmentation may treat them as flags.
      if ((offset & 0x0f) !== 0 || offset < TCP_OFFSET_MIN) return false;
      this.payload = transport + (offset >>> 2);
    } else {
      if (view.getUint16(transport + UDP_LENGTH) !== end - transport) return false;
      this.isLast = false;
      this.payload = transport + UDP_HEADER_BYTES;
    }
    return this.payload < end && this.isChecksumRight(view, vnet);
  }

  private isChecksumRight(view: DataView, vnet: number): boolean {
    const { transport, isTcp } = this;
    const offset = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    const field = view.getUint16(transport + offset);
    const protocol = isTcp ? PROTO_TCP : PROTO_UDP;
    const bytes = this.end - transport;
    const sum = sumPseudoHeader(view, this.ip, this.isIpv4, protocol + bytes);
    this.isPartial = (view.getUint8(vnet + VNET_FLAGS) & VNET_FLAG_NEEDS_CSUM) !== 0;
    if (this.isPartial) {
      return (
        view.getUint16(vnet + VNET_CSUM_START, LITTLE_ENDIAN) ===
          transport - vnet - VNET_HDR_BYTES &&
        view.getUint16(vnet + VNET_CSUM_OFFSET, LITTLE_ENDIAN) === offset &&
        (foldChecksum(sum) ^ 0xffff) === field
      );
    }
    // The field must be as the kernel writes it. For UDP a sum of 0 is written as 0xffff, since 0 means "none"; for
    // TCP as 0.
    if (field === (isTcp ? 0xffff : 0)) return false;
    return foldChecksum(sumWords(view, transport, bytes, sum)) === 0;
  }

  private start(run: number, i: number): void {
    const size = this.end - this.payload;
    this.first[run] = i;
    this.last[run] = i;
    this.packets[run] = 1;
    this.size[run] = size;
    this.bytes[run] = size;
    this.ipOffset[run] = this.ip;
  }

  /** Appends the packet to the run if it continues it. @returns whether it did */
  private append(view: DataView, slots: Int32Array, run: number, i: number, port: number): boolean {
    const first = this.first[run];
    if (first === NO_RUN || slots[first * SLOT_WORDS + SLOT_PORT] !== port) return false;
    const payloadBytes = this.end - this.payload;
    const headerBytes = this.payload - this.ip;
    const headIp = this.ipOffset[run];
    const headVnet = slots[first * SLOT_WORDS + SLOT_OFFSET];
    const isHeadPartial = (view.getUint8(headVnet + VNET_FLAGS) & VNET_FLAG_NEEDS_CSUM) !== 0;
    if (
      payloadBytes > this.size[run] ||
      headerBytes + this.bytes[run] + payloadBytes > SUPERPACKET_BYTES_MAX ||
      isHeadPartial !== this.isPartial ||
      !(this.isIpv4
        ? hasSameIpv4(view, headIp, this.ip, this.packets[run])
        : hasSameIpv6(view, headIp, this.ip)) ||
      !this.hasSameTransport(view, headIp + (this.transport - this.ip), this.bytes[run])
    )
      return false;

    this.next[this.last[run]] = i;
    this.head[i] = first;
    this.last[run] = i;
    this.packets[run]++;
    this.bytes[run] += payloadBytes;
    const slot = i * SLOT_WORDS;
    slots[slot + SLOT_OFFSET] = this.payload;
    slots[slot + SLOT_LENGTH] = payloadBytes;
    slots[slot + SLOT_PORT] = NOT_SENT;
    if (this.isLast)
      view.setUint8(headIp + (this.transport - this.ip) + TCP_FLAGS, TCP_ACK | TCP_PSH);
    if (this.isLast || payloadBytes < this.size[run] || this.packets[run] === RUN_PACKETS_MAX)
      this.endRun(view, slots, run);
    return true;
  }

  /** Whether the transport header continues that of the run's first packet at `head`, behind `bytes` of payload. */
  private hasSameTransport(view: DataView, head: number, bytes: number): boolean {
    const { transport } = this;
    if (view.getInt32(head) !== view.getInt32(transport)) return false;
    if (!this.isTcp) return true;
    if (
      ((view.getInt32(head + TCP_SEQUENCE) + bytes) | 0) !==
        view.getInt32(transport + TCP_SEQUENCE) ||
      view.getInt32(head + TCP_ACKNOWLEDGMENT) !== view.getInt32(transport + TCP_ACKNOWLEDGMENT) ||
      view.getUint8(head + TCP_DATA_OFFSET) !== view.getUint8(transport + TCP_DATA_OFFSET) ||
      view.getUint16(head + TCP_WINDOW) !== view.getUint16(transport + TCP_WINDOW) ||
      view.getUint16(head + TCP_URGENT) !== view.getUint16(transport + TCP_URGENT)
    )
      return false;
    const optionsEnd = this.payload - transport;
    for (let at = TCP_HEADER_BYTES; at < optionsEnd; at += 4)
      if (view.getInt32(head + at) !== view.getInt32(transport + at)) return false;
    return true;
  }

  private endAll(view: DataView, slots: Int32Array): void {
    for (let run = 0; run < RUNS; run++) this.endRun(view, slots, run);
  }

  /** Ends a run. If it has several packets, makes the first one the head of a superpacket. */
  private endRun(view: DataView, slots: Int32Array, run: number): void {
    const first = this.first[run];
    if (first === NO_RUN) return;
    this.first[run] = NO_RUN;
    if (this.packets[run] > 1) this.writeHead(view, slots[first * SLOT_WORDS + SLOT_OFFSET], run);
  }

  private writeHead(view: DataView, vnet: number, run: number): void {
    const ip = this.ipOffset[run];
    const isIpv4 = view.getUint8(ip) >>> 4 === 4;
    const transport = ip + (isIpv4 ? IPV4_HEADER_BYTES : IPV6_HEADER_BYTES);
    const protocol = view.getUint8(ip + (isIpv4 ? IPV4_PROTOCOL : IPV6_NEXT_HEADER));
    const isTcp = protocol === PROTO_TCP;
    const transportHeaderBytes = isTcp
      ? (view.getUint8(transport + TCP_DATA_OFFSET) >>> 4) << 2
      : UDP_HEADER_BYTES;
    const transportBytes = transportHeaderBytes + this.bytes[run];
    if (isIpv4) {
      view.setUint16(ip + IPV4_TOTAL_LENGTH, IPV4_HEADER_BYTES + transportBytes);
      view.setUint16(ip + IPV4_CHECKSUM, 0);
      view.setUint16(ip + IPV4_CHECKSUM, foldChecksum(sumWords(view, ip, IPV4_HEADER_BYTES, 0)));
    } else {
      view.setUint16(ip + IPV6_PAYLOAD_LENGTH, transportBytes);
    }
    if (!isTcp) view.setUint16(transport + UDP_LENGTH, transportBytes);
    const checksum = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM;
    const sum = sumPseudoHeader(view, ip, isIpv4, protocol + transportBytes);
    view.setUint16(transport + checksum, foldChecksum(sum) ^ 0xffff);

    const toTransport = transport - vnet - VNET_HDR_BYTES;
    const gsoType = isTcp ? (isIpv4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6) : VNET_GSO_UDP_L4;
    view.setUint8(vnet + VNET_FLAGS, VNET_FLAG_NEEDS_CSUM);
    view.setUint8(vnet + VNET_GSO_TYPE, gsoType);
    view.setUint16(vnet + VNET_HDR_LEN, toTransport + transportHeaderBytes, LITTLE_ENDIAN);
    view.setUint16(vnet + VNET_GSO_SIZE, this.size[run], LITTLE_ENDIAN);
    view.setUint16(vnet + VNET_CSUM_START, toTransport, LITTLE_ENDIAN);
    view.setUint16(vnet + VNET_CSUM_OFFSET, checksum, LITTLE_ENDIAN);
  }
}

/**
 * Whether the IPv4 header at `ip` continues the one at `head`: the identification `packets` higher, the rest equal
 * except length and checksum.
 */
function hasSameIpv4(view: DataView, head: number, ip: number, packets: number): boolean {
  return (
    view.getUint16(head) === view.getUint16(ip) &&
    ((view.getUint16(head + IPV4_ID) + packets) & 0xffff) === view.getUint16(ip + IPV4_ID) &&
    view.getUint16(head + IPV4_FRAGMENT) === view.getUint16(ip + IPV4_FRAGMENT) &&
    view.getUint16(head + IPV4_TTL) === view.getUint16(ip + IPV4_TTL) &&
    view.getInt32(head + IPV4_SOURCE) === view.getInt32(ip + IPV4_SOURCE) &&
    view.getInt32(head + IPV4_DESTINATION) === view.getInt32(ip + IPV4_DESTINATION)
  );
}

/** Whether the IPv6 headers are equal except for the length. */
function hasSameIpv6(view: DataView, head: number, ip: number): boolean {
  if (
    view.getInt32(head) !== view.getInt32(ip) ||
    view.getUint16(head + IPV6_NEXT_HEADER) !== view.getUint16(ip + IPV6_NEXT_HEADER)
  )
    return false;
  for (let at = IPV6_SOURCE; at < IPV6_HEADER_BYTES; at += 4)
    if (view.getInt32(head + at) !== view.getInt32(ip + at)) return false;
  return true;
}

/** Sums up the addresses and `rest` (protocol plus transport length), without folding. */
function sumPseudoHeader(view: DataView, ip: number, isIpv4: boolean, rest: number): number {
  return isIpv4
    ? sumWords(view, ip + IPV4_SOURCE, 8, rest)
    : sumWords(view, ip + IPV6_SOURCE, 32, rest);
}
