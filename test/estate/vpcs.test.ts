/** VPCs and subnets as calls on the estate: blocks, what keeps them from going, and two calls at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatCidr } from '../../src/addr/address.ts';
import type { EstateClient } from '../../src/estate/estate-client.ts';
import { createEstateGroup, deleteEstateGroup } from '../../src/estate/groups.ts';
import { usesKey } from '../../src/estate/keys.ts';
import type { EstateSubnet, EstateVpc } from '../../src/estate/model.ts';
import {
  associateSubnetBlock,
  createSubnet,
  deleteSubnet,
  disassociateSubnetBlock,
  modifySubnetAttributes,
} from '../../src/estate/subnets.ts';
import {
  associateBlock,
  createDefaultVpc,
  createVpc,
  deleteVpc,
  disassociateBlock,
  ensureDefaultVpc,
} from '../../src/estate/vpcs.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { change, context, makeClients, refusalOf } from './world.ts';

const ZONES = ['us-east-1a', 'us-east-1b'];
const UNKNOWN_VPC = 'vpc-0123456789abcdef0';

function makeVpc(client: EstateClient, ipv6: 'none' | 'given' = 'none'): Promise<EstateVpc> {
  return change(client, (edit) =>
    createVpc(edit, { cidr: '10.20.0.0/16', ipv6, tags: [] }, context),
  );
}

interface Wish {
  readonly cidr?: string;
  readonly ipv6Cidr?: string;
  readonly zone?: string;
}

const subnetCall =
  (vpcId: string, { cidr = '10.20.1.0/24', ipv6Cidr, zone }: Wish = {}) =>
  (edit: Parameters<typeof createSubnet>[0]) =>
    createSubnet(edit, { vpcId, cidr, ipv6Cidr, zone, tags: [] }, ZONES, context);

const refusedSubnet = async (client: EstateClient, vpcId: string, wish: Wish): Promise<string> =>
  refusalOf(await client.change(subnetCall(vpcId, wish)));

test('a VPC comes with its default group, and goes with it and nothing else', async (t) => {
  const [client] = await makeClients(t);
  // Groups of all VPCs count together, so that row stays.
  const before = [...client.estate.keys(), usesKey('security-groups')].sort();
  const { id } = await makeVpc(client);
  const inside = client.estate.groupByName(id, 'default');
  assert.equal(inside?.group.egress.length, 1, 'all of IPv4');
  const { group } = await change(client, (edit) =>
    createEstateGroup(edit, { vpcId: id, name: 'web', description: 'd', tags: [] }, context),
  );
  const dependent = `DependencyViolation: The vpc '${id}' has dependencies and cannot be deleted.`;
  assert.equal(refusalOf(await client.change((edit) => deleteVpc(edit, id))), dependent);
  await change(client, (edit) => deleteEstateGroup(edit, group.id));
  const subnet = await change(client, subnetCall(id));
  assert.equal(refusalOf(await client.change((edit) => deleteVpc(edit, id))), dependent);
  await change(client, (edit) => deleteSubnet(edit, subnet.id));
  await change(client, (edit) => deleteVpc(edit, id));
  assert.deepEqual(client.estate.keys().slice().sort(), before, 'nothing is left of it');
});

test('what is wrong with a VPC or its blocks is told by AWS’s code', async (t) => {
  const [client] = await makeClients(t);
  const created = async (cidr: string | undefined): Promise<string> =>
    refusalOf(
      await client.change((edit) => createVpc(edit, { cidr, ipv6: 'none', tags: [] }, context)),
    );
  assert.equal(
    await created(undefined),
    'MissingParameter: The request must contain the parameter CidrBlock',
  );
  assert.equal(await created('10.0.0.0/8'), "InvalidVpc.Range: The CIDR '10.0.0.0/8' is invalid.");
  assert.equal(
    await created('10.0.0/16'),
    'InvalidParameterValue: Value (10.0.0/16) for parameter cidrBlock is invalid. This is not a valid CIDR block.',
  );
  assert.equal(
    refusalOf(await client.change((edit) => deleteVpc(edit, UNKNOWN_VPC))),
    `InvalidVpcID.NotFound: The vpc ID '${UNKNOWN_VPC}' does not exist`,
  );
  assert.equal(
    refusalOf(await client.change((edit) => createDefaultVpc(edit, ZONES, context))),
    'DefaultVpcAlreadyExists: A Default VPC already exists for this account in this region.',
  );
});

test('a default VPC that was deleted stays so until it is asked for', async (t) => {
  const [client] = await makeClients(t);
  const begin = () =>
    change(client, (edit) => ({ ok: true, value: ensureDefaultVpc(edit, ZONES, context) }));
  assert.equal(await begin(), undefined, 'it is there');
  await change(client, (edit) => deleteVpc(edit, ONLY_VPC_ID));
  assert.equal(await begin(), undefined);
  assert.equal(client.estate.defaultVpc(), undefined);
  await change(client, (edit) => createDefaultVpc(edit, ZONES, context));
  assert.equal(client.estate.defaultVpc()?.id, ONLY_VPC_ID);
  const zones = client.estate.list('subnets').map(({ zone }) => zone);
  assert.deepEqual(zones, ZONES);
  for (const { id } of client.estate.list('subnets'))
    await change(client, (edit) => deleteSubnet(edit, id));
  await change(client, (edit) => deleteVpc(edit, ONLY_VPC_ID));
  assert.equal(await begin(), undefined, 'it was deleted again');
});

test('blocks come and go, but for the primary one and those with subnets', async (t) => {
  const [client] = await makeClients(t);
  const vpc = await makeVpc(client);
  const { id } = vpc;
  const add = (block: Parameters<typeof associateBlock>[2]) =>
    client.change((edit) => associateBlock(edit, id, block, context));
  const drop = (associationId: string) =>
    client.change((edit) => disassociateBlock(edit, associationId));
  assert.equal(
    refusalOf(await add({ cidr: '10.20.128.0/20' })),
    "InvalidVpc.Range: The CIDR '10.20.128.0/20' conflicts with 10.20.0.0/16 of the VPC",
  );
  const ipv6 = await change(client, (edit) => associateBlock(edit, id, 'ipv6', context));
  assert.equal(
    formatCidr(ipv6.added.cidr),
    formatCidr({ ...ipv6.added.cidr, family: 6, length: 56 }),
  );
  assert.equal(
    refusalOf(await add('ipv6')),
    `InvalidParameterValue: The vpc ${id} has an IPv6 block already`,
  );
  assert.equal(
    refusalOf(await drop(vpc.blocks[0].associationId)),
    "OperationNotPermitted: The CIDR '10.20.0.0/16' is the primary one of the VPC and stays",
  );
  const { added } = await change(client, (edit) =>
    associateBlock(edit, id, { cidr: '10.30.0.0/16' }, context),
  );
  const subnet = await change(client, subnetCall(id, { cidr: '10.30.7.0/24' }));
  assert.equal(
    refusalOf(await drop(added.associationId)),
    "DependencyViolation: The CIDR '10.30.0.0/16' has subnets and cannot be removed.",
  );
  await change(client, (edit) => deleteSubnet(edit, subnet.id));
  await change(client, (edit) => disassociateBlock(edit, added.associationId));
  assert.equal(
    refusalOf(await drop(added.associationId)),
    `InvalidVpcCidrBlockAssociationID.NotFound: The vpc CIDR block association ID '${added.associationId}' does not exist`,
  );
});

test('a subnet is a part of its VPC that no other has', async (t) => {
  const [client] = await makeClients(t);
  const { id, blocks } = await makeVpc(client, 'given');
  const ipv6 = formatCidr({ ...blocks[1].cidr, length: 64 });
  const made = await change(client, subnetCall(id, { ipv6Cidr: ipv6, zone: 'us-east-1b' }));
  assert.deepEqual([made.zone, formatCidr(made.ipv6!.cidr)], ['us-east-1b', ipv6]);
  assert.equal(
    await refusedSubnet(client, id, { cidr: '10.20.0.0/20' }),
    "InvalidSubnet.Conflict: The CIDR '10.20.0.0/20' conflicts with another subnet",
  );
  assert.equal(
    await refusedSubnet(client, id, { cidr: '10.20.2.0/24', ipv6Cidr: ipv6 }),
    `InvalidSubnet.Conflict: The CIDR '${ipv6}' conflicts with another subnet`,
  );
  for (const cidr of ['10.21.0.0/24', '10.20.2.0/29'])
    assert.equal(
      await refusedSubnet(client, id, { cidr }),
      `InvalidSubnet.Range: The CIDR '${cidr}' is invalid.`,
    );
  assert.equal(
    await refusedSubnet(client, id, { zone: 'us-east-1x' }),
    'InvalidParameterValue: Value (us-east-1x) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: us-east-1a, us-east-1b.',
  );
});

test('a subnet’s IPv6 block comes and goes', async (t) => {
  const [client] = await makeClients(t);
  const { id, blocks } = await makeVpc(client, 'given');
  const { id: subnetId } = await change(client, subnetCall(id));
  const assign = () =>
    client.change((edit) =>
      modifySubnetAttributes(edit, subnetId, { assignIpv6AddressOnCreation: true }),
    );
  assert.equal(
    refusalOf(await assign()),
    `InvalidParameterValue: The subnet '${subnetId}' has no IPv6 CIDR block`,
  );
  const ipv6 = formatCidr({ ...blocks[1].cidr, length: 64 });
  const associate = () =>
    client.change((edit) => associateSubnetBlock(edit, subnetId, ipv6, context));
  const first = await associate();
  assert.ok(first.ok && (await assign()).ok);
  assert.equal(
    refusalOf(await associate()),
    `InvalidParameterValue: The subnet '${subnetId}' has an IPv6 CIDR block already`,
  );
  const { associationId } = first.value.value;
  await change(client, (edit) => disassociateSubnetBlock(edit, associationId));
  const after: EstateSubnet | undefined = client.estate.subnet(subnetId);
  assert.deepEqual([after?.ipv6, after?.assignIpv6AddressOnCreation], [undefined, false]);
  assert.equal(
    refusalOf(await client.change((edit) => disassociateSubnetBlock(edit, associationId))),
    `InvalidSubnetCidrBlockAssociationID.NotFound: The subnet CIDR block association ID '${associationId}' does not exist`,
  );
});

test('of two subnets that overlap one is made, and none in a VPC that goes', async (t) => {
  const clients = await makeClients(t, 2);
  for (let round = 0; round < 10; round++) {
    const { id } = await makeVpc(clients[0]);
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    const done = await Promise.all(clients.map((client) => client.change(subnetCall(id))));
    assert.equal(done.filter(({ ok }) => ok).length, 1);
    assert.equal(
      refusalOf(done.find(({ ok }) => !ok)!),
      "InvalidSubnet.Conflict: The CIDR '10.20.1.0/24' conflicts with another subnet",
    );
    const other = await makeVpc(clients[0]);
    await clients[1].reach(clients[0].estate.revision, GUARD_MS);
    const [deleted, made] = await Promise.all([
      clients[round % 2].change((edit) => deleteVpc(edit, other.id)),
      clients[(round + 1) % 2].change(subnetCall(other.id)),
    ]);
    assert.notEqual(deleted.ok, made.ok, 'one of the two');
  }
});
