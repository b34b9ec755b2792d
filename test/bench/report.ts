/** The results as text: a table a benchmark with every rival in it, then the targets. On a terminal, or as Markdown. */
import Table from 'cli-table3';
import type { Measurement, Results } from './results.ts';
import { formatNumber, formatSummary, ratios, summarise } from './stats.ts';

const US = 'secgroupd';

interface TextTable {
  readonly head: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

export function formatResults(results: Results): string {
  return format(results, ({ head, rows }) => {
    const table = new Table({ head: [...head], style: { head: [], border: [], compact: true } });
    table.push(...rows.map((row) => [...row]));
    return table.toString();
  });
}

export function formatMarkdown(results: Results): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  return format(results, ({ head, rows }) =>
    [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n'),
  );
}

function format(results: Results, render: (table: TextTable) => string): string {
  const benchmarks = [...new Set(results.measurements.map(({ benchmark }) => benchmark))];
  const blocks = [
    machineLine(results),
    'Each figure is the median of its rounds, with the lowest and the highest.',
    ...benchmarks.map((benchmark) => render(benchmarkTable(benchmark, results.measurements))),
    render(targetTable(results)),
    ...(results.notes.length === 0 ? [] : [results.notes.map((note) => `- ${note}`).join('\n')]),
  ];
  return `${blocks.join('\n\n')}\n`;
}

function machineLine({ machine, tools }: Results): string {
  const { cpu, cores, memoryBytes, kernel, node, loadBefore } = machine;
  const gigabytes = (memoryBytes / 2 ** 30).toFixed(0);
  const others = Object.values(tools).map((tool) => `, ${tool}`);
  return `${cpu}, ${cores} cores, ${gigabytes} GiB, Linux ${kernel}, Node.js ${node}${others.join('')}; load average before: ${loadBefore.toFixed(2)}`;
}

function benchmarkTable(benchmark: string, all: readonly Measurement[]): TextTable {
  const found = all.filter((measurement) => measurement.benchmark === benchmark);
  const hasRivals = found.some(({ subject }) => subject === US);
  const rows: string[][] = [];
  for (const metric of new Set(found.map((measurement) => measurement.metric))) {
    const group = found.filter((measurement) => measurement.metric === metric);
    const ours = group.find(({ subject }) => subject === US);
    group.forEach((measurement, i) => {
      const { subject, unit } = measurement;
      const row = [i === 0 ? metric : '', subject, formatSummary(measurement), unit];
      rows.push(hasRivals ? [...row, against(ours, measurement)] : row);
    });
  }
  const head = [benchmark, '', 'figure', 'unit'];
  return { head: hasRivals ? [...head, `${US} against it`] : head, rows };
}

/** How many times the rival's figure ours is. */
function against(ours: Measurement | undefined, theirs: Measurement): string {
  if (ours === undefined || ours === theirs) return '';
  const each = ratios(ours.values, theirs.values);
  return each.every(Number.isFinite) ? `${formatNumber(summarise(each).median)} ×` : '–';
}

function targetTable({ targets }: Results): TextTable {
  return {
    head: ['what', 'target', 'result', ''],
    rows: targets.map(({ what, target, result, verdict }) => [
      what,
      target,
      result === undefined ? '' : formatSummary(result),
      verdict,
    ]),
  };
}
