/** This part of the draft says what it would do. */
import type { ComponentChildren } from 'preact';
import type {
  Connection,
  DraftAnswer,
  DraftConnections,
  DraftDifference,
  Problem,
} from '../../../contract.ts';
import { rowOfPath } from '../../logic/draft-rows.ts';
import { formatEnd, formatNumberOf, formatOrigin } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Icon } from '../../parts/icon.tsx';
import { Failed, Loading, Note } from '../../parts/states.tsx';
import { Tag } from '../../parts/verdict.tsx';
import type { Computed } from './computed.ts';
import { ConnectionCounts } from './connection-counts.tsx';
import { HostImpacts } from './host-impacts.tsx';

export function DraftEffects({
  computed,
  isChanged,
}: {
  readonly computed: Computed;
  readonly isChanged: boolean;
}) {
  const { answer, error, isOld } = computed;
  return (
    <section class="card" aria-live="polite" aria-busy={isOld}>
      <h2>
        What it would do{' '}
        {isOld && answer !== undefined && (
          <span class="spinner" role="img" aria-label="computing" />
        )}
      </h2>
      {error !== undefined && <Failed error={error} />}
      {answer === undefined ? (
        error === undefined && <Loading what="what it would do" />
      ) : (
        <Effects answer={answer} isChanged={isChanged} />
      )}
    </section>
  );
}

function Effects({
  answer,
  isChanged,
}: {
  readonly answer: DraftAnswer;
  readonly isChanged: boolean;
}) {
  const { problems, newlyAllowed, noLongerAllowed, lint, isTooLarge } = answer;
  const general = problems.filter(({ path }) => rowOfPath(path) === undefined);
  const hasErrors = problems.some(({ severity }) => severity === 'error');
  return (
    <>
      {general.map((problem) => (
        <ProblemLine key={`${problem.path} ${problem.message}`} problem={problem} />
      ))}
      {hasErrors ? (
        <Note kind="warning">
          The draft has errors; they are marked at its rules. Mend them to see what it would do.
        </Note>
      ) : (
        <>
          {isTooLarge !== undefined && <Note kind="warning">{shown(isTooLarge)}</Note>}
          {!isChanged && newlyAllowed.length + noLongerAllowed.length === 0 && (
            <p class="muted">Nothing: change a rule, and this tells the difference.</p>
          )}
          <Differences
            title="Newly allowed"
            sign="plus"
            kind="new"
            differences={newlyAllowed}
            isShown={isChanged}
          />
          <Differences
            title="No longer allowed"
            sign="minus"
            kind="gone"
            differences={noLongerAllowed}
            isShown={isChanged}
          />
          {answer.hosts === undefined ? (
            <Connections answer={answer} />
          ) : (
            <HostImpacts hosts={answer.hosts} />
          )}
          <Lint lint={lint} />
        </>
      )}
    </>
  );
}

function Differences({
  title,
  sign,
  kind,
  differences,
  isShown,
}: {
  readonly title: string;
  readonly sign: 'plus' | 'minus';
  readonly kind: 'new' | 'gone';
  readonly differences: readonly DraftDifference[];
  readonly isShown: boolean;
}) {
  if (!isShown && differences.length === 0) return null;
  return (
    <section class={`differences differences-${kind}`}>
      <h3>
        <Icon name={sign} /> {title} <span class="count">{differences.length}</span>
      </h3>
      {differences.length === 0 ? (
        <p class="muted">nothing</p>
      ) : (
        <ul>
          {differences.map((difference) => (
            <li key={JSON.stringify(difference)}>
              <span>
                {difference.from.map(shown).join(', ')} <Icon name="arrow" />
                <span class="hidden">to</span> {difference.to.map(shown).join(', ')}
              </span>{' '}
              <code>{difference.services.map(shown).join(', ')}</code>
              {difference.families.length === 1 && (
                <Tag text={`IPv${difference.families[0] ?? ''}`} />
              )}
              {difference.isPerhaps === true && <Tag text="perhaps" kind="warning" />}
            </li>
          ))}
        </ul>
      )}
    </section>
  );
}

function Connections({
  answer: { connections, connectionsWhy },
}: {
  readonly answer: DraftAnswer;
}) {
  if (connections === undefined)
    return connectionsWhy === undefined ? null : (
      <p class="muted">Tracked connections: {shown(connectionsWhy)}</p>
    );
  const { kept, cut, refusedAnew } = connections;
  return (
    <section>
      <h3>Tracked connections</h3>
      <ConnectionCounts {...{ kept, cut, refusedAnew }} />
      <CutConnections {...connections} />
    </section>
  );
}

function CutConnections({
  cut,
  refusedAnew,
  cutConnections,
  refusedAnewConnections,
}: DraftConnections) {
  const lists = [
    ['Cut', cut, cutConnections],
    ['Refused if opened again', refusedAnew, refusedAnewConnections],
  ] as const;
  return (
    <>
      {lists.map(([title, count, connections]) =>
        connections.length === 0 ? null : (
          <details key={title}>
            <summary>{title}</summary>
            <ul class="plain-list mono">
              {connections.map((one) => (
                <li key={connectionText(one)}>{connectionText(one)}</li>
              ))}
              {count > connections.length && (
                <li class="muted">and {count - connections.length} more</li>
              )}
            </ul>
          </details>
        ),
      )}
    </>
  );
}

function connectionText(one: Connection): string {
  const local = formatEnd(one.localAddress, one.localPort);
  const remote = formatEnd(one.remoteAddress, one.remotePort);
  return `${shown(one.interface)} ${one.protocol} ${local} ↔ ${remote}`;
}

function Lint({ lint }: { readonly lint: DraftAnswer['lint'] }) {
  if (lint.length === 0) return <p class="muted">The linter has nothing to say of the group.</p>;
  return (
    <section>
      <h3>
        Lint{' '}
        <span class="count">
          {formatNumberOf(lint.filter(({ isNew }) => isNew).length, 'new finding')}
        </span>
      </h3>
      {lint.map((finding) => (
        <ProblemLine key={`${finding.path} ${finding.message}`} problem={finding}>
          {finding.isNew && <Tag text="new" kind="warning" />}
        </ProblemLine>
      ))}
    </section>
  );
}

function ProblemLine({
  problem,
  children,
}: {
  readonly problem: Problem;
  readonly children?: ComponentChildren;
}) {
  const { severity, message, hint, at } = problem;
  return (
    <p class={`problem problem-${severity}`}>
      <Icon name={severity === 'notice' ? 'note' : 'warning'} />
      <span>
        <strong>{severity}</strong> {children} {shown(message)}
        {hint !== undefined && <span class="muted">; {shown(hint)}</span>}
        {at !== undefined && <span class="muted mono"> {shown(formatOrigin(at))}</span>}
      </span>
    </p>
  );
}
