/** What calls of the EC2 API have told of an interface. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toldOfInterface } from '../../src/daemon/told-of-interface.ts';

type InForce = Parameters<typeof toldOfInterface>[0];

/** A store of which only what is asked for is there. */
function inForce(one: unknown, subnet?: unknown): InForce {
  const estate = { interface: () => one, find: () => subnet };
  return { tagsOf: () => ({ Name: 'web' }), estate } as unknown as InForce;
}

test('an instance, a subnet and a zone are told where a call said them', () => {
  const attachment = { instanceId: 'i-00000000000000077', deviceIndex: 1 };
  assert.deepEqual(
    toldOfInterface(
      inForce({ attachment, subnetId: 'subnet-1' }, { id: 'subnet-1', zone: 'eu-central-1b' }),
      'eni-1',
    ),
    { tags: { Name: 'web' }, ...attachment, subnetId: 'subnet-1', zone: 'eu-central-1b' },
  );
  assert.deepEqual(toldOfInterface(inForce({ subnetId: 'subnet-1' }), 'eni-1'), {
    tags: { Name: 'web' },
  });
  assert.deepEqual(toldOfInterface(inForce(undefined), 'eni-1'), { tags: { Name: 'web' } });
  assert.deepEqual(toldOfInterface(undefined, 'eni-1'), { tags: {} });
});
