/** This file is the picture of the map, with the buttons that zoom it. */
import { useCallback, useMemo, useRef } from 'preact/hooks';
import type { MapEdge, MapNode } from '../../../contract.ts';
import { shown } from '../../logic/shown.ts';
import { IconButton } from '../../parts/icon-button.tsx';
import { DropLines, EdgeLines } from './map-lines.tsx';
import { MapNodes } from './map-nodes.tsx';
import { useBoxes, type MapTraffic } from './map-state.ts';
import type { Chosen } from './chosen.ts';
import { useSight, type MapSight } from './use-sight.ts';

/** Of more nodes than so, what nobody can read or click is left out: it would take longer than all the rest. */
const MANY_NODES = 200;
/** Letters of the map are smaller than 5 pixels then. */
const READABLE_SCALE = 0.45;

interface CanvasProperties {
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
  readonly traffic: MapTraffic;
  /** The nodes that the filter finds; undefined: there is no filter. */
  readonly found: ReadonlySet<string> | undefined;
  readonly chosen: Chosen | undefined;
  readonly choose: (chosen: Chosen | undefined) => void;
}

export function MapCanvas(properties: CanvasProperties) {
  const { nodes, edges, traffic, chosen, choose } = properties;
  const { boxes, move, keep, forget } = useBoxes(nodes, edges);
  const sight = useSight(boxes);
  const { x, y, scale } = sight.sight;
  const near = useMemo(
    () => foreground(properties),
    [edges, traffic.drops, chosen, properties.found],
  );
  const chooseUndragged = useCallback((next: Chosen | undefined): void => {
    if (!sight.wasDragged()) choose(next);
  }, []);
  const labels = useMemo(() => new Map(nodes.map(({ id, label }) => [id, shown(label)])), [nodes]);
  const scaleNow = useRef(scale);
  scaleNow.current = scale;
  // Moving and zooming draws none of it anew, but for what is too small of many nodes; what flows only the lines.
  const isTiny = nodes.length > MANY_NODES && scale < READABLE_SCALE;
  const common = { boxes, labels, near, chosen, isTiny, choose: chooseUndragged };
  const looks = [boxes, labels, near, chosen, isTiny];
  const edgeLines = useMemo(
    () => <EdgeLines {...common} edges={edges} rates={traffic.rates} />,
    [...looks, edges, traffic.rates],
  );
  const dropLines = useMemo(
    () => <DropLines {...common} drops={traffic.drops} />,
    [...looks, traffic.drops],
  );
  const boxesOfNodes = useMemo(
    () => <MapNodes {...common} {...{ nodes, scaleNow, move, keep }} />,
    [...looks, nodes],
  );
  return (
    <div class="map-canvas">
      <div
        class="map-sight"
        ref={sight.frame}
        tabIndex={0}
        role="group"
        aria-label="Map. The arrow keys move it, plus and minus zoom it, 0 shows all of it."
        onPointerDown={sight.onPointerDown}
        onPointerMove={sight.onPointerMove}
        onPointerUp={sight.onPointerUp}
        onPointerCancel={sight.onPointerUp}
        onKeyDown={sight.onKeyDown}
        onClick={() => chooseUndragged(undefined)}
      >
        <svg>
          <Arrows />
          <g transform={`scale(${scale}) translate(${-x} ${-y})`}>
            {edgeLines}
            {dropLines}
            {boxesOfNodes}
          </g>
        </svg>
      </div>
      <ZoomButtons sight={sight} forget={forget} />
      <Legend hasDrops={traffic.drops.length > 0} />
    </div>
  );
}

/** What is in the foreground: what the filter finds, or what is chosen and what it is joined to. Undefined: all. */
function foreground({
  edges,
  traffic,
  chosen,
  found,
}: CanvasProperties): ReadonlySet<string> | undefined {
  if (chosen === undefined) return found;
  if (chosen.kind === 'node') {
    const joined = [...edges, ...traffic.drops].filter(
      ({ from, to }) => from === chosen.id || to === chosen.id,
    );
    return new Set([chosen.id, ...joined.flatMap(({ from, to }) => [from, to])]);
  }
  const lines: readonly { readonly id: string; readonly from: string; readonly to: string }[] =
    chosen.kind === 'edge' ? edges : traffic.drops;
  const line = lines.find(({ id }) => id === chosen.id);
  return line === undefined ? found : new Set([line.from, line.to]);
}

function Arrows() {
  return (
    <defs>
      {['plain', 'chosen', 'drop', 'busy'].map((kind) => (
        <marker
          key={kind}
          id={`arrow-${kind}`}
          class={`arrow arrow-${kind}`}
          viewBox="0 0 8 8"
          refX="7"
          refY="4"
          markerWidth="9"
          markerHeight="9"
          markerUnits="userSpaceOnUse"
          orient="auto-start-reverse"
        >
          <path d="M0,0.5 L8,4 L0,7.5 Z" />
        </marker>
      ))}
    </defs>
  );
}

function ZoomButtons({ sight, forget }: { readonly sight: MapSight; readonly forget: () => void }) {
  const layOutAnew = (): void => {
    forget();
    sight.fit();
  };
  return (
    <div class="zoom" role="group" aria-label="Zoom">
      <IconButton icon="plus" label="Zoom in" title="Zoom in (+)" click={sight.zoomIn} />
      <IconButton icon="minus" label="Zoom out" title="Zoom out (−)" click={sight.zoomOut} />
      <IconButton icon="fit" label="Show all" title="Show all (0)" click={sight.fit} />
      <button type="button" class="text-button" onClick={layOutAnew}>
        Arrange
      </button>
    </div>
  );
}

function Legend({ hasDrops }: { readonly hasDrops: boolean }) {
  return (
    <ul class="map-legend">
      <li>
        <span class="line" /> may reach
      </li>
      <li>
        <span class="line line-busy" /> traffic now
      </li>
      {hasDrops && (
        <li>
          <span class="line line-drop" /> dropped packets
        </li>
      )}
    </ul>
  );
}
