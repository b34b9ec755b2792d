/** Starts, stops and reloads that collide: the one that loses says so, leaves nothing behind and harms nobody. */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/control-socket/control-client.ts';
import type { Netns } from '../support/netns.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';
import { until } from '../support/until.ts';

const WEB = '10.0.0.11';
const HANG_UPS = 200;
const RESTARTS = 6;

interface World {
  readonly web: Netns;
  readonly file: string;
  readonly socket: string;
}

function configuration(web: Netns, device = 'eth0', port = 80, more = ''): string {
  return `securityGroups:
  any: { ingress: [{ protocol: tcp, ports: ${port}, from: 198.51.100.0/24 }] }
interfaces:
  web: { device: { netns: ${web.path}, name: ${device} }, addresses: [${WEB}], securityGroups: [any] }
${more}
`;
}

async function makeWorld(t: TestContext): Promise<World> {
  const { web } = await makeNamespaces(t, ['web']);
  const file = temporaryFile(t, 'secgroupd.yaml', configuration(web));
  return { web, file, socket: join(dirname(file), 'control.sock') };
}

async function devices({ web }: World): Promise<string[]> {
  const text = await web.mustRun('ip', ['-j', 'link']);
  const links = JSON.parse(text) as { readonly ifname: string }[];
  return links.map(({ ifname }) => ifname).filter((name) => name !== 'lo');
}

/** Ports that a rule in force admits. */
async function ports(socket: string): Promise<string[]> {
  const { rules } = await ask(socket, 'rules', { groups: ['any'], direction: 'ingress' });
  return rules.map(({ text }) => /^tcp (\d+) /.exec(text)![1]);
}

/** A line of the log, and no stack. */
function assertTold(
  { code, log }: Awaited<ReturnType<typeof Daemon.startAndEnd>>,
  told: RegExp,
): void {
  assert.equal(code, 1, log);
  assert.match(log, told);
  assert.doesNotMatch(log, /\bat \S+ \(|"stack"/);
}

test('a second daemon for the same devices, or at the same socket, ends with 1; the first goes on', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { web, file, socket } = world;
  const first = await Daemon.start(t, file, ['--control', socket]);
  const other = join(dirname(file), 'other.sock');
  assertTold(
    await Daemon.startAndEnd(t, file, ['--control', other]),
    /could not start: EBUSY: interface eth0 is held by another descriptor/,
  );
  assert.equal(existsSync(other), false);

  const elsewhere = temporaryFile(t, 'elsewhere.yaml', configuration(web, 'eth1'));
  assertTold(
    await Daemon.startAndEnd(t, elsewhere, ['--control', socket]),
    /could not start: no control socket at \S+: another daemon listens at \S+; stop that one/,
  );
  assert.deepEqual(await devices(world), ['eth0'], 'the device of the second is gone');
  assert.equal((await ask(socket, 'status', {})).pid, first.pid);
  assert.equal(await first.stop(), 0);
  assert.deepEqual([await devices(world), existsSync(socket)], [[], false]);
});

test('kill -9 leaves a socket that the next daemon takes; a file that is no socket is left alone', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { file, socket } = world;
  const first = await Daemon.start(t, file, ['--control', socket]);
  await first.kill();
  assert.equal(existsSync(socket), true);
  const second = await Daemon.start(t, file, ['--control', socket]);
  assert.equal((await ask(socket, 'status', {})).pid, second.pid);
  assert.equal(await second.stop(), 0);

  writeFileSync(socket, 'precious');
  assertTold(
    await Daemon.startAndEnd(t, file, ['--control', socket]),
    /could not start: .*control\.sock is a file, not a socket/,
  );
  assert.equal(readFileSync(socket, 'utf8'), 'precious');
  assert.deepEqual(await devices(world), []);
});

test(`${HANG_UPS} SIGHUPs, and reloads that get in between: the last file is in force`, async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { web, file, socket } = world;
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  for (let i = 0; i < HANG_UPS; i++) daemon.hangUp();
  const asked = [1, 2, 3, 4, 5].map((i) => {
    writeFileSync(file, configuration(web, 'eth0', 80 + i));
    daemon.hangUp();
    return ask(socket, 'reload', {});
  });
  for (const { outcome } of await Promise.all(asked))
    assert.ok(outcome === 'changed' || outcome === 'unchanged', outcome);
  assert.deepEqual(await ports(socket), ['85']);
  assert.equal((await ask(socket, 'status', {})).pid, daemon.pid);

  // Gone, it is refused; back, it is taken.
  rmSync(file);
  assert.equal((await ask(socket, 'reload', {})).outcome, 'refused');
  assert.deepEqual(await ports(socket), ['85']);
  writeFileSync(file, configuration(web, 'eth0', 90));
  assert.equal((await ask(socket, 'reload', {})).outcome, 'changed');
  assert.deepEqual(await ports(socket), ['90']);
  assert.equal(await daemon.stop(), 0);
});

test('the port of the metrics is taken: the start fails, and leaves no device and no socket', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { web, file, socket } = world;
  const server = createServer().listen(0, '127.0.0.1');
  t.after(() => server.close());
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  const metrics = `metrics: { listen: '127.0.0.1:${port}' }`;
  writeFileSync(file, configuration(web, 'eth0', 80, metrics));
  assertTold(
    await Daemon.startAndEnd(t, file, ['--control', socket]),
    new RegExp(`could not start: .*127\\.0\\.0\\.1:${port}`),
  );
  assert.deepEqual([await devices(world), existsSync(socket)], [[], false]);
});

test('started while the old one stops, it says what is taken, or runs; then it runs', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { file, socket } = world;
  let daemon = await Daemon.start(t, file, ['--control', socket]);
  for (let i = 0; i < RESTARTS; i++) {
    const stopped = daemon.stop();
    let next: Daemon | undefined;
    await until('the next one runs', async () => {
      try {
        next = await Daemon.start(t, file, ['--control', socket]);
        return true;
      } catch (error) {
        assert.match(String(error), /could not start: .*(eth0|another daemon listens)/);
        return false;
      }
    });
    assert.equal(await stopped, 0);
    daemon = next!;
    assert.equal((await ask(socket, 'status', {})).pid, daemon.pid);
    assert.deepEqual(await devices(world), ['eth0']);
  }
  assert.equal(await daemon.stop(), 0);
});

test('ended at any moment of its start, it leaves nothing that keeps the next from starting', async (t) => {
  if (!canRun(t)) return;
  const world = await makeWorld(t);
  const { web, file, socket } = world;
  for (const [i, signal] of (['SIGTERM', 'SIGKILL', 'SIGINT', 'SIGTERM'] as const).entries()) {
    const started = Daemon.begin(t, file, ['--control', socket]);
    await sleep(120 * i);
    started.signal(signal);
    const how = await started.ended;
    assert.ok(how === signal || how === 0, String(how));
    await until('the device goes', async () => (await devices(world)).length === 0);
  }
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  assert.equal((await ask(socket, 'status', {})).pid, daemon.pid);
  assert.notEqual((await ping(web, '198.51.100.1', 1, '-W', '0.2')).code, 0, 'no uplink to it');
  assert.equal(await daemon.stop(), 0);
});
