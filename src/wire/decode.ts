/**
 * Decodes IPv4 and IPv6 packets: bytes to numbers.
 *
 * Every input gives a status, and nothing throws. The decoder reads neither beyond `offset + length` nor beyond the
 * end that the IP header declares. Bytes behind that end are padding: read as headers, they would show ports that the
 * receiver never sees. The decoder does not guess. An unknown next header is a protocol of its own, not TCP or UDP.
 *
 * It checks no checksums: the receiver does, and offloaded ones are not filled in yet. It does not look at the TTL.
 */
import {
  DESTINATION_PORT,
  FRAGMENT_HEADER_BYTES,
  ICMP_CODE,
  ICMP_HEADER_BYTES,
  ICMP_IDENTIFIER,
  ICMP_TYPE,
  IPV4_DESTINATION,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_ID,
  IPV4_MORE_FRAGMENTS,
  IPV4_OFFSET_MASK,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  PROTO_HOP_BY_HOP,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  SOURCE_PORT,
  TCP_ACKNOWLEDGMENT,
  TCP_DATA_OFFSET,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_SEQUENCE,
  TCP_SYN,
  TCP_WINDOW,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
} from './fields.ts';
import { walkExtensions } from './ipv6.ts';
import { findWindowScale } from './tcp-options.ts';
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  ICMP_ERROR,
  ICMP_OTHER,
  ICMP_QUERY,
  ICMP_REPLY,
  type Packet,
} from './packet.ts';
import {
  BAD_FRAGMENT,
  BAD_ICMP,
  BAD_IP_HEADER_LENGTH,
  BAD_IP_OPTIONS,
  BAD_IP_VERSION,
  BAD_TCP_HEADER,
  BAD_UDP_LENGTH,
  DECODE_OK,
  FAMILY_MISMATCH,
  IPV6_JUMBOGRAM,
  IP_SOURCE_ROUTE,
  TINY_FRAGMENT,
  TRUNCATED,
} from './status.ts';

/**
 * The most that a datagram's length field can say. It counts the whole datagram in IPv4, what follows the header in
 * IPv6.
 */
const DATAGRAM_BYTES_MAX = 65535;

/** Bytes of a transport header an ICMP error is sure to quote (RFC 792): ports or identifier. */
const QUOTED_TRANSPORT_BYTES = 8;

const OPTION_END = 0;
const OPTION_NO_OPERATION = 1;
const OPTION_LOOSE_SOURCE_ROUTE = 0x83;
const OPTION_STRICT_SOURCE_ROUTE = 0x89;

// A plain packet is TCP or UDP, whole, behind an IP header without options. Nearly all packets are plain.
/** First byte: version and header length. */
const PLAIN_IPV4 = 0x45;
const PLAIN_IPV6 = 6;
/** In the word at IPV4_ID: "more fragments" and the fragment offset. */
const PLAIN_FRAGMENT_MASK = IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK;

/**
 * Decodes the IP packet at `offset`, of which `length` bytes were captured, into `packet`.
 * @returns packet.status
 */
export function decode(view: DataView, offset: number, length: number, packet: Packet): number {
  if (length >= IPV4_HEADER_BYTES + UDP_HEADER_BYTES) {
    const first = view.getInt32(offset);
    if (first >>> 24 === PLAIN_IPV4) {
      if (decodePlain4(view, offset, length, first & 0xffff, packet)) return DECODE_OK;
    } else if (first >>> 28 === PLAIN_IPV6) {
      if (decodePlain6(view, offset, length, packet)) return DECODE_OK;
    }
  }
  return decodeAny(view, offset, length, packet);
}

/** Does what decode does, without the shortcut for plain packets. */
export function decodeAny(view: DataView, offset: number, length: number, packet: Packet): number {
  return decodeIp(view, offset, length, packet, false);
}

/**
 * Decodes the packet that the ICMP error in `error` quotes into `quoted`.
 *
 * A quotation may end after 8 transport bytes. Routers and offloads leave wrong values in its length fields (0,
 * swapped bytes, a length without the header), so no length in it is checked. nf_conntrack does not check them
 * either.
 *
 * Valid on DECODE_OK: family, protocol, addresses, ports, fragment fields, icmpType, icmpCode, icmpKind, and
 * tcpSequence for TCP.
 */
export function decodeQuoted(view: DataView, error: Packet, quoted: Packet): number {
  const offset = error.transportOffset + ICMP_HEADER_BYTES;
  return decodeIp(view, offset, error.endOffset - offset, quoted, true);
}

/**
 * Decodes a plain IPv4 packet, with the same result as decodeAny.
 * @param length at least IPV4_HEADER_BYTES + UDP_HEADER_BYTES
 * @param totalBytes the length that the header declares
 * @returns false if the packet is not plain. Then the fields of `packet` mean nothing, and decodeAny must decode it.
 */
function decodePlain4(
  view: DataView,
  offset: number,
  length: number,
  totalBytes: number,
  packet: Packet,
): boolean {
  if (totalBytes > length || (view.getUint16(offset + IPV4_FRAGMENT) & PLAIN_FRAGMENT_MASK) !== 0)
    return false;
  if (packet.isSparse !== 1) clear(packet, offset);
  packet.isSparse = 1;
  if (packet.family === 6) clearAddresses(packet);
  packet.family = 4;
  packet.src0 = view.getInt32(offset + IPV4_SOURCE);
  packet.dst0 = view.getInt32(offset + IPV4_DESTINATION);
  const protocol = view.getUint8(offset + IPV4_PROTOCOL);
  return decodePlainTransport(view, offset, IPV4_HEADER_BYTES, totalBytes, protocol, packet);
}

/**
 * Decodes a plain IPv6 packet, as decodePlain4 does. The caller promises only the length for IPv4, so this checks its
 * own.
 */
function decodePlain6(view: DataView, offset: number, length: number, packet: Packet): boolean {
  if (length < IPV6_HEADER_BYTES) return false;
  const totalBytes = IPV6_HEADER_BYTES + view.getUint16(offset + IPV6_PAYLOAD_LENGTH);
  const protocol = view.getUint8(offset + IPV6_NEXT_HEADER);
  if (totalBytes > length) return false;
  if (packet.isSparse !== 1) clear(packet, offset);
  packet.isSparse = 1;
  packet.family = 6;
  readAddresses6(view, offset, packet);
  return decodePlainTransport(view, offset, IPV6_HEADER_BYTES, totalBytes, protocol, packet);
}

function decodePlainTransport(
  view: DataView,
  offset: number,
  ipBytes: number,
  totalBytes: number,
  protocol: number,
  packet: Packet,
): boolean {
  const at = offset + ipBytes;
  const bytes = totalBytes - ipBytes;
  if (protocol === PROTO_TCP) {
    if (bytes < TCP_HEADER_BYTES) return false;
    // Reads data offset, flags and window at once.
    const control = view.getInt32(at + TCP_DATA_OFFSET);
    const headerBytes = (control >>> 28) << 2;
    if (headerBytes < TCP_HEADER_BYTES || headerBytes > bytes) return false;
    const flags = (control >>> 16) & 0xff;
    packet.tcpFlags = flags;
    packet.tcpSequence = view.getInt32(at + TCP_SEQUENCE);
    packet.tcpAcknowledgment = view.getInt32(at + TCP_ACKNOWLEDGMENT);
    packet.tcpWindow = control & 0xffff;
    packet.tcpPayloadBytes = bytes - headerBytes;
    packet.tcpWindowScale =
      (flags & TCP_SYN) !== 0 ? findWindowScale(view, at + TCP_HEADER_BYTES, at + headerBytes) : -1;
  } else if (protocol === PROTO_UDP) {
    if (bytes < UDP_HEADER_BYTES) return false;
    const udpBytes = view.getUint16(at + UDP_LENGTH);
    if (udpBytes < UDP_HEADER_BYTES || udpBytes > bytes) return false;
    if (packet.protocol !== PROTO_UDP) clearTcp(packet);
  } else return false;
  const ports = view.getInt32(at + SOURCE_PORT);
  packet.srcPort = ports >>> 16;
  packet.dstPort = ports & 0xffff;
  packet.status = DECODE_OK;
  packet.protocol = protocol;
  packet.ipOffset = offset;
  packet.transportOffset = at;
  packet.endOffset = offset + totalBytes;
  return true;
}

function decodeIp(
  view: DataView,
  offset: number,
  length: number,
  packet: Packet,
  quoted: boolean,
): number {
  clear(packet, offset);
  if (length < 1) return (packet.status = TRUNCATED);
  const version = view.getUint8(offset) >>> 4;
  if (version === 4) return (packet.status = decodeIpv4(view, offset, length, packet, quoted));
  if (version === 6) return (packet.status = decodeIpv6(view, offset, length, packet, quoted));
  return (packet.status = BAD_IP_VERSION);
}

function decodeIpv4(
  view: DataView,
  offset: number,
  length: number,
  packet: Packet,
  quoted: boolean,
): number {
  if (length < IPV4_HEADER_BYTES) return TRUNCATED;
  const headerBytes = (view.getUint8(offset) & 0x0f) << 2;
  let totalBytes = view.getUint16(offset + IPV4_TOTAL_LENGTH);
  if (quoted && totalBytes < headerBytes + QUOTED_TRANSPORT_BYTES) totalBytes = length;
  if (headerBytes < IPV4_HEADER_BYTES || headerBytes > totalBytes) return BAD_IP_HEADER_LENGTH;
  if (headerBytes > length) return TRUNCATED;
  if (totalBytes > length && !quoted) return TRUNCATED;

  packet.family = 4;
  packet.protocol = view.getUint8(offset + IPV4_PROTOCOL);
  packet.src0 = view.getInt32(offset + IPV4_SOURCE);
  packet.dst0 = view.getInt32(offset + IPV4_DESTINATION);
  packet.transportOffset = offset + headerBytes;
  packet.endOffset = offset + (totalBytes < length ? totalBytes : length);

  if (headerBytes > IPV4_HEADER_BYTES) {
    const status = checkOptions(view, offset + IPV4_HEADER_BYTES, offset + headerBytes);
    if (status !== DECODE_OK) return status;
  }

  const fragmentField = view.getUint16(offset + IPV4_FRAGMENT);
  if ((fragmentField & (IPV4_MORE_FRAGMENTS | IPV4_OFFSET_MASK)) !== 0) {
    packet.fragmentId = view.getUint16(offset + IPV4_ID);
    packet.fragmentOffset = (fragmentField & IPV4_OFFSET_MASK) << 3;
    packet.fragmentMore = (fragmentField & IPV4_MORE_FRAGMENTS) !== 0 ? 1 : 0;
    packet.fragmentEnd = packet.fragmentOffset + totalBytes - headerBytes;
    const status = checkFragment(packet, headerBytes);
    if (status !== DECODE_OK) return status;
    if (packet.fragment === FRAGMENT_LATER) return DECODE_OK;
  }
  return decodeTransport(view, packet, quoted);
}

function decodeIpv6(
  view: DataView,
  offset: number,
  length: number,
  packet: Packet,
  quoted: boolean,
): number {
  if (length < IPV6_HEADER_BYTES) return TRUNCATED;
  const payloadBytes = view.getUint16(offset + IPV6_PAYLOAD_LENGTH);
  const nextHeader = view.getUint8(offset + IPV6_NEXT_HEADER);
  if (payloadBytes === 0 && nextHeader === PROTO_HOP_BY_HOP) return IPV6_JUMBOGRAM;
  const isLie = quoted && payloadBytes < QUOTED_TRANSPORT_BYTES;
  const totalBytes = isLie ? length : IPV6_HEADER_BYTES + payloadBytes;
  if (totalBytes > length && !quoted) return TRUNCATED;

  packet.family = 6;
  packet.protocol = nextHeader;
  readAddresses6(view, offset, packet);
  packet.transportOffset = offset + IPV6_HEADER_BYTES;
  packet.endOffset = offset + (totalBytes < length ? totalBytes : length);

  // Most packets have no extension header.
  if (nextHeader !== PROTO_TCP && nextHeader !== PROTO_UDP && nextHeader !== PROTO_ICMPV6) {
    const refused = walkExtensions(view, packet, offset + totalBytes);
    if (refused !== DECODE_OK) return refused;
    if (packet.fragment !== FRAGMENT_NONE) {
      // The payload length counts the extension headers in front of the fragment header (RFC 8200 section 4.5).
      const dataBytes = packet.fragmentEnd - packet.fragmentOffset;
      const behindHeader = totalBytes - IPV6_HEADER_BYTES;
      const status = checkFragment(packet, behindHeader - FRAGMENT_HEADER_BYTES - dataBytes);
      if (status !== DECODE_OK) return status;
      if (packet.fragment === FRAGMENT_LATER) return DECODE_OK;
    }
  }
  return decodeTransport(view, packet, quoted);
}

/** Reads both addresses of the IPv6 header at `offset`. */
export function readAddresses6(view: DataView, offset: number, packet: Packet): void {
  packet.src0 = view.getInt32(offset + IPV6_SOURCE);
  packet.src1 = view.getInt32(offset + IPV6_SOURCE + 4);
  packet.src2 = view.getInt32(offset + IPV6_SOURCE + 8);
  packet.src3 = view.getInt32(offset + IPV6_SOURCE + 12);
  packet.dst0 = view.getInt32(offset + IPV6_DESTINATION);
  packet.dst1 = view.getInt32(offset + IPV6_DESTINATION + 4);
  packet.dst2 = view.getInt32(offset + IPV6_DESTINATION + 8);
  packet.dst3 = view.getInt32(offset + IPV6_DESTINATION + 12);
}

function decodeTransport(view: DataView, packet: Packet, quoted: boolean): number {
  const at = packet.transportOffset;
  const bytes = packet.endOffset - at;
  const { protocol } = packet;
  // The tiny fragment attack (RFC 1858): a first fragment that ends before the ports would be judged without them,
  // and the next one could bring any. A whole packet that ends there is merely truncated.
  const tooShort = packet.fragment === FRAGMENT_NONE ? TRUNCATED : TINY_FRAGMENT;

  if (protocol === PROTO_TCP) {
    if (quoted ? bytes < QUOTED_TRANSPORT_BYTES : bytes < TCP_HEADER_BYTES) return tooShort;
    packet.srcPort = view.getUint16(at + SOURCE_PORT);
    packet.dstPort = view.getUint16(at + DESTINATION_PORT);
    packet.tcpSequence = view.getInt32(at + TCP_SEQUENCE);
    if (quoted) return DECODE_OK;
    const headerBytes = (view.getUint8(at + TCP_DATA_OFFSET) >>> 4) << 2;
    if (headerBytes < TCP_HEADER_BYTES) return BAD_TCP_HEADER;
    if (headerBytes > bytes)
      return packet.fragment === FRAGMENT_NONE ? BAD_TCP_HEADER : TINY_FRAGMENT;
    packet.tcpFlags = view.getUint8(at + TCP_FLAGS);
    packet.tcpAcknowledgment = view.getInt32(at + TCP_ACKNOWLEDGMENT);
    packet.tcpWindow = view.getUint16(at + TCP_WINDOW);
    packet.tcpPayloadBytes = bytes - headerBytes;
    if ((packet.tcpFlags & TCP_SYN) !== 0) {
      packet.tcpWindowScale = findWindowScale(view, at + TCP_HEADER_BYTES, at + headerBytes);
    }
    return DECODE_OK;
  }
  if (protocol === PROTO_UDP) {
    if (bytes < UDP_HEADER_BYTES) return tooShort;
    packet.srcPort = view.getUint16(at + SOURCE_PORT);
    packet.dstPort = view.getUint16(at + DESTINATION_PORT);
    if (quoted) return DECODE_OK;
    const udpBytes = view.getUint16(at + UDP_LENGTH);
    const whole = packet.fragment === FRAGMENT_NONE;
    if (udpBytes < UDP_HEADER_BYTES || (whole && udpBytes > bytes)) return BAD_UDP_LENGTH;
    return DECODE_OK;
  }
  if (protocol === PROTO_ICMP || protocol === PROTO_ICMPV6) {
    if ((protocol === PROTO_ICMP) !== (packet.family === 4)) return FAMILY_MISMATCH;
    if (bytes < ICMP_HEADER_BYTES)
      return packet.fragment === FRAGMENT_NONE ? BAD_ICMP : TINY_FRAGMENT;
    decodeIcmp(view, at, packet);
  }
  return DECODE_OK;
}

function decodeIcmp(view: DataView, at: number, packet: Packet): void {
  const type = view.getUint8(at + ICMP_TYPE);
  packet.icmpType = type;
  packet.icmpCode = view.getUint8(at + ICMP_CODE);
  packet.icmpKind = packet.family === 4 ? icmpKind(type) : icmp6Kind(type);
  if (packet.icmpKind === ICMP_QUERY) {
    packet.srcPort = view.getUint16(at + ICMP_IDENTIFIER);
    packet.dstPort = type;
  } else if (packet.icmpKind === ICMP_REPLY) {
    packet.srcPort = packet.family === 4 ? icmpQueryOf(type) : type - 1;
    packet.dstPort = view.getUint16(at + ICMP_IDENTIFIER);
  }
}

/**
 * ICMP types (RFC 792, RFC 950): queries with an identifier, their replies, and errors that quote a packet.
 *
 * Redirect and source quench quote a packet too, but are not errors here. Only a router on the host's own link may
 * send a redirect, and we are the only one there. Hosts must ignore source quench (RFC 6633).
 */
function icmpKind(type: number): number {
  switch (type) {
    case 8: // echo request
    case 13: // timestamp
    case 15: // information request
    case 17: // address mask request
      return ICMP_QUERY;
    case 0: // echo reply
    case 14:
    case 16:
    case 18:
      return ICMP_REPLY;
    case 3: // destination unreachable
    case 11: // time exceeded
    case 12: // parameter problem
      return ICMP_ERROR;
    default:
      return ICMP_OTHER;
  }
}

function icmpQueryOf(replyType: number): number {
  return replyType === 0 ? 8 : replyType - 1;
}

/**
 * ICMPv6 types (RFC 4443): 1 to 4 are the errors in use, 128 and 129 are echo. Neighbour discovery and MLD are
 * neither.
 */
function icmp6Kind(type: number): number {
  if (type === 128) return ICMP_QUERY;
  if (type === 129) return ICMP_REPLY;
  return type >= 1 && type <= 4 ? ICMP_ERROR : ICMP_OTHER;
}

function checkOptions(view: DataView, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return DECODE_OK;
    if (kind === OPTION_NO_OPERATION) {
      at += 1;
      continue;
    }
    if (at + 2 > end) return BAD_IP_OPTIONS;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || at + bytes > end) return BAD_IP_OPTIONS;
    // A source route makes the packet visit other hops after our verdict: an old way around a filter.
    if (kind === OPTION_LOOSE_SOURCE_ROUTE || kind === OPTION_STRICT_SOURCE_ROUTE)
      return IP_SOURCE_ROUTE;
    at += bytes;
  }
  return DECODE_OK;
}

/**
 * Refuses fragments that no honest sender makes. Sets packet.fragment.
 * @param headerBytes bytes in front of the fragments' data that the datagram's length field counts
 */
function checkFragment(packet: Packet, headerBytes: number): number {
  const { fragmentOffset, fragmentEnd, fragmentMore } = packet;
  // Ping of death: the last fragment ends beyond what a reassembly buffer holds.
  if (headerBytes + fragmentEnd > DATAGRAM_BYTES_MAX) return BAD_FRAGMENT;
  // No fragment is empty, and every one but the last has a multiple of 8 bytes.
  if (fragmentEnd === fragmentOffset || (fragmentMore === 1 && (fragmentEnd & 7) !== 0))
    return BAD_FRAGMENT;
  packet.fragment = fragmentOffset === 0 ? FRAGMENT_FIRST : FRAGMENT_LATER;
  return DECODE_OK;
}

function clear(packet: Packet, offset: number): void {
  packet.isSparse = 0;
  packet.status = DECODE_OK;
  packet.family = 0;
  packet.protocol = 0;
  packet.ipOffset = offset;
  packet.transportOffset = offset;
  packet.endOffset = offset;
  packet.src0 = 0;
  packet.dst0 = 0;
  clearAddresses(packet);
  packet.srcPort = 0;
  packet.dstPort = 0;
  packet.fragment = FRAGMENT_NONE;
  packet.fragmentId = 0;
  packet.fragmentOffset = 0;
  packet.fragmentEnd = 0;
  packet.fragmentMore = 0;
  clearTcp(packet);
  packet.icmpType = 0;
  packet.icmpCode = 0;
  packet.icmpKind = ICMP_OTHER;
}

/** Clears the address words that IPv4 does not use. */
function clearAddresses(packet: Packet): void {
  packet.src1 = 0;
  packet.src2 = 0;
  packet.src3 = 0;
  packet.dst1 = 0;
  packet.dst2 = 0;
  packet.dst3 = 0;
}

function clearTcp(packet: Packet): void {
  packet.tcpFlags = 0;
  packet.tcpSequence = 0;
  packet.tcpAcknowledgment = 0;
  packet.tcpWindow = 0;
  packet.tcpPayloadBytes = 0;
  packet.tcpWindowScale = -1;
}
