/**
 * Who opened the UDP flows that nobody tracks.
 *
 * Theory of operation
 *
 * Problem. A flow that is untracked ends when a change of rules takes away what kept it so. But nothing in a UDP packet tells
 * an answer from a new request: the next packet of the side that answered would open a flow by the rules for its own
 * direction, and let the other side in again, which the change shut out. A whole range of ports can't be kept
 * shut either, or nobody could ask a name server any more after "everything, both ways" was narrowed.
 *
 * So of each untracked flow it is kept who sent its first packet: by the hash of its tuple and interface, in sets of four
 * places, 8 bytes each, of which the one used longest ago gives way. 256 KB, whatever comes. It decides nothing while the flow is
 * untracked.
 *
 * Limits. 32,768 flows; a flood of others, while they are untracked, makes it forget one that is idle meanwhile. Two
 * flows with the same 31 bits of a keyed hash are taken for one. It does not outlive the process: the first packet of
 * a flow after a restart counts as its opening.
 */
const WAYS = 4;
const SETS_BITS = 13;
const SETS = 1 << SETS_BITS;
/** A place: the key with the side in its lowest bit, and nowMs of the flow's last packet. */
const PLACE_WORDS = 2;
const SET_WORDS = WAYS * PLACE_WORDS;
/** An odd constant of high entropy (from the digits of the golden ratio). */
const SPREAD = 0x9e3779b1 | 0;

export const OPENER_UNKNOWN = 0;
export const OPENER_LOCAL = 1;
export const OPENER_REMOTE = 2;

export class UdpOpeners {
  private readonly words = new Int32Array(SETS * SET_WORDS);
  /** Places in use: where no UDP flow is untracked, none is looked for. */
  private used = 0;

  /**
   * Takes down a packet of an untracked flow.
   * @param hash of the tuple  @param port of the interface
   * @param idleMs a flow that has been idle for longer is another
   * @param isNew it opens the flow, whatever is known of one before
   */
  note(
    hash: number,
    port: number,
    fromLocal: boolean,
    isNew: boolean,
    idleMs: number,
    nowMs: number,
  ): void {
    const { words } = this;
    const key = keyOf(hash, port);
    let at = this.find(key);
    if (at < 0) {
      at = this.oldest(key, nowMs);
      if (words[at] === 0) this.used++;
    } else if (!isNew && ((nowMs - words[at + 1]) | 0) <= idleMs) {
      words[at + 1] = nowMs;
      return;
    }
    words[at] = fromLocal ? key | 1 : key;
    words[at + 1] = nowMs;
  }

  /** Who opened the flow of a packet that is untracked no longer, and renews what is known. @returns OPENER_… */
  ask(hash: number, port: number, idleMs: number, nowMs: number): number {
    if (this.used === 0) return OPENER_UNKNOWN;
    const { words } = this;
    const at = this.find(keyOf(hash, port));
    if (at < 0 || ((nowMs - words[at + 1]) | 0) > idleMs) return OPENER_UNKNOWN;
    words[at + 1] = nowMs;
    return (words[at] & 1) !== 0 ? OPENER_LOCAL : OPENER_REMOTE;
  }

  /** The flow has been opened anew, and is tracked. */
  forget(hash: number, port: number): void {
    if (this.used === 0) return;
    const at = this.find(keyOf(hash, port));
    if (at < 0) return;
    this.words[at] = 0;
    this.used--;
  }

  private find(key: number): number {
    const { words } = this;
    const first = setOf(key);
    for (let at = first; at < first + SET_WORDS; at += PLACE_WORDS)
      if ((words[at] & ~1) === key) return at;
    return -1;
  }

  /** A place of the key's set that is free, or the one used longest ago. */
  private oldest(key: number, nowMs: number): number {
    const { words } = this;
    const first = setOf(key);
    let oldest = first;
    for (let at = first; at < first + SET_WORDS; at += PLACE_WORDS) {
      if (words[at] === 0) return at;
      if (((nowMs - words[at + 1]) | 0) > ((nowMs - words[oldest + 1]) | 0)) oldest = at;
    }
    return oldest;
  }
}

/** Even, and not 0: that is a free place. */
function keyOf(hash: number, port: number): number {
  const spread = Math.imul(port + 1, SPREAD);
  const key = (hash ^ spread ^ (spread >>> 15)) & ~1;
  return key === 0 ? 2 : key;
}

function setOf(key: number): number {
  return (((key >>> 1) & (SETS - 1)) * SET_WORDS) | 0;
}
