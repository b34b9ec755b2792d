/**
 * The daemon leaves alone what is not its own: the host's routes, and namespaces that have got an old name or number.
 */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun, run } from '../support/process.ts';
import { uniqueName } from '../support/netns.ts';
import { until } from '../support/until.ts';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';

const A = '10.0.0.11';

/** A default route of this test's own namespace; skipped where there is one already, which is somebody's. */
async function hostRoute(t: TestContext): Promise<string | undefined> {
  const before = await mustRun('ip', ['route', 'show', 'default']);
  if (before !== '') {
    t.skip('this machine has a default route of its own: run it in a network namespace');
    return undefined;
  }
  const name = uniqueName();
  await mustRun('ip', ['link', 'add', name, 'type', 'veth', 'peer', 'name', `${name}p`]);
  t.after(() => run('ip', ['link', 'delete', name]));
  await mustRun('ip', ['address', 'add', '192.0.2.10/24', 'dev', name]);
  await mustRun('ip', ['link', 'set', name, 'up']);
  await mustRun('ip', ['link', 'set', `${name}p`, 'up']);
  await mustRun('ip', ['route', 'add', 'default', 'via', '192.0.2.1', 'dev', name]);
  return mustRun('ip', ['route', 'show', 'default']);
}

/** Of IPv4: link-local addresses of IPv6 come in their own time. */
const routes = (): Promise<string> => mustRun('ip', ['-4', 'route', 'show', 'table', 'all']);

for (const configure of ['', ', configure: true'])
  test(`a device in the host's own namespace${configure}: its default route is the host's`, async (t) => {
    if (!canRun(t)) return;
    const route = await hostRoute(t);
    if (route === undefined) return;
    const name = uniqueName();
    const file = temporaryFile(
      t,
      'secgroupd.yaml',
      `interfaces: { vm: { device: { kind: tap, name: ${name}${configure} }, addresses: [${A}] } }\n`,
    );
    const before = await routes();
    const daemon = await Daemon.start(t, file);
    assert.equal(await mustRun('ip', ['route', 'show', 'default']), route);
    const link = await mustRun('ip', ['-brief', 'address', 'show', name]);
    assert.equal(link.includes(`${A}/32`), configure !== '', link);
    if (configure === '') assert.equal(await routes(), before);
    assert.equal(await daemon.stop(), 0);
    assert.equal(await routes(), before);
  });

/** A process in a network namespace of its own, once it is there. */
async function startInside(t: TestContext): Promise<ChildProcess> {
  const child = spawn('unshare', ['--net', 'sleep', '300'], { stdio: 'ignore' });
  t.after(() => child.kill('SIGKILL'));
  const own = readlinkSync('/proc/self/ns/net');
  await until(
    'unshare makes a network namespace',
    () => readlinkSync(`/proc/${child.pid}/ns/net`) !== own,
  );
  return child;
}

/** Starts processes in this namespace until one has the number. */
async function takeNumber(t: TestContext, pid: number): Promise<boolean> {
  for (let i = 0; i < 300; i++) {
    writeFileSync('/proc/sys/kernel/ns_last_pid', String(pid - 1));
    const child = spawn('sleep', ['300'], { stdio: 'ignore' });
    if (child.pid === pid) {
      t.after(() => child.kill('SIGKILL'));
      return true;
    }
    child.kill('SIGKILL');
    await sleep(1);
  }
  return false;
}

test("a process id that is another process's by now is not followed into the host", async (t) => {
  if (!canRun(t)) return;
  const route = await hostRoute(t);
  if (route === undefined) return;
  const guest = await startInside(t);
  const pid = guest.pid!;
  const { b } = await makeNamespaces(t, ['b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${pid}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.12] }
`,
  );
  const before = await routes();
  const daemon = await Daemon.start(t, file);
  assert.equal((await ping(b, A)).code, 0, 'the guest is reached');
  const gone = new Promise((resolve) => guest.once('exit', resolve));
  guest.kill('SIGKILL');
  await gone;
  if (!(await takeNumber(t, pid))) {
    t.skip('the number of a process could not be had again');
    return;
  }
  assert.equal(readFileSync(`/proc/${pid}/comm`, 'utf8'), 'sleep\n');
  await sleep(3500); // Names are looked at every second.
  assert.equal(await routes(), before);
  assert.notEqual((await run('ip', ['link', 'show', 'eth0'])).code, 0);
  assert.equal(await daemon.stop(), 0);

  // Nor at a start: it is the host's, and the others run.
  const next = await Daemon.start(t, file);
  assert.match(next.output, /is the daemon's own network namespace/);
  assert.notEqual((await run('ip', ['link', 'show', 'eth0'])).code, 0);
  assert.equal(await routes(), before);
  assert.equal(await next.stop(), 0);
});

test('a default route that an instance has by another interface is not replaced: its interface waits', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  await a.mustRun('ip', ['link', 'add', 'other', 'type', 'veth', 'peer', 'name', 'beyond']);
  await a.mustRun('ip', ['link', 'set', 'other', 'up']);
  await a.mustRun('ip', ['link', 'set', 'beyond', 'up']);
  await a.mustRun('ip', ['route', 'add', 'default', 'dev', 'other']);
  const before = await a.mustRun('ip', ['route', 'show', 'default']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.12] }
`,
  );
  const daemon = await Daemon.start(t, file);
  assert.match(
    daemon.output,
    /another route to the same destination is there, and is not replaced/,
  );
  assert.equal(await a.mustRun('ip', ['route', 'show', 'default']), before);
  await a.mustRun('ip', ['route', 'delete', 'default']);
  for (let i = 0; i < 200 && (await ping(b, A)).code !== 0; i++) await sleep(50);
  assert.equal((await ping(b, A)).code, 0);
  assert.equal(await daemon.stop(), 0);
});

test("another route to one interface's address keeps the uplink from no other", async (t) => {
  if (!canRun(t)) return;
  const { up, a, b } = await makeNamespaces(t, ['up', 'a', 'b']);
  await up.mustRun('ip', ['link', 'add', 'other', 'type', 'veth', 'peer', 'name', 'beyond']);
  await up.mustRun('ip', ['link', 'set', 'other', 'up']);
  await up.mustRun('ip', ['link', 'set', 'beyond', 'up']);
  await up.mustRun('ip', ['route', 'add', `${A}/32`, 'dev', 'other']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `uplink: { tun: up0, netns: ${up.path}, addresses: [10.9.0.1/24] }
securityGroups: { web: { ingress: [{ protocol: icmp, type: 8, from: 10.9.0.0/24 }] } }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}], securityGroups: [web] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.12], securityGroups: [web] }
`,
  );
  const daemon = await Daemon.start(t, file);
  assert.equal((await ping(up, '10.0.0.12')).code, 0);
  assert.match(
    daemon.output,
    new RegExp(`"addresses":\\["${A}"\\],"msg":"the host has other routes`),
  );
  assert.match(await up.mustRun('ip', ['route', 'get', A]), / dev other /);
  assert.equal(await daemon.stop(), 0);
});

test('a device that its guest moved is configured where it is, and nothing where it was', async (t) => {
  if (!canRun(t)) return;
  const { a, b, mine } = await makeNamespaces(t, ['a', 'b', 'mine']);
  const text = (more: string): string => `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}${more}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.12] }
`;
  const file = temporaryFile(t, 'secgroupd.yaml', text(''));
  const daemon = await Daemon.start(t, file);
  await a.mustRun('ip', ['link', 'set', 'eth0', 'netns', mine.name]);
  await mine.mustRun('ip', ['link', 'set', 'eth0', 'up']);
  const before = await a.mustRun('ip', ['address', 'show']);
  writeFileSync(file, text(', 10.0.0.13'));
  daemon.hangUp();
  for (let i = 0; i < 200 && !/"outcome":"changed"/.test(daemon.output); i++) await sleep(50);
  assert.match(daemon.output, /"outcome":"changed"/);
  assert.match(await mine.mustRun('ip', ['address', 'show', 'eth0']), /10\.0\.0\.13\/32/);
  assert.equal(await a.mustRun('ip', ['address', 'show']), before);
  assert.equal(await daemon.stop(), 0);
});

for (const { title, before } of [
  {
    title: 'that was down and had nothing',
    before: ['mtu 1400'],
  },
  {
    title: 'that was up and had addresses and routes, one of them those of the configuration',
    before: ['mtu 1400', 'up'],
  },
])
  test(`a persistent device ${title} is left as it was`, async (t) => {
    if (!canRun(t)) return;
    const { a } = await makeNamespaces(t, ['a']);
    const inA = (...args: readonly string[]): Promise<string> => a.mustRun('ip', args);
    await inA('tuntap', 'add', 'dev', 'sg0', 'mode', 'tun');
    for (const change of before) await inA('link', 'set', 'sg0', ...change.split(' '));
    if (before.includes('up')) {
      await inA('address', 'add', `${A}/32`, 'dev', 'sg0');
      await inA('address', 'add', '10.9.0.1/24', 'dev', 'sg0');
      await inA('route', 'add', '10.8.0.0/16', 'dev', 'sg0');
    }
    // Link-local addresses of IPv6 come and go with the link, and the order is the kernel's. That a link has no carrier
    // any more, it says up to a second later.
    const state = async (): Promise<string[]> => {
      const [link, addresses, ways, ways6] = await Promise.all([
        inA('-o', 'link', 'show', 'sg0'),
        inA('-o', 'address', 'show', 'dev', 'sg0', 'scope', 'global'),
        inA('-4', 'route', 'show', 'table', 'all'),
        inA('-6', 'route', 'show', 'default'),
      ]);
      const { groups } = /<(?<flags>[^>]*)> mtu (?<mtu>\d+)/.exec(link)!;
      const isUp = groups!['flags'].split(',').includes('UP');
      const routes = ways.replaceAll(' linkdown', '');
      return [`mtu ${groups!['mtu']}, ${isUp ? 'up' : 'down'}`, addresses, routes, ways6];
    };
    const was = await state();
    const file = temporaryFile(
      t,
      'secgroupd.yaml',
      `interfaces: { vm: { device: { netns: ${a.path}, name: sg0 }, addresses: [${A}, 'fd00::11'] } }\n`,
    );
    const daemon = await Daemon.start(t, file);
    assert.match(await inA('-4', 'route', 'show', 'default'), /dev sg0/);
    assert.match(await inA('-o', 'link', 'show', 'sg0'), /mtu 1500/);
    // What the guest took away meanwhile is no failure.
    await inA('-6', 'address', 'delete', 'fd00::11/128', 'dev', 'sg0');
    assert.equal(await daemon.stop(), 0);
    assert.deepEqual(await state(), was);
    assert.doesNotMatch(daemon.output, /could not be left/);
  });
