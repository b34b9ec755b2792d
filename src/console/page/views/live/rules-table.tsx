/** This table has the rules in force with their hits: which ones are used, and which ones never were. */
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { RulesAnswer, RuleUse } from '../../../contract.ts';
import { useAsk } from '../../browser/api.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { generation, isPaused } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatAgo, formatMoment, formatOrigin, formatWhole } from '../../logic/format.ts';
import { matchesWords } from '../../logic/search-words.ts';
import { shown } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { Answered } from '../../parts/states.tsx';

const INTERVAL_MS = 5000;

const COLUMNS: readonly TableColumn<RuleUse>[] = [
  {
    name: 'group',
    title: 'Group',
    isHeading: true,
    value: ({ group }) => (group === undefined ? '–' : shown(group.name)),
  },
  { name: 'direction', title: 'Direction', value: ({ direction }) => direction },
  { name: 'text', title: 'Rule', value: ({ text }) => shown(text) },
  {
    name: 'hits',
    title: 'Hits',
    isNumber: true,
    value: ({ hits }) => hits,
    cell: ({ hits }) => formatWhole(hits),
  },
  {
    name: 'last',
    title: 'Last hit',
    isNumber: true,
    value: ({ lastHitMs = 0 }) => lastHitMs,
    cell: ({ lastHitMs }) => (lastHitMs === undefined ? 'never' : formatAgo(lastHitMs, Date.now())),
  },
  {
    name: 'flows',
    title: 'Flows',
    isNumber: true,
    value: ({ flows }) => flows,
    cell: ({ flows }) => formatWhole(flows),
  },
  { name: 'description', title: 'Description', value: ({ description }) => shown(description) },
  {
    name: 'origin',
    title: 'Where',
    value: ({ origin }) => (origin === undefined ? '–' : shown(formatOrigin(origin))),
  },
];

export function RulesTable() {
  const [isUnused, setIsUnused] = useState(false);
  const asked = useAsk<RulesAnswer>('rules', true);
  const inForce = useStore(generation);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!isPaused.get() && !document.hidden) asked.again();
    }, INTERVAL_MS);
    return () => clearInterval(timer);
  }, [asked.again]);
  useEffect(() => asked.again(), [inForce]);
  return (
    <Answered asked={asked} what="the rules">
      {(answer) => (
        <>
          <div class="tools">
            <label class="check">
              <input
                type="checkbox"
                checked={isUnused}
                onChange={(event) => setIsUnused(event.currentTarget.checked)}
              />
              Only rules without a hit
            </label>
            <p class="muted">Hits since {formatMoment(answer.sinceMs)}.</p>
          </div>
          <Rules rules={answer.rules} isUnused={isUnused} />
        </>
      )}
    </Answered>
  );
}

function Rules({
  rules,
  isUnused,
}: {
  readonly rules: readonly RuleUse[];
  readonly isUnused: boolean;
}) {
  const words = useFilterWords();
  const rows = useMemo(
    () =>
      rules
        .filter(({ hits }) => !isUnused || hits === 0)
        .filter(({ text, description, group, direction, origin }) =>
          matchesWords(words, [
            shown(text),
            shown(description),
            direction,
            shown(group?.name ?? ''),
            shown(origin?.file ?? ''),
          ]),
        ),
    [rules, isUnused, words],
  );
  return (
    <DataTable
      label="Rules and their hits"
      columns={COLUMNS}
      rows={rows}
      keyOf={({ id }) => id}
      empty={isUnused ? 'Each rule has admitted something.' : 'There are no such rules.'}
    />
  );
}
