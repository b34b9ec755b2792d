/** This file says how a node of the map looks: its words, its size, the column where it stands. */
import type { MapNode } from '../../contract.ts';
import { formatNumberOf } from './format.ts';
import type { LaidOutNode } from './map-layout.ts';
import { shownShort } from './shown.ts';

export interface NodeWords {
  readonly title: string;
  readonly subtitle: string;
  /** What kind of thing it is, for those who can't see its form. */
  readonly kind: string;
}

const TITLE_MAX = 26;
const SUBTITLE_MAX = 32;
/** Widths of a letter of the title and of the subtitle, and what is beside them, in units of the map. */
const TITLE_LETTER = 8.3;
const SUBTITLE_LETTER = 6.6;
const PADDING = 50;
const WIDTH_MIN = 120;
const HEIGHT = 50;

export function wordsOfNode(node: MapNode): NodeWords {
  const [kind, subtitle] = kindAndSubtitle(node);
  // What is required stands below the name: it would be cut off behind it.
  const title = node.kind === 'name' ? `dns:${node.dnsName}` : node.label;
  return {
    title: shownShort(title, TITLE_MAX),
    subtitle: shownShort(subtitle, SUBTITLE_MAX),
    kind,
  };
}

function kindAndSubtitle(node: MapNode): readonly [kind: string, subtitle: string] {
  switch (node.kind) {
    case 'interfaces': {
      const [first] = node.interfaces;
      if (node.interfaces.length === 1 && first !== undefined)
        return ['interface', first.addresses.join(', ')];
      return ['interfaces', formatNumberOf(node.interfaces.length, 'interface')];
    }
    case 'members':
      return [
        'members elsewhere',
        node.count === undefined ? 'members not known here' : `${node.count} elsewhere`,
      ];
    case 'block':
      return ['addresses', node.isAnywhere ? 'anywhere' : 'addresses'];
    case 'prefix-list':
      return ['prefix list', formatNumberOf(node.entryCount, 'prefix', 'prefixes')];
    case 'name':
      return ['DNS name', node.tlsName === undefined ? 'DNS name' : 'TLS name required'];
    case 'platform':
      return ['platform', 'never filtered'];
    default:
      return node satisfies never;
  }
}

/** Whoever sends from outside is on the left, interfaces are in the middle, what is only sent to on the right. */
export function boxOfNode(node: MapNode, column: number): LaidOutNode {
  const { title, subtitle } = wordsOfNode(node);
  const text = Math.max([...title].length * TITLE_LETTER, [...subtitle].length * SUBTITLE_LETTER);
  return {
    id: node.id,
    column,
    width: Math.max(WIDTH_MIN, Math.ceil(text + PADDING)),
    height: HEIGHT,
  };
}

/**
 * The columns of nodes. Interfaces stand by how far they are from outside: whom outsiders reach comes first, whom only
 * those reach comes next.
 */
export function columnsOf(
  nodes: readonly MapNode[],
  edges: readonly { readonly from: string; readonly to: string }[],
): Map<string, number> {
  const isOwn = (id: string): boolean => own.has(id);
  const own = new Set(nodes.filter(({ kind }) => kind === 'interfaces').map(({ id }) => id));
  const columns = new Map<string, number>();
  const reachedFrom = (ids: ReadonlySet<string>): Set<string> =>
    new Set(
      edges
        .filter(({ from, to }) => ids.has(from) && isOwn(to) && !columns.has(to))
        .map(({ to }) => to),
    );
  const outside = nodes.filter(({ id }) => !isOwn(id)).map(({ id }) => id);
  let reached = reachedFrom(new Set(outside));
  for (let column = 1; reached.size > 0; column++) {
    for (const id of reached) columns.set(id, Math.min(column, COLUMNS_MAX));
    reached = reachedFrom(reached);
  }
  for (const id of own) if (!columns.has(id)) columns.set(id, 1);
  const last = Math.max(1, ...columns.values()) + 1;
  for (const { id, kind } of nodes)
    if (!isOwn(id)) columns.set(id, isOnlySentTo(id, kind, edges) ? last : 0);
  return columns;
}

const COLUMNS_MAX = 3;

function isOnlySentTo(
  id: string,
  kind: MapNode['kind'],
  edges: readonly { readonly from: string; readonly to: string }[],
): boolean {
  if (kind === 'name' || kind === 'platform') return true;
  return !edges.some(({ from }) => from === id) && edges.some(({ to }) => to === id);
}
