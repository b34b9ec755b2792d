/** Interfaces that calls made, attached for an owner: who has one, and what others may do meanwhile. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import {
  attachForOwner,
  detachForOwner,
  detachInterface,
  type OwnedAttachment,
} from '../../src/estate/attach.ts';
import { ownAttachment } from '../../src/estate/attachments.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import {
  assignAddresses,
  createInterface,
  deleteInterface,
  modifyInterface,
} from '../../src/estate/interfaces.ts';
import type { EstateInterface } from '../../src/estate/model.ts';
import {
  ownedInterfaces,
  reconcileOwned,
  removeOwnedInterface,
} from '../../src/estate/owned-interfaces.ts';
import { createSubnet } from '../../src/estate/subnets.ts';
import { createTags } from '../../src/estate/tags.ts';
import { createVpc } from '../../src/estate/vpcs.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change, context, makeClients, refusalOf, putHost } from './world.ts';

const DEVICE = {
  kind: 'tun',
  name: 'eth0',
  netns: '/run/netns/c1',
  mtu: 1500,
  configure: true,
  persist: true,
} as const;
const ATTACHMENT = 'eni-attach-00000000000000001';
const OTHER = 'eni-attach-00000000000000002';

class World {
  readonly client: EstateClient;
  readonly other: EstateClient;
  readonly id: string;

  private constructor(client: EstateClient, other: EstateClient, id: string) {
    this.client = client;
    this.other = other;
    this.id = id;
  }

  static async open(t: TestContext): Promise<World> {
    const [client, other] = await makeClients(t, 2);
    await change(client, (edit) => {
      putHost(edit, 'h', { revision: 1 });
      return { ok: true, value: undefined };
    });
    const { id: vpcId } = await change(client, (edit) =>
      createVpc(edit, { cidr: '10.20.0.0/16', ipv6: 'none', tags: [] }, context),
    );
    const given = { vpcId, cidr: '10.20.1.0/24', ipv6Cidr: undefined, zone: undefined, tags: [] };
    const { id: subnetId } = await change(client, (edit) =>
      createSubnet(edit, given, ['us-east-1a'], context),
    );
    const none = { texts: [], count: 0 };
    const { id } = await change(client, (edit) =>
      createInterface(
        edit,
        {
          ...{ subnetId, ipv4: { texts: ['10.20.1.40'], count: 0 }, ipv6: none, groupIds: [] },
          ...{ description: '', sourceDestCheck: true, connectionTracking: undefined, tags: [] },
        },
        context,
      ),
    );
    await other.reach(client.estate.revision, GUARD_MS);
    return new World(client, other, id);
  }

  wish(given: Partial<OwnedAttachment> = {}): OwnedAttachment {
    const asked = { interfaceId: this.id, id: ATTACHMENT, owner: 'cni.vpc', host: 'h' };
    return { ...asked, device: DEVICE, addresses: undefined, abandoned: undefined, ...given };
  }

  attach(given: Partial<OwnedAttachment> = {}): Promise<EstateInterface> {
    return change(this.client, (edit) => attachForOwner(edit, this.wish(given)));
  }

  async refuse(
    given: Partial<OwnedAttachment> = {},
  ): Promise<readonly [string, string | undefined]> {
    const done = await this.client.change((edit) => attachForOwner(edit, this.wish(given)));
    return [refusalOf(done), done.ok ? undefined : done.refusals[0].hint];
  }

  detach(id = ATTACHMENT, host = 'h'): Promise<EstateInterface | undefined> {
    return change(this.client, (edit) => detachForOwner(edit, id, host));
  }
}

test('an interface is attached once, the same again is the same, and detached twice', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  const { attachment, owner } = await world.attach({ addresses: ['10.20.1.40'] });
  assert.deepEqual(
    { ...attachment, attachedAt: '' },
    {
      ...{ id: ATTACHMENT, owner: 'cni.vpc', host: 'h', device: DEVICE, attachedAt: '' },
      ...{ instanceId: 'i-00000000000000001', deviceIndex: 0, isByTags: false },
    },
  );
  assert.equal(owner, undefined);
  const { revision } = client.estate;
  await world.attach();
  assert.equal(client.estate.revision, revision);
  assert.deepEqual(
    ownedInterfaces(client.estate, 'h', 'cni.vpc').map((one) => one.id),
    [id],
  );
  // A late request about another container, or of another host, takes it from nobody.
  assert.equal(await world.detach(OTHER), undefined);
  assert.equal(await world.detach(ATTACHMENT, 'g'), undefined);
  assert.equal((await world.detach())?.attachment, undefined);
  assert.equal(await world.detach(), undefined);
  assert.deepEqual(ownedInterfaces(client.estate, 'h'), []);
  await world.attach({ id: OTHER });
});

test('who asks for one that somebody has is told who', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  const unknown = 'eni-00000000000000009';
  assert.deepEqual(await world.refuse({ interfaceId: unknown }), [
    `InvalidNetworkInterfaceID.NotFound: The networkInterface ID '${unknown}' does not exist`,
    undefined,
  ]);
  assert.equal((await world.refuse({ id: 'eth0' }))[0], "InvalidID: 'eth0' is no id of an attachment"); // prettier-ignore
  await world.attach();
  const inUse = `InvalidNetworkInterface.InUse: Network interface '${id}' is currently in use.`;
  const who = 'cni.vpc has it, as eth0 in /run/netns/c1 on the host h';
  assert.deepEqual(await world.refuse({ id: OTHER }), [inUse, who]);
  assert.deepEqual(await world.refuse({ owner: 'docker' }), [inUse, who]);
  assert.deepEqual(await world.refuse({ host: 'g' }), [inUse, who]);
  assert.deepEqual(await world.refuse({ device: { ...DEVICE, netns: '/x' } }), [inUse, who]);
  // Nothing is left of it.
  await world.attach({ id: OTHER, device: { ...DEVICE, netns: '/x' }, abandoned: ATTACHMENT });
  await world.detach(OTHER);
  await change(client, (edit) =>
    createTags(edit, [id], [{ key: 'secgroupd:netns', value: 'web' }]),
  );
  assert.deepEqual(await world.refuse(), [inUse, 'its tags attach it: take secgroupd:… away']);
});

test('an instance gets no other address than the interface has', async (t) => {
  const world = await World.open(t);
  const { id } = world;
  for (const addresses of [['10.20.1.2'], ['10.20.1.40', 'fd00::2']])
    assert.deepEqual(await world.refuse({ addresses }), [
      `InvalidParameterValue: ${id} has the address 10.20.1.40, and not ${addresses.at(-1)}`,
      'ask the runtime for it: --ip 10.20.1.40',
    ]);
  assert.equal(world.client.estate.interface(id)?.attachment, undefined);
});

test('an attachment and a device are one interface’s', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  await world.attach();
  const before = client.estate.interface(id)!;
  const second = 'eni-00000000000000002';
  await change(client, (edit) => {
    edit.write('interfaces', second, { ...before, id: second, attachment: undefined });
    return { ok: true, value: undefined };
  });
  const device = { ...DEVICE, name: 'eth1' };
  assert.equal(
    (await world.refuse({ interfaceId: second, device }))[0],
    `InvalidParameterValue: The attachment ${ATTACHMENT} is that of ${id}`,
  );
  assert.equal(
    (await world.refuse({ interfaceId: second, id: OTHER }))[0],
    `InvalidParameterValue: The device eth0 in /run/netns/c1 is that of ${id}`,
  );
});

test('calls change its groups and addresses, and neither delete it nor detach it without force', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  const { groupIds } = await world.attach();
  await change(client, (edit) => modifyInterface(edit, id, { groupIds }, context));
  await change(client, (edit) => assignAddresses(edit, id, 4, { texts: ['10.20.1.41'], count: 0 }));
  const inUse = `InvalidNetworkInterface.InUse: Network interface '${id}' is currently in use.`;
  assert.equal(refusalOf(await client.change((edit) => deleteInterface(edit, id))), inUse);
  assert.equal(
    refusalOf(await client.change((edit) => detachInterface(edit, ATTACHMENT))),
    `OperationNotPermitted: ${id} is the interface of an instance of cni.vpc, which alone may detach it`,
  );
  assert.equal(
    refusalOf(await client.change((edit) => removeOwnedInterface(edit, id, 'h'))),
    `OperationNotPermitted: A call of the EC2 API made ${id}`,
  );
  await change(client, (edit) => detachInterface(edit, ATTACHMENT, true));
  await change(client, (edit) => deleteInterface(edit, id));
});

test('only what a request attached is detached by one', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  const before = client.estate.interface(id)!;
  const attachment = { ...ownAttachment(id, 'h', DEVICE, new Date()), id: ATTACHMENT };
  const detach = async (more: Partial<EstateInterface>): Promise<string> => {
    await change(client, (edit) => {
      edit.write('interfaces', id, { ...before, attachment, ...more });
      return { ok: true, value: undefined };
    });
    return refusalOf(await client.change((edit) => detachForOwner(edit, ATTACHMENT, 'h')));
  };
  assert.equal(
    await detach({ owner: 'cni.vpc' }),
    `OperationNotPermitted: ${id} was made for ${ATTACHMENT}`,
  );
  assert.equal(await detach({}), `OperationNotPermitted: A call of the EC2 API attached ${id}`);
});

test('an owner keeps it by the id of its attachment, and else it is detached', async (t) => {
  const world = await World.open(t);
  const { client, id } = world;
  await world.attach();
  const reconcile = (...keep: readonly string[]) =>
    change(client, (edit) => reconcileOwned(edit, 'h', 'cni.vpc', keep));
  for (const keep of [ATTACHMENT, id])
    assert.deepEqual(await reconcile(keep), { removed: [], left: 0 });
  assert.deepEqual(await reconcile(OTHER), { removed: [id], left: 0 });
  assert.equal(client.estate.interface(id)?.attachment, undefined);
});

test('of two who attach it at once, one gets it', async (t) => {
  const world = await World.open(t);
  const clients = [world.client, world.other];
  const done = await Promise.all(
    clients.map((client, i) =>
      client.change((edit) =>
        attachForOwner(edit, world.wish({ id: [ATTACHMENT, OTHER][i], host: ['h', 'g'][i] })),
      ),
    ),
  );
  assert.equal(done.filter(({ ok }) => ok).length, 1);
  assert.match(refusalOf(done.find(({ ok }) => !ok)!), /is currently in use\.$/);
});
