/**
 * Decides which fragments of a datagram pass: those of an admitted first fragment that bring only new bytes.
 *
 * Theory of operation
 *
 * A datagram is (gate, family, protocol, identification, source, destination). Its first fragment is judged like any
 * packet: decoding has made sure that it holds all the headers. The table keeps that verdict for 30 s for the other
 * fragments, which carry no ports. It also keeps the range of every fragment that passed. A later fragment passes
 * only if it touches none of these ranges. So whatever a receiver does with overlaps, it puts together the bytes that
 * were judged, and nobody can overwrite a port or a flag.
 *
 * - A later fragment without its first one is dropped: nobody can say what it is. The table does not hold it back
 *   either.
 *   That would keep up to 64 KB a datagram for whoever sends fragments without a first one, and fragment floods aim
 *   at that memory. A batch is judged in order, so only a path that reorders packets delays the first fragment.
 * - A copy of a fragment, with the same range, is dropped, and the datagram lives on. The receiver has had that range
 *   already, so nobody can use a copy to replace bytes (RFC 8200 section 4.5 and the kernel ignore copies too).
 * - Any other overlap, a second end, or bytes beyond the end spoil the datagram: nothing more of it passes until its
 *   time
 *   is over (RFC 5722, applied to IPv4 too; teardrop, RFC 1858, RFC 3128).
 * - More than PIECES_MAX fragments spoil it too: this bounds the memory of a datagram.
 * - A complete datagram is forgotten at once, so that its identification can be used again.
 * - A refused first fragment is remembered only so that the other fragments are counted under the right reason. Such
 *   datagrams are evicted before any other, and never evict others. Another first fragment starts them anew.
 *
 * Bounds. The table holds a fixed number of datagrams. A keyed hash finds them, so nobody can aim at one chain.
 * Senders (the ports that packets come in by) share the room. When it is full, the sender that holds the most loses
 * its oldest datagram (shares.ts). So a flood from one interface, the uplink included, evicts its own datagrams. A
 * flood costs datagrams in flight, but no memory, and it lets nothing through.
 */
import { FRAGMENT_FIRST, type Packet } from '../wire/packet.ts';
import { hashWords, type HashKey } from './hash.ts';
import { Shares } from './shares.ts';

/** How long a datagram may take to arrive, counted from its first fragment: Linux's net.ipv4.ipfrag_time. */
const FRAGMENT_TIMEOUT_MS = 30_000;

/** 64 KB in packets of the smallest MTU that an IPv4 host must take (576 bytes) are 119 fragments. */
const PIECES_MAX = 128;

/** About 2.4 MB. */
const DATAGRAMS = 4096;
const SENDERS = 1024;

const KEY_WORDS = 10;
const STATE = KEY_WORDS;
const BEGUN_MS = KEY_WORDS + 1;
/** The datagram's sender, or `refused`. */
const OWNER = KEY_WORDS + 2;
/** The next datagram in the chain of a hash bucket, or in the list of free ones. */
const CHAIN = KEY_WORDS + 3;
/** The next older and the next newer datagram of the same owner. */
const BEFORE = KEY_WORDS + 4;
const AFTER = KEY_WORDS + 5;
/** Highest end of the fragments that passed. */
const REACHED = KEY_WORDS + 6;
/** Where the datagram ends, from its last fragment; or UNKNOWN_END. */
const END = KEY_WORDS + 7;
const BYTES = KEY_WORDS + 8;
const PIECES = KEY_WORDS + 9;
/** A word for each fragment: 13 bits of offset in 8-byte units, 16 bits of end, 1 bit for more to follow. */
const PIECE = KEY_WORDS + 10;
const STRIDE = PIECE + PIECES_MAX;

const UNKNOWN_END = -1;
const NONE = -1;

const EMPTY = 0;
const ADMITTED = 1;
const REFUSED = 2;
const SPOILT = 3;

// What `offer` returns.
export const FRAGMENT_PASSES = 0;
/** A first fragment: the caller must judge it and pass the verdict to `settle`. */
export const FRAGMENT_TO_JUDGE = 1;
/** The table knows no first fragment of this datagram. */
export const FRAGMENT_UNKNOWN = 2;
/** The first fragment was dropped, or an earlier one spoilt the datagram. */
export const FRAGMENT_OF_DROPPED = 3;
/** It overlaps another fragment, or contradicts where the datagram ends. */
export const FRAGMENT_OVERLAPS = 4;
/** It has exactly the range of another fragment. */
export const FRAGMENT_IS_COPY = 5;
/** The datagram has PIECES_MAX fragments already. */
export const FRAGMENT_OVER_LIMIT = 6;

export class FragmentTable {
  private readonly words: Int32Array;
  private readonly buckets: Int32Array;
  private readonly key = new Int32Array(KEY_WORDS);
  private readonly k0: number;
  private readonly k1: number;
  private readonly datagrams: number;
  private readonly refused: number;
  private readonly shares: Shares;
  /** The oldest and newest datagram of each sender. Index `refused`: of all refused datagrams. */
  private readonly oldest: Int32Array;
  private readonly newest: Int32Array;
  /** First free datagram. */
  private free = NONE;
  /** Where the search for expired datagrams continues. */
  private hand = 0;
  /** Bucket of `key`. `offer` leaves it for `settle`. */
  private bucket = 0;
  private sender = 0;

  /**
   * @param senders ports that packets may come in by, numbered from 0
   * @param datagrams how many datagrams the table holds
   */
  constructor(key: HashKey, senders = SENDERS, datagrams = DATAGRAMS) {
    this.k0 = key.k0;
    this.k1 = key.k1;
    this.datagrams = datagrams;
    this.refused = senders;
    this.words = new Int32Array(datagrams * STRIDE);
    let buckets = 1;
    while (buckets < 2 * datagrams) buckets *= 2;
    this.buckets = new Int32Array(buckets).fill(NONE);
    this.shares = new Shares(senders);
    this.oldest = new Int32Array(senders + 1).fill(NONE);
    this.newest = new Int32Array(senders + 1).fill(NONE);
    for (let i = datagrams - 1; i >= 0; i--) this.release(i * STRIDE);
  }

  /** Admitted datagrams of a sender that the table remembers. Expired ones count until they are freed. */
  countOf(sender: number): number {
    return this.shares.of(sender);
  }

  /**
   * Looks at a fragment that arrived at `gate` (a number that distinguishes gates) from port `sender`.
   * @returns FRAGMENT_PASSES; FRAGMENT_TO_JUDGE, and the caller must call `settle` next; or why the fragment is
   *   dropped
   */
  offer(gate: number, sender: number, packet: Packet, nowMs: number): number {
    const at = this.findLive(gate, packet, nowMs);
    this.sender = sender;
    const state = at === NONE ? EMPTY : this.words[at + STATE];
    if (packet.fragment === FRAGMENT_FIRST) {
      if (state === SPOILT) return FRAGMENT_OF_DROPPED;
      if (state === ADMITTED) return this.add(at, packet);
      // Nothing of a refused datagram passed, so it can't be mixed with a new one.
      if (state === REFUSED) this.remove(at);
      return FRAGMENT_TO_JUDGE;
    }
    if (state === EMPTY) return FRAGMENT_UNKNOWN;
    return state === ADMITTED ? this.add(at, packet) : FRAGMENT_OF_DROPPED;
  }

  /** Keeps the verdict on the first fragment for which `offer` just returned FRAGMENT_TO_JUDGE. */
  settle(packet: Packet, passes: boolean, nowMs: number): void {
    this.expireOne(nowMs);
    if (this.free === NONE) {
      const victim = this.oldest[this.refused];
      if (victim !== NONE) this.remove(victim);
      else if (passes) this.remove(this.oldest[this.shares.largestFor(this.sender)]);
      else return;
    }
    const { words, key, buckets, bucket } = this;
    const owner = passes ? this.sender : this.refused;
    const at = this.free;
    this.free = words[at + CHAIN];
    for (let i = 0; i < KEY_WORDS; i++) words[at + i] = key[i];
    words[at + STATE] = passes ? ADMITTED : REFUSED;
    words[at + BEGUN_MS] = nowMs;
    words[at + OWNER] = owner;
    words[at + CHAIN] = buckets[bucket];
    buckets[bucket] = at;
    words[at + REACHED] = packet.fragmentEnd;
    words[at + END] = UNKNOWN_END;
    words[at + BYTES] = packet.fragmentEnd;
    words[at + PIECES] = 1;
    words[at + PIECE] = pieceOf(packet);
    this.line(at, owner);
    if (passes) this.shares.grow(owner);
  }

  /** Adds a fragment to an admitted datagram if it fits. */
  private add(at: number, packet: Packet): number {
    const { words } = this;
    const { fragmentOffset: start, fragmentEnd: end } = packet;
    const pieces = words[at + PIECES];
    const piece = pieceOf(packet);
    // Fragments usually come in order, and then none can overlap.
    if (start < words[at + REACHED]) {
      const last = at + PIECE + pieces;
      for (let i = at + PIECE; i < last; i++) {
        if (words[i] === piece) return FRAGMENT_IS_COPY;
        if (start < endOf(words[i]) && startOf(words[i]) < end) return this.spoil(at);
      }
    }
    const knownEnd = words[at + END];
    const isLast = packet.fragmentMore === 0;
    if (
      isLast
        ? knownEnd !== UNKNOWN_END || end < words[at + REACHED]
        : end > knownEnd && knownEnd !== UNKNOWN_END
    )
      return this.spoil(at);
    if (pieces === PIECES_MAX) {
      words[at + STATE] = SPOILT;
      return FRAGMENT_OVER_LIMIT;
    }
    words[at + PIECE + pieces] = piece;
    words[at + PIECES] = pieces + 1;
    words[at + BYTES] += end - start;
    if (isLast) words[at + END] = end;
    if (end > words[at + REACHED]) words[at + REACHED] = end;
    // No two fragments overlap and none reaches beyond the end. So when the bytes add up to the end, the datagram is
    // complete.
    if (words[at + BYTES] === words[at + END]) this.remove(at);
    return FRAGMENT_PASSES;
  }

  private spoil(at: number): number {
    this.words[at + STATE] = SPOILT;
    return FRAGMENT_OVERLAPS;
  }

  /** Finds the packet's datagram unless it has expired. Sets `key` and `bucket`. */
  private findLive(gate: number, packet: Packet, nowMs: number): number {
    const { words, key, buckets } = this;
    // In IPv6 the key has no protocol. A later fragment knows only the fragment header's next header, and that may be
    // an extension header in front of the protocol that the first fragment was judged by (RFC 8200 section 4.5).
    key[0] = (gate << 9) | (packet.family === 4 ? packet.protocol : 256);
    key[1] = packet.fragmentId;
    key[2] = packet.src0;
    key[3] = packet.src1;
    key[4] = packet.src2;
    key[5] = packet.src3;
    key[6] = packet.dst0;
    key[7] = packet.dst1;
    key[8] = packet.dst2;
    key[9] = packet.dst3;
    const bucket = hashWords(key, 0, KEY_WORDS, this.k0, this.k1) & (buckets.length - 1);
    this.bucket = bucket;
    for (let at = buckets[bucket]; at !== NONE; at = words[at + CHAIN]) {
      let i = 0;
      while (i < KEY_WORDS && words[at + i] === key[i]) i++;
      if (i < KEY_WORDS) continue;
      if (!this.isExpired(at, nowMs)) return at;
      this.remove(at);
      return NONE;
    }
    return NONE;
  }

  private isExpired(at: number, nowMs: number): boolean {
    return ((nowMs - this.words[at + BEGUN_MS]) | 0) > FRAGMENT_TIMEOUT_MS;
  }

  /** Looks at one datagram and frees it if it has expired. Each new first fragment pays for one such look. */
  private expireOne(nowMs: number): void {
    const at = this.hand * STRIDE;
    this.hand = this.hand + 1 === this.datagrams ? 0 : this.hand + 1;
    if (this.words[at + STATE] !== EMPTY && this.isExpired(at, nowMs)) this.remove(at);
  }

  /** Appends a datagram to its owner's list, as the newest. */
  private line(at: number, owner: number): void {
    const { words, oldest, newest } = this;
    const before = newest[owner];
    words[at + BEFORE] = before;
    words[at + AFTER] = NONE;
    if (before === NONE) oldest[owner] = at;
    else words[before + AFTER] = at;
    newest[owner] = at;
  }

  private remove(at: number): void {
    const { words, buckets, oldest, newest } = this;
    const bucket = hashWords(words, at, KEY_WORDS, this.k0, this.k1) & (buckets.length - 1);
    if (buckets[bucket] === at) buckets[bucket] = words[at + CHAIN];
    else {
      let previous = buckets[bucket];
      while (words[previous + CHAIN] !== at) previous = words[previous + CHAIN];
      words[previous + CHAIN] = words[at + CHAIN];
    }
    const owner = words[at + OWNER];
    const before = words[at + BEFORE];
    const after = words[at + AFTER];
    if (before === NONE) oldest[owner] = after;
    else words[before + AFTER] = after;
    if (after === NONE) newest[owner] = before;
    else words[after + BEFORE] = before;
    if (owner !== this.refused) this.shares.shrink(owner);
    this.release(at);
  }

  private release(at: number): void {
    this.words[at + STATE] = EMPTY;
    this.words[at + CHAIN] = this.free;
    this.free = at;
  }
}

function pieceOf(packet: Packet): number {
  return (packet.fragmentOffset << 14) | (packet.fragmentEnd << 1) | packet.fragmentMore;
}

/** The offset's low three bits are 0, so shifted by 14 it starts at bit 17. */
function startOf(piece: number): number {
  return (piece >>> 14) & 0xfff8;
}

function endOf(piece: number): number {
  return (piece >>> 1) & 0xffff;
}
