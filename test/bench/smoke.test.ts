/** That the benchmark runs, and that what it writes has the shape that docs/performance.md describes. Judges no figure. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { repositoryRoot } from '../support/repository.ts';
import { mustRun, run } from '../support/process.ts';
import { FORMAT, type Results } from './results.ts';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));
const SCRIPT = join(repositoryRoot(), 'scripts', 'bench');

test('scripts/bench --help names every option, and wrong ones are refused', async () => {
  const help = await mustRun(SCRIPT, ['--help']);
  for (const option of [
    '--quick',
    '--only',
    '--rivals',
    '--rounds',
    '--json',
    '--markdown',
    '--list',
  ])
    assert.ok(help.includes(`  ${option}`), option);
  const wrong = await run(process.execPath, [MAIN, '--only', 'tcp']);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^bench: there is no benchmark 'tcp'; there are tcp-1, tcp-8, /);
});

test('--quick --only decision measures every decision target and writes JSON', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-bench-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, 'results.json');
  const options = ['--quick', '--rounds', '1', '--only', 'decision', '--json', file];
  const text = await mustRun(process.execPath, ['--enable-source-maps', MAIN, ...options], {
    timeoutMs: 120_000,
  });
  const results = JSON.parse(readFileSync(file, 'utf8')) as Results;
  assert.deepEqual(Object.keys(results), [
    'format',
    'isQuick',
    'machine',
    'tools',
    'measurements',
    'targets',
    'notes',
  ]);
  assert.equal(results.format, FORMAT);
  assert.equal(results.machine.node, process.version);
  const metrics = [...new Set(results.measurements.map(({ metric }) => metric))];
  assert.deepEqual(metrics, [
    'UDP',
    'TCP',
    'decoding alone',
    'new flow, two gates',
    'new flow, one gate',
    'new flow',
    'decision',
    'reading and checking the file',
    'control plane',
    'stall',
    'allocated a packet',
    'memory a flow and gate',
  ]);
  for (const { benchmark, values, median, low, high, unit } of results.measurements) {
    assert.equal(benchmark, 'decision');
    assert.ok(values.every(Number.isFinite) && low <= median && median <= high);
    assert.match(unit, /^(ns|ms|B)$/);
  }
  const judged = results.targets.filter(({ verdict }) => verdict !== 'not measured');
  assert.deepEqual(
    judged.map(({ what }) => what),
    results.targets
      .map(({ what }) => what)
      .filter((what) => !/^(TCP|UDP|round trip|resident|wake-ups|API)/.test(what)),
  );
  assert.match(text, /decision, UDP, hot/);
});
