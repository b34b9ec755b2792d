/** How test files are run: which run at the same time, what a failure does, and what a killed run leaves behind. */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isRunning } from './left-over.ts';
import { mustRun, run, start } from './process.ts';
import { requireRoot, requireTools } from './require.ts';
import { mustRunAlone } from './run-alone.ts';

const RUN_TESTS = fileURLToPath(new URL('./run-tests.js', import.meta.url));

function makeFolder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-run-tests-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

const TEST = "import { test } from 'node:test';\n";

test('what reads a clock, itself or by a helper, runs alone; what says so as well', (t) => {
  const files = {
    'plain.js': "import { a } from './helper.js';",
    'helper.js': "import './plain.js';",
    'clock.js': 'const started = performance.now();',
    'by-helper.js': 'import {\n  a,\n} from "./clock.js";',
    'by-effect.js': "import './clock.js';",
    'said.js': '/**\n * Runs alone: it wants all of the memory.\n */',
    'root.js': 'if (!requireRoot(t)) return;',
    'beside.js':
      "/** Runs beside others: it waits. */\nimport './clock.js';\nimport { b } from './clock.js';",
  };
  const folder = makeFolder(t, files);
  assert.deepEqual(
    Object.keys(files).filter((name) => mustRunAlone(join(folder, name))),
    ['clock.js', 'by-helper.js', 'by-effect.js', 'said.js', 'root.js'],
  );
  assert.equal(
    mustRunAlone(fileURLToPath(new URL('../netns/traffic.test.js', import.meta.url))),
    true,
  );
  for (const [file, isAlone] of [
    ['../wire/decode.test.js', false],
    ['../doors/cni.test.js', false],
    ['../doors/docker.test.js', true],
    ['../packaging/node-releases.test.js', true],
  ] as const)
    assert.equal(mustRunAlone(fileURLToPath(new URL(file, import.meta.url))), isAlone, file);
});

test('all files are run, those alone last, and one failure is the exit code', async (t) => {
  const passes = `${TEST}test('passes', () => {});`;
  const folder = makeFolder(t, {
    'a.mjs': `${TEST}test('alone', () => performance.now());`,
    'b.mjs': passes,
    'c.mjs': `${TEST}test('fails', () => { throw new Error('boom'); });`,
    'd.mjs': `${TEST}test('later', { todo: true }, () => { throw new Error('todo'); });`,
  });
  const go = async (...names: string[]): Promise<[number | null, string[], string]> => {
    const { NODE_TEST_CONTEXT: _, ...env } = process.env;
    const files = names.map((name) => join(folder, name));
    const summary = join(folder, 'summary');
    const { code, stdout } = await run(process.execPath, [RUN_TESTS, summary, ...files], {
      env,
      timeoutMs: 60_000,
    });
    const lines = readFileSync(summary, 'utf8').trim().split('\n');
    const seen = lines.map((line) => /\/(.\.mjs): \d/.exec(line)?.[1]).filter(Boolean) as string[];
    assert.match(stdout, /✔ alone/);
    return [code, seen, lines.at(-1)!];
  };
  assert.deepEqual(await go('a.mjs', 'b.mjs', 'd.mjs'), [
    ...[0, ['b.mjs', 'd.mjs', 'a.mjs']],
    '2 passed, 0 failed, 1 skipped',
  ]);
  assert.deepEqual(await go('a.mjs', 'b.mjs', 'c.mjs'), [
    ...[1, ['b.mjs', 'c.mjs', 'a.mjs']],
    '2 passed, 1 failed, 0 skipped',
  ]);
});

test(
  'namespaces of a run that was killed are removed with what runs in them, others stay',
  { timeout: 60_000 },
  async (t) => {
    if (!requireRoot(t) || !requireTools(t, 'ip')) return;
    const library = new URL('./netns.js', import.meta.url).href;
    const leftOver = new URL('./left-over.js', import.meta.url).href;
    const make = `import { makeNetns } from '${library}';
    const netns = await makeNetns({ after() {} });
    const { pid } = await netns.start('sleep', ['600']);
    console.log('made', netns.name, pid);
    setInterval(() => {}, 1000);`;
    const killed = await start(process.execPath, ['--input-type=module', '-e', make]);
    const [, dead, sleeper] = await killed.waitFor(/^made (\S+) (\d+)$/m, 20_000);
    await killed.stop('SIGKILL');
    const living = await start(process.execPath, ['--input-type=module', '-e', make]);
    const [, alive] = await living.waitFor(/^made (\S+) (\d+)$/m, 20_000);
    assert.ok(existsSync(`/run/netns/${dead}`) && existsSync(`/proc/${sleeper}`));
    const removed = await mustRun(process.execPath, [
      ...['--input-type=module', '-e'],
      `import { removeLeftOver } from '${leftOver}'; console.log(JSON.stringify(await removeLeftOver()));`,
    ]);
    assert.ok((JSON.parse(removed) as string[]).includes(dead));
    assert.equal(existsSync(`/run/netns/${dead}`), false);
    // A process that is killed takes its time over it. A time-out of the test is what ends this in vain.
    while (isRunning(Number(sleeper))) await sleep(20);
    assert.ok(existsSync(`/run/netns/${alive}`));
    await living.stop();
  },
);
