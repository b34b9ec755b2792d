/** Network interfaces as calls on the estate: addresses, groups, where they are attached, and two calls at once. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import { attachToInstance, detachInterface } from '../../src/estate/attach.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { createEstateGroup, deleteEstateGroup } from '../../src/estate/groups.ts';
import {
  assignAddresses,
  takeFromOthers,
  createInterface,
  deleteInterface,
  modifyInterface,
  unassignAddresses,
  type NewInterface,
} from '../../src/estate/interfaces.ts';
import { isRelease } from '../../src/estate/release-text.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import { createSubnet, deleteSubnet } from '../../src/estate/subnets.ts';
import { createTags, deleteTags } from '../../src/estate/tags.ts';
import { createVpc } from '../../src/estate/vpcs.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change, context, makeClients, refusalOf, take, putHost } from './world.ts';

interface World {
  readonly clients: readonly EstateClient[];
  readonly client: EstateClient;
  readonly vpcId: string;
  readonly subnetId: string;
}

/** A VPC with a subnet of eleven free addresses, and a host `here`. */
async function makeWorld(t: TestContext, count = 1): Promise<World> {
  const clients = await makeClients(t, count);
  const [client] = clients;
  await tellHost(client, 'here');
  const { id: vpcId } = await change(client, (edit) =>
    createVpc(edit, { cidr: '10.20.0.0/16', ipv6: 'none', tags: [] }, context),
  );
  const given = { vpcId, cidr: '10.20.1.0/28', ipv6Cidr: undefined, zone: undefined, tags: [] };
  const { id: subnetId } = await change(client, (edit) =>
    createSubnet(edit, given, ['us-east-1a'], context),
  );
  for (const other of clients) await other.reach(client.estate.revision, GUARD_MS);
  return { clients, client, vpcId, subnetId };
}

function tellHost(client: EstateClient, host: string): Promise<undefined> {
  return change(client, (edit) => {
    // It has whatever there is in force.
    putHost(edit, host, { revision: Number.MAX_SAFE_INTEGER });
    return { ok: true, value: undefined };
  });
}

const newInterface =
  ({ subnetId }: Pick<World, 'subnetId'>, more: Partial<NewInterface> = {}) =>
  (edit: Parameters<typeof createInterface>[0]) =>
    createInterface(
      edit,
      {
        subnetId,
        ipv4: { texts: [], count: 0 },
        ipv6: { texts: [], count: 0 },
        groupIds: [],
        description: '',
        sourceDestCheck: true,
        connectionTracking: undefined,
        tags: [],
        ...more,
      },
      context,
    );

const at = (...texts: readonly string[]): Partial<NewInterface> => ({ ipv4: { texts, count: 0 } });
const tagged = (tags: Readonly<Record<string, string>>): Partial<NewInterface> => ({
  tags: Object.entries(tags).map(([key, value]) => ({ key: `secgroupd:${key}`, value })),
});
const texts = ({ addresses }: EstateInterface): readonly string[] => addresses.map(formatAddress);

test('an interface gets the addresses it asks for, or a free one, and the default group', async (t) => {
  const world = await makeWorld(t);
  const { client, vpcId } = world;
  const first = await change(client, newInterface(world, at('10.20.1.4', '10.20.1.14')));
  assert.deepEqual(texts(first), ['10.20.1.4', '10.20.1.14']);
  assert.deepEqual(first.groupIds, [client.estate.groupByName(vpcId, 'default')?.group.id]);
  const refused = async (more: Partial<NewInterface>): Promise<string> =>
    refusalOf(await client.change(newInterface(world, more)));
  assert.equal(
    await refused(at('10.20.1.4')),
    'InvalidIPAddress.InUse: Address 10.20.1.4 is in use.',
  );
  assert.equal(
    await refused(at('10.20.1.5', '10.20.1.5')),
    'InvalidIPAddress.InUse: Address 10.20.1.5 is in use.',
  );
  for (const text of ['10.20.1.3', '10.20.1.15', '10.20.2.5', '10.20.1.16', '10.20.0.255'])
    assert.equal(
      await refused(at(text)),
      `InvalidParameterValue: Address ${text} does not fall within the subnet's address range`,
    );
  assert.match(await refused({ ipv6: { texts: [], count: 1 } }), /has no IPv6 CIDR block$/);
  for (let i = 0; i < 9; i++) await change(client, newInterface(world));
  assert.match(await refused({}), /^InsufficientFreeAddressesInSubnet: There are not enough free/);
  assert.equal(
    await refused({ ipv4: { texts: [], count: 51 } }),
    'PrivateIpAddressLimitExceeded: Number of private addresses will exceed limit.',
  );
  assert.equal(
    await refused({ ipv4: { texts: [], count: -1 } }),
    "InvalidParameterValue: There can't be -1 addresses",
  );
});

test('addresses are assigned and unassigned; the primary one stays', async (t) => {
  const world = await makeWorld(t);
  const { client, vpcId } = world;
  const { id } = await change(client, newInterface(world, at('10.20.1.4')));
  const { added } = await change(client, (edit) =>
    assignAddresses(edit, id, 4, { texts: ['10.20.1.9'], count: 1 }),
  );
  assert.equal(added.length, 2);
  const unassign = (...gone: readonly string[]) =>
    client.change((edit) => unassignAddresses(edit, id, 4, gone));
  assert.equal(
    refusalOf(await unassign('10.20.1.4')),
    'InvalidParameterValue: The primary private IP address 10.20.1.4 cannot be unassigned',
  );
  assert.equal(
    refusalOf(await unassign('10.20.1.200')),
    `InvalidParameterValue: Some of [10.20.1.200] are not assigned to interface ${id}`,
  );
  take(await unassign(...added.map(formatAddress)));
  const rows = client.estate.keysBelow(`addresses/${vpcId}/`);
  const held = rows.filter((key) => !isRelease(client.estate.textOf(key)));
  assert.deepEqual(held, [`addresses/${vpcId}/10.20.1.4`]);
  assert.equal(rows.length, 3);
});

test('an address is taken from another interface, unless it is the primary one', async (t) => {
  const world = await makeWorld(t);
  const { client, vpcId } = world;
  const one = await change(client, newInterface(world, at('10.20.1.4')));
  const two = await change(client, newInterface(world, at('10.20.1.5')));
  const assign = (id: string, ...wanted: readonly string[]) =>
    client.change((edit) => {
      const taken = takeFromOthers(edit, id, wanted);
      return taken.ok ? assignAddresses(edit, id, 4, { texts: wanted, count: 0 }) : taken;
    });
  take(await assign(one.id, '10.20.1.9'));
  take(await assign(two.id, '10.20.1.9', '10.20.1.10'));
  const held = (id: string) => texts(client.estate.interface(id)!);
  assert.deepEqual(held(one.id), ['10.20.1.4']);
  assert.deepEqual(held(two.id), ['10.20.1.5', '10.20.1.9', '10.20.1.10']);
  const row = client.estate.textOf(`addresses/${vpcId}/10.20.1.9`);
  assert.deepEqual(JSON.parse(row!), { interfaceId: two.id });
  assert.equal(
    refusalOf(await assign(two.id, '10.20.1.4')),
    'InvalidParameterValue: The primary private IP address 10.20.1.4 cannot be unassigned',
  );
  assert.deepEqual(held(one.id), ['10.20.1.4']);
});

test('groups of an interface are there, of its VPC, and stay while it has them', async (t) => {
  const world = await makeWorld(t);
  const { client, vpcId } = world;
  const make = async (where: string | undefined): Promise<string> => {
    const { group } = await change(client, (edit) =>
      createEstateGroup(edit, { vpcId: where, name: 'web', description: 'd', tags: [] }, context),
    );
    return group.id;
  };
  const [inside, outside] = [await make(vpcId), await make(undefined)];
  const { id } = await change(client, newInterface(world, { groupIds: [inside] }));
  const modify = (...groupIds: readonly string[]) =>
    client.change((edit) => modifyInterface(edit, id, { groupIds }, context));
  assert.equal(
    refusalOf(await modify(outside)),
    'InvalidGroup.NotFound: You have specified two resources that belong to different networks.',
  );
  assert.equal(
    refusalOf(await modify('sg-0123456789abcdef0')),
    "InvalidGroup.NotFound: The security group 'sg-0123456789abcdef0' does not exist",
  );
  assert.equal(
    refusalOf(await client.change((edit) => deleteEstateGroup(edit, inside))),
    `DependencyViolation: resource ${inside} has a dependent object`,
  );
  await change(client, (edit) => deleteInterface(edit, id));
  await change(client, (edit) => deleteEstateGroup(edit, inside));
});

test('tags attach an interface and detach it; what they say must be right', async (t) => {
  const world = await makeWorld(t);
  const { client } = world;
  const made = await change(
    client,
    newInterface(world, tagged({ netns: 'web', device: 'eth2', instance: 'i-1', mtu: '1400' })),
  );
  assert.deepEqual(
    [made.attachment?.host, made.attachment?.instanceId, made.attachment?.deviceIndex],
    ['here', 'i-1', 2],
  );
  assert.deepEqual(made.attachment?.device, {
    kind: 'tun',
    name: 'eth2',
    netns: 'web',
    mtu: 1400,
    configure: true,
    persist: false,
  });
  const refused = async (tags: Readonly<Record<string, string>>): Promise<string> =>
    refusalOf(await client.change(newInterface(world, tagged(tags))));
  assert.equal(
    await refused({ netns: 'web', device: 'eth2' }),
    `InvalidParameterValue: The device eth2 in web is that of ${made.id}`,
  );
  assert.equal(
    await refused({ netns: 'db', host: 'there' }),
    "InvalidParameterValue: No secgroupd that has this store runs on the host 'there'",
  );
  assert.equal(
    await refused({ netns: 'db', nets: 'x' }),
    'InvalidParameterValue: There is no tag secgroupd:nets',
  );
  assert.equal(
    await refused({ netns: 'db', mtu: '12' }),
    'InvalidParameterValue: Value (12) for the tag secgroupd:mtu is invalid',
  );
  await change(client, (edit) => deleteTags(edit, [made.id], [{ key: 'secgroupd:mtu' }]));
  assert.equal(client.estate.interface(made.id)?.attachment?.device.mtu, 1500);
  const places = [{ key: 'secgroupd:device' }, { key: 'secgroupd:netns' }];
  await change(client, (edit) => deleteTags(edit, [made.id], places));
  assert.equal(client.estate.interface(made.id)?.attachment, undefined);
  await tellHost(client, 'there');
  const again = [{ key: 'secgroupd:netns', value: 'web' }];
  assert.equal(
    refusalOf(await client.change((edit) => createTags(edit, [made.id], again))),
    'InvalidParameterValue: The interface says its device, and not its host',
  );
});

test('a call attaches an interface beside the others of an instance', async (t) => {
  const world = await makeWorld(t);
  const { client } = world;
  await change(client, newInterface(world, tagged({ netns: 'web', instance: 'i-1' })));
  const { id } = await change(client, newInterface(world));
  const attach = (instanceId: string, index: number) =>
    client.change((edit) => attachToInstance(edit, id, instanceId, index, context));
  assert.equal(
    refusalOf(await attach('i-2', 1)),
    "InvalidInstanceID.NotFound: The instance ID 'i-2' does not exist",
  );
  assert.equal(
    refusalOf(await attach('i-1', 0)),
    "InvalidParameterValue: Instance 'i-1' already has an interface attached at device index '0'.",
  );
  const { attachment } = take(await attach('i-1', 1)).value;
  assert.deepEqual(
    [attachment?.host, attachment?.device.netns, attachment?.device.name, attachment?.isByTags],
    ['here', 'web', 'eth1', false],
  );
  const inUse = `InvalidNetworkInterface.InUse: Network interface '${id}' is currently in use.`;
  assert.equal(refusalOf(await attach('i-1', 2)), inUse);
  assert.equal(refusalOf(await client.change((edit) => deleteInterface(edit, id))), inUse);
  await change(client, (edit) => detachInterface(edit, attachment!.id));
  assert.equal(
    refusalOf(await client.change((edit) => detachInterface(edit, attachment!.id))),
    `InvalidAttachmentID.NotFound: The attachment '${attachment!.id}' does not exist`,
  );
  await change(client, (edit) => deleteInterface(edit, id));
});

test('of two who ask for one address at once, one gets it', async (t) => {
  const world = await makeWorld(t, 2);
  const { clients } = world;
  const done = await Promise.all(
    clients.map((client) => client.change(newInterface(world, at('10.20.1.7')))),
  );
  assert.equal(done.filter(({ ok }) => ok).length, 1);
  assert.equal(
    refusalOf(done.find(({ ok }) => !ok)!),
    'InvalidIPAddress.InUse: Address 10.20.1.7 is in use.',
  );
});

test('of two who ask for one device at once, one gets it', async (t) => {
  const world = await makeWorld(t, 2);
  const { clients } = world;
  const ids = [
    (await change(clients[0], newInterface(world))).id,
    (await change(clients[0], newInterface(world))).id,
  ];
  await clients[1].reach(clients[0].estate.revision, GUARD_MS);
  const tags = [{ key: 'secgroupd:netns', value: 'same' }];
  const done = await Promise.all(
    clients.map((client, i) => client.change((edit) => createTags(edit, [ids[i]], tags))),
  );
  assert.equal(done.filter(({ ok }) => ok).length, 1);
  const loser = done.findIndex(({ ok }) => !ok);
  assert.equal(
    refusalOf(done[loser]),
    `InvalidParameterValue: The device eth0 in same is that of ${ids[1 - loser]}`,
  );
});

test('an interface comes, or its subnet or group goes', async (t) => {
  const world = await makeWorld(t, 2);
  const { clients, vpcId } = world;
  for (let round = 0; round < 8; round++) {
    const [one, other] = round % 2 === 0 ? clients : [clients[1], clients[0]];
    const cidr = `10.20.${2 + round}.0/24`;
    const given = { vpcId, cidr, ipv6Cidr: undefined, zone: undefined, tags: [] };
    const subnet = await change(clients[0], (edit) =>
      createSubnet(edit, given, ['us-east-1a'], context),
    );
    const { group } = await change(clients[0], (edit) =>
      createEstateGroup(edit, { vpcId, name: 'web', description: 'd', tags: [] }, context),
    );
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    const [deleted, made] = await both(
      round % 2 === 0,
      () =>
        one.change<unknown>((edit) =>
          round < 4 ? deleteSubnet(edit, subnet.id) : deleteEstateGroup(edit, group.id),
        ),
      () => other.change(newInterface({ subnetId: subnet.id }, { groupIds: [group.id] })),
    );
    assert.notEqual(deleted.ok, made.ok, `one of the two in round ${round}`);
    await Promise.all(clients.map((client) => client.reach(newest(clients), GUARD_MS)));
    if (made.ok) await change(one, (edit) => deleteInterface(edit, made.value.value.id));
    if (round < 4 || made.ok) await change(one, (edit) => deleteEstateGroup(edit, group.id));
    await Promise.all(clients.map((client) => client.reach(newest(clients), GUARD_MS)));
  }
});

function newest(clients: readonly EstateClient[]): number {
  return Math.max(...clients.map(({ estate }) => estate.revision));
}

/** Starts both at once, the first or the second one first. */
async function both<A, B>(
  isInOrder: boolean,
  first: () => Promise<A>,
  second: () => Promise<B>,
): Promise<readonly [A, B]> {
  if (isInOrder) return Promise.all([first(), second()]);
  const later = second();
  return Promise.all([first(), later]);
}

test('an attachment is taken back though others come meanwhile', async (t) => {
  const world = await makeWorld(t);
  const { client } = world;
  const first = take(await client.change(newInterface(world, tagged({ netns: 'web' }))));
  const second = await change(client, newInterface(world, tagged({ netns: 'db' })));
  assert.ok(await client.takeBack(first.edit!, first.revision));
  const left = client.estate.list('interfaces').map(({ id }) => id);
  assert.deepEqual(left, [second.id]);
});

test('a host that says an interface waits is asked about interfaces that were attached', async (t) => {
  const world = await makeWorld(t);
  const { client } = world;
  const { value, edit } = take(await client.change(newInterface(world, tagged({ netns: 'web' }))));
  assert.equal(client.whyNotAttached(edit!), undefined);
  await change(client, (one) => {
    const leftOut = { [value.id]: 'no such namespace' };
    putHost(one, 'here', { revision: 9, leftOut });
    return { ok: true, value: undefined };
  });
  assert.equal(
    client.whyNotAttached(edit!),
    `${value.id} is not in force on here: no such namespace`,
  );
  const other = take(
    await client.change((one) => modifyInterface(one, value.id, { description: 'x' }, context)),
  );
  assert.equal(client.whyNotAttached(other.edit!), undefined, 'it attached nothing');
});

test('the tag that has it audit leaves an interface where it is, and is true or false', async (t) => {
  const world = await makeWorld(t);
  const { client } = world;
  const made = await change(
    client,
    newInterface(world, tagged({ netns: 'web', device: 'eth0', audit: 'true' })),
  );
  const audit = (value: string) => client.change((edit) => createTags(edit, [made.id], [{ key: 'secgroupd:audit', value }])); // prettier-ignore
  take(await audit('false'));
  take(await client.change((edit) => deleteTags(edit, [made.id], [{ key: 'secgroupd:audit' }])));
  assert.deepEqual(client.estate.interface(made.id)?.attachment, made.attachment);
  const sentence = 'InvalidParameterValue: Value (on) for the tag secgroupd:audit is invalid';
  assert.equal(refusalOf(await audit('on')), sentence);
  assert.equal(refusalOf(await client.change(newInterface(world, tagged({ audit: 'on' })))), sentence); // prettier-ignore
  assert.equal(
    refusalOf(await client.change(newInterface(world, tagged({ audits: 'true' })))),
    'InvalidParameterValue: There is no tag secgroupd:audits',
  );
});
