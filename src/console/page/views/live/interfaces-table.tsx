/** This table has what each interface passes and drops now. */
import { useMemo } from 'preact/hooks';
import type { TopAnswer } from '../../../contract.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { top } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatBitRate, formatCount } from '../../logic/format.ts';
import { matchesWords } from '../../logic/search-words.ts';
import { shown } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';

type Row = TopAnswer['interfaces'][number];

const COLUMNS: readonly TableColumn<Row>[] = [
  { name: 'name', title: 'Interface', isHeading: true, value: ({ name }) => shown(name) },
  column('in', 'In', ({ ingress }) => ingress.passedBytes, formatBitRate),
  column('out', 'Out', ({ egress }) => egress.passedBytes, formatBitRate),
  column('packets-in', 'Packets in/s', ({ ingress }) => ingress.passedPackets, formatCount),
  column('packets-out', 'Packets out/s', ({ egress }) => egress.passedPackets, formatCount),
  column('dropped-in', 'Dropped in/s', ({ ingress }) => ingress.droppedPackets, formatCount),
  column('dropped-out', 'Dropped out/s', ({ egress }) => egress.droppedPackets, formatCount),
];

function column(
  name: string,
  title: string,
  value: (row: Row) => number,
  format: (value: number) => string,
): TableColumn<Row> {
  return { name, title, isNumber: true, value, cell: (row) => format(value(row)) };
}

export function InterfacesTable() {
  const now = useStore(top);
  const words = useFilterWords();
  const rows = useMemo(
    () => (now?.interfaces ?? []).filter(({ name }) => matchesWords(words, [shown(name)])),
    [now, words],
  );
  return (
    <DataTable
      label="Traffic of interfaces"
      columns={COLUMNS}
      rows={rows}
      keyOf={({ name }) => name}
      empty={
        words.length > 0
          ? 'The filter finds none of them.'
          : 'No interface has told its traffic yet.'
      }
    />
  );
}
