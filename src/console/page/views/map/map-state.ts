/** This file puts together what the map draws: places, lines, rates and drops. */
import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { DropsAnswer, MapEdge, MapNode, MapView } from '../../../contract.ts';
import { useAsk } from '../../browser/api.ts';
import { readKept, writeKept } from '../../browser/kept.ts';
import { drops as liveDrops, source, top } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { boxOfNode, columnsOf } from '../../logic/map-boxes.ts';
import { MapEnds } from '../../logic/map-ends.ts';
import type { Box } from '../../logic/map-geometry.ts';
import { layOut, type Place } from '../../logic/map-layout.ts';
import { readPlaces, writePlaces } from '../../logic/map-places.ts';
import {
  dropEdges,
  edgeRates,
  ELSEWHERE,
  sameRates,
  type DropEdge,
  type EdgeRates,
} from '../../logic/map-traffic.ts';

/** A narrow screen has places of its own: its map is higher than wide. */
const NARROW = '(width <= 720px)';
/** How often the counts of drops are asked for anew while packets are dropped. */
const DROPS_INTERVAL_MS = 4000;

export interface MapTraffic {
  readonly rates: EdgeRates;
  readonly drops: readonly DropEdge[];
}

/** Addresses that no node of the map has, where packets from there were dropped. */
const ELSEWHERE_NODE: MapNode = {
  kind: 'block',
  id: ELSEWHERE,
  label: 'other addresses',
  cidr: '',
  isAnywhere: false,
};

/** The nodes, with one for other addresses if packets between them and an interface were dropped. */
export function nodesWithElsewhere(
  nodes: readonly MapNode[],
  drops: readonly DropEdge[],
): readonly MapNode[] {
  const isNeeded = drops.some(({ from, to }) => from === ELSEWHERE || to === ELSEWHERE);
  return isNeeded ? [...nodes, ELSEWHERE_NODE] : nodes;
}

/** The boxes of nodes by id, where the reader found them the last time. */
export function useBoxes(nodes: readonly MapNode[], edges: readonly MapEdge[]) {
  const [isTall] = useState(() => matchMedia(NARROW).matches);
  const key = isTall ? 'places-tall' : 'places';
  const [moved, setMoved] = useState<ReadonlyMap<string, Place>>(new Map());
  const [turn, setTurn] = useState(0);
  const laidOut = useMemo(() => {
    const columns = columnsOf(nodes, edges);
    const boxes = nodes.map((node) => boxOfNode(node, columns.get(node.id) ?? 0));
    const kept = readPlaces(readKept(key));
    const places = layOut(boxes, edges, kept, isTall);
    writeKept(key, writePlaces(kept, places));
    return boxes.map((box): readonly [string, Box] => [
      box.id,
      { ...box, ...(places.get(box.id) ?? { x: 0, y: 0 }) },
    ]);
  }, [nodes, edges, turn]);
  const boxes = useMemo(
    () => new Map(laidOut.map(([id, box]) => [id, { ...box, ...moved.get(id) }])),
    [laidOut, moved],
  );
  return {
    boxes,
    move: (id: string, place: Place): void => setMoved((last) => new Map(last).set(id, place)),
    /** Remembers where the reader put them. */
    keep: (): void => writeKept(key, writePlaces(readPlaces(readKept(key)), placesOf(boxes))),
    /** Forgets all places: everything is laid out anew. */
    forget: (): void => {
      writeKept(key, '');
      setMoved(new Map());
      setTurn((last) => last + 1);
    },
  };
}

function placesOf(boxes: ReadonlyMap<string, Box>): Map<string, Place> {
  return new Map([...boxes].map(([id, { x, y }]) => [id, { x: Math.round(x), y: Math.round(y) }]));
}

/** What moves on the map now. @param isLive whether there is traffic at all */
export function useTraffic(map: MapView, isLive: boolean): MapTraffic {
  const ends = useMemo(() => new MapEnds(map.nodes), [map]);
  const moving = useStore(top);
  const asked = useAsk<DropsAnswer>(isLive ? 'drops' : undefined, true);
  useEffect(() => {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const ended = liveDrops.listen(() => {
      timer ??= setTimeout(() => {
        timer = undefined;
        if (source.get().isReachable) asked.again();
      }, DROPS_INTERVAL_MS);
    });
    return () => {
      ended();
      clearTimeout(timer);
    };
  }, [asked.again]);
  const lastRates = useRef<EdgeRates>(new Map());
  const rates = useMemo(
    () => sameRates(lastRates.current, edgeRates(map, moving?.topFlows ?? [], ends)),
    [map, moving, ends],
  );
  lastRates.current = rates;
  const dropped = asked.last;
  const drops = useMemo(
    () => (dropped === undefined ? [] : dropEdges(dropped, ends)),
    [dropped, ends],
  );
  return { rates, drops };
}
