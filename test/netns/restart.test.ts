/**
 * Restarts under a stand-in for systemd that keeps the devices' descriptors cut nothing.
 *
 * With `midstream: drop` a packet of an unknown connection is dropped. So connections that go on do so by the saved
 * flows alone.
 */
import assert from 'node:assert/strict';
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/control-socket/control-client.ts';
import type { PortKindName } from '../../src/ports/port-kind.ts';
import { requireOffload } from '../offload/kernel-rig.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun, run, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { until } from '../support/until.ts';
import { removePairs } from './attach-world.ts';
import { canRun, get, MAIN, makeNamespaces, serve, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const B6 = '2001:db8::2';
const CLIENTS = 12;
const RESTARTS = 4;
const SILENCE_MS = 300;

interface World {
  readonly a: Netns;
  readonly b: Netns;
  readonly file: string;
  readonly state: string;
  readonly service: ServiceManager;
}

/** Of the devices: their kinds, and whether the kernel forwards what is decided. */
interface Devices {
  readonly kinds: readonly [a: PortKindName, b: PortKindName];
  readonly offload: 'on' | 'off';
}

const OURS: Devices = { kinds: ['tun', 'tap'], offload: 'off' };
const PAIRS: Devices = { kinds: ['veth', 'veth'], offload: 'off' };
const FAST: Devices = { ...PAIRS, offload: 'on' };

function socketOf(file: string): string {
  return `${file}.socket`;
}

function titleOf({ kinds, offload }: Devices): string {
  return `${kinds.join(' and ')}${offload === 'on' ? ' with the fast path' : ''}`;
}

function configuration(
  { a, b }: { a: Netns; b: Netns },
  midstream: string,
  { kinds: [ofA, ofB], offload }: Devices = OURS,
): string {
  return `conntrack: { midstream: ${midstream} }
offload: ${offload}
securityGroups:
  client: { ingress: [${midstream === 'accept' ? '{ protocol: tcp, ports: 0-65535, from: sg:server }' : ''}] }
  server: { ingress: [{ protocol: tcp, ports: 80, from: sg:client }, { protocol: tcp, ports: 7000, from: 10.0.0.1/32 }] }
interfaces:
  a: { device: { kind: ${ofA}, netns: ${a.path}, name: eth0 }, addresses: [${A}, 2001:db8::1], securityGroups: [client] }
  b: { device: { kind: ${ofB}, netns: ${b.path}, name: eth0 }, addresses: [${B}, ${B6}], securityGroups: [server] }
`;
}

async function makeWorld(t: TestContext, midstream: string, devices = OURS): Promise<World> {
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(t, 'secgroupd.yaml', configuration({ a, b }, midstream, devices));
  if (devices.kinds.includes('veth')) t.after(() => removePairs(file));
  const state = mkdtempSync(join(tmpdir(), 'sgt-state-'));
  t.after(() => rmSync(state, { recursive: true, force: true }));
  const command = [process.execPath, MAIN, '--config', file, '--control', socketOf(file)];
  const service = ServiceManager.make(t, command, { STATE_DIRECTORY: state });
  await service.startReady();
  await serve(b, 'b');
  return { a, b, file, state, service };
}

function ticks(running: Running): number {
  return Number(/tick (\d+)\n$/.exec(running.stdout())?.[1] ?? -1);
}

/**
 * Connections that carry a line every 20 ms, half of them over IPv6. The server speaks, the client only acknowledges.
 */
async function connectClients(a: Netns): Promise<Running[]> {
  const clients = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) =>
      a.start('curl', ['-gsSN', `http://${i % 2 === 0 ? B : `[${B6}]`}/ticks`]),
    ),
  );
  for (const client of clients) await client.waitFor(/tick 3\n/);
  return clients;
}

/** Waits until every connection has carried more than it has by now. */
async function goOn(clients: readonly Running[]): Promise<void> {
  for (const client of clients) await client.waitFor(new RegExp(`tick ${ticks(client) + 5}\n`));
}

/** Waits until the kernel forwards at least so many flows, where it is to. */
async function untilForwarded({ file }: World, { offload }: Devices, count: number): Promise<void> {
  if (offload === 'off') return;
  await until(
    'the kernel forwards them',
    async () => (await ask(socketOf(file), 'status', {})).offload.flows >= count,
  );
}

async function hasEth0(netns: Netns): Promise<boolean> {
  return (await netns.run('ip', ['link', 'show', 'eth0'])).code === 0;
}

function ready(t: TestContext, { offload } = OURS): boolean {
  if (!canRun(t) || !requireTools(t, 'python3')) return false;
  return offload === 'off' || requireOffload(t) !== undefined;
}

test(`${RESTARTS} restarts cut no connection, by the saved flows alone`, (t) =>
  restartQuietly(t, OURS, /^tun-[0-9a-f]{24} tap-[0-9a-f]{24}$/));

for (const devices of [PAIRS, FAST])
  test(`${RESTARTS} restarts cut no connection of ${titleOf(devices)}, which nobody has to keep`, (t) =>
    restartQuietly(t, devices, /^$/));

async function restartQuietly(t: TestContext, devices: Devices, kept: RegExp): Promise<void> {
  if (!ready(t, devices)) return;
  const world = await makeWorld(t, 'drop', devices);
  const { a, b, state, service } = world;
  const names = await service.names();
  assert.match(names.join(' '), kept);
  const index = (await b.mustRun('cat', ['/sys/class/net/eth0/ifindex'])).trim();
  const clients = await connectClients(a);

  for (let restart = 1; restart <= RESTARTS; restart++) {
    await untilForwarded(world, devices, CLIENTS);
    assert.equal(await service.end('TERM'), 0);
    const snapshot = join(state, 'flows.snapshot');
    assert.equal(statSync(snapshot).mode & 0o777, 0o600);
    await sleep(SILENCE_MS / 3); // For what the kernel had delivered by then and was still on its way to us.
    const before = clients.map(ticks);
    await sleep(SILENCE_MS / 3);
    assert.deepEqual(clients.map(ticks), before, 'while nobody reads, nothing passes');
    const log = service.output.length;
    await service.startReady();
    assert.equal(existsSync(snapshot), false, 'a snapshot serves once');
    const [, restored] = /"msg":"restored (\d+) flows, 0 aged out"/.exec(
      service.output.slice(log),
    )!;
    // Each connection has an entry at either gate; the server's ICMPv6 and others may have some as well.
    assert.ok(Number(restored) >= 2 * CLIENTS, `${restored} flows`);
    await goOn(clients);
  }
  assert.deepEqual(await service.names(), names, 'kept once each');
  assert.equal((await b.mustRun('cat', ['/sys/class/net/eth0/ifindex'])).trim(), index);
  assert.equal(await get(a, B), 'b\n', 'new connections are let in');
}

for (const devices of [OURS, PAIRS, FAST])
  test(`kill -9 keeps ${titleOf(devices)}, and with midstream: accept the connections`, (t) =>
    goOnAfterKill(t, devices));

async function goOnAfterKill(t: TestContext, devices: Devices): Promise<void> {
  if (!ready(t, devices)) return;
  const world = await makeWorld(t, 'accept', devices);
  const { a, b, state, service } = world;
  const clients = await connectClients(a);
  await untilForwarded(world, devices, CLIENTS);
  assert.equal(await service.end('KILL'), -9);
  await sleep(SILENCE_MS);
  const before = clients.map(ticks);
  await sleep(SILENCE_MS);
  assert.deepEqual(clients.map(ticks), before, 'while nobody reads, nothing passes');
  assert.deepEqual([await hasEth0(a), await hasEth0(b)], [true, true]);
  assert.equal(existsSync(join(state, 'flows.snapshot')), false);
  await service.startReady();
  await goOn(clients);
}

for (const devices of [OURS, FAST])
  test(`a connection of a rule that went while nobody ran ends as its group says: ${titleOf(devices)}`, (t) =>
    revokeByRestart(t, devices));

async function revokeByRestart(t: TestContext, devices: Devices): Promise<void> {
  if (!ready(t, devices)) return;
  const world = await makeWorld(t, 'drop', devices);
  const { a, b, file, service } = world;
  const old = await a.start('curl', ['-gsSN', `http://${B}:7000/ticks`]);
  await old.waitFor(/tick 3\n/);
  const clients = await connectClients(a);
  const text = configuration({ a, b }, 'drop', devices);
  const without = text.replace(', { protocol: tcp, ports: 7000, from: 10.0.0.1/32 }', '');

  const restart = async (text: string): Promise<void> => {
    await untilForwarded(world, devices, CLIENTS + 1);
    await service.end('TERM');
    writeFileSync(file, text);
    await service.startReady();
  };

  // As AWS has it, a tracked connection lives on.
  await restart(without);
  await goOn([old, ...clients]);

  await restart(`revocation: recheck\n${text}`);
  await goOn([old, ...clients]);
  await restart(`revocation: recheck\n${without}`);
  await goOn(clients);
  const stopped = ticks(old);
  await sleep(SILENCE_MS);
  assert.equal(ticks(old), stopped);
}

test('snapshots that do not fit are put aside, and the daemon starts without them', async (t) => {
  if (!ready(t)) return;
  const { a, state, service } = await makeWorld(t, 'accept');
  const clients = await connectClients(a);
  const snapshot = join(state, 'flows.snapshot');
  const damages: readonly (readonly [string, (bytes: Buffer) => Buffer, RegExp])[] = [
    ['a flipped bit', flipBit, /its checksum is wrong: it is damaged or cut short/],
    ['cut short', (bytes) => bytes.subarray(0, bytes.length / 2), /its checksum is wrong/],
    ['empty', () => Buffer.alloc(0), /it is cut short: 0 bytes/],
    [
      'another version',
      (bytes) => setVersion(bytes, 99),
      /it has version 99, and this program reads 1/,
    ],
    ['something else', () => Buffer.from('x'.repeat(500)), /it is no snapshot of flows/],
  ];
  for (const [what, damage, reason] of damages) {
    assert.equal(await service.end('TERM'), 0);
    const log = service.output.length;
    const bytes = damage(readFileSync(snapshot));
    writeFileSync(snapshot, bytes);
    await service.startReady();
    assert.match(service.output.slice(log), reason, what);
    assert.deepEqual([existsSync(snapshot), readFileSync(`${snapshot}.bad`)], [false, bytes], what);
    await goOn(clients);
  }
});

test('without room on the disk the flows are not saved, and connections go on all the same', async (t) => {
  if (!ready(t)) return;
  const { a, state, service } = await makeWorld(t, 'accept');
  const clients = await connectClients(a);
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', state]);
  if (mounted.code !== 0) return t.skip(`needs to mount a tmpfs (${mounted.stderr.trim()})`);
  try {
    assert.throws(() => writeFileSync(join(state, 'filler'), Buffer.alloc(1 << 20)), {
      code: 'ENOSPC',
    });
    assert.equal(await service.end('TERM'), 0);
    assert.match(service.output, /ENOSPC.*the flows could not be saved/);
    assert.deepEqual(readdirSync(state), ['filler']);
    await service.startReady();
    await goOn(clients);
  } finally {
    await mustRun('umount', [state]);
  }
});

test('what the store has besides is closed and taken out', async (t) => {
  if (!ready(t)) return;
  const { a, b, service } = await makeWorld(t, 'accept');
  const [tun, tap] = await service.names();
  const clients = await connectClients(a);
  await service.end('TERM');
  service.store('/dev/null', 'tun-of-nobody');
  const log = service.output.length;
  await service.startReady();
  assert.match(service.output.slice(log), /"name":"tun-of-nobody".*a kept descriptor is closed/);
  assert.deepEqual(await service.names(), [tun, tap]);
  await goOn(clients);

  // A descriptor under a device's name that is not that device: the device itself was deleted meanwhile.
  await service.end('TERM');
  await b.mustRun('ip', ['link', 'delete', 'eth0']);
  service.store('/dev/null', tap);
  await service.startReady();
  assert.match(service.output, /its interface is gone/);
  assert.match(service.output, /it is of no TUN/);
  assert.deepEqual(await service.names(), [tun, tap]);
  assert.equal(await get(a, B), 'b\n');
});

test('a device of another kind takes the place of a kept one', async (t) => {
  if (!ready(t)) return;
  const { a, b, file, service } = await makeWorld(t, 'accept');
  const [tun, tap] = await service.names();
  await service.end('TERM');
  writeFileSync(file, configuration({ a, b }, 'accept').replace('kind: tap, ', ''));
  await service.startReady();
  const names = await service.names();
  assert.equal(names.length, 2);
  assert.equal(names[0], tun);
  assert.equal(names.includes(tap), false);
  assert.equal(await get(a, B), 'b\n');
});

function flipBit(bytes: Buffer): Buffer {
  bytes[Math.floor(bytes.length / 2)] ^= 1;
  return bytes;
}

function setVersion(bytes: Buffer, version: number): Buffer {
  bytes.writeUInt32LE(version, 8);
  return bytes;
}
