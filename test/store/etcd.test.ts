/** The contract of the store, held by etcd: one member, and three. */
import { after, describe, test } from 'node:test';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.ts';
import { parsePlace, type EtcdPlace } from '../../src/store/place.ts';
import { Etcd } from '../support/etcd.ts';
import { findTool } from '../support/require.ts';
import { testContract, type Backend } from './contract.ts';
import { countedFrom } from './counted-from.ts';
import { memory } from './memory-store.ts';
import { testAgainstTwin } from './twin.ts';

let prefixes = 0;

/** Each test has a prefix of its own in one cluster. */
function backendOf(name: string, cluster: () => Promise<Etcd>): Backend {
  return {
    name,
    fetchesAhead: true,
    make: async (t) => {
      const etcd = await cluster();
      const url = `etcd://${etcd.hosts}/test/${++prefixes}/`;
      const open = async () => {
        const store = await openEtcdStore(parsePlace(url) as EtcdPlace);
        t.after(() => store.close());
        return store;
      };
      const store = await open();
      const { revision: first } = await store.read('');
      return {
        store: countedFrom(first, store),
        other: async () => countedFrom(first, await open()),
        compact: async () => {
          const { revision } = await store.read('');
          const { code, stderr } = await etcd.tryCtl(['compact', String(revision)]);
          if (code !== 0 && !stderr.includes('has been compacted')) throw new Error(stderr);
        },
      };
    },
  };
}

function started(members: number): () => Promise<Etcd> {
  let etcd: Promise<Etcd> | undefined;
  after(async () => (await etcd)?.end());
  return () => (etcd ??= Etcd.start({ members }));
}

if (findTool('etcd') === undefined || findTool('etcdctl') === undefined)
  test('the contract of the store, held by etcd', (t) =>
    t.skip('needs etcd, etcdctl (not found on the PATH)'));
else {
  describe('one member', () => {
    const alone = backendOf('etcd', started(1));
    testContract(alone);
    testAgainstTwin(alone, memory);
  });
  describe('three members', () => testContract(backendOf('etcd', started(3))));
}
