/**
 * Networks of a real dockerd that have the addresses of a subnet of the EC2 API: containers and interfaces of calls at
 * once, and what is left of an address when a part ends.
 */
import assert from 'node:assert/strict';
import { request } from 'node:http';
import { test } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import { DEFAULT_CIDR, DockerCloud } from './docker-cloud.ts';
import { canRunDocker, DockerWorld, eventually, IMAGE } from './docker-world.ts';

const NETWORK = 'shared';
const REQUEST = 'IpamDriver.RequestAddress';
const RELEASE = 'IpamDriver.ReleaseAddress';
const SMALL_CIDR = '172.31.128.0/28';
/** A /28 without the first four addresses and the last. */
const SMALL_FREE = 11;
/** Calls of Docker, containers, and calls of the EC2 API. */
const [ASKED, STARTED, MADE] = [100, 16, 20];
const WEB = '172.31.0.40';
const SLEEP = ['--stop-signal', 'SIGKILL', IMAGE, 'sleep', '1000'];

test('containers and interfaces of the EC2 API in one subnet', async (t) => {
  if (!canRunDocker(t)) return;
  const world = await DockerWorld.make(t);
  if (world === undefined) return;
  const cloud = await DockerCloud.start(t, world);
  for (const [name, part] of PARTS) await t.test(name, () => part(cloud));
});

const PARTS: readonly (readonly [name: string, part: (cloud: DockerCloud) => Promise<void>])[] = [
  ['a network that can not have such addresses is refused with a sentence', refusedNetworks],
  ['an address is one container’s or one interface’s, and the platform’s are nobody’s', shared],
  ['a subnet that is full is full for both', fullSubnet],
  ['an interface of a call is attached at its own address', attached],
  ['both families', bothFamilies],
  ['an address is kept and given back over restarts of each part', partsRestart],
  ['many at once', manyAtOnce],
];

const create = (...more: readonly string[]): readonly string[] => [
  ...['network', 'create', '-d', 'secgroupd', '--ipam-driver', 'secgroupd', ...more],
];

/** A container of a group of the file. @returns its address */
async function place(
  { world }: DockerCloud,
  name: string,
  network: string,
  ...more: readonly string[]
): Promise<string> {
  const options = ['--network', `name=${network},driver-opt=sg=ping`];
  await world.docker('run', '-d', '--name', name, ...options, ...more, ...SLEEP);
  return addressIn(world, name, network);
}

function addressIn(world: DockerWorld, name: string, network: string): Promise<string> {
  const member = `(index .NetworkSettings.Networks "${network}").IPAddress`;
  return world.docker('inspect', '-f', `{{${member}}}`, name);
}

/** A call of the plugin protocol, as dockerd makes it. */
function callDoor(world: DockerWorld, method: string, body: object): Promise<object> {
  return new Promise((resolve, reject) => {
    const socketPath = world.path('plugins/secgroupd.sock');
    const options = { socketPath, path: `/${method}`, method: 'POST', agent: false };
    const sent = request(options, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
      response.on('end', () => resolve(JSON.parse(text) as object));
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

async function refusedNetworks({ world }: DockerCloud): Promise<void> {
  const refused = async (more: readonly string[], why: RegExp): Promise<void> => {
    const { code, stderr } = await world.tryDocker(...create(...more, 'wrong'));
    assert.notEqual(code, 0);
    assert.match(stderr, why);
  };
  const subnet = ['--subnet', DEFAULT_CIDR];
  await refused([], /say which by its block, --subnet 172\.31\.0\.0\/20/);
  await refused(['--subnet', '10.99.0.0/24'], /There is no subnet 10\.99\.0\.0\/24 in any VPC: make it by a call/); // prettier-ignore
  await refused([...subnet, '--gateway', '172.31.0.9'], /the gateway of 172\.31\.0\.0\/20 is 172\.31\.0\.1/); // prettier-ignore
  await refused(
    [...subnet, '--ipam-opt', 'sg=web'],
    /sg is no option of the IPAM driver secgroupd/,
  );
  await refused([...subnet, '--aux-address', 'a=172.31.0.9'], /--aux-address is not for a network/);
}

async function shared(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  await world.docker(...create('--subnet', DEFAULT_CIDR, NETWORK));
  const refused = async (ip: string, why: RegExp): Promise<void> => {
    const network = ['--network', `name=${NETWORK},driver-opt=sg=ping`, '--ip', ip];
    const { code, stderr } = await world.tryDocker(
      'run',
      '-d',
      '--name',
      'wrong',
      ...network,
      ...SLEEP,
    );
    assert.notEqual(code, 0);
    assert.match(stderr, why);
    await world.docker('rm', 'wrong');
  };
  await refused('172.31.0.2', /172\.31\.0\.2 is reserved .*: ask for one from 172\.31\.0\.4 to 172\.31\.15\.254/); // prettier-ignore
  const eni = await cloud.make(WEB);
  // It may be a container's, but not one with groups of its own.
  await refused(WEB, new RegExp(`Address 172.31.0.40 is in use: ${eni} has it`));
  const address = await place(cloud, 'one', NETWORK, '--ip', '172.31.0.41');
  assert.equal(address, '172.31.0.41');
  await refused(address, /Address 172\.31\.0\.41 is in use: eni-[0-9a-f]{17} has it/);
  await assert.rejects(cloud.make(address), { name: 'InvalidIPAddress.InUse' });
  const [shown, ...others] = (await cloud.interfacesIn(cloud.subnetId)).filter(
    ({ NetworkInterfaceId }) => NetworkInterfaceId !== eni,
  );
  assert.deepEqual([shown.PrivateIpAddress, shown.SubnetId, others], [address, cloud.subnetId, []]);
  await world.docker('rm', '-f', 'one');
  await cloud.delete(await cloud.make(address));
  await cloud.delete(eni);
}

async function fullSubnet(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const subnetId = await cloud.makeSubnet(SMALL_CIDR);
  await world.docker(
    ...create('--subnet', SMALL_CIDR, '--ipam-opt', `subnet=${subnetId}`, 'small'),
  );
  const names = ['s1', 's2', 's3', 's4', 's5', 's6'];
  const [ofContainers, ofCalls] = await Promise.all([
    Promise.all(names.map((name) => place(cloud, name, 'small'))),
    Promise.all(Array.from({ length: SMALL_FREE - names.length }, () => cloud.makeIn(subnetId))),
  ]);
  const all = [...ofContainers, ...ofCalls.map(({ PrivateIpAddress }) => PrivateIpAddress!)];
  const usable = Array.from({ length: SMALL_FREE }, (_, n) => `172.31.128.${4 + n}`);
  assert.deepEqual(all.sort(), usable.sort());
  await assert.rejects(place(cloud, 'late', 'small'), /There are not enough free addresses/);
  await world.docker('rm', 'late');
  await assert.rejects(cloud.makeIn(subnetId), { name: 'InsufficientFreeAddressesInSubnet' });
  await assert.rejects(cloud.deleteSubnet(subnetId), { name: 'DependencyViolation' });
  await world.docker('rm', '-f', 's1');
  await cloud.delete((await cloud.makeIn(subnetId)).NetworkInterfaceId!);
  await place(cloud, 's1', 'small');
  await world.docker('rm', '-f', ...names);
  for (const { NetworkInterfaceId } of ofCalls) await cloud.delete(NetworkInterfaceId!);
  await world.docker('network', 'rm', 'small');
  await cloud.deleteSubnet(subnetId);
}

async function attached(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const eni = await cloud.make(WEB);
  const { code, stderr } = await world.serveAs('web', NETWORK, { eni, ip: WEB });
  assert.equal(code, 0, stderr);
  assert.ok(await cloud.admits(WEB));
  const again = await world.serveAs('again', NETWORK, { eni, ip: WEB });
  assert.match(again.stderr, new RegExp(`Address ${WEB} is in use: ${eni} has it`));
  await world.docker('rm', 'again');
  await world.docker('restart', '-t', '0', 'web');
  assert.ok(await cloud.admits(WEB));
  await world.docker('rm', '-f', 'web');
  assert.equal((await cloud.show(eni)).Status, 'available');
  // Of two at once one is the interface.
  const both = await Promise.all(
    ['both-a', 'both-b'].map((name) => world.serveAs(name, NETWORK, { eni, ip: WEB })),
  );
  assert.equal(both.filter((one) => one.code === 0).length, 1);
  assert.ok(await cloud.admits(WEB));
  await world.docker('rm', '-f', 'both-a', 'both-b');
  await cloud.delete(eni);
}

async function bothFamilies(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const block = await cloud.giveIpv6(cloud.subnetId);
  await world.docker(...create('--ipv6', '--subnet', DEFAULT_CIDR, '--subnet', block, 'both'));
  const ipv6 = block.replace('/64', '');
  const ipv4 = await place(cloud, 'two', 'both', '--ip6', `${ipv6}7`);
  const [one] = (await world.interfaces()).map(({ addresses }) => addresses);
  assert.deepEqual(one, [ipv4, `${ipv6}7`]);
  const gateways = '{{range .NetworkSettings.Networks}}{{.Gateway}} {{.IPv6Gateway}}{{end}}';
  assert.equal(await world.docker('inspect', '-f', gateways, 'two'), `172.31.0.1 ${ipv6}1`);
  const taken = ['--network', 'name=both,driver-opt=sg=ping', '--ip6'];
  for (const [ip6, why] of [
    [`${ipv6}7`, /is in use: eni-/],
    [`${ipv6}3`, /is reserved/],
  ] as const) {
    const { stderr } = await world.tryDocker('run', '--name', 'wrong', ...taken, ip6, ...SLEEP);
    assert.match(stderr, why);
    await world.docker('rm', 'wrong');
  }
  await world.docker('rm', '-f', 'two');
  await world.docker('network', 'rm', 'both');
}

async function partsRestart(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  // One with an address that is asked for at each start, and one that has any.
  await place(cloud, 'fixed', NETWORK, '--restart', 'always', '--ip', WEB);
  await place(cloud, 'any', NETWORK, '--restart', 'always');
  const areThere = (): Promise<void> =>
    eventually(async () => {
      const found = await world.interfaces();
      assert.equal(found.length, 2, world.doorLog);
      const any = await addressIn(world, 'any', NETWORK);
      assert.deepEqual(found.flatMap(({ addresses }) => addresses).sort(), [WEB, any].sort());
    });
  await areThere();
  for (const signal of ['KILL', 'TERM'] as const) {
    await world.service.end(signal);
    await world.service.startReady();
    await areThere();
  }
  await world.stopDoor('SIGKILL');
  await world.startDoor();
  await world.docker('restart', '-t', '0', 'fixed', 'any');
  await areThere();
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    await world.stopDockerd(signal);
    assert.ok(await world.startDockerd(false));
    await areThere();
  }
  // A dockerd that died before it said what for: calls keep off the address, and Docker may have it again.
  const pool = `${cloud.vpcId} ${cloud.subnetId} ${DEFAULT_CIDR}`;
  const wish = { PoolID: pool, Address: '172.31.0.50' };
  assert.deepEqual(await callDoor(world, REQUEST, wish), {
    Address: '172.31.0.50/20',
    Data: {},
  });
  await assert.rejects(cloud.make('172.31.0.50'), { name: 'InvalidIPAddress.InUse' });
  await callDoor(world, RELEASE, wish);
  await callDoor(world, RELEASE, wish);
  await cloud.delete(await cloud.make('172.31.0.50'));
  await world.docker('rm', '-f', 'fixed', 'any');
  assert.deepEqual(await world.interfaces(), []);
  await cloud.delete(await cloud.make(WEB));
}

async function manyAtOnce(cloud: DockerCloud): Promise<void> {
  const { world } = cloud;
  const pool = `${cloud.vpcId} ${cloud.subnetId} ${DEFAULT_CIDR}`;
  const names = Array.from({ length: STARTED }, (_, n) => `many-${n}`);
  const [ofDocker, ofContainers, ofCalls] = await Promise.all([
    Promise.all(Array.from({ length: ASKED }, () => callDoor(world, REQUEST, { PoolID: pool }))),
    Promise.all(names.map((name) => place(cloud, name, NETWORK))),
    Promise.all(Array.from({ length: MADE }, () => cloud.makeIn(cloud.subnetId))),
  ]);
  const leased = ofDocker.map((answer) => {
    assert.ok('Address' in answer && typeof answer.Address === 'string', JSON.stringify(answer));
    return answer.Address.replace('/20', '');
  });
  const made = ofCalls.map(({ PrivateIpAddress }) => PrivateIpAddress!);
  assert.equal(new Set([...leased, ...ofContainers, ...made]).size, ASKED + STARTED + MADE);
  const held = await ask(world.control, 'listInterfaces', { owner: 'docker' });
  assert.deepEqual(held.flatMap(({ addresses }) => addresses).sort(), ofContainers.sort());
  await world.docker('rm', '-f', ...names);
  assert.deepEqual(await world.interfaces(), []);
  await Promise.all(leased.map((Address) => callDoor(world, RELEASE, { PoolID: pool, Address })));
  for (const { NetworkInterfaceId } of ofCalls) await cloud.delete(NetworkInterfaceId!);
  await cloud.delete(await cloud.make(leased[0]));
  await world.docker('network', 'rm', NETWORK);
}
