/**
 * An address that goes from one interface to another, with real packets: who has it now is let in by no connection of
 * who had it, on one host and on two, and after a restart.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Edit } from '../../src/estate/edit.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { addDefaultGroup, authorizeRules, createEstateGroup } from '../../src/estate/groups.ts';
import { deleteInterface } from '../../src/estate/interfaces.ts';
import type { Checked } from '../../src/policy/refusals.ts';
import { openStore } from '../../src/store/open-store.ts';
import { context, DEFAULT_VPC, take } from '../estate/world.ts';
import { makeFolder } from '../store/folder.ts';
import { requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import type { Netns } from '../support/netns.ts';
import { requireTools } from '../support/require.ts';
import { Hosts, place } from './hosts-world.ts';
import { canRun, Daemon, makeNamespaces, serve, temporaryFile } from './world.ts';

const UDP_CLIENT = fileURLToPath(new URL('./udp-client.js', import.meta.url));
const UDP_PORT = 5353;

const ONE = { id: 'eni-00000000000000001', host: 'a', address: '10.0.1.11' };
const TWO = { ...ONE, id: 'eni-00000000000000002' };
const OTHER = { id: 'eni-00000000000000003', host: 'a', address: '10.0.1.12' };
const DB = { id: 'eni-00000000000000004', host: 'a', address: '10.0.1.13' };

/** Asks the server twice from a port, and counts the answers. */
async function ask(netns: Netns, from: number, to = DB.address): Promise<number> {
  const args = [UDP_CLIENT, to, String(UDP_PORT), '2', String(from)];
  const { stdout } = await netns.run(process.execPath, args);
  return stdout.split('\n').length - 1;
}

type Groups = Record<'clients' | 'outsiders' | 'servers', string>;
type Change = <T>(work: (edit: Edit) => Checked<T>) => Promise<T>;
type Ns = Record<'one' | 'two' | 'other' | 'db' | 'fabric', Netns>;
const NAMES = ['one', 'two', 'other', 'db', 'fabric'] as const;

/** The server admits the group `clients`, in which are `one` and `other`. @returns the groups' ids */
async function makeEstate(change: Change, netns: Ns, db = DB): Promise<Groups> {
  return change((edit) => {
    const make = (name: string): string => {
      const wish = { vpcId: DEFAULT_VPC.id, name, description: 'd', tags: [] };
      return take(createEstateGroup(edit, wish, context)).group.id;
    };
    const ids = {
      clients: make('clients'),
      outsiders: make('outsiders'),
      servers: make('servers'),
    };
    const fromClients = [
      { protocol: '-1', peers: [{ kind: 'group', text: ids.clients }] },
    ] as const;
    take(authorizeRules(edit, ids.servers, 'ingress', fromClients, [], context));
    place(edit, ONE, ids.clients, netns.one);
    place(edit, OTHER, ids.clients, netns.other);
    place(edit, db, ids.servers, netns.db);
    return { ok: true, value: ids };
  });
}

/** Deletes the interface `one`, and gives its address to `two`, which is no client. */
async function giveAway(change: Change, ids: Groups, netns: Ns): Promise<void> {
  await change((edit) => deleteInterface(edit, ONE.id));
  await change((edit) => {
    place(edit, TWO, ids.outsiders, netns.two);
    return { ok: true, value: undefined };
  });
}

test('on one host, whose store is a file', async (t) => {
  if (!canRun(t) || !requireTools(t, 'curl')) return;
  const netns = await makeNamespaces(t, NAMES);
  const folder = makeFolder(t);
  const store = join(folder, 'store.db');
  const onTrouble = (message: string): void => assert.fail(message);
  const client = await EstateClient.open({ store: await openStore(store, onTrouble), onTrouble });
  t.after(() => client.close());
  const change: Change = async (work) => {
    const { value, revision } = take(await client.change(work));
    assert.equal((await client.enforce(revision, GUARD_MS)).kind, 'inForce');
    return value;
  };
  await change((edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const ids = await makeEstate(change, netns);
  const uplink = `uplink: { tun: up0, netns: ${netns.fabric.path}, addresses: [10.9.0.1/24] }\n`;
  const file = temporaryFile(t, 'c.yaml', `${uplink}metrics: { listen: 0 }\n`);
  const daemon = await Daemon.start(t, file, ['--store', store, '--host', 'a']);
  await serve(netns.db, 'db');
  assert.deepEqual(
    [await ask(netns.one, 40000), await ask(netns.other, 40000)],
    [2, 2],
    daemon.output,
  );
  const stream = await netns.one.start('curl', [
    '-sN',
    '--local-port',
    '40001',
    `http://${DB.address}:7000/ticks`,
  ]);
  await stream.waitFor(/tick 10\n/);

  await change((edit) => {
    const value = edit.read('interfaces', OTHER.id)!;
    edit.write('interfaces', OTHER.id, { ...value, groupIds: [ids.outsiders] });
    return { ok: true, value: undefined };
  });
  await giveAway(change, ids, netns);
  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await ask(netns.two, 40000), 0, daemon.output);
  });
  assert.ok(drops[`${DB.id} ingress ingress-rules`] >= 2, JSON.stringify(drops));
  // The server talks on to who asked for it, and must not reach who has the address now.
  assert.ok(drops[`${DB.id} egress revoked`] >= 1, JSON.stringify(drops));
  assert.equal(await ask(netns.other, 40000), 2, 'it has other groups, and its address');
  assert.equal(await ask(netns.other, 40002), 0);
  assert.match(
    daemon.output,
    /"addresses":1,"ended":2,"msg":"connections with released addresses ended"/,
  );
});

test('on two hosts, one of which is away when the address goes', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const netns = await makeNamespaces(t, NAMES);
  await netns.fabric.run('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
  const hosts = await Hosts.make(t, {
    a: { netns: netns.fabric, address: '10.9.1.1/24' },
    b: { netns: netns.fabric, address: '10.9.2.1/24' },
  });
  const change: Change = (work) => hosts.change(work);
  const db = { ...DB, host: 'b', address: '10.0.2.13' };
  const ids = await makeEstate(change, netns, db);
  const a = await hosts.start('a');
  let b = await hosts.start('b');
  await hosts.known('a', 'b');
  await serve(netns.db, 'db');
  const both = async (): Promise<readonly number[]> => [
    await ask(netns.one, 40000, db.address),
    await ask(netns.other, 40000, db.address),
  ];
  assert.deepEqual(await both(), [2, 2], a.output + b.output);

  assert.equal(await b.stop(), 0);
  await giveAway(change, ids, netns);
  b = await hosts.start('b');
  await hosts.known('a', 'b');
  assert.match(b.output, /restored 2 flows/);
  assert.equal(await ask(netns.two, 40000, db.address), 0, b.output);
  assert.equal(await ask(netns.other, 40000, db.address), 2, b.output);

  // The same once more, with both.
  await change((edit) => deleteInterface(edit, TWO.id));
  await change((edit) => {
    place(edit, ONE, ids.clients, netns.one);
    return { ok: true, value: undefined };
  });
  assert.deepEqual(await both(), [2, 2], a.output + b.output);
  await giveAway(change, ids, netns);
  assert.equal(await ask(netns.two, 40000, db.address), 0, b.output);
  assert.equal(await ask(netns.other, 40000, db.address), 2, b.output);
  assert.match(
    b.output,
    /"addresses":1,"ended":1,"msg":"connections with released addresses ended"/,
  );
});

test('where files declare both, by a reload and over a restart', async (t) => {
  if (!canRun(t)) return;
  const netns = await makeNamespaces(t, NAMES);
  const line = (name: 'one' | 'two' | 'other' | 'db', address: string, group: string): string =>
    `  ${name}: { device: { netns: ${netns[name].path}, name: eth0 }, addresses: [${address}], securityGroups: [${group}] }\n`;
  const text = (holder: string): string => `
securityGroups: { clients: {}, outsiders: {}, servers: { ingress: [{ protocol: udp, ports: 0-65535, from: 'sg:clients' }] } }
interfaces:
${holder}${line('other', OTHER.address, 'clients')}${line('db', DB.address, 'servers')}metrics: { listen: '127.0.0.1:0' }
`;
  const one = text(line('one', ONE.address, 'clients'));
  const two = text(line('two', TWO.address, 'outsiders'));
  const file = temporaryFile(t, 'c.yaml', one);
  const state = makeFolder(t);
  let daemon = await Daemon.start(t, file, ['--state-dir', state]);
  const begin = async (): Promise<void> => {
    assert.deepEqual(
      [await ask(netns.one, 40000), await ask(netns.other, 40000)],
      [2, 2],
      daemon.output,
    );
  };
  const check = async (): Promise<void> => {
    assert.deepEqual(
      [await ask(netns.two, 40000), await ask(netns.other, 40000)],
      [0, 2],
      daemon.output,
    );
  };
  const reload = async (next: string): Promise<void> => {
    const before = daemon.output.length;
    writeFileSync(file, next);
    daemon.hangUp();
    while (!daemon.output.slice(before).includes('configuration changed'))
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(readFileSync(file, 'utf8'), next);
  };
  await serve(netns.db, 'db');
  await begin();
  await reload(two);
  await check();
  await reload(one);
  await begin();
  assert.equal(await daemon.stop(), 0);
  writeFileSync(file, two);
  daemon = await Daemon.start(t, file, ['--state-dir', state]);
  await check();
});
