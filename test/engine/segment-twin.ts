/**
 * What the kernel makes of a superpacket, written plainly: the packets of tcp_gso_segment and
 * __udp_gso_segment behind inet_gso_segment and ipv6_gso_segment, with their checksums worked out.
 */
import { checksum, concat, pseudoHeader, uint, with16 } from '../packets/build.ts';
import { GSO, NEEDS_CSUM, type Vnet } from './frames.ts';

const TCP = 6;
const UDP = 17;
const FIN_AND_PSH = 0x09;
const CWR = 0x80;

/** The packets of one write, as they would be on a wire. */
export function segment(vnet: Vnet, packet: Uint8Array): Uint8Array[] {
  const { gsoType = 0, gsoSize = 0 } = vnet;
  if (gsoType === 0) return [finish(vnet, packet)];
  const layout = layoutOf(packet);
  const { transport, payload, protocol, isIpv4 } = layout;
  checkSuperpacket(vnet, packet, layout);

  const pieces: Uint8Array[] = [];
  for (let at = payload; at < packet.length; at += gsoSize) {
    const data = packet.subarray(at, Math.min(at + gsoSize, packet.length));
    const isFirst = at === payload;
    const isLast = at + gsoSize >= packet.length;
    let ip: Uint8Array = packet.slice(0, transport);
    let header: Uint8Array = packet.slice(transport, payload);
    const bytes = header.length + data.length;
    if (isIpv4) {
      const id = (read16(ip, 4) + pieces.length) % 65536;
      ip = with16(with16(with16(ip, 2, transport + bytes), 4, id), 10, 0);
      ip = with16(ip, 10, checksum(ip));
    } else {
      ip = with16(ip, 4, bytes);
    }
    if (protocol === UDP) {
      header = with16(header, 4, bytes);
    } else {
      const sequence = (read32(header, 4) + at - payload) % 2 ** 32;
      header = concat(header.subarray(0, 4), uint(sequence, 4), header.subarray(8));
      if (!isLast) header[13] &= ~FIN_AND_PSH;
      if (!isFirst) header[13] &= ~CWR;
    }
    pieces.push(withChecksum(concat(ip, header, data)));
  }
  return pieces;
}

/** A packet that goes alone: a partial checksum is worked out, any other stays as it is. */
export function finish(vnet: Vnet, packet: Uint8Array): Uint8Array {
  if (((vnet.flags ?? 0) & NEEDS_CSUM) === 0) return packet;
  const { csumStart = 0, csumOffset = 0 } = vnet;
  // The field holds a sum that counts as part of what is summed up.
  const sum = checksum(packet.subarray(csumStart));
  const isUdp = layoutOf(packet).protocol === UDP;
  return with16(packet, csumStart + csumOffset, isUdp && sum === 0 ? 0xffff : sum);
}

interface Layout {
  readonly isIpv4: boolean;
  readonly protocol: number;
  /** Where the transport header and its payload begin. */
  readonly transport: number;
  readonly payload: number;
}

function layoutOf(packet: Uint8Array): Layout {
  const isIpv4 = packet[0] >>> 4 === 4;
  const protocol = packet[isIpv4 ? 9 : 6];
  const transport = isIpv4 ? (packet[0] % 16) * 4 : 40;
  const headerBytes = protocol === TCP ? (packet[transport + 12] >>> 4) * 4 : 8;
  return { isIpv4, protocol, transport, payload: transport + headerBytes };
}

/** What virtio_net_hdr_to_skb and the segmentation functions refuse, and a hint that they do not hold against the bytes. */
function checkSuperpacket(vnet: Vnet, packet: Uint8Array, layout: Layout): void {
  const { isIpv4, protocol, transport, payload } = layout;
  const { gsoSize = 0 } = vnet;
  const type = protocol === UDP ? GSO.udp : isIpv4 ? GSO.tcp4 : GSO.tcp6;
  const wrong = [
    [vnet.gsoType === type, 'gso_type'],
    [vnet.flags === NEEDS_CSUM, 'flags'],
    [vnet.hdrLen === payload, 'hdr_len'],
    [vnet.csumStart === transport, 'csum_start'],
    [vnet.csumOffset === (protocol === UDP ? 6 : 16), 'csum_offset'],
    [gsoSize > 0 && gsoSize < 0xffff, 'gso_size'],
    [packet.length - payload > gsoSize, 'one segment only'],
    [packet.length - payload <= 64 * gsoSize, 'more than 64 segments'],
    [read16(packet, isIpv4 ? 2 : 4) === packet.length - (isIpv4 ? 0 : 40), 'IP length'],
    [!isIpv4 || checksum(packet.subarray(0, transport)) === 0, 'IP checksum'],
    [protocol !== UDP || read16(packet, transport + 4) === packet.length - transport, 'UDP length'],
    [
      read16(packet, transport + vnet.csumOffset!) === pseudoSum(packet, layout),
      'partial checksum',
    ],
  ].filter(([isRight]) => isRight === false);
  if (wrong.length > 0)
    throw new Error(`a superpacket with a wrong ${wrong.map(([, what]) => what).join(', ')}`);
}

/** The partial checksum of a packet: its pseudo-header's sum, not complemented. */
export function partialChecksum(packet: Uint8Array): number {
  return pseudoSum(packet, layoutOf(packet));
}

function pseudoSum(packet: Uint8Array, { isIpv4, protocol, transport }: Layout): number {
  const [src, dst] = isIpv4
    ? [packet.subarray(12, 16), packet.subarray(16, 20)]
    : [packet.subarray(8, 24), packet.subarray(24, 40)];
  return 0xffff - checksum(pseudoHeader(src, dst, protocol, packet.length - transport));
}

function withChecksum(packet: Uint8Array): Uint8Array {
  const layout = layoutOf(packet);
  const csumOffset = layout.protocol === UDP ? 6 : 16;
  const partial = with16(packet, layout.transport + csumOffset, pseudoSum(packet, layout));
  return finish({ flags: NEEDS_CSUM, csumStart: layout.transport, csumOffset }, partial);
}

function read16(packet: Uint8Array, at: number): number {
  return packet[at] * 256 + packet[at + 1];
}

function read32(packet: Uint8Array, at: number): number {
  return read16(packet, at) * 65536 + read16(packet, at + 2);
}
