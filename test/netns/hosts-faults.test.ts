/**
 * What goes wrong between hosts and the store that they share, with real daemons and real packets: hosts and servers of
 * the API are cut off, rows can't be read, etcd is full, the clock jumps, another cluster is in the place of the one.
 * docs/clusters.md has a table of what comes of each.
 */
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { authorizeRules } from '../../src/estate/groups.ts';
import { valueKey } from '../../src/estate/keys.ts';
import type { Status } from '../../src/queries/status-view.ts';
import { context, take } from '../estate/world.ts';
import { Wire } from '../store/etcd-place.ts';
import { requireEtcd } from '../support/etcd.ts';
import type { Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import { canRun, makeNamespaces, ping, pingInVain, type Daemon } from './world.ts';

const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const OTHER = { id: 'eni-00000000000000002', host: 'b', address: '10.0.2.12' };
const DB = { id: 'eni-00000000000000003', host: 'b', address: '10.0.2.11' };
const SELF = { id: 'eni-00000000000000004', host: 'a', address: '10.0.1.12' };
const ROWS = '/secgroupd/v1/rows/';
const QUOTA_BYTES = 16 << 20;
const LIBFAKETIME = '/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1';
const NEAR_MS = 3_600_000;

type Host = 'a' | 'b';

interface World {
  readonly hosts: Hosts;
  readonly netns: Record<'web' | 'self' | 'other' | 'db' | 'fabric', Netns>;
  readonly groups: Record<'web' | 'none' | 'db', string>;
  readonly daemons: Record<Host, Daemon>;
  /** Between etcd and each host, and the client that makes changes. */
  readonly wires: Record<Host | 'client', Wire>;
  readonly folder: string;
}

/**
 * `web` and `self` are on the host a, `other` and `db` on b. The group of `db`, and that of `self`, admit the group of
 * `web`. So each host has somebody who is asked, and somebody who asks.
 */
async function startHosts(t: TestContext): Promise<World> {
  const netns = await makeNamespaces(t, ['web', 'self', 'other', 'db', 'fabric']);
  await netns.fabric.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const wires: Partial<World['wires']> = {};
  const hosts = await Hosts.make(
    t,
    {
      a: { netns: netns.fabric, address: '10.9.1.1/24' },
      b: { netns: netns.fabric, address: '10.9.2.1/24' },
    },
    { args: ['--quota-backend-bytes', String(QUOTA_BYTES)] },
    async (etcd) => {
      for (const name of ['a', 'b', 'client'] as const) wires[name] = await Wire.to(t, etcd.hosts);
      return `etcd://${wires.client!.endpoint}`;
    },
  );
  const made = wires as World['wires'];
  const groups = await hosts.makeGroups(['web', 'none', 'db']);
  await hosts.change((edit) => {
    const fromWeb = [{ protocol: '-1', peers: [{ kind: 'group', text: groups.web }] } as const];
    take(authorizeRules(edit, groups.db, 'ingress', fromWeb, [], context));
    place(edit, WEB, groups.web, netns.web);
    place(edit, SELF, groups.db, netns.self);
    place(edit, OTHER, groups.none, netns.other);
    place(edit, DB, groups.db, netns.db);
    return { ok: true, value: undefined };
  });
  const start = (host: Host): Promise<Daemon> => hosts.start(host, `etcd://${made[host].endpoint}`);
  const daemons = { a: await start('a'), b: await startWithClock(hosts.folder, () => start('b')) };
  // The library leaves these of a process that was killed.
  for (const name of ['faketime_shm_', 'sem.faketime_sem_'])
    t.after(() => rmSync(`/dev/shm/${name}${daemons.b.pid}`, { force: true }));
  return { hosts, netns, groups, daemons, wires: made, folder: hosts.folder };
}

/** Starts a daemon whose clock can be set by a file, where the library for that is installed. */
async function startWithClock<T>(folder: string, work: () => Promise<T>): Promise<T> {
  if (!existsSync(LIBFAKETIME)) return work();
  const clock = join(folder, 'clock');
  writeFileSync(clock, '+0');
  const { env } = process;
  Object.assign(env, {
    ...{ LD_PRELOAD: LIBFAKETIME, FAKETIME_TIMESTAMP_FILE: clock, FAKETIME_NO_CACHE: '1' },
    ...{ FAKETIME_DONT_FAKE_MONOTONIC: '1', DONT_FAKE_MONOTONIC: '1' },
  });
  try {
    return await work();
  } finally {
    for (const name of ['LD_PRELOAD', 'FAKETIME_TIMESTAMP_FILE', 'FAKETIME_NO_CACHE'])
      delete env[name];
    for (const name of ['FAKETIME_DONT_FAKE_MONOTONIC', 'DONT_FAKE_MONOTONIC']) delete env[name];
  }
}

async function reaches(from: Netns, { address }: typeof WEB): Promise<void> {
  assert.equal((await ping(from, address)).code, 0, `nothing reaches ${address}`);
}

/** Waits until packets pass, or pass no more. */
async function until(from: Netns, { address }: typeof WEB, passes: boolean): Promise<void> {
  while (((await ping(from, address, 1, '-W', '0.3')).code === 0) !== passes);
}

async function status(hosts: Hosts, host: Host): Promise<Status> {
  const args = ['status', '--socket', hosts.control(host), '--json'];
  const { stdout, stderr } = await run(process.execPath, [SGCTL, ...args]);
  assert.equal(stderr, '');
  return JSON.parse(stdout) as Status;
}

async function saysOf(hosts: Hosts, host: Host, id: string, what: RegExp): Promise<void> {
  for (;;) {
    const { store } = await status(hosts, host);
    const found = store?.notInForce.find((one) => one.id === id);
    if (found !== undefined && what.test(found.reason)) return;
  }
}

async function isAway(hosts: Hosts, host: Host, isIt: boolean): Promise<void> {
  while (((await status(hosts, host)).store?.awaySec !== undefined) !== isIt);
}

/** A change, and its reverse: packets obey either. */
async function moveAndBack(
  netns: World['netns'],
  hosts: Hosts,
  groups: World['groups'],
): Promise<void> {
  await hosts.commit(hosts.move(OTHER, groups.web));
  await until(netns.other, DB, true);
  await hosts.commit(hosts.move(OTHER, groups.none));
  await until(netns.other, DB, false);
}

/** Hosts are cut off from etcd; each goes on with what it had, and takes in all that was missed when it is back. */
async function cutOff(world: World, cut: readonly Host[]): Promise<void> {
  const { hosts, netns, groups, wires } = world;
  for (const host of cut) wires[host].cut();
  for (const host of cut) await isAway(hosts, host, true);
  await hosts.commit(hosts.move(OTHER, groups.web));
  // `self` is on a, `db` on b: who is asked decides.
  const asked = [
    ['a', netns.other, SELF],
    ['b', netns.other, DB],
  ] as const;
  for (const [host, from, to] of asked)
    if (cut.includes(host)) await pingInVain(from, to.address);
    else await until(from, to, true);
  await reaches(netns.web, DB);
  for (const host of cut) wires[host].heal();
  for (const [, from, to] of asked) await until(from, to, true);
  for (const host of cut) await isAway(hosts, host, false);
  await hosts.commit(hosts.move(OTHER, groups.none));
  for (const [, from, to] of asked) await until(from, to, false);
}

/** No server of the API reaches etcd: a change is refused or made later, hosts go on. */
async function cutOffClient({ hosts, netns, groups, wires }: World): Promise<void> {
  wires.client.cut();
  await assert.rejects(hosts.client.change(hosts.move(OTHER, groups.web)));
  await reaches(netns.web, DB);
  await pingInVain(netns.other, DB.address);
  wires.client.heal();
  await moveAndBack(netns, hosts, groups);
}

/** Rows that a host can't read: the former version stays in force, and it says so. */
async function unreadable({ hosts, netns, groups }: World): Promise<void> {
  const { etcd } = hosts;
  const key = valueKey('groups', groups.db);
  const right = await etcd.ctl(['get', '--print-value-only', `${ROWS}${key}`]);
  const large = JSON.stringify({ newer: 'x'.repeat(1_000_000) });
  for (const text of ['{"rules":{"a newer":"version"}}', large]) {
    await etcd.ctl(['put', `${ROWS}${key}`], etcd.members, text);
    await saysOf(hosts, 'b', groups.db, /^its former version is: /);
    await reaches(netns.web, DB);
    await pingInVain(netns.other, DB.address);
  }
  await etcd.ctl(['put', `${ROWS}${key}`], etcd.members, right.trimEnd());
  while ((await status(hosts, 'b')).store!.notInForce.length > 0);
  await moveAndBack(netns, hosts, groups);
}

/** etcd takes nothing any more: packets go on, a host says that it can't tell, and tells when there is room. */
async function full({ hosts, netns, daemons }: World): Promise<void> {
  const { etcd } = hosts;
  const value = 'x'.repeat(1_000_000);
  while ((await etcd.tryCtl(['put', '/else'], etcd.members, value)).code === 0);
  appendFileSync(hosts.files.get('a')!, 'securityGroups: { declared: {} }\n');
  daemons.a.hangUp();
  while (!/database space exceeded/.test(daemons.a.output)) await sleep(50);
  await reaches(netns.web, DB);
  await pingInVain(netns.other, DB.address);
  const revision = /"revision":(\d+)/.exec(await etcd.ctl(['get', '/', '--write-out', 'json']))![1];
  await etcd.ctl(['compact', revision]);
  await etcd.ctl(['defrag']);
  await etcd.ctl(['alarm', 'disarm']);
  const declared = ['get', '--prefix', '--keys-only', `${ROWS}hosts/a/declared/groups/`];
  while (!(await etcd.ctl(declared)).includes('sg-')) await sleep(50);
}

/** When a daemon thinks that it wrote its log's lines. */
function timesOf(daemon: Daemon): readonly string[] {
  return [...daemon.output.matchAll(/"time":"([^"]+)"/g)].map(([, text]) => text);
}

/** The clock of a host jumps by a day, both ways: nothing that it does goes by it. */
async function clockJumps(
  t: TestContext,
  { hosts, netns, groups, daemons, folder }: World,
): Promise<void> {
  if (!existsSync(LIBFAKETIME)) {
    t.skip(`needs libfaketime (${LIBFAKETIME})`);
    return;
  }
  for (const jump of ['+86400', '-86400', '+0']) {
    writeFileSync(join(folder, 'clock'), jump);
    daemons.b.hangUp();
    const isThere = (text: string): boolean =>
      Math.abs(Date.parse(text) - Date.now() - 1000 * Number(jump)) < NEAR_MS;
    while (!timesOf(daemons.b).some(isThere)) await sleep(50);
    await reaches(netns.web, DB);
    await pingInVain(netns.other, DB.address);
    await moveAndBack(netns, hosts, groups);
    assert.equal((await status(hosts, 'b')).store?.awaySec, undefined);
  }
}

/** Another cluster has the addresses of the one: a host takes nothing of it while it runs. */
async function replaced({ hosts, netns, daemons }: World): Promise<void> {
  const { etcd } = hosts;
  await etcd.replace(['--initial-cluster-token', 'other']);
  while (!/is another cluster now/.test(daemons.b.output)) await sleep(50);
  await isAway(hosts, 'b', true);
  await reaches(netns.web, DB);
  await pingInVain(netns.other, DB.address);
  assert.equal(await etcd.ctl(['get', '--prefix', '']), '', 'nothing was written there');
  const copy = readFileSync(join(hosts.folder, 'state-b', 'estate.cache'), 'utf8');
  assert.ok(copy.includes(DB.id), 'the copy of the former is kept');
}

test('hosts and the store that they share: what goes wrong', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const world = await startHosts(t);
  await reaches(world.netns.web, DB);
  await t.test('host a is cut off', () => cutOff(world, ['a']));
  await t.test('host b is cut off', () => cutOff(world, ['b']));
  await t.test('both hosts are cut off', () => cutOff(world, ['a', 'b']));
  await t.test('the API is cut off', () => cutOffClient(world));
  await t.test('rows that can not be read', () => unreadable(world));
  await t.test('the clock of a host jumps', (t) => clockJumps(t, world));
  await t.test('etcd is full', () => full(world));
  await t.test('another cluster at the same addresses', () => replaced(world));
});
