/** This view is the history of changes that calls made: who, when, what, with which revision, and the way back. */
import { useEffect, useMemo } from 'preact/hooks';
import type { ChangesAnswer, ConsoleChange } from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { useAskInForce } from '../../browser/ask-in-force.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { addKeys } from '../../browser/keys.ts';
import { replaceRoute, route } from '../../browser/route-store.ts';
import { useStore } from '../../browser/store.ts';
import { findChanges, whatOf } from '../../logic/change-words.ts';
import { formatMoment, formatNumberOf } from '../../logic/format.ts';
import { shown, shownShort } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { Select } from '../../parts/select.tsx';
import { Answered, Empty } from '../../parts/states.tsx';
import { ChangePanel } from './change-panel.tsx';

const LIMIT = 500;

export function HistoryView() {
  const known = useStore(about);
  if (known !== undefined && known.key === undefined)
    return (
      <Empty title="There is no history here">
        Changes that calls make are kept by secgroup-api, and its own console shows them.
      </Empty>
    );
  return (
    <>
      <h1 class="hidden">History</h1>
      <History />
    </>
  );
}

function History() {
  const { parameters } = useStore(route);
  const { group = '' } = parameters;
  const query = new URLSearchParams({ limit: String(LIMIT), ...(group === '' ? {} : { group }) });
  const asked = useAskInForce<ChangesAnswer>(`changes?${query.toString()}`, true);
  return (
    <Answered asked={asked} what="the changes">
      {(answer) => <Changes answer={answer} group={group} />}
    </Answered>
  );
}

function Changes({ answer, group }: { readonly answer: ChangesAnswer; readonly group: string }) {
  const { changes, hasMore, keptAtMost } = answer;
  const { parameters } = useStore(route);
  const chosen = changes.find(({ revision }) => String(revision) === parameters['revision']);
  const words = useFilterWords();
  const found = useMemo(() => findChanges(changes, words), [changes, words]);
  const open = (revision: number | undefined): void =>
    replaceRoute('history', {
      ...(group === '' ? {} : { group }),
      ...(revision === undefined ? {} : { revision: String(revision) }),
    });
  useEffect(
    () =>
      addKeys((key) => {
        if (key === 'Escape') open(undefined);
        return key === 'Escape';
      }),
    [group],
  );
  const columns = useMemo(() => columnsWith(open), [group]);
  return (
    <div class={chosen === undefined ? 'panel-frame' : 'panel-frame has-panel'}>
      <Tools {...{ changes, group }} />
      <DataTable
        label="Changes"
        columns={columns}
        rows={found}
        keyOf={({ revision }) => String(revision)}
        empty="No change is known."
      />
      {chosen !== undefined && <ChangePanel change={chosen} close={() => open(undefined)} />}
      {hasMore && (
        <p class="muted panel-foot">
          There were more. {formatNumberOf(keptAtMost, 'change')} are kept at most.
        </p>
      )}
    </div>
  );
}

function Tools({
  changes,
  group,
}: {
  readonly changes: readonly ConsoleChange[];
  readonly group: string;
}) {
  const names = useMemo(() => {
    const all = changes.flatMap(({ groups }) => groups.map(({ id, name }) => [id, name] as const));
    // The newest name of each.
    return new Map([...all].reverse());
  }, [changes]);
  const values = names.has(group) || group === '' ? [...names.keys()] : [group, ...names.keys()];
  return (
    <div class="tools">
      <Select
        label="Group"
        all="all groups"
        values={values}
        titles={names}
        chosen={group}
        choose={(id) => replaceRoute('history', id === '' ? {} : { group: id })}
      />
      <p class="muted tools-note" role="status">
        {formatNumberOf(changes.length, 'change')}
      </p>
    </div>
  );
}

function columnsWith(open: (revision: number) => void): readonly TableColumn<ConsoleChange>[] {
  return [
    {
      ...{ name: 'revision', title: 'Revision', isNumber: true },
      value: ({ revision }) => revision,
    },
    {
      ...{ name: 'time', title: 'When' },
      value: ({ timeMs }) => timeMs,
      cell: ({ timeMs }) => formatMoment(timeMs),
    },
    {
      ...{ name: 'who', title: 'Who', isHeading: true },
      value: ({ who }) => who.name,
      cell: ({ who }) => shownShort(who.name),
    },
    {
      ...{ name: 'what', title: 'What' },
      value: whatOf,
      cell: (change) => (
        <button type="button" class="link" onClick={() => open(change.revision)}>
          {shown(whatOf(change))}
        </button>
      ),
    },
    {
      ...{ name: 'actions', title: 'By' },
      value: ({ actions, by }) => `${actions.join(', ')} ${by}`,
      cell: ({ actions, by }) =>
        `${shownShort(actions.join(', '))}${by === 'console' ? ' (console)' : ''}`,
    },
  ];
}
