/** The group of a stream's socket: its members connect, others don't, and where it can't be had nobody does. */
import assert from 'node:assert/strict';
import { chmodSync, existsSync, lstatSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { tryDevices, closeDevices, type Opening } from '../../src/ports/device.ts';
import { loadNative } from '../../src/ports/native.ts';
import { run } from '../support/process.ts';
import { requireRoot, requireTools } from '../support/require.ts';

const NOBODY = 65534;
const GROUP = 54321;
const CONNECT = `require('node:net').connect(process.argv[1]).on('connect', () => process.exit(0))
  .on('error', ({ code }) => { console.log(code); process.exit(1); })`;

const native = loadNative();

function open(t: TestContext, socketGroup?: string): { path: string; opening: Opening } {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-group-'));
  // Others may go in, and put nothing there.
  chmodSync(folder, 0o755);
  t.after(() => rmSync(folder, { recursive: true }));
  const path = join(folder, 'vm.sock');
  const place = { kind: 'stream', name: path, netnsPath: undefined, mtu: 1500 } as const;
  const rest = { persist: false, queues: 1, configure: false, addresses: [], routes: [] };
  const group = socketGroup === undefined ? {} : { socketGroup };
  const [opening] = tryDevices(native, [{ ...place, ...rest, ...group }]);
  if ('device' in opening) t.after(() => closeDevices(native, [opening.device]));
  return { path, opening };
}

async function connectAs(path: string, ...groups: readonly string[]): Promise<string> {
  const who = ['--reuid', String(NOBODY), '--regid', String(NOBODY), ...groups];
  const { code, stdout } = await run('setpriv', [...who, process.execPath, '-e', CONNECT, path]);
  return code === 0 ? 'connected' : stdout.trim();
}

test('members of the group connect, and nobody else', async (t) => {
  if (!requireRoot(t) || !requireTools(t, 'setpriv')) return;
  const { path } = open(t, String(GROUP));
  const { mode, gid, uid } = lstatSync(path);
  assert.deepEqual([mode & 0o7777, uid, gid], [0o660, 0, GROUP]);
  assert.equal(await connectAs(path, '--groups', String(GROUP)), 'connected');
  assert.equal(await connectAs(path, '--clear-groups'), 'EACCES');
  const { path: alone } = open(t);
  assert.equal(await connectAs(alone, '--groups', String(GROUP)), 'EACCES');
});

test('a group by its name', (t) => {
  if (!requireRoot(t)) return;
  const { path } = open(t, 'daemon');
  assert.equal(lstatSync(path).gid, 1); // As on each Linux.
});

test('a group that is not there leaves no socket', (t) => {
  const { path, opening } = open(t, 'no-such-group');
  assert.ok('error' in opening);
  assert.match(opening.error.message, /no-such-group can't be let in at .*: \/etc\/group has no/);
  assert.ok(!existsSync(path));
});
