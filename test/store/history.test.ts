/** How a store in a file compacts its history, and how its watches hear of news. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { checkStore } from '../../src/store/check.ts';
import { compactStep } from '../../src/store/compaction.ts';
import { Sqlite } from '../../src/store/sqlite.ts';
import { commit, putsOf } from './contract.ts';
import { makeFolder, openStore } from './folder.ts';

const LONG_MS = 1e9;

test('history keeps to its number of rows, and of revisions', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  // Two former rows a revision, but for the first.
  for (let i = 1; i <= 51; i++) await commit(store, { puts: putsOf({ a: `${i}`, b: `${i}` }) });
  await store.compact({ ageMs: LONG_MS, rows: 30 });
  // The newest 30 are those that ended at revisions 37 to 51; 37 is where the excess ends.
  const { compactedRevision, formerRows, problems } = checkStore(file);
  assert.deepEqual([compactedRevision, formerRows, problems], [36, 30, []]);
  await store.read('', 36);
  await assert.rejects(store.read('', 35), { name: 'CompactedError' });
  // Rows that are new have no former ones: here the number of revisions decides.
  for (let i = 1; i <= 40; i++) await commit(store, { puts: putsOf({ [`new/${i}`]: '' }) });
  await store.compact({ ageMs: LONG_MS, rows: 30 });
  assert.equal(checkStore(file).compactedRevision, 61);
});

test('history keeps to its age', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  for (let i = 1; i <= 5; i++) await commit(store, { puts: putsOf({ a: `${i}` }) });
  const sqlite = Sqlite.open(file, 'rw');
  t.after(() => sqlite.close());
  const timeOf = new Date(Date.now() - 60_000).toISOString();
  sqlite.run('UPDATE revisions SET committed_at = ? WHERE revision <= 3', timeOf);
  await store.compact({ ageMs: 61_000, rows: 1000 });
  assert.equal(checkStore(file).compactedRevision, 0);
  await store.compact({ ageMs: 59_000, rows: 1000 });
  assert.equal(checkStore(file).compactedRevision, 3);
});

test('a step of compaction is small, and says whether there is more', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file);
  const keys = Array.from({ length: 100 }, (_, i) => `k/${i}`);
  for (let i = 0; i <= 12; i++)
    await commit(store, { puts: keys.map((key) => ({ key, value: `${i}` })) });
  const sqlite = Sqlite.open(file, 'rw');
  t.after(() => sqlite.close());
  const step = (): [hasMore: boolean, left: unknown] => {
    const hasMore = sqlite.writing(() => compactStep(sqlite, { ageMs: 0, rows: 0 }, new Date()));
    return [hasMore, sqlite.value('SELECT count(*) FROM former_rows')];
  };
  assert.deepEqual(
    [step(), step(), step()],
    [
      [true, 600],
      [false, 0],
      [false, 0],
    ],
  );
});

test('a store compacts by itself as commits go on', async (t) => {
  const file = join(makeFolder(t), 'store.db');
  const store = await openStore(t, file, { history: { ageMs: LONG_MS, rows: 50 } });
  for (let i = 1; i <= 400; i++) await commit(store, { puts: putsOf({ a: `${i}` }) });
  assert.ok(checkStore(file).compactedRevision >= 150);
});
