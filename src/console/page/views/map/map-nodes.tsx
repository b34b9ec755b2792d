/** This file draws the nodes of the map. A node is dragged to where the reader wants it, and stays there. */
import type { RefObject } from 'preact';
import { useRef } from 'preact/hooks';
import type { MapNode } from '../../../contract.ts';
import { wordsOfNode } from '../../logic/map-boxes.ts';
import type { Box } from '../../logic/map-geometry.ts';
import type { Place } from '../../logic/map-layout.ts';
import type { LayerProperties } from './map-lines.tsx';

interface NodesProperties extends LayerProperties {
  readonly nodes: readonly MapNode[];
  /** Pixels of the screen a unit, now. */
  readonly scaleNow: RefObject<number>;
  readonly move: (id: string, place: Place) => void;
  readonly keep: () => void;
}

/** A shorter way of the pointer is a click. */
const CLICK_PX = 4;

export function MapNodes({ nodes, ...layer }: NodesProperties) {
  return (
    <g>
      {nodes.map((node) => {
        const box = layer.boxes.get(node.id);
        return box === undefined ? null : (
          <NodeBox key={node.id} {...layer} node={node} box={box} />
        );
      })}
    </g>
  );
}

type NodeProperties = Omit<NodesProperties, 'nodes'> & {
  readonly node: MapNode;
  readonly box: Box;
};

function NodeBox(properties: NodeProperties) {
  const { node, box, near, chosen, isTiny, choose } = properties;
  const { title, subtitle, kind } = wordsOfNode(node);
  const drag = useDrag(properties);
  const isChosen = chosen?.kind === 'node' && chosen.id === node.id;
  const isFar = near !== undefined && !near.has(node.id);
  const { x, y, width, height } = box;
  const isStack = node.kind === 'interfaces' && node.interfaces.length > 1;
  return (
    <g
      class={`node node-${node.kind}${isChosen ? ' node-chosen' : ''}${isFar ? ' far' : ''}`}
      transform={`translate(${x - width / 2} ${y - height / 2})`}
      role="button"
      tabindex={0}
      aria-label={`${title} ${subtitle} (${kind})`}
      {...drag.handlers}
      onClick={(event) => {
        event.stopPropagation();
        if (!drag.wasDragged()) choose({ kind: 'node', id: node.id });
      }}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        choose({ kind: 'node', id: node.id });
      }}
    >
      {isStack && <rect class="node-behind" x={4} y={4} width={width} height={height} rx={8} />}
      <rect
        class="node-box"
        width={width}
        height={height}
        rx={node.kind === 'interfaces' ? 8 : height / 2}
      />
      {!isTiny && (
        <>
          <NodeSign kind={node.kind} height={height} />
          <text class="node-title" x={34} y={22}>
            {title}
          </text>
          {/* So that the two are two words to who hears them. */ ' '}
          <text class="node-subtitle" x={34} y={38}>
            {subtitle}
          </text>
        </>
      )}
    </g>
  );
}

/** Lines on a square of 16 units, for each kind of node another form. */
const SIGNS: Readonly<Record<MapNode['kind'], string>> = {
  interfaces: 'M2 3h12v4H2ZM2 9h12v4H2ZM4.5 5h.1M4.5 11h.1',
  members:
    'M5.5 7a2.2 2.2 0 1 0 0-4.4 2.2 2.2 0 0 0 0 4.4ZM1.5 13.5c0-4 8-4 8 0M11 7.5a2 2 0 1 0 0-4M11 10c2.2 0 3.5 1.3 3.5 3.5',
  block: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12ZM2 8h12M8 2c4 4 4 8 0 12M8 2c-4 4-4 8 0 12',
  'prefix-list': 'M5.5 4h8M5.5 8h8M5.5 12h8M2.5 4h.1M2.5 8h.1M2.5 12h.1',
  name: 'M2 4h12v8H2ZM4.5 9.500v-3l3 3v-3M9.5 8h2.5',
  platform: 'M4.5 12.500a3 3 0 0 1 0-6 4 4 0 0 1 7.5 1 2.5 2.5 0 0 1 0 5Z',
};

function NodeSign({ kind, height }: { readonly kind: MapNode['kind']; readonly height: number }) {
  return (
    <g class="node-sign" transform={`translate(12 ${height / 2 - 8})`}>
      <path d={SIGNS[kind]} />
    </g>
  );
}

function useDrag({ node, box, scaleNow, move, keep }: NodeProperties) {
  const start = useRef<{ readonly pointer: number; x: number; y: number } | undefined>(undefined);
  const way = useRef(0);
  const onPointerDown = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    event.stopPropagation();
    way.current = 0;
    start.current = { pointer: event.pointerId, x: event.clientX, y: event.clientY };
  };
  const onPointerMove = (event: PointerEvent): void => {
    const last = start.current;
    if (last?.pointer !== event.pointerId) return;
    const [dx, dy] = [event.clientX - last.x, event.clientY - last.y];
    if (way.current < CLICK_PX && Math.abs(dx) + Math.abs(dy) < CLICK_PX) return;
    way.current += Math.abs(dx) + Math.abs(dy);
    if (event.currentTarget instanceof Element)
      event.currentTarget.setPointerCapture(event.pointerId);
    [last.x, last.y] = [event.clientX, event.clientY];
    const scale = scaleNow.current ?? 1;
    move(node.id, { x: box.x + dx / scale, y: box.y + dy / scale });
  };
  const onPointerUp = (): void => {
    if (start.current !== undefined && way.current >= CLICK_PX) keep();
    start.current = undefined;
  };
  return {
    handlers: { onPointerDown, onPointerMove, onPointerUp, onPointerCancel: onPointerUp },
    wasDragged: () => way.current >= CLICK_PX,
  };
}
