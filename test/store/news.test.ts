/** How a watch learns of a commit of another process. */
import assert from 'node:assert/strict';
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { News } from '../../src/store/news.ts';

const MODE = 0o660;
const LATE_MS = 5000;

/** What several processes see of one store: each has a News on the same file. */
function makeStore(t: TestContext): {
  readonly file: string;
  readonly open: () => News;
  look: () => number;
  revision: number;
} {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-news-'));
  const opened: News[] = [];
  t.after(() => {
    for (const news of opened) news.close();
    rmSync(folder, { recursive: true });
  });
  const store = {
    file: join(folder, 'store.db-news'),
    revision: 1,
    look: () => store.revision,
    open: () => {
      const news = new News(store.file, MODE, () => store.look());
      opened.push(news);
      return news;
    },
  };
  return store;
}

/** A wait keeps no process alive, so a timer has to. */
async function comesInTime(news: News, after: number): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), LATE_MS);
    void news.wait(after, new AbortController().signal).then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}

test('a commit of another process is seen without the poll, also the next one', async (t) => {
  // The poll never comes.
  t.mock.timers.enable({ apis: ['setInterval'] });
  const store = makeStore(t);
  const [ours, others] = [store.open(), store.open()];
  for (const revision of [2, 3, 4]) {
    const waited = comesInTime(ours, revision - 1);
    store.revision = revision;
    others.announce(revision);
    assert.ok(await waited, `revision ${revision}`);
  }
});

test('a commit while nobody waited is seen when one waits again', async (t) => {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const store = makeStore(t);
  const [ours, others] = [store.open(), store.open()];
  store.revision = 2;
  others.announce(2);
  assert.ok(await comesInTime(ours, 1));
});

test('a commit that nothing tells of is found by the poll', async (t) => {
  const store = makeStore(t);
  const waited = comesInTime(store.open(), 1);
  store.revision = 2;
  assert.ok(await waited);
});

test('the file has the mode of the store, whatever the umask', (t) => {
  const former = process.umask(0o077);
  t.after(() => process.umask(former));
  const store = makeStore(t);
  store.open();
  assert.equal(statSync(store.file).mode & 0o777, MODE);
});

for (const [what, put] of [
  ['a link', (file: string) => symlinkSync('/etc/hostname', file)],
  ['a directory', (file: string) => mkdirSync(file)],
] as const)
  test(`${what} in its place is left alone, and the poll finds commits`, async (t) => {
    const store = makeStore(t);
    put(store.file);
    const [ours, others] = [store.open(), store.open()];
    const waited = comesInTime(ours, 1);
    store.revision = 2;
    others.announce(2);
    assert.ok(await waited);
  });

test('news wake those who wait for them, and no others', async (t) => {
  const store = makeStore(t);
  store.revision = 0;
  const news = store.open();
  const woken: string[] = [];
  const { signal } = new AbortController();
  const wait = (after: number): Promise<unknown> =>
    news.wait(after, signal).then(() => woken.push(`after ${after}`));
  const waiting = [wait(1), wait(2), wait(3)];
  news.tell(2);
  await sleep(1);
  assert.deepEqual(woken, ['after 1']);
  news.tell(3);
  await sleep(1);
  assert.deepEqual(woken, ['after 1', 'after 2']);
  await wait(2);
  news.close();
  await Promise.all(waiting);
  assert.deepEqual(woken, ['after 1', 'after 2', 'after 2', 'after 3']);
});

test('a wait ends with its signal', async (t) => {
  const news = makeStore(t).open();
  const end = new AbortController();
  const waiting = news.wait(1, end.signal);
  end.abort();
  await waiting;
  await news.wait(1, end.signal);
});

test('who waits is woken when looking fails', async (t) => {
  const store = makeStore(t);
  const waiting = store.open().wait(1, new AbortController().signal);
  store.look = () => {
    throw new Error('broken');
  };
  await waiting;
});

test('what was closed announces nothing, also not into a file that got its descriptor', (t) => {
  const store = makeStore(t);
  const news = store.open();
  news.close();
  const other = join(dirname(store.file), 'other');
  const fd = openSync(other, 'w');
  t.after(() => closeSync(fd));
  news.announce(2);
  assert.equal(readFileSync(other, 'utf8'), '');
});
