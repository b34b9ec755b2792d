/**
 * Restarts of a daemon with several packet loops, under a stand-in for systemd that keeps the devices' descriptors.
 *
 * With `midstream: drop` a packet of an unknown connection is dropped. So connections go on only by the saved flows,
 * and only if each flow was put into the tables of the loop that its packets come to.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../support/netns.ts';
import type { Running } from '../support/process.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { get, MAIN, makeNamespaces, serve, temporaryFile } from './world.ts';
import { addressOn, canRunWorkers, loopOf, packetsDuring } from './workers-world.ts';

const SERVER = '10.0.0.2';
const SERVER6 = '2001:db8::2';
/** Of each loop where there are two, and of each where there are three. */
const HOSTS = hostsOf('10.0.1.', SERVER);
const HOSTS6 = hostsOf('2001:db8:1::', SERVER6);
const CLIENTS_EACH = 2;
const SILENCE_MS = 300;

function hostsOf(prefix: string, server: string): string[] {
  const hosts = [2, 3].flatMap((loops) =>
    Array.from({ length: loops }, (_, loop) => addressOn(loop, prefix, server, loops)),
  );
  return [...new Set(hosts)];
}

interface World {
  readonly client: Netns;
  readonly server: Netns;
  readonly file: string;
  readonly service: ServiceManager;
}

function configuration(client: Netns, server: Netns, workers: number): string {
  return `workers: ${workers}
conntrack: { midstream: drop }
securityGroups:
  client: { ingress: [] }
  server: { ingress: [{ protocol: tcp, ports: 80, from: sg:client }] }
interfaces:
  a: { device: { netns: ${client.path}, name: eth0 }, addresses: [${[...HOSTS, ...HOSTS6].join(', ')}], securityGroups: [client] }
  b: { device: { kind: tap, netns: ${server.path}, name: eth0 }, addresses: [${SERVER}, '${SERVER6}'], securityGroups: [server] }
`;
}

async function makeWorld(t: TestContext, workers: number): Promise<World> {
  const { client, server } = await makeNamespaces(t, ['client', 'server']);
  const file = temporaryFile(t, 'workers.yaml', configuration(client, server, workers));
  const state = mkdtempSync(join(tmpdir(), 'sgt-state-'));
  t.after(() => rmSync(state, { recursive: true, force: true }));
  const command = [process.execPath, MAIN, '--config', file];
  const service = ServiceManager.make(t, command, { STATE_DIRECTORY: state });
  await service.startReady();
  await serve(server, 'server');
  return { client, server, file, service };
}

/** Connections from each of the client's addresses; who answers speaks, who asked only acknowledges. */
async function connectAll(client: Netns): Promise<Running[]> {
  const streams = await Promise.all(
    [...HOSTS, ...HOSTS6].flatMap((host) =>
      Array.from({ length: CLIENTS_EACH }, () =>
        client.start('curl', [
          ...['-gsSN', '--interface', host],
          `http://${host.includes(':') ? `[${SERVER6}]` : SERVER}/ticks`,
        ]),
      ),
    ),
  );
  for (const stream of streams) await stream.waitFor(/tick 3\n/);
  return streams;
}

function ticks(stream: Running): number {
  return Number(/tick (\d+)\n$/.exec(stream.stdout())?.[1] ?? -1);
}

async function goOn(streams: readonly Running[]): Promise<void> {
  for (const stream of streams) await stream.waitFor(new RegExp(`tick ${ticks(stream) + 5}\n`));
}

async function ifindex(netns: Netns): Promise<string> {
  return (await netns.mustRun('cat', ['/sys/class/net/eth0/ifindex'])).trim();
}

async function countQueues(netns: Netns): Promise<number> {
  const queues = await netns.mustRun('ls', ['/sys/class/net/eth0/queues']);
  return queues.split('\n').filter((name) => name.startsWith('rx-')).length;
}

/** Restarts it. @returns how many flows it restored */
async function restart({ service }: World, meanwhile?: () => void): Promise<number> {
  assert.equal(await service.end('TERM'), 0);
  meanwhile?.();
  const log = service.output.length;
  await service.startReady();
  const restored = /"msg":"restored (\d+) flows, 0 aged out"/.exec(service.output.slice(log));
  assert.ok(restored !== null, service.output.slice(log));
  return Number(restored[1]);
}

test('restarts with two loops cut no connection, by the saved flows alone', async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t, 2);
  const { client, server, service } = world;
  const names = await service.names();
  assert.match(names.join(' '), /^([-\w]{10})-1\.2 \1-2\.2 ([-\w]{10})-1\.2 \2-2\.2$/);
  const index = await ifindex(server);
  const streams = await connectAll(client);
  for (let i = 0; i < 3; i++) {
    const restored = await restart(world);
    assert.ok(restored >= 2 * streams.length, `${restored} flows`);
    const counts = await packetsDuring(server, () => goOn(streams));
    assert.ok(Math.min(...counts) >= 20, `both loops carry some: ${String(counts)}`);
  }
  assert.deepEqual(await service.names(), names, 'kept once each');
  assert.equal(await ifindex(server), index);
  assert.equal(await get(client, SERVER), 'server\n');
});

test('while nobody reads, nothing passes, and after kill -9 the devices are the same', async (t) => {
  if (!canRunWorkers(t)) return;
  const { client, server, service } = await makeWorld(t, 2);
  const streams = await connectAll(client);
  const index = await ifindex(server);
  assert.equal(await service.end('KILL'), -9);
  await sleep(SILENCE_MS);
  const before = streams.map(ticks);
  await sleep(SILENCE_MS);
  assert.deepEqual(streams.map(ticks), before);
  await service.startReady();
  assert.equal(await ifindex(server), index);
  // Without saved flows, `midstream: drop` ends what there was.
  assert.equal(await get(client, SERVER), 'server\n');
  assert.equal(await get(client, `[${SERVER6}]`), 'server\n');
  await sleep(SILENCE_MS);
  assert.deepEqual(streams.map(ticks), before);
});

for (const [before, after] of [
  [1, 2],
  [2, 1],
  [2, 3],
]) {
  test(`from ${before} to ${after} loops: devices get as many queues, flows go to their loop`, async (t) => {
    if (!canRunWorkers(t)) return;
    const world = await makeWorld(t, before);
    const { client, server, file, service } = world;
    const streams = await connectAll(client);
    const restored = await restart(world, () => {
      writeFileSync(file, configuration(client, server, after));
    });
    assert.ok(restored >= 2 * streams.length, `${restored} flows`);
    for (const netns of [client, server]) assert.equal(await countQueues(netns), after);
    // The addresses and routes of a device that went are set again; TCP tries again meanwhile.
    await goOn(streams);
    const names = await service.names();
    assert.equal(names.length, 2 * after, names.join(' '));
    if (after > 1) assert.ok(names.every((name) => name.endsWith(`.${after}`)));
    else assert.ok(names.every((name) => !name.includes('.')));
    assert.equal(await get(client, SERVER), 'server\n');
    for (const [hosts, address] of [
      [HOSTS, SERVER],
      [HOSTS6, SERVER6],
    ] as const)
      assert.equal(new Set(hosts.map((host) => loopOf(host, address, after))).size, after);
    await restart(world);
    await goOn(streams);
  });
}

test('a device that lost one of its queues is made anew', async (t) => {
  if (!canRunWorkers(t)) return;
  const world = await makeWorld(t, 2);
  const { client, server, service } = world;
  const names = await service.names();
  const streams = await connectAll(client);
  assert.equal(await service.end('TERM'), 0);
  service.forget(names[2]);
  const log = service.output.length;
  await service.startReady();
  assert.match(service.output.slice(log), /"msg":"restored \d+ flows, 0 aged out"/);
  assert.equal(await countQueues(server), 2);
  await goOn(streams);
  assert.deepEqual([...(await service.names())].sort(), [...names].sort());
});
