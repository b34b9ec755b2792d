/** This table has the flows that are tracked, asked for with the words of `sgctl flows`. */
import { useMemo, useState } from 'preact/hooks';
import type { FlowsAnswer } from '../../../contract.ts';
import { useAsk } from '../../browser/api.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { flowsPath, NO_FLOW_FILTER, type FlowFilter } from '../../logic/flow-filter.ts';
import { formatWhole } from '../../logic/format.ts';
import { matchesWords } from '../../logic/search-words.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { Answered } from '../../parts/states.tsx';
import type { FlowView } from '../../../contract.ts';
import * as flows from './flow-columns.tsx';

const COLUMNS: readonly TableColumn<FlowView>[] = [
  flows.INTERFACE,
  flows.PROTOCOL,
  flows.LOCAL,
  flows.DIRECTION,
  flows.REMOTE,
  flows.STATE,
  flows.BYTES,
  flows.IDLE,
  flows.RULE,
];

export function TrackedFlows() {
  const [filter, setFilter] = useState<FlowFilter>(NO_FLOW_FILTER);
  const asked = useAsk<FlowsAnswer>(flowsPath(filter), true);
  return (
    <>
      <FilterForm filter={filter} ask={setFilter} again={asked.again} />
      <Answered asked={asked} what="flows">
        {(answer) => <Flows answer={answer} />}
      </Answered>
    </>
  );
}

const FIELDS: readonly (readonly [name: keyof FlowFilter, label: string, example: string])[] = [
  ['interface', 'Interface', 'eni-web-1'],
  ['proto', 'Protocol', 'tcp'],
  ['port', 'Port', '443'],
  ['address', 'Address', '10.0.0.0/8'],
  ['state', 'State', 'established'],
  ['idle', 'Idle for', '30s'],
];

function FilterForm({
  filter,
  ask,
  again,
}: {
  readonly filter: FlowFilter;
  readonly ask: (filter: FlowFilter) => void;
  readonly again: () => void;
}) {
  const [draft, setDraft] = useState(filter);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (flowsPath(draft) === flowsPath(filter)) again();
    else ask(draft);
  };
  return (
    <form class="tools" onSubmit={submit}>
      {FIELDS.map(([name, label, example]) => (
        <label key={name} class="field field-short">
          <span>{label}</span>
          <input
            value={draft[name]}
            placeholder={example}
            autocomplete="off"
            onInput={(event) => setDraft({ ...draft, [name]: event.currentTarget.value })}
          />
        </label>
      ))}
      <label class="field">
        <span>Sorted by</span>
        <select
          value={draft.sort}
          onChange={(event) => setDraft({ ...draft, sort: event.currentTarget.value })}
        >
          {['bytes', 'packets', 'idle', 'expires', 'table'].map((order) => (
            <option key={order}>{order}</option>
          ))}
        </select>
      </label>
      <button type="submit" class="primary">
        Look
      </button>
    </form>
  );
}

function Flows({ answer }: { readonly answer: FlowsAnswer }) {
  const words = useFilterWords();
  const rows = useMemo(
    () => answer.flows.filter((flow) => matchesWords(words, flows.flowTexts(flow))),
    [answer, words],
  );
  return (
    <>
      <p class="muted">
        {formatWhole(answer.matched)} tracked
        {answer.matched > answer.flows.length && `, ${formatWhole(answer.flows.length)} shown`}
      </p>
      <DataTable
        label="Tracked flows"
        columns={COLUMNS}
        rows={rows}
        keyOf={flows.flowKey}
        empty="No such flow is tracked."
      />
    </>
  );
}
