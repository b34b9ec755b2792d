/**
 * This file makes the map of a configuration: kinds of interfaces, and whoever else rules name, with what is allowed
 * between them and by which rules.
 *
 * Between kinds of interfaces it is what both gates allow (reach/kinds.ts). Blocks, prefix lists and DNS names are
 * nodes as rules have them, so that a person finds what was written; they may overlap, and a rule for one is no edge
 * of another. (The matrix has parts of the world that don't overlap.) Outside there is no gate: an edge is what the
 * gate of the interface admits, and what its subnet lets pass where an account says so.
 *
 * It is computed once for a configuration. Hits are added for each request.
 */
import { cidrContains, cidrCovers, formatAddress, formatCidr, type Cidr } from '../addr/address.ts';
import { dnsPeerText } from '../policy/dns-names.ts';
import type { Tri } from '../policy/doubt.ts';
import type { GroupId, NetworkInterface, Peer, PolicyModel, Rule } from '../policy/model.ts';
import {
  EVERY_SERVICE,
  intersect,
  servicesOf,
  serviceTexts,
  subtract,
  unite,
  type ServiceSet,
} from '../policy/service-set.ts';
import { passagesBetween, type SubnetEnd } from '../policy/subnets.ts';
import { viewRule } from '../queries/rule-book.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';
import { kindsOf, reachOfKinds, type Kind, type ReachOfKinds } from '../reach/kinds.ts';
import type { MapEdge, MapNode, MapView, RuleView } from './contract.ts';
import { kindId, labelsOf, nameId, nodeId } from './node-ids.ts';

export const NODES_MAX = 2000;
export const EDGES_MAX = 5000;
const RULES_OF_EDGE_MAX = 100;
const ENTRIES_SHOWN = 100;

export type MapParts = Pick<MapView, 'nodes' | 'edges' | 'rules' | 'isTooLarge'>;

/** An edge that is still put together. */
interface Draft {
  readonly from: string;
  readonly to: string;
  sure: ServiceSet;
  maybe: ServiceSet;
  readonly rules: Set<Rule>;
}

export async function makeMap(config: KnownConfiguration, reach?: ReachOfKinds): Promise<MapParts> {
  const { model } = config;
  const found = reach ?? (await reachOfKinds(model));
  const map = new MapMaker(model);
  for (const { from, to, sure, maybe, rules } of found.pairs) {
    const [source, target] = [map.endOf(found.ends[from]), map.endOf(found.ends[to])];
    if (source !== undefined && target !== undefined)
      map.note(source, target, { sure, maybe, rules });
  }
  for (const kind of kindsOf(model)) map.noteNamed(kind);
  map.notePlatform(config);
  return map.finish(found.isTooLarge);
}

class MapMaker {
  private readonly model: PolicyModel;
  private readonly nodes = new Map<string, MapNode>();
  private readonly edges = new Map<string, Draft>();
  private readonly kindNodes = new Map<string, string>();

  constructor(model: PolicyModel) {
    this.model = model;
    for (const kind of kindsOf(model)) {
      const node = kindNode(kind, model);
      this.nodes.set(node.id, node);
      this.kindNodes.set(kind.key, node.id);
    }
  }

  /** The node of an end; undefined: it is told of by its rules alone. */
  endOf(end: ReachOfKinds['ends'][number]): string | undefined {
    switch (end.kind) {
      case 'interfaces':
        return this.kindNodes.get(end.of.key);
      case 'member':
        return this.membersNode(end.groupId);
      case 'outside':
      case 'named':
        return undefined;
      default:
        return end satisfies never;
    }
  }

  note(
    from: string,
    to: string,
    found: {
      readonly sure: ServiceSet;
      readonly maybe: ServiceSet;
      readonly rules: Iterable<Rule>;
    },
  ): void {
    if (found.maybe.length === 0) return;
    const id = `${from} ${to}`;
    const known = this.edges.get(id);
    if (known === undefined) {
      const { sure, maybe, rules } = found;
      this.edges.set(id, { from, to, sure, maybe, rules: new Set(rules) });
      return;
    }
    known.sure = unite([known.sure, found.sure]);
    known.maybe = unite([known.maybe, found.maybe]);
    for (const rule of found.rules) known.rules.add(rule);
  }

  /** What rules of a kind name that is no interface here. */
  noteNamed(kind: Kind): void {
    const own = this.kindNodes.get(kind.key)!;
    for (const rule of rulesOf(kind.groupIds, this.model)) {
      const other = this.peerNode(rule.peer);
      if (other === undefined) continue;
      const services = servicesOf(rule);
      const isIn = rule.direction === 'ingress';
      const passing = this.passing(kind, rule, isIn);
      const isSure = rule.peer.kind !== 'group' && rule.peer.kind !== 'dns';
      this.note(isIn ? other : own, isIn ? own : other, {
        sure: isSure ? intersect(services, passing.sure) : [],
        maybe: intersect(services, passing.maybe),
        rules: [rule],
      });
    }
  }

  /** The platform's services, which need no rule. */
  notePlatform({ special }: KnownConfiguration): void {
    if (special.exempt.length === 0) return;
    const node: MapNode = { kind: 'platform', id: nodeId('platform'), label: 'platform' };
    const services = unite(
      special.exempt.map(({ protocol, port }) =>
        servicesOf({ protocol, fromPort: port, toPort: port }),
      ),
    );
    this.nodes.set(node.id, node);
    for (const own of this.kindNodes.values())
      this.note(own, node.id, { sure: services, maybe: services, rules: [] });
  }

  finish(isPartial: boolean): MapParts {
    const all = [...this.nodes.values()];
    const nodes = all.slice(0, NODES_MAX);
    const shown = new Set(nodes.map(({ id }) => id));
    const drafts = [...this.edges].filter(([, { from, to }]) => shown.has(from) && shown.has(to));
    const kept = drafts.slice(0, EDGES_MAX);
    const rules = rulesOfEdges(kept.map(([, draft]) => draft));
    const places = new Map(rules.map((rule, place) => [rule, place]));
    const edges = kept.map(([id, draft]) => edgeOf(id, draft, places));
    const left = isPartial
      ? 'there are too many kinds of interfaces and blocks to look at all pairs: edges are missing'
      : tooLarge(all.length, drafts.length);
    return {
      nodes,
      edges,
      rules: this.viewRules(rules),
      ...(left === undefined ? {} : { isTooLarge: left }),
    };
  }

  private viewRules(rules: readonly Rule[]): readonly RuleView[] {
    const groups = new Map<Rule, GroupId>();
    for (const { id, ingress, egress } of this.model.groups.values())
      for (const rule of [...ingress, ...egress]) groups.set(rule, id);
    return rules.map((rule) =>
      viewRule(rule, this.model.groups.get(groups.get(rule) ?? ''), this.model),
    );
  }

  private peerNode(peer: Peer): string | undefined {
    const node = this.makePeerNode(peer);
    if (node === undefined) return undefined;
    if (!this.nodes.has(node.id)) this.nodes.set(node.id, node);
    return node.id;
  }

  private makePeerNode(peer: Peer): MapNode | undefined {
    switch (peer.kind) {
      case 'cidr': {
        const cidr = formatCidr(peer.cidr);
        const isAnywhere = peer.cidr.length === 0;
        return { kind: 'block', id: nodeId('block', cidr), label: cidr, cidr, isAnywhere };
      }
      case 'prefixList': {
        const list = this.model.prefixLists.get(peer.prefixListId);
        const label = list?.name ?? peer.prefixListId;
        const entries = list?.entries.map(({ cidr }) => formatCidr(cidr)) ?? [];
        return {
          ...{ kind: 'prefix-list', id: nodeId('list', label), label },
          ...{ family: list?.family ?? 4, entries: entries.slice(0, ENTRIES_SHOWN) },
          entryCount: entries.length,
        };
      }
      case 'dns': {
        const strict = peer.tlsName === true ? ({ tlsName: 'required' } as const) : {};
        const named = { id: nameId(peer), label: dnsPeerText(peer), dnsName: peer.name };
        return { kind: 'name', ...named, ...strict };
      }
      case 'group':
        // Its members here are interfaces.
        return this.makeMembersNode(peer.groupId, true);
      default:
        return peer satisfies never;
    }
  }

  private membersNode(groupId: GroupId): string {
    const node = this.makeMembersNode(groupId, false)!;
    if (!this.nodes.has(node.id)) this.nodes.set(node.id, node);
    return node.id;
  }

  /** @param isElsewhere only if there are members on other hosts */
  private makeMembersNode(groupId: GroupId, isElsewhere: boolean): MapNode | undefined {
    const count = this.model.remoteMembers?.get(groupId)?.size ?? 0;
    if (isElsewhere && count === 0) return undefined;
    const groups = labelsOf([groupId], this.model);
    const label = isElsewhere ? `${groups[0]} on other hosts` : `anybody in ${groups[0]}`;
    const counted = isElsewhere ? { count } : {};
    const id = nodeId(isElsewhere ? 'elsewhere' : 'members', ...groups);
    return { kind: 'members', id, label, groups, ...counted };
  }

  /** What subnets let pass between a kind and who a rule names; everything, if nothing is said of subnets. */
  private passing(
    { interfaces }: Kind,
    { peer }: Rule,
    isIn: boolean,
  ): { readonly sure: ServiceSet; readonly maybe: ServiceSet } {
    if (interfaces.every(({ subnet }) => subnet === undefined))
      return { sure: EVERY_SERVICE, maybe: EVERY_SERVICE };
    const outside: SubnetEnd = {
      own: undefined,
      isIn: (block) => whetherIn(peer, block, this.model),
    };
    const family = familyOf(peer, this.model);
    const each = oneOfEachSubnet(interfaces).map((own) => {
      const inside: SubnetEnd = { own, isIn: (block) => whetherAt(own, block) };
      const passages = isIn
        ? passagesBetween(outside, inside, family)
        : passagesBetween(inside, outside, family);
      return {
        sure: passages.map(({ sure }) => sure).reduce(intersect, EVERY_SERVICE),
        maybe: passages.map(({ maybe }) => maybe).reduce(intersect, EVERY_SERVICE),
      };
    });
    return {
      sure: unite(each.map(({ sure }) => sure)),
      maybe: unite(each.map(({ maybe }) => maybe)),
    };
  }
}

function kindNode(kind: Kind, model: PolicyModel): MapNode {
  const { groupIds, interfaces } = kind;
  const groups = labelsOf(groupIds, model);
  const [first] = interfaces;
  const label =
    interfaces.length === 1 ? first.name : groups.length === 0 ? 'no group' : groups.join(' + ');
  const several = model.vpcs !== undefined && model.vpcs.size > 1;
  const vpc = several ? first.vpc?.name : undefined;
  return {
    ...{ kind: 'interfaces', id: kindId(kind, model), label, groups },
    interfaces: interfaces.map(({ name, id, addresses, vpc: own }) => ({
      ...{ name, id, addresses: addresses.map(formatAddress) },
      ...(own === undefined ? {} : { vpc: own.name }),
    })),
    ...(vpc === undefined ? {} : { vpc }),
  };
}

/** The rules that edges name, each once. */
function rulesOfEdges(drafts: readonly Draft[]): readonly Rule[] {
  return [...new Set(drafts.flatMap(({ rules }) => [...rules].slice(0, RULES_OF_EDGE_MAX)))];
}

/** @param places of rules in the map */
function edgeOf(
  id: string,
  { from, to, sure, maybe, rules }: Draft,
  places: ReadonlyMap<Rule, number>,
): MapEdge {
  return {
    ...{ id, from, to, services: serviceTexts(maybe) },
    ...(subtract(maybe, sure).length === 0 ? {} : { isPerhaps: true }),
    rules: [...rules].slice(0, RULES_OF_EDGE_MAX).map((rule) => places.get(rule)!),
    ruleCount: rules.size,
  };
}

function tooLarge(nodes: number, edges: number): string | undefined {
  if (nodes > NODES_MAX) return `there are ${nodes} nodes, and ${NODES_MAX} of them are here`;
  if (edges > EDGES_MAX) return `there are ${edges} edges, and ${EDGES_MAX} of them are here`;
  return undefined;
}

function* rulesOf(groupIds: readonly GroupId[], { groups }: PolicyModel): Generator<Rule> {
  for (const id of groupIds) {
    const group = groups.get(id);
    if (group !== undefined) yield* [...group.ingress, ...group.egress];
  }
}

function oneOfEachSubnet(interfaces: readonly NetworkInterface[]): readonly NetworkInterface[] {
  const places = new Map(
    interfaces.map((own) => [`${own.subnet?.id} ${own.hasPublicAddress}`, own] as const),
  );
  return [...places.values()];
}

/** Whether all that a peer names is in a block. */
function whetherIn(peer: Peer, block: Cidr, model: PolicyModel): Tri {
  const known = blocksOf(peer, model);
  if (known === undefined) return { why: 'its addresses are not known' };
  if (known.every((one) => cidrCovers(block, one))) return known.length === 0 ? 'no' : 'yes';
  const isApart = known.every((one) => !cidrCovers(one, block) && !cidrCovers(block, one));
  return isApart ? 'no' : { why: 'only a part of it is there' };
}

function blocksOf(peer: Peer, { prefixLists }: PolicyModel): readonly Cidr[] | undefined {
  if (peer.kind === 'cidr') return [peer.cidr];
  if (peer.kind !== 'prefixList') return undefined;
  return prefixLists.get(peer.prefixListId)?.entries.map(({ cidr }) => cidr);
}

function familyOf(peer: Peer, { prefixLists }: PolicyModel): 4 | 6 {
  if (peer.kind === 'cidr') return peer.cidr.family;
  return peer.kind === 'prefixList' ? (prefixLists.get(peer.prefixListId)?.family ?? 4) : 4;
}

function whetherAt({ addresses }: NetworkInterface, block: Cidr): Tri {
  return addresses.some((one) => cidrContains(block, one)) ? 'yes' : 'no';
}
