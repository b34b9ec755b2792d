/** A TCP packet as the predicates of differences.ts look at it. */
import { fragmentOf } from './datagrams.ts';
import type { Sent } from './steps.ts';

const PROTO_TCP = 6;
const SCALE_MAX = 14;

/** A TCP packet taken apart, all numbers as int32 so that differences wrap. */
export interface Segment {
  readonly flags: string;
  readonly seq: number;
  readonly end: number;
  readonly ack: number;
  readonly bytes: number;
  /** As it stands in the header. */
  readonly window: number;
  /** How far the SACK block reaches beyond the acknowledgment; 0: there is none. */
  readonly sackAhead: number;
  /** Window scale that a SYN offers; undefined: none. Like the trackers, no more than 14. */
  readonly scale: number | undefined;
}

/** Undefined if the packet is not TCP. A first fragment stands for the whole segment, a later one for none. */
export function segmentOf(sent: Sent): Segment | undefined {
  if (sent.whole !== undefined && fragmentOf(sent.packet)?.start !== 0) return undefined;
  const packet = sent.whole ?? sent.packet;
  const is4 = packet[0] >>> 4 === 4;
  if (packet[is4 ? 9 : 6] !== PROTO_TCP) return undefined;
  const at = is4 ? 20 : 40;
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const bits = view.getUint8(at + 13);
  const flags = [...'FSRPAUEC'].filter((_, i) => (bits & (1 << i)) !== 0).join('');
  const headerBytes = (view.getUint8(at + 12) >>> 4) * 4;
  const bytes = packet.length - at - headerBytes;
  const seq = view.getInt32(at + 4);
  const ack = view.getInt32(at + 8);
  const marks = (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
  // The only options of packets without SYN: two NOPs, one SACK block.
  const hasSack = headerBytes === 32 && !flags.includes('S') && view.getUint8(at + 22) === 5;
  const sackAhead = hasSack ? (view.getInt32(at + 28) - ack) | 0 : 0;
  const window = view.getUint16(at + 14);
  // Those of a SYN: segment size, SACK permitted, NOP, window scale.
  const hasScale = flags.includes('S') && headerBytes >= 30 && view.getUint8(at + 27) === 3;
  const scale = hasScale ? Math.min(view.getUint8(at + 29), SCALE_MAX) : undefined;
  return { flags, seq, end: (seq + bytes + marks) | 0, ack, bytes, window, sackAhead, scale };
}

/** How far `a` is ahead of `b` in the sequence space. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}
