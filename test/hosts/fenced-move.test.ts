/** A move away from a host that does not answer: what it waits for, by what that host has said of itself. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { ALIVE_TTL_SEC } from '../../src/estate/host-rows.ts';
import { aliveKey, appliedKey } from '../../src/estate/keys.ts';
import type { AppliedState } from '../../src/estate/model.ts';
import { encodeAlive, encodeApplied } from '../../src/estate/rows.ts';
import { forgetHost, ForgetError } from '../../src/hosts/forget-host.ts';
import { moveInterface, MoveError, type MoveResult } from '../../src/hosts/move-interface.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { ALIVE, change, makeClients, putHost } from '../estate/world.ts';

const ENI = 'eni-00000000000000001';
const WAIT_MS = 300;
const FENCING = { revision: 0, fence: 'lease' } as const;

/** `a` has the interface; `b` puts whatever it is told in force at once. */
async function makeWorld(t: TestContext, a: AppliedState): Promise<EstateClient> {
  const [client, other] = await makeClients(t, 2);
  await change(client, (edit) => {
    putHost(edit, 'a', a);
    edit.put(aliveKey('a'), encodeAlive({ ...ALIVE, ttlSec: 1 }));
    putHost(edit, 'b', { revision: 0 });
    writeAttached(edit, ENI, { device: 'eth0', host: 'a', netns: 'web', address: '10.0.0.11', groupIds: [] });
    return { ok: true, value: undefined };
  }); // prettier-ignore
  let told = 0;
  other.listen(() => {
    const { contentRevision } = other.estate;
    if (contentRevision <= told) return;
    told = contentRevision;
    void put(other, appliedKey('b'), encodeApplied({ revision: contentRevision }));
  });
  return client;
}

function put({ store }: EstateClient, key: string, value: string): Promise<unknown> {
  return store.commit({ conditions: [], puts: [{ key, value }], deletes: [] });
}

function remove({ store }: EstateClient, key: string): Promise<unknown> {
  return store.commit({ conditions: [], puts: [], deletes: [key] });
}

function move(client: EstateClient): Promise<MoveResult> {
  const wish = { interfaceId: ENI, host: 'b', device: undefined, netns: undefined };
  return moveInterface(client, { ...wish, waitMs: WAIT_MS });
}

function ownerOf({ estate }: EstateClient): readonly unknown[] {
  const { attachment } = estate.interface(ENI)!;
  return [attachment!.host, attachment!.moved?.isHeld];
}

test('a host that does not fence may have it still, which is said', async (t) => {
  const client = await makeWorld(t, { revision: 0 });
  await remove(client, aliveKey('a'));
  const { isGivenUp, isFenced } = await move(client);
  assert.deepEqual([isGivenUp, isFenced], [false, undefined]);
});

test('a host that fences and is gone has given it up', async (t) => {
  const client = await makeWorld(t, FENCING);
  await remove(client, aliveKey('a'));
  const { isGivenUp, isFenced } = await move(client);
  assert.deepEqual([isGivenUp, isFenced], [true, true]);
  assert.deepEqual(ownerOf(client), ['b', false]);
});

test('it is waited for until its lease is over, and meanwhile nobody opens the interface', async (t) => {
  const client = await makeWorld(t, FENCING);
  const moving = move(client);
  await sleep(4 * WAIT_MS);
  assert.deepEqual(ownerOf(client), ['b', true]);
  await remove(client, aliveKey('a'));
  assert.equal((await moving).isFenced, true);
});

test('one that is back before the interface is given on has to say so itself', async (t) => {
  const client = await makeWorld(t, FENCING);
  await remove(client, aliveKey('a'));
  const moving = move(client);
  await sleep(WAIT_MS);
  await put(client, aliveKey('a'), encodeAlive(ALIVE));
  // Longer than a host has to be gone for.
  await sleep(1000 * ALIVE_TTL_SEC + 1500);
  assert.deepEqual(ownerOf(client), ['b', true]);
  await put(client, appliedKey('a'), encodeApplied({ ...FENCING, revision: client.estate.contentRevision })); // prettier-ignore
  const { isGivenUp, isFenced } = await moving;
  assert.deepEqual([isGivenUp, isFenced], [true, undefined]);
});

test('one that fences and lives keeps it', async (t) => {
  const client = await makeWorld(t, FENCING);
  await assert.rejects(move(client), (error: unknown) => {
    assert.ok(error instanceof MoveError);
    assert.equal(error.message, `a lives, and has not given ${ENI} up; it was given back to a`);
    return true;
  });
  assert.deepEqual(ownerOf(client), ['a', undefined]);
});

test('one that fences is not forgotten while it lives', async (t) => {
  const client = await makeWorld(t, FENCING);
  for (const force of [false, true])
    await assert.rejects(forgetHost(client, { host: 'a', force }), (error: unknown) => {
      assert.ok(error instanceof ForgetError);
      assert.match(error.message, /^the host a lives, and forwards; /);
      return true;
    });
  await remove(client, aliveKey('a'));
  const { fence, interfaces } = await forgetHost(client, { host: 'a', force: false });
  assert.deepEqual([fence, interfaces], ['lease', [ENI]]);
});
