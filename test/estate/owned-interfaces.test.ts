/** Interfaces that somebody asks a daemon for: calls that can be made again, and whose they are. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import { detachInterface } from '../../src/estate/attach.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { createEstateGroup } from '../../src/estate/groups.ts';
import {
  deleteInterface,
  modifyInterface,
  unassignAddresses,
} from '../../src/estate/interfaces.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import {
  addOwnedInterface,
  ownedInterfaces,
  reconcileOwned,
  removeOwnedInterface,
  setOwnedGroups,
  type OwnedInterface,
} from '../../src/estate/owned-interfaces.ts';
import { createTags } from '../../src/estate/tags.ts';
import { stableId } from '../../src/policy/ids.ts';
import { change, context, DEFAULT_VPC, makeClients, refusalOf } from './world.ts';

const ID = stableId('eni', 'docker', 'one');
const DEVICE = {
  kind: 'tun',
  name: 'sg1',
  netns: '/proc/7/ns/net',
  mtu: 1500,
  configure: true,
  persist: false,
} as const;

class Door {
  readonly client: EstateClient;
  readonly webId: string;

  private constructor(client: EstateClient, webId: string) {
    this.client = client;
    this.webId = webId;
  }

  static async open(t: TestContext): Promise<Door> {
    const [client] = await makeClients(t);
    const { group } = await change(client, (edit) =>
      createEstateGroup(
        edit,
        { vpcId: undefined, name: 'web', description: 'd', tags: [] },
        context,
      ),
    );
    return new Door(client, group.id);
  }

  wish(given: Partial<OwnedInterface> = {}): OwnedInterface {
    return {
      id: ID,
      owner: 'docker',
      host: 'h',
      device: DEVICE,
      addresses: ['10.77.0.2', 'fd77::2'],
      securityGroups: ['web'],
      tags: [],
      ...given,
    };
  }

  add(given: Partial<OwnedInterface> = {}): Promise<EstateInterface> {
    return change(this.client, (edit) => addOwnedInterface(edit, this.wish(given), context));
  }

  async refuse(given: Partial<OwnedInterface>): Promise<string> {
    const wish = this.wish(given);
    return refusalOf(await this.client.change((edit) => addOwnedInterface(edit, wish, context)));
  }

  async setGroups(...groups: readonly string[]): Promise<string> {
    const done = await this.client.change((edit) => setOwnedGroups(edit, ID, 'h', groups, context));
    return done.ok ? done.value.value.groupIds.join(' ') : refusalOf(done);
  }
}

test('an interface is added, and the same again is the same', async (t) => {
  const door = await Door.open(t);
  const one = await door.add();
  assert.deepEqual(one.addresses.map(formatAddress), ['10.77.0.2', 'fd77::2']);
  assert.deepEqual(
    [one.subnetId, one.owner, one.vpcId, one.groupIds, one.attachment?.device],
    [undefined, 'docker', DEFAULT_VPC.id, [door.webId], DEVICE],
  );
  assert.deepEqual(door.client.estate.interface(ID), one);
  const { revision } = door.client.estate;
  assert.deepEqual(await door.add(), one);
  assert.deepEqual(await door.add({ securityGroups: [door.webId] }), one);
  assert.equal(door.client.estate.revision, revision);
});

test('another body under the same id is refused with what differs', async (t) => {
  const door = await Door.open(t);
  const tags = [{ key: 'a', value: 'b' }];
  await door.add({ tags });
  const cases: readonly (readonly [Partial<OwnedInterface>, string])[] = [
    [{ owner: 'cni' }, 'owner: it has docker, not cni'],
    [{ host: 'g' }, 'host: it has h, not g'],
    [{ addresses: ['10.77.0.3'] }, 'addresses: it has 10.77.0.2, fd77::2, not 10.77.0.3'],
    [{ tags: [] }, 'tags: it has a=b, not none'],
    [
      { device: { ...DEVICE, name: 'sg2', mtu: 1400 } },
      'device.name: it has sg1, not sg2; device.mtu: it has 1500, not 1400',
    ],
    [
      { device: { ...DEVICE, netns: undefined, configure: false } },
      'device.netns: it has /proc/7/ns/net, not none; device.configure: it has true, not false',
    ],
  ];
  for (const [given, what] of cases)
    assert.equal(
      await door.refuse({ tags, ...given }),
      `IdempotentParameterMismatch: ${ID} is there already, and differs in ${what}`,
    );
});

test('what can not be is refused, and no group is ever guessed', async (t) => {
  const door = await Door.open(t);
  const cases: readonly (readonly [Partial<OwnedInterface>, string])[] = [
    [{ id: 'web' }, "InvalidID: 'web' is no id of an interface"],
    [{ addresses: [] }, 'MissingParameter: The request must contain the parameter addresses'],
    [{ addresses: ['10.77.0'] }, "InvalidParameterValue: '10.77.0' is not an IP address"],
    [
      { addresses: ['127.0.0.1'] },
      'InvalidParameterValue: 127.0.0.1 is a loopback address, not an address of a host',
    ],
    [
      { addresses: ['10.77.0.2', '10.77.0.2'] },
      'InvalidParameterValue: The address 10.77.0.2 is there twice',
    ],
    [
      { securityGroups: [] },
      'MissingParameter: The request must contain the parameter securityGroups',
    ],
    [{ securityGroups: ['wbe'] }, "InvalidGroup.NotFound: The security group 'wbe' does not exist"],
    [
      { securityGroups: ['sg-0000000000000ffff'] },
      "InvalidGroup.NotFound: The security group 'sg-0000000000000ffff' does not exist",
    ],
    [
      { device: { ...DEVICE, name: 'a/b' } },
      "InvalidParameterValue: the device name 'a/b' has a character Linux does not take",
    ],
    [
      { device: { ...DEVICE, netns: 'a/b' } },
      "InvalidParameterValue: 'a/b' is neither the name of a namespace nor a path",
    ],
    [
      { tags: [{ key: 'secgroupd:device', value: 'a' }] },
      'InvalidParameterValue: The tag secgroupd:device is for calls of the EC2 API',
    ],
  ];
  for (const [given, answer] of cases) assert.equal(await door.refuse(given), answer);
  await door.add();
  const id = stableId('eni', 'docker', 'other');
  assert.equal(
    await door.refuse({ id, device: { ...DEVICE, name: 'sg2' } }),
    'InvalidIPAddress.InUse: Address 10.77.0.2 is in use.',
  );
  assert.equal(
    await door.refuse({ id, addresses: ['10.77.0.9'] }),
    `InvalidParameterValue: The device sg1 in /proc/7/ns/net is that of ${ID}`,
  );
});

test('calls of the EC2 API change its groups and tags, and leave it where it is', async (t) => {
  const door = await Door.open(t);
  const { client } = door;
  const one = await door.add();
  const owned = `OperationNotPermitted: ${ID} belongs to docker, which alone may detach it or change its addresses`;
  assert.equal(
    refusalOf(await client.change((edit) => detachInterface(edit, one.attachment?.id ?? ''))),
    owned,
  );
  assert.equal(
    refusalOf(await client.change((edit) => unassignAddresses(edit, ID, 6, ['fd77::2']))),
    owned,
  );
  assert.equal(
    refusalOf(await client.change((edit) => deleteInterface(edit, ID))),
    `InvalidNetworkInterface.InUse: Network interface '${ID}' is currently in use.`,
  );
  await change(client, (edit) => createTags(edit, [ID], [{ key: 'Name', value: 'a' }]));
  await change(client, (edit) => modifyInterface(edit, ID, { description: 'x' }, context));
  assert.equal(client.estate.interface(ID)?.owner, 'docker');
});

test('its owner’s host removes it, and what is gone is gone', async (t) => {
  const door = await Door.open(t);
  const { client } = door;
  await door.add();
  assert.equal(
    refusalOf(await client.change((edit) => removeOwnedInterface(edit, ID, 'g'))),
    `OperationNotPermitted: ${ID} is on the host h, and this one is g`,
  );
  assert.equal((await change(client, (edit) => removeOwnedInterface(edit, ID, 'h')))?.id, ID);
  assert.equal(await change(client, (edit) => removeOwnedInterface(edit, ID, 'h')), undefined);
  // Its addresses are free again.
  await door.add();
  const { owner: _, ...notOwned } = client.estate.interface(ID)!;
  await change(client, (edit) => {
    edit.write('interfaces', ID, notOwned);
    return { ok: true, value: undefined };
  });
  assert.equal(
    refusalOf(await client.change((edit) => removeOwnedInterface(edit, ID, 'h'))),
    `OperationNotPermitted: A call of the EC2 API made ${ID}`,
  );
});

test('groups are set by names or ids', async (t) => {
  const door = await Door.open(t);
  await door.add();
  const { estate } = door.client;
  const defaultId = estate.groupByName(DEFAULT_VPC.id, 'default')!.group.id;
  assert.equal(await door.setGroups('default', 'WEB'), `${defaultId} ${door.webId}`);
  const { revision } = estate;
  await door.setGroups(door.webId, 'default');
  assert.equal(estate.revision, revision);
  assert.equal(
    await door.setGroups('db'),
    "InvalidGroup.NotFound: The security group 'db' does not exist",
  );
  assert.equal(
    await door.setGroups(),
    'MissingParameter: The request must contain the parameter securityGroups',
  );
});

test('an owner keeps some of its interfaces on its host, and the rest goes in portions', async (t) => {
  const door = await Door.open(t);
  const { client } = door;
  const add = async (n: number, given: Partial<OwnedInterface> = {}): Promise<string> => {
    const id = stableId('eni', 'docker', String(n));
    const device = { ...DEVICE, name: `sg${n}` };
    await door.add({ id, device, addresses: [`10.77.1.${n + 1}`], ...given });
    return id;
  };
  const mine: string[] = [];
  for (let n = 0; n < 60; n++) mine.push(await add(n));
  const theirs = await add(60, { owner: 'cni' });
  const elsewhere = await add(61, { host: 'g' });
  const ids = (owner?: string, host = 'h'): readonly string[] =>
    ownedInterfaces(client.estate, host, owner)
      .map(({ id }) => id)
      .toSorted();
  assert.deepEqual(ids('docker'), mine.toSorted());
  assert.equal(ids().length, 61);
  const reconcile = async (): Promise<readonly [number, number]> => {
    const { removed, left } = await change(client, (edit) =>
      reconcileOwned(edit, 'h', 'docker', [mine[3], theirs]),
    );
    return [removed.length, left];
  };
  assert.deepEqual(await reconcile(), [25, 34]);
  assert.deepEqual(await reconcile(), [25, 9]);
  assert.deepEqual(await reconcile(), [9, 0]);
  assert.deepEqual(ids(), [mine[3], theirs].toSorted());
  assert.deepEqual(ids('docker', 'g'), [elsewhere]);
  assert.deepEqual(await reconcile(), [0, 0]);
});

test('an interface whose attachment would have the id of another one is refused', async (t) => {
  const door = await Door.open(t);
  const one = await door.add();
  const other = 'eni-00000000000000009';
  await change(door.client, (edit) => {
    const attachment = { ...one.attachment!, id: 'eni-attach-00000000000000009' };
    edit.write('interfaces', ID, { ...one, attachment });
    return { ok: true, value: undefined };
  });
  const refusal = await door.refuse({
    id: other,
    addresses: ['10.77.0.9'],
    device: { ...DEVICE, name: 'sg9' },
  });
  assert.match(refusal, /The attachment eni-attach-00000000000000009 is that of eni-/);
});
