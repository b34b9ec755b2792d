/** TCP options (RFC 9293 section 3.1): the one that tracking needs. */

const OPTION_END = 0;
const OPTION_NO_OPERATION = 1;
const OPTION_WINDOW_SCALE = 3;
const WINDOW_SCALE_BYTES = 3;
/** A larger shift is taken for 14 (RFC 7323 section 2.3). */
const WINDOW_SCALE_MAX = 14;

/** The window scale among the options from `start` to `end`, 0–14; -1 if there is none, or none before the options go wrong. */
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
