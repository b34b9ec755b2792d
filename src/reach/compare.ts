/**
 * Compares what two inputs allow: who can reach whom with what, and not how the rules are written.
 *
 * Theory of operation. The ends of a flow are the interfaces of either input, by their names; parts of the world, as
 * rules distinguish them; and for each group whose members are not all known, somebody in it. Between two ends an input
 * allows a set of services (policy/service-set.ts), which is exact: what the sender's egress admits and the receiver's
 * ingress too. It is computed twice, for what is certain and for what may be (policy/doubt.ts). The differences of
 * these sets are the answer. Who is not in an input reaches nobody there.
 *
 * Ends that no rule of either input distinguishes are one class, so the work grows with the kinds of ends and not with
 * their number. A property test asks the plain judge about single packets between single ends, and compares.
 */
import { formatCidr, type Address, type Family } from '../addr/address.ts';
import { peerIncludes, type Tri } from '../policy/doubt.ts';
import type {
  Direction,
  GroupId,
  NetworkInterface,
  Origin,
  Peer,
  PolicyModel,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import {
  EVERY_SERVICE,
  intersect,
  servicesOf,
  subtract,
  unite,
  type ServiceSet,
} from '../policy/service-set.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { joinRegions, regionIncludes, regionLabel, regionsOf, type Region } from './regions.ts';

/** Pairs of classes; a million took six seconds where this was written. */
const PAIRS_MAX = 2_000_000;
const FAMILIES: readonly Family[] = [4, 6];

export type DifferenceKind =
  'newly-allowed' | 'no-longer-allowed' | 'perhaps-newly-allowed' | 'perhaps-no-longer-allowed';

export interface Difference {
  readonly kind: DifferenceKind;
  /** Names of ends; those of `to` can be reached by all of `from`. */
  readonly from: readonly string[];
  readonly to: readonly string[];
  readonly families: readonly Family[];
  readonly services: ServiceSet;
  /** A rule that admits some of it, in the input that allows it. */
  readonly origin: Origin | undefined;
}

/** The same with ends that can still be put together. */
type Found = Omit<Difference, 'from' | 'to'> & {
  readonly from: readonly End[];
  readonly to: readonly End[];
};

/** An end of a flow. */
type End =
  | { readonly kind: 'interface'; readonly name: string }
  | { readonly kind: 'member'; readonly name: string }
  | { readonly kind: 'outside'; readonly name: string; readonly region: Region };

/** What an input allows between two ends, for certain and perhaps. */
interface Reach {
  readonly sure: ServiceSet;
  readonly maybe: ServiceSet;
}

const NOTHING: Reach = { sure: [], maybe: [] };
const EVERYTHING: Reach = { sure: EVERY_SERVICE, maybe: EVERY_SERVICE };

export interface Comparison {
  readonly differences: readonly Difference[];
  /** There are too many kinds of ends to compare; nothing was compared. */
  readonly isTooLarge: boolean;
}

export function compareModels(before: PolicyModel, after: PolicyModel): Comparison {
  const [old, now] = [new Side(before), new Side(after)];
  const found: Found[] = [];
  for (const family of FAMILIES) {
    const regions = regionsOf([before, after], family).map((region): End => ({
      kind: 'outside',
      name: regionLabel(region),
      region,
    }));
    // What comes from outside is told first.
    const classes = [...regions.map((end) => [end]), ...classify(old, now, family)];
    if (classes.length ** 2 > PAIRS_MAX) return { differences: [], isTooLarge: true };
    for (const from of classes)
      for (const to of classes) found.push(...comparePair(old, now, from, to, family));
  }
  return { differences: merge(found).map(nameEnds), isTooLarge: false };
}

/** One input, with its ends by name. */
class Side {
  readonly model: PolicyModel;
  readonly interfaces: ReadonlyMap<string, NetworkInterface>;
  /** Each group by the name of somebody in it. */
  readonly members: ReadonlyMap<string, GroupId>;
  /** The names of those who may be there, and are not known. */
  readonly open: readonly string[];

  constructor(model: PolicyModel) {
    this.model = model;
    const all = [...model.interfaces.values()];
    this.interfaces = new Map(all.map((one) => [one.name, one]));
    const used = new Set(all.flatMap(({ groupIds }) => groupIds));
    const groups = [...model.groups.values()];
    const nameOf = (group: SecurityGroup): string => `anybody in sg:${groupLabel(group)}`;
    this.members = new Map(groups.map((group) => [nameOf(group), group.id]));
    this.open = groups
      .filter(({ id, name, memberGaps = [] }) => {
        if (memberGaps.length > 0) return true;
        // Each VPC has a default group, which mostly nobody is in on purpose.
        return model.isElsewhere === true && !used.has(id) && name !== DEFAULT_GROUP_NAME;
      })
      .map(nameOf);
  }

  /** The address that stands for an interface; undefined if it has none of the family. */
  addressOf(name: string, family: Family): Address | undefined {
    return this.interfaces.get(name)?.addresses.find((one) => one.family === family);
  }

  has(end: End, family: Family): boolean {
    if (end.kind === 'outside') return true;
    if (end.kind === 'member') return this.members.has(end.name);
    return this.addressOf(end.name, family) !== undefined;
  }

  /** What the gate of an end admits to the other one. Outside there is no gate. */
  gate(
    own: End,
    direction: Direction,
    other: End,
    family: Family,
  ): Reach & { readonly rule?: Rule } {
    if (own.kind === 'outside') return EVERYTHING;
    const { groupIds, doubt } = this.holderOf(own);
    const sure: ServiceSet[] = [];
    const maybe: ServiceSet[] = [];
    let first: Rule | undefined;
    const read = (id: GroupId, isSure: boolean): void => {
      const group = this.model.groups.get(id);
      for (const rule of group?.[direction] ?? []) {
        const answer = this.includes(rule.peer, other, family);
        if (answer === 'no') continue;
        first ??= rule;
        (isSure && answer === 'yes' ? sure : maybe).push(servicesOf(rule));
      }
      for (const rule of group?.possible ?? [])
        if (rule.direction === direction && this.includes(rule.peer, other, family) !== 'no')
          maybe.push(servicesOf(rule));
      if (group === undefined || (group.gaps?.[direction] ?? []).length > 0)
        maybe.push(EVERY_SERVICE);
    };
    for (const id of groupIds) read(id, true);
    if (this.model.isElsewhere !== true) {
      const set = unite(sure);
      return { sure: set, maybe: set, ...(first === undefined ? {} : { rule: first }) };
    }
    for (const id of doubt?.groups.keys() ?? []) read(id, false);
    if ((doubt?.gaps.length ?? 0) > 0) maybe.push(EVERY_SERVICE);
    const rule = first === undefined ? {} : { rule: first };
    return { sure: unite(sure), maybe: unite([...sure, ...maybe]), ...rule };
  }

  private holderOf(end: End): Pick<NetworkInterface, 'groupIds' | 'doubt'> {
    if (end.kind === 'member') return { groupIds: [this.members.get(end.name)!] };
    return this.interfaces.get(end.name)!;
  }

  /** Whether a peer includes the other end. */
  includes(peer: Peer, end: End, family: Family): Tri {
    switch (end.kind) {
      case 'outside':
        return regionIncludes(peer, end.region, this.model);
      case 'member':
        return this.includesMember(peer, this.members.get(end.name)!, family);
      case 'interface': {
        const owner = this.interfaces.get(end.name)!;
        const address = this.addressOf(end.name, family)!;
        return peerIncludes(peer, address, owner, this.model);
      }
      default:
        return end satisfies never;
    }
  }

  /** Of somebody in a group nothing but that is known. What blocks admit is told of parts of the world. */
  private includesMember(peer: Peer, groupId: GroupId, family: Family): Tri {
    switch (peer.kind) {
      case 'group':
        return peer.groupId === groupId ? 'yes' : 'no';
      case 'cidr':
        return peer.cidr.family === family && peer.cidr.length === 0 ? 'yes' : 'no';
      case 'prefixList':
        return 'no';
      default:
        return peer satisfies never;
    }
  }

  /** What is the same for ends that no rule tells apart. */
  signatureOf(end: End, family: Family, peers: readonly Peer[]): string {
    if (!this.has(end, family)) return '';
    if (end.kind === 'member') return `member ${this.members.get(end.name)!}`;
    const { groupIds, doubt } = this.holderOf(end);
    const told = peers.map((peer) => {
      const answer = this.includes(peer, end, family);
      return answer === 'yes' ? '1' : answer === 'no' ? '0' : '?';
    });
    const may = [...(doubt?.groups.keys() ?? [])].sort().join(' ');
    return `${[...groupIds].sort().join(' ')}|${may}|${doubt?.gaps.length ?? 0}|${told.join('')}`;
  }

  /** All peers but groups, each once: those tell addresses apart. */
  addressPeers(family: Family): readonly Peer[] {
    const peers = new Map<string, Peer>();
    for (const { ingress, egress, possible = [] } of this.model.groups.values())
      for (const { peer } of [...ingress, ...egress, ...possible]) {
        if (peer.kind === 'cidr' && peer.cidr.family === family)
          peers.set(formatCidr(peer.cidr), peer);
        if (peer.kind === 'prefixList') peers.set(peer.prefixListId, peer);
      }
    return [...peers.values()];
  }
}

/** The interfaces and members of both inputs, those together that nothing tells apart. */
function classify(old: Side, now: Side, family: Family): readonly (readonly End[])[] {
  const [oldPeers, newPeers] = [old.addressPeers(family), now.addressPeers(family)];
  const ends: End[] = [
    ...[...new Set([...old.interfaces.keys(), ...now.interfaces.keys()])].map((name): End => ({
      kind: 'interface',
      name,
    })),
    ...[...new Set([...old.open, ...now.open])].map((name): End => ({
      kind: 'member',
      name,
    })),
  ];
  const classes = new Map<string, End[]>();
  for (const end of ends) {
    if (!old.has(end, family) && !now.has(end, family)) continue;
    const key = `${end.kind} ${old.signatureOf(end, family, oldPeers)} / ${now.signatureOf(end, family, newPeers)}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, [end]);
    else known.push(end);
  }
  return [...classes.values()];
}

function comparePair(
  old: Side,
  now: Side,
  from: readonly End[],
  to: readonly End[],
  family: Family,
): readonly Found[] {
  const [source, target] = [from[0], to[0]];
  if (source.kind === 'outside' && target.kind === 'outside') return [];
  // What an interface sends to itself meets no gate.
  if (from === to && from.length === 1 && source.kind === 'interface') return [];
  const [before, after] = [
    reachOf(old, source, target, family),
    reachOf(now, source, target, family),
  ];
  const [perhapsBefore, perhapsAfter] = [before, after].map(({ sure, maybe }) =>
    subtract(maybe, sure),
  );
  const gained = subtract(after.sure, before.maybe);
  const lost = subtract(before.sure, after.maybe);
  const maybeGained = unite([
    subtract(perhapsAfter, before.maybe),
    intersect(perhapsBefore, after.sure),
  ]);
  const maybeLost = unite([
    subtract(perhapsBefore, after.maybe),
    intersect(before.sure, perhapsAfter),
  ]);
  const make = (kind: DifferenceKind, services: ServiceSet, origin: Origin | undefined): Found[] =>
    services.length === 0 ? [] : [{ kind, from, to, families: [family], services, origin }];
  return [
    ...make('newly-allowed', gained, after.origin),
    ...make('no-longer-allowed', lost, before.origin),
    ...make('perhaps-newly-allowed', maybeGained, after.origin),
    ...make('perhaps-no-longer-allowed', maybeLost, before.origin),
  ];
}

function reachOf(
  side: Side,
  from: End,
  to: End,
  family: Family,
): Reach & { readonly origin: Origin | undefined } {
  if (!side.has(from, family) || !side.has(to, family)) return { ...NOTHING, origin: undefined };
  const out = side.gate(from, 'egress', to, family);
  const into = side.gate(to, 'ingress', from, family);
  return {
    sure: intersect(out.sure, into.sure),
    maybe: intersect(out.maybe, into.maybe),
    origin: (into.rule ?? out.rule)?.origin,
  };
}

/** Puts together what differs in one part alone: families, then the ends on either side. */
function merge(found: readonly Found[]): readonly Found[] {
  const once = mergeBy(
    found,
    ({ from, to }) => `${key(from)}\n${key(to)}`,
    (one, other) => ({
      ...one,
      families: [...one.families, ...other.families],
    }),
  );
  const byTarget = mergeBy(
    once,
    ({ to, families }) => `${key(to)}\n${families.join('')}`,
    (one, other) => ({
      ...one,
      from: [...one.from, ...other.from],
    }),
  );
  return mergeBy(
    byTarget,
    ({ from, families }) => `${key(from)}\n${families.join('')}`,
    (one, other) => ({
      ...one,
      to: [...one.to, ...other.to],
    }),
  );
}

function mergeBy(
  found: readonly Found[],
  keyOf: (one: Found) => string,
  join: (one: Found, other: Found) => Found,
): readonly Found[] {
  const merged = new Map<string, Found>();
  for (const one of found) {
    const key = `${one.kind}\n${JSON.stringify(one.services)}\n${keyOf(one)}`;
    const before = merged.get(key);
    merged.set(key, before === undefined ? one : join(before, one));
  }
  return [...merged.values()];
}

function key(ends: readonly End[]): string {
  return ends.map(({ name }) => name).join('\0');
}

function nameEnds({ from, to, ...rest }: Found): Difference {
  return { ...rest, from: namesOf(from), to: namesOf(to) };
}

/** The names of ends; parts of the world that touch are one. */
function namesOf(ends: readonly End[]): readonly string[] {
  const regions = ends.flatMap((end) => (end.kind === 'outside' ? [end.region] : []));
  const others = ends.flatMap((end) => (end.kind === 'outside' ? [] : [end.name]));
  return [...joinRegions(regions).map(regionLabel), ...others];
}
