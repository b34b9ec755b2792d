/** This table has the flows that moved most in the last second. */
import { useMemo } from 'preact/hooks';
import type { TopFlow } from '../../../contract.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { top } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatBitRate, formatCount } from '../../logic/format.ts';
import { matchesWords } from '../../logic/search-words.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { Note } from '../../parts/states.tsx';
import * as flows from './flow-columns.tsx';

const COLUMNS: readonly TableColumn<TopFlow>[] = [
  flows.INTERFACE,
  flows.PROTOCOL,
  flows.LOCAL,
  flows.DIRECTION,
  flows.REMOTE,
  rateColumn('in', 'In', ({ bytesInRate }) => bytesInRate, formatBitRate),
  rateColumn('out', 'Out', ({ bytesOutRate }) => bytesOutRate, formatBitRate),
  rateColumn(
    'packets',
    'Packets/s',
    ({ packetsInRate, packetsOutRate }) => packetsInRate + packetsOutRate,
    formatCount,
  ),
  flows.STATE,
  flows.RULE,
];

function rateColumn(
  name: string,
  title: string,
  value: (flow: TopFlow) => number,
  format: (value: number) => string,
): TableColumn<TopFlow> {
  return { name, title, isNumber: true, value, cell: (flow) => format(value(flow)) };
}

export function TopFlowsTable() {
  const now = useStore(top);
  const words = useFilterWords();
  const rows = useMemo(
    () => (now?.topFlows ?? []).filter((flow) => matchesWords(words, flows.flowTexts(flow))),
    [now, words],
  );
  return (
    <>
      {now?.hasAccounts === false && (
        <Note>
          Flows carry no counts (conntrack.accounting is off), so which ones move is not known.
        </Note>
      )}
      <DataTable
        label="The fastest flows"
        columns={COLUMNS}
        rows={rows}
        keyOf={flows.flowKey}
        empty={
          words.length > 0
            ? 'The filter finds none of them.'
            : 'No flow carried anything in the last second.'
        }
      />
    </>
  );
}
