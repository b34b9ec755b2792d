/**
 * What the first fragment of a datagram was judged, for the later ones that carry no ports.
 *
 * Theory of operation. A datagram is (gate, family, protocol, identification, source, destination). Its
 * first fragment is judged like any packet; the verdict is kept here for 30 s and given to the rest. A
 * later fragment whose first one was not seen is dropped: without ports nobody can say what it is.
 *
 * Bounded: SETS sets of WAYS entries, hashed with the daemon's secret so that a flood can't aim at the
 * set of somebody else's datagram. A full set gives up its oldest entry: a flood of first fragments costs
 * datagrams in flight, never memory, and never lets anything through.
 *
 * A later fragment that starts before the end of the first would overwrite ports or flags that were
 * judged (RFC 1858 section 3, RFC 3128): it drops, and its datagram with it.
 */
import type { Packet } from '../wire/packet.ts';
import { hashWords, type HashKey } from './hash.ts';

/** How long a datagram may take to arrive: what design and kernel give it (RFC 8200 says 60 s, Linux 30 s). */
const FRAGMENT_TIMEOUT_MS = 30_000;

const SETS = 1024;
const WAYS = 4;
const KEY_WORDS = 10;
const VERDICT = KEY_WORDS;
const FIRST_END = KEY_WORDS + 1;
const SEEN = KEY_WORDS + 2;
const STRIDE = KEY_WORDS + 3;

/** Verdict words: 0 is an empty entry. */
const EMPTY = 0;
const PASS = 1;
const DROP = 2;

// What `laterFragment` answers.
export const FRAGMENT_PASSES = 0;
/** No verdict of a first fragment is known. */
export const FRAGMENT_UNKNOWN = 1;
/** The first fragment was dropped. */
export const FRAGMENT_OF_DROPPED = 2;
export const FRAGMENT_OVERLAPS = 3;

export class FragmentTable {
  private readonly words = new Int32Array(SETS * WAYS * STRIDE);
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly k0: number;
  private readonly k1: number;

  constructor(key: HashKey) {
    this.k0 = key.k0;
    this.k1 = key.k1;
  }

  /** Keeps the verdict on a first fragment at a gate (any number that tells gates apart). */
  firstFragment(gate: number, packet: Packet, passes: boolean, nowMs: number): void {
    const { words, key } = this;
    const set = this.setOf(gate, packet);
    let victim = set;
    let victimAge = -1;
    for (let way = 0; way < WAYS; way++) {
      const at = set + way * STRIDE;
      if (this.matches(at)) {
        victim = at;
        break;
      }
      const age =
        words[at + VERDICT] === EMPTY ? FRAGMENT_TIMEOUT_MS * 2 : (nowMs - words[at + SEEN]) | 0;
      if (age > victimAge) {
        victimAge = age;
        victim = at;
      }
    }
    for (let i = 0; i < KEY_WORDS; i++) words[victim + i] = key[i]!;
    words[victim + VERDICT] = passes ? PASS : DROP;
    words[victim + FIRST_END] = packet.fragmentEnd;
    words[victim + SEEN] = nowMs;
  }

  /** FRAGMENT_PASSES, or why not. */
  laterFragment(gate: number, packet: Packet, nowMs: number): number {
    const { words } = this;
    const set = this.setOf(gate, packet);
    for (let way = 0; way < WAYS; way++) {
      const at = set + way * STRIDE;
      if (!this.matches(at)) continue;
      if (((nowMs - words[at + SEEN]) | 0) > FRAGMENT_TIMEOUT_MS) return FRAGMENT_UNKNOWN;
      if (words[at + VERDICT] !== PASS) return FRAGMENT_OF_DROPPED;
      if (packet.fragmentOffset < words[at + FIRST_END]) {
        words[at + VERDICT] = DROP;
        return FRAGMENT_OVERLAPS;
      }
      return FRAGMENT_PASSES;
    }
    return FRAGMENT_UNKNOWN;
  }

  private matches(at: number): boolean {
    const { words, key } = this;
    if (words[at + VERDICT] === EMPTY) return false;
    for (let i = 0; i < KEY_WORDS; i++) if (words[at + i] !== key[i]) return false;
    return true;
  }

  /** Fills `key` and returns the word offset of its set. */
  private setOf(gate: number, packet: Packet): number {
    const { key } = this;
    // IPv6 names no protocol here: a later fragment only knows the fragment header's next header, which
    // may be an extension header in front of what the first fragment was judged by (RFC 8200 4.5).
    key[0] = (gate << 8) | (packet.family === 4 ? packet.protocol : 0);
    key[1] = packet.fragmentId;
    key[2] = packet.src0;
    key[3] = packet.src1;
    key[4] = packet.src2;
    key[5] = packet.src3;
    key[6] = packet.dst0;
    key[7] = packet.dst1;
    key[8] = packet.dst2;
    key[9] = packet.dst3;
    return (hashWords(key, 0, KEY_WORDS, this.k0, this.k1) & (SETS - 1)) * WAYS * STRIDE;
  }
}
