/** This file shows an explanation: the verdict first, then each check and each gate, as a packet meets them. */
import type { Connection, Explanation, LiveExplanation } from '../../../contract.ts';
import { formatEnd, formatNumberOf } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Note } from '../../parts/states.tsx';
import { VerdictBadge } from '../../parts/verdict.tsx';
import { FamilyAnswerView } from './family-answer.tsx';

/** Pairs beyond these are folded until somebody opens them. */
const OPEN_PAIRS = 3;

export function ExplanationView({
  question,
  answer,
}: {
  readonly question: string;
  readonly answer: LiveExplanation;
}) {
  if (answer.outcome === 'misunderstood')
    return (
      <div class="state state-failed" role="alert">
        <p>
          <strong>{shown(answer.message)}</strong>
        </p>
        <p class="muted">{shown(answer.hint)}</p>
      </div>
    );
  const { pairs } = answer;
  return (
    <section aria-label={`Answer to ${shown(question)}`} aria-live="polite">
      {pairs.length > 1 && <Summary answer={answer} />}
      {pairs.map(({ from, to, explanation, connections }, i) => (
        <details key={`${from} ${to}`} class="card answer" open={i < OPEN_PAIRS}>
          <summary>
            <VerdictBadge verdict={explanation.verdict} />
            <h2>
              {shown(from)} → {shown(to)}
            </h2>
          </summary>
          <ExplanationBody explanation={explanation} />
          <Connections connections={connections} />
        </details>
      ))}
    </section>
  );
}

function Summary({
  answer,
}: {
  readonly answer: Extract<LiveExplanation, { outcome: 'explained' }>;
}) {
  const verdicts = answer.pairs.map(({ explanation }) => explanation.verdict);
  const allowed = verdicts.filter((verdict) => verdict === 'allowed').length;
  return (
    <p>
      {formatNumberOf(verdicts.length, 'pair')}: {allowed} allowed, {verdicts.length - allowed} not.
    </p>
  );
}

/** The answers of an explanation, by family. */
export function ExplanationBody({ explanation }: { readonly explanation: Explanation }) {
  return (
    <>
      {explanation.answers.map((answer) => (
        <FamilyAnswerView
          key={`${answer.family} ${answer.from.address} ${answer.to.address}`}
          answer={answer}
        />
      ))}
      {explanation.notAsked.map(({ family, why }) => (
        <p key={family} class="muted">
          IPv{family}: {shown(why)}
        </p>
      ))}
    </>
  );
}

function Connections({ connections }: { readonly connections: readonly Connection[] }) {
  if (connections.length === 0) return null;
  return (
    <section>
      <h3>Tracked connections</h3>
      <Note>A packet of one of these passes by its connection, whatever the rules say now.</Note>
      <ul class="plain-list mono">
        {connections.map((one) => (
          <li
            key={`${one.interface} ${one.localAddress} ${one.localPort} ${one.remoteAddress} ${one.remotePort}`}
          >
            {shown(one.interface)} {one.protocol} {formatEnd(one.localAddress, one.localPort)} ↔{' '}
            {formatEnd(one.remoteAddress, one.remotePort)} {one.state}, opened by the {one.openedBy}
          </li>
        ))}
      </ul>
    </section>
  );
}
