/**
 * Says what an input allows between two ends: the one machinery of comparisons (compare.ts) and of maps (kinds.ts).
 *
 * Theory of operation. The ends of a flow are interfaces, by their names; parts of the world, as rules distinguish
 * them; for each group whose members are not all known, somebody in it; and whoever has a DNS name. Between two ends
 * an input allows a set of services (policy/service-set.ts), which is exact: what the sender's egress admits and the
 * receiver's ingress too. It is computed twice, for what is certain and for what may be (policy/doubt.ts). Who is not
 * in an input reaches nobody there.
 *
 * Ends that no rule distinguishes are one class (`classify`), so the work grows with the kinds of ends and not with
 * their number.
 */
import type { Address, Family } from '../addr/address.ts';
import { rulesThatAudit } from '../policy/audit.ts';
import { coversDnsPeer, dnsPeerText } from '../policy/dns-names.ts';
import { peerIncludes, type Tri } from '../policy/doubt.ts';
import type {
  Direction,
  DnsPeer,
  GroupId,
  NetworkInterface,
  Peer,
  PolicyModel,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { peerKey } from '../policy/rules.ts';
import {
  EVERY_SERVICE,
  intersect,
  servicesOf,
  unite,
  type ServiceSet,
} from '../policy/service-set.ts';
import { passagesBetween, subnetBlocks, type SubnetEnd } from '../policy/subnets.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { regionIncludes, regionLabel, regionsOf, type Region } from './regions.ts';

export const FAMILIES: readonly Family[] = [4, 6];

/** An end of a flow. */
export type End =
  | { readonly kind: 'interface'; readonly name: string }
  | { readonly kind: 'member'; readonly name: string }
  | { readonly kind: 'outside'; readonly name: string; readonly region: Region }
  /** Whoever has a DNS name that a rule has. It is only sent to. */
  | { readonly kind: 'named'; readonly name: string; readonly peer: DnsPeer };

/** What an input allows between two ends, for certain and perhaps. */
export interface Reach {
  readonly sure: ServiceSet;
  readonly maybe: ServiceSet;
  /** What certainly passes, be it by audit alone (policy/audit.ts), which is refused for the other two. */
  readonly passes: ServiceSet;
}

/** What a gate admits, and the rules by which it does or may, in their order. */
export interface GateReach extends Reach {
  readonly rules: readonly Rule[];
}

/** The rules of both gates whose peers include the other end. They may be for services that the other gate refuses. */
export interface PairReach extends Reach {
  readonly out: readonly Rule[];
  readonly into: readonly Rule[];
}

const UNKNOWN_ADDRESS: Tri = { why: 'its address is not known' };
const NOTHING: PairReach = { sure: [], maybe: [], passes: [], out: [], into: [] };
const EVERYTHING: GateReach = {
  ...{ sure: EVERY_SERVICE, maybe: EVERY_SERVICE, passes: EVERY_SERVICE },
  rules: [],
};

/** One input, with its ends by name. */
export class Side {
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
    if (end.kind === 'outside' || end.kind === 'named') return true;
    if (end.kind === 'member') return this.members.has(end.name);
    return this.addressOf(end.name, family) !== undefined;
  }

  /** What the gate of an end admits to the other one. Outside there is no gate. */
  gate(own: End, direction: Direction, other: End, family: Family): GateReach {
    if (own.kind === 'outside' || own.kind === 'named') return EVERYTHING;
    const { groupIds, doubt } = this.holderOf(own);
    const sure: ServiceSet[] = [];
    const maybe: ServiceSet[] = [];
    const rules: Rule[] = [];
    const read = (id: GroupId, isSure: boolean): void => {
      const group = this.model.groups.get(id);
      for (const rule of group?.[direction] ?? []) {
        const answer = this.includes(rule.peer, other, family);
        if (answer === 'no') continue;
        rules.push(rule);
        (isSure && answer === 'yes' ? sure : maybe).push(servicesOf(rule));
      }
      for (const rule of group?.possible ?? [])
        if (rule.direction === direction && this.includes(rule.peer, other, family) !== 'no')
          maybe.push(servicesOf(rule));
      if (group === undefined || (group.gaps?.[direction] ?? []).length > 0)
        maybe.push(EVERY_SERVICE);
    };
    for (const id of groupIds) read(id, true);
    const passes = unite([...sure, ...this.auditedBy(own, direction, other, family)]);
    if (this.model.isElsewhere !== true) {
      const set = unite(sure);
      return { sure: set, maybe: set, passes, rules };
    }
    for (const id of doubt?.groups.keys() ?? []) read(id, false);
    if ((doubt?.gaps.length ?? 0) > 0) maybe.push(EVERY_SERVICE);
    return { sure: unite(sure), maybe: unite([...sure, ...maybe]), passes, rules };
  }

  /** What rules that only audit let pass at the gate of an end. */
  private auditedBy(
    own: End,
    direction: Direction,
    other: End,
    family: Family,
  ): readonly ServiceSet[] {
    const holder = this.holderOf(own);
    const known = holder.groupIds.filter((id) => this.model.groups.has(id));
    return rulesThatAudit(this.model, { ...holder, groupIds: known }, direction)
      .filter(({ peer }) => this.includes(peer, other, family) === 'yes')
      .map(servicesOf);
  }

  /** The peers of the rules that a gate asks; undefined: nobody knows all that it may ask. */
  peersAt(own: End, direction: Direction): readonly Peer[] | undefined {
    if (own.kind === 'outside' || own.kind === 'named') return undefined;
    const { groupIds, doubt } = this.holderOf(own);
    if (doubt !== undefined && doubt.groups.size + doubt.gaps.length > 0) return undefined;
    const peers: Peer[] = [];
    for (const id of groupIds) {
      const group = this.model.groups.get(id);
      if (group === undefined || (group.gaps?.[direction] ?? []).length > 0) return undefined;
      for (const { peer } of group[direction]) peers.push(peer);
      for (const rule of group.possible ?? [])
        if (rule.direction === direction) peers.push(rule.peer);
    }
    return peers;
  }

  private holderOf(end: End): Pick<NetworkInterface, 'groupIds' | 'doubt' | 'audit'> {
    if (end.kind === 'member') return { groupIds: [this.members.get(end.name)!] };
    return this.interfaces.get(end.name)!;
  }

  /** Whether a peer includes the other end. */
  includes(peer: Peer, end: End, family: Family): Tri {
    switch (end.kind) {
      case 'outside':
        return regionIncludes(peer, end.region, this.model);
      case 'member':
        return this.includesMember(peer, this.members.get(end.name), family);
      case 'named':
        if (peer.kind === 'dns') return coversDnsPeer(peer, end.peer) ? 'yes' : 'no';
        return this.includesMember(peer, undefined, family);
      case 'interface': {
        const owner = this.interfaces.get(end.name)!;
        const address = this.addressOf(end.name, family)!;
        return peerIncludes(peer, address, owner, this.model);
      }
      default:
        return end satisfies never;
    }
  }

  /**
   * Of somebody in a group, or with a name, nothing but that is known. What blocks admit is told of parts of the world.
   */
  private includesMember(peer: Peer, groupId: GroupId | undefined, family: Family): Tri {
    switch (peer.kind) {
      case 'group':
        return peer.groupId === groupId ? 'yes' : 'no';
      case 'cidr':
        return peer.cidr.family === family && peer.cidr.length === 0 ? 'yes' : 'no';
      case 'prefixList':
      case 'dns':
        return 'no';
      default:
        return peer satisfies never;
    }
  }

  /** What is the same for ends that no rule tells apart. */
  signatureOf(end: End, family: Family, peers: readonly Peer[]): string {
    if (!this.has(end, family)) return '';
    if (end.kind === 'member') return `member ${this.members.get(end.name)!}`;
    const { groupIds, doubt, audit = false } = this.holderOf(end);
    const told = peers.map((peer) => {
      const answer = this.includes(peer, end, family);
      return answer === 'yes' ? '1' : answer === 'no' ? '0' : '?';
    });
    const may = [...(doubt?.groups.keys() ?? [])].sort().join(' ');
    const { subnet, hasPublicAddress } = this.interfaces.get(end.name) ?? {};
    const place = subnet === undefined ? '' : `${subnet.id} ${hasPublicAddress}`;
    return `${[...groupIds].sort().join(' ')}|${audit}|${place}|${may}|${doubt?.gaps.length ?? 0}|${told.join('')}`;
  }

  /** All peers but groups, each once: those tell addresses apart. */
  addressPeers(family: Family): readonly Peer[] {
    const peers = new Map<string, Peer>();
    for (const { ingress, egress, audited = [], possible = [] } of this.model.groups.values())
      for (const { peer } of [...ingress, ...egress, ...audited, ...possible]) {
        const isBlock = peer.kind === 'cidr' && peer.cidr.family === family;
        if (isBlock || peer.kind === 'prefixList') peers.set(peerKey(peer), peer);
      }
    for (const cidr of subnetBlocks(this.interfaces.values())) {
      const peer = { kind: 'cidr', cidr } as const;
      if (cidr.family === family) peers.set(peerKey(peer), peer);
    }
    return [...peers.values()];
  }

  /** An end as network ACLs and routes see it. */
  subnetEnd(end: End, family: Family): SubnetEnd {
    if (end.kind === 'member') return { own: undefined, isIn: () => UNKNOWN_ADDRESS };
    const own = end.kind === 'interface' ? this.interfaces.get(end.name) : undefined;
    return { own, isIn: (cidr) => this.includes({ kind: 'cidr', cidr }, end, family) };
  }
}

/** The parts of the world that rules of these distinguish, in order. */
export function outsideEnds(
  models: readonly PolicyModel[],
  family: Family,
): readonly (End & { readonly kind: 'outside' })[] {
  return regionsOf(models, family).map((region) => ({
    kind: 'outside',
    name: regionLabel(region),
    region,
  }));
}

/** Whoever has a DNS name that rules of these have, each once. */
export function namedEnds(
  models: readonly PolicyModel[],
): readonly (End & { readonly kind: 'named' })[] {
  return dnsPeersOf(models).map((peer) => ({ kind: 'named', name: dnsPeerText(peer), peer }));
}

/** A name that is required of TLS too is another one than the name alone. */
function dnsPeersOf(models: readonly PolicyModel[]): readonly DnsPeer[] {
  const peers = new Map<string, DnsPeer>();
  for (const { groups } of models)
    for (const { egress } of groups.values())
      for (const { peer } of egress) if (peer.kind === 'dns') peers.set(dnsPeerText(peer), peer);
  return [...peers].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, peer]) => peer);
}

/** The interfaces and members of all inputs, those together that nothing tells apart. */
export function classify(sides: readonly Side[], family: Family): readonly (readonly End[])[] {
  const peers = sides.map((side) => side.addressPeers(family));
  const names = new Set(sides.flatMap(({ interfaces }) => [...interfaces.keys()]));
  const open = new Set(sides.flatMap((side) => side.open));
  const ends: End[] = [
    ...[...names].map((name): End => ({ kind: 'interface', name })),
    ...[...open].map((name): End => ({ kind: 'member', name })),
  ];
  const classes = new Map<string, End[]>();
  for (const end of ends) {
    if (!sides.some((side) => side.has(end, family))) continue;
    const told = sides.map((side, i) => side.signatureOf(end, family, peers[i]));
    const key = `${end.kind} ${told.join(' / ')}`;
    const known = classes.get(key);
    if (known === undefined) classes.set(key, [end]);
    else known.push(end);
  }
  return [...classes.values()];
}

/** What a flow from one end to the other may be. */
export function reachBetween(side: Side, from: End, to: End, family: Family): PairReach {
  if (!side.has(from, family) || !side.has(to, family)) return NOTHING;
  const out = side.gate(from, 'egress', to, family);
  const into = side.gate(to, 'ingress', from, family);
  const [source, target] = [side.subnetEnd(from, family), side.subnetEnd(to, family)];
  const passages = passagesBetween(source, target, family);
  const all = [out, into, ...passages];
  return {
    sure: all.map(({ sure }) => sure).reduce(intersect),
    maybe: all.map(({ maybe }) => maybe).reduce(intersect),
    passes: [out.passes, into.passes, ...passages.map(({ sure }) => sure)].reduce(intersect),
    out: out.rules,
    into: into.rules,
  };
}
