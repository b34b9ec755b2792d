/**
 * The flow table: which flows are tracked, in typed arrays over shared memory.
 *
 * Theory of operation
 *
 * Problem. Every packet of a tracked flow asks "is this flow known?", with keys that strangers choose,
 * for up to millions of flows, without allocating and without a pause. The control plane reads the
 * same memory from another thread to show flows and counts.
 *
 * Shape. Entries live in a slab: KEY_WORDS words of key, then STATE_WORDS words of state, so an entry's
 * number never changes while the flow lives. An open-addressed index of int32 slots finds them: 0 is
 * empty, else the low 24 bits are the entry's number plus one, the next 4 a tag of the hash, and the high 4
 * how far the slot is from the entry's home (FAR: that or more). Distance and tag together keep a probe
 * past a stranger's slot from visiting the slab (1 in 16 of those that share a home slips through), and
 * the distance lets a deletion move slots without visiting the slabs of their entries, each a miss of the
 * cache in a big table. The index has at least two slots an entry: 8 bytes a flow and about 1.5 probes.
 *
 * Key. (interface, protocol, role; local and remote port; local address; remote address). "Local" is the
 * instance's side, so both directions of a flow give the same key and no symmetric hash is needed; the
 * interface is part of it, so two interfaces never share state, whatever addresses they use. IPv4 and
 * IPv6 have a table each: a 4-word key and a 10-word key, one code path.
 *
 * Hash. In two steps: a keyed hash of what both gates of a packet have in common (protocol, addresses and
 * ports, the lower end first, so that either side's view gives the same), then a mix with interface and
 * role, which nobody who sends can choose freely. A packet pays for the first once. `touch` brings the
 * cache lines of a lookup in before it is made, so that those of a batch come together.
 *
 * Deletion. The slots behind the deleted one are moved up (backward shift), as passt and others do:
 * tombstones would make lookups slower with every flow that ever lived.
 *
 * Time. `nowMs` is int32 milliseconds modulo 2^32; ages are wrapped differences, right up to 24 days,
 * which is more than the longest time-out (5 days). An entry past its time-out counts as absent from
 * that moment (lookups check); its memory comes back when the sweep passes, a bounded number of entries
 * a tick. Rejected: a list in order of expiry (two more words an entry and a write to three entries for
 * every packet), and timers (allocation).
 *
 * Invariants. count ≤ capacity < index slots; an entry is free if and only if its STATE word is 0; every
 * entry that is not free is found by `find` with its own key. test/conntrack/table.test.ts holds all of
 * it against a Map.
 *
 * One writer (the packet loop). Readers on other threads may see an entry between two states; they
 * show it, they never decide by it.
 */
import { TupleHash } from './flow-hash.ts';
import type { HashKey } from './hash.ts';

/** Number of an entry in the slab; -1 is "none". Not to be mixed with slots or word offsets. */
export type FlowIndex = number;

export const NO_FLOW: FlowIndex = -1;

// Key words, from the entry's start.
/** port << 16 | role << 8 | protocol */
export const KEY_META = 0;
/** The role, in KEY_META: the local side asks (ICMP queries). */
export const KEY_ASKS_LOCALLY = 1 << 8;
/** local port << 16 | remote port */
export const KEY_PORTS = 1;
export const KEY_ADDRESSES = 2;
export const KEY_WORDS_4 = 4;
export const KEY_WORDS_6 = 10;

// State words, from the entry's start + keyWords.
/** nowMs of the packet that last kept the flow alive. */
export const FLOW_SEEN = 0;
/** State in bits 0–7, flags and window scales in bits 8–23 (conntrack/states.ts), incarnation in bits 24–30. 0 marks a free entry. */
export const FLOW_STATE = 1;
/** Number of the rule that admitted the flow in bits 0–19, policy generation modulo 4096 in bits 20–31. */
export const FLOW_RULE = 2;

// TCP alone (conntrack/tcp.ts): three words for the side that opened and three for the other.
export const TCP_OPENER = 3;
export const TCP_OTHER = 6;
/** Highest sequence number the side sent, plus one; highest it may send; highest it acknowledged. */
export const TCP_SIDE_END = 0;
export const TCP_SIDE_MAX_END = 1;
export const TCP_SIDE_ACK = 2;
/** Largest window offered, in units of its scale: the opener's in the high 16 bits, the other's in the low. */
export const TCP_WINDOWS = 9;
export const STATE_WORDS = 10;

// A free entry: the next free one plus one in word 0, the next incarnation in word 1.
const FREE_INCARNATION = 1;
const INCARNATION_STEP = 1 << 24;
const INCARNATION_BITS = 0x7f000000;

const ENTRY_BITS = 24;
const ENTRY_MASK = (1 << ENTRY_BITS) - 1;
// The mark of a slot, its high 8 bits: distance from home, tag.
const TAG_BITS = 4;
const TAG_SHIFT = 32 - TAG_BITS;
const STEP = 1 << TAG_BITS;
/** Mark of a slot so far from home that its distance is not in it. */
const FAR = 0xf0;
const FAR_SLOTS = FAR >>> TAG_BITS;
const TAGGED_ENTRY_MASK = (1 << (ENTRY_BITS + TAG_BITS)) - 1;

/** An odd constant of high entropy (from the digits of the golden ratio). */
const SPREAD = 0x9e3779b1 | 0;
/** Entry numbers plus one must fit the low bits of an index slot. */
export const FLOWS_MAX = ENTRY_MASK - 1;

// Header words, in front of the index.
const HEADER_COUNT = 0;
const HEADER_FREE = 1;
const HEADER_HIGH_WATER = 2;
const HEADER_CURSOR = 3;
const HEADER_WORDS = 4;

export interface FlowTableLayout {
  readonly capacity: number;
  readonly keyWords: typeof KEY_WORDS_4 | typeof KEY_WORDS_6;
}

/** Bytes of shared memory a table of this layout takes, index and header counted. */
export function flowTableBytes(layout: FlowTableLayout): number {
  return (
    4 *
    (HEADER_WORDS + indexSlots(layout.capacity) + layout.capacity * (layout.keyWords + STATE_WORDS))
  );
}

/** Those of them that are its index, all of which a table in use touches. */
export function flowIndexBytes(capacity: number): number {
  return 4 * indexSlots(capacity);
}

function indexSlots(capacity: number): number {
  let slots = 16;
  while (slots < 2 * capacity) slots *= 2;
  return slots;
}

export class FlowTable {
  readonly capacity: number;
  readonly keyWords: number;
  /** Words of an entry. */
  readonly stride: number;
  /** The slab: entry e starts at word e * stride. */
  readonly words: Int32Array;
  private readonly header: Int32Array;
  private readonly index: Int32Array;
  private readonly mask: number;
  /** Keys the mix of interface and role. */
  private readonly spread: number;
  /** What hashTuple is made with, for packets that have no key yet. */
  readonly tupleHash: TupleHash;
  private changed = 0;

  /**
   * @param buffer flowTableBytes(layout) bytes, zeroed for a new table
   * @throws RangeError if the layout does not fit the index or the buffer
   */
  constructor(layout: FlowTableLayout, key: HashKey, buffer: SharedArrayBuffer) {
    if (layout.capacity < 1 || layout.capacity > FLOWS_MAX) {
      throw new RangeError(`a flow table holds 1 to ${FLOWS_MAX} flows, not ${layout.capacity}`);
    }
    if (buffer.byteLength !== flowTableBytes(layout))
      throw new RangeError('flow table buffer of the wrong size');
    const slots = indexSlots(layout.capacity);
    this.capacity = layout.capacity;
    this.keyWords = layout.keyWords;
    this.stride = layout.keyWords + STATE_WORDS;
    this.header = new Int32Array(buffer, 0, HEADER_WORDS);
    this.index = new Int32Array(buffer, 4 * HEADER_WORDS, slots);
    this.words = new Int32Array(buffer, 4 * (HEADER_WORDS + slots));
    this.mask = slots - 1;
    this.spread = key.k1 | 0;
    this.tupleHash = new TupleHash(key);
  }

  /** Flows in the table, those past their time-out but not yet swept included. */
  get count(): number {
    return this.header[HEADER_COUNT];
  }

  /** Entries ever used at once: the sweep and the readers need to look no further. */
  get highWater(): number {
    return this.header[HEADER_HIGH_WATER];
  }

  /**
   * Grows by one with every flow that comes or goes: as long as it stays, `find` gives the same answers.
   * Modulo 2^32.
   */
  get changes(): number {
    return this.changed;
  }

  /** The entry whose key is key[0 … keyWords), or NO_FLOW. */
  find(key: Int32Array): FlowIndex {
    return this.findHashed(key, this.hashTuple(key, 0));
  }

  /** As find, with hashTuple of the key. */
  findHashed(key: Int32Array, tupleHash: number): FlowIndex {
    const { index, words, mask, keyWords, stride } = this;
    const hash = this.hashAt(tupleHash, key[KEY_META]);
    let mark = hash >>> TAG_SHIFT;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const value = index[slot];
      if (value === 0) return NO_FLOW;
      if (value >>> ENTRY_BITS === mark) {
        const entry = (value & ENTRY_MASK) - 1;
        const base = entry * stride;
        let i = 0;
        while (i < keyWords && words[base + i] === key[i]) i++;
        if (i === keyWords) return entry;
      }
      if (mark < FAR) mark += STEP;
    }
  }

  /** As findHashed in a table of 4-word keys, the key's words being these. */
  findHashed4(
    meta: number,
    ports: number,
    local: number,
    remote: number,
    tupleHash: number,
  ): FlowIndex {
    const { index, words, mask, stride } = this;
    const hash = this.hashAt(tupleHash, meta);
    let mark = hash >>> TAG_SHIFT;
    for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
      const value = index[slot];
      if (value === 0) return NO_FLOW;
      if (value >>> ENTRY_BITS === mark) {
        const entry = (value & ENTRY_MASK) - 1;
        const base = Math.imul(entry, stride);
        if (
          words[base] === meta &&
          words[base + KEY_PORTS] === ports &&
          words[base + KEY_ADDRESSES] === local &&
          words[base + KEY_ADDRESSES + 1] === remote
        )
          return entry;
      }
      if (mark < FAR) mark += STEP;
    }
  }

  /**
   * Reads the index slot where the key with this tuple hash and KEY_META word is likely to be found, so that its
   * cache line is on its way before anybody waits for it. @returns the slot, for entryOf
   */
  touchIndex(tupleHash: number, meta: number): number {
    return this.index[this.hashAt(tupleHash, meta) & this.mask];
  }

  /** The entry that an index slot names, or NO_FLOW. */
  entryOf(slot: number): FlowIndex {
    return (slot & ENTRY_MASK) - 1;
  }

  /** Reads both ends of an entry, so that its cache lines are on their way. @returns nothing of meaning */
  touchEntry(entry: FlowIndex): number {
    const base = entry * this.stride;
    return this.words[base] ^ this.words[base + this.stride - 1];
  }

  /**
   * The keyed hash of protocol, addresses and ports of the key at words[base]: the same for the keys that two
   * interfaces have for one flow, each being local at its own.
   */
  hashTuple(words: Int32Array, base: number): number {
    const { tupleHash } = this;
    const ports = words[base + KEY_PORTS];
    const protocol = words[base + KEY_META] & 0xff;
    const local = base + KEY_ADDRESSES;
    return this.keyWords === KEY_WORDS_4
      ? tupleHash.of4(words[local], words[local + 1], ports, protocol)
      : tupleHash.of6At(words, local, local + 4, ports, protocol);
  }

  /** The hash of a key: its tuple's, spread by interface and role, so that the two entries of a flow do not crowd. */
  private hashAt(tupleHash: number, meta: number): number {
    const spread = Math.imul((meta >>> 8) ^ this.spread, SPREAD);
    return tupleHash ^ spread ^ (spread >>> 15);
  }

  /**
   * Adds a flow with this key, which must not be in the table. Its state words are 0 but for the
   * incarnation in bits 24–30 of FLOW_STATE, which tells the flows apart that have the same entry one
   * after the other: the caller adds a state before anything else happens to the table.
   * @returns the entry, or NO_FLOW if the table is full
   */
  insert(key: Int32Array): FlowIndex {
    return this.insertHashed(key, this.hashTuple(key, 0));
  }

  /** As insert, with hashTuple of the key. */
  insertHashed(key: Int32Array, tupleHash: number): FlowIndex {
    const { header, index, words, mask, keyWords, stride } = this;
    if (header[HEADER_COUNT] >= this.capacity) return NO_FLOW;
    let entry = header[HEADER_FREE] - 1;
    let incarnation = 0;
    if (entry >= 0) {
      header[HEADER_FREE] = words[entry * stride];
      incarnation = words[entry * stride + FREE_INCARNATION];
    } else {
      entry = header[HEADER_HIGH_WATER]!;
      header[HEADER_HIGH_WATER] = entry + 1;
    }
    header[HEADER_COUNT]++;
    this.changed = (this.changed + 1) | 0;
    const base = entry * stride;
    for (let i = 0; i < keyWords; i++) words[base + i] = key[i]!;
    for (let i = keyWords; i < stride; i++) words[base + i] = 0;
    words[base + keyWords + FLOW_STATE] = incarnation;
    const hash = this.hashAt(tupleHash, key[KEY_META]);
    let mark = hash >>> TAG_SHIFT;
    let slot = hash & mask;
    while (index[slot] !== 0) {
      slot = (slot + 1) & mask;
      if (mark < FAR) mark += STEP;
    }
    index[slot] = (mark << ENTRY_BITS) | (entry + 1);
    return entry;
  }

  /** Removes an entry that is in use; its number may be given to another flow from now on. */
  remove(entry: FlowIndex): void {
    const { header, index, words, mask, keyWords, stride } = this;
    const base = entry * stride;
    let hole = this.homeOf(entry);
    while ((index[hole] & ENTRY_MASK) !== entry + 1) hole = (hole + 1) & mask;
    // Move up every following slot of the cluster that may stand at the hole: one whose home is not
    // between the hole (exclusive) and itself.
    for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
      const value = index[slot];
      if (value === 0) break;
      let distance = value >>> (ENTRY_BITS + TAG_BITS);
      if (distance === FAR_SLOTS) distance = (slot - this.homeOf((value & ENTRY_MASK) - 1)) & mask;
      const step = (slot - hole) & mask;
      if (distance < step) continue;
      const moved = distance - step < FAR_SLOTS ? distance - step : FAR_SLOTS;
      index[hole] = (moved << (ENTRY_BITS + TAG_BITS)) | (value & TAGGED_ENTRY_MASK);
      hole = slot;
    }
    index[hole] = 0;
    words[base + FREE_INCARNATION] =
      (words[base + keyWords + FLOW_STATE] + INCARNATION_STEP) & INCARNATION_BITS;
    words[base + keyWords + FLOW_STATE] = 0;
    words[base] = header[HEADER_FREE]!;
    header[HEADER_FREE] = entry + 1;
    header[HEADER_COUNT]--;
    this.changed = (this.changed + 1) | 0;
  }

  private homeOf(entry: FlowIndex): number {
    const { words } = this;
    const base = entry * this.stride;
    return this.hashAt(this.hashTuple(words, base), words[base + KEY_META]) & this.mask;
  }

  /**
   * The next entry for a sweep to look at, going round for ever; NO_FLOW if it is a free one.
   * Looking at `highWater` entries has looked at each once.
   */
  nextToSweep(): FlowIndex {
    const { header } = this;
    const end = header[HEADER_HIGH_WATER];
    if (end === 0) return NO_FLOW;
    let cursor = header[HEADER_CURSOR];
    if (cursor >= end) cursor = 0;
    header[HEADER_CURSOR] = cursor + 1;
    return this.words[cursor * this.stride + this.keyWords + FLOW_STATE] === 0 ? NO_FLOW : cursor;
  }
}
