/**
 * Holds the frames that answer an instance's questions about its own interface, until they are written behind the
 * batch.
 *
 * An answer is longer than its question, so it can't take the question's place in the arena. Each goes to the port that
 * the question came from, and to no other. There is room for ANSWERS_MAX between two writes; questions beyond that are
 * dropped as link-scope, and asked again.
 */
import { foldChecksum, sumWords } from '../../wire/checksum.ts';
import {
  DESTINATION_PORT,
  ETHERNET_DESTINATION,
  ETHERNET_HEADER_BYTES,
  ETHERNET_SOURCE,
  ETHERNET_TYPE,
  ETHERTYPE_IPV4,
  ETHERTYPE_IPV6,
  IPV4_CHECKSUM,
  IPV4_DESTINATION,
  IPV4_DONT_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_ID,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_ICMPV6,
  PROTO_UDP,
  SOURCE_PORT,
  UDP_CHECKSUM,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
  VNET_HDR_BYTES,
} from '../../wire/fields.ts';
import { GATEWAY_MAC_HIGH, GATEWAY_MAC_LOW, setGatewayMac } from '../neighbour-messages.ts';

export const ANSWERS_MAX = 32;
/** More than any answer has. */
export const ANSWER_BYTES = 1024;
const IP_AT = VNET_HDR_BYTES + ETHERNET_HEADER_BYTES;

/** Words of a slot, as in a batch (engine/batch.ts): offset, length from there, port. */
const WORDS = 3;
/** Version 4, five words of header, no service class. */
const IPV4_START = 0x4500;
const HOP_LIMIT = 255;

/** The gateway's link-local address, made from its MAC address (RFC 4291 appendix A). */
export const GATEWAY_6: readonly number[] = [
  0xfe800000 | 0,
  0,
  ((GATEWAY_MAC_HIGH ^ 0x0200) << 16) | ((GATEWAY_MAC_LOW >>> 16) & 0xff00) | 0xff,
  0xfe000000 | (GATEWAY_MAC_LOW & 0x00ffffff),
];

export class Answers {
  readonly arena = new Uint8Array(ANSWERS_MAX * ANSWER_BYTES);
  readonly view = new DataView(this.arena.buffer);
  /** What is to be written, for writeBatch. */
  readonly slots = new Int32Array(ANSWERS_MAX * WORDS);
  count = 0;

  get isFull(): boolean {
    return this.count === ANSWERS_MAX;
  }

  /** Forgets all answers: they have been written. */
  clear(): void {
    this.count = 0;
  }

  /**
   * Begins an answer to `port`; there must be room for it. Its bytes are zero.
   * @param macHigh, macLow whom the frame is for
   * @returns where its IP header is to be
   */
  begin(port: number, macHigh: number, macLow: number): number {
    const { view, slots, count } = this;
    const at = count * ANSWER_BYTES;
    this.arena.fill(0, at, at + ANSWER_BYTES);
    slots[count * WORDS] = at;
    slots[count * WORDS + 2] = port;
    const frame = at + VNET_HDR_BYTES;
    view.setUint16(frame + ETHERNET_DESTINATION, macHigh);
    view.setInt32(frame + ETHERNET_DESTINATION + 2, macLow);
    setGatewayMac(view, frame + ETHERNET_SOURCE);
    return at + IP_AT;
  }

  /** Ends the answer that was begun last, as UDP over IPv4. @param end where its data ends */
  endUdp4(
    ip: number,
    end: number,
    source: number,
    destination: number,
    from: number,
    to: number,
  ): void {
    const { view } = this;
    const bytes = end - ip;
    view.setUint16(ip - ETHERNET_HEADER_BYTES + ETHERNET_TYPE, ETHERTYPE_IPV4);
    view.setUint16(ip, IPV4_START);
    view.setUint16(ip + IPV4_TOTAL_LENGTH, bytes);
    view.setInt32(ip + IPV4_ID, IPV4_DONT_FRAGMENT);
    view.setUint16(ip + IPV4_TTL, (HOP_LIMIT << 8) | PROTO_UDP);
    view.setInt32(ip + IPV4_SOURCE, source);
    view.setInt32(ip + IPV4_DESTINATION, destination);
    view.setUint16(ip + IPV4_CHECKSUM, foldChecksum(sumWords(view, ip, IPV4_HEADER_BYTES, 0)));
    const udp = ip + IPV4_HEADER_BYTES;
    const udpBytes = bytes - IPV4_HEADER_BYTES;
    setUdpHeader(view, udp, udpBytes, from, to);
    // The addresses stand right before the datagram.
    setUdpChecksum(view, udp, sumWords(view, udp - 8, 8 + udpBytes, udpBytes + PROTO_UDP));
    this.end(end);
  }

  /** Ends it as UDP over IPv6, from the gateway. The destination's address is in place. */
  endUdp6(ip: number, end: number, from: number, to: number): void {
    const { view } = this;
    const udp = ip + IPV6_HEADER_BYTES;
    const udpBytes = end - udp;
    setUdpHeader(view, udp, udpBytes, from, to);
    this.setIpv6Header(ip, udpBytes, PROTO_UDP);
    const sum = sumWords(view, ip + IPV6_SOURCE, 32 + udpBytes, udpBytes + PROTO_UDP);
    setUdpChecksum(view, udp, sum);
    this.end(end);
  }

  /** Ends it as ICMPv6, from the gateway. The destination's address is in place. */
  endIcmp6(ip: number, end: number): void {
    const { view } = this;
    const icmp = ip + IPV6_HEADER_BYTES;
    const bytes = end - icmp;
    this.setIpv6Header(ip, bytes, PROTO_ICMPV6);
    const sum = sumWords(view, ip + IPV6_SOURCE, 32 + bytes, bytes + PROTO_ICMPV6);
    view.setUint16(icmp + 2, foldChecksum(sum));
    this.end(end);
  }

  /** Copies bytes of a question into an answer. */
  copy(from: DataView, at: number, to: number, bytes: number): void {
    const { view } = this;
    for (let i = 0; i < bytes; i++) view.setUint8(to + i, from.getUint8(at + i));
  }

  private setIpv6Header(ip: number, bytes: number, protocol: number): void {
    const { view } = this;
    view.setUint16(ip - ETHERNET_HEADER_BYTES + ETHERNET_TYPE, ETHERTYPE_IPV6);
    view.setInt32(ip, 6 << 28);
    view.setUint16(ip + IPV6_PAYLOAD_LENGTH, bytes);
    view.setUint16(ip + IPV6_NEXT_HEADER, (protocol << 8) | HOP_LIMIT);
    setWords(view, ip + IPV6_SOURCE, GATEWAY_6);
  }

  private end(end: number): void {
    const { slots, count } = this;
    slots[count * WORDS + 1] = end - slots[count * WORDS];
    this.count++;
  }
}

/** Writes words one after the other. @returns where they end */
export function setWords(view: DataView, at: number, words: readonly number[]): number {
  for (let i = 0; i < words.length; i++) view.setInt32(at + 4 * i, words[i]);
  return at + 4 * words.length;
}

export function copyAddress6(view: DataView, from: number, to: DataView, at: number): void {
  for (let i = 0; i < 16; i += 4) to.setInt32(at + i, view.getInt32(from + i));
}

/** Where the destination's address is in an IPv6 header. */
export function destination6(ip: number): number {
  return ip + IPV6_DESTINATION;
}

function setUdpHeader(view: DataView, udp: number, bytes: number, from: number, to: number): void {
  view.setUint16(udp + SOURCE_PORT, from);
  view.setUint16(udp + DESTINATION_PORT, to);
  view.setUint16(udp + UDP_LENGTH, bytes);
}

function setUdpChecksum(view: DataView, udp: number, sum: number): void {
  const folded = foldChecksum(sum);
  // 0 means that there is none (RFC 768).
  view.setUint16(udp + UDP_CHECKSUM, folded === 0 ? 0xffff : folded);
}

/** Where the data of UDP over IPv4 begins. */
export const UDP4_DATA = IPV4_HEADER_BYTES + UDP_HEADER_BYTES;
/** Where the data of UDP over IPv6 begins. */
export const UDP6_DATA = IPV6_HEADER_BYTES + UDP_HEADER_BYTES;
