/** Leases of addresses: who may have one meanwhile, what becomes of it, and how it ends. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import { LEASE_MS } from '../../src/estate/addresses.ts';
import { attachForOwner } from '../../src/estate/attach.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { createEstateGroup } from '../../src/estate/groups.ts';
import { createInterface } from '../../src/estate/interfaces.ts';
import {
  findPool,
  leaseAddress,
  releaseLease,
  type LeasedAddress,
  type PoolWish,
} from '../../src/estate/leases.ts';
import type { EstateInterface, EstateSubnet } from '../../src/estate/model.ts';
import { addOwnedInterface, removeOwnedInterface } from '../../src/estate/owned-interfaces.ts';
import { associateSubnetBlock, createSubnet, deleteSubnet } from '../../src/estate/subnets.ts';
import { associateBlock, createVpc } from '../../src/estate/vpcs.ts';
import { parseAddress } from '../../src/addr/address.ts';
import { stableId } from '../../src/policy/ids.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { change, context, makeClients, refusalOf, take } from './world.ts';

const CIDR = '10.20.1.0/28';
const FREE = 11;
const ID = stableId('eni', 'docker', 'one');
const DEVICE = {
  kind: 'tun',
  name: 'sg1',
  netns: undefined,
  mtu: 1500,
  configure: false,
  persist: false,
} as const;

class World {
  readonly client: EstateClient;
  readonly subnet: EstateSubnet;
  readonly groupId: string;

  private constructor(client: EstateClient, subnet: EstateSubnet, groupId: string) {
    this.client = client;
    this.subnet = subnet;
    this.groupId = groupId;
  }

  static async open(t: TestContext): Promise<World> {
    const [client] = await makeClients(t);
    return World.inNewVpc(client);
  }

  static async inNewVpc(client: EstateClient): Promise<World> {
    return change(client, (edit) => {
      const vpc = take(createVpc(edit, { cidr: '10.20.0.0/16', ipv6: 'none', tags: [] }, context));
      const wish = { vpcId: vpc.id, cidr: CIDR, ipv6Cidr: undefined, zone: undefined, tags: [] };
      const subnet = take(createSubnet(edit, wish, ['us-east-1a'], context));
      const named = { vpcId: vpc.id, name: 'web', description: 'd', tags: [] };
      const { group } = take(createEstateGroup(edit, named, context));
      return { ok: true, value: new World(client, subnet, group.id) };
    });
  }

  pool(wish: Partial<PoolWish> = {}): ReturnType<typeof findPool> {
    const all = { cidr: CIDR, subnetId: this.subnet.id, vpcId: undefined, range: undefined };
    return findPool(this.client.estate, { ...all, ...wish });
  }

  async tryLease(
    address?: string,
    { since, ...wish }: Partial<PoolWish> & { readonly since?: number } = {},
  ): Promise<Checked<LeasedAddress>> {
    const pool = take(this.pool(wish));
    const given = { pool, owner: 'docker', host: 'h', address };
    const done = await this.client.change((edit) => leaseAddress(edit, given, 7, since));
    return done.ok ? { ok: true, value: done.value.value } : done;
  }

  async lease(...given: Parameters<World['tryLease']>): Promise<string> {
    return formatAddress(take(await this.tryLease(...given)).address);
  }

  release(address: string, host = 'h'): Promise<boolean> {
    const { vpcId } = this.subnet;
    const value = take(parseAddress(address) as Checked<never>);
    return change(this.client, (edit) => ({
      ok: true,
      value: releaseLease(edit, vpcId, value, { owner: 'docker', host }),
    }));
  }

  /** An interface of the API's. */
  async make(address?: string): Promise<Checked<EstateInterface>> {
    const done = await this.client.change((edit) =>
      createInterface(
        edit,
        {
          ...{ subnetId: this.subnet.id, groupIds: [this.groupId], description: '', tags: [] },
          ipv4: { texts: address === undefined ? [] : [address], count: 0 },
          ipv6: { texts: [], count: 0 },
          ...{ sourceDestCheck: true, connectionTracking: undefined },
        },
        context,
      ),
    );
    return done.ok ? { ok: true, value: done.value.value } : done;
  }

  /** One of the runtime's. */
  async claim(
    addresses: readonly string[],
    given: { readonly host?: string; readonly groupId?: string; readonly isLeased?: boolean } = {},
  ): Promise<Checked<EstateInterface>> {
    const { host = 'h', groupId = this.groupId, isLeased = true } = given;
    const wish = { id: ID, owner: 'docker', host, device: DEVICE, addresses, isLeased, tags: [] };
    const done = await this.client.change((edit) =>
      addOwnedInterface(edit, { ...wish, securityGroups: [groupId] }, context),
    );
    return done.ok ? { ok: true, value: done.value.value } : done;
  }

  remove(): Promise<unknown> {
    return change(this.client, (edit) => removeOwnedInterface(edit, ID, 'h'));
  }
}

const IN_USE = (address: string): string => `InvalidIPAddress.InUse: Address ${address} is in use.`;

test('a lease keeps others off, becomes an interface, and is a lease again when that goes', async (t) => {
  const world = await World.open(t);
  const address = await world.lease();
  assert.equal(refusalOf(await world.make(address)), IN_USE(address));
  assert.equal(refusalOf(await world.tryLease(address)), IN_USE(address));
  assert.equal(refusalOf(await world.claim([address], { isLeased: false })), IN_USE(address));
  const made = take(await world.claim([address]));
  assert.deepEqual(
    [made.subnetId, made.vpcId, made.addresses.map(formatAddress)],
    [world.subnet.id, world.subnet.vpcId, [address]],
  );
  assert.deepEqual(take(await world.claim([address])), made);
  assert.equal(await world.release(address), false);
  assert.equal(refusalOf(await world.make(address)), IN_USE(address));
  const deleted = await world.client.change((edit) => deleteSubnet(edit, world.subnet.id));
  assert.match(refusalOf(deleted), /^DependencyViolation/);
  await world.remove();
  // Docker gives it back after the endpoint is gone: nobody may have it in between.
  assert.equal(refusalOf(await world.tryLease(address)), IN_USE(address));
  assert.equal(await world.release(address, 'g'), false);
  assert.equal(await world.release(address), true);
  assert.equal(await world.release(address), false);
  assert.equal(formatAddress(take(await world.make(address)).addresses[0]), address);
});

test('a lease that nobody came for ends by itself', async (t) => {
  const world = await World.open(t);
  const [young, old] = [Date.now() - LEASE_MS + 60_000, Date.now() - LEASE_MS - 1];
  await world.lease('10.20.1.5', { since: young });
  assert.equal(refusalOf(await world.make('10.20.1.5')), IN_USE('10.20.1.5'));
  for (const one of ['10.20.1.6', '10.20.1.7', '10.20.1.8']) await world.lease(one, { since: old });
  take(await world.make('10.20.1.6'));
  assert.equal(await world.lease('10.20.1.7'), '10.20.1.7');
  assert.equal(refusalOf(await world.make('10.20.1.7')), IN_USE('10.20.1.7'));
  // Its owner may still come if nobody else has.
  take(await world.claim(['10.20.1.8']));
  // All that is left is given: an ended one counts as free.
  await world.remove();
  await world.release('10.20.1.8');
  await world.lease('10.20.1.9', { since: old });
  for (let n = 3; n < FREE; n++) await world.lease();
  assert.match(refusalOf(await world.tryLease()), /^InsufficientFreeAddressesInSubnet/);
});

test('the first four addresses and the last one are nobody’s', async (t) => {
  const world = await World.open(t);
  const all = [];
  for (let n = 0; n < FREE; n++) all.push(await world.lease());
  assert.deepEqual(
    all.toSorted(),
    Array.from({ length: FREE }, (_, n) => `10.20.1.${4 + n}`).toSorted(),
  );
  assert.match(refusalOf(await world.tryLease()), /^InsufficientFreeAddressesInSubnet/);
  for (const last of [0, 1, 2, 3, 15])
    assert.equal(
      refusalOf(await world.tryLease(`10.20.1.${last}`)),
      `InvalidParameterValue: Address 10.20.1.${last} is reserved in the subnet ${world.subnet.id}, ${CIDR}`,
    );
  assert.match(refusalOf(await world.tryLease('10.20.1.16')), /does not fall within the subnet/);
  // Nor of a runtime that chose it itself.
  assert.match(refusalOf(await world.claim(['10.20.1.2'], { isLeased: false })), /is reserved/);
  // A part of the block.
  await world.release('10.20.1.9');
  await world.release('10.20.1.13');
  assert.equal(await world.lease(undefined, { range: '10.20.1.12/30' }), '10.20.1.13');
});

test('the address of an interface that nobody has is answered without a lease', async (t) => {
  const world = await World.open(t);
  const one = take(await world.make('10.20.1.9'));
  const answer = take(await world.tryLease('10.20.1.9'));
  assert.equal(answer.isLeased, false);
  assert.equal(refusalOf(await world.claim(['10.20.1.9'])), IN_USE('10.20.1.9'));
  assert.equal(await world.release('10.20.1.9'), false);
  await change(world.client, (edit) =>
    attachForOwner(edit, {
      ...{ interfaceId: one.id, id: 'eni-attach-00000000000000001', owner: 'cni', host: 'h' },
      ...{ device: DEVICE, addresses: undefined, abandoned: undefined },
    }),
  );
  assert.equal(refusalOf(await world.tryLease('10.20.1.9')), IN_USE('10.20.1.9'));
});

test('a lease is its owner’s on its host, and of the VPC of the groups', async (t) => {
  const world = await World.open(t);
  const other = await World.inNewVpc(world.client);
  const address = await world.lease();
  assert.equal(refusalOf(await world.claim([address], { host: 'g' })), IN_USE(address));
  assert.equal(
    refusalOf(await world.claim([address], { groupId: other.groupId })),
    `InvalidParameterValue: Address ${address} was not leased in ${other.subnet.vpcId}, the VPC of the groups`,
  );
  // The same block in both.
  assert.match(refusalOf(world.pool({ subnetId: undefined })), /More than one subnet has 10\.20/);
  const { vpcId } = other.subnet;
  assert.equal(take(world.pool({ subnetId: undefined, vpcId })).subnet.id, other.subnet.id);
  assert.match(refusalOf(world.pool({ vpcId })), /There is no subnet 10\.20\.1\.0\/28 in subnet-/);
  assert.match(refusalOf(world.pool({ cidr: '10.20.1.0/27' })), /There is no subnet/);
  assert.match(refusalOf(world.pool({ cidr: 'x' })), /^InvalidParameterValue/);
  assert.match(refusalOf(world.pool({ range: '10.20.0.0/16' })), /is no part of 10\.20\.1\.0\/28/);
});

test('an address of each family is of the same subnet', async (t) => {
  const world = await World.open(t);
  const { id, vpcId } = world.subnet;
  const block = await change(world.client, (edit) => {
    const { added } = take(associateBlock(edit, vpcId, 'ipv6', context));
    const text = `${formatAddress(added.cidr)}/64`;
    take(associateSubnetBlock(edit, id, text, context));
    return { ok: true, value: text };
  });
  const base = block.replace('/64', '');
  const ipv4 = await world.lease();
  const ipv6 = await world.lease(undefined, { cidr: block });
  assert.ok(ipv6.startsWith(base), ipv6);
  assert.match(refusalOf(await world.tryLease(`${base}3`, { cidr: block })), /is reserved/);
  // Its last word is as that of a reserved one.
  const far = base.replace(/:$/, '0:1::3');
  assert.equal(await world.lease(far, { cidr: block }), far);
  assert.equal(formatAddress(take(world.pool({ cidr: block })).router), `${base}1`);
  const made = take(await world.claim([ipv4, ipv6]));
  assert.deepEqual([made.subnetId, made.addresses.length], [id, 2]);
  await world.remove();
  const cidr = '10.20.2.0/28';
  const second = await change(world.client, (edit) => {
    const wish = { vpcId, cidr, ipv6Cidr: undefined, zone: undefined, tags: [] };
    return createSubnet(edit, wish, ['us-east-1a'], context);
  });
  const elsewhere = await world.lease(undefined, { cidr, subnetId: second.id });
  assert.match(refusalOf(await world.claim([elsewhere, ipv6])), /The addresses are of the subnets/);
  // The subnet goes before anybody comes for the address.
  await change(world.client, (edit) => deleteSubnet(edit, second.id));
  assert.match(refusalOf(await world.claim([elsewhere])), /^InvalidSubnetID.NotFound/);
});
