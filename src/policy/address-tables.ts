/**
 * Maps address prefixes to peers. The table is kept from one policy to the next, and each policy's PrefixTable is a
 * copy of it.
 *
 * One prefix may belong to a peer for several reasons (two interfaces have the address, a list names it twice). So
 * reasons are counted by (prefix, peer), and a prefix leads to a peer while there is at least one.
 */
import { addressBits, maskWords, type Cidr, type Family } from '../addr/address.ts';
import type { PrefixTable } from './compiled.ts';
import type { NumberLists } from './peer-numbers.ts';
import { hashKey, shareWords, WordTable } from './word-table.ts';

const FILTER_BITS_PER_KEY = 8;
const FILTER_LEAST_LOG2 = 10;
const COUNT_MAX = 255;

export class AddressTable {
  private readonly family: Family;
  private readonly lists: NumberLists;
  private readonly addressWords: number;
  /** Key: prefix length, address words, peer. Value: number of reasons. */
  private readonly reasons: WordTable;
  /** Key: prefix length, address words. Value: the peers, as a value of NumberLists. */
  private readonly peers: WordTable;
  private readonly filter: PrefixFilter;
  private readonly reasonKey: Int32Array;
  private readonly prefixKey: Int32Array;
  /** Prefixes in use, by length. */
  private readonly perLength: Int32Array;
  private snapshot: PrefixTable | undefined;

  constructor(family: Family, lists: NumberLists) {
    this.family = family;
    this.lists = lists;
    this.addressWords = family === 4 ? 1 : 4;
    this.reasonKey = new Int32Array(2 + this.addressWords);
    this.prefixKey = new Int32Array(1 + this.addressWords);
    this.reasons = new WordTable(2 + this.addressWords);
    this.peers = new WordTable(1 + this.addressWords);
    this.filter = new PrefixFilter(this.peers);
    this.perLength = new Int32Array(addressBits(family) + 1);
  }

  /**
   * Adds (step 1) or removes (step -1) a reason for a block to belong to a peer. Ignores blocks of the other family.
   */
  change({ family, words, length }: Cidr, peer: number, step: 1 | -1): void {
    if (family !== this.family) return;
    const { reasonKey, prefixKey, reasons, peers, lists, addressWords } = this;
    reasonKey[0] = length;
    prefixKey[0] = length;
    for (let i = 0; i < addressWords; i++) {
      reasonKey[1 + i] = words[i];
      prefixKey[1 + i] = words[i];
    }
    reasonKey[1 + addressWords] = peer;
    const before = reasons.get(reasonKey);
    const after = before + step;
    if (after === 0) reasons.delete(reasonKey);
    else reasons.set(reasonKey, after);
    if (before !== 0 && after !== 0) return;
    this.snapshot = undefined;
    const hash = hashKey(prefixKey, 0, prefixKey.length);
    const known = peers.find(prefixKey, hash);
    const next = after === 0 ? lists.without(known, peer) : lists.with(known, peer);
    if (next === 0) peers.delete(prefixKey);
    else peers.set(prefixKey, next);
    if ((known === 0) === (next === 0)) return;
    const change = known === 0 ? 1 : -1;
    this.perLength[length] += change;
    this.filter.change(hash, change);
  }

  /** Returns the current content as a copy, which later changes leave alone. */
  share(): PrefixTable {
    if (this.snapshot === undefined) {
      const lengths = Array.from(this.perLength.keys())
        .filter((length) => this.perLength[length] > 0)
        .reverse();
      const ones = new Array<number>(this.addressWords).fill(-1);
      this.snapshot = {
        lengths: Uint8Array.from(lengths),
        masks: Int32Array.from(lengths.flatMap((length) => maskWords(ones, length))),
        table: this.peers.makeCopy(),
        filter: shareWords(this.filter.words),
        filterShift: this.filter.shift,
      };
    }
    return this.snapshot;
  }
}

/**
 * The filter of a PrefixTable, with a count for each bit, so that removing a key leaves the bits of other keys alone.
 */
class PrefixFilter {
  words = new Int32Array(0);
  shift = 0;
  private readonly table: WordTable;
  private counts = new Uint8Array(0);
  private keys = 0;

  /** @param table the table that it filters */
  constructor(table: WordTable) {
    this.table = table;
    this.resize(FILTER_LEAST_LOG2);
  }

  /** Updates the filter. Call it after the key with this hash was added (step 1) or removed (step -1). */
  change(hash: number, step: 1 | -1): void {
    this.keys += step;
    if (FILTER_BITS_PER_KEY * this.keys > this.counts.length) this.resize(33 - this.shift);
    else this.count(hash, step);
  }

  private resize(bitsLog2: number): void {
    this.shift = 32 - bitsLog2;
    this.counts = new Uint8Array(1 << bitsLog2);
    this.words = new Int32Array(1 << (bitsLog2 - 5));
    this.table.eachHash((hash) => {
      this.count(hash, 1);
    });
  }

  private count(hash: number, step: 1 | -1): void {
    const bit = hash >>> this.shift;
    // A full count can't go down any more: the bit stays set, and costs lookups that find nothing.
    if (this.counts[bit] < COUNT_MAX) this.counts[bit] += step;
    if (this.counts[bit] > 0) this.words[bit >>> 5] |= 1 << bit;
    else this.words[bit >>> 5] &= ~(1 << bit);
  }
}
