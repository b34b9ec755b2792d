/** This part of the panel is about packets that were dropped between two nodes. */
import { formatNumberOf } from '../../logic/format.ts';
import type { DropEdge } from '../../logic/map-traffic.ts';
import { DropExampleLine } from '../../parts/drop-example.tsx';
import { Note } from '../../parts/states.tsx';

export function DropPanel({ drop }: { readonly drop: DropEdge }) {
  const { packets, isShared, reasons, examples } = drop;
  return (
    <>
      <p>
        <strong>{formatNumberOf(packets, 'packet')}</strong> dropped ({reasons.join(', ')}) since
        the interfaces came into use.
      </p>
      {isShared && (
        <Note>
          The counters are of interfaces and reasons, not of pairs: some of these packets were
          between other ends.
        </Note>
      )}
      <section>
        <h3>Latest examples</h3>
        <ul class="examples">
          {examples.map((example) => (
            <li key={example.id}>
              <DropExampleLine example={example} />
            </li>
          ))}
        </ul>
      </section>
    </>
  );
}
