/**
 * Reads and raises what the two sides of a TCP connection have said, as five numbers a side: END, MAX_END, ACK, the
 * largest window in units of its scale, and the scale (tcp.ts). So a connection can be known in two places at once, the
 * flow table and the kernel's (offload/). All but the scale only grow, in the sequence space or as numbers, so what
 * either place has learned is merged by taking the greater.
 */
import { TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END, TCP_SIDE_MAX_END } from './entry.ts';
import { setWindow, WINDOW_UNITS_MAX, windowScale, windowUnits } from './tcp-window.ts';

export const SIDE_END = 0;
export const SIDE_MAX_END = 1;
export const SIDE_ACK = 2;
export const SIDE_WINDOW = 3;
export const SIDE_SCALE = 4;
export const SIDE_WORDS = 5;

/** Writes the five numbers of a side to `to`, from `index` on. @param at place of the flow's state */
export function readSide(
  words: Int32Array,
  at: number,
  isOpener: boolean,
  to: Int32Array,
  index: number,
): void {
  const side = at + (isOpener ? TCP_OPENER : TCP_OTHER);
  to[index + SIDE_END] = words[side + TCP_SIDE_END];
  to[index + SIDE_MAX_END] = words[side + TCP_SIDE_MAX_END];
  to[index + SIDE_ACK] = words[side + TCP_SIDE_ACK];
  to[index + SIDE_WINDOW] = windowUnits(words, at, isOpener);
  to[index + SIDE_SCALE] = windowScale(words, at, isOpener);
}

/** The sequence number behind all that the opener has sent: before its first data, behind its SYN. */
export function openerEnd(words: Int32Array, at: number): number {
  return words[at + TCP_OPENER + TCP_SIDE_END];
}

/** Raises the numbers of a side to those in `from`, where these are ahead. */
export function raiseSide(
  words: Int32Array,
  at: number,
  isOpener: boolean,
  from: Int32Array,
  index: number,
): void {
  const side = at + (isOpener ? TCP_OPENER : TCP_OTHER);
  raise(words, side + TCP_SIDE_END, from[index + SIDE_END]);
  raise(words, side + TCP_SIDE_MAX_END, from[index + SIDE_MAX_END]);
  raise(words, side + TCP_SIDE_ACK, from[index + SIDE_ACK]);
  const units = from[index + SIDE_WINDOW] & WINDOW_UNITS_MAX;
  if (units > windowUnits(words, at, isOpener)) setWindow(words, at, isOpener, units);
}

function raise(words: Int32Array, word: number, value: number): void {
  if (((value - words[word]) | 0) > 0) words[word] = value;
}
