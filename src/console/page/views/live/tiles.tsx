/** These are the few numbers on top of the live view. */
import { top } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatBitRate, formatCount } from '../../logic/format.ts';

export function Tiles() {
  const now = useStore(top);
  const dropped = now?.total.droppedPackets ?? 0;
  const tiles = [
    ['Passed', now && formatBitRate(now.total.passedBytes), 'at all gates'],
    ['Packets', now && `${formatCount(now.total.passedPackets)}/s`, 'passed at all gates'],
    ['Dropped', now && `${formatCount(dropped)}/s`, 'packets'],
    [
      'Flows',
      now && formatCount(now.flows),
      `tracked, of at most ${formatCount(now?.maxFlows ?? 0)}`,
    ],
    ['New flows', now && `${formatCount(now.flowsOpenedRate)}/s`, 'opened'],
  ] as const;
  return (
    <dl class="tiles">
      {tiles.map(([name, value, what]) => (
        <div key={name} class={name === 'Dropped' && dropped > 0 ? 'tile tile-bad' : 'tile'}>
          <dt>{name}</dt>
          <dd>
            <span class="tile-value">{value ?? '–'}</span>
            <span class="muted">{what}</span>
          </dd>
        </div>
      ))}
    </dl>
  );
}
