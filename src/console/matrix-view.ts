/**
 * This file makes the matrix of a configuration: kinds of interfaces, parts of the world that no rule tells apart, and
 * DNS names, with what is allowed between each two. Unlike the blocks of the map, parts of the world don't overlap: a
 * cell is all that the two can do.
 */
import { dnsPeerText } from '../policy/dns-names.ts';
import type { PolicyModel } from '../policy/model.ts';
import { serviceTexts, subtract } from '../policy/service-set.ts';
import { joinRegions, regionLabel, type Region } from '../reach/regions.ts';
import type { ReachOfKinds } from '../reach/kinds.ts';
import type { MapNode, MatrixEnd, MatrixView } from './contract.ts';
import { kindId, labelsOf, nameId, nodeId } from './node-ids.ts';
import type { MapParts } from './map-view.ts';
import type { KnownConfiguration } from '../queries/configuration-view.ts';

export const ENDS_MAX = 200;
export const CELLS_MAX = 10_000;
/** Blocks in a label; of more the number is told. */
const BLOCKS_SHOWN = 6;

export type MatrixParts = Pick<MatrixView, 'ends' | 'cells' | 'isTooLarge'>;

/** @param map of the same configuration: interfaces are called as there */
export function makeMatrix(
  { model }: KnownConfiguration,
  { ends, pairs, isTooLarge }: ReachOfKinds,
  map: MapParts,
): MatrixParts {
  const labels = new Map(map.nodes.map((node): [string, MapNode] => [node.id, node]));
  const used = new Set(pairs.flatMap(({ from, to }) => [from, to]));
  const all = ends.flatMap((end, place) => {
    // An interface that reaches nobody is told; a part of the world is not.
    if (end.kind !== 'interfaces' && !used.has(place)) return [];
    const told = endView(end, labels, model);
    return [{ place, told }];
  });
  const shown = all.slice(0, ENDS_MAX);
  const places = new Map(shown.map(({ place }, at) => [place, at]));
  const cells = pairs.flatMap(({ from, to, sure, maybe }) => {
    const [row, column] = [places.get(from), places.get(to)];
    if (row === undefined || column === undefined) return [];
    const isPerhaps = subtract(maybe, sure).length > 0;
    const services = serviceTexts(maybe);
    return [
      { from: row, to: column, services, ...(isPerhaps ? { isPerhaps: true as const } : {}) },
    ];
  });
  const left = isTooLarge
    ? 'there are too many kinds of interfaces and blocks to look at all pairs: cells are missing'
    : all.length > ENDS_MAX
      ? `there are ${all.length} ends, and ${ENDS_MAX} of them are here`
      : cells.length > CELLS_MAX
        ? `there are ${cells.length} cells, and ${CELLS_MAX} of them are here`
        : undefined;
  return {
    ends: shown.map(({ told }) => told),
    cells: cells.slice(0, CELLS_MAX),
    ...(left === undefined ? {} : { isTooLarge: left }),
  };
}

function endView(
  end: ReachOfKinds['ends'][number],
  nodes: ReadonlyMap<string, MapNode>,
  model: PolicyModel,
): MatrixEnd {
  switch (end.kind) {
    case 'interfaces': {
      const id = kindId(end.of, model);
      return { kind: 'interfaces', label: nodes.get(id)?.label ?? id, node: id };
    }
    case 'member': {
      const groups = labelsOf([end.groupId], model);
      const node = nodeId('members', ...groups);
      return { kind: 'members', label: `anybody in ${groups[0]}`, node };
    }
    case 'outside':
      return { kind: 'outside', label: worldLabel(end.regions) };
    case 'named':
      return { kind: 'name', label: dnsPeerText(end.peer), node: nameId(end.peer) };
    default:
      return end satisfies never;
  }
}

function worldLabel(regions: readonly Region[]): string {
  const blocks = joinRegions(regions).flatMap((region) => regionLabel(region).split(' '));
  const more = blocks.length - BLOCKS_SHOWN;
  if (more <= 0) return blocks.join(' ');
  return `${blocks.slice(0, BLOCKS_SHOWN).join(' ')} and ${more} more`;
}
