/** This file draws the lines of the map: what is allowed, by its rate, and beside it what is dropped. */
import type { MapEdge } from '../../../contract.ts';
import { formatBitRate, formatCount } from '../../logic/format.ts';
import { lineBetween, type Box, type Line } from '../../logic/map-geometry.ts';
import { edgeWidth, type DropEdge, type EdgeRates } from '../../logic/map-traffic.ts';
import { shownShort } from '../../logic/shown.ts';
import type { Chosen } from './chosen.ts';

export interface LayerProperties {
  readonly boxes: ReadonlyMap<string, Box>;
  /** How nodes are called. */
  readonly labels: ReadonlyMap<string, string>;
  /** The nodes in the foreground; undefined: all. */
  readonly near: ReadonlySet<string> | undefined;
  readonly chosen: Chosen | undefined;
  /** Too small to be read: names, signs and lines for themselves are left out. */
  readonly isTiny: boolean;
  readonly choose: (chosen: Chosen) => void;
}

/** With more edges than so, only lines with traffic, chosen ones and the one under the pointer have words. */
const WORDS_MAX = 8;
/** With more edges than so, those words are in the panel alone: each is an element to lay out. */
const QUIET_WORDS_MAX = 400;
/** How far above its line a word stands. */
const WORDS_ABOVE = 9;
const SERVICES_SHOWN = 2;
const SERVICES_LETTERS = 28;
/** How far the line of drops bends; that of what is allowed bends less, to the same side. */
const DROP_BEND = 52;
const EDGE_BEND = 18;

export function EdgeLines({
  edges,
  rates,
  ...layer
}: LayerProperties & { readonly edges: readonly MapEdge[]; readonly rates: EdgeRates }) {
  const { boxes, near, chosen, isTiny } = layer;
  const isGathered = ({ id }: MapEdge): boolean =>
    isTiny && (rates.get(id) ?? 0) === 0 && !(chosen?.kind === 'edge' && chosen.id === id);
  const [gathered, single] = [edges.filter(isGathered), edges.filter((one) => !isGathered(one))];
  return (
    <g>
      <GatheredLines {...{ boxes, near, chosen }} edges={gathered} />
      {single.map((edge) => (
        <EdgeLine
          key={edge.id}
          {...layer}
          edge={edge}
          rate={rates.get(edge.id) ?? 0}
          hasWords={edges.length <= WORDS_MAX}
          hasQuietWords={edges.length <= QUIET_WORDS_MAX}
        />
      ))}
    </g>
  );
}

/** Lines too small to be clicked, those that look alike as one element. The table of the map has each of them. */
function GatheredLines({
  edges,
  boxes,
  near,
  chosen,
}: Pick<LayerProperties, 'boxes' | 'near' | 'chosen'> & { readonly edges: readonly MapEdge[] }) {
  const paths = new Map<string, string[]>();
  for (const edge of edges) {
    const line = lineOf(edge, boxes, EDGE_BEND);
    if (line === undefined) continue;
    const look = `${classesOfEdge(edge, 'plain', isInBackground(edge, near, chosen))} edge-gathered`;
    const known = paths.get(look);
    if (known === undefined) paths.set(look, [line.path]);
    else known.push(line.path);
  }
  return (
    <>
      {[...paths].map(([look, parts]) => (
        <g key={look} class={look} aria-hidden="true">
          <path class="edge-line" d={parts.join('')} stroke-width={edgeWidth(0)} />
        </g>
      ))}
    </>
  );
}

function classesOfEdge({ isPerhaps }: MapEdge, kind: string, isFar: boolean): string {
  return `edge edge-${kind}${isPerhaps === true ? ' edge-perhaps' : ''}${isFar ? ' far' : ''}`;
}

function EdgeLine({
  edge,
  rate,
  hasWords,
  hasQuietWords,
  boxes,
  labels,
  near,
  chosen,
  isTiny,
  choose,
}: LayerProperties & {
  readonly edge: MapEdge;
  readonly rate: number;
  readonly hasWords: boolean;
  /** Of a line that nobody has chosen and that has no traffic, for when the pointer is there. */
  readonly hasQuietWords: boolean;
}) {
  const line = lineOf(edge, boxes, EDGE_BEND);
  if (line === undefined) return null;
  const isChosen = chosen?.kind === 'edge' && chosen.id === edge.id;
  const isFar = isInBackground(edge, near, chosen);
  const services = servicesWords(edge.services);
  const kind = isChosen ? 'chosen' : rate > 0 ? 'busy' : 'plain';
  const words = rate > 0 ? `${services} · ${formatBitRate(rate)}` : services;
  const isQuiet = !hasWords && !isChosen && rate === 0;
  return (
    <LineOnMap
      line={line}
      classes={classesOfEdge(edge, kind, isFar)}
      marker={kind}
      width={edgeWidth(rate)}
      label={`${words}: ${edge.isPerhaps === true ? 'perhaps allowed' : 'allowed'} ${endsWords(edge, labels)}`}
      words={isFar || (isQuiet && !hasQuietWords) ? '' : words}
      isQuiet={isQuiet}
      isTiny={isTiny}
      choose={() => choose({ kind: 'edge', id: edge.id })}
    />
  );
}

export function DropLines({
  drops,
  ...layer
}: LayerProperties & { readonly drops: readonly DropEdge[] }) {
  const { boxes, labels, near, chosen, isTiny, choose } = layer;
  return (
    <g>
      {drops.map((drop) => {
        const line = lineOf(drop, boxes, DROP_BEND);
        if (line === undefined) return null;
        const isChosen = chosen?.kind === 'drop' && chosen.id === drop.id;
        const isFar = isInBackground(drop, near, chosen);
        const words = `${drop.isShared ? '≤ ' : ''}${formatCount(drop.packets)} dropped`;
        return (
          <LineOnMap
            key={drop.id}
            line={line}
            classes={`edge edge-drop${isChosen ? ' edge-drop-chosen' : ''}${isFar ? ' far' : ''}`}
            marker="drop"
            width={isChosen ? 3 : 2}
            label={`${words} ${endsWords(drop, labels)}`}
            words={isFar ? '' : words}
            isQuiet={false}
            isTiny={isTiny}
            choose={() => choose({ kind: 'drop', id: drop.id })}
          />
        );
      })}
    </g>
  );
}

function LineOnMap({
  line,
  classes,
  marker,
  width,
  label,
  words,
  isQuiet,
  isTiny,
  choose,
}: {
  readonly line: Line;
  readonly classes: string;
  readonly marker: string;
  readonly width: number;
  readonly label: string;
  readonly words: string;
  /** Its words are there when the pointer is. */
  readonly isQuiet: boolean;
  readonly isTiny: boolean;
  readonly choose: () => void;
}) {
  return (
    <g
      class={classes}
      role="button"
      tabindex={0}
      aria-label={label}
      onClick={(event) => {
        event.stopPropagation();
        choose();
      }}
      onKeyDown={(event) => {
        if (event.key !== 'Enter' && event.key !== ' ') return;
        event.preventDefault();
        choose();
      }}
    >
      {!isTiny && <path class="edge-hit" d={line.path} />}
      <path
        class="edge-line"
        d={line.path}
        stroke-width={width}
        marker-end={`url(#arrow-${marker})`}
      />
      {words !== '' && (
        <text
          class={isQuiet ? 'quiet' : undefined}
          x={line.middle.x}
          y={line.middle.y - width / 2 - WORDS_ABOVE}
        >
          {words}
        </text>
      )}
    </g>
  );
}

function lineOf(
  { from, to }: { readonly from: string; readonly to: string },
  boxes: ReadonlyMap<string, Box>,
  bend: number,
): Line | undefined {
  const [start, end] = [boxes.get(from), boxes.get(to)];
  return start === undefined || end === undefined ? undefined : lineBetween(start, end, bend);
}

/** Whether a line fades: neither is it chosen, nor is it of what is chosen or found. */
function isInBackground(
  { id, from, to }: { readonly id: string; readonly from: string; readonly to: string },
  near: ReadonlySet<string> | undefined,
  chosen: Chosen | undefined,
): boolean {
  if (near === undefined) return false;
  if (chosen !== undefined && chosen.kind !== 'node') return chosen.id !== id;
  if (chosen !== undefined) return from !== chosen.id && to !== chosen.id;
  return !near.has(from) && !near.has(to);
}

function endsWords(
  { from, to }: { readonly from: string; readonly to: string },
  labels: ReadonlyMap<string, string>,
): string {
  return `from ${labels.get(from) ?? from} to ${labels.get(to) ?? to}`;
}

/** `tcp 22, 80 and 2 more`. */
export function servicesWords(services: readonly string[]): string {
  const first = services.slice(0, SERVICES_SHOWN).map((text) => shownShort(text, SERVICES_LETTERS));
  const more = services.length - first.length;
  return more > 0 ? `${first.join(', ')} and ${more} more` : first.join(', ');
}
