/**
 * Keeps a packet loop's part of the flows that the kernel forwards: which entries are free, and in which slots flows
 * stand.
 *
 * Theory of operation
 *
 * The table is memory that the programs of native/offload/offload.bpf.c read while it changes. So a flow is written
 * whole before its slot names it, and its slot is cleared before its entry is given to another flow. A program may
 * still be at work on an entry that was just taken out: who frees one waits first (engine/offloaded-flows.ts), and
 * free entries are given out in the order in which they came, the longest free first.
 *
 * Slots belong to all loops, and a loop takes a free one by compare-and-swap. Entries are divided among them. A bucket
 * holds BUCKET_SLOTS flows. A flow that finds its bucket full goes by the loop, as before.
 */
import {
  SIDE_ACK,
  SIDE_END,
  SIDE_MAX_END,
  SIDE_WINDOW,
  SIDE_WORDS,
} from '../conntrack/tcp-sides.ts';
import type { Packet } from '../wire/packet.ts';
import {
  BUCKET_SLOTS,
  FLOW_FLAGS,
  FLOW_GENERATION,
  FLOW_HASH,
  FLOW_KIND,
  FLOW_LOOP,
  FLOW_LOWER,
  FLOW_PACKETS,
  FLOW_PLACES,
  FLOW_PORTS,
  FLOW_SEEN_MS,
  FLOW_SIDES,
  FLOW_UPPER,
  FLOW_WORDS,
  PASSES_FROM_LOWER,
  PASSES_FROM_UPPER,
  SLOT_FLOW_MASK,
  SLOT_TAG_MASK,
  type OffloadTables,
} from './layout.ts';

/** What `take` returns if no entry is free. */
export const NO_ENTRY = -1;

export class KernelFlows {
  readonly words: Int32Array;
  private readonly loop: number;
  private readonly buckets: Int32Array;
  private readonly bucketMask: number;
  /** Free entries, in the order they are given out: a ring. */
  private readonly free: Int32Array;
  private freeAt = 0;
  private freeCount: number;

  /**
   * @param loop number of the loop
   * @param first number of its first entry
   * @param capacity how many it has
   */
  constructor({ flows, buckets }: OffloadTables, loop: number, first: number, capacity: number) {
    this.loop = loop;
    this.words = flows;
    this.buckets = buckets;
    this.bucketMask = buckets.length / BUCKET_SLOTS - 1;
    this.free = Int32Array.from({ length: capacity }, (_, i) => first + i);
    this.freeCount = capacity;
  }

  /** Takes a free entry. The caller fills it, and calls `place` or `giveBack`. */
  take(): number {
    if (this.freeCount === 0) return NO_ENTRY;
    const entry = this.free[this.freeAt];
    this.freeAt = this.freeAt + 1 === this.free.length ? 0 : this.freeAt + 1;
    this.freeCount--;
    return entry;
  }

  /** Frees an entry that no slot names, and that no program can be at work on. */
  giveBack(entry: number): void {
    const { free } = this;
    const end = this.freeAt + this.freeCount;
    free[end < free.length ? end : end - free.length] = entry;
    this.freeCount++;
  }

  /**
   * Fills an entry for `place`, but for its generation, its time-out and when it was seen.
   * @param isLower whether the packet's source is the lower end
   * @param places port of the lower end's interface << 16 | the upper end's
   * @param sides what both ends have said (conntrack/tcp-sides.ts), the lower end first
   */
  fill(
    entry: number,
    packet: Packet,
    isLower: boolean,
    flags: number,
    places: number,
    sides: Int32Array,
  ): void {
    const { words } = this;
    const base = entry * FLOW_WORDS;
    const source = base + (isLower ? FLOW_LOWER : FLOW_UPPER);
    const destination = base + (isLower ? FLOW_UPPER : FLOW_LOWER);
    words[source] = packet.src0;
    words[source + 1] = packet.src1;
    words[source + 2] = packet.src2;
    words[source + 3] = packet.src3;
    words[destination] = packet.dst0;
    words[destination + 1] = packet.dst1;
    words[destination + 2] = packet.dst2;
    words[destination + 3] = packet.dst3;
    const { srcPort, dstPort, family, protocol } = packet;
    words[base + FLOW_PORTS] = isLower ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort;
    words[base + FLOW_KIND] = (family << 8) | protocol;
    words[base + FLOW_PLACES] = places;
    words[base + FLOW_LOOP] = this.loop;
    for (let i = 0; i < 2 * SIDE_WORDS; i++) words[base + FLOW_SIDES + i] = sides[i];
    for (let i = FLOW_PACKETS; i < FLOW_HASH; i++) words[base + i] = 0;
    words[base + FLOW_FLAGS] = flags;
  }

  setGeneration(entry: number, generation: number): void {
    Atomics.store(this.words, entry * FLOW_WORDS + FLOW_GENERATION, generation);
  }

  /** Raises what both ends of an entry have said. @param sides as for `fill` */
  raiseSides(entry: number, sides: Int32Array): void {
    const at = entry * FLOW_WORDS + FLOW_SIDES;
    for (let side = 0; side < 2 * SIDE_WORDS; side += SIDE_WORDS) {
      this.raise(at + side + SIDE_END, sides[side + SIDE_END]);
      this.raise(at + side + SIDE_MAX_END, sides[side + SIDE_MAX_END]);
      this.raise(at + side + SIDE_ACK, sides[side + SIDE_ACK]);
      this.raise(at + side + SIDE_WINDOW, sides[side + SIDE_WINDOW]);
    }
  }

  setSeen(entry: number, nowMs: number): void {
    Atomics.store(this.words, entry * FLOW_WORDS + FLOW_SEEN_MS, nowMs);
  }

  raiseSeen(entry: number, nowMs: number): void {
    this.raise(entry * FLOW_WORDS + FLOW_SEEN_MS, nowMs);
  }

  /** The entry, maybe another loop's, that slot `i` of a hash's bucket names; NO_ENTRY if it is of another hash. */
  entryAt(hash: number, i: number): number {
    const slot = this.buckets[(hash & this.bucketMask) * BUCKET_SLOTS + i];
    const isOther = slot === 0 || ((slot ^ hash) & SLOT_TAG_MASK) !== 0;
    return isOther ? NO_ENTRY : (slot & SLOT_FLOW_MASK) - 1;
  }

  /** Of the loop's own entries, the one that a slot names for the packet's tuple; NO_ENTRY if there is none. */
  find(packet: Packet, isLower: boolean, hash: number): number {
    for (let i = 0; i < BUCKET_SLOTS; i++) {
      const entry = this.entryAt(hash, i);
      if (entry !== NO_ENTRY && this.isOf(entry, packet, isLower, hash)) return entry;
    }
    return NO_ENTRY;
  }

  private isOf(entry: number, packet: Packet, isLower: boolean, hash: number): boolean {
    const { words } = this;
    const base = entry * FLOW_WORDS;
    const { srcPort, dstPort, family, protocol } = packet;
    const source = base + (isLower ? FLOW_LOWER : FLOW_UPPER);
    const destination = base + (isLower ? FLOW_UPPER : FLOW_LOWER);
    const ports = isLower ? (srcPort << 16) | dstPort : (dstPort << 16) | srcPort;
    return (
      words[base + FLOW_HASH] === hash &&
      words[base + FLOW_LOOP] === this.loop &&
      words[base + FLOW_KIND] === ((family << 8) | protocol) &&
      words[base + FLOW_PORTS] === ports &&
      words[source] === packet.src0 &&
      words[source + 1] === packet.src1 &&
      words[source + 2] === packet.src2 &&
      words[source + 3] === packet.src3 &&
      words[destination] === packet.dst0 &&
      words[destination + 1] === packet.dst1 &&
      words[destination + 2] === packet.dst2 &&
      words[destination + 3] === packet.dst3
    );
  }

  /** Lets the programs find an entry that has been filled. @returns false if its bucket is full */
  place(entry: number, hash: number): boolean {
    const { buckets } = this;
    const first = (hash & this.bucketMask) * BUCKET_SLOTS;
    const slot = slotOf(entry, hash);
    this.words[entry * FLOW_WORDS + FLOW_HASH] = hash;
    for (let i = first; i < first + BUCKET_SLOTS; i++)
      if (buckets[i] === 0 && Atomics.compareExchange(buckets, i, 0, slot) === 0) return true;
    return false;
  }

  /** Has the programs find an entry no more. One of them may still be at work on it. */
  displace(entry: number): void {
    const { buckets, words } = this;
    const at = entry * FLOW_WORDS;
    const hash = words[at + FLOW_HASH];
    const first = (hash & this.bucketMask) * BUCKET_SLOTS;
    const slot = slotOf(entry, hash);
    for (let i = first; i < first + BUCKET_SLOTS; i++)
      if (buckets[i] === slot) Atomics.store(buckets, i, 0);
    Atomics.and(words, at + FLOW_FLAGS, ~(PASSES_FROM_LOWER | PASSES_FROM_UPPER));
  }

  /** Raises a word in the sequence space. The programs do the same at the same time. */
  private raise(word: number, value: number): void {
    const { words } = this;
    let before = Atomics.load(words, word);
    while (((value - before) | 0) > 0) {
      const found = Atomics.compareExchange(words, word, before, value);
      if (found === before) return;
      before = found;
    }
  }
}

function slotOf(entry: number, hash: number): number {
  return ((entry + 1) & SLOT_FLOW_MASK) | (hash & SLOT_TAG_MASK);
}
