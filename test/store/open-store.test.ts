/** A store is opened by its place; the other kind is not loaded. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { run } from '../support/process.ts';
import { makeFolder } from './folder.ts';

const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const MODULE = new URL('../../src/store/open-store.js', import.meta.url).href;
/** Nobody listens there: port 1 of loopback. */
const NOBODY = 'etcd://127.0.0.1:1/';

/** Opens a place in a program of its own. @returns how that ended, and which of the two packages it has loaded */
async function loadedBy(place: string): Promise<unknown> {
  const program = `
    const { createRequire } = await import('node:module');
    const { cache } = createRequire(import.meta.url);
    const { openStore } = await import(process.argv[1]);
    const end = await openStore(process.argv[2], () => undefined).then(() => 'open', ({ fault }) => fault);
    const loaded = ['libsql', '@grpc/grpc-js'].filter((name) =>
      Object.keys(cache).some((path) => path.includes('/node_modules/' + name + '/')));
    console.log(JSON.stringify({ end, loaded }));
    process.exit();`;
  const args = ['--input-type=module', '-e', program, MODULE, place];
  const { stdout, stderr } = await run(process.execPath, args);
  assert.equal(stderr, '');
  return JSON.parse(stdout);
}

test('a file loads SQLite alone, etcd gRPC alone', async (t) => {
  assert.deepEqual(await loadedBy(join(makeFolder(t), 'store.db')), {
    end: 'open',
    loaded: ['libsql'],
  });
  assert.deepEqual(await loadedBy(NOBODY), { end: 'failed', loaded: ['@grpc/grpc-js'] });
});

async function secgroupd(t: TestContext, ...args: readonly string[]) {
  const cwd = makeFolder(t);
  return run(process.execPath, [MAIN, ...args], { cwd });
}

test('what looks after files says what does so for etcd', async (t) => {
  for (const [args, said] of [
    [['backup', 'x'], "back it up with 'etcdctl snapshot save FILE'"],
    [
      ['restore', 'x'],
      "restore a backup of 'etcdctl snapshot save' with 'etcdctl snapshot restore', with another --initial-cluster-token",
    ],
    [
      ['check'],
      "check it with 'etcdctl endpoint health --cluster' and 'etcdctl endpoint hashkv --cluster'",
    ],
  ] as const) {
    const { code, stdout, stderr } = await secgroupd(t, 'store', ...args, '--store', NOBODY);
    const message = `the store ${NOBODY} is in etcd, which has programs of its own for that: ${said}`;
    assert.deepEqual([code, stdout, stderr], [1, '', `${message}\n`]);
  }
});

test('a place that is none is refused with the command line', async (t) => {
  const { code, stderr } = await secgroupd(t, '--store', 'etcd://10.0.0.1/');
  assert.equal(code, 2);
  assert.match(
    stderr,
    /--store <place>' argument 'etcd:\/\/10\.0\.0\.1\/' is invalid\. 10\.0\.0\.1:2379 is not loopback/,
  );
});
