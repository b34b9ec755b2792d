/**
 * Checks whether a segment fits its connection's window, and notes what the segment says about it: conditions I to IV
 * of tcp.ts.
 */
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import { LIBERAL, OPENER_SCALE_SHIFT, OTHER_SCALE_SHIFT } from './states.ts';
import {
  FLOW_STATE,
  TCP_OPENER,
  TCP_OTHER,
  TCP_SIDE_ACK,
  TCP_SIDE_END,
  TCP_SIDE_MAX_END,
  TCP_WINDOWS,
} from './entry.ts';

/** Least distance that an acknowledgment may lie behind (van Rooij: a little more than the largest unscaled window). */
export const ACK_WINDOW_MIN = 66_000;
export const WINDOW_UNITS_MAX = 0xffff;
export const DATAGRAM_BYTES_MAX = 0xffff;
export const SCALE_MASK = 0x0f;

/**
 * Whether an RST is in the window. It must not lie behind what the receiver acknowledged, nor beyond the room that
 * the receiver offered. Its acknowledgment must satisfy conditions III and IV; some senders without one set it to 0.
 */
export function fitsReset(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): boolean {
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const acknowledged = words[receiver + TCP_SIDE_ACK];
  const ahead = (packet.tcpSequence - acknowledged) | 0;
  if (ahead < 0 || ahead > ((words[sender + TCP_SIDE_MAX_END] - acknowledged) | 0)) return false;
  const hasAck = (packet.tcpFlags & TCP_ACK) !== 0 && packet.tcpAcknowledgment !== 0;
  return (
    !hasAck ||
    fitsAcknowledgment(
      (packet.tcpAcknowledgment - words[receiver + TCP_SIDE_END]) | 0,
      maxWindow(words, at, fromOpener),
    )
  );
}

/**
 * Conditions III and IV.
 * @param ahead the acknowledgment's distance from the receiver's END
 * @param window the largest window that the sender offered, in bytes
 */
function fitsAcknowledgment(ahead: number, window: number): boolean {
  return ahead <= 0 && ahead >= -(window > ACK_WINDOW_MIN ? window : ACK_WINDOW_MIN);
}

/**
 * Checks a segment without SYN by conditions I to IV, and notes what it says about the window. The code chooses the
 * words of the two sides once: to choose them at each use would be half the cost of a segment.
 * @param word the FLOW_STATE word
 * @returns whether the segment fits; if not, nothing was noted
 */
export function takeSegment(
  words: Int32Array,
  at: number,
  word: number,
  packet: Packet,
  fromOpener: boolean,
): boolean {
  const windows = words[at + TCP_WINDOWS];
  let sender = at + TCP_OPENER;
  let receiver = at + TCP_OTHER;
  let units = windows >>> 16;
  let scale = (word >>> OPENER_SCALE_SHIFT) & SCALE_MASK;
  let receiverWindow = (windows & WINDOW_UNITS_MAX) << ((word >>> OTHER_SCALE_SHIFT) & SCALE_MASK);
  if (!fromOpener) {
    sender = at + TCP_OTHER;
    receiver = at + TCP_OPENER;
    receiverWindow = units << scale;
    units = windows & WINDOW_UNITS_MAX;
    scale = (word >>> OTHER_SCALE_SHIFT) & SCALE_MASK;
  }
  const { tcpSequence, tcpAcknowledgment, tcpWindow, fragment } = packet;
  const knownEnd = words[sender + TCP_SIDE_END];
  const maxEnd = words[sender + TCP_SIDE_MAX_END];
  let end = (tcpSequence + packet.tcpPayloadBytes + (packet.tcpFlags & TCP_FIN)) | 0;
  if ((word & LIBERAL) === 0) {
    // Compare distances from END, not numbers with MAX_END. A number half the sequence space away would pass the
    // second comparison where data reached beyond the room, and move END to where nobody is.
    const room = (maxEnd - knownEnd) | 0;
    const start = (tcpSequence - knownEnd) | 0;
    let reach = (end - knownEnd) | 0;
    // The other fragments of a segment have no ports and are not seen here. They may be as long as a datagram.
    if (fragment !== FRAGMENT_NONE) reach = (reach + DATAGRAM_BYTES_MAX) | 0;
    const ahead = (tcpAcknowledgment - words[receiver + TCP_SIDE_END]) | 0;
    if (start > room) return false; // I
    if (reach < -unscaled(receiverWindow)) return false; // II
    if (!fitsAcknowledgment(ahead, units << scale)) return false;
  }
  if (fragment !== FRAGMENT_NONE) {
    // The other fragments may fill the room that was offered. Otherwise their acknowledgment would not pass.
    const left = (maxEnd - end) | 0;
    if (left > 0) end = (end + Math.min(left, DATAGRAM_BYTES_MAX)) | 0;
  }
  if (tcpWindow > units) setWindow(words, at, fromOpener, tcpWindow);
  if (((end - knownEnd) | 0) > 0) words[sender + TCP_SIDE_END] = end;
  if (((tcpAcknowledgment - words[sender + TCP_SIDE_ACK]) | 0) > 0)
    words[sender + TCP_SIDE_ACK] = tcpAcknowledgment;
  // A sender probes a window of 0 with one byte, so 0 counts as 1 (`unscaled`).
  raiseMaxEnd(words, receiver, (tcpAcknowledgment + unscaled(tcpWindow << scale)) | 0);
  return true;
}

/** Notes the largest window that a side offered, in units of its scale. */
export function setWindow(words: Int32Array, at: number, isOpener: boolean, units: number): void {
  const windows = words[at + TCP_WINDOWS];
  words[at + TCP_WINDOWS] = isOpener
    ? (units << 16) | (windows & WINDOW_UNITS_MAX)
    : (windows & ~WINDOW_UNITS_MAX) | units;
}

export function raiseMaxEnd(words: Int32Array, side: number, maxEnd: number): void {
  if (((maxEnd - words[side + TCP_SIDE_MAX_END]) | 0) > 0)
    words[side + TCP_SIDE_MAX_END] = maxEnd | 0;
}

/** Largest window that the side offered, in bytes. */
function maxWindow(words: Int32Array, at: number, isOpener: boolean): number {
  return windowUnits(words, at, isOpener) << windowScale(words, at, isOpener);
}

/** Largest window that the side offered, in units of its scale. */
export function windowUnits(words: Int32Array, at: number, isOpener: boolean): number {
  const windows = words[at + TCP_WINDOWS];
  return isOpener ? windows >>> 16 : windows & WINDOW_UNITS_MAX;
}

/** Scale of the windows that the side offers. */
export function windowScale(words: Int32Array, at: number, isOpener: boolean): number {
  const shift = isOpener ? OPENER_SCALE_SHIFT : OTHER_SCALE_SHIFT;
  return (words[at + FLOW_STATE] >>> shift) & SCALE_MASK;
}

export function unscaled(window: number): number {
  return window === 0 ? 1 : window;
}

/** Sequence number behind the packet: its data count, and SYN and FIN one each. */
export function endOf(packet: Packet): number {
  const flags = packet.tcpFlags;
  return (
    (packet.tcpSequence + packet.tcpPayloadBytes + ((flags & TCP_SYN) >>> 1) + (flags & TCP_FIN)) |
    0
  );
}
