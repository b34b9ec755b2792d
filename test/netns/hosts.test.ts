/**
 * Two hosts that share a store in etcd: a daemon each, with a network of the kernel's between their uplinks. Members of
 * a group count on both, the store may be away, and a daemon that starts meanwhile enforces what it knew.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { authorizeRules } from '../../src/estate/groups.ts';
import type { GroupUse } from '../../src/queries/rules-view.ts';
import { context, take } from '../estate/world.ts';
import { requireEtcd } from '../support/etcd.ts';
import type { Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { Hosts, place } from './hosts-world.ts';
import type { Daemon } from './world.ts';
import { canRun, makeNamespaces, ping, pingInVain } from './world.ts';

const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const OTHER = { id: 'eni-00000000000000002', host: 'a', address: '10.0.1.12' };
const DB = { id: 'eni-00000000000000003', host: 'b', address: '10.0.2.11' };

interface World {
  readonly hosts: Hosts;
  readonly netns: Record<'web' | 'other' | 'db' | 'fabric', Netns>;
  readonly groups: Record<'web' | 'other' | 'db', string>;
  readonly daemons: Record<'a' | 'b', Daemon>;
}

async function startHosts(t: TestContext): Promise<World> {
  const netns = await makeNamespaces(t, ['web', 'other', 'db', 'fabric']);
  await netns.fabric.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const hosts = await Hosts.make(t, {
    a: { netns: netns.fabric, address: '10.9.1.1/24' },
    b: { netns: netns.fabric, address: '10.9.2.1/24' },
  });
  const groups = await hosts.makeGroups(['web', 'other', 'db']);
  await hosts.change((edit) => {
    const fromWeb = [{ protocol: '-1', peers: [{ kind: 'group', text: groups.web }] } as const];
    take(authorizeRules(edit, groups.db, 'ingress', fromWeb, [], context));
    place(edit, WEB, groups.web, netns.web);
    place(edit, OTHER, groups.other, netns.other);
    place(edit, DB, groups.db, netns.db);
    return { ok: true, value: undefined };
  });
  const daemons = { a: await hosts.start('a'), b: await hosts.start('b') };
  await hosts.known('a', 'b');
  return { hosts, netns, groups, daemons };
}

test('hosts that share a store admit members of a group wherever they are', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { netns, groups, hosts, daemons } = await startHosts(t);
  const ok = async (from: Netns): Promise<void> =>
    assert.equal((await ping(from, DB.address)).code, 0, daemons.b.output);
  await ok(netns.web);
  await pingInVain(netns.other, DB.address);
  await hosts.change(hosts.move(OTHER, groups.web));
  await ok(netns.other);
  await hosts.change(hosts.move(OTHER, groups.db));
  await pingInVain(netns.other, DB.address);
  const { stdout, stderr } = await run(process.execPath, [
    SGCTL,
    'groups',
    '--socket',
    hosts.control('b'),
    '--json',
  ]);
  assert.equal(stderr, '');
  const views = JSON.parse(stdout) as readonly GroupUse[];
  const found = new Map(views.map((one) => [one.id, one]));
  const { isOnlyNamed, elsewhere, interfaces } = found.get(groups.web)!;
  assert.deepEqual([isOnlyNamed, elsewhere, interfaces], [true, 1, []]);
  assert.deepEqual(found.get(groups.db)?.interfaces, [DB.id]);
  const drops = await daemons.b.dropsDuring(() => pingInVain(netns.other, DB.address));
  assert.deepEqual(Object.keys(drops), [`${DB.id} ingress ingress-rules`]);
});

test('without the store, what was known is in force, also for a daemon that starts', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { hosts, netns, groups, daemons } = await startHosts(t);
  const { etcd } = hosts;
  assert.equal((await ping(netns.web, DB.address)).code, 0);
  const [member] = etcd.members;
  await member.stop('SIGKILL');
  assert.equal((await ping(netns.web, DB.address, 5)).code, 0);
  await pingInVain(netns.other, DB.address);
  const away = async (daemon: Daemon): Promise<number> =>
    (await daemon.metrics()).get('secgroupd_store_age_seconds')!;
  while ((await away(daemons.a)) === 0) await new Promise((resolve) => setTimeout(resolve, 100));
  // A host that was killed comes back before the store does.
  await daemons.b.kill();
  const b = await hosts.start('b');
  assert.match(b.output, /the copy of the estate is in force, until the store is read/);
  assert.equal((await ping(netns.web, DB.address)).code, 0, b.output);
  await pingInVain(netns.other, DB.address);
  assert.ok((await away(b)) > 0);
  await member.start();
  await etcd.waitHealthy();
  await hosts.commit(hosts.move(OTHER, groups.web));
  // Nobody waits for a host that etcd has missed meanwhile, and both come back when they like.
  while ((await ping(netns.other, DB.address)).code !== 0);
  for (const daemon of [daemons.a, b])
    while ((await away(daemon)) > 0) await new Promise((resolve) => setTimeout(resolve, 100));
});

test('a host that leaves in order is waited for no more, and comes back as it was', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { hosts, netns, daemons, groups } = await startHosts(t);
  const said = async (): Promise<readonly string[]> => {
    const below = '/secgroupd/v1/rows/hosts/';
    const keys = await hosts.etcd.ctl(['get', '--prefix', '--keys-only', below]);
    return keys.match(/\w+\/(applied|alive)/g) ?? [];
  };
  const all = ['a/alive', 'a/applied', 'b/alive', 'b/applied'];
  while ((await said()).length < all.length)
    await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(await said(), all);
  assert.equal(await daemons.b.stop(), 0);
  assert.deepEqual(await said(), ['a/alive', 'a/applied']);
  await hosts.change(hosts.move(OTHER, groups.web));
  const b = await hosts.start('b');
  assert.equal((await ping(netns.other, DB.address)).code, 0, b.output);
});

test('a host needs the right to read what hosts enforce, and to write what it says of itself', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { hosts, netns, daemons } = await startHosts(t);
  const { etcd, folder } = hosts;
  assert.equal(await daemons.b.stop(), 0);
  const rows = '/secgroupd/v1/rows/';
  for (const args of [
    ['user', 'add', 'root:top'],
    ['user', 'grant-role', 'root', 'root'],
    ['user', 'add', 'b:secret'],
    ['role', 'add', 'b'],
    ['role', 'grant-permission', 'b', 'read', '/secgroupd/v1/store'],
    ['role', 'grant-permission', 'b', 'read', `${rows}desired/`, '--prefix'],
    ['role', 'grant-permission', 'b', 'readwrite', `${rows}hosts/b/`, '--prefix'],
    ['user', 'grant-role', 'b', 'b'],
    ['auth', 'enable'],
  ])
    await etcd.tryCtl(args);
  const password = join(folder, 'password');
  writeFileSync(password, 'secret\n', { mode: 0o600 });
  const b = await hosts.start('b', `etcd://${etcd.hosts}/?user=b&password-file=${password}`);
  assert.equal((await ping(netns.web, DB.address)).code, 0, b.output);
  const asRoot = async (key: string): Promise<string> =>
    etcd.ctl(['--user', 'root:top', 'get', '--print-value-only', `${rows}${key}`]);
  while (!(await asRoot('hosts/b/applied')).includes('"revision"'))
    await new Promise((resolve) => setTimeout(resolve, 100));
  const other = await etcd.tryCtl(['--user', 'b:secret', 'put', `${rows}hosts/a/applied`, '{}']);
  assert.match(other.stderr, /permission denied/);
});
