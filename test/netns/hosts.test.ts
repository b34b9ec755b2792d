/**
 * Two hosts that share a store in etcd: a daemon each, with a network of the kernel's between their uplinks. Members of
 * a group count on both, the store may be away, and a daemon that starts meanwhile enforces what it knew.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { addDefaultGroup, authorizeRules, createEstateGroup } from '../../src/estate/groups.ts';
import type { GroupUse } from '../../src/queries/rules-view.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { openStore } from '../../src/store/open-store.ts';
import { writeAttached } from '../estate/write-interface.ts';
import { context, DEFAULT_VPC, take } from '../estate/world.ts';
import { makeFolder } from '../store/folder.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import type { Netns } from '../support/netns.ts';
import { run } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain } from './world.ts';

const ENFORCE_MS = 60_000;
const WEB = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const OTHER = { id: 'eni-00000000000000002', host: 'a', address: '10.0.1.12' };
const DB = { id: 'eni-00000000000000003', host: 'b', address: '10.0.2.11' };

interface Hosts {
  readonly etcd: Etcd;
  readonly netns: Record<'web' | 'other' | 'db' | 'fabric', Netns>;
  readonly groups: Record<'web' | 'db', string>;
  readonly daemons: Record<'a' | 'b', Daemon>;
  readonly control: (host: 'a' | 'b') => string;
  readonly folder: string;
  /** @param more of the URL of the store */
  readonly start: (host: 'a' | 'b', more?: string) => Promise<Daemon>;
  readonly change: <T>(work: (edit: Edit) => Checked<T>) => Promise<T>;
}

async function startHosts(t: TestContext): Promise<Hosts> {
  const etcd = await Etcd.forTest(t);
  const netns = await makeNamespaces(t, ['web', 'other', 'db', 'fabric']);
  await netns.fabric.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const folder = makeFolder(t);
  const store = `etcd://${etcd.hosts}`;
  const client = await EstateClient.open({
    store: await openStore(store, () => undefined),
    onTrouble: () => undefined,
  });
  t.after(() => client.close());
  const change = async <T>(work: (edit: Edit) => Checked<T>): Promise<T> => {
    const { value, revision } = take(await client.change(work));
    assert.deepEqual(await client.enforce(revision, ENFORCE_MS), { kind: 'inForce' });
    return value;
  };
  const groups = await change((edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    addDefaultGroup(edit, DEFAULT_VPC, context);
    const make = (name: string): string => {
      const wish = { vpcId: DEFAULT_VPC.id, name, description: 'd', tags: [] };
      return take(createEstateGroup(edit, wish, context)).group.id;
    };
    const made = { web: make('web'), other: make('other'), db: make('db') };
    const fromWeb = [{ protocol: '-1', peers: [{ kind: 'group', text: made.web }] } as const];
    take(authorizeRules(edit, made.db, 'ingress', fromWeb, [], context));
    const place = (one: typeof WEB, groupId: string, at: Netns): void =>
      writeAttached(edit, one.id, {
        ...{ device: 'eth0', host: one.host, address: one.address, groupIds: [groupId] },
        ...{ netns: at.path, configure: true },
      });
    place(WEB, made.web, netns.web);
    place(OTHER, made.other, netns.other);
    place(DB, made.db, netns.db);
    return { ok: true, value: made };
  });
  const control = (host: 'a' | 'b'): string => join(folder, `${host}.sock`);
  const start = async (host: 'a' | 'b', query = ''): Promise<Daemon> => {
    const [file, state] = [join(folder, `${host}.yaml`), join(folder, `state-${host}`)];
    mkdirSync(state, { recursive: true });
    const address = host === 'a' ? '10.9.1.1/24' : '10.9.2.1/24';
    const uplink = `uplink: { tun: up-${host}, netns: ${netns.fabric.path}, addresses: [${address}] }\n`;
    writeFileSync(file, `${uplink}metrics: { listen: 0 }\n`);
    const more = ['--host', host, '--state-dir', state, '--control', control(host)];
    return Daemon.start(t, file, ['--store', `${store}${query}`, ...more]);
  };
  const daemons = { a: await start('a'), b: await start('b') };
  return { etcd, netns, groups, daemons, control, folder, start, change };
}

test('hosts that share a store admit members of a group wherever they are', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { netns, groups, change, daemons, control } = await startHosts(t);
  const ok = async (from: Netns): Promise<void> =>
    assert.equal((await ping(from, DB.address)).code, 0, daemons.b.output);
  await ok(netns.web);
  await pingInVain(netns.other, DB.address);
  const move = (one: typeof WEB, groupId: string) =>
    change((edit) => {
      const value = edit.read('interfaces', one.id)!;
      edit.write('interfaces', one.id, { ...value, groupIds: [groupId] });
      return { ok: true, value: undefined };
    });
  await move(OTHER, groups.web);
  await ok(netns.other);
  await move(OTHER, groups.db);
  await pingInVain(netns.other, DB.address);
  const { stdout, stderr } = await run(process.execPath, [
    SGCTL,
    'groups',
    '--socket',
    control('b'),
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
  const { etcd, netns, groups, change, daemons, start } = await startHosts(t);
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
  const b = await start('b');
  assert.match(b.output, /the copy of the estate is in force, until the store is read/);
  assert.equal((await ping(netns.web, DB.address)).code, 0, b.output);
  await pingInVain(netns.other, DB.address);
  assert.ok((await away(b)) > 0);
  await member.start();
  await etcd.waitHealthy();
  await change((edit) => {
    const value = edit.read('interfaces', OTHER.id)!;
    edit.write('interfaces', OTHER.id, { ...value, groupIds: [groups.web] });
    return { ok: true, value: undefined };
  });
  assert.equal((await ping(netns.other, DB.address)).code, 0, b.output);
  assert.equal(await away(b), 0);
  assert.equal(await away(daemons.a), 0);
});

test('a host that leaves in order is waited for no more, and comes back as it was', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { netns, daemons, start, etcd, change, groups } = await startHosts(t);
  assert.equal(await daemons.b.stop(), 0);
  const rows = await etcd.ctl(['get', '--prefix', '--keys-only', '/secgroupd/v1/rows/hosts/']);
  assert.deepEqual(rows.match(/hosts\/\w+\/applied/g), ['hosts/a/applied']);
  await change((edit) => {
    const value = edit.read('interfaces', OTHER.id)!;
    edit.write('interfaces', OTHER.id, { ...value, groupIds: [groups.web] });
    return { ok: true, value: undefined };
  });
  const b = await start('b');
  assert.equal((await ping(netns.other, DB.address)).code, 0, b.output);
});

test('a host needs the right to read what hosts enforce, and to write what it says of itself', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const { netns, daemons, start, etcd, folder } = await startHosts(t);
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
  const b = await start('b', `/?user=b&password-file=${password}`);
  assert.equal((await ping(netns.web, DB.address)).code, 0, b.output);
  const asRoot = async (key: string): Promise<string> =>
    etcd.ctl(['--user', 'root:top', 'get', '--print-value-only', `${rows}${key}`]);
  while (!(await asRoot('hosts/b/applied')).includes('"revision"'))
    await new Promise((resolve) => setTimeout(resolve, 100));
  const other = await etcd.tryCtl(['--user', 'b:secret', 'put', `${rows}hosts/a/applied`, '{}']);
  assert.match(other.stderr, /permission denied/);
});
