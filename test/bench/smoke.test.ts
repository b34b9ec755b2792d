/** That the benchmark runs, and that what it writes has the shape that docs/performance.md describes. Judges no figure. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { loadConfig } from '../../src/config/load-config.ts';
import { requireOffload } from '../offload/kernel-rig.ts';
import { repositoryRoot } from '../support/repository.ts';
import { mustRun, run } from '../support/process.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';
import { GROWTHS, settingOf } from './offload/growth.ts';
import { configuration } from './offload/world.ts';
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

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-bench-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  return folder;
}

test('--quick --only decision measures every decision target and writes JSON', async (t) => {
  const file = join(temporaryFolder(t), 'results.json');
  const options = ['--quick', '--rounds', '1', '--only', 'decision', '--json', file];
  const text = await mustRun(process.execPath, ['--enable-source-maps', MAIN, ...options]);
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

/** What is measured of the fast path, by benchmark. */
const OF_FAST_PATH: Readonly<Record<string, readonly string[]>> = {
  cpu: ['TCP, one flow', 'TCP, 8 flows', 'UDP 64 B'],
  'hand-over': ['UDP', 'TCP'].flatMap((protocol) => [
    `${protocol}, packets by the daemon`,
    `${protocol}, until then, p50`,
    `${protocol}, until then, longest`,
  ]),
  revocation: ['reload', 'API'].flatMap((change) => [
    `${change}, the first, until in force`,
    `${change}, from the request`,
    `${change}, from in force`,
  ]),
  'kernel-flows': [
    'look-up',
    'memory a flow, shared with the kernel',
    'memory a flow, the packet loop’s',
  ],
};

test('what only the fast path has is measured, or a note says why not', async (t) => {
  if (!requireRoot(t) || !requireTun(t) || !requireTools(t, 'cc', 'ip', 'nft', 'iperf3')) return;
  if (requireOffload(t) === undefined) return;
  const file = join(temporaryFolder(t), 'results.json');
  const names = Object.keys(OF_FAST_PATH);
  const options = ['--quick', '--rounds', '1', '--only', names.join(), '--rivals', 'fast-path'];
  await mustRun(process.execPath, [
    '--enable-source-maps',
    MAIN,
    ...options,
    '--rivals',
    'kernel',
    '--json',
    file,
  ]);
  const { measurements, targets, notes } = JSON.parse(readFileSync(file, 'utf8')) as Results;
  for (const [name, metrics] of Object.entries(OF_FAST_PATH)) {
    const found = measurements.filter(({ benchmark }) => benchmark === name);
    const missing = metrics.filter((one) => !found.some(({ metric }) => metric === one));
    // On a machine so busy that a load is over before the rules are changed.
    const isTold = notes.some((note) => note.startsWith(`${name} `) && note.includes('no figure'));
    if (!isTold) assert.deepEqual(missing, [], name);
    for (const { values } of found) assert.ok(values.every(Number.isFinite), name);
  }
  const busy = notes.some((note) => note.startsWith('the machine was busy before the start'));
  const cpu = targets.find(({ what }) => what === 'fast path: CPU a packet, UDP 64 B');
  assert.ok(cpu !== undefined && (cpu.verdict === 'hint only') === busy, JSON.stringify(cpu));
});

test('each setting of growth is a configuration with as much of everything as it says', (t) => {
  const file = join(temporaryFolder(t), 'secgroupd.yaml');
  const at = (name: string): { readonly path: string } => ({ path: `/run/netns/${name}` });
  const places = { client: at('client'), server: at('server'), crowd: at('crowd') };
  for (const growth of GROWTHS)
    for (const isOffloaded of [true, false]) {
      const setting = settingOf(growth, isOffloaded);
      writeFileSync(file, configuration(places, setting, true));
      const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
      assert.ok(config !== undefined, `${growth.name}: ${JSON.stringify(problems[0])}`);
      const { groups, interfaces } = config.model;
      const server = [...groups.values()].find(({ name }) => name === 'server')!;
      assert.deepEqual(
        [server.ingress.length, interfaces.size, config.workers, config.offload],
        [setting.rules, setting.interfaces, setting.loops, isOffloaded ? 'on' : 'off'],
        growth.name,
      );
    }
});
