/** This file shows the way of one packet: the checks before the gates, and the gates. */
import type { Explanation } from '../../../contract.ts';
import { formatDuration } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { RuleText } from '../../parts/rule-text.tsx';
import { VerdictBadge, type VerdictWord } from '../../parts/verdict.tsx';

type FamilyAnswer = Explanation['answers'][number];
type Gate = FamilyAnswer['gates'][number];
type Tracking = NonNullable<Gate['tracking']>;

/** Rules that nearly match, of which there may be thousands. */
const NEAR_MISSES_SHOWN = 8;

export function FamilyAnswerView({ answer }: { readonly answer: FamilyAnswer }) {
  const { family, from, to, verdict, why, checks, gates, subnets, notes } = answer;
  return (
    <section class="family">
      <h3>
        IPv{family}{' '}
        <span class="mono muted">
          {from.address} → {to.address}
        </span>
        <VerdictBadge verdict={verdict} />
      </h3>
      <p>{shown(why)}</p>
      <ol class="steps">
        {checks.map((check) => (
          <Step
            key={check.check}
            verdict={check.outcome === 'passed' ? 'allowed' : 'refused'}
            title={`Check: ${check.check}`}
            why={check.why}
          />
        ))}
        {gates.map((gate) => (
          <GateStep key={gate.direction} gate={gate} />
        ))}
        {subnets?.map((subnet) => (
          <Step
            key={`${subnet.check} ${subnet.why}`}
            verdict={subnet.verdict}
            title={subnet.check}
            why={subnet.why}
          />
        ))}
      </ol>
      {notes.map((note) => (
        <p key={note} class="muted">
          {shown(note)}
        </p>
      ))}
    </section>
  );
}

const STEP_SIGNS: Readonly<Record<VerdictWord, IconName>> = {
  allowed: 'allowed',
  refused: 'refused',
  undecidable: 'perhaps',
};

function Step({
  verdict,
  title,
  why,
}: {
  readonly verdict: VerdictWord;
  readonly title: string;
  readonly why: string;
}) {
  return (
    <li class={`step step-${verdict}`}>
      <Icon name={STEP_SIGNS[verdict]} />
      <div>
        <strong>{title}</strong> <span class="hidden">{verdict}: </span>
        <span>{shown(why)}</span>
      </div>
    </li>
  );
}

function GateStep({ gate }: { readonly gate: Gate }) {
  const { direction, verdict, why, reached, groups } = gate;
  return (
    <li class={`step step-${verdict}${reached ? '' : ' step-unreached'}`}>
      <Icon name={STEP_SIGNS[verdict]} />
      <div>
        <strong>
          {direction === 'egress' ? 'Egress' : 'Ingress'} of {shown(gate.interface.name)}
        </strong>{' '}
        <span class="muted">{groups.map(({ name }) => shown(name)).join(', ')}</span>
        <p>
          <span class="hidden">{verdict}: </span>
          {shown(why)}
          {!reached && <span class="muted"> (the packet does not come so far)</span>}
        </p>
        {gate.dependsOn !== undefined && (
          <p class="muted">It depends on: {gate.dependsOn.map(shown).join('; ')}</p>
        )}
        {gate.audit !== undefined && <p>It passes all the same: {shown(gate.audit)}</p>}
        <Admitted gate={gate} />
        <NearMisses gate={gate} />
        {gate.tracking !== undefined && <TrackingText tracking={gate.tracking} />}
      </div>
    </li>
  );
}

function Admitted({ gate: { decidedBy, alsoAdmittedBy } }: { readonly gate: Gate }) {
  if (decidedBy === undefined) return null;
  return (
    <>
      <RuleText rule={decidedBy} />
      {decidedBy.because !== undefined && <p class="muted">{shown(decidedBy.because)}</p>}
      {alsoAdmittedBy.length > 0 && (
        <details>
          <summary>Also admitted by {alsoAdmittedBy.length} more</summary>
          {alsoAdmittedBy.map((rule) => (
            <RuleText key={rule.id} rule={rule} />
          ))}
        </details>
      )}
    </>
  );
}

function NearMisses({ gate: { nearMisses, groupsWithoutRules } }: { readonly gate: Gate }) {
  if (nearMisses.length === 0)
    return groupsWithoutRules.length === 0 ? null : (
      <p class="muted">
        No rules at all: {groupsWithoutRules.map(({ name }) => shown(name)).join(', ')}
      </p>
    );
  const more = nearMisses.length - NEAR_MISSES_SHOWN;
  return (
    <table class="plain near-misses">
      <caption>The nearest rules</caption>
      <thead>
        <tr>
          <th scope="col">Rule</th>
          <th scope="col">Why not</th>
        </tr>
      </thead>
      <tbody>
        {nearMisses.slice(0, NEAR_MISSES_SHOWN).map(({ rule, text }) => (
          <tr key={rule.id}>
            <td>
              <RuleText rule={rule} />
            </td>
            <td>{shown(text)}</td>
          </tr>
        ))}
        {more > 0 && (
          <tr>
            <td colSpan={2} class="muted">
              and {more} more, which miss by more
            </td>
          </tr>
        )}
      </tbody>
    </table>
  );
}

function TrackingText({ tracking }: { readonly tracking: Tracking }) {
  const idle = tracking.kind === 'tracked' || tracking.kind === 'depends' ? tracking.idle : [];
  return (
    <p class="muted">
      {shown(tracking.why)}
      {idle.length > 0 &&
        ` (idle: ${idle.map(({ when, seconds }) => `${shown(when)} ${formatDuration(seconds * 1000)}`).join(', ')})`}
    </p>
  );
}
