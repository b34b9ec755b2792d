/** This is the map as a table: the same edges, for those who read rather than look. */
import { useMemo } from 'preact/hooks';
import type { MapEdge, MapNode } from '../../../contract.ts';
import { formatBitRate, formatWhole } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import type { MapTraffic } from './map-state.ts';
import type { Chosen } from './chosen.ts';

interface Row {
  readonly id: string;
  readonly kind: 'edge' | 'drop';
  readonly from: string;
  readonly to: string;
  readonly what: string;
  readonly rules: number;
  readonly rate: number;
  readonly packets: number;
}

export function MapTable({
  nodes,
  edges,
  traffic,
  found,
  choose,
}: {
  readonly nodes: readonly MapNode[];
  readonly edges: readonly MapEdge[];
  readonly traffic: MapTraffic;
  readonly found: ReadonlySet<string> | undefined;
  readonly choose: (chosen: Chosen) => void;
}) {
  const rows = useMemo(
    () =>
      rowsOf(nodes, edges, traffic, ({ from, to }) =>
        found === undefined ? true : found.has(from) || found.has(to),
      ),
    [nodes, edges, traffic, found],
  );
  const columns = useMemo(() => columnsWith(choose), [choose]);
  return (
    <DataTable
      label="The map as a table"
      columns={columns}
      rows={rows}
      keyOf={({ kind, id }) => `${kind} ${id}`}
      empty="Nothing is allowed between what the filter finds."
    />
  );
}

function columnsWith(choose: (chosen: Chosen) => void): readonly TableColumn<Row>[] {
  return [
    { name: 'from', title: 'From', isHeading: true, value: ({ from }) => from },
    { name: 'to', title: 'To', value: ({ to }) => to },
    {
      name: 'what',
      title: 'May reach, or is dropped',
      value: ({ what }) => what,
      cell: ({ kind, id, what }) => (
        <button type="button" class={`link link-${kind}`} onClick={() => choose({ kind, id })}>
          {what}
        </button>
      ),
    },
    { name: 'rules', title: 'Rules', isNumber: true, value: ({ rules }) => rules },
    {
      name: 'rate',
      title: 'Now',
      isNumber: true,
      value: ({ rate }) => rate,
      cell: ({ rate }) => (rate > 0 ? formatBitRate(rate) : '–'),
    },
    {
      name: 'packets',
      title: 'Dropped',
      isNumber: true,
      value: ({ packets }) => packets,
      cell: ({ packets }) => (packets > 0 ? formatWhole(packets) : '–'),
    },
  ];
}

function rowsOf(
  nodes: readonly MapNode[],
  edges: readonly MapEdge[],
  { rates, drops }: MapTraffic,
  isShown: (line: { readonly from: string; readonly to: string }) => boolean,
): Row[] {
  const labels = new Map(nodes.map(({ id, label }) => [id, shown(label)]));
  const ends = ({ from, to }: { readonly from: string; readonly to: string }) => ({
    from: labels.get(from) ?? shown(from),
    to: labels.get(to) ?? shown(to),
  });
  return [
    ...edges.filter(isShown).map((edge): Row => ({
      id: edge.id,
      kind: 'edge',
      ...ends(edge),
      what: `${edge.isPerhaps === true ? 'perhaps ' : ''}${edge.services.map(shown).join(', ')}`,
      rules: edge.ruleCount,
      rate: rates.get(edge.id) ?? 0,
      packets: 0,
    })),
    ...drops.filter(isShown).map((drop): Row => ({
      id: drop.id,
      kind: 'drop',
      ...ends(drop),
      what: `dropped: ${drop.reasons.join(', ')}`,
      rules: 0,
      rate: 0,
      packets: drop.packets,
    })),
  ];
}
