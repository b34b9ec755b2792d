/**
 * Checks what a virtio header asks of the kernel: to complete one checksum, and to cut one packet into segments.
 *
 * Theory of operation
 *
 * Problem. Whoever sends a packet through a TUN or TAP writes the virtio header in front of it, and the kernel obeys
 * that header after the verdict. It writes two bytes at csum_start + csum_offset, and it cuts behind headers that it
 * finds by gso_type. A sender free to point anywhere would have its packet judged with one port or address, and have
 * the next hop that completes the checksum overwrite it with another.
 *
 * So the header is checked against the decoded packet, before any gate. Only this passes:
 *
 * - Flags: NEEDS_CSUM or DATA_VALID, not both. Other flags are unknown and refused.
 * - The checksum word is the checksum field of the TCP or UDP header that was judged, and the sum starts at that
 *   header. Or it lies wholly behind that header, as for the inner packet of a tunnel. For other protocols nothing
 *   behind the IP header was judged, so the word may be anywhere there (Linux leaves GRE's checksum to the device).
 *   ICMP is an exception: its type, code, identifier and quotation were judged, and Linux completes its checksum
 *   itself.
 * - Only whole TCP or UDP packets are segmented, by a gso_type of their protocol and family, with a partial checksum
 *   as virtio demands. UFO is refused: none of our TUNs offers it. gso_size leaves something to cut, and no more
 *   segments than an honest sender makes. SYN and RST are not cut: each segment would be one.
 * - hdr_len hints how much the kernel should keep together. It is 0, or from the transport header to the packet's
 *   end.
 * - A fragment asks for nothing: Linux completes checksums before it fragments.
 *
 * Offsets count from the start of the frame. They must still fit 16 bits after an Ethernet header is added. Linux
 * writes the header in virtio_net_hdr_from_skb() and reads it in virtio_net_hdr_to_skb()
 * (include/linux/virtio_net.h). Its meaning is in virtio 1.2 section 5.1.6.
 */
import {
  ETHERNET_HEADER_BYTES,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_CHECKSUM,
  TCP_RST,
  TCP_SYN,
  UDP_CHECKSUM,
  UDP_HEADER_BYTES,
  UDP_LENGTH,
  VNET_CSUM_OFFSET,
  VNET_CSUM_START,
  VNET_FLAGS,
  VNET_FLAG_DATA_VALID,
  VNET_FLAG_NEEDS_CSUM,
  VNET_GSO_ECN,
  VNET_GSO_NONE,
  VNET_GSO_SIZE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_TYPE,
  VNET_GSO_UDP_L4,
  VNET_HDR_BYTES,
  VNET_HDR_LEN,
} from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import { LITTLE_ENDIAN } from './vnet-header.ts';

/** segmentsOf's result when the header does not fit the packet. */
export const MISFIT = 0;

/**
 * Most segments of a TCP superpacket: 64 KB in segments of 64 bytes. That is smaller than any MTU on the Internet (68
 * bytes, RFC 791). With segments of one byte the kernel would build 65,000 packets for one verdict.
 */
export const TCP_SEGMENTS_MAX = 1024;
/** UDP_MAX_SEGMENTS of Linux 6.9. It was 64 before. */
export const UDP_SEGMENTS_MAX = 128;
/** GSO_BY_FRAGS: the kernel gives this size another meaning. */
const GSO_SIZE_SPECIAL = 0xffff;
/** Largest offset that still fits 16 bits after an Ethernet header is added. */
const OFFSET_MAX = 0xffff - ETHERNET_HEADER_BYTES;

/** Whether the virtio header asks for nothing and hints at nothing, as for nearly every small packet. */
export function isPlainVnet(view: DataView, vnet: number): boolean {
  // Reads flags, gso_type and hdr_len at once.
  return view.getInt32(vnet + VNET_FLAGS) === 0;
}

/**
 * Checks the virtio header at `vnet` against the decoded packet behind it.
 * @returns how many packets it becomes on the wire; MISFIT if it must be dropped
 */
export function segmentsOf(view: DataView, vnet: number, packet: Packet): number {
  if (isPlainVnet(view, vnet)) return 1;
  const frame = vnet + VNET_HDR_BYTES;
  const flags = view.getUint8(vnet + VNET_FLAGS);
  const gsoType = view.getUint8(vnet + VNET_GSO_TYPE);
  const headerBytes = view.getUint16(vnet + VNET_HDR_LEN, LITTLE_ENDIAN);
  if (flags > VNET_FLAG_DATA_VALID) return MISFIT;
  if (
    headerBytes !== 0 &&
    (headerBytes < packet.transportOffset - frame ||
      headerBytes > packet.endOffset - frame ||
      headerBytes > OFFSET_MAX)
  )
    return MISFIT;
  const isPartial = flags === VNET_FLAG_NEEDS_CSUM;
  if (isPartial && !fitsChecksum(view, vnet, packet, gsoType)) return MISFIT;
  if (gsoType === VNET_GSO_NONE) return 1;
  return isPartial ? countSegments(view, vnet, packet, gsoType) : MISFIT;
}

/** Whether the word that the kernel will write is a checksum that no verdict depends on. */
function fitsChecksum(view: DataView, vnet: number, packet: Packet, gsoType: number): boolean {
  // fragmentEnd is set by any fragment header, also that of an atomic fragment.
  if (packet.fragmentEnd !== 0) return false;
  const start = view.getUint16(vnet + VNET_CSUM_START, LITTLE_ENDIAN);
  const offset = view.getUint16(vnet + VNET_CSUM_OFFSET, LITTLE_ENDIAN);
  const frame = vnet + VNET_HDR_BYTES;
  const at = frame + start;
  if (start > OFFSET_MAX || at + offset + 2 > packet.endOffset) return false;
  const { protocol, transportOffset } = packet;
  if (protocol === PROTO_TCP || protocol === PROTO_UDP) {
    const field = protocol === PROTO_TCP ? TCP_CHECKSUM : UDP_CHECKSUM;
    if (at === transportOffset && offset === field) return true;
    return gsoType === VNET_GSO_NONE && at >= transportOffset + transportHeaderBytes(packet);
  }
  return protocol !== PROTO_ICMP && protocol !== PROTO_ICMPV6 && at >= transportOffset;
}

/** Bytes of the transport header of a whole TCP or UDP packet. */
function transportHeaderBytes(packet: Packet): number {
  if (packet.protocol === PROTO_UDP) return UDP_HEADER_BYTES;
  return packet.endOffset - packet.transportOffset - packet.tcpPayloadBytes;
}

/** Counts the segments of a superpacket with a partial checksum of its own. @returns MISFIT if it must be dropped */
function countSegments(view: DataView, vnet: number, packet: Packet, gsoType: number): number {
  const { protocol, transportOffset, endOffset, family } = packet;
  let segmentsMax = TCP_SEGMENTS_MAX;
  if (protocol === PROTO_TCP) {
    const expected = family === 4 ? VNET_GSO_TCPV4 : VNET_GSO_TCPV6;
    if ((gsoType & ~VNET_GSO_ECN) !== expected) return MISFIT;
    if ((packet.tcpFlags & (TCP_SYN | TCP_RST)) !== 0) return MISFIT;
  } else {
    segmentsMax = UDP_SEGMENTS_MAX;
    if (protocol !== PROTO_UDP || gsoType !== VNET_GSO_UDP_L4) return MISFIT;
    if (view.getUint16(transportOffset + UDP_LENGTH) !== endOffset - transportOffset) return MISFIT;
  }
  const size = view.getUint16(vnet + VNET_GSO_SIZE, LITTLE_ENDIAN);
  const payloadBytes = endOffset - transportOffset - transportHeaderBytes(packet);
  if (size === 0 || size === GSO_SIZE_SPECIAL || payloadBytes <= size) return MISFIT;
  const segments = Math.ceil(payloadBytes / size);
  return segments <= segmentsMax ? segments : MISFIT;
}
