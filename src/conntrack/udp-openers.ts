/**
 * Remembers who opened the UDP flows that nobody tracks.
 *
 * Theory of operation
 *
 * Problem. An untracked flow ends when a change of rules takes away the rule that kept it untracked. But a UDP packet
 * does not show whether it is an answer or a new request. The next packet of the side that answered would open a flow
 * by the rules for its own direction, and the answers to it would let the other side in again, which the change shut
 * out. To block a whole range of ports is no way out: after "everything, both ways" was narrowed, nobody could ask a
 * name server.
 *
 * So the table keeps, for each untracked flow, who sent its first packet. The key is a hash of its tuple and
 * interface. A set has four places of 8 bytes; a new flow replaces the one that was used longest ago. The table has
 * 256 KB at all times. It decides nothing while the flow is untracked.
 *
 * Limits. It holds 32,768 flows. A flood of other untracked flows can make it forget an idle one. Two flows with the
 * same 31 bits of a keyed hash count as one. It does not outlive the process: after a restart, the first packet of a
 * flow counts as its opening.
 */
const WAYS = 4;
const SETS_BITS = 13;
const SETS = 1 << SETS_BITS;
/** A place has two words: the key with the side in its lowest bit, and nowMs of the flow's last packet. */
const PLACE_WORDS = 2;
const SET_WORDS = WAYS * PLACE_WORDS;
/** An odd constant of high entropy (from the digits of the golden ratio). */
const SPREAD = 0x9e3779b1 | 0;

export const OPENER_UNKNOWN = 0;
export const OPENER_LOCAL = 1;
export const OPENER_REMOTE = 2;

export class UdpOpeners {
  private readonly words = new Int32Array(SETS * SET_WORDS);
  /** Places in use. While it is 0, lookups stop at once. */
  private used = 0;

  /**
   * Notes a packet of an untracked flow.
   * @param hash of the tuple
   * @param port of the interface
   * @param isNew whether the packet opens the flow, whatever is known of an earlier one
   * @param idleMs a flow that was idle for longer is another flow
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

  /** Tells who opened the flow of a packet that is no longer untracked, and renews the place. @returns OPENER_… */
  ask(hash: number, port: number, idleMs: number, nowMs: number): number {
    if (this.used === 0) return OPENER_UNKNOWN;
    const { words } = this;
    const at = this.find(keyOf(hash, port));
    if (at < 0 || ((nowMs - words[at + 1]) | 0) > idleMs) return OPENER_UNKNOWN;
    words[at + 1] = nowMs;
    return (words[at] & 1) !== 0 ? OPENER_LOCAL : OPENER_REMOTE;
  }

  /** Forgets a flow that was opened anew and is tracked. */
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

/** The key of a flow: even, and not 0, which marks a free place. */
function keyOf(hash: number, port: number): number {
  const spread = Math.imul(port + 1, SPREAD);
  const key = (hash ^ spread ^ (spread >>> 15)) & ~1;
  return key === 0 ? 2 : key;
}

function setOf(key: number): number {
  return (((key >>> 1) & (SETS - 1)) * SET_WORDS) | 0;
}
