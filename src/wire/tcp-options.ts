/** Finds the one TCP option that tracking needs: the window scale (RFC 9293 section 3.1, RFC 7323). */

const OPTION_END = 0;
const OPTION_NO_OPERATION = 1;
const OPTION_WINDOW_SCALE = 3;
const WINDOW_SCALE_BYTES = 3;
/** A larger shift counts as 14 (RFC 7323 section 2.3). */
const WINDOW_SCALE_MAX = 14;

/**
 * Finds the window scale among the options from `start` to `end`.
 * @returns 0–14; -1 if there is none, or if an option before it is malformed
 */
export function findWindowScale(view: DataView, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const kind = view.getUint8(at);
    if (kind === OPTION_END) return -1;
    if (kind === OPTION_NO_OPERATION) {
      at += 1;
      continue;
    }
    if (at + 2 > end) return -1;
    const bytes = view.getUint8(at + 1);
    if (bytes < 2 || at + bytes > end) return -1;
    if (kind === OPTION_WINDOW_SCALE && bytes === WINDOW_SCALE_BYTES) {
      const scale = view.getUint8(at + 2);
      return scale > WINDOW_SCALE_MAX ? WINDOW_SCALE_MAX : scale;
    }
    at += bytes;
  }
  return -1;
}
