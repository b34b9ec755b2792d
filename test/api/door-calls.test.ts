/** What hosts that share a store ask for: with the key of a host, about that host alone, whatever they send. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import fc from 'fast-check';
import { doorActions } from '../../src/api/actions/door-calls.ts';
import { groupActions } from '../../src/api/actions/groups.ts';
import type { ApiKey } from '../../src/api/keys.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { DOOR_CALL_NAMES } from '../../src/estate/door-calls.ts';
import { createSubnet } from '../../src/estate/subnets.ts';
import { createVpc } from '../../src/estate/vpcs.ts';
import { change, context, take } from '../estate/world.ts';
import { makeManaged } from './actions.ts';
import { send, type Got, type Key } from './request.ts';
import { READER, startService, WRITER } from './service.ts';

const HOST_A: ApiKey = {
  ...READER,
  accessKeyId: 'AKIAHOSTAHOSTAHOST12',
  name: 'a',
  policy: 'host',
};
const HOST_B: ApiKey = { ...HOST_A, accessKeyId: 'AKIAHOSTBHOSTBHOST12', name: 'b' };
const ID = 'eni-00000000000000001';
const DEVICE = { kind: 'tun', name: 'eth0', mtu: 1500, configure: false, persist: false };
const WISH = {
  id: ID,
  owner: 'docker',
  device: DEVICE,
  addresses: ['172.31.0.9'],
  isLeased: true,
  securityGroups: ['default'],
  tags: [{ key: 'Name', value: 'web' }],
};
const CIDR = '172.31.0.0/20';

interface World {
  readonly client: EstateClient;
  readonly ask: (key: Key, name: string, body: unknown) => Promise<Got>;
  readonly port: number;
  /** An interface that may be made. */
  readonly wish: typeof WISH;
}

async function startWorld(t: TestContext): Promise<World> {
  const { client, managed } = await makeManaged(t);
  const group = await change(client, (edit) => {
    const vpc = take(createVpc(edit, { cidr: '172.31.0.0/16', ipv6: 'none', tags: [] }, context));
    const wish = { vpcId: vpc.id, cidr: CIDR, ipv6Cidr: undefined, zone: undefined, tags: [] };
    take(createSubnet(edit, wish, ['us-east-1a'], context));
    const { group } = edit.list('groups').find((one) => one.group.vpc.id === vpc.id)!;
    return { ok: true, value: group.id };
  });
  const { port } = await startService(t, {
    actions: [...doorActions(managed), ...groupActions(managed)],
    keys: [WRITER, READER, HOST_A, HOST_B],
  });
  const ask = (key: Key, name: string, body: unknown): Promise<Got> => {
    const headers = { 'content-type': 'application/x-amz-json-1.1' };
    const signed = { 'x-amz-target': `Secgroupd.${name}` };
    return send(port, key, { service: 'secgroupd', body: JSON.stringify(body), headers, signed });
  };
  return { client, ask, port, wish: { ...WISH, securityGroups: [group] } };
}

function valueOf({ status, body }: Got): unknown {
  assert.equal(status, 200, body);
  return (JSON.parse(body) as { readonly value: unknown }).value;
}

test("an interface comes and goes by a host's key, on the host that the key is named after", async (t) => {
  const { client, ask, wish } = await startWorld(t);
  const pool = valueOf(await ask(HOST_A, 'findSubnet', { params: { cidr: CIDR } }));
  const { router, vpc } = pool as { readonly router: string; readonly vpc: string };
  assert.equal(router, '172.31.0.1');
  const lease = { cidr: CIDR, owner: 'docker', address: '172.31.0.9' };
  const leased = await ask(HOST_A, 'leaseAddress', { params: lease });
  assert.deepEqual(valueOf(leased), { address: '172.31.0.9', leased: true });
  const release = { params: { owner: 'docker', vpcId: vpc, address: '172.31.0.9' } };
  assert.deepEqual(valueOf(await ask(HOST_B, 'releaseAddress', release)), { released: false });
  const stolen = await ask(HOST_B, 'addInterface', { params: wish });
  assert.match(stolen.body, /172\.31\.0\.9 is in use/);
  // What else is in the call counts for nothing.
  const added = await ask(HOST_A, 'addInterface', { params: { ...wish, host: 'b' }, host: 'b' });
  assert.deepEqual(valueOf(added), {});
  const { attachment, groupIds } = client.estate.interface(ID)!;
  assert.equal(attachment?.host, 'a');
  for (const [name, params] of [
    ['removeInterface', { id: ID }],
    ['setInterfaceGroups', { id: ID, securityGroups: groupIds }],
  ] as const) {
    const got = await ask(HOST_B, name, { params });
    assert.match(got.body, /eni-00000000000000001 is on the host a, and this one is b/);
  }
  assert.deepEqual(
    valueOf(await ask(HOST_B, 'reconcileInterfaces', { params: { owner: 'docker', keep: [] } })),
    { removed: [], left: 0 },
  );
  const now = client.estate.revisionOf(`desired/interfaces/${ID}`);
  const onlyIf = { id: ID, revision: now - 1 };
  valueOf(await ask(HOST_A, 'removeInterface', { params: { id: ID }, onlyIf }));
  assert.notEqual(client.estate.interface(ID), undefined, 'others have changed it since');
  const gone = await ask(HOST_A, 'removeInterface', { params: { id: ID }, onlyIf: { ...onlyIf, revision: now } }); // prettier-ignore
  assert.deepEqual(valueOf(gone), { removed: true });
  assert.equal(client.estate.interface(ID), undefined);
});

test("a host's key calls nothing else, and no other key calls this", async (t) => {
  const { ask, port } = await startWorld(t);
  for (const key of [WRITER, READER]) {
    const got = await ask(key, 'removeInterface', { params: { id: ID } });
    assert.equal(got.status, 403);
    assert.match(got.body, /AccessDeniedException/);
  }
  const body = 'Action=DescribeSecurityGroups&Version=2016-11-15';
  const got = await send(port, HOST_A, { body });
  assert.deepEqual([got.status, got.code], [403, 'UnauthorizedOperation']);
  assert.match(got.body, /may only ask for what the instances of its host need/);
});

test('whatever a host sends is answered, and changes nothing that is not its own', async (t) => {
  const { client, ask } = await startWorld(t);
  const words = fc.constantFrom(
    ...['id', 'owner', 'device', 'addresses', 'securityGroups', 'tags', 'keep', 'cidr', 'vpcId'],
    ...['address', 'attachment', 'interfaceId', 'isLeased', 'params', 'onlyIf', 'revision', 'mtu'],
  );
  const value = fc.oneof(
    fc.jsonValue({ maxDepth: 3 }),
    fc.constantFrom(ID, 'docker', CIDR, DEVICE, ['172.31.0.9'], ['default'], 1e300, -1, 'x\u0000'),
    fc.string({ minLength: 5000, maxLength: 5000 }),
  );
  const params = fc.dictionary(words, value, { maxKeys: 9 });
  const body = fc.oneof(
    fc.jsonValue(),
    fc.record({ params: fc.oneof(params, fc.record({ ...WISHES })) }),
  );
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...DOOR_CALL_NAMES), body, async (name, sent) => {
      const got = await ask(HOST_B, name, sent);
      assert.ok(got.status === 200 || got.status === 400, `${got.status} ${got.body}`);
      assert.doesNotMatch(got.body, /InternalServerError/);
    }),
    { numRuns: 300 },
  );
  for (const one of client.estate.list('interfaces')) assert.equal(one.attachment?.host, 'b');
});

/** Each member as it should be, or something else. */
const WISHES = Object.fromEntries(
  Object.entries(WISH).map(([key, right]) => [
    key,
    fc.oneof({ weight: 6, arbitrary: fc.constant(right) }, fc.jsonValue({ maxDepth: 2 })),
  ]),
);
