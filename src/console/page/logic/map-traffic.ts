/**
 * This file says which edges of the map traffic takes, and between which nodes packets are dropped.
 *
 * A flow names its interface, the rule that admitted it and the remote address. So it is of the edge that has the rule,
 * whose one end has the interface and whose other end has the address.
 */
import type { DropExample, DropsAnswer, MapEdge, MapView, TopFlow } from '../../contract.ts';
import type { MapEnds } from './map-ends.ts';

/** Bytes a second by id of the edge. */
export type EdgeRates = ReadonlyMap<string, number>;

/** Packets that were dropped between two nodes. */
export interface DropEdge {
  readonly id: string;
  readonly from: string;
  readonly to: string;
  /** Since the interfaces came into use. */
  readonly packets: number;
  /** Some of the packets may be between other nodes: the counter is of the interface, only examples have addresses. */
  readonly isShared: boolean;
  readonly reasons: readonly string[];
  readonly examples: readonly DropExample[];
}

/** The node for addresses that no node of the map has. */
export const ELSEWHERE = 'elsewhere';

/** The rates of edges. @param flows the fastest ones: edges with slow flows alone have none */
export function edgeRates(
  { edges, rules }: Pick<MapView, 'edges' | 'rules'>,
  flows: readonly TopFlow[],
  ends: MapEnds,
): EdgeRates {
  const byRule = new Map<string, MapEdge[]>();
  for (const edge of edges)
    for (const place of edge.rules) {
      const id = rules[place]?.id ?? '';
      const known = byRule.get(id);
      if (known === undefined) byRule.set(id, [edge]);
      else known.push(edge);
    }
  // Both interfaces of a flow between two of them have an entry for it: it counts once.
  const opened = new Map<string, number>();
  const admitted = new Map<string, number>();
  for (const flow of flows) {
    const edge = edgeOf(flow, byRule.get(flow.rule?.id ?? '') ?? [], ends);
    if (edge === undefined) continue;
    const side = flow.openedBy === 'instance' ? opened : admitted;
    side.set(edge.id, (side.get(edge.id) ?? 0) + flow.bytesInRate + flow.bytesOutRate);
  }
  return new Map(
    [...opened.keys(), ...admitted.keys()].map((id) => [
      id,
      Math.max(opened.get(id) ?? 0, admitted.get(id) ?? 0),
    ]),
  );
}

/** The earlier of two, where they say the same: then nothing is drawn anew. */
export function sameRates(before: EdgeRates, now: EdgeRates): EdgeRates {
  const isSame =
    before.size === now.size && [...now].every(([id, rate]) => before.get(id) === rate);
  return isSame ? before : now;
}

function edgeOf(flow: TopFlow, edges: readonly MapEdge[], ends: MapEnds): MapEdge | undefined {
  const local = ends.nodeOfInterface(flow.interface);
  const remotes = ends.nodesOfAddress(flow.remoteAddress);
  const isOpener = flow.openedBy === 'instance';
  const own = edges.filter((edge) => (isOpener ? edge.from : edge.to) === local);
  for (const remote of remotes) {
    const edge = own.find(({ from, to }) => (isOpener ? to : from) === remote);
    if (edge !== undefined) return edge;
  }
  // The other end is a name, or members elsewhere: their addresses are not on the map.
  return own.length === 1 ? own[0] : undefined;
}

/** The drops between nodes, by the examples that are kept of each kind. */
export function dropEdges({ drops }: DropsAnswer, ends: MapEnds): DropEdge[] {
  const edges = new Map<string, DropEdge>();
  for (const { packets, reason, examples } of drops) {
    const own = new Map<string, DropExample[]>();
    for (const example of examples) {
      const key = dropKey(example, ends);
      if (key !== undefined) own.set(key, [...(own.get(key) ?? []), example]);
    }
    for (const [key, some] of own) {
      const [from = '', to = ''] = key.split('\n');
      const last = edges.get(key);
      edges.set(key, {
        id: key,
        from,
        to,
        packets: (last?.packets ?? 0) + packets,
        isShared: (last?.isShared ?? false) || own.size > 1,
        reasons: [...new Set([...(last?.reasons ?? []), reason])],
        examples: [...(last?.examples ?? []), ...some],
      });
    }
  }
  return [...edges.values()];
}

function dropKey(example: DropExample, ends: MapEnds): string | undefined {
  const { packet } = example;
  if (packet === undefined) return undefined;
  const local = ends.nodeOfInterface(example.interface) ?? firstNode(packet.localAddress, ends);
  const remote = firstNode(packet.remoteAddress, ends);
  return example.direction === 'ingress' ? `${remote}\n${local}` : `${local}\n${remote}`;
}

function firstNode(address: string, ends: MapEnds): string {
  return ends.nodesOfAddress(address).at(0) ?? ELSEWHERE;
}

/** How wide an edge is drawn: by the order of magnitude of its rate. @param bytes a second */
export function edgeWidth(bytes: number): number {
  return bytes <= 0 ? 1.5 : Math.min(9, 2 + Math.log10(1 + bytes / 100));
}
