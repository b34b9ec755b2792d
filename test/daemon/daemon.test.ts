/** A daemon's whole life without rights: start, changes, lost devices and stop, with real packet loops. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { UDP_SINGLE } from '../../src/conntrack/states.ts';
import { readTraffic } from '../../src/queries/interfaces-view.ts';
import { EGRESS, INGRESS } from '../../src/engine/counters.ts';
import { udp4 } from '../packets/build.ts';
import { startWorld, tempFolder, type DaemonWorld } from './world.ts';

const GROUPS = `
securityGroups:
  web: { ingress: [{ protocol: udp, ports: 53, from: 10.0.0.0/8 }] }
`;

/** Interfaces by name, each with the device of its name; addresses count from 10.0.0.1 on. */
function configOf(interfaces: Readonly<Record<string, string>>, rest = GROUPS): string {
  const lines = Object.entries(interfaces).map(
    ([name, device], i) =>
      `  ${name}: { device: { name: ${device} }, addresses: [10.0.0.${i + 1}], securityGroups: [web] }`,
  );
  return `${rest}interfaces:\n${lines.join('\n')}\n`;
}

const TWO = configOf({ a: 'dev-a', b: 'dev-b' });
/** From the first interface to the second. */
const QUESTION = udp4('10.0.0.1', '10.0.0.2', { srcPort: 1000, dstPort: 53 });

/** Sends a packet by a device, and waits until the gate has judged it. */
async function judged(
  world: DaemonWorld,
  device: string,
  packet: Uint8Array,
  port: number,
): Promise<void> {
  const { dataplane } = world.daemon.observatory;
  const seen = (): number => {
    const { passedPackets, droppedPackets } = readTraffic(dataplane.readCounters(), port, EGRESS);
    return passedPackets + droppedPackets;
  };
  const before = seen();
  world.devices.send(device, packet);
  await world.until(() => seen() > before, `a packet of ${device} is judged`);
}

function portsOf({ daemon }: DaemonWorld): Record<string, number> {
  return Object.fromEntries(
    [...daemon.observatory.portNames()].map(([port, name]) => [name, port]),
  );
}

async function startTwo(t: TestContext): Promise<DaemonWorld> {
  const world = await startWorld(t, TWO);
  world.devices.takeCalls();
  world.takeLog();
  return world;
}

test('a start opens the devices in their order; packets are judged; a stop closes all', async (t) => {
  const world = await startWorld(t, TWO);
  const { daemon, devices } = world;
  assert.deepEqual(devices.takeCalls(), ['open dev-a', 'open dev-b']);
  assert.deepEqual(world.takeLog(), ['info device opened', 'info device opened']);
  assert.deepEqual(daemon.status(), {
    config: world.file,
    generation: 1,
    interfaces: ['a', 'b'],
    waiting: [],
    groups: 2, // web, and the default group of the VPC
    flows: 0,
    offload: { mode: 'off', interfaces: 0, flows: 0 },
    prefixLists: [],
  });
  assert.deepEqual(portsOf(world), { a: 1, b: 2 });
  await judged(world, 'dev-a', QUESTION, 1);
  assert.equal(daemon.status().flows, 2, 'a flow at each gate');
  const dropped = (): number =>
    readTraffic(daemon.observatory.dataplane.readCounters(), 2, INGRESS).droppedPackets;
  await world.until(() => dropped() === 1, 'a FIFO that is open for reading refuses the write');
  const { pulse } = daemon.loop;
  daemon.loop.nudge();
  await world.until(() => daemon.loop.pulse !== pulse, 'the loop goes round');
  const netnsInode = statSync('/proc/self/ns/net').ino;
  assert.deepEqual(daemon.devices.placeOf(1), { name: 'dev-a', netnsPath: undefined, netnsInode });
  assert.equal(daemon.devices.placeOf(7), undefined);
  await daemon.stop();
  assert.deepEqual(devices.takeCalls(), ['close dev-a', 'close dev-b']);
});

test('flows outlive the daemon in its state directory', async (t) => {
  const stateDirectory = tempFolder(t);
  const first = await startWorld(t, TWO, { stateDirectory });
  await judged(first, 'dev-a', QUESTION, 1);
  await first.daemon.stop();
  const second = await startWorld(t, TWO, { stateDirectory });
  assert.equal(second.daemon.status().flows, 2);
});

test('a start without any device is refused, with the first reason, and leaves none open', async (t) => {
  const prepare = ({ refused }: DaemonWorld['devices']): void => {
    refused.set('dev-a', 'EBUSY').set('dev-b', 'EPERM');
  };
  await assert.rejects(startWorld(t, TWO, { prepare }), { message: 'EBUSY: no dev-a' });
  const { daemon, devices } = await startWorld(t, TWO, {
    prepare: ({ refused }) => void refused.set('dev-a', 'EBUSY'),
  });
  assert.deepEqual(daemon.waiting(), [{ name: 'a', device: 'dev-a', reason: 'EBUSY: no dev-a' }]);
  assert.deepEqual(devices.takeCalls(), ['open dev-b']);
});

test('metrics are of this daemon, and end with it', async (t) => {
  const world = await startWorld(t, `${TWO}metrics: { listen: '127.0.0.1:0' }\n`, {
    prepare: ({ refused }) => void refused.set('dev-b', 'ENODEV'),
  });
  const [url] = world.urls;
  const text = await (await fetch(url)).text();
  const values = (name: string): string[] =>
    text.split('\n').filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  assert.deepEqual(values('secgroupd_policy_generation'), ['secgroupd_policy_generation 1']);
  assert.match(text, /version="1\.2\.3"/);
  assert.deepEqual(values('secgroupd_interface_waiting'), [
    'secgroupd_interface_waiting{interface="a"} 0',
    'secgroupd_interface_waiting{interface="b"} 1',
  ]);
  await world.daemon.stop();
  await assert.rejects(fetch(url));
});

test('a port of metrics that is taken ends the start, and closes what was opened', async (t) => {
  const text = `${TWO}metrics: { listen: '127.0.0.1:0' }\n`;
  const world = await startWorld(t, text);
  const [line] = world.takeLog().filter((message) => message.includes('metrics'));
  assert.equal(line, 'info metrics');
  let devices: DaemonWorld['devices'] | undefined;
  await assert.rejects(
    startWorld(t, `${TWO}metrics: { listen: '192.0.2.1:9' }\n`, {
      prepare: (made) => (devices = made),
    }),
    /no metrics at 192\.0\.2\.1 port 9/,
  );
  assert.deepEqual(devices?.takeCalls(), [
    'open dev-a',
    'open dev-b',
    'close dev-a',
    'close dev-b',
  ]);
});

test('an interface that is added gets a device and a port, and one that is removed gives up both', async (t) => {
  const world = await startTwo(t);
  const { daemon, devices } = world;
  const three = await daemon.reload(world.load(configOf({ a: 'dev-a', b: 'dev-b', c: 'dev-c' })));
  assert.deepEqual(three.interfaces, { added: ['c'], removed: [], changed: [] });
  assert.equal(daemon.generation, 2);
  assert.deepEqual(devices.takeCalls(), ['open dev-c']);
  assert.deepEqual(portsOf(world), { a: 1, b: 2, c: 3 });
  await daemon.reload(world.load(configOf({ a: 'dev-a', c: 'dev-c' })));
  assert.deepEqual(devices.takeCalls(), ['close dev-b']);
  assert.deepEqual(portsOf(world), { a: 1, c: 3 });
  assert.deepEqual(daemon.status().interfaces, ['a', 'c']);
  assert.equal(daemon.generation, 3);
});

test('a port that was given up is not used again until all flows have been judged anew', async (t) => {
  const world = await startTwo(t);
  const { daemon } = world;
  const held = (): number =>
    world.takeLog().filter((message) => message.endsWith('connections held against the change'))
      .length;
  await judged(world, 'dev-b', udp4('10.0.0.2', '10.0.0.1', { srcPort: 9, dstPort: 53 }), 2);
  await daemon.reload(world.load(configOf({ a: 'dev-a' })));
  await world.until(() => held() > 0, 'the flows are judged');
  await daemon.reload(world.load(configOf({ a: 'dev-a', c: 'dev-c' })));
  assert.deepEqual(portsOf(world), { a: 1, c: 2 });
  const traffic = readTraffic(daemon.observatory.dataplane.readCounters(), 2, EGRESS);
  assert.equal(traffic.passedPackets + traffic.droppedPackets, 0, 'it counts from 0 again');
});

test('time-outs of an interface apply from the change on', async (t) => {
  const world = await startTwo(t);
  const { dataplane } = world.daemon.observatory;
  assert.equal(dataplane.idleTimeoutMs(1, UDP_SINGLE), 30_000);
  const shorter = TWO.replace('device: { name: dev-a }', 'device: { name: dev-a }, TRACKING');
  await world.daemon.reload(
    world.load(shorter.replace('TRACKING', 'connectionTracking: { udpTimeout: 40 }')),
  );
  assert.deepEqual(
    [1, 2].map((port) => dataplane.idleTimeoutMs(port, UDP_SINGLE)),
    [40_000, 30_000],
  );
});

test('the same configuration again touches nothing', async (t) => {
  const world = await startTwo(t);
  const changes = await world.daemon.reload(world.load(TWO));
  assert.deepEqual(changes.interfaces, { added: [], removed: [], changed: [] });
  assert.equal(world.daemon.generation, 1);
  assert.deepEqual(world.devices.takeCalls(), []);
  assert.deepEqual(world.takeLog(), []);
});

test('what verdicts do not depend on changes without another generation', async (t) => {
  const world = await startTwo(t);
  const described = TWO.replace('web: {', 'web: { description: of the web,');
  await world.daemon.reload(world.load(described));
  assert.equal(world.daemon.generation, 1);
  assert.equal(world.daemon.config.model.groups.size, 2);
  assert.deepEqual(world.takeLog(), ['info configuration changed']);
});

test('an interface that gets another name takes its device along as it is', async (t) => {
  const world = await startTwo(t);
  await world.daemon.reload(world.load(configOf({ a: 'dev-a', z: 'dev-b' })));
  assert.deepEqual(world.devices.takeCalls(), []);
  assert.deepEqual(portsOf(world), { a: 1, z: 3 }, 'another port, so that no flow becomes its own');
  await judged(world, 'dev-b', udp4('10.0.0.2', '10.0.0.1', { srcPort: 9, dstPort: 53 }), 3);
});

test('an uplink comes, gets another device, and goes', async (t) => {
  const world = await startTwo(t);
  const { daemon, devices } = world;
  const uplink = (name: string): string => `${TWO}uplink: { tun: ${name}, configure: false }\n`;
  await daemon.reload(world.load(uplink('up-1')));
  assert.deepEqual(devices.takeCalls(), ['open up-1']);
  assert.equal(portsOf(world)['uplink'], 0);
  await daemon.reload(world.load(uplink('up-2')));
  assert.deepEqual(devices.takeCalls(), ['open up-2', 'close up-1']);
  await daemon.reload(world.load(TWO));
  assert.deepEqual(devices.takeCalls(), ['close up-2']);
  assert.deepEqual(portsOf(world), { a: 1, b: 2 });
  assert.equal(daemon.generation, 4);
});

test('a device that is configured gets what is new, loses what is old, and is left as it was found', async (t) => {
  const configured = (device: string, address: string): string =>
    `${GROUPS}interfaces:
  a: { device: { name: ${device}, configure: true }, addresses: [${address}], securityGroups: [web] }
`;
  const world = await startWorld(t, configured('dev-a', '10.0.0.1'), {
    prepare: ({ found }) => void found.add('dev-a').add('dev-b'),
  });
  const { daemon, devices } = world;
  assert.deepEqual(devices.takeCalls(), [
    'open dev-a',
    'link 1 mtu 1500 up true',
    'address 1 + 10.0.0.1/32',
  ]);
  await daemon.reload(world.load(configured('dev-a', '10.0.0.9')));
  assert.deepEqual(devices.takeCalls(), ['address 1 - 10.0.0.1/32', 'address 1 + 10.0.0.9/32']);
  await daemon.reload(world.load(configured('dev-b', '10.0.0.9')));
  assert.deepEqual(devices.takeCalls(), [
    'open dev-b',
    'link 2 mtu 1500 up true',
    'address 2 + 10.0.0.9/32',
    'address 1 - 10.0.0.9/32',
    'link 1 mtu 1500 up false',
    'close dev-a',
  ]);
  await daemon.stop();
  assert.deepEqual(devices.takeCalls(), [
    'address 2 - 10.0.0.9/32',
    'link 2 mtu 1500 up false',
    'close dev-b',
  ]);
});

test('a device that is lost cuts off its interface alone, and comes back under the same policy', async (t) => {
  const world = await startTwo(t);
  const { daemon, devices } = world;
  devices.refused.set('dev-a', 'ENODEV');
  devices.lose('dev-a');
  await world.until(() => daemon.waiting().length > 0, 'the loss is noticed');
  assert.deepEqual(daemon.waiting(), [
    { name: 'a', device: 'dev-a', reason: 'dev-a was deleted, or moved to another namespace' },
  ]);
  await world.until(() => devices.calls.includes('close dev-a'), 'it is closed');
  await judged(world, 'dev-b', udp4('10.0.0.2', '10.0.0.1', { srcPort: 9, dstPort: 53 }), 2);
  devices.refused.clear();
  await world.until(() => daemon.waiting().length === 0, 'it is opened again');
  await world.until(() => world.takeLog().includes('info a device is back'), 'it is told');
  assert.equal(daemon.generation, 1);
  await judged(world, 'dev-a', QUESTION, 1);
});

test('an interface whose device is lost can be removed, and its device is not closed twice', async (t) => {
  const world = await startTwo(t);
  const { daemon, devices } = world;
  devices.refused.set('dev-a', 'ENODEV');
  devices.lose('dev-a');
  await world.until(() => devices.calls.includes('close dev-a'), 'it is closed');
  await daemon.reload(world.load(configOf({ b: 'dev-b' }).replace('10.0.0.1', '10.0.0.2')));
  assert.deepEqual(devices.takeCalls(), ['close dev-a']);
  assert.deepEqual(daemon.waiting(), []);
  assert.deepEqual(portsOf(world), { b: 2 });
});

test('a change that lacks descriptors changes nothing', async (t) => {
  const world = await startTwo(t);
  const { daemon, devices } = world;
  devices.refused.set('dev-d', 'EMFILE');
  const more = world.load(configOf({ a: 'dev-a', c: 'dev-c', d: 'dev-d' }));
  await assert.rejects(daemon.reload(more), { message: 'EMFILE: no dev-d' });
  assert.deepEqual(devices.takeCalls(), ['open dev-c', 'close dev-c']);
  assert.deepEqual(portsOf(world), { a: 1, b: 2 });
  assert.deepEqual([daemon.generation, daemon.status().interfaces], [1, ['a', 'b']]);
  // The next change is made all the same.
  devices.refused.clear();
  await daemon.reload(more);
  assert.deepEqual(daemon.status().interfaces, ['a', 'c', 'd']);
});

test('changes are made one after the other, in the order they came', async (t) => {
  const world = await startTwo(t);
  const { daemon } = world;
  const next = ['c', 'd', 'e'].map((name) =>
    world.load(configOf({ a: 'dev-a', [name]: `dev-${name}` })),
  );
  const changes = await Promise.all(next.map((config) => daemon.reload(config)));
  assert.deepEqual(
    changes.map(({ interfaces: { added, removed } }) => [...added, ...removed]),
    [
      ['c', 'b'],
      ['d', 'c'],
      ['e', 'd'],
    ],
  );
  assert.deepEqual(world.devices.takeCalls(), [
    ...['open dev-c', 'close dev-b', 'open dev-d', 'close dev-c', 'open dev-e', 'close dev-d'],
  ]);
});

test('a plan says what would change and be cut, and changes nothing', async (t) => {
  const world = await startTwo(t);
  const { daemon } = world;
  await judged(world, 'dev-a', QUESTION, 1);
  const closing = TWO.replace('ports: 53', 'ports: 54');
  const kept = await daemon.plan(world.load(closing));
  assert.equal(kept.changes.rules.added.length + kept.changes.rules.removed.length, 2);
  const { refusedAnewConnections, ...counts } = kept.impact;
  assert.deepEqual(counts, {
    kept: 2,
    cut: 0,
    keptButRefusedAnew: 1,
    cutConnections: [],
    cutByRule: [],
  });
  assert.equal(refusedAnewConnections[0].interface, 'b');
  const cutting = world.load(closing.replace('web: {', 'web: { revocation: cut,'));
  const { impact } = await daemon.plan(cutting);
  assert.deepEqual([impact.kept, impact.cut], [1, 1]);
  assert.equal(impact.cutConnections[0].interface, 'b');
  assert.deepEqual(
    impact.cutByRule.map(({ flows }) => flows),
    [1],
  );
  assert.deepEqual([daemon.generation, daemon.status().flows], [1, 2]);
  await daemon.reload(cutting);
  await world.until(
    () => world.takeLog().includes('info connections held against the change'),
    'the flows are judged anew',
  );
  assert.equal((await daemon.plan(cutting)).impact.cut, 0, 'nothing is left to be cut');
});

test('the versions of prefix lists go up with what is in force', async (t) => {
  const list = (entry: string): string =>
    `prefixLists: { p: { maxEntries: 9, entries: [${entry}] } }\n${TWO}`;
  const world = await startWorld(t, list('192.0.2.0/24'));
  const version = (): number => world.daemon.status().prefixLists[0].version;
  assert.equal(version(), 1);
  await world.daemon.reload(world.load(list('198.51.100.0/24')));
  assert.equal(version(), 2);
});

test('an explanation is of the configuration in force, with the flows that are tracked', async (t) => {
  const world = await startTwo(t);
  await judged(world, 'dev-a', QUESTION, 1);
  const answer = await world.daemon.explain({ from: 'a', to: 'b', service: 'udp', detail: '53' });
  assert.ok(answer.outcome === 'explained');
  assert.deepEqual(
    answer.pairs.map(({ from, to, connections }) => [from, to, connections.length]),
    [['a', 'b', 2]],
  );
});
