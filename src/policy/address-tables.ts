/**
 * Addresses to peers: what a policy's PrefixTable is taken from, kept from one policy to the next.
 *
 * The same address may stand for a peer for several reasons (two interfaces have it, a list names it twice), so
 * each (prefix, peer) is counted, and a prefix leads to a peer for as long as there is one reason.
 */
import { addressBits, maskWords, type Cidr, type Family } from '../addr/address.ts';
import type { PrefixTable } from './compiled.ts';
import type { NumberLists } from './peer-numbers.ts';
import { WordTable } from './word-table.ts';

export class AddressTable {
  private readonly family: Family;
  private readonly lists: NumberLists;
  private readonly addressWords: number;
  /** Prefix length, address words, peer → reasons. */
  private readonly reasons: WordTable;
  /** Prefix length, address words → list of peers. */
  private readonly peers: WordTable;
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
    const list = peers.get(prefixKey);
    const next = after === 0 ? lists.without(list, peer) : lists.with(list, peer);
    if (next === 0) peers.delete(prefixKey);
    else peers.set(prefixKey, next);
    if (list === 0) this.perLength[length]++;
    if (next === 0) this.perLength[length]--;
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
      };
    }
    return this.snapshot;
  }
}
