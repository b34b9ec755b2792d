/**
 * What a host says of itself gets into the store, whatever the store does meanwhile.
 *
 * Runs beside others: what it may take follows from how long it took.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { HostRows } from '../../src/estate/host-rows.ts';
import { StoreError, type Commit, type Outcome, type StoreFault } from '../../src/store/store.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { ALIVE } from './world.ts';

/** The row that says that the host lives. */
const LIVES: readonly [string, string] = ['hosts/a%20b/alive', JSON.stringify(ALIVE)];

class FailingStore extends MemoryStore {
  failures = 0;
  fault: StoreFault = 'failed';
  commits = 0;

  override commit(commit: Commit): Promise<Outcome> {
    this.commits++;
    if (this.failures-- > 0) throw new StoreError(this.fault, 'it is away');
    return super.commit(commit);
  }
}

function start(
  t: TestContext,
  memory: Memory,
  intervalMs = 0,
): { readonly rows: HostRows; readonly store: FailingStore; readonly troubles: string[] } {
  const store = new FailingStore(memory);
  const troubles: string[] = [];
  const onTrouble = (message: string): number => troubles.push(message);
  const rows = new HostRows({ store, host: 'a b', alive: ALIVE, intervalMs, onTrouble });
  t.after(async () => {
    await rows.close();
    await store.close();
  });
  rows.start();
  return { rows, store, troubles };
}

function rowsOf(memory: Memory): Record<string, string> {
  const rows = memory.rowsAt(memory.commits.length);
  return Object.fromEntries([...rows].map(([key, { value }]) => [key, value]));
}

test('declared rows are those that are wanted, and what is in force comes after them', async (t) => {
  const memory = new Memory();
  const old = { key: 'hosts/a%20b/declared/groups/sg-old', value: '{}' };
  const other = { key: 'hosts/a/declared/groups/sg-1', value: '{}' };
  const answer = { key: 'hosts/a%20b/previewed/q', value: '{}' };
  await new MemoryStore(memory).commit({ conditions: [], puts: [old, other, answer], deletes: [] });
  const { rows } = start(t, memory);
  const declared = Array.from({ length: 250 }, (_, i): [string, string] => [
    `hosts/a%20b/declared/groups/sg-${i}`,
    '{}',
  ]);
  rows.want('{"revision":1}', new Map(declared));
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(
    rowsOf(memory),
    Object.fromEntries([
      [other.key, other.value],
      [answer.key, answer.value],
      ...declared,
      ['hosts/a%20b/applied', '{"revision":1}'],
      LIVES,
    ]),
  );
  const last = (count: number): Memory['commits'] => memory.commits.slice(-count);
  assert.deepEqual(
    last(2).flatMap(({ puts }) => puts.map(({ key }) => key)),
    ['hosts/a%20b/applied', 'hosts/a%20b/alive'],
  );
  rows.want(undefined);
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(
    last(2).map(({ deletes }) => deletes),
    [['hosts/a%20b/alive'], ['hosts/a%20b/applied']],
  );
});

test('what could not be written is written later, as it is wanted then', async (t) => {
  const memory = new Memory();
  const { rows, store, troubles } = start(t, memory);
  store.failures = 1;
  rows.want('1');
  assert.equal(await rows.flush(GUARD_MS), false);
  rows.want('2');
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(rowsOf(memory), Object.fromEntries([LIVES, ['hosts/a%20b/applied', '2']]));
  assert.deepEqual(troubles, ['it can’t be written: it is away'.replace('’', "'")]);
});

test('rows that somebody removed are written again', async (t) => {
  const memory = new Memory();
  const { rows } = start(t, memory);
  rows.want('1');
  assert.ok(await rows.flush(GUARD_MS));
  const before = rowsOf(memory);
  const deletes = Object.keys(before);
  assert.deepEqual(deletes, ['hosts/a%20b/applied', 'hosts/a%20b/alive']);
  await new MemoryStore(memory).commit({ conditions: [], puts: [], deletes });
  while (Object.keys(rowsOf(memory)).length < 2)
    await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(rowsOf(memory), before);
});

test('another daemon of the same name is told of, and what it says stays', async (t) => {
  const memory = new Memory();
  const [key, value] = LIVES;
  // Of a process of this host that was killed.
  const killed = { key, value: JSON.stringify({ ...ALIVE, startId: 's-0' }) };
  await new MemoryStore(memory).commit({ conditions: [], puts: [killed], deletes: [] });
  const { rows, troubles } = start(t, memory);
  rows.want('1');
  assert.ok(await rows.flush(GUARD_MS));
  assert.equal(rowsOf(memory)[key], value);
  assert.deepEqual(troubles, []);
  await new MemoryStore(memory).commit({ conditions: [], puts: [killed], deletes: [] });
  while (troubles.length === 0) await new Promise((resolve) => setImmediate(resolve));
  assert.match(troubles[0], /^another daemon says that it is the host a b: /);
  rows.want('2');
  assert.ok(await rows.flush(GUARD_MS));
  assert.equal(rowsOf(memory)[key], killed.value);
});

test('between two writes there is a while, and the last state counts', async (t) => {
  const memory = new Memory();
  const { rows, store } = start(t, memory, 300);
  rows.want('0');
  assert.ok(await rows.flush(GUARD_MS));
  const before = performance.now();
  for (let i = 1; i <= 50; i++) {
    rows.want(String(i));
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(await rows.flush(GUARD_MS));
  assert.equal(rowsOf(memory)['hosts/a%20b/applied'], '50');
  const tookMs = performance.now() - before;
  assert.ok(store.commits <= 4 + tookMs / 300, `${store.commits} commits in ${tookMs} ms`);
});

test('others who write at the same time are waited for', async (t) => {
  const memory = new Memory();
  const { rows, store } = start(t, memory);
  [store.failures, store.fault] = [2, 'busy'];
  rows.want('1');
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(rowsOf(memory), Object.fromEntries([LIVES, ['hosts/a%20b/applied', '1']]));
});

test('waiting for a store that is away ends', async (t) => {
  const { rows, store } = start(t, new Memory());
  store.failures = Infinity;
  rows.want('1');
  assert.equal(await rows.flush(20), false);
});

test('what is wanted no more is gone, also if it was just being written', async (t) => {
  const memory = new Memory();
  const { rows } = start(t, memory);
  rows.want('1');
  assert.ok(await rows.flush(GUARD_MS));
  rows.want('2');
  rows.want(undefined);
  assert.ok(await rows.flush(GUARD_MS));
  rows.want('3');
  await new Promise((resolve) => setImmediate(resolve));
  rows.want(undefined);
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(rowsOf(memory), {});
});

test('a host that leaves does so at once, also between two writes', async (t) => {
  const memory = new Memory();
  const { rows } = start(t, memory, 2 * GUARD_MS);
  rows.want('{"revision":1}');
  assert.ok(await rows.flush(GUARD_MS));
  rows.want('{"revision":2}');
  rows.want(undefined);
  assert.ok(await rows.flush(GUARD_MS));
  assert.deepEqual(rowsOf(memory), {});
});

test('what the lease says counts only while its row is there', async (t) => {
  const memory = new Memory();
  const { rows } = start(t, memory);
  assert.deepEqual(rows.alive, { untilMs: 0, sinceRevision: 0 });
  rows.want('{"revision":1}');
  assert.ok(await rows.flush(GUARD_MS));
  assert.equal(rows.isTold, true);
  const before = rows.alive.sinceRevision;
  assert.equal(before, memory.commits.length);
  await new MemoryStore(memory).commit({ conditions: [], puts: [], deletes: [LIVES[0]] });
  // It puts the row anew as soon as it hears of that.
  while (rows.alive.sinceRevision <= before) await sleep(5);
  assert.deepEqual(rowsOf(memory)[LIVES[0]], LIVES[1]);
});
