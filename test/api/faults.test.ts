/**
 * What happens to the program secgroup-api while it serves, or before: kill -9 between commit and answer, many calls
 * and many connections at once, a store that is newer, or damaged.
 */
import assert from 'node:assert/strict';
import { closeSync, mkdirSync, openSync, statSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname } from 'node:path';
import { describe, test, type TestContext } from 'node:test';
import { CONNECTIONS_MAX } from '../../src/api/connections.ts';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { aliveKey, appliedKey } from '../../src/estate/keys.ts';
import { openStore } from '../../src/store/open-store.ts';
import { openSqliteStore } from '../../src/store/sqlite-store.ts';
import { Sqlite } from '../../src/store/sqlite.ts';
import { change, putHost } from '../estate/world.ts';
import { makeFolder } from '../store/folder.ts';
import {
  API_PROGRAM,
  apiArguments,
  startApiProgram,
  startApiServer,
  storeFileOf,
  type Key,
} from '../support/api-program.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run } from '../support/process.ts';
import { send, type Got } from './request.ts';

/** As a server of one key that many use. */
const CALLS = 100;
const CONNECTIONS = 1000;
const PAGE_BYTES = 4096;

type Parameters = Readonly<Record<string, string>>;

function call(url: string, key: Key, action: string, parameters: Parameters): Promise<Got> {
  const body = new URLSearchParams({ Action: action, Version: '2016-11-15', ...parameters });
  return send(Number(new URL(url).port), key, { body: body.toString() });
}

function webRule(GroupId: string, port: number): Parameters {
  return {
    GroupId,
    'IpPermissions.1.IpProtocol': 'tcp',
    'IpPermissions.1.FromPort': String(port),
    'IpPermissions.1.ToPort': String(port),
    'IpPermissions.1.IpRanges.1.CidrIp': '10.0.0.0/8',
  };
}

async function makeGroup(url: string, key: Key, GroupName = 'web'): Promise<string> {
  const made = await call(url, key, 'CreateSecurityGroup', { GroupName, GroupDescription: 'd' });
  assert.equal(made.status, 200, made.body);
  return /<groupId>(.*?)</.exec(made.body)![1];
}

async function portsOf(url: string, key: Key, groupId: string): Promise<readonly number[]> {
  const filter = { 'Filter.1.Name': 'group-id', 'Filter.1.Value.1': groupId };
  const { body } = await call(url, key, 'DescribeSecurityGroupRules', filter);
  return [...body.matchAll(/<isEgress>false<.*?<fromPort>(\d+)</gs)].map(([, port]) =>
    Number(port),
  );
}

test('of 100 who authorize one rule at once at two servers, one does', async (t) => {
  const folder = makeFolder(t);
  const { server, url, key } = await startApiProgram(folder, { policy: 'write' });
  t.after(() => server.stop());
  const other = await startApiServer(folder);
  t.after(() => other.server.stop());
  const groupId = await makeGroup(url, key);
  const urls = [url, other.url];
  const done = await Promise.all(
    Array.from({ length: CALLS }, (_, i) =>
      call(urls[i % 2], key, 'AuthorizeSecurityGroupIngress', webRule(groupId, 443)),
    ),
  );
  const codes = done.map(({ code }) => code ?? 'ok').sort();
  assert.deepEqual(codes, [...Array<string>(CALLS - 1).fill('InvalidPermission.Duplicate'), 'ok']);
  for (const one of urls) assert.deepEqual(await portsOf(one, key, groupId), [443]);
});

/** The estate, as a host sees it that runs and puts nothing in force: calls commit, and get no answer. */
async function openSlowHost(t: TestContext, store: string): Promise<EstateClient> {
  const client = await EstateClient.open({
    store: await openStore(store, assert.fail),
    onTrouble: (message) => assert.fail(message),
  });
  t.after(() => client.close());
  await change(client, (edit) => {
    putHost(edit, 'slow', { revision: 0 });
    return { ok: true, value: undefined };
  });
  return client;
}

function stopHost(client: EstateClient): Promise<void> {
  return change(client, (edit) => {
    edit.remove(aliveKey('slow'));
    edit.remove(appliedKey('slow'));
    return { ok: true, value: undefined };
  });
}

test('killed between commit and answer, it has the change as a whole when it is back', async (t) => {
  const folder = makeFolder(t);
  const { server, url, key, store } = await startApiProgram(folder, { policy: 'write' });
  t.after(() => server.stop());
  const groupId = await makeGroup(url, key);
  const host = await openSlowHost(t, store);
  const calls: readonly (readonly [action: string, parameters: Parameters, again: string])[] = [
    ['CreateSecurityGroup', { GroupName: 'db', GroupDescription: 'd' }, 'InvalidGroup.Duplicate'],
    ['AuthorizeSecurityGroupIngress', webRule(groupId, 443), 'InvalidPermission.Duplicate'],
    ['CreateTags', { 'ResourceId.1': groupId, 'Tag.1.Key': 'k', 'Tag.1.Value': 'v' }, 'ok'],
    [
      'CreateManagedPrefixList',
      {
        PrefixListName: 'offices',
        AddressFamily: 'IPv4',
        MaxEntries: '2',
        'Entry.1.Cidr': '10.1.0.0/16',
        ClientToken: 'the first',
      },
      'ok',
    ],
  ];
  const before = host.estate.revision;
  const broken = calls.map(([action, parameters]) =>
    assert.rejects(call(url, key, action, parameters), { code: 'ECONNRESET' }),
  );
  assert.ok(await host.reach(before + calls.length, GUARD_MS), 'all of them are committed');
  await server.stop('SIGKILL');
  await Promise.all(broken);
  await stopHost(host);

  const next = await startApiServer(folder);
  t.after(() => next.server.stop());
  const described = async (): Promise<object> => ({
    groups: (await call(next.url, key, 'DescribeSecurityGroups', {})).body
      .match(/<groupName>.*?</g)
      ?.sort(),
    tags: (await call(next.url, key, 'DescribeTags', {})).body.match(/<key>k<.*?<value>v</g)
      ?.length,
    lists: (await call(next.url, key, 'DescribeManagedPrefixLists', {})).body.match(/offices/g),
    ports: await portsOf(next.url, key, groupId),
  });
  const found = await described();
  assert.deepEqual(found, {
    groups: ['<groupName>db<', '<groupName>default<', '<groupName>web<'],
    tags: 1,
    lists: ['offices'],
    ports: [443],
  });
  for (const [action, parameters, again] of calls)
    assert.equal((await call(next.url, key, action, parameters)).code ?? 'ok', again, action);
  assert.deepEqual(await described(), found, 'and a repeated call adds nothing');
});

test('who opens 1,000 connections and trickles keeps nobody out', async (t) => {
  const { server, url, key } = await startApiProgram(makeFolder(t), { policy: 'write' });
  t.after(() => server.stop());
  const port = Number(new URL(url).port);
  let left = CONNECTIONS;
  let onFew = (): void => undefined;
  const few = new Promise<void>((resolve) => (onFew = resolve));
  const opened = Array.from({ length: CONNECTIONS }, async () => {
    const socket = connect(port, '127.0.0.1').resume();
    socket.once('close', () => {
      if (--left <= CONNECTIONS_MAX) onFew();
    });
    await new Promise<void>((resolve) => {
      socket.on('error', () => resolve());
      socket.once('connect', resolve);
    });
    socket.write('POST / HTTP/1.1\r\nhost: a\r\nx: a');
    return socket;
  });
  const sockets = await Promise.all(opened);
  t.after(() => sockets.forEach((socket) => socket.destroy()));
  const groupId = await makeGroup(url, key);
  for (const socket of sockets) socket.write('a');
  assert.equal((await call(url, key, 'DeleteSecurityGroup', { GroupId: groupId })).status, 200);
  await few;
});

describe('a store that it can not use at its start is told, and left as it is:', () => {
  const advice =
    "stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'";
  const cases: readonly (readonly [name: string, spoil: (file: string) => void, why: string])[] = [
    [
      'one of a newer version',
      (file) => {
        const sqlite = Sqlite.open(file, 'rw');
        sqlite.exec('PRAGMA user_version = 2');
        sqlite.close();
      },
      'it has format 2, and this version knows 1 alone; install the version of secgroupd that made it, or a newer one',
    ],
    ['a damaged one', damage, `database disk image is malformed; ${advice}`],
  ];
  for (const [name, spoil, why] of cases)
    test(name, async (t) => {
      const folder = makeFolder(t);
      const file = storeFileOf(folder);
      mkdirSync(dirname(file));
      await (await openSqliteStore(file)).close();
      spoil(file);
      const { size } = statSync(file);
      const ran = await run(process.execPath, [API_PROGRAM, ...apiArguments(folder, file)]);
      assert.deepEqual(
        [ran.code, ran.stderr],
        [1, `secgroup-api: can't serve at 127.0.0.1 port 0: the store ${file}: ${why}\n`],
      );
      assert.equal(statSync(file).size, size);
    });
});

/** Leaves the first page, which says that it is a store, and nothing of the others. */
function damage(file: string): void {
  const { size } = statSync(file);
  const fd = openSync(file, 'r+');
  writeSync(fd, Buffer.alloc(size - PAGE_BYTES, 0xff), 0, size - PAGE_BYTES, PAGE_BYTES);
  closeSync(fd);
}
