/** This table has the packets that were dropped, as they come; each has the way to its reason. */
import { useMemo } from 'preact/hooks';
import type { DropExample } from '../../../contract.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { drops } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatClock } from '../../logic/format.ts';
import { routeHash } from '../../logic/route.ts';
import { matchesWords } from '../../logic/search-words.ts';
import { shown } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { packetWords } from '../../parts/drop-example.tsx';

const COLUMNS: readonly TableColumn<DropExample>[] = [
  {
    name: 'time',
    title: 'Time',
    isHeading: true,
    value: ({ id }) => id,
    cell: ({ timeMs }) => formatClock(timeMs),
  },
  { name: 'interface', title: 'Interface', value: (drop) => shown(drop.interface) },
  { name: 'direction', title: 'Gate', value: ({ direction }) => direction },
  { name: 'protocol', title: 'Protocol', value: ({ packet }) => packet?.protocol ?? 'link' },
  { name: 'packet', title: 'Packet', value: packetWords },
  {
    name: 'reason',
    title: 'Reason',
    value: ({ reason = '' }) => reason,
    cell: ({ reason, meaning }) => <span title={meaning}>{reason}</span>,
  },
  {
    name: 'why',
    title: 'Why',
    value: ({ id }) => id,
    cell: ({ id }) => <a href={routeHash('why', { drop: String(id) })}>Why?</a>,
  },
];

export function DropsTable() {
  const live = useStore(drops);
  const words = useFilterWords();
  const rows = useMemo(
    () =>
      live.filter((drop) =>
        matchesWords(words, [
          shown(drop.interface),
          drop.direction,
          drop.reason ?? '',
          drop.packet?.protocol ?? '',
          packetWords(drop),
        ]),
      ),
    [live, words],
  );
  return (
    <DataTable
      label="Dropped packets, the latest first"
      columns={COLUMNS}
      rows={rows}
      keyOf={({ id }) => String(id)}
      empty={words.length > 0 ? 'The filter finds none of them.' : 'Nothing was dropped yet.'}
    />
  );
}
