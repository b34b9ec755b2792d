/** These are the charts of the last hour: what passed, what was dropped, and for which reasons. */
import { useMemo } from 'preact/hooks';
import type { Column, RateHistory } from '../../../contract.ts';
import { history } from '../../browser/live.ts';
import { useStore } from '../../browser/store.ts';
import { formatBitRate, formatCount } from '../../logic/format.ts';
import { shown } from '../../logic/shown.ts';
import { Chart, type ChartLine } from '../../parts/chart.tsx';
import { Loading } from '../../parts/states.tsx';

/** More lines could not be told apart. */
const LINES_MAX = 5;
const COLORS = ['--chart-1', '--chart-2', '--chart-3', '--chart-4', '--chart-5'];

const packetRate = (value: number): string => `${formatCount(value)}/s`;

export function RateCharts() {
  const rates = useStore(history);
  const lines = useMemo(() => rates && linesOf(rates), [rates]);
  if (rates === undefined || lines === undefined) return <Loading what="the last hour" />;
  const { timesMs } = rates;
  return (
    <div class="charts">
      <Chart
        title="Passed, by interface"
        summary={latest(lines.interfaces, formatBitRate, 'no interface had traffic')}
        {...{ timesMs, lines: lines.interfaces, format: formatBitRate }}
      />
      <Chart
        title="Packets"
        summary={latest(lines.packets, packetRate, '')}
        {...{ timesMs, lines: lines.packets, format: packetRate }}
      />
      <Chart
        title="Drops by reason"
        summary={latest(lines.drops, packetRate, 'nothing was dropped')}
        {...{ timesMs, lines: lines.drops, format: packetRate }}
      />
    </div>
  );
}

function linesOf({ total, drops, interfaces }: RateHistory) {
  return {
    packets: [
      { label: 'passed', color: '--good', values: total.passedPackets },
      { label: 'dropped', color: '--bad', values: total.droppedPackets, isDashed: true },
    ] satisfies ChartLine[],
    interfaces: interfaces
      .slice(0, LINES_MAX)
      .map(({ name, passedBytes }, i) => lineOf(shown(name), passedBytes, i)),
    drops: drops.slice(0, LINES_MAX).map(({ reason, packets }, i) => lineOf(reason, packets, i)),
  };
}

function lineOf(label: string, values: Column, i: number): ChartLine {
  return { label, color: COLORS[i] ?? '--muted', values };
}

/** The newest values as a sentence: `now passed 12/s, dropped 0/s`. */
function latest(
  lines: readonly ChartLine[],
  format: (value: number) => string,
  none: string,
): string {
  if (lines.length === 0) return none;
  const texts = lines.map(({ label, values }) => {
    const value = values.at(-1);
    return `${label} ${value === null || value === undefined ? 'not known' : format(value)}`;
  });
  return `now ${texts.join(', ')}`;
}
