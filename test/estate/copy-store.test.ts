/** A store is carried from a file to etcd, and back. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { Copied } from '../../src/estate/copy-store.ts';
import { addDefaultGroup } from '../../src/estate/groups.ts';
import { appliedKey, PREVIEWS } from '../../src/estate/keys.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Row } from '../../src/store/store.ts';
import { commit } from '../store/contract.ts';
import { makeFolder } from '../store/folder.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { run, type CommandResult } from '../support/process.ts';
import { change, context, DEFAULT_VPC, makeClients } from './world.ts';
import { writeAttached } from './write-interface.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
/** More than a commit takes, in number and in bytes. */
const ROWS = 300;
const LARGE = 'ä'.repeat(200_000);

function copy(...args: readonly string[]): Promise<CommandResult> {
  return run(process.execPath, [MAIN, 'store', 'copy', ...args]);
}

async function rowsOf(place: string): Promise<Map<string, string>> {
  const store = await openStore(place, () => undefined);
  const { rows } = await store.read('');
  await store.close();
  return new Map(rows.map(({ key, value }: Row) => [key, value]));
}

test('from a file to etcd and back', async (t) => {
  if (!requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const folder = makeFolder(t);
  const [file, back] = [join(folder, 'store.db'), join(folder, 'back.db')];
  const [client] = await makeClients(t, 1, () => openStore(file, () => undefined));
  await change(client, (edit) => {
    edit.write('vpcs', DEFAULT_VPC.id, DEFAULT_VPC);
    writeAttached(edit, 'eni-1', { device: 't0', address: '10.0.0.1', groupIds: [], host: 'a' });
    return { ok: true, value: addDefaultGroup(edit, DEFAULT_VPC, context) };
  });
  const store = await openStore(file, () => undefined);
  for (let at = 0; at < ROWS; at += 100) {
    const keys = Array.from({ length: 100 }, (_, i) => `client-tokens/x/${at + i}`);
    await commit(store, { puts: keys.map((key) => ({ key, value: '{}' })) });
  }
  for (const name of ['1', '2', '3', '4'])
    await commit(store, { puts: [{ key: `large/${name}`, value: LARGE }] });
  const leftOut = [appliedKey('a'), `${PREVIEWS}1`];
  await commit(store, { puts: leftOut.map((key) => ({ key, value: '{"revision":1}' })) });
  const { revision } = await store.read('x');
  await store.close();
  const before = await rowsOf(file);
  const to = `etcd://${etcd.hosts}/copied/`;
  const there = await copy(file, to);
  assert.deepEqual([there.code, there.stderr], [0, '']);
  assert.equal(
    there.stdout,
    `${to}: copied, ${before.size - 2} rows\n    from ${file} at revision ${revision}\n    left out: 2 rows that hosts say of themselves, and say anew\n`,
  );
  const kept = new Map([...before].filter(([key]) => !leftOut.includes(key)));
  assert.deepEqual(await rowsOf(to), kept);
  const again = await copy(to, back, '--json');
  assert.equal(again.code, 0, again.stderr);
  const { rows, leftOut: none } = JSON.parse(again.stdout) as Copied;
  assert.deepEqual([rows, none], [kept.size, 0]);
  assert.deepEqual(await rowsOf(back), kept);
  // What calls made is there for a server of the API.
  const [moved] = await makeClients(t, 1, () => openStore(back, () => undefined));
  assert.deepEqual(moved.estate.interface('eni-1'), client.estate.interface('eni-1'));
  const refused = await copy(file, to);
  assert.deepEqual(
    [refused.code, refused.stderr],
    [1, `the store ${to} has rows already; name one that is empty, or remove what is there\n`],
  );
  const absent = await copy(join(folder, 'none.db'), `etcd://${etcd.hosts}/none/`);
  assert.equal(absent.code, 1);
  assert.match(absent.stderr, /there is no store .*none\.db; name the one to copy/);
  const same = await copy(file, file);
  assert.deepEqual(
    [same.code, same.stderr],
    [1, `${file} and ${file} are one store; name another\n`],
  );
});
