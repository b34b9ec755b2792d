/**
 * Addresses to peers: what a policy's PrefixTable is taken from, kept from one policy to the next.
 *
 * The same address may stand for a peer for several reasons (two interfaces have it, a list names it twice), so
 * each (prefix, peer) is counted, and a prefix leads to a peer for as long as there is one reason.
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
  /** Prefix length, address words, peer → reasons. */
  private readonly reasons: WordTable;
  /** Prefix length, address words → value of NumberLists for the peers. */
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

  /** Adds (step 1) or takes away (step -1) a reason for a block to be a peer; of another family: nothing. */
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

  /** What it holds now; not changed by what comes after. */
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

/** PrefixTable.filter as it is kept: keys are counted by bit, so that one can go without another's bit. */
class PrefixFilter {
  words = new Int32Array(0);
  shift = 0;
  private readonly table: WordTable;
  private counts = new Uint8Array(0);
  private keys = 0;

  /** @param table what it is a filter of */
  constructor(table: WordTable) {
    this.table = table;
    this.resize(FILTER_LEAST_LOG2);
  }

  /** To be called after the key of this hash has come (step 1) or gone (step -1). */
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
    // One that is full is never empty again: the bit stays, at the price of probes that find nothing.
    if (this.counts[bit] < COUNT_MAX) this.counts[bit] += step;
    if (this.counts[bit] > 0) this.words[bit >>> 5] |= 1 << bit;
    else this.words[bit >>> 5] &= ~(1 << bit);
  }
}
