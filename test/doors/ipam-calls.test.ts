/** The IPAM driver without Docker: what it asks the daemon, what it refuses, and what is left over. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { IpamDriver, type Addresses } from '../../src/doors/docker/ipam-driver.ts';
import { Members } from '../../src/doors/docker/members.ts';
import { NetworkDriver } from '../../src/doors/docker/network-driver.ts';
import { DockerState } from '../../src/doors/docker/state.ts';

const CIDR = '172.31.0.0/20';
const POOL = `vpc-1 subnet-1 ${CIDR}`;
const NETWORK = 'ab'.repeat(32);

interface World {
  /** What was asked of the daemon. */
  readonly asked: string[];
  /** Addresses that somebody has. */
  readonly taken: Set<string>;
  /** For each interface its id, and whether its addresses were leased. */
  readonly added: string[];
  /** Interfaces whose device is in a container. */
  readonly moved: Set<string>;
  readonly network: NetworkDriver;
  readonly call: (method: string, body: object) => Promise<unknown>;
}

function makeWorld(t: TestContext): World {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-ipam-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const asked: string[] = [];
  const taken = new Set<string>();
  const added: string[] = [];
  const moved = new Set<string>();
  const network = new NetworkDriver({
    state: new DockerState(folder),
    nat: { apply: () => Promise.resolve() },
    interfaces: {
      add: ({ id, leased }) => Promise.resolve(void added.push(id, String(leased))),
      remove: (id) => Promise.resolve(void asked.push(`remove ${id}`)),
      moved: () => Promise.resolve(moved),
    },
  });
  const addresses: Addresses = {
    findSubnet: (question) => {
      asked.push(`find ${JSON.stringify(question)}`);
      const view = { subnet: 'subnet-1', vpc: 'vpc-1', cidr: question.cidr };
      return Promise.resolve({ ...view, router: '172.31.0.1' });
    },
    lease: (question) => {
      asked.push(`lease ${JSON.stringify(question)}`);
      const { address = '172.31.0.77' } = question;
      if (taken.has(address)) return Promise.reject(new Error(`${address} is in use`));
      return Promise.resolve(address);
    },
    release: (vpc, address) => {
      asked.push(`release ${vpc} ${address}`);
      taken.delete(address);
      return Promise.resolve();
    },
  };
  const { methods } = new IpamDriver({ addresses, endpoints: network });
  const all = new Map([...network.methods].map(([name, one]) => [`Network ${name}`, one]));
  for (const [name, method] of methods) all.set(name, method);
  const call = async (name: string, body: object): Promise<unknown> =>
    all.get(name)!(new Members(body));
  return { asked, taken, added, moved, network, call };
}

/** A network that has the IPAM driver, and an endpoint in it. */
async function makeEndpoint({ call }: World, digit: string, address: string): Promise<void> {
  await call('Network CreateNetwork', {
    NetworkID: NETWORK,
    Options: { 'com.docker.network.generic': { sg: 'web' } },
    IPv4Data: [{ AddressSpace: 'secgroupd', Pool: CIDR, Gateway: '172.31.0.1/20' }],
  });
  await call('Network CreateEndpoint', {
    NetworkID: NETWORK,
    EndpointID: digit.repeat(64),
    Interface: { Address: `${address}/20` },
  });
}

test('a pool is a subnet, and its id says all that is asked about it later', async (t) => {
  const { asked, call } = makeWorld(t);
  assert.deepEqual(await call('GetDefaultAddressSpaces', {}), {
    LocalDefaultAddressSpace: 'secgroupd',
    GlobalDefaultAddressSpace: 'secgroupd',
  });
  assert.deepEqual(await call('GetCapabilities', {}), {
    RequiresMACAddress: false,
    RequiresRequestReplay: false,
  });
  const wish = { AddressSpace: 'secgroupd', Pool: CIDR, V6: false };
  const gateway = { 'com.docker.network.gateway': '172.31.0.1/20' };
  assert.deepEqual(await call('RequestPool', wish), { PoolID: POOL, Pool: CIDR, Data: gateway });
  const more = { SubPool: '172.31.1.7/24', Options: { subnet: 'subnet-1', vpc: 'vpc-1' } };
  const part = (await call('RequestPool', { ...wish, ...more })) as { readonly PoolID: string };
  assert.equal(part.PoolID, `${POOL} 172.31.1.0/24`);
  const any = { PoolID: part.PoolID, Address: '' };
  assert.deepEqual(await call('RequestAddress', any), { Address: '172.31.0.77/20', Data: {} });
  const one = { PoolID: POOL, Address: '172.31.0.9' };
  assert.deepEqual(await call('RequestAddress', one), { Address: '172.31.0.9/20', Data: {} });
  assert.deepEqual(await call('ReleaseAddress', one), {});
  assert.deepEqual(await call('ReleasePool', { PoolID: POOL }), {});
  assert.deepEqual(asked, [
    'find {"cidr":"172.31.0.0/20"}',
    'find {"cidr":"172.31.0.0/20","subnet":"subnet-1","vpc":"vpc-1","range":"172.31.1.0/24"}',
    'lease {"cidr":"172.31.0.0/20","subnet":"subnet-1","range":"172.31.1.0/24"}',
    'lease {"cidr":"172.31.0.0/20","subnet":"subnet-1","address":"172.31.0.9"}',
    'release vpc-1 172.31.0.9',
  ]);
});

test('requests of a wrong form are refused', async (t) => {
  const { asked, call } = makeWorld(t);
  await assert.rejects(call('RequestPool', { Pool: '' }), /say which by its block, --subnet/);
  await assert.rejects(call('RequestPool', { Pool: 'x' }), /the subnet: /);
  await assert.rejects(call('RequestPool', { Pool: CIDR, SubPool: '1' }), /the range: /);
  const options = { Pool: CIDR, Options: { 'su\nbnet': 'x' } };
  await assert.rejects(call('RequestPool', options), /su.bnet is no option of the IPAM driver/);
  await assert.rejects(call('RequestAddress', { PoolID: 'x' }), /'x' is no pool of secgroupd/);
  const wrong = { PoolID: POOL, Address: '172.31.0.9/20' };
  await assert.rejects(call('RequestAddress', wrong), /the address: /);
  await assert.rejects(call('ReleaseAddress', { PoolID: POOL }), /the address: /);
  assert.deepEqual(asked, []);
  const gateway = { PoolID: POOL, Options: { RequestAddressType: 'com.docker.network.gateway' } };
  assert.deepEqual(await call('RequestAddress', gateway), { Address: '172.31.0.1/20', Data: {} });
  const own = { ...gateway, Address: '172.31.0.5' };
  await assert.rejects(call('RequestAddress', own), /the gateway of 172\.31\.0\.0\/20 is 172\.31/);
  const auxiliary = {
    NetworkID: NETWORK,
    IPv4Data: [{ AddressSpace: 'secgroupd', Pool: CIDR, AuxAddresses: { a: '172.31.0.9/20' } }],
  };
  await assert.rejects(call('Network CreateNetwork', auxiliary), /--aux-address is not for/);
});

test('an endpoint whose address Docker gives back is left over', async (t) => {
  const world = makeWorld(t);
  const { asked, added, call } = world;
  await makeEndpoint(world, '1', '172.31.0.9');
  assert.equal(added[1], 'true');
  await call('ReleaseAddress', { PoolID: 'vpc-1 subnet-2 10.0.0.0/24', Address: '172.31.0.9' });
  assert.deepEqual(asked.splice(0), ['release vpc-1 172.31.0.9']);
  await call('ReleaseAddress', { PoolID: POOL, Address: '172.31.0.9' });
  assert.deepEqual(asked, [`remove ${added[0]}`, 'release vpc-1 172.31.0.9']);
});

test('an address in use is free again if it is left over from before dockerd started', async (t) => {
  const world = makeWorld(t);
  const { asked, taken, added, moved, network, call } = world;
  await makeEndpoint(world, '1', '172.31.0.9');
  taken.add('172.31.0.9');
  const again = (): Promise<unknown> =>
    call('RequestAddress', { PoolID: POOL, Address: '172.31.0.9' });
  // Docker knows it, so somebody asks for the address of a container that runs.
  await assert.rejects(again(), /172\.31\.0\.9 is in use/);
  network.activate();
  // It runs on.
  moved.add(added[0]);
  await assert.rejects(again(), /172\.31\.0\.9 is in use/);
  moved.clear();
  asked.length = 0;
  assert.deepEqual(await again(), { Address: '172.31.0.9/20', Data: {} });
  const lease = 'lease {"cidr":"172.31.0.0/20","subnet":"subnet-1","address":"172.31.0.9"}';
  assert.deepEqual(asked, [lease, `remove ${added[0]}`, 'release vpc-1 172.31.0.9', lease]);
});

test('of two containers that ask for one interface at once, none takes it from the other', async (t) => {
  const world = makeWorld(t);
  const { asked, call } = world;
  await makeEndpoint(world, '1', '172.31.0.9');
  await call('Network CreateEndpoint', {
    NetworkID: NETWORK,
    EndpointID: '2'.repeat(64),
    Interface: { Address: '172.31.0.9/20' },
    Options: { eni: 'eni-0123456789abcdef0' },
  });
  assert.deepEqual(asked, []);
});
