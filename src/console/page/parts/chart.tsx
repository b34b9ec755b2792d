/** This file draws rates over time with uPlot. What a chart shows is said in words too, for those who can't see it. */
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import { formatClock } from '../logic/format.ts';
import { theme } from '../browser/theme.ts';
import { useStore } from '../browser/store.ts';

export interface ChartLine {
  readonly label: string;
  /** A custom property of the page's styles: `--good`. */
  readonly color: string;
  readonly values: readonly (number | null)[];
  readonly isDashed?: boolean;
}

interface ChartProperties {
  readonly title: string;
  /** The same in a sentence. */
  readonly summary: string;
  readonly timesMs: readonly number[];
  readonly lines: readonly ChartLine[];
  readonly format: (value: number) => string;
}

const HEIGHT_PX = 168;
const AXIS_PX = 74;
const TIMES_PX = 30;

export function Chart({ title, summary, timesMs, lines, format }: ChartProperties) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const chosen = useStore(theme);
  const labels = lines.map(({ label }) => label).join('\n');
  useEffect(() => {
    const element = place.current;
    if (element === null) return undefined;
    const made = new uPlot(optionsOf(element, lines, format), dataOf(timesMs, lines), element);
    plot.current = made;
    const observer = new ResizeObserver(() =>
      made.setSize({ width: element.clientWidth, height: HEIGHT_PX }),
    );
    observer.observe(element);
    const dark = matchMedia('(prefers-color-scheme: dark)');
    // Not with new paths: these need a range of time, which the first data set in a moment.
    const redraw = (): void => made.redraw(false);
    dark.addEventListener('change', redraw);
    return () => {
      dark.removeEventListener('change', redraw);
      observer.disconnect();
      made.destroy();
      plot.current = undefined;
    };
  }, [labels]);
  useEffect(() => {
    plot.current?.setData(dataOf(timesMs, lines));
  }, [timesMs, lines, labels]);
  useEffect(() => plot.current?.redraw(false), [chosen]);
  return (
    <figure class="chart">
      <figcaption>
        <h2>{title}</h2>
        <ul class="legend" aria-hidden="true">
          {lines.map(({ label, color, isDashed }) => (
            <li key={label}>
              <span
                class={isDashed === true ? 'swatch swatch-dashed' : 'swatch'}
                style={{ borderColor: `var(${color})` }}
              />
              {label}
            </li>
          ))}
        </ul>
      </figcaption>
      <div ref={place} class="plot" role="img" aria-label={`${title}: ${summary}`} />
    </figure>
  );
}

/** Columns as uPlot takes them, with times in seconds. */
function dataOf(timesMs: readonly number[], lines: readonly ChartLine[]): uPlot.AlignedData {
  return [timesMs.map((ms) => ms / 1000), ...lines.map(({ values }) => [...values])];
}

function optionsOf(
  element: HTMLElement,
  lines: readonly ChartLine[],
  format: (value: number) => string,
): uPlot.Options {
  // A canvas knows no custom properties: each drawing asks what they are now, light or dark.
  const colorOf = (name: string) => (): string => {
    element.style.color = `var(${name})`;
    return getComputedStyle(element).color;
  };
  const axis = { stroke: colorOf('--muted'), font: '11px system-ui, sans-serif' };
  const quiet = { stroke: colorOf('--line'), width: 1 };
  return {
    width: element.clientWidth,
    height: HEIGHT_PX,
    legend: { show: false },
    cursor: { show: false },
    scales: {
      y: { range: (_plot, _min, max) => [0, Number.isFinite(max) && max > 0 ? max * 1.1 : 1] },
    },
    axes: [
      {
        ...axis,
        grid: { show: false },
        ticks: quiet,
        size: TIMES_PX,
        values: (_plot, splits) => splits.map((seconds) => formatClock(seconds * 1000).slice(0, 5)),
        // Whole minutes: times are written without seconds.
        incrs: [60, 120, 300, 600, 1200, 1800, 3600],
      },
      {
        ...axis,
        grid: quiet,
        ticks: { show: false },
        size: AXIS_PX,
        values: (_plot, splits) => splits.map(format),
      },
    ],
    series: [
      {},
      ...lines.map(({ label, color, isDashed }) => ({
        label,
        stroke: colorOf(color),
        width: 1.5,
        points: { show: false },
        ...(isDashed === true ? { dash: [5, 4] } : {}),
      })),
    ],
  };
}
