/** This file makes questions for the view "why" out of what is on the map. */
import type { MapEdge, MapNode } from '../../contract.ts';

/** A question about the first service of an edge. Undefined: its ends can't be asked about. */
export function questionOfEdge(
  edge: MapEdge,
  nodes: ReadonlyMap<string, MapNode>,
): string | undefined {
  const from = endOf(nodes.get(edge.from));
  const to = endOf(nodes.get(edge.to));
  if (from === undefined || to === undefined) return undefined;
  return `${from} -> ${to} ${serviceWords(edge.services[0] ?? '')}`;
}

/** How a node is called in a question: by its first interface, by its block, by its name. */
export function endOf(node: MapNode | undefined): string | undefined {
  switch (node?.kind) {
    case 'interfaces':
      return node.interfaces[0]?.name;
    case 'block':
      return node.isAnywhere ? 'internet' : node.cidr;
    case 'prefix-list':
      return node.entries[0];
    case 'members':
    case 'name':
    case 'platform':
    case undefined:
      return undefined;
    default:
      return node satisfies never;
  }
}

/** One packet of a set of services: `tcp 22, 80-90` → `tcp 22`, `icmp type 8` → `icmp echo`. */
export function serviceWords(services: string): string {
  const [protocol = '', ...rest] = services.split(' ');
  const detail = rest.join(' ');
  if (protocol === 'tcp' || protocol === 'udp')
    return `${protocol} ${/\d+/.exec(detail)?.[0] ?? 443}`;
  if (protocol === 'icmp' || protocol === 'icmpv6') return `${protocol} echo`;
  if (protocol === 'protocol') return `protocol ${/\d+/.exec(detail)?.[0] ?? 47}`;
  return 'tcp 443';
}
