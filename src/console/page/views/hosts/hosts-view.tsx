/** This view is about the hosts of a store: which revision each has in force, how old its news is, what is wrong. */
import { useEffect, useMemo } from 'preact/hooks';
import type { ConsoleHost, HostsAnswer } from '../../../contract.ts';
import { about } from '../../browser/about.ts';
import { useAskInForce } from '../../browser/ask-in-force.ts';
import { useFilterWords } from '../../browser/filter.ts';
import { isPaused } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatAgo, formatNumberOf, formatWhole } from '../../logic/format.ts';
import { faultsOf, findHosts, stateOf } from '../../logic/host-words.ts';
import { shown, shownShort } from '../../logic/shown.ts';
import { DataTable, type TableColumn } from '../../parts/data-table.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Answered, Empty } from '../../parts/states.tsx';
import { Tag } from '../../parts/verdict.tsx';

const INTERVAL_MS = 3000;
/** Hosts whose faults are listed; of more the number is told. */
const FAULTY_SHOWN = 50;

export function HostsView() {
  const known = useStore(about);
  if (known !== undefined && known.key === undefined)
    return (
      <Empty title="There is one host here">
        Hosts that share a store are shown by the console of secgroup-api.
      </Empty>
    );
  return (
    <div class="column column-wide">
      <h1>Hosts</h1>
      <AskedHosts />
    </div>
  );
}

function AskedHosts() {
  const asked = useAskInForce<HostsAnswer>('hosts');
  const paused = useStore(isPaused);
  useEffect(() => {
    if (paused) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden) asked.again();
    }, INTERVAL_MS);
    return () => clearInterval(timer);
  }, [paused, asked.again]);
  return (
    <Answered asked={asked} what="the hosts">
      {(answer) => <Hosts answer={answer} />}
    </Answered>
  );
}

function Hosts({ answer }: { readonly answer: HostsAnswer }) {
  const { hosts, revision, nowMs } = answer;
  const words = useFilterWords();
  const found = useMemo(() => findHosts(hosts, words), [hosts, words]);
  const columns = useMemo(() => columnsAt(nowMs), [nowMs]);
  const count = (is: (host: ConsoleHost) => boolean): number => hosts.filter(is).length;
  return (
    <>
      <p role="status">
        The newest revision is <strong>{revision}</strong>:{' '}
        {formatNumberOf(
          count(({ state, isBehind }) => state === 'lives' && !isBehind),
          'host',
        )}{' '}
        of {hosts.length} live and have it in force.
      </p>
      <DataTable
        label="Hosts"
        columns={columns}
        rows={found}
        keyOf={({ host }) => host}
        empty={hosts.length === 0 ? 'No host follows the store.' : 'The filter finds no host.'}
      />
      <Faults hosts={found} />
    </>
  );
}

function columnsAt(nowMs: number): readonly TableColumn<ConsoleHost>[] {
  return [
    {
      ...{ name: 'host', title: 'Host', isHeading: true },
      value: ({ host }) => host,
      cell: ({ host }) => shownShort(host),
    },
    {
      ...{ name: 'state', title: 'State' },
      value: (host) => stateOf(host).word,
      cell: (host) => {
        const { word, kind } = stateOf(host);
        return <Tag text={word} kind={kind} />;
      },
    },
    {
      ...{ name: 'revision', title: 'In force', isNumber: true },
      value: ({ revision }) => revision ?? 0,
      cell: ({ revision }) => revision ?? '–',
    },
    {
      ...{ name: 'age', title: 'Since' },
      value: ({ inForceSinceMs }) => inForceSinceMs ?? 0,
      cell: ({ inForceSinceMs }) =>
        inForceSinceMs === undefined ? '–' : formatAgo(inForceSinceMs, nowMs),
    },
    {
      ...{ name: 'up', title: 'Follows' },
      value: ({ sinceMs }) => sinceMs ?? 0,
      cell: ({ sinceMs }) => (sinceMs === undefined ? '–' : formatAgo(sinceMs, nowMs)),
    },
    {
      ...{ name: 'interfaces', title: 'Interfaces', isNumber: true },
      value: ({ interfaces }) => interfaces,
      cell: ({ interfaces }) => formatWhole(interfaces),
    },
    {
      ...{ name: 'faults', title: 'Errors', isNumber: true },
      value: (host) => faultsOf(host).length,
      cell: (host) => faultsOf(host).length,
    },
    {
      ...{ name: 'version', title: 'Version' },
      value: ({ version }) => version ?? '',
      cell: ({ version }) => (version === undefined ? '–' : shownShort(version)),
    },
  ];
}

function Faults({ hosts }: { readonly hosts: readonly ConsoleHost[] }) {
  const faulty = hosts.filter((host) => faultsOf(host).length > 0);
  if (faulty.length === 0) return <p class="muted">No host has errors.</p>;
  return (
    <section class="card">
      <h2>Errors</h2>
      {faulty.slice(0, FAULTY_SHOWN).map((host) => (
        <section key={host.host}>
          <h3>{shown(host.host)}</h3>
          {faultsOf(host).map((fault) => (
            <p key={fault} class="problem problem-warning">
              <Icon name="warning" />
              <span>{shown(fault)}</span>
            </p>
          ))}
        </section>
      ))}
      {faulty.length > FAULTY_SHOWN && (
        <p class="muted">and {faulty.length - FAULTY_SHOWN} more hosts</p>
      )}
    </section>
  );
}
