/** How a watch learns of a commit of another process. */
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { News } from '../../src/store/news.ts';

const EVENT_MS = 50;
const LATE_MS = 5000;

test('a commit that began while nobody waited is seen without the poll', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-news-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'wal');
  writeFileSync(file, '');
  // The poll never comes.
  t.mock.timers.enable({ apis: ['setInterval'] });
  const found: number[] = [];
  const news = new News(file, () => found.shift() ?? 2);
  t.after(() => news.close());
  const ended = new AbortController();
  found.push(1);
  const first = news.wait(1, ended.signal);
  ended.abort();
  await first;
  appendFileSync(file, 'x');
  // The event of the write comes, and nobody waits.
  await sleep(EVENT_MS);
  // The commit is not in force yet when the wait begins.
  found.push(1);
  const waited = news.wait(1, new AbortController().signal).then(() => 'in time');
  assert.equal(await Promise.race([waited, sleep(LATE_MS, 'too late', { ref: false })]), 'in time');
});
