/** Numbers for peers and lists of numbers: what the compiled tables hold instead of CIDRs, groups and names. */
import type { Family } from '../addr/address.ts';
import { PEER_ANY_4, PEER_ANY_6, PEER_FIRST } from './compiled.ts';
import type { Peer } from './model.ts';
import { shareWords } from './word-table.ts';

/** The family of a literal /0, which is a peer of its own (it makes flows untracked); undefined for any other peer. */
export function isAnywhere(peer: Peer): Family | undefined {
  return peer.kind === 'cidr' && peer.cidr.length === 0 ? peer.cidr.family : undefined;
}

export type NumberedPeer = readonly [number: number, peer: Peer];

/** Which peers are named, and which no longer are, since the last time. */
export interface PeerChanges {
  readonly added: readonly NumberedPeer[];
  readonly gone: readonly NumberedPeer[];
}

interface Naming {
  readonly peer: Peer;
  readonly key: string;
  rules: number;
}

/** Gives each distinct CIDR, prefix list and group its number for as long as rules name it. */
export class PeerNumbers {
  private readonly numbers = new Map<string, number>();
  private readonly namings = new Map<number, Naming>();
  private readonly fresh = new Set<number>();
  private readonly unnamed = new Set<number>();
  private next = PEER_FIRST;

  /** Notes one more rule that names the peer. @returns its number */
  retain(peer: Peer): number {
    const anywhere = isAnywhere(peer);
    if (anywhere !== undefined) return anywhere === 4 ? PEER_ANY_4 : PEER_ANY_6;
    const key =
      peer.kind === 'cidr'
        ? `${peer.cidr.words.join()}/${peer.cidr.length}`
        : peer.kind === 'group'
          ? peer.groupId
          : peer.prefixListId;
    const known = this.numbers.get(key);
    if (known !== undefined) {
      this.namings.get(known)!.rules++;
      return known;
    }
    const number = this.next++;
    this.numbers.set(key, number);
    this.namings.set(number, { peer, key, rules: 1 });
    this.fresh.add(number);
    return number;
  }

  /** Notes that one rule less names the peer. */
  release(number: number): void {
    if (number < PEER_FIRST) return;
    const naming = this.namings.get(number)!;
    if (--naming.rules === 0) this.unnamed.add(number);
  }

  /** What has changed since it was last called; peers that no rule names have no number from then on. */
  settle(): PeerChanges {
    const gone: NumberedPeer[] = [];
    for (const number of this.unnamed) {
      const { peer, key, rules } = this.namings.get(number)!;
      if (rules > 0) continue;
      this.numbers.delete(key);
      this.namings.delete(number);
      if (!this.fresh.delete(number)) gone.push([number, peer]);
    }
    const added = Array.from(this.fresh, (number): NumberedPeer => [
      number,
      this.namings.get(number)!.peer,
    ]);
    this.unnamed.clear();
    this.fresh.clear();
    return { added, gone };
  }
}

/** Lists of numbers, each stored once. Lists only come: those of an earlier policy stay where they were. */
export class NumberLists {
  private words = new Int32Array(256);
  private length = 0;
  private readonly known = new Map<string, number>();
  private readonly singles = new Map<number, number>();
  private shared: Int32Array | undefined;

  /** Words in use, those included that are of no use any more. */
  get size(): number {
    return this.length;
  }

  /** The list that `add` gave this number for. */
  at(indexPlus1: number): number[] {
    return [...this.words.subarray(indexPlus1, indexPlus1 + this.words[indexPlus1 - 1])];
  }

  /** The list with the number in it, in ascending order; `list` 0 is the empty one. */
  with(list: number, number: number): number {
    if (list === 0) return this.single(number);
    const numbers = this.at(list);
    return numbers.includes(number) ? list : this.add([...numbers, number].sort((a, b) => a - b));
  }

  /** The list without the number; 0 if nothing is left. */
  without(list: number, number: number): number {
    const numbers = this.at(list).filter((other) => other !== number);
    return numbers.length === 0 ? 0 : this.add(numbers);
  }

  /** @returns index of the list plus 1 */
  add(numbers: readonly number[]): number {
    if (numbers.length === 1) return this.single(numbers[0]);
    const key = numbers.join();
    let list = this.known.get(key);
    if (list === undefined) {
      list = this.append(numbers);
      this.known.set(key, list);
    }
    return list;
  }

  /** All lists, in shared memory. */
  share(): Int32Array {
    this.shared ??= shareWords(this.words.subarray(0, this.length));
    return this.shared;
  }

  private single(number: number): number {
    let list = this.singles.get(number);
    if (list === undefined) {
      list = this.append([number]);
      this.singles.set(number, list);
    }
    return list;
  }

  private append(numbers: readonly number[]): number {
    const at = this.length;
    this.length += 1 + numbers.length;
    if (this.length > this.words.length) {
      const wider = new Int32Array(2 * this.length);
      wider.set(this.words);
      this.words = wider;
    }
    this.words[at] = numbers.length;
    this.words.set(numbers, at + 1);
    this.shared = undefined;
    return at + 1;
  }
}
