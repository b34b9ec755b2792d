/**
 * A host that shares its store: interfaces that somebody asks its daemon for are made by a server of the API, in the
 * name of the host, and are in force when the request is answered.
 */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../../src/control-socket/control-client.ts';
import type { OwnedInterfaceView } from '../../src/queries/owned-interfaces.ts';
import { startApiServer } from '../support/api-program.ts';
import { Etcd, requireEtcd } from '../support/etcd.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { runSgctl, type Ran } from '../support/sgctl.ts';
import { makeFolder } from '../store/folder.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain } from './world.ts';

const WEB = '10.0.0.11';
/** Nobody listens there: the discard port of TCP. */
const NOBODY = 'http://127.0.0.1:9';

test('interfaces of a host that shares its store come and go by a server of the API', async (t) => {
  if (!canRun(t) || !requireEtcd(t)) return;
  const etcd = await Etcd.forTest(t);
  const store = `etcd://${etcd.hosts}`;
  const { web, out } = await makeNamespaces(t, ['web', 'out']);
  const folder = makeFolder(t);
  const keys = ['--keys', join(folder, 'keys.json')];
  const made = runSgctl(['api', 'key', 'create', 'a', '--policy', 'host', '--json', ...keys]);
  assert.equal(made.code, 0, made.stderr);
  const keyFile = join(folder, 'host-key.json');
  writeFileSync(keyFile, made.stdout, { mode: 0o600 });
  const api = await startApiServer(folder, ['--store', store]);
  t.after(() => api.server.stop());

  const file = join(folder, 'c.yaml');
  const uplink = `uplink: { tun: up0, netns: ${out.path}, addresses: [10.9.0.1/24] }\n`;
  writeFileSync(
    file,
    `${uplink}securityGroups:\n  web: { ingress: [ { protocol: icmp, type: 8, from: 10.9.0.0/24 } ] }\n  db: {}\n`,
  );
  const state = join(folder, 'state');
  mkdirSync(state);
  const socket = join(folder, 'control.sock');
  const reach = ['--api', `${NOBODY},${api.url}`, '--api-key', keyFile];
  const places = ['--store', store, '--host', 'a', '--state-dir', state, '--control', socket];
  const daemon = await Daemon.start(t, file, [...places, ...reach]);
  const sgctl = (...args: string[]): Ran => runSgctl(['interface', ...args, '--socket', socket]);
  const add = ['add', '--netns', web.path, '--address', WEB, '--json'];

  // The API learns of the file's groups from the store, to which the daemon has told them by now, or will at once.
  let added = sgctl(...add, '--group', 'web');
  for (let i = 0; added.code !== 0 && /does not exist/.test(added.stderr) && i < 100; i++) {
    await sleep(100);
    added = sgctl(...add, '--group', 'web');
  }
  assert.equal(added.code, 0, `${added.stderr}\n${daemon.output}`);
  const { id } = JSON.parse(added.stdout) as OwnedInterfaceView;
  assert.equal((await ping(out, WEB)).code, 0, daemon.output);
  assert.equal(sgctl(...add, '--group', 'web').code, 0, 'the same again');
  assert.equal(sgctl('set-groups', id, 'db').code, 0);
  await pingInVain(out, WEB);
  assert.equal(sgctl('set-groups', id, 'web').code, 0);
  assert.equal((await ping(out, WEB)).code, 0);

  // What can't be in force is taken back, there as well.
  const bad = sgctl('add', '--kind', 'attach', '--device', 'lo', '--address', '10.0.0.12', '--group', 'web', '--id', 'eni-00000000000000002'); // prettier-ignore
  assert.notEqual(bad.code, 0);
  assert.match(bad.stderr, /can't be put in force/);
  const row = (one: string): Promise<string> =>
    etcd.ctl(['get', '--print-value-only', `/secgroupd/v1/rows/desired/interfaces/${one}`]);
  assert.equal(await row('eni-00000000000000002'), '');
  assert.match(await row(id), /"host":"a"/);

  // Docker's addresses: of a subnet that the host does not hold.
  const cidr = '172.31.0.0/20';
  const pool = await ask(socket, 'findSubnet', { cidr }, GUARD_MS);
  assert.equal(pool.router, '172.31.0.1');
  const lease = await ask(socket, 'leaseAddress', { cidr, owner: 'docker' }, GUARD_MS);
  assert.equal(lease.leased, true);

  await api.server.stop();
  const away = sgctl('add', '--netns', web.path, '--device', 'eth1', '--address', '10.0.0.13', '--group', 'web'); // prettier-ignore
  assert.notEqual(away.code, 0);
  assert.match(
    away.stderr,
    /no server of the API can be reached: .*http:\/\/127\.0\.0\.1:9: connect ECONNREFUSED/,
  );
  assert.equal((await ping(out, WEB)).code, 0, 'what is in force stays');
  assert.match(sgctl('ls').stdout, new RegExp(id));
  await startApiAgain();
  assert.equal(sgctl('rm', id).code, 0);
  assert.equal(await row(id), '');
  assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0, 'its device is gone');

  async function startApiAgain(): Promise<void> {
    const port = new URL(api.url).port;
    const again = await startApiServer(folder, ['--store', store, '--listen', `127.0.0.1:${port}`]);
    t.after(() => again.server.stop());
  }
});

test('the options that say where the API is go together, and are for hosts that share a store', async (t) => {
  if (!canRun(t)) return;
  for (const [args, message] of [
    [['--api', 'https://10.0.0.1:8773'], /--api and --api-key go together/],
    [['--api-key', 'k', '--api', 'http://127.0.0.1:1'], /takes --store etcds:/],
    [['--api', 'http://10.0.0.1:8773'], /10\.0\.0\.1 is not loopback, so it takes https/],
    [['--api', 'https://10.0.0.1/x'], /it is not like https:\/\/10\.0\.0\.1:8773/],
  ] as const) {
    const { code, log } = await Daemon.startAndEnd(t, '/dev/null', args);
    assert.equal(code, 2, log);
    assert.match(log, message);
  }
});
