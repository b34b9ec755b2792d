/** Every access of the engine to its arrays, watched: a file of its own, since what has been watched stays slow. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { guard, measure } from './guard.ts';
import { readTalks } from './corpus.ts';
import { runShare, type Progress } from './run.ts';
import { makeEngine, ROOMY } from './world.ts';

test('the engine reads and writes inside of its arrays, whatever comes', (t) => {
  const seed = Date.now() % 2 ** 32;
  const more = { isGuarded: true, isOffloaded: false };
  const share = { seed, packets: 200_000, seconds: 2, job: 0, jobs: 1, ...more };
  let last: Progress | undefined;
  runShare(readTalks(), share, (so) => (last = so));
  const { failed, packets } = last!;
  t.diagnostic(`seed ${seed}: ${packets} packets`);
  assert.equal(
    failed,
    undefined,
    `${failed?.what}; again: scripts/fuzz --guard --seed ${seed} --episode ${failed?.episode}`,
  );
});

test('a guard notices what an array would not', () => {
  const inner = { words: new Int32Array(4) };
  const other = new Float64Array(2);
  const holder = { inner, alias: inner.words, list: [{ other }] };
  guard(holder, []);
  holder.inner.words[3] = 7;
  assert.equal(holder.alias[3], 7);
  assert.throws(() => holder.alias[4], { message: 'read of 4 of 4' });
  assert.throws(() => (holder.inner.words[-1] = 0), { message: 'write to -1 of 4' });
  assert.throws(() => (holder.inner.words[0] = NaN), { message: 'write of NaN' });
  assert.throws(() => holder.list[0].other[2], { message: 'read of 2 of 2' });
  assert.equal(holder.inner.words.fill(1)[2], 1);
});

test('all arrays of an engine are guarded, and what it holds is measured', () => {
  const engine = makeEngine(ROOMY);
  const before = measure(engine);
  assert.ok(before.bytes > 100_000, `${before.bytes} bytes`);
  (Reflect.get(engine, 'gates') as unknown as { extra: Int32Array }).extra = new Int32Array(25);
  const after = measure(engine);
  assert.deepEqual(after, { objects: before.objects + 1, bytes: before.bytes + 100 });
  guard(engine, []);
  const { words } = engine.gates.tracker.flows6;
  assert.throws(() => words[words.length], RangeError);
  assert.throws(() => engine.counters[-1], RangeError);
});
