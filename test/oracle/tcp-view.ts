/** What our engine knows of the one TCP connection of a sequence, and van Rooij's bounds worked out from it. */
import {
  LIBERAL,
  OPENED_LOCALLY,
  OPENER_SCALE_SHIFT,
  OTHER_SCALE_SHIFT,
  REPLIED,
  STATE_MASK,
  STATE_NAMES,
} from '../../src/conntrack/states.ts';
import {
  FLOW_STATE,
  KEY_META,
  TCP_OPENER,
  TCP_OTHER,
  TCP_SIDE_ACK,
  TCP_SIDE_END,
  TCP_SIDE_MAX_END,
  TCP_WINDOWS,
  type FlowTable,
} from '../../src/conntrack/table.ts';
import type { Rig } from '../engine/rig.ts';
import type { Place, Sent } from './steps.ts';

const PROTO_TCP = 6;
const ACK_WINDOW_MIN = 66_000;

export interface SideView {
  readonly end: number;
  readonly maxEnd: number;
  readonly ack: number;
  readonly maxWindow: number;
}

export interface TcpView {
  readonly state: string;
  readonly openedFrom: Place;
  /** The windows of the connection are not judged. */
  readonly liberal: boolean;
  readonly replied: boolean;
  readonly openerScale: number;
  readonly opener: SideView;
  readonly other: SideView;
}

/** The tracked TCP connection; undefined if there is none. A sequence has one pair of ports, so never two. */
export function viewTcp(rig: Rig): TcpView | undefined {
  return viewIn(rig.flows4) ?? viewIn(rig.flows6);
}

function viewIn({ words, stride, keyWords, highWater }: FlowTable): TcpView | undefined {
  for (let entry = 0; entry < highWater; entry++) {
    const at = entry * stride + keyWords;
    const word = words[at + FLOW_STATE];
    if (word === 0 || (words[entry * stride + KEY_META] & 0xff) !== PROTO_TCP) continue;
    const side = (offset: number, units: number, shift: number): SideView => ({
      end: words[at + offset + TCP_SIDE_END],
      maxEnd: words[at + offset + TCP_SIDE_MAX_END],
      ack: words[at + offset + TCP_SIDE_ACK],
      maxWindow: Math.max(1, units) << ((word >>> shift) & 15),
    });
    const windows = words[at + TCP_WINDOWS];
    return {
      state: STATE_NAMES[word & STATE_MASK],
      openedFrom: (word & OPENED_LOCALLY) !== 0 ? 'in' : 'out',
      liberal: (word & LIBERAL) !== 0,
      replied: (word & REPLIED) !== 0,
      openerScale: (word >>> OPENER_SCALE_SHIFT) & 15,
      opener: side(TCP_OPENER, windows >>> 16, OPENER_SCALE_SHIFT),
      other: side(TCP_OTHER, windows & 0xffff, OTHER_SCALE_SHIFT),
    };
  }
  return undefined;
}

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
}

/** Undefined if the packet is not TCP. */
export function segmentOf({ packet }: Sent): Segment | undefined {
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
  return { flags, seq, end: (seq + bytes + marks) | 0, ack, bytes, window, sackAhead };
}

export type Bound =
  /** I: starts beyond the room the receiver has offered. */
  | 'beyond'
  /** II: ends a window behind what the sender has sent. */
  | 'behind'
  /** III: acknowledges what was not sent. */
  | 'ack-beyond'
  /** IV: acknowledges what was acknowledged long ago. */
  | 'ack-behind';

/** The bounds that the packet is outside of, in their order. */
export function brokenBounds(view: TcpView, from: Place, segment: Segment): Bound[] {
  const isOpener = from === view.openedFrom;
  const sender = isOpener ? view.opener : view.other;
  const receiver = isOpener ? view.other : view.opener;
  const ackWindow = Math.max(sender.maxWindow, ACK_WINDOW_MIN);
  const hasAck = segment.flags.includes('A');
  const broken: [Bound, boolean][] = [
    ['beyond', distance(segment.seq, sender.end) > distance(sender.maxEnd, sender.end)],
    ['behind', distance(segment.end, sender.end) + receiver.maxWindow < 0],
    ['ack-beyond', hasAck && distance(segment.ack, receiver.end) > 0],
    ['ack-behind', hasAck && distance(segment.ack, receiver.end) + ackWindow < 0],
  ];
  return broken.filter(([, isBroken]) => isBroken).map(([bound]) => bound);
}

/** How far `a` is ahead of `b` in the sequence space. */
export function distance(a: number, b: number): number {
  return (a - b) | 0;
}
