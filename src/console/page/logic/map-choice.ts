/** This file says which part of the map is shown, and which part of that is in the foreground. */
import type { MapEdge, MapNode, MapView } from '../../contract.ts';
import { matchesWords } from './search-words.ts';

export interface MapChoice {
  /** The name of a group; empty: all. */
  readonly group: string;
  /** The name of a VPC; empty: all. */
  readonly vpc: string;
}

/** The nodes of a group or a VPC with those that they are joined to, and the edges between them. */
export function chooseNodes(
  { nodes, edges }: MapView,
  { group, vpc }: MapChoice,
): { readonly nodes: readonly MapNode[]; readonly edges: readonly MapEdge[] } {
  if (group === '' && vpc === '') return { nodes, edges };
  const chosen = new Set(
    nodes
      .filter((node) => {
        const hasGroup = group === '' || groupsOf(node).includes(group);
        return hasGroup && (vpc === '' || (node.kind === 'interfaces' && node.vpc === vpc));
      })
      .map(({ id }) => id),
  );
  const kept = edges.filter(({ from, to }) => chosen.has(from) || chosen.has(to));
  const ends = new Set([...chosen, ...kept.flatMap(({ from, to }) => [from, to])]);
  return { nodes: nodes.filter(({ id }) => ends.has(id)), edges: kept };
}

/** The ids of the nodes that the words of the filter box find. */
export function findNodes(nodes: readonly MapNode[], words: readonly string[]): Set<string> {
  return new Set(nodes.filter((node) => matchesWords(words, textsOf(node))).map(({ id }) => id));
}

function textsOf(node: MapNode): string[] {
  const own = [node.label, ...groupsOf(node)];
  switch (node.kind) {
    case 'interfaces':
      return [
        ...own,
        ...(node.vpc === undefined ? [] : [node.vpc]),
        ...node.interfaces.flatMap(({ name, id, addresses }) => [name, id, ...addresses]),
      ];
    case 'block':
      return [...own, node.cidr];
    case 'prefix-list':
      return [...own, ...node.entries];
    case 'name':
      return [...own, node.dnsName];
    case 'members':
    case 'platform':
      return own;
    default:
      return node satisfies never;
  }
}

function groupsOf(node: MapNode): readonly string[] {
  return node.kind === 'interfaces' || node.kind === 'members' ? node.groups : [];
}

/** The names of all groups and VPCs of the map, sorted. */
export function choicesOf(nodes: readonly MapNode[]): {
  readonly groups: readonly string[];
  readonly vpcs: readonly string[];
} {
  const vpcs = nodes.flatMap((node) =>
    node.kind === 'interfaces' && node.vpc !== undefined ? [node.vpc] : [],
  );
  return { groups: [...new Set(nodes.flatMap(groupsOf))].sort(), vpcs: [...new Set(vpcs)].sort() };
}
