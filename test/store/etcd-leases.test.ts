/**
 * Rows of a store in etcd that are there while who put them lives.
 *
 * Runs beside others: it waits for renewals. A machine that is slow may let a row run out; what was promised holds all the same.
 */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import type { Lease, Store } from '../../src/store/store.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { Follower, openAt, Wire } from './etcd-place.ts';

const TTL_SEC = 2;
const ROW = { key: 'alive', value: 'yes' };

/** Waits until something is so. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Watches the row from where the store is now, and sees to it that it never goes before it may. */
async function watchRow(t: TestContext, store: Store, lease: Lease) {
  const { revision } = await store.read('');
  const follower = new Follower(t, store, revision, ROW.key);
  const count = (kind: 'puts' | 'deletes'): number =>
    follower.seen.reduce((sum, change) => sum + change[kind].length, 0);
  let gone = 0;
  const checking = setInterval(() => {
    if (count('deletes') === gone) return;
    gone = count('deletes');
    if (count('puts') < gone) assert.ok(lease.keptUntilMs <= performance.now(), 'it was promised');
  }, 1);
  t.after(() => clearInterval(checking));
  return { puts: () => count('puts'), deletes: () => count('deletes') };
}

async function isThere(store: Store): Promise<boolean> {
  return (await store.read(ROW.key)).rows.length === 1;
}

/** Waits for a renewal that is later than all before. */
async function renewed(lease: Lease): Promise<void> {
  const { keptUntilMs } = lease;
  await until(() => lease.keptUntilMs > keptUntilMs);
}

test('a holder that ends without a word is missed', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const url = `etcd://${etcd.hosts}/`;
  const [store, other] = await Promise.all([openAt(t, url), openAt(t, url)]);
  const lease = store.lease(ROW, TTL_SEC);
  await lease.put();
  const row = await watchRow(t, other, lease);
  // Longer than it would be there without renewals.
  for (const endMs = performance.now() + 2 * TTL_SEC * 1000; performance.now() < endMs;)
    await renewed(lease);
  await until(() => row.puts() >= row.deletes());
  assert.ok(await isThere(other));
  const before = row.deletes();
  await store.close();
  await until(() => row.deletes() > before);
  assert.equal(await isThere(other), false);
  const { stdout } = await etcd.tryCtl(['lease', 'list']);
  assert.match(stdout, /found 0 leases/);
});

test('a lease that etcd lost is granted anew', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = await openAt(t, `etcd://${etcd.hosts}/`);
  const lease = store.lease(ROW, TTL_SEC);
  await lease.put();
  const follower = new Follower(t, store, (await store.read('')).revision, ROW.key);
  const [id] = /^[0-9a-f]{8,}$/m.exec(await etcd.ctl(['lease', 'list'])) ?? [];
  await etcd.ctl(['lease', 'revoke', id!]);
  await until(() => follower.seen.length === 2);
  const [went, came] = follower.seen;
  assert.deepEqual(went.deletes, [ROW.key]);
  assert.equal(came.puts[0].value, ROW.value);
  await renewed(lease);
  assert.ok(await isThere(store));
  // Nobody renews what was let go.
  await lease.release();
  assert.equal(await isThere(store), false);
});

test('members that die are left, and the row stays', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t, { members: 3 });
  const said: string[] = [];
  const store = await openAt(t, `etcd://${etcd.hosts}/`, said);
  const other = await openAt(t, `etcd://${etcd.hosts}/`);
  const lease = store.lease(ROW, TTL_SEC);
  await lease.put();
  const row = await watchRow(t, other, lease);
  // Whichever it is connected to, and whoever leads.
  for (const member of etcd.members) {
    await member.stop('SIGKILL');
    await renewed(lease);
    await renewed(lease);
    await member.start();
    await etcd.waitHealthy();
  }
  await renewed(lease);
  assert.ok(said.length >= 2, said.join('\n'));
  // A machine that is slow may have let it run out, but then it came back.
  await until(() => row.puts() >= row.deletes());
  assert.ok(await isThere(other));
});

test('who was away for too long is missed, and comes back', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const wire = await Wire.to(t, etcd.hosts);
  const store = await openAt(t, `etcd://${wire.endpoint}/`);
  const other = await openAt(t, `etcd://${etcd.hosts}/`);
  const lease = store.lease(ROW, TTL_SEC);
  await lease.put();
  const row = await watchRow(t, other, lease);
  wire.die();
  await until(() => row.deletes() > 0);
  assert.ok(lease.keptUntilMs <= performance.now(), 'its holder knows that it may be gone');
  wire.revive();
  await until(() => row.puts() > 0);
  await until(() => lease.keptUntilMs > performance.now());
  assert.ok(await isThere(other));
});
