/** This file shows why a packet was dropped: what it was, the reason, and what the rules say of it now. */
import type { DropExplanation } from '../../../contract.ts';
import { formatMoment } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { packetWords } from '../../parts/drop-example.tsx';
import { Empty } from '../../parts/states.tsx';
import { Tag } from '../../parts/verdict.tsx';
import { ExplanationBody } from './explanation-view.tsx';

export function DropAnswer({ answer }: { readonly answer: DropExplanation }) {
  if (answer.outcome === 'unknown')
    return (
      <Empty title="This example is no longer kept">
        The daemon keeps the latest few of each kind: {answer.kept} now, the newest has the number{' '}
        {answer.newest}.
      </Empty>
    );
  const { drop, explanation } = answer;
  const { packet, interface: name, direction, reason, meaning, timeMs } = drop;
  return (
    <section class="card" aria-live="polite">
      <h2>
        Dropped: <span class="mono">{reason}</span>
      </h2>
      {meaning !== undefined && <p>{meaning}</p>}
      <p>
        <Tag text={packet?.protocol ?? 'link'} /> <span class="mono">{packetWords(drop)}</span>
        {packet?.tcpFlags !== undefined && <span class="mono muted"> {packet.tcpFlags}</span>}
      </p>
      <p class="muted">
        {direction} of {shown(name)}, {formatMoment(timeMs)}
      </p>
      {explanation === undefined ? (
        <p class="muted">Rules say nothing of such a packet.</p>
      ) : (
        <>
          <h2>By the rules in force now</h2>
          <ExplanationBody explanation={explanation} />
        </>
      )}
    </section>
  );
}
