/**
 * A namespace or device that is missing delays nobody else: its interface is reported as waiting, and starts when it
 * can.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import type { Netns } from '../support/netns.ts';
import { mustRun, run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { canRun, Daemon, MAIN, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';
import { until } from '../support/until.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const C = '10.0.0.3';

interface World {
  readonly names: Record<'a' | 'b' | 'c', Netns>;
  readonly file: string;
  readonly socket: string;
  start(): Promise<Daemon>;
  waiting(): Promise<string[]>;
  /** What the list of interfaces says of one that waits. */
  waitingOf(name: string): Promise<string | undefined>;
}

function configuration({ a, b, c }: World['names'], more = ''): string {
  return `securityGroups: { any: { ingress: [{ protocol: icmp, type: 8, from: 10.0.0.0/24 }] } }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}], securityGroups: [any] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}], securityGroups: [any] }
  c: { device: { kind: tap, netns: ${c.path}, name: eth0 }, addresses: [${C}], securityGroups: [any] }
metrics: { listen: 127.0.0.1:0 }
${more}`;
}

async function makeWorld(t: TestContext): Promise<World> {
  const names = await makeNamespaces(t, ['a', 'b', 'c']);
  const file = temporaryFile(t, 'secgroupd.yaml', configuration(names));
  const socket = join(dirname(file), 'control.sock');
  return {
    names,
    file,
    socket,
    start: () => Daemon.start(t, file, ['--control', socket]),
    waitingOf: async (name) =>
      (await ask(socket, 'interfaces', {})).find((one) => one.name === name)?.waiting,
    waiting: async () => {
      const { waiting } = await ask(socket, 'status', {});
      return waiting.map(({ name, device, reason }) => `${name} | ${device} | ${reason}`);
    },
  };
}

test('a guest that put another interface in the place of its eth0 keeps nobody else from starting', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { a, b } = world.names;
  await b.mustRun('ip', ['link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1']);
  const daemon = await world.start();
  assert.equal((await ping(a, C)).code, 0);
  await pingInVain(a, B);
  assert.match(
    (await world.waiting()).join(),
    new RegExp(`^b \\| eth0 in ${b.path} \\| .*is not a TUN`),
  );
  const metrics = await daemon.scrape();
  assert.match((await world.waitingOf('b')) ?? '', /is not a TUN/);
  assert.equal(await world.waitingOf('a'), undefined);
  assert.match(metrics, /secgroupd_interface_waiting\{interface="b"\} 1/);
  assert.match(metrics, /secgroupd_interface_waiting\{interface="a"\} 0/);
  // An interface that is there does not get the address of the one that waits.
  await a.mustRun('ip', ['address', 'add', `${B}/32`, 'dev', 'eth0']);
  assert.notEqual((await a.run('ping', ['-c', '1', '-W', '0.5', '-I', B, C])).code, 0);
  await a.mustRun('ip', ['address', 'delete', `${B}/32`, 'dev', 'eth0']);
  await b.mustRun('ip', ['link', 'delete', 'eth0']);
  await until('b comes', async () => (await ping(a, B)).code === 0);
  assert.deepEqual(await world.waiting(), []);
  assert.equal(await world.waitingOf('b'), undefined);
  assert.equal(await daemon.stop(), 0);
});

test('namespaces that are not there: at the start, and at a reload; they come when they are made', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { a, b, c } = world.names;
  await mustRun('ip', ['netns', 'delete', b.name]);
  const daemon = await world.start();
  assert.match(
    daemon.output,
    /warning: the network namespace \S+ does not exist; the interfaces in it wait/,
  );
  assert.equal((await ping(a, C)).code, 0);
  await mustRun('ip', ['netns', 'add', b.name]);
  await until('b comes', async () => (await ping(a, B)).code === 0);

  const text = configuration(world.names).replace(
    'metrics:',
    `  d: { device: { netns: ${c.path}-later, name: eth0 }, addresses: [10.0.0.4], securityGroups: [any] }\nmetrics:`,
  );
  writeFileSync(world.file, text);
  const result = await ask(world.socket, 'reload', {});
  assert.equal(result.outcome, 'changed');
  const told = result.problems.map(({ severity, path }) => `${severity} ${path}`);
  assert.ok(told.includes('warning interfaces.d'), told.join());
  assert.equal((await ping(a, B)).code, 0);
  assert.match((await world.waiting()).join(), /^d \| eth0 in .*-later \| .*ENOENT/);
  assert.equal(await daemon.stop(), 0);
});

test('a second daemon with the same devices is refused', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const daemon = await world.start();
  const { code, log } = await Daemon.startAndEnd(t, world.file);
  assert.equal(code, 1, log);
  assert.match(log, /eth0 is held by another descriptor/);
  assert.equal((await ping(world.names.a, B)).code, 0);
  assert.equal(await daemon.stop(), 0);
});

test('a daemon that may make none of its devices does not start, and says why', async (t) => {
  if (!canRun(t) || !requireTools(t, 'setpriv')) return;
  const { file, names } = await makeWorld(t);
  const { code, stderr, stdout } = await run('setpriv', [
    '--bounding-set',
    '-net_admin',
    process.execPath,
    MAIN,
    '--config',
    file,
  ]);
  assert.equal(code, 1, stdout + stderr);
  assert.match(stdout + stderr, /could not start.*EPERM/);
  assert.doesNotMatch(await names.a.mustRun('ip', ['link']), /eth0/);
});

test('an uplink is added, changed and removed by reloads; connections between instances stay', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { a } = world.names;
  const { out } = await makeNamespaces(t, ['out']);
  const daemon = await world.start();
  const change = async (uplink: string): Promise<void> => {
    writeFileSync(world.file, configuration(world.names, uplink));
    const result = await ask(world.socket, 'reload', {});
    assert.equal(result.outcome, 'changed', JSON.stringify(result));
  };
  const up = (name: string, address: string): string =>
    `uplink: { tun: ${name}, netns: ${out.path}, addresses: [${address}/24] }\n`;
  await pingInVain(a, '198.51.100.1');
  await change(up('up0', '198.51.100.1'));
  assert.equal((await ping(a, '198.51.100.1')).code, 0);
  await change(up('up1', '198.51.101.1'));
  assert.equal((await ping(a, '198.51.101.1')).code, 0);
  await pingInVain(a, '198.51.100.1');
  assert.notEqual((await out.run('ip', ['link', 'show', 'up0'])).code, 0);
  // Of the same name, made in another way: the old one has to go first.
  await change(up('up1', '198.51.101.1').replace('tun:', 'tap:'));
  await until('the TAP comes', async () =>
    /link\/ether/.test((await out.run('ip', ['link', 'show', 'up1'])).stdout),
  );
  await change('');
  assert.notEqual((await out.run('ip', ['link', 'show', 'up1'])).code, 0);
  assert.equal((await ping(a, B)).code, 0);
  assert.equal(await daemon.stop(), 0);
});
