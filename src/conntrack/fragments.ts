/**
 * Which fragments of a datagram go on: those of an admitted first one that bring only new bytes.
 *
 * Theory of operation
 *
 * A datagram is (gate, family, protocol, identification, source, destination). Its first fragment, which
 * decoding has made sure holds the whole of the headers, is judged like any packet. The verdict is kept
 * for 30 s for the rest, which carry no ports. Beside it stands the range of every fragment that went on,
 * and of those to come only the ones pass that touch none of them. So whatever a receiver does with
 * overlaps, it puts together the bytes that were judged, and no port or flag is written over.
 *
 * - A later fragment without its first drops: nobody can say what it is. It is not held back either:
 *   that would mean keeping bytes (64 KB a datagram) for whoever sends fragments without a first one,
 *   which is the memory that fragment floods aim at. A batch is judged in order, so only a path that
 *   reorders can bring this about, and then the sender's first fragment is late as well.
 * - A copy of a fragment, same range, drops alone: the receiver has had one, and our not comparing bytes
 *   can't be used to slip it another (RFC 8200 section 4.5 and the kernel ignore copies too).
 * - Any other overlap, a second end, or bytes beyond the end spoil the datagram: nothing more of it
 *   passes until its time is over (RFC 5722, which IPv4 gets as well; teardrop, RFC 1858, RFC 3128).
 * - More than PIECES_MAX fragments spoil it too: what is kept of a datagram has an end.
 * - A complete datagram is forgotten at once, so that its identification can be used again.
 * - A first fragment that was refused is remembered only so that the rest is counted by its name. Such
 *   datagrams make room before any other, take nobody's, and another first fragment begins them anew.
 *
 * Bounded: a fixed number of datagrams, found by a keyed hash, so that nobody can aim at a chain. Room is
 * shared by the port a packet came in by: when all of it is in use, the sender that holds the most loses
 * its oldest (shares.ts). A flood from one interface, the uplink included, evicts its own datagrams. It
 * costs datagrams in flight, never memory, and never lets anything through.
 */
import { FRAGMENT_FIRST, type Packet } from '../wire/packet.ts';
import { hashWords, type HashKey } from './hash.ts';
import { Shares } from './shares.ts';

/** How long a datagram may take to arrive, from its first fragment on: Linux's net.ipv4.ipfrag_time. */
const FRAGMENT_TIMEOUT_MS = 30_000;

/** 64 KB over the smallest MTU an IPv4 host must take (576 bytes) are 119 fragments. */
const PIECES_MAX = 128;

/** About 2.4 MB. */
const DATAGRAMS = 4096;
const SENDERS = 1024;

const KEY_WORDS = 10;
const STATE = KEY_WORDS;
const BEGUN_MS = KEY_WORDS + 1;
/** Its sender, or `refused`. */
const OWNER = KEY_WORDS + 2;
/** Next in the chain of its hash bucket, or in the list of those not in use. */
const CHAIN = KEY_WORDS + 3;
/** Neighbours among the datagrams of its sender, or among the refused ones, by age. */
const BEFORE = KEY_WORDS + 4;
const AFTER = KEY_WORDS + 5;
/** Highest end of a fragment so far. */
const REACHED = KEY_WORDS + 6;
/** End of the last fragment, or UNKNOWN_END. */
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

// What `offer` answers.
export const FRAGMENT_PASSES = 0;
/** A first fragment: to be judged, and the verdict to be told to `settle`. */
export const FRAGMENT_TO_JUDGE = 1;
/** No verdict of a first fragment is known. */
export const FRAGMENT_UNKNOWN = 2;
/** The first fragment was dropped, or an earlier one spoilt the datagram. */
export const FRAGMENT_OF_DROPPED = 3;
/** It overlaps another, or contradicts where the datagram ends. */
export const FRAGMENT_OVERLAPS = 4;
/** It covers exactly what another did. */
export const FRAGMENT_IS_COPY = 5;
/** One more than a datagram may have. */
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
  /** By sender its oldest and newest datagram; behind the senders, those of all that were refused. */
  private readonly oldest: Int32Array;
  private readonly newest: Int32Array;
  /** First datagram not in use. */
  private free = NONE;
  /** Where the search for datagrams out of time goes on. */
  private hand = 0;
  /** Bucket of `key`, for `settle`. */
  private bucket = 0;
  private sender = 0;

  /**
   * @param senders ports that packets may come in by, numbered from 0
   * @param datagrams how many may be under way at once
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

  /** Datagrams of a sender that were admitted and are remembered, those out of time included. */
  countOf(sender: number): number {
    return this.shares.of(sender);
  }

  /**
   * Takes note of a fragment at a gate (any number that tells gates apart) that came in by port `sender`.
   * @returns FRAGMENT_PASSES; FRAGMENT_TO_JUDGE, and `settle` must come next; or why it drops
   */
  offer(gate: number, sender: number, packet: Packet, nowMs: number): number {
    const at = this.findLive(gate, packet, nowMs);
    this.sender = sender;
    const state = at === NONE ? EMPTY : this.words[at + STATE];
    if (packet.fragment === FRAGMENT_FIRST) {
      if (state === SPOILT) return FRAGMENT_OF_DROPPED;
      if (state === ADMITTED) return this.add(at, packet);
      // Nothing of a refused one went on, so a new one can't be mixed with it.
      if (state === REFUSED) this.remove(at);
      return FRAGMENT_TO_JUDGE;
    }
    if (state === EMPTY) return FRAGMENT_UNKNOWN;
    return state === ADMITTED ? this.add(at, packet) : FRAGMENT_OF_DROPPED;
  }

  /** Keeps the verdict on the first fragment for which `offer` has just answered FRAGMENT_TO_JUDGE. */
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

  /** Adds a fragment to an admitted datagram, if it fits. */
  private add(at: number, packet: Packet): number {
    const { words } = this;
    const { fragmentOffset: start, fragmentEnd: end } = packet;
    const pieces = words[at + PIECES];
    const piece = pieceOf(packet);
    // In order, the usual way, nothing needs to be looked for.
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
    // No two overlap and none is beyond the end: as many bytes as that are all of them.
    if (words[at + BYTES] === words[at + END]) this.remove(at);
    return FRAGMENT_PASSES;
  }

  private spoil(at: number): number {
    this.words[at + STATE] = SPOILT;
    return FRAGMENT_OVERLAPS;
  }

  /** The packet's datagram, if it is known and in time; leaves `key` and `bucket` behind. */
  private findLive(gate: number, packet: Packet, nowMs: number): number {
    const { words, key, buckets } = this;
    // IPv6 names no protocol here: a later fragment only knows the fragment header's next header, which
    // may be an extension header in front of what the first fragment was judged by (RFC 8200 4.5).
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

  /** Looks at one datagram, and frees it if its time is over: so a round takes as many first fragments as there is room for. */
  private expireOne(nowMs: number): void {
    const at = this.hand * STRIDE;
    this.hand = this.hand + 1 === this.datagrams ? 0 : this.hand + 1;
    if (this.words[at + STATE] !== EMPTY && this.isExpired(at, nowMs)) this.remove(at);
  }

  /** Puts a datagram at the end of its owner's line. */
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

/** The offset's low three bits are 0: shifted by 14, it starts at bit 17. */
function startOf(piece: number): number {
  return (piece >>> 14) & 0xfff8;
}

function endOf(piece: number): number {
  return (piece >>> 1) & 0xffff;
}
