/** A store in etcd whose members are killed, stop, or can't be reached. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError, type Store } from '../../src/store/store.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { commit, putsOf } from './contract.ts';
import { Follower, isFault, openAt, Wire } from './etcd-place.ts';

/** Puts 1, 2, 3 … into one key, each on the condition that the one before is there, until `isOver`. */
async function count(
  store: Store,
  isOver: () => boolean,
): Promise<{ value: number; unknown: number }> {
  let [value, revision, unknown] = [0, 0, 0];
  while (!isOver()) {
    const next = String(value + 1);
    try {
      const outcome = await store.commit({
        conditions: [{ key: 'n', revision }],
        puts: putsOf({ n: next, [`list/${next.padStart(8, '0')}`]: next }),
        deletes: [],
      });
      if (outcome.kind === 'committed') {
        [value, revision] = [value + 1, outcome.revision];
        continue;
      }
      // One of which nobody could tell has happened after all.
      assert.ok(unknown > 0, `a conflict of ${next}, and nobody else writes`);
    } catch (error) {
      assert.ok(error instanceof StoreError, String(error));
      if (error.committed === 'unknown') unknown++;
    }
    {
      for (;;) {
        const found = await store.read('n').catch(() => undefined);
        if (found === undefined) continue;
        const [row] = found.rows;
        [value, revision] = [Number(row?.value ?? 0), row?.revision ?? 0];
        break;
      }
      assert.ok(value === Number(next) || value === Number(next) - 1, `${value} after ${next}`);
    }
  }
  return { value, unknown };
}

test('leaders are killed: commits go on, watches lose nothing and repeat nothing', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { members: 3 });
  const url = `etcd://${etcd.hosts}/`;
  const [writer, reader, ...watchers] = await Promise.all([1, 2, 3, 4].map(() => openAt(t, url)));
  const { revision: first } = await writer.read('');
  const followers = watchers.map((store) => new Follower(t, store, first));
  let isOver = false;
  const counting = count(writer, () => isOver);
  const newest = async (): Promise<number> => {
    for (;;) {
      const found = await reader.read('n').catch(() => undefined);
      if (found !== undefined) return Number(found.rows[0]?.value ?? 0);
    }
  };
  for (let round = 0; round < 3; round++) {
    const leader = await etcd.leader();
    await leader.stop('SIGKILL');
    // It goes on with two of three.
    for (const before = await newest(); (await newest()) < before + 50;);
    await leader.start();
    await etcd.waitHealthy();
    for (const before = await newest(); (await newest()) < before + 50;);
  }
  isOver = true;
  const { value } = await counting;
  const last = await commit(writer, { puts: putsOf({ end: '' }) });
  for (const follower of followers) {
    await follower.reach(last);
    const seen = follower.seen.flatMap(({ puts }) => puts.filter(({ key }) => key === 'n'));
    assert.deepEqual(
      seen.map((row) => Number(row.value)),
      Array.from({ length: value }, (_, i) => i + 1),
    );
    assert.ok(
      follower.seen.slice(0, -1).every(({ puts }) => puts.length === 2),
      'no change is split',
    );
    const { rows } = await reader.read('list/');
    assert.deepEqual(
      rows.map((row) => row.revision),
      follower.seen.slice(0, -1).map(({ revision }) => revision),
    );
  }
});

test('all members away: calls say so in time, a watch goes on when they are back', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { members: 3 });
  const said: string[] = [];
  const store = await openAt(t, `etcd://${etcd.hosts}/`, said);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  await commit(store, { puts: putsOf({ a: '2' }) });
  await follower.reach(revision + 1);
  await Promise.all(etcd.members.map((member) => member.stop('SIGKILL')));
  const away = isFault(
    'failed',
    /no member answers as it should \(.*ECONNREFUSED.*see that it runs/s,
  );
  await Promise.all([
    assert.rejects(store.read(''), away),
    assert.rejects(commit(store, { puts: putsOf({ a: '3' }) }), away),
  ]);
  assert.equal(said.length, 1, said.join('\n'));
  assert.match(said[0], /: lost 127\.0\.0\.1:\d+ \(.*\); trying all members$/);
  await Promise.all(etcd.members.map((member) => member.start()));
  await etcd.waitHealthy();
  const other = await openAt(t, `etcd://${etcd.hosts}/`);
  const last = await commit(other, { puts: putsOf({ a: '4' }) });
  await follower.reach(last);
  assert.deepEqual(
    follower.seen.flatMap(({ puts }) => puts.map(({ value }) => value)),
    ['2', '4'],
  );
  assert.match(said[1], /: at 127\.0\.0\.1:\d+ now$/);
});

test('without a majority nothing is answered, and nothing that was committed is lost', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { members: 3 });
  const store = await openAt(t, `etcd://${etcd.hosts}/`);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  const [one, two] = etcd.members;
  await Promise.all([one.stop('SIGKILL'), two.stop('SIGKILL')]);
  await assert.rejects(
    store.read(''),
    (error: unknown) => error instanceof StoreError && error.fault === 'failed',
  );
  await Promise.all([one.start(), two.start()]);
  await etcd.waitHealthy();
  const last = await commit(await openAt(t, `etcd://${etcd.hosts}/`), {
    puts: putsOf({ a: '2' }),
  });
  await follower.reach(last);
  assert.deepEqual(
    follower.seen.map((change) => change.revision),
    [last],
  );
});

test('a connection that is dead without a word is given up', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const wire = await Wire.to(t, etcd.hosts);
  const said: string[] = [];
  const store = await openAt(t, `etcd://${wire.endpoint}/`, said);
  const direct = await openAt(t, `etcd://${etcd.hosts}/`);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  await commit(direct, { puts: putsOf({ a: '2' }) });
  await follower.reach(revision + 1);
  wire.freeze();
  const last = await commit(direct, { puts: putsOf({ a: '3' }) });
  await follower.reach(last);
  assert.deepEqual(
    follower.seen.map((change) => change.revision),
    [revision + 1, last],
  );
  assert.equal(said.length, 2, said.join('\n'));
  // A commit that was sent into nothing: nobody knows.
  wire.freeze();
  await assert.rejects(
    commit(store, { puts: putsOf({ a: '4' }) }),
    isFault('failed', /./, 'unknown'),
  );
  assert.equal((await store.read('a')).rows[0].value, '3');
  // A read is asked again.
  wire.freeze();
  assert.equal((await store.read('a')).rows[0].value, '3');
});

test('a member that hangs is left for another', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { members: 3 });
  const said: string[] = [];
  const store = await openAt(t, `etcd://${etcd.hosts}/`, said);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  await commit(store, { puts: putsOf({ a: '2' }) });
  await follower.reach(revision + 1);
  // Whichever it is connected to.
  for (const member of etcd.members) {
    process.kill(member.pid, 'SIGSTOP');
    assert.equal((await store.read('a')).rows[0].value, '2');
    process.kill(member.pid, 'SIGCONT');
    await etcd.waitHealthy();
  }
  assert.ok(said.length >= 2, said.join('\n'));
  const last = await commit(store, { puts: putsOf({ a: '3' }) });
  await follower.reach(last);
  assert.deepEqual(
    follower.seen.map((change) => change.revision),
    [revision + 1, last],
  );
});
