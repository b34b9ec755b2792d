/**
 * Puts interfaces into classes: those of one class get one group.
 *
 * Theory of operation. Interfaces may share a group if they offer the same services to the same classes, and ask the
 * same classes for the same. So the classes depend on each other. We begin with one class and split those whose members
 * differ, until none do: that gives the fewest classes of which each member is like the others.
 *
 * A rule between two classes admits each pair of their members, also pairs that were never seen; and a rule for
 * addresses outside admits each of them at each member. The bound says by how much: at most `factor` times as many
 * pairs as were seen, for each rule. A class that would break it is split, by whom exactly its members were seen with,
 * and what hangs on it is split again. It ends, since classes only become smaller, and a rule between two classes of
 * one interface each admits what was seen.
 */
import type { Direction } from '../policy/model.ts';

/** One end of a conversation that is kept. */
export interface Edge {
  readonly direction: Direction;
  /** Protocol and service, as a text. */
  readonly service: string;
  /** The number of the interface at the other end, or -1. */
  readonly peer: number;
  /** Where the other end is outside: its address, as a text; '' where everybody is to be admitted. */
  readonly address: string;
}

export interface ClassOptions {
  /** How many times as many pairs as were seen a rule may admit; at least 1. */
  readonly factor: number;
}

/**
 * @param edges by interface
 * @param apart interfaces with another text here never share a group: that of their VPC
 * @returns the class of each interface: 0 is that of interface 0, and so on in order
 */
export function classify(
  edges: readonly (readonly Edge[])[],
  apart: readonly string[],
  { factor }: ClassOptions,
): readonly number[] {
  let classes = renumber(apart);
  for (;;) {
    classes = refine(edges, classes);
    const split = splitExcess(edges, classes, factor);
    if (split === undefined) return classes;
    classes = split;
  }
}

/** Splits classes whose members differ in what they do with which classes, until none do. */
function refine(edges: readonly (readonly Edge[])[], begin: readonly number[]): readonly number[] {
  let classes = begin;
  for (let count = countOf(classes); ;) {
    const signatures = edges.map((own, i) => {
      const parts = own.map(
        ({ direction, service, peer, address }) =>
          `${direction} ${service} ${peer < 0 ? outsideOf(address) : classes[peer]}`,
      );
      return [`${classes[i]}`, ...[...new Set(parts)].sort()].join(';');
    });
    classes = renumber(signatures);
    const next = countOf(classes);
    if (next === count) return classes;
    count = next;
  }
}

/** The pairs of one rule. */
interface Pairs {
  readonly from: number;
  /** A class, or -1: outside. */
  readonly to: number;
  /** By interface: whom it was seen with. */
  readonly seen: Map<number, Set<string>>;
}

/** @returns undefined if no rule breaks the bound */
function splitExcess(
  edges: readonly (readonly Edge[])[],
  classes: readonly number[],
  factor: number,
): readonly number[] | undefined {
  const sizes = new Map<number, number>();
  for (const one of classes) sizes.set(one, (sizes.get(one) ?? 0) + 1);
  const marks = classes.map((one) => `${one}`);
  let isSplit = false;
  for (const { from, to, seen } of pairsOf(edges, classes).values()) {
    const size = sizes.get(from)!;
    if (size === 1 && (to < 0 || sizes.get(to) === 1)) continue;
    if (to < 0) {
      const parts = partsWithin(seen, factor);
      if (parts === undefined) continue;
      for (const [owner, part] of parts) marks[owner] += `,${part}`;
    } else {
      let pairs = 0;
      for (const peers of seen.values()) pairs += peers.size;
      const admitted = from === to ? size * (size - 1) : size * sizes.get(to)!;
      if (admitted <= factor * pairs) continue;
      markByPeers(seen, marks);
    }
    isSplit = true;
  }
  return isSplit ? renumber(marks) : undefined;
}

function pairsOf(
  edges: readonly (readonly Edge[])[],
  classes: readonly number[],
): ReadonlyMap<string, Pairs> {
  const rules = new Map<string, Pairs>();
  edges.forEach((own, owner) => {
    for (const { direction, service, peer, address } of own) {
      if (peer < 0 && address === '') continue;
      const to = peer < 0 ? -1 : classes[peer];
      const outside = peer < 0 ? outsideOf(address) : '';
      const key = `${classes[owner]} ${direction} ${service} ${to} ${outside}`;
      const rule: Pairs = rules.get(key) ?? { from: classes[owner], to, seen: new Map() };
      const peers = rule.seen.get(owner) ?? new Set<string>();
      rule.seen.set(owner, peers.add(peer < 0 ? address : `${peer}`));
      rules.set(key, rule);
    }
  });
  return rules;
}

/**
 * Puts the interfaces of a rule for outside into parts that keep the bound, each into the first that it fits in.
 * @returns the part of each; undefined if all fit in one
 */
function partsWithin(
  seen: ReadonlyMap<number, ReadonlySet<string>>,
  factor: number,
): ReadonlyMap<number, number> | undefined {
  const parts: { members: number; pairs: number; all: Set<string> }[] = [];
  const partOf = new Map<number, number>();
  for (const [owner, addresses] of seen) {
    let fits = parts.findIndex(({ members, pairs, all }) => {
      let together = all.size;
      for (const address of addresses) if (!all.has(address)) together++;
      return (members + 1) * together <= factor * (pairs + addresses.size);
    });
    if (fits < 0) fits = parts.push({ members: 0, pairs: 0, all: new Set() }) - 1;
    const part = parts[fits];
    part.members++;
    part.pairs += addresses.size;
    for (const address of addresses) part.all.add(address);
    partOf.set(owner, fits);
  }
  return parts.length === 1 ? undefined : partOf;
}

/** Marks members of both classes by whom exactly they were seen with. If all were seen with all, nothing is split. */
function markByPeers(seen: ReadonlyMap<number, ReadonlySet<string>>, marks: string[]): void {
  const back = new Map<number, string[]>();
  for (const [owner, peers] of seen) {
    marks[owner] += `,${[...peers].sort().join(' ')}`;
    for (const peer of peers) {
      const list = back.get(Number(peer)) ?? [];
      list.push(`${owner}`);
      back.set(Number(peer), list);
    }
  }
  for (const [peer, owners] of back) marks[peer] += `;${owners.sort().join(' ')}`;
}

/** Addresses of the two families are admitted by rules of their own. */
function outsideOf(address: string): string {
  if (address === '') return 'everybody';
  return address.includes(' ') ? 'IPv6' : 'IPv4';
}

/** Numbers texts in the order in which they first come. */
function renumber(texts: readonly string[]): readonly number[] {
  const numbers = new Map<string, number>();
  return texts.map((text) => {
    const known = numbers.get(text);
    if (known !== undefined) return known;
    numbers.set(text, numbers.size);
    return numbers.size - 1;
  });
}

function countOf(classes: readonly number[]): number {
  return new Set(classes).size;
}
