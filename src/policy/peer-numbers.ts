/** Gives numbers to peers and to lists of numbers. Compiled tables hold them in place of CIDRs, groups and names. */
import type { Family } from '../addr/address.ts';
import { dnsPeerText } from './dns-names.ts';
import { PEER_ANY_4, PEER_ANY_6, PEER_FIRST } from './compiled.ts';
import type { DnsPeer, Peer } from './model.ts';
import { shareWords } from './word-table.ts';

/** The family of a peer that is exactly /0, which makes flows untracked; undefined for any other peer. */
export function isAnywhere(peer: Peer): Family | undefined {
  return peer.kind === 'cidr' && peer.cidr.length === 0 ? peer.cidr.family : undefined;
}

export type NumberedPeer = readonly [number: number, peer: Peer];

/** The peers that rules have begun to name, and those that no rule names any more, since the last time. */
export interface PeerChanges {
  readonly added: readonly NumberedPeer[];
  readonly gone: readonly NumberedPeer[];
}

interface Naming {
  readonly peer: Peer;
  readonly key: string;
  rules: number;
}

/** Gives each distinct CIDR, prefix list, group and DNS name a number for as long as rules name it. */
export class PeerNumbers {
  private readonly numbers = new Map<string, number>();
  private readonly namings = new Map<number, Naming>();
  private readonly fresh = new Set<number>();
  private readonly unnamed = new Set<number>();
  private readonly dnsPeers = new Map<number, DnsPeer>();
  /** Numbers that are free again. They index arrays, so they are reused to keep the arrays short. */
  private readonly free: number[] = [];
  private next = PEER_FIRST;

  /** Counts one more rule that names the peer. @returns the peer's number */
  retain(peer: Peer): number {
    const anywhere = isAnywhere(peer);
    if (anywhere !== undefined) return anywhere === 4 ? PEER_ANY_4 : PEER_ANY_6;
    const key = keyOf(peer);
    const known = this.numbers.get(key);
    if (known !== undefined) {
      this.namings.get(known)!.rules++;
      return known;
    }
    const number = this.free.pop() ?? this.next++;
    this.numbers.set(key, number);
    this.namings.set(number, { peer, key, rules: 1 });
    this.fresh.add(number);
    if (peer.kind === 'dns') this.dnsPeers.set(number, peer);
    return number;
  }

  /** Counts one rule less that names the peer. */
  release(number: number): void {
    if (number < PEER_FIRST) return;
    const naming = this.namings.get(number)!;
    if (--naming.rules === 0) this.unnamed.add(number);
  }

  /** The DNS names, by number. */
  get names(): ReadonlyMap<number, DnsPeer> {
    return this.dnsPeers;
  }

  /** By number, 1 for a group. */
  groups(): Uint8Array {
    const found = new Uint8Array(this.next);
    for (const [number, { peer }] of this.namings) if (peer.kind === 'group') found[number] = 1;
    return found;
  }

  /** Returns the changes since the last call. Peers that no rule names lose their number now. */
  settle(): PeerChanges {
    const gone: NumberedPeer[] = [];
    for (const number of this.unnamed) {
      const { peer, key, rules } = this.namings.get(number)!;
      if (rules > 0) continue;
      this.numbers.delete(key);
      this.namings.delete(number);
      this.dnsPeers.delete(number);
      this.free.push(number);
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

/** What is the same for the same peer. */
function keyOf(peer: Peer): string {
  switch (peer.kind) {
    case 'cidr':
      return `${peer.cidr.words.join()}/${peer.cidr.length}`;
    case 'group':
      return peer.groupId;
    case 'prefixList':
      return peer.prefixListId;
    case 'dns':
      return dnsPeerText(peer);
    default:
      return peer satisfies never;
  }
}

/**
 * Stores lists of numbers, each once. Lists are only added: those of an earlier policy stay where they are.
 *
 * Tables keep a *value* for a list: 0 for none; a number above 0 for itself alone; minus (index into the words plus
 * 1) for several. Most lists have one number, and the packet path then need not read the list.
 */
export class NumberLists {
  private words = new Int32Array(256);
  private length = 0;
  private readonly known = new Map<string, number>();
  private shared: Int32Array | undefined;

  /** Words in use, with those of lists that nobody needs any more. */
  get size(): number {
    return this.length;
  }

  /** The numbers of a value. */
  at(value: number): number[] {
    if (value >= 0) return value === 0 ? [] : [value];
    return [...this.words.subarray(-value, -value + this.words[-value - 1])];
  }

  /** The value of these numbers, which are above 0, in this order. */
  add(numbers: readonly number[]): number {
    if (numbers.length < 2) return numbers.length === 0 ? 0 : numbers[0];
    const key = numbers.join();
    let value = this.known.get(key);
    if (value === undefined) {
      value = this.append(numbers);
      this.known.set(key, value);
    }
    return value;
  }

  /** The value of the same numbers and one more, in ascending order. */
  with(value: number, number: number): number {
    if (value === 0) return number;
    const numbers = this.at(value);
    return numbers.includes(number) ? value : this.add([...numbers, number].sort((a, b) => a - b));
  }

  /** The value without that number. */
  without(value: number, number: number): number {
    return this.add(this.at(value).filter((other) => other !== number));
  }

  /** Returns all lists, in shared memory. */
  share(): Int32Array {
    this.shared ??= shareWords(this.words.subarray(0, this.length));
    return this.shared;
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
    return -(at + 1);
  }
}
