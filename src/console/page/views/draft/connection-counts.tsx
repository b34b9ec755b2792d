/** This part of the draft counts what it would do to tracked connections. */
import type { DraftConnections } from '../../../contract.ts';

export function ConnectionCounts({
  kept,
  cut,
  refusedAnew,
}: Pick<DraftConnections, 'kept' | 'cut' | 'refusedAnew'>) {
  return (
    <dl class="counts">
      <Count name="kept" value={kept} />
      <Count name="cut" value={cut} isBad={cut > 0} />
      <Count name="kept, and refused if opened again" value={refusedAnew} isBad={refusedAnew > 0} />
    </dl>
  );
}

function Count({
  name,
  value,
  isBad,
}: {
  readonly name: string;
  readonly value: number;
  readonly isBad?: boolean;
}) {
  return (
    <div class={isBad === true ? 'bad' : ''}>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}
