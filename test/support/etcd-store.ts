/**
 * This file has the tests of another file run with their store in etcd: in place of a file for each test there is one
 * cluster, of one member, for all tests of the process, and a prefix for each test's folder.
 *
 * SECGROUPD_TEST_STORE has the URL of that cluster. With the value `etcd` the runner of all tests starts one, and every
 * test whose store can be either has it there; without it, files that say so run a second time with a cluster of theirs.
 */
import { after, test } from 'node:test';
import { Etcd, requireEtcd } from './etcd.ts';
import { STORE_VARIABLE } from './api-program.ts';
import { findTool } from './require.ts';

/** Runs `load`, which defines the tests, with a cluster that goes when they are done. */
export async function withEtcd(load: () => Promise<unknown>): Promise<void> {
  if (findTool('etcd') === undefined || findTool('etcdctl') === undefined) {
    test('with the store in etcd', (t) => void requireEtcd(t));
    return;
  }
  const etcd = await Etcd.start();
  after(() => etcd.end());
  process.env[STORE_VARIABLE] = `etcd://${etcd.hosts}`;
  await load();
}
