/**
 * The flow table: it finds tracked flows by their key, in typed arrays over shared memory.
 *
 * Theory of operation
 *
 * Problem. Every packet of a tracked flow asks "is this flow known?", with keys that strangers choose, for up to
 * millions of flows. The answer must neither allocate nor pause. The control plane reads the same memory from another
 * thread to show flows and counts.
 *
 * Shape. Entries live in a slab: the words of the key, then STATE_WORDS words of state. An entry's number never
 * changes while the flow lives. An open-addressed index of int32 slots finds entries. A slot is 0 if it is empty.
 * Otherwise its low 24 bits are the entry's number plus one, the next 4 a tag of the hash, and the high 4 its
 * distance from the entry's home slot (FAR: that or more). A lookup compares distance and tag, and seldom reads the
 * entry of another flow (1 in 16 of those that share a home). A deletion moves slots by their distance and does not
 * read their entries, each of which would be a cache miss in a big table. The index has at least two slots an entry:
 * 8 bytes a flow and about 1.5 probes.
 *
 * Key. (interface, protocol, role; local and remote port; local address; remote address). "Local" is the instance's
 * side, so both directions of a flow give the same key. The interface is part of the key, so two interfaces never
 * share state, whatever addresses they use. IPv4 and IPv6 have a table each, with keys of 4 and 10 words and the same
 * code.
 *
 * Hash. It has two steps. The first is a keyed hash of what both gates of a packet have in common: protocol,
 * addresses and ports, the lower end first, so that either side's view gives the same. A packet pays for it once. The
 * second step mixes in interface and role, which no sender can choose freely. `touchIndex` and `touchEntry` fetch the
 * cache lines of a lookup ahead of it, so that those of a batch arrive together.
 *
 * Deletion. The slots behind the deleted one move up (backward shift), as in passt and others. Tombstones would make
 * lookups slower with every flow that ever lived.
 *
 * Time. `nowMs` is int32 milliseconds modulo 2^32. Ages are wrapped differences, right up to 24 days; the longest
 * default time-out is 5 days. Callers treat an entry past its time-out as absent. The sweep frees its memory later, a
 * bounded number of entries a tick. Rejected: a list in order of expiry (two more words an entry, and a write to
 * three entries for every packet). Rejected: timers (allocation).
 *
 * Invariants. count ≤ capacity < index slots. An entry is free if and only if its state is 0. `find` finds every used
 * entry by its key. test/conntrack/table.test.ts compares all of it with a Map.
 *
 * Only the packet loop writes. Readers on other threads may see an entry half changed. They show it, and never decide
 * by it.
 */
import { failInvariant } from './invariant.ts';
import {
  FLOW_STATE,
  type FlowFamily,
  type FlowIndex,
  type FlowSlab,
  INCARNATION_MASK,
  isUsed,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  KEY_WORDS_6,
  NO_FLOW,
  STATE_WORDS,
  stateOf,
  stateWordOf,
} from './entry.ts';
import { TupleHash } from './flow-hash.ts';
import type { HashKey } from './hash.ts';

// A free entry holds the number of the next free one plus one in word 0, and its next incarnation in word 1.
const FREE_INCARNATION = 1;
const INCARNATION_STEP = 1 << 24;

const ENTRY_BITS = 24;
const ENTRY_MASK = (1 << ENTRY_BITS) - 1;
// The mark of a slot is its high 8 bits: distance from home, then tag.
const TAG_BITS = 4;
const TAG_SHIFT = 32 - TAG_BITS;
const STEP = 1 << TAG_BITS;
/** The distance in the mark of a slot that is this far from home or farther. */
const FAR = 0xf0;
const FAR_SLOTS = FAR >>> TAG_BITS;
const TAGGED_ENTRY_MASK = (1 << (ENTRY_BITS + TAG_BITS)) - 1;

/** An odd constant of high entropy (from the digits of the golden ratio). */
const SPREAD = 0x9e3779b1 | 0;
/** The most flows in a table: an entry number plus one must fit the low bits of an index slot. */
export const FLOWS_MAX = ENTRY_MASK - 1;

// Header words, in front of the index.
const HEADER_COUNT = 0;
const HEADER_FREE = 1;
const HEADER_HIGH_WATER = 2;
const HEADER_CURSOR = 3;
const HEADER_WORDS = 4;

export interface FlowTableLayout {
  readonly capacity: number;
  readonly family: FlowFamily;
}

/** Bytes of shared memory that a table of this layout takes, with index and header. */
export function flowTableBytes(layout: FlowTableLayout): number {
  const { capacity, family } = layout;
  return 4 * (HEADER_WORDS + indexSlots(capacity) + capacity * (keyWordsOf(family) + STATE_WORDS));
}

function keyWordsOf(family: FlowFamily): number {
  return family === 4 ? KEY_WORDS_4 : KEY_WORDS_6;
}

/** Bytes of its index. A table in use touches all of them. */
export function flowIndexBytes(capacity: number): number {
  return 4 * indexSlots(capacity);
}

function indexSlots(capacity: number): number {
  let slots = 16;
  while (slots < 2 * capacity) slots *= 2;
  return slots;
}

export class FlowTable implements FlowSlab {
  readonly capacity: number;
  readonly family: FlowFamily;
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
  /** Computes the tuple hash of packets that have no key yet. */
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
    this.family = layout.family;
    this.keyWords = keyWordsOf(layout.family);
    this.stride = this.keyWords + STATE_WORDS;
    this.header = new Int32Array(buffer, 0, HEADER_WORDS);
    this.index = new Int32Array(buffer, 4 * HEADER_WORDS, slots);
    this.words = new Int32Array(buffer, 4 * (HEADER_WORDS + slots));
    this.mask = slots - 1;
    this.spread = key.k1 | 0;
    this.tupleHash = new TupleHash(key);
  }

  /** Flows in the table. Expired ones count until the sweep frees them. */
  get count(): number {
    return this.header[HEADER_COUNT];
  }

  /** Entries that were ever in use. The sweep and the readers look no further. */
  get highWater(): number {
    return this.header[HEADER_HIGH_WATER];
  }

  /**
   * Grows by one when a flow is added or removed, modulo 2^32. While it stays the same, `find` gives the same
   * answers.
   */
  get changes(): number {
    return this.changed;
  }

  /** The entry whose key is key[0 … keyWords), or NO_FLOW. */
  find(key: Int32Array): FlowIndex {
    return this.findHashed(key, this.hashTuple(key, 0));
  }

  /** Finds a key as find does. @param tupleHash hashTuple of the key */
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

  /** Finds a 4-word key as findHashed does, with the key's words as arguments. */
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
   * Reads the home slot of a key with this tuple hash and KEY_META word. That fetches its cache line before the
   * lookup needs it.
   * @returns the slot, for entryOf
   */
  touchIndex(tupleHash: number, meta: number): number {
    return this.index[this.hashAt(tupleHash, meta) & this.mask];
  }

  /** The entry in an index slot, or NO_FLOW for an empty one. */
  entryOf(slot: number): FlowIndex {
    return (slot & ENTRY_MASK) - 1;
  }

  /** Reads both ends of an entry to fetch its cache lines. @returns a number without meaning */
  touchEntry(entry: FlowIndex): number {
    const base = entry * this.stride;
    return this.words[base] ^ this.words[base + this.stride - 1];
  }

  /**
   * The keyed hash of protocol, addresses and ports of the key at words[base]. The two interfaces of one flow have
   * different keys, since each calls its own side local, and get the same hash.
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

  /**
   * The hash of a key. Interface and role spread the tuple hash, so that the two entries of a flow do not share a
   * home.
   */
  private hashAt(tupleHash: number, meta: number): number {
    const spread = Math.imul((meta >>> 8) ^ this.spread, SPREAD);
    return tupleHash ^ spread ^ (spread >>> 15);
  }

  /**
   * Adds a flow with this key, which must not be in the table. Its state word holds only the incarnation: the caller
   * must add a state before anything else happens to the table.
   * @returns the entry, or NO_FLOW if the table is full
   */
  insert(key: Int32Array): FlowIndex {
    return this.insertHashed(key, this.hashTuple(key, 0));
  }

  /** Adds a key as insert does. @param tupleHash hashTuple of the key */
  insertHashed(key: Int32Array, tupleHash: number): FlowIndex {
    const { header, index, words, mask, keyWords, stride } = this;
    if (header[HEADER_COUNT] >= this.capacity) return NO_FLOW;
    let entry = header[HEADER_FREE] - 1;
    let incarnation = 0;
    if (entry >= 0) {
      if (entry >= header[HEADER_HIGH_WATER] || stateOf(this, entry) !== 0)
        failInvariant('the list of free flow entries names one that is not free');
      header[HEADER_FREE] = words[entry * stride];
      incarnation = words[entry * stride + FREE_INCARNATION];
    } else {
      entry = header[HEADER_HIGH_WATER]!;
      if (entry >= this.capacity) failInvariant('more flow entries are used than there are');
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
    const home = hash & mask;
    let slot = home;
    while (index[slot] !== 0) {
      slot = (slot + 1) & mask;
      if (slot === home) failInvariant('the index of the flow table has no free slot');
      if (mark < FAR) mark += STEP;
    }
    index[slot] = (mark << ENTRY_BITS) | (entry + 1);
    return entry;
  }

  /** Removes an entry in use. Another flow may get its number from now on. */
  remove(entry: FlowIndex): void {
    const { header, index, words, mask, keyWords, stride } = this;
    if (entry < 0 || entry >= header[HEADER_HIGH_WATER] || stateOf(this, entry) === 0)
      failInvariant('a flow entry that is not in use was to be freed');
    const base = entry * stride;
    let hole = this.slotOf(entry);
    // Move up each following slot of the cluster that may stand at the hole: one whose home is not between the hole
    // (exclusive) and itself.
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
      (words[base + keyWords + FLOW_STATE] + INCARNATION_STEP) & INCARNATION_MASK;
    words[base + keyWords + FLOW_STATE] = 0;
    words[base] = header[HEADER_FREE]!;
    header[HEADER_FREE] = entry + 1;
    header[HEADER_COUNT]--;
    if (header[HEADER_COUNT] < 0) failInvariant('fewer than no flows are counted');
    this.changed = (this.changed + 1) | 0;
  }

  /** Checks that the index leads from the key of an entry in use to the entry. */
  assertIndexed(entry: FlowIndex): void {
    this.slotOf(entry);
  }

  /** Finds the index slot of an entry in use. All slots from its home to there are taken. */
  private slotOf(entry: FlowIndex): number {
    const { index, mask } = this;
    let slot = this.homeOf(entry);
    while ((index[slot] & ENTRY_MASK) !== entry + 1) {
      if (index[slot] === 0) failInvariant('the index of the flow table does not lead to an entry');
      slot = (slot + 1) & mask;
    }
    return slot;
  }

  private homeOf(entry: FlowIndex): number {
    const { words } = this;
    const base = entry * this.stride;
    return this.hashAt(this.hashTuple(words, base), words[base + KEY_META]) & this.mask;
  }

  /**
   * Returns the next entry for the sweep, going round for ever, or NO_FLOW if that entry is free. `highWater` calls
   * look at each entry once.
   */
  nextToSweep(): FlowIndex {
    const { header } = this;
    const end = header[HEADER_HIGH_WATER];
    if (end === 0) return NO_FLOW;
    if (end > this.capacity || header[HEADER_COUNT] > end)
      failInvariant('more flows are counted than there are entries');
    let cursor = header[HEADER_CURSOR];
    if (cursor >= end) cursor = 0;
    header[HEADER_CURSOR] = cursor + 1;
    return stateWordOf(this, cursor) === 0 ? NO_FLOW : cursor;
  }
}

/** Calls `visit` with each entry in use. For looks at a whole table: the packet path has no closures. */
export function forEachFlow(table: FlowTable, visit: (flow: FlowIndex) => void): void {
  for (let flow = 0; flow < table.highWater; flow++) if (isUsed(table, flow)) visit(flow);
}
