/**
 * The twin's view of virtio headers: what a driver may ask for a packet, as a list of conditions on a plain object.
 *
 * Sources: virtio 1.2 section 5.1.6 (fields; "if gso_type is not NONE, NEEDS_CSUM MUST be set"; ECN beside a TCP type),
 * docs/drop-reasons.md (`bad-offload`), docs/how-it-decides.md, "Checksums and segments". Nothing of src/ is used.
 */
import type { TwinPacket } from './twin-decode.ts';

export const VNET_BYTES = 10;

const TCP = 6;
const UDP = 17;
const ICMPS = [1, 58];
/** By gso_type without ECN: the protocol and family that it cuts. */
const CUTS: Readonly<Record<number, readonly string[]>> = {
  1: ['4 6'],
  4: ['6 6'],
  5: ['4 17', '6 17'],
};

interface Wishes {
  readonly flags: number;
  readonly gsoType: number;
  readonly hdrLen: number;
  readonly gsoSize: number;
  readonly csumStart: number;
  readonly csumOffset: number;
}

/**
 * @param vnet the virtio header  @param frame the frame behind it, in which the packet was decoded
 * @param packet its offsets count from `at`, where it begins in the frame
 * @returns packets on the wire, or undefined if the header does not fit
 */
export function countPlainly(
  vnet: Uint8Array,
  frame: Uint8Array,
  packet: TwinPacket,
  at: number,
): number | undefined {
  const wishes = read(vnet);
  const transport = at + packet.transportAt;
  const end = at + packet.end;
  const { flags, gsoType, hdrLen, csumStart, csumOffset } = wishes;
  // An Ethernet header is 14 bytes, and they may still come in front.
  const fits = (offset: number): boolean => offset + 14 < 65536;
  if (hdrLen > 0 && !(hdrLen >= transport && hdrLen <= end && fits(hdrLen))) return undefined;
  if (![0, 1, 2].includes(flags)) return undefined;
  const isWhole = packet.fragment === 'none' && packet.fragmentEnd === 0;
  if (flags === 1) {
    if (!isWhole || !fits(csumStart)) return undefined;
    const word = csumStart + csumOffset;
    if (word + 2 > end) return undefined;
    const isField =
      csumStart === transport &&
      ((packet.protocol === TCP && csumOffset === 16) ||
        (packet.protocol === UDP && csumOffset === 6));
    const judgedEnd = end - payloadBytes(packet);
    const isBehind = !ICMPS.includes(packet.protocol) && csumStart >= judgedEnd;
    if (!isField && !(isBehind && gsoType === 0)) return undefined;
  }
  if (gsoType === 0) return 1;
  if (flags !== 1) return undefined;
  return countPieces(wishes, frame, packet, transport, end);
}

function countPieces(
  { gsoType, gsoSize }: Wishes,
  frame: Uint8Array,
  packet: TwinPacket,
  transport: number,
  end: number,
): number | undefined {
  const { protocol, family, tcp } = packet;
  const hasEcn = gsoType >= 128;
  const cuts = CUTS[hasEcn ? gsoType - 128 : gsoType] ?? [];
  if (!cuts.includes(`${family} ${protocol}`)) return undefined;
  if (tcp === undefined) {
    if (hasEcn) return undefined;
    if (frame[transport + 4] * 256 + frame[transport + 5] !== end - transport) return undefined;
  } else if (tcp.flags.includes('S') || tcp.flags.includes('R')) return undefined;
  if (gsoSize < 1 || gsoSize > 65534) return undefined;
  let pieces = 0;
  for (let left = payloadBytes(packet); left > 0; left -= gsoSize) pieces++;
  const most = tcp === undefined ? 128 : 1024;
  return pieces > 1 && pieces <= most ? pieces : undefined;
}

/** What stands behind the header that was judged; all that is behind IP, of protocols that have none. */
function payloadBytes({ protocol, tcp, transportAt, end }: TwinPacket): number {
  if (tcp !== undefined) return tcp.payloadBytes;
  return end - transportAt - (protocol === UDP ? 8 : 0);
}

function read(vnet: Uint8Array): Wishes {
  const view = new DataView(vnet.buffer, vnet.byteOffset, VNET_BYTES);
  return {
    flags: view.getUint8(0),
    gsoType: view.getUint8(1),
    hdrLen: view.getUint16(2, true),
    gsoSize: view.getUint16(4, true),
    csumStart: view.getUint16(6, true),
    csumOffset: view.getUint16(8, true),
  };
}
