/**
 * How test files are run: which run at the same time, what a failure does, and what a killed run leaves behind.
 *
 * Runs beside others: the words that would keep it alone are in the files that it makes.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { isRunning } from './left-over.ts';
import { mustRun, run, start } from './process.ts';
import { requireRoot, requireTools } from './require.ts';
import { placementOf } from './placement.ts';
import { canHaveBoxes } from './box.ts';

const RUN_TESTS = fileURLToPath(new URL('./run-tests.js', import.meta.url));

function makeFolder(t: TestContext, files: Readonly<Record<string, string>>): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-run-tests-'));
  t.after(() => {
    rmSync(folder, { recursive: true });
  });
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  return folder;
}

/** As nobody else sleeps. */
const SLEEP_SEC = 987_654;
const TEST = "import { test } from 'node:test';\n";

test('how a file runs is read from its text, and from that of its helpers', (t) => {
  const files = {
    'plain.js': "import { a } from './helper.js';",
    'helper.js': "import './plain.js';",
    'clock.js': 'const started = performance.now();',
    'waits.js': "import './clock.js';",
    'memory.js': "import { rss } from './measure.js';",
    'measure.js': 'export const rss = () => process.memoryUsage().rss;',
    'said.js': '/**\n * Runs alone: it wants all of the memory.\n */',
    'root.js': 'if (!requireRoot(t)) return;',
    'by-helper.js': 'import {\n  a,\n} from "./root.js";',
    'both.js': "import './root.js';\nimport './measure.js';",
    'says-box.js': '/** Runs in a box: its port is always the same. */',
    'beside.js':
      "/** Runs beside others: it waits. */\nimport './clock.js';\nimport './measure.js';",
    'early.js': '/** Starts early: it takes minutes. */',
  };
  const folder = makeFolder(t, files);
  const placed = (hasBoxes: boolean): Record<string, string> =>
    Object.fromEntries(
      Object.keys(files).map((name) => {
        const { isAlone, isBoxed, rank } = placementOf(join(folder, name), hasBoxes);
        const words = [isAlone ? 'alone' : 'beside', isBoxed && 'boxed', rank === 0 && 'early'];
        return [name, words.filter(Boolean).join(' ')];
      }),
    );
  const without = {
    ...{ 'plain.js': 'beside', 'helper.js': 'beside', 'clock.js': 'alone' },
    ...{ 'waits.js': 'beside', 'memory.js': 'alone', 'measure.js': 'alone' },
    ...{ 'said.js': 'alone', 'root.js': 'alone', 'by-helper.js': 'alone' },
    ...{ 'both.js': 'alone', 'says-box.js': 'alone', 'beside.js': 'beside' },
    'early.js': 'beside early',
  };
  assert.deepEqual(placed(false), without);
  const boxed = 'beside boxed';
  assert.deepEqual(placed(true), {
    ...without,
    ...{ 'root.js': boxed, 'by-helper.js': boxed, 'says-box.js': boxed },
    'both.js': 'alone boxed',
  });
  for (const [file, isAlone, isBoxed] of [
    ['../wire/decode.test.js', false, false],
    ['../netns/traffic.test.js', false, true],
    ['../store/etcd.test.js', false, true],
    ['../engine/allocation.test.js', true, false],
    ['../doors/cni.test.js', false, false],
    ['../packaging/node-releases-allocation.test.js', true, false],
  ] as const) {
    const placement = placementOf(fileURLToPath(new URL(file, import.meta.url)), true);
    assert.deepEqual([placement.isAlone, placement.isBoxed], [isAlone, isBoxed], file);
  }
});

interface Ran {
  readonly code: number | null;
  /** By their names without folder, as they ended. */
  readonly seen: readonly string[];
  readonly summary: string;
  readonly stdout: string;
}

async function runFiles(folder: string, ...names: readonly string[]): Promise<Ran> {
  return runFilesWith({}, folder, ...names);
}

async function runFilesWith(
  more: NodeJS.ProcessEnv,
  folder: string,
  ...names: readonly string[]
): Promise<Ran> {
  const { NODE_TEST_CONTEXT: _, ...rest } = process.env;
  const env = { ...rest, ...more };
  const files = names.map((name) => join(folder, name));
  const file = join(folder, 'summary');
  const { code, stdout } = await run(process.execPath, [RUN_TESTS, file, ...files], { env });
  const summary = readFileSync(file, 'utf8').trim();
  const seen = summary.split('\n').map((line) => /\/(\w+\.mjs): \d/.exec(line)?.[1]);
  return { code, seen: seen.filter((name) => name !== undefined), summary, stdout };
}

test('all files are run, those alone last, and one failure is the exit code', async (t) => {
  const folder = makeFolder(t, {
    'a.mjs': `${TEST}test('alone', () => performance.now());`,
    'b.mjs': `${TEST}test('passes', () => {});`,
    'c.mjs': `${TEST}test('fails', () => { throw new TypeError('boom', { cause: 'a spark' }); });`,
    'd.mjs': `${TEST}test('later', { todo: true }, () => { throw new Error('todo'); });`,
  });
  const well = await runFiles(folder, 'a.mjs', 'b.mjs', 'd.mjs');
  assert.deepEqual([well.code, [...well.seen].sort()], [0, ['a.mjs', 'b.mjs', 'd.mjs']]);
  assert.equal(well.seen.at(-1), 'a.mjs');
  assert.match(well.summary, /\n2 passed, 0 failed, 1 skipped$/);
  assert.match(well.stdout, /✔ alone/);
  const ill = await runFiles(folder, 'a.mjs', 'b.mjs', 'c.mjs');
  assert.deepEqual([ill.code, ill.seen.at(-1)], [1, 'a.mjs']);
  assert.match(
    ill.summary,
    /c\.mjs:2: fails\n +TypeError: boom\n +at [^]*\n2 passed, 1 failed, 0 skipped$/,
  );
  for (const text of [/✖ fails/, /TypeError\]: boom/, /a spark/]) assert.match(ill.stdout, text);
});

test('a file that ends its runner has failed, and the others are run', async (t) => {
  const folder = makeFolder(t, {
    'a.mjs': `${TEST}test('ends it', () => process.kill(process.ppid, 'SIGKILL'));`,
    'b.mjs': `${TEST}test('passes', () => {});`,
  });
  const { code, summary } = await runFiles(folder, 'a.mjs', 'b.mjs');
  assert.equal(code, 1);
  assert.match(summary, /a\.mjs: \(the file itself\)\n +Error: it ended in the middle: SIGKILL/);
  assert.match(summary, /\n1 passed, 1 failed, 0 skipped$/);
});

test('a file that never ends has failed, and the others are told of', async (t) => {
  const folder = makeFolder(t, {
    'a.mjs': `${TEST}test('hangs', () => new Promise(() => setInterval(() => {}, 1000)));`,
    'b.mjs': `${TEST}test('passes', () => {});`,
  });
  const limit = { SECGROUPD_TEST_FILE_LIMIT_S: '20' };
  const { code, summary } = await runFilesWith(limit, folder, 'a.mjs', 'b.mjs');
  assert.equal(code, 1);
  assert.match(summary, /a\.mjs: \(the file itself\)\n +.*timed out after 20000ms/);
  assert.match(summary, /\n1 passed, 1 failed, 0 skipped$/);
});

test('files in boxes run at once with the same names and ports, and leave nothing', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'ip', 'unshare')) return;
  if (!canHaveBoxes()) {
    t.skip('needs the right to make namespaces');
    return;
  }
  const folder = makeFolder(t, { meeting: '' });
  const meeting = join(folder, 'met-');
  const boxed = (me: string, other: string): string => `/** Runs in a box: it says so. */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
${TEST}test('${me}', async () => {
  assert.deepEqual([existsSync('/run/sgt-same'), readdirSync('/run/netns')], [false, []]);
  execFileSync('ip', ['netns', 'add', 'sgt-same']);
  mkdirSync('/run/sgt-same');
  await new Promise((resolve) => createServer().listen(4711, '127.0.0.1', resolve).unref());
  const left = spawn('sleep', ['${SLEEP_SEC}'], { detached: true, stdio: 'ignore' });
  left.unref();
  writeFileSync('${meeting}${me}', '');
  while (!existsSync('${meeting}${other}')) await new Promise((next) => setTimeout(next, 20));
});`;
  writeFileSync(join(folder, 'a.mjs'), boxed('a', 'b'));
  writeFileSync(join(folder, 'b.mjs'), boxed('b', 'a'));
  const { code, summary } = await runFiles(folder, 'a.mjs', 'b.mjs');
  assert.equal(code, 0, summary);
  assert.match(summary, /\n2 passed, 0 failed, 0 skipped$/);
  assert.deepEqual(
    [existsSync('/run/netns/sgt-same'), existsSync('/run/sgt-same')],
    [false, false],
  );
  assert.deepEqual(commandsOf(`sleep\0${SLEEP_SEC}\0`), [], 'what they left runs on');
});

/** Processes with this command line. */
function commandsOf(line: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8') === line;
    } catch {
      return false; // It has ended.
    }
  });
}

test('namespaces of a run that was killed are removed with what runs in them, others stay', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'ip')) return;
  const library = new URL('./netns.js', import.meta.url).href;
  const leftOver = new URL('./left-over.js', import.meta.url).href;
  const make = `import { makeNetns } from '${library}';
    const netns = await makeNetns({ after() {} });
    const { pid } = await netns.start('sleep', ['600']);
    console.log('made', netns.name, pid);
    setInterval(() => {}, 1000);`;
  const killed = await start(process.execPath, ['--input-type=module', '-e', make]);
  const [, dead, sleeper] = await killed.waitFor(/^made (\S+) (\d+)$/m);
  await killed.stop('SIGKILL');
  const living = await start(process.execPath, ['--input-type=module', '-e', make]);
  const [, alive] = await living.waitFor(/^made (\S+) (\d+)$/m);
  assert.ok(existsSync(`/run/netns/${dead}`) && existsSync(`/proc/${sleeper}`));
  const removed = await mustRun(process.execPath, [
    ...['--input-type=module', '-e'],
    `import { removeLeftOver } from '${leftOver}'; console.log(JSON.stringify(await removeLeftOver()));`,
  ]);
  assert.ok((JSON.parse(removed) as string[]).includes(dead));
  assert.equal(existsSync(`/run/netns/${dead}`), false);
  // A process that is killed takes its time over it. The limit of the file is what ends this in vain.
  while (isRunning(Number(sleeper))) await sleep(20);
  assert.ok(existsSync(`/run/netns/${alive}`));
  await living.stop();
});
