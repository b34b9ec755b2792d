/** What goes wrong with a store in etcd, but for members that are away. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CompactedError, StoreError } from '../../src/store/store.ts';
import { Channel } from '../../src/store/etcd/grpc.ts';
import { TXN } from '../../src/store/etcd/messages.ts';
import { COMMIT_LIMITS } from '../../src/store/limits.ts';
import { parsePlace, type EtcdPlace } from '../../src/store/place.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { commit, pause, putsOf } from './contract.ts';
import { Follower, isFault, openAt, Wire } from './etcd-place.ts';

test('others in the cluster: their numbers are left out, their keys are neither seen nor touched', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = await openAt(t, `etcd://${etcd.hosts}/a/b/`);
  const neighbour = await openAt(t, `etcd://${etcd.hosts}/a/b-2/`);
  const { revision: first } = await store.read('');
  const follower = new Follower(t, store, first);
  await etcd.ctl(['put', '/a/', 'x']);
  await etcd.ctl(['put', '/a/c', 'x']);
  const one = await commit(store, { puts: putsOf({ k: '1' }) });
  assert.ok(one > first + 2, `${one} after ${first}`);
  const between = await commit(neighbour, { puts: putsOf({ k: 'other' }) });
  // A number that was left out is the store as it was before.
  assert.deepEqual(await store.read('', between), {
    revision: between,
    rows: (await store.read('', one)).rows,
  });
  assert.deepEqual(await store.read('', first), { revision: first, rows: [] });
  assert.deepEqual(await store.read('', 0), { revision: 0, rows: [] });
  const two = await commit(store, { conditions: [{ key: 'k', revision: one }], deletes: ['k'] });
  await follower.reach(two);
  assert.deepEqual(follower.seen, [
    {
      revision: one,
      puts: [{ key: 'k', value: '1', createRevision: one, revision: one }],
      deletes: [],
    },
    { revision: two, puts: [], deletes: ['k'] },
  ]);
  // From the very beginning, too.
  const again = new Follower(t, store, 0);
  await again.reach(two);
  assert.deepEqual(again.seen, follower.seen);
  await commit(store, { puts: putsOf({ 'k/1': '', z: '' }) });
  const keys = (await etcd.ctl(['get', '--prefix', '', '--keys-only']))
    .split('\n')
    .filter((key) => key !== '');
  assert.deepEqual(keys, [
    '/a/',
    '/a/b-2/rows/k',
    '/a/b-2/store',
    '/a/b/rows/k/1',
    '/a/b/rows/z',
    '/a/b/store',
    '/a/c',
  ]);
  await etcd.ctl(['compact', String(two)]);
  await assert.rejects(store.read('', 0), CompactedError);
});

test('a cluster that was compacted while the connection was lost', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const [member] = etcd.members;
  const wire = await Wire.to(t, etcd.hosts);
  const far = await openAt(t, `etcd://${wire.endpoint}/`);
  const direct = await openAt(t, `etcd://${etcd.hosts}/`);
  const revision = await commit(direct, { puts: putsOf({ a: '1', b: '1' }) });
  const behind = new Follower(t, far, revision);
  const kept = new Follower(t, far, revision);
  const seen = await commit(direct, { puts: putsOf({ a: '2' }) });
  await behind.reach(seen);
  await kept.reach(seen);
  wire.freeze();
  // A delete at the revision of the compaction is what etcd itself would not tell.
  const gone = await commit(direct, { deletes: ['b'] });
  await etcd.ctl(['compact', String(gone)]);
  await assert.rejects(behind.ended, (error: unknown) => {
    assert.ok(error instanceof CompactedError);
    assert.equal(error.revision, seen);
    assert.equal(
      error.message,
      `revision ${seen} is not kept: the store has revisions ${gone} to ${gone}; read anew`,
    );
    return true;
  });
  // Compacted up to what was told: nothing is gone.
  const on = new Follower(t, far, gone);
  const next = await commit(direct, { puts: putsOf({ a: '3' }) });
  await on.reach(next);
  wire.freeze();
  await etcd.ctl(['compact', String(next)]);
  const last = await commit(direct, { puts: putsOf({ a: '4' }) });
  await on.reach(last);
  assert.deepEqual(
    on.seen.map((change) => change.revision),
    [next, last],
  );
  assert.ok(member.isRunning);
});

test('another cluster at the same address is neither read nor written', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const url = `etcd://${etcd.hosts}/`;
  const store = await openAt(t, url);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  await commit(store, { puts: putsOf({ a: '2' }) });
  await follower.reach(revision + 1);
  for (const [args, message] of [
    // An empty disk makes a cluster of the same id, if all else is as it was.
    [[], /: somebody removed it from the cluster; stop what uses it/],
    [
      ['--initial-cluster-token', 'other'],
      /: at 127\.0\.0\.1:\d+ is another cluster now \([0-9a-f]+, not [0-9a-f]+\); stop/,
    ],
  ] as const) {
    await etcd.replace(args);
    const isGone = isFault('gone', message);
    await assert.rejects(commit(store, { puts: putsOf({ a: '3' }) }), isGone);
    await assert.rejects(store.read(''), isGone);
    assert.equal(await etcd.ctl(['get', '--prefix', '']), '', 'nothing was written there');
  }
  await assert.rejects(follower.ended, isFault('gone', /./));
  // Who is started again makes a store there; the old one is not taken for it.
  const fresh = await openAt(t, url);
  assert.deepEqual((await fresh.read('')).rows, []);
  await assert.rejects(store.read(''), isFault('gone', /./));
  // A revision of the former cluster is one that this has not reached.
  await assert.rejects(fresh.read('', revision + 1000), CompactedError);
  await assert.rejects(new Follower(t, fresh, revision + 1000).ended, CompactedError);
});

test('a mark that somebody changed is refused by a commit that is on its way already', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = await openAt(t, `etcd://${etcd.hosts}/s/`);
  await etcd.ctl(['put', '/s/store', '{"format":1,"id":"other"}']);
  await assert.rejects(
    commit(store, { puts: putsOf({ a: '1' }) }),
    isFault('gone', /its mark is another one, or none/),
  );
  assert.equal(await etcd.ctl(['get', '--prefix', '/s/rows/']), '');
});

test('what is no store of this version is refused', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const url = `etcd://${etcd.hosts}/s/`;
  for (const [mark, fault, message] of [
    [
      '{"format":2}',
      'newer',
      /it has format 2, and this version knows 1 alone; install the version/,
    ],
    [
      '{"format":0}',
      'foreign',
      /what is at its prefix is not marked as a store; name another prefix/,
    ],
    ['hello', 'foreign', /not marked as a store/],
    [JSON.stringify({ format: 1, about: 'x'.repeat(5000) }), 'foreign', /not marked as a store/],
  ] as const) {
    await etcd.ctl(['put', '/s/store', mark]);
    await assert.rejects(openAt(t, url), isFault(fault, message));
  }
  await etcd.ctl(['del', '/s/store']);
  await etcd.ctl(['put', '/s/else', 'x']);
  await assert.rejects(
    openAt(t, url),
    isFault('foreign', /there are keys of something else at its prefix/),
  );
  await etcd.ctl(['del', '/s/else']);
  await openAt(t, url);
});

test('a full etcd refuses commits, is read, and goes on when there is room', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { args: ['--quota-backend-bytes', String(4 << 20)] });
  const store = await openAt(t, `etcd://${etcd.hosts}/`);
  const value = 'x'.repeat(500_000);
  let last = 0;
  await assert.rejects(
    async () => {
      for (let i = 0; i < 50; i++)
        last = await commit(store, { puts: putsOf({ [`k/${i % 2}`]: value }) });
    },
    isFault('full', /mvcc: database space exceeded; compact it .* 'etcdctl alarm disarm'/),
  );
  assert.ok(last > 3);
  assert.equal((await store.read('')).rows.length, 2);
  await etcd.ctl(['compact', String(last)]);
  await etcd.ctl(['defrag']);
  await etcd.ctl(['alarm', 'disarm']);
  assert.ok((await commit(store, { puts: putsOf({ a: '' }) })) > last);
});

test('an etcd whose limits are lower than ours says which', async (t) => {
  if (!requireEtcd(t)) return;
  const args = ['--max-txn-ops', '100', '--max-request-bytes', '100000'];
  const etcd = await Etcd.forTest(t, { args });
  const store = await openAt(t, `etcd://${etcd.hosts}/`);
  const puts = Array.from({ length: COMMIT_LIMITS.operations }, (_, i) => ({
    key: `k${i}`,
    value: '',
  }));
  await assert.rejects(
    commit(store, { puts }),
    isFault('failed', /too many operations .*; start etcd with --max-txn-ops=128/),
  );
  await assert.rejects(
    commit(store, { puts: putsOf({ a: 'x'.repeat(200_000) }) }),
    isFault('failed', /request is too large; start etcd with --max-request-bytes=1572864/),
  );
  assert.equal((await store.read('')).rows.length, 0);
});

test('large values: pages and fragments are put together', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = await openAt(t, `etcd://${etcd.hosts}/s/`);
  const { revision: first } = await store.read('');
  // Many small rows before large ones: the page that fits the former is too large for the latter.
  for (let i = 0; i < 40; i++) {
    const keys = Array.from({ length: 100 }, (_, j) => `a/${100 + i}/${100 + j}`);
    await commit(store, { puts: keys.map((key) => ({ key, value: '' })) });
  }
  const value = 'ä'.repeat(450_000);
  for (let i = 0; i < 30; i++)
    await commit(store, { puts: putsOf({ [`b/${10 + i}`]: value, [`c/${10 + i}`]: '' }) });
  const { rows, revision } = await store.read('');
  assert.equal(rows.length, 4000 + 60);
  assert.ok(rows.every((row) => row.value === (row.key.startsWith('b/') ? value : '')));
  const follower = new Follower(t, store, first);
  await follower.reach(revision);
  assert.deepEqual(
    follower.seen.map(({ puts }) => puts.length),
    [...Array.from({ length: 40 }, () => 100), ...Array.from({ length: 30 }, () => 2)],
  );
});

test('a row that is larger than any of ours is refused, and the others are read', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { args: ['--max-request-bytes', String(32 << 20)] });
  const url = `etcd://${etcd.hosts}/s/`;
  const store = await openAt(t, url);
  const small = await commit(store, { puts: putsOf({ c: '' }) });
  const follower = new Follower(t, store, small);
  // By another hand, since no commit of ours is so large.
  const channel = new Channel(parsePlace(url) as EtcdPlace, etcd.hosts);
  t.after(() => channel.close());
  const put = { key: Buffer.from('/s/rows/d'), value: Buffer.alloc(17 << 20, 'x') };
  await channel.call(TXN, { success: [{ put }] }, GUARD_MS);
  const error = isFault(
    'corrupt',
    /a row is larger than 16 MiB; see what wrote it, and mend it there$/,
  );
  await assert.rejects(store.read(''), error);
  await assert.rejects(
    follower.ended,
    isFault('corrupt', /a part of a change is larger than 16 MiB; see what wrote it/),
  );
  assert.equal((await store.read('c')).rows.length, 1);
});

test('keys and values that no commit can have made reach the reader as such', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = await openAt(t, `etcd://${etcd.hosts}/s/`);
  await etcd.ctl(['put', '/s/rows/ä', 'x']);
  await etcd.ctl(['put', '/s/rows/', 'empty']);
  const { rows } = await store.read('');
  assert.deepEqual(
    rows.map(({ key, value }) => [key, value]),
    [
      ['', 'empty'],
      ['Ã¤', 'x'],
    ],
  );
});

test('closing during calls: commits end, reads and watches are ended', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const wire = await Wire.to(t, etcd.hosts);
  const store = await openAt(t, `etcd://${wire.endpoint}/`);
  const revision = await commit(store, { puts: putsOf({ a: '1' }) });
  const follower = new Follower(t, store, revision);
  await pause();
  wire.die();
  const committing = assert.rejects(
    commit(store, { puts: putsOf({ a: '2' }) }),
    isFault('failed', /./, 'unknown'),
  );
  const reading = assert.rejects(store.read(''), isFault('closed', /; open it again$/));
  await store.close();
  await Promise.all([committing, reading, follower.ended]);
  assert.deepEqual(follower.seen, []);
  await assert.rejects(
    store.read(''),
    (error: unknown) => error instanceof StoreError && error.fault === 'closed',
  );
});
