/**
 * Says who can reach whom by kinds: all interfaces with the same groups are one, and so are parts of the world that no
 * rule tells apart. A map or a matrix of a thousand interfaces is made of it.
 *
 * Theory of operation. Interfaces of a kind may still differ by their addresses, which blocks tell apart. So what is
 * compared are the classes of side.ts, each within one kind, and a kind reaches another if a class of it reaches a
 * class of the other. Most classes reach few others. So for each gate the peers of its rules say which classes come
 * into question (PeerIndex), and only those pairs are looked at. The work is done in slices, so that whoever else is
 * served by the thread waits for no more than SLICE_MS.
 *
 * The platform's interface is of no kind: it has no gate. Of an interface with several addresses of a family, the
 * first stands for all. The slow twin asks the plain judge about each pair of interfaces
 * (test/reach/kinds.property.test.ts).
 */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Family } from '../addr/address.ts';
import type {
  DnsPeer,
  Direction,
  GroupId,
  NetworkInterface,
  Peer,
  PolicyModel,
  Rule,
} from '../policy/model.ts';
import { peerKey } from '../policy/rules.ts';
import { intersect, servicesOf, unite, type ServiceSet } from '../policy/service-set.ts';
import type { Region } from './regions.ts';
import {
  classify,
  FAMILIES,
  namedEnds,
  outsideEnds,
  reachBetween,
  Side,
  type End,
} from './side.ts';

/** Pairs of classes that are looked at, and questions whether a peer includes a class; about ten seconds of work. */
const PAIRS_MAX = 300_000;
const QUESTIONS_MAX = 20_000_000;
const SLICE_MS = 15;

/** All interfaces with exactly the same groups. */
export interface Kind {
  /** Made of the ids of the groups. */
  readonly key: string;
  readonly groupIds: readonly GroupId[];
  readonly interfaces: readonly NetworkInterface[];
}

export type KindEnd =
  | { readonly kind: 'interfaces'; readonly of: Kind }
  /** Somebody in a group whose members are not all known. */
  | { readonly kind: 'member'; readonly groupId: GroupId }
  | { readonly kind: 'outside'; readonly regions: readonly Region[] }
  | { readonly kind: 'named'; readonly peer: DnsPeer };

/** What some member of one end can open to some member of the other. */
export interface KindReach {
  /** Places in `ends`. */
  readonly from: number;
  readonly to: number;
  readonly sure: ServiceSet;
  readonly maybe: ServiceSet;
  /** The rules of either gate that admit some of it, or may. */
  readonly rules: ReadonlySet<Rule>;
}

export interface ReachOfKinds {
  readonly ends: readonly KindEnd[];
  readonly pairs: readonly KindReach[];
  /** Not all pairs were looked at. */
  readonly isTooLarge: boolean;
}

/** The kinds of a model's interfaces, in the order of their first interfaces. */
export function kindsOf({ interfaces }: Pick<PolicyModel, 'interfaces'>): readonly Kind[] {
  const kinds = new Map<string, NetworkInterface[]>();
  for (const one of interfaces.values()) {
    if (one.isPlatform === true) continue;
    const key = kindKey(one);
    const known = kinds.get(key);
    if (known === undefined) kinds.set(key, [one]);
    else known.push(one);
  }
  return [...kinds].map(([key, members]) => ({
    key,
    groupIds: members[0].groupIds,
    interfaces: members,
  }));
}

/** Groups that an interface may have are a part of it: two interfaces that may differ are not one kind. */
function kindKey({ groupIds, doubt }: NetworkInterface): string {
  const may = [...(doubt?.groups.keys() ?? [])].sort().join(' ');
  return `${[...new Set(groupIds)].sort().join(' ')}|${may}|${doubt?.gaps.length ?? 0}`;
}

export async function reachOfKinds(model: PolicyModel): Promise<ReachOfKinds> {
  const ends = new Ends(kindsOf(model));
  // Names need not be unique; ids are.
  const interfaces = new Map(
    [...model.interfaces].map(([id, one]) => [id, { ...one, name: id }] as const),
  );
  const side = new Side({ ...model, interfaces });
  const pairs = new Map<string, Mutable<KindReach>>();
  const work = { pairs: 0, questions: 0, sinceMs: performance.now() };
  const tooLarge = (): ReachOfKinds => ({
    ...{ ends: ends.all, pairs: [...pairs.values()], isTooLarge: true },
  });
  for (const family of FAMILIES) {
    const regions = outsideEnds([model], family);
    work.questions += (regions.length + interfaces.size) * side.addressPeers(family).length;
    if (work.questions > QUESTIONS_MAX) return tooLarge();
    const inside = classify([side], family).filter(([end]) => ends.hasPlaceFor(end));
    const outside = [
      ...regionClasses(side, regions, family),
      ...namedEnds([model]).map((end) => [end]),
    ];
    const classes = [...inside, ...outside];
    const index = new PeerIndex(side, classes, family, work);
    for (const [place, own] of inside.entries()) {
      const toward = [
        ...index.met(own[0], 'ingress').map((other) => [other, place] as const),
        ...index
          .met(own[0], 'egress')
          .filter((other) => other >= inside.length)
          .map((other) => [place, other] as const),
      ];
      for (const [from, to] of toward) {
        work.pairs++;
        if (work.pairs > PAIRS_MAX || work.questions > QUESTIONS_MAX) return tooLarge();
        note(pairs, ends, side, classes[from], classes[to], family);
      }
      if (performance.now() - work.sinceMs < SLICE_MS) continue;
      await nextTurn();
      work.sinceMs = performance.now();
    }
  }
  return { ends: ends.all, pairs: [...pairs.values()], isTooLarge: false };
}

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] };

function note(
  pairs: Map<string, Mutable<KindReach>>,
  ends: Ends,
  side: Side,
  from: readonly End[],
  to: readonly End[],
  family: Family,
): void {
  if (from[0].kind === 'named') return;
  // What an interface sends to itself meets no gate.
  if (from === to && from.length === 1 && from[0].kind === 'interface') return;
  const { sure, maybe, out, into } = reachBetween(side, from[0], to[0], family);
  if (maybe.length === 0) return;
  const rules = [...out, ...into].filter((rule) => intersect(servicesOf(rule), maybe).length > 0);
  const [source, target] = [ends.placeOf(side, from), ends.placeOf(side, to)];
  const key = `${source} ${target}`;
  const known = pairs.get(key);
  if (known === undefined) {
    pairs.set(key, { from: source, to: target, sure, maybe, rules: new Set(rules) });
    return;
  }
  known.sure = unite([known.sure, sure]);
  known.maybe = unite([known.maybe, maybe]);
  known.rules = new Set([...known.rules, ...rules]);
}

/** The ends of an answer, each once. */
class Ends {
  readonly all: KindEnd[];
  private readonly kinds: ReadonlyMap<string, number>;
  private readonly others = new Map<string, number>();

  constructor(kinds: readonly Kind[]) {
    this.all = kinds.map((of) => ({ kind: 'interfaces', of }));
    this.kinds = new Map(
      kinds.flatMap(({ interfaces }, place) => interfaces.map(({ id }) => [id, place] as const)),
    );
  }

  /** False of the platform. */
  hasPlaceFor(end: End): boolean {
    return end.kind !== 'interface' || this.kinds.has(end.name);
  }

  placeOf(side: Side, ends: readonly End[]): number {
    const [end] = ends;
    if (end.kind === 'interface') return this.kinds.get(end.name)!;
    const key = `${end.kind} ${end.name}`;
    const known = this.others.get(key);
    if (known !== undefined) return known;
    this.others.set(key, this.all.length);
    switch (end.kind) {
      case 'member':
        return this.all.push({ kind: 'member', groupId: side.members.get(end.name)! }) - 1;
      case 'named':
        return this.all.push({ kind: 'named', peer: end.peer }) - 1;
      case 'outside': {
        const regions = ends.flatMap((one) => (one.kind === 'outside' ? [one.region] : []));
        return this.all.push({ kind: 'outside', regions }) - 1;
      }
      default:
        return end satisfies never;
    }
  }
}

/** Parts of the world, those together that the same peers include. */
function regionClasses(
  side: Side,
  regions: readonly End[],
  family: Family,
): readonly (readonly End[])[] {
  const peers = side.addressPeers(family);
  const classes = new Map<string, End[]>();
  for (const end of regions) {
    const told = peers.map((peer) => {
      const answer = side.includes(peer, end, family);
      return answer === 'yes' ? '1' : answer === 'no' ? '0' : '?';
    });
    const key = told.join('');
    const known = classes.get(key);
    if (known === undefined) classes.set(key, [end]);
    else known.push(end);
  }
  return [...classes.values()];
}

/** Which classes a gate may admit, by the peers of its rules. */
class PeerIndex {
  private readonly side: Side;
  private readonly classes: readonly (readonly End[])[];
  private readonly family: Family;
  private readonly work: { questions: number };
  private readonly byPeer = new Map<string, readonly number[]>();

  constructor(
    side: Side,
    classes: readonly (readonly End[])[],
    family: Family,
    work: { questions: number },
  ) {
    this.side = side;
    this.classes = classes;
    this.family = family;
    this.work = work;
  }

  /** Places in `classes`, each once, in order. */
  met(own: End, direction: Direction): readonly number[] {
    const peers = this.side.peersAt(own, direction);
    if (peers === undefined) return this.classes.map((_, place) => place);
    const found = new Set<number>();
    for (const peer of peers) for (const place of this.includedBy(peer)) found.add(place);
    return [...found].sort((a, b) => a - b);
  }

  private includedBy(peer: Peer): readonly number[] {
    const key = peerKey(peer);
    const known = this.byPeer.get(key);
    if (known !== undefined) return known;
    this.work.questions += this.classes.length;
    const found = this.classes.flatMap(([end], place) =>
      this.side.includes(peer, end, this.family) === 'no' ? [] : [place],
    );
    this.byPeer.set(key, found);
    return found;
  }
}
