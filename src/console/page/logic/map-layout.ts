/**
 * This file gives each node of the map its place.
 *
 * The same nodes and edges get the same places on every machine: they begin where a hash of their ids puts them, and
 * the simulation draws no lots. Nodes that had a place keep it, so that a change of rules moves nobody whom the reader
 * has already found.
 */
import {
  forceCollide,
  forceLink,
  forceManyBody,
  forceSimulation,
  forceX,
  forceY,
  type SimulationNodeDatum,
} from 'd3-force';
import { fractionOf } from './hash.ts';

export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface LaidOutNode {
  readonly id: string;
  /** Nodes of a column stand above each other, columns from left to right. */
  readonly column: number;
  readonly width: number;
  readonly height: number;
}

export interface LaidOutEdge {
  readonly from: string;
  readonly to: string;
}

interface Body extends SimulationNodeDatum {
  readonly id: string;
  readonly node: LaidOutNode;
  readonly home: Place;
}

const COLUMN_WIDTH = 330;
const ROW_HEIGHT = 130;
/** Columns stand higher and lower in turn, so that a line over a column does not go through its nodes. */
const STAGGER = 85;
/** The same on a screen that is higher than wide. */
const TALL_WIDTH = 190;
const TALL_HEIGHT = 150;
const TALL_STAGGER = 40;
/** How strongly nodes are kept to their column, and to their place in it. */
const COLUMN_STRENGTH = 0.3;
const ROW_STRENGTH = 0.12;
const GAP = 26;
/** Steps of the simulation: fewer with many nodes, so that the first view waits for a tenth of a second or two. */
const STEPS_BY_NODES: readonly (readonly [nodes: number, steps: number])[] = [
  [20, 300],
  [60, 100],
  [200, 60],
  [600, 25],
  [Infinity, 10],
];

/**
 * @param known places of the last time, by id
 * @param isTall the screen is higher than wide: columns lie below each other
 */
export function layOut(
  nodes: readonly LaidOutNode[],
  edges: readonly LaidOutEdge[],
  known: ReadonlyMap<string, Place>,
  isTall = false,
): Map<string, Place> {
  const bodies = startingBodies(nodes, known, isTall);
  if (bodies.some(({ fx }) => fx === undefined)) simulate(bodies, edges, isTall);
  return new Map(
    bodies.map(({ id, x = 0, y = 0 }) => [id, { x: Math.round(x), y: Math.round(y) }]),
  );
}

function startingBodies(
  nodes: readonly LaidOutNode[],
  known: ReadonlyMap<string, Place>,
  isTall: boolean,
): Body[] {
  // By id, since the simulation treats who comes first otherwise than who comes last.
  const sorted = [...nodes].sort((a, b) => (a.id < b.id ? -1 : 1));
  const columns = new Map<number, string[]>();
  for (const { id, column } of sorted) columns.set(column, [...(columns.get(column) ?? []), id]);
  return sorted.map((node) => {
    const { id, column } = node;
    const place = known.get(id);
    const home = homeOf(node, columns.get(column) ?? [], isTall);
    const x = place?.x ?? home.x + (fractionOf(id, 'x') - 0.5) * GAP;
    const y = place?.y ?? home.y + (fractionOf(id, 'y') - 0.5) * GAP;
    return { id, node, home, x, y, ...(place === undefined ? {} : { fx: x, fy: y }) };
  });
}

/** Where a node would stand if nothing drew it elsewhere. @param inColumn the ids of its column */
function homeOf({ id, column }: LaidOutNode, inColumn: readonly string[], isTall: boolean): Place {
  const row = inColumn.indexOf(id) - (inColumn.length - 1) / 2;
  const side = column % 2 === 0 ? 1 : -1;
  if (isTall) return { x: row * TALL_WIDTH + side * TALL_STAGGER, y: column * TALL_HEIGHT };
  return { x: column * COLUMN_WIDTH, y: row * ROW_HEIGHT + side * STAGGER };
}

function simulate(bodies: Body[], edges: readonly LaidOutEdge[], isTall: boolean): void {
  const byId = new Map(bodies.map((body) => [body.id, body]));
  const links = edges.flatMap(({ from, to }) => {
    const [source, target] = [byId.get(from), byId.get(to)];
    return source === undefined || target === undefined || source === target
      ? []
      : [{ source, target }];
  });
  const steps = STEPS_BY_NODES.find(([most]) => bodies.length <= most)?.[1] ?? 1;
  forceSimulation(bodies)
    .stop()
    .alphaDecay(1 - 0.001 ** (1 / steps))
    .force(
      'link',
      forceLink<Body, (typeof links)[number]>(links)
        .distance(isTall ? 120 : 220)
        .strength(0.05),
    )
    .force(
      'charge',
      forceManyBody<Body>()
        .strength(isTall ? -350 : -900)
        .distanceMax(900),
    )
    .force(
      'x',
      forceX<Body>(({ home }) => home.x).strength(isTall ? ROW_STRENGTH : COLUMN_STRENGTH),
    )
    .force(
      'y',
      forceY<Body>(({ home }) => home.y).strength(isTall ? COLUMN_STRENGTH : ROW_STRENGTH),
    )
    .force('collide', forceCollide<Body>(({ node }) => radiusOf(node)).iterations(2))
    .tick(steps);
}

/** Boxes are wider than high; half of the width would keep those above each other too far apart. */
function radiusOf({ width, height }: LaidOutNode): number {
  return (width + height) / 3.4 + GAP / 2;
}
