/** Numbers for peers and lists of numbers: what the compiled tables hold instead of CIDRs, groups and names. */
import type { Cidr, Family } from '../addr/address.ts';
import { PEER_ANY_4, PEER_ANY_6, PEER_FIRST } from './compiled.ts';
import type { GroupId, Peer } from './model.ts';

/** The family of a literal /0, which is a peer of its own (it makes flows untracked); undefined for any other peer. */
export function isAnywhere(peer: Peer): Family | undefined {
  return peer.kind === 'cidr' && peer.cidr.length === 0 ? peer.cidr.family : undefined;
}

/** Gives each distinct CIDR, prefix list and group that a rule names its number. */
export class PeerNumbers {
  private readonly numbers = new Map<string, number>();
  private next = PEER_FIRST;
  readonly cidrs: { readonly cidr: Cidr; readonly peer: number }[] = [];
  readonly prefixLists = new Map<string, number>();
  readonly groups = new Map<GroupId, number>();

  numberOf(peer: Peer): number {
    const anywhere = isAnywhere(peer);
    if (anywhere !== undefined) return anywhere === 4 ? PEER_ANY_4 : PEER_ANY_6;
    const key =
      peer.kind === 'cidr'
        ? `${peer.cidr.words.join()}/${peer.cidr.length}`
        : peer.kind === 'group'
          ? peer.groupId
          : peer.prefixListId;
    const known = this.numbers.get(key);
    if (known !== undefined) return known;
    const number = this.next++;
    this.numbers.set(key, number);
    if (peer.kind === 'cidr') this.cidrs.push({ cidr: peer.cidr, peer: number });
    else if (peer.kind === 'group') this.groups.set(peer.groupId, number);
    else this.prefixLists.set(peer.prefixListId, number);
    return number;
  }
}

/** Lists of numbers, each stored once. */
export class NumberLists {
  readonly words: number[] = [];
  private readonly known = new Map<string, number>();

  /** Another that starts with the same lists under the same numbers. */
  copy(): NumberLists {
    const copied = new NumberLists();
    copied.words.push(...this.words);
    for (const [key, at] of this.known) copied.known.set(key, at);
    return copied;
  }

  /** The list that `add` gave this number for. */
  at(indexPlus1: number): number[] {
    const start = indexPlus1;
    return this.words.slice(start, start + this.words[indexPlus1 - 1]);
  }

  /** The list of all numbers of two lists, in ascending order. */
  union(a: number, b: number): number {
    return this.add([...new Set([...this.at(a), ...this.at(b)])].sort((x, y) => x - y));
  }

  /** @returns index of the list plus 1 */
  add(numbers: readonly number[]): number {
    const key = numbers.join();
    let at = this.known.get(key);
    if (at === undefined) {
      at = this.words.length;
      this.words.push(numbers.length, ...numbers);
      this.known.set(key, at);
    }
    return at + 1;
  }
}
