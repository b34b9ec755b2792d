/**
 * A store in a file that processes share and that are killed: kill -9 at any moment, two that want the same, two users,
 * what one commits and another watches. (kill -9 leaves the kernel's memory as it is, so
 * this can't show that a commit is on the disk; that rests on SQLite's synchronous = FULL.)
 */
import assert from 'node:assert/strict';
import { chmodSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { checkStore } from '../../src/store/check.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run, start, type Running } from '../support/process.ts';
import { requireRoot } from '../support/require.ts';
import { commit, putsOf } from './contract.ts';
import { makeFolder, openStore } from './folder.ts';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));

function startChild(...args: readonly string[]): Promise<Running> {
  return start(process.execPath, [CHILD, ...args]);
}

async function runChild(...args: readonly string[]): Promise<unknown[]> {
  const { code, stdout, stderr } = await run(process.execPath, [CHILD, ...args]);
  assert.deepEqual([code, stderr], [0, '']);
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as unknown);
}

test('kill -9 leaves each commit whole or undone, and all that were answered', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  let answered = 0;
  for (let round = 0; round < 15; round++) {
    const child = await startChild('count', file);
    await child.waitFor(/^\d+ \d+\n/m);
    await sleep(Math.random() * 60);
    const { signal, stdout } = await child.stop('SIGKILL');
    assert.equal(signal, 'SIGKILL');
    // The last line may be cut off; then its number has fewer digits, so only whole lines count.
    const lines = stdout.slice(0, stdout.lastIndexOf('\n')).split('\n');
    const [value, revision] = lines.at(-1)!.split(' ').map(Number);
    assert.ok(value > answered);
    answered = value;
    assert.equal(revision, value);

    const store = await openStore(t, file);
    const { rows, revision: newest } = await store.read('count/');
    const values = new Set(rows.map((row) => Number(row.value)));
    assert.equal(rows.length, 10);
    assert.equal(values.size, 1, `of round ${round}: ${[...values].join(' ')}`);
    const [found] = values;
    // One more may have been committed and not answered.
    assert.ok(found === answered || found === answered + 1, `${found} after ${answered}`);
    assert.equal(newest, found);
    assert.deepEqual(checkStore(file).problems, []);
    answered = found;
    await store.close();
  }
});

test('of two processes that want the same, one gets it, each time', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  const rounds = 200;
  const results = (await Promise.all(
    ['a', 'b'].map((me) => runChild('race', file, me, String(rounds))),
  )) as { first: number[]; added: number }[][];
  const [[a], [b]] = results;
  const all = [...a.first, ...b.first].sort((x, y) => x - y);
  assert.deepEqual(
    all,
    Array.from({ length: rounds }, (_, i) => i),
  );
  const won = new Map((await store.read('round/')).rows.map(({ key, value }) => [key, value]));
  for (const [me, { first }] of [
    ['a', a],
    ['b', b],
  ] as const)
    for (const i of first) assert.equal(won.get(`round/${i}`), me);
  const [{ value }] = (await store.read('sum')).rows;
  assert.equal(Number(value), a.added + b.added);
});

test('what one process commits another watches, whole and in order', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  await commit(store, { puts: putsOf({ before: '' }) });
  const child = await startChild('watch', file);
  t.after(() => child.stop());
  await child.waitFor(/^from 1\n/);
  const expected = ['from 1'];
  for (let i = 0; i < 50; i++) {
    const revision = await commit(store, { puts: putsOf({ [`a/${i}`]: '', b: '' }) });
    expected.push(`${revision} a/${i} b`);
    if (i % 10 === 0) await sleep(5);
  }
  expected.push(`${await commit(store, { puts: putsOf({ end: '' }) })} end`);
  const { code, stdout } = await child.ended;
  assert.equal(code, 0);
  assert.deepEqual(stdout.trimEnd().split('\n'), expected);
});

test('two users of one group share a store, whatever their umask', async (t) => {
  if (!requireRoot(t)) return;
  const folder = makeFolder(t);
  chmodSync(folder, 0o777);
  const file = join(folder, 'store', 'store.db');
  const [alice, bob, group] = ['65501', '65502', '65510'];
  // As systemd does it: each has a group of its own, and is in that of the store. The first makes the directory.
  const first = await startChildOpen('user', file, alice, group);
  t.after(() => first.stop());
  await first.waitFor(/"revision":3\}/);
  const modes = (): string[] =>
    ['', '-wal', '-shm', '-news'].map((end) => {
      const { mode, gid } = statSync(file + end);
      return `${(mode & 0o7777).toString(8)} ${gid}`;
    });
  assert.deepEqual(modes(), Array(4).fill('660 65510'));
  assert.equal(statSync(join(folder, 'store')).mode & 0o7777, 0o2770);
  const second = await run(process.execPath, [CHILD, 'user', file, bob, bob, group], {
    input: '',
  });
  assert.deepEqual(
    [second.code, second.stderr, second.stdout],
    [0, '', '{"revision":4}\n{"revision":5}\n{"revision":6}\n'],
  );
  await first.stop();
  // Now the other one makes -wal and -shm.
  const third = await startChildOpen('user', file, bob, bob, group);
  t.after(() => third.stop());
  await third.waitFor(/"revision":9\}/);
  assert.deepEqual(modes(), Array(4).fill('660 65510'));
  const fourth = await run(process.execPath, [CHILD, 'user', file, alice, group], {
    input: '',
  });
  assert.deepEqual([fourth.code, fourth.stderr], [0, '']);
  const stranger = await run(process.execPath, [CHILD, 'user', file, '65503', '65503'], {
    input: '',
  });
  assert.equal(stranger.code, 1);
  assert.match(stranger.stderr, /StoreError: the store .*: permission denied; this user must /);
});

/** A child whose standard input stays open until it is stopped. */
function startChildOpen(...args: readonly string[]): Promise<Running> {
  const quoted = [process.execPath, CHILD, ...args].map((arg) => `'${arg}'`).join(' ');
  return start('sh', ['-c', `sleep ${GUARD_MS / 1000} | ${quoted}`]);
}
