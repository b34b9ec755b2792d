/** What hosts hand over of an interface that moves, and what one takes that somebody else has written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pino } from 'pino';
import { Handover } from '../../src/daemon/handover.ts';
import type { Config } from '../../src/config/config.ts';
import { EstateFollower } from '../../src/estate/estate-follower.ts';
import { HostPart } from '../../src/estate/host-part.ts';
import { handoverRows, readHandover } from '../../src/estate/handover.ts';
import { handoverPrefix, valueKey } from '../../src/estate/keys.ts';
import { ReleasedAddresses } from '../../src/policy/released-addresses.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { DEFAULT_VPC } from '../estate/world.ts';
import { Memory, MemoryStore } from '../store/memory-store.ts';
import { openClient } from './estate-world.ts';

const ENI = 'eni-00000000000000001';
const FLOWS = { bytes: Buffer.from('flows'), flows: 1, leftOut: 0 };

test('a handover is whole, and of the move that is meant', () => {
  const bytes = Buffer.alloc(1_500_000, 7);
  const rows = handoverRows('a b', ENI, 3, bytes);
  assert.deepEqual(
    rows.map(({ key }) => key),
    ['00', '01', '02'].map((part) => `handover/a%20b/${ENI}/${part}`),
  );
  assert.deepEqual(readHandover(rows, 'a b', ENI, 3), bytes);
  assert.equal(readHandover(rows, 'a b', ENI, 4), undefined);
  assert.equal(readHandover([], 'a b', ENI, 3), undefined);
  assert.throws(
    () => readHandover(rows.slice(1), 'a b', ENI, 3),
    /handover\/a%20b\/.* is not whole/,
  );
  const forged = { key: 'k', value: '{"generation":3,"parts":1,"data":7}' };
  assert.throws(() => readHandover([forged], 'a', ENI, 3), /k.data is not a text/);
  assert.throws(() => handoverRows('a', ENI, 1, Buffer.alloc(10_000_000)), RangeError);
});

async function makeWorld(moved: { readonly from: string; readonly isHeld: boolean }, host = 'b') {
  const memory = new Memory();
  const api = await openClient(memory);
  const write = (isHeld: boolean): Promise<unknown> =>
    api.change((edit) => {
      edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
      writeAttached(edit, ENI, { device: 'eth0', host: 'b', address: '10.0.0.11', groupIds: [] });
      const value = edit.read('interfaces', ENI)!;
      const attachment = { ...value.attachment!, moved: { ...moved, isHeld } };
      edit.write('interfaces', ENI, { ...value, attachment, generation: 2 });
      return { ok: true, value: undefined };
    });
  await write(moved.isHeld);
  const store = new MemoryStore(memory);
  const log: string[] = [];
  const logger = pino(
    { base: null, timestamp: false },
    { write: (line: string) => log.push(line) },
  );
  const handover = new Handover({ store, host, log: logger });
  const scope = new HostPart('b');
  const follower = new EstateFollower({
    store,
    scope,
    onTrouble: (message) => assert.fail(message),
  });
  await follower.open();
  const end = async (): Promise<void> => {
    handover.stop();
    await follower.close();
    await api.close();
  };
  return { handover, estate: follower.estate, store, log, api, write, end };
}

const NONE = { interfaces: [] } as unknown as Config;
const COMING = {
  interfaces: [{ id: ENI, device: { origin: { file: 'api' } } }],
} as unknown as Config;

test('only the host that the interface came from is believed, and only of this move', async () => {
  const { handover, estate, store, end } = await makeWorld({ from: 'a', isHeld: false });
  const put = async (host: string, generation: number): Promise<void> => {
    for (const row of handoverRows(host, ENI, generation, FLOWS.bytes))
      await store.commit({ conditions: [], puts: [row], deletes: [] });
  };
  const said = async (): Promise<unknown> => {
    await handover.prepare(NONE, COMING, estate);
    const arrival = handover.arrivals.get(ENI);
    handover.arrivals.clear();
    return arrival;
  };
  const none = { generation: 2, flows: 0, refused: 0, why: 'a has handed over none' };
  assert.deepEqual(await said(), none);
  await put('c', 2);
  assert.deepEqual(await said(), none);
  await put('a', 1);
  assert.deepEqual(await said(), none);
  await put('a', 2);
  assert.equal(await said(), undefined);
  const [row] = handoverRows('a', ENI, 2, FLOWS.bytes);
  await store.commit({ conditions: [], puts: [{ ...row, value: '[' }], deletes: [] });
  assert.deepEqual(await said(), { ...none, why: `handover/a/${ENI}/00 is not JSON` });
  await end();
});

test('what was released since the interface was on its way is asked for, or all if that was not seen', async () => {
  for (const isSeen of [true, false]) {
    const { handover, estate, store, write, end } = await makeWorld({ from: 'a', isHeld: isSeen });
    for (const row of handoverRows('a', ENI, 2, FLOWS.bytes))
      await store.commit({ conditions: [], puts: [row], deletes: [] });
    const asked: number[] = [];
    const now = new ReleasedAddresses();
    const after = (revision: number): ReleasedAddresses => {
      asked.push(revision);
      return now;
    };
    if (isSeen) {
      await handover.prepare(NONE, NONE, estate, { now, after });
      const revision = estate.revisionOf(valueKey('interfaces', ENI));
      await write(false);
      while (estate.interface(ENI)?.attachment?.moved?.isHeld !== false) await nextTurn();
      await handover.prepare(NONE, COMING, estate, { now, after });
      assert.deepEqual(asked, [revision]);
    } else {
      await handover.prepare(NONE, COMING, estate, { now, after });
      assert.deepEqual(asked, [0]);
    }
    await end();
  }
});

test('flows go with an interface that was moved from here, and with no other', async () => {
  for (const [moved, host, isSent] of [
    [{ from: 'a', isHeld: true }, 'a', true],
    [{ from: 'a', isHeld: false }, 'a', false],
    [{ from: 'c', isHeld: true }, 'a', false],
  ] as const) {
    const { handover, estate, store, end } = await makeWorld(moved, host);
    const handing = (await handover.prepare(COMING, NONE, estate))!;
    handing.left.set(ENI, FLOWS);
    await handover.finish(handing, estate);
    const { rows } = await store.read(handoverPrefix(host));
    assert.deepEqual(readHandover(rows, host, ENI, 2), isSent ? FLOWS.bytes : undefined);
    await handover.start();
    assert.deepEqual((await store.read('handover/')).rows, []);
    await end();
  }
});

test('a host that may not write there says so, and the interface moves', async () => {
  const { handover, estate, store, log, end } = await makeWorld({ from: 'a', isHeld: true }, 'a');
  store.commit = () => Promise.reject(new Error('permission denied'));
  const handing = (await handover.prepare(COMING, NONE, estate))!;
  handing.left.set(ENI, FLOWS);
  await handover.finish(handing, estate);
  assert.match(
    log.join(''),
    /"why":"permission denied","msg":"the connections of an interface do not go with it"/,
  );
  await end();
});

test('what an earlier process has left is removed at the start, however much it is', async () => {
  const memory = new Memory();
  const store = new MemoryStore(memory);
  for (let i = 0; i < 200; i++) {
    const puts = handoverRows('b', `eni-${String(i).padStart(17, '0')}`, 1, Buffer.from('flows'));
    await store.commit({ conditions: [], puts, deletes: [] });
  }
  const [others] = handoverRows('a', ENI, 1, Buffer.from('flows'));
  await store.commit({ conditions: [], puts: [others], deletes: [] });
  const handover = new Handover({ store, host: 'b', log: pino({ enabled: false }) });
  await handover.start();
  const { rows } = await store.read('');
  assert.deepEqual(
    rows.map(({ key }) => key),
    [others.key],
  );
  await store.close();
});
