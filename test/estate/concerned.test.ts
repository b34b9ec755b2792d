/** Which hosts a change concerns: those that hold something of it, and no others. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { concernedHosts } from '../../src/estate/concerned.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { EstateFollower } from '../../src/estate/estate-follower.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import { DESIRED, isReleaseKey, valueKey } from '../../src/estate/keys.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { groupId, HOSTS, interfaceId, make, step, writeGroup } from './part-steps.ts';
import { DEFAULT_VPC, take } from './world.ts';
import { writeAttached } from './write-interface.ts';

const onTrouble = (message: string): never => assert.fail(message);

/** The keys that each host holds now, read by itself: the slow twin. */
async function heldNow(memory: Memory): Promise<readonly ReadonlySet<string>[]> {
  return Promise.all(
    HOSTS.map(async (host) => {
      const store = new MemoryStore(memory);
      const follower = new EstateFollower({ store, scope: new HostPart(host), onTrouble });
      await follower.open();
      const keys = new Set(follower.estate.keys());
      await follower.close();
      return keys;
    }),
  );
}

test('a change concerns the hosts that held a row of it before or hold one after', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(step, { minLength: 1, maxLength: 3 }), { maxLength: 12 }),
      async (rounds) => {
        const memory = new Memory();
        const writer = await EstateClient.open({ store: new MemoryStore(memory), onTrouble });
        await writer.change((edit) => {
          edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
          writeGroup(edit, { kind: 'group', at: 0, groups: [0], lists: [] });
          return { ok: true, value: undefined };
        });
        let before = await heldNow(memory);
        for (const round of rounds) {
          const { length } = memory.commits;
          const { concerned } = take(
            await writer.change((edit) => {
              for (const one of round) make(edit, one);
              return { ok: true, value: undefined };
            }),
          );
          const after = await heldNow(memory);
          // What changes nothing is not committed.
          const changed = memory.commits
            .slice(length)
            .flatMap(({ puts, deletes }) => [...puts.map(({ key }) => key), ...deletes])
            // Nobody waits for what hosts do about a release.
            .filter((key) => key.startsWith(DESIRED) && !isReleaseKey(key));
          for (const [i, host] of HOSTS.entries()) {
            const holds = changed.some((key) => before[i].has(key) || after[i].has(key));
            assert.equal(concerned === 'all' || concerned.has(host), holds, host);
          }
          before = after;
        }
        await writer.close();
      },
    ),
    { numRuns: 100 },
  );
});

test('a group of one host is not looked for among the interfaces of others', async () => {
  const client = await EstateClient.open({ store: new MemoryStore(), onTrouble });
  await client.change((edit) => {
    writeGroup(edit, { kind: 'group', at: 1, groups: [2], lists: [] });
    writeGroup(edit, { kind: 'group', at: 2, groups: [], lists: [] });
    for (let at = 0; at < 30; at++)
      writeAttached(edit, interfaceId(at), {
        ...{ device: 't0', address: `10.0.0.${at + 1}`, host: `h${at}` },
        groupIds: [groupId(at === 7 ? 1 : at === 8 ? 2 : 3)],
      });
    return { ok: true, value: undefined };
  });
  let looked = 0;
  const { estate } = client;
  const view = {
    find: (...args: Parameters<typeof estate.find>) => estate.find(...args),
    groupsThatName: (id: string) => estate.groupsThatName(id),
    interfacesOfSubnet: (id: string) => estate.interfacesOfSubnet(id),
    interfacesOfGroup: (id: string) => {
      const found = estate.interfacesOfGroup(id);
      looked += found.length;
      return found;
    },
  } as typeof estate;
  const of = (key: string): unknown => {
    const hosts = concernedHosts([key], view);
    return hosts === 'all' ? hosts : [...hosts];
  };
  assert.deepEqual(of(valueKey('groups', groupId(1))), ['h7']);
  assert.deepEqual(of(valueKey('groups', groupId(2))), ['h8', 'h7']);
  assert.equal(looked, 3);
  assert.deepEqual(of('names/vpc-1/web'), []);
  assert.deepEqual(of(valueKey('vpcs', DEFAULT_VPC.id)), 'all');
  await client.close();
});
