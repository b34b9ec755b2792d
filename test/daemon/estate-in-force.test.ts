/** What of an estate is not in force, and why, is told as it is now: in the status, in metrics and in the store. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { change } from '../estate/world.ts';
import { startEstateWorld, type EstateWorld } from './estate-world.ts';
import { writeAttached } from '../estate/write-interface.ts';

const ID = 'eni-00000000000000001';
const FILE = `
securityGroups: { web: {} }
interfaces:
  a: { device: { name: dev-a }, addresses: [10.0.0.1], securityGroups: [web] }
`;
const OTHER = 'b: { device: { name: dev-b }, addresses: [10.0.0.7], securityGroups: [web] }';

function attach(world: EstateWorld): Promise<void> {
  const [groupId] = [...world.daemon.config.model.groups.values()].map(({ id }) => id);
  return change(world.client, (edit) => {
    writeAttached(edit, ID, { device: 'dev-x', address: '10.0.0.7', groupIds: [groupId] });
    return { ok: true, value: undefined };
  });
}

/** Waits until status, metric and store agree that this alone is not in force; undefined: all is. */
async function untilTold(
  { inForce, client, until }: EstateWorld,
  reason: string | undefined,
): Promise<void> {
  const told = (): string | undefined => client.estate.applied().get('here')?.leftOut?.[ID];
  await until(() => told() === reason, `the store has ${reason}`);
  assert.deepEqual(inForce.status().notInForce, reason === undefined ? [] : [{ id: ID, reason }]);
  assert.equal(inForce.counts.notInForce, reason === undefined ? 0 : 1);
}

test('a device that comes and goes is told without a further revision', async (t) => {
  const world = await startEstateWorld(t, FILE, {
    prepare: ({ refused }) => void refused.set('dev-x', 'ENODEV'),
  });
  await attach(world);
  await untilTold(world, 'it waits for its device dev-x: ENODEV: no dev-x');
  const { contentRevision } = world.client.estate;
  world.devices.refused.delete('dev-x');
  await untilTold(world, undefined);
  world.devices.refused.set('dev-x', 'ENXIO');
  world.devices.lose('dev-x');
  await untilTold(world, 'it waits for its device dev-x: ENXIO: no dev-x');
  world.devices.refused.delete('dev-x');
  await untilTold(world, undefined);
  assert.equal(world.client.estate.contentRevision, contentRevision);
});

test('what a file kept out is told to be in force as soon as the file lets it', async (t) => {
  const world = await startEstateWorld(t, `${FILE}  ${OTHER}\n`);
  await attach(world);
  await untilTold(world, 'the interface b has one of its addresses');
  await world.inForce.reload(world.load(FILE));
  assert.equal(world.client.estate.applied().get('here')?.leftOut, undefined);
  await untilTold(world, undefined);
  assert.ok(world.daemon.config.model.interfaces.has(ID));
});
