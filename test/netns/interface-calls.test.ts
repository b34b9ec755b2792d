/** `sgctl interface` on real packets: an interface that is added while the daemon runs is guarded, and outlives kill -9. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask, ControlError } from '../../src/control-socket/control-client.ts';
import type { OwnedInterfaceView } from '../../src/queries/owned-interfaces.ts';
import { run, type CommandResult } from '../support/process.ts';
import { SGCTL } from '../support/sgctl.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain } from './world.ts';

const WEB = '10.0.0.11';
const GROUPS = `
securityGroups:
  web: { ingress: [{ protocol: icmp, type: 8, from: 10.9.0.0/24 }] }
  closed: { ingress: [] }
`;

interface World {
  readonly web: Awaited<ReturnType<typeof makeNamespaces>>[string];
  readonly out: Awaited<ReturnType<typeof makeNamespaces>>[string];
  readonly socket: string;
  readonly start: (...more: readonly string[]) => Promise<Daemon>;
  readonly sgctl: (...args: readonly string[]) => Promise<CommandResult>;
}

async function makeWorld(t: TestContext): Promise<World> {
  const { web, out } = await makeNamespaces(t, ['web', 'out']);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-interfaces-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'c.yaml');
  const socket = join(folder, 'control.sock');
  writeFileSync(
    file,
    `uplink: { tun: up0, netns: ${out.path}, addresses: [10.9.0.1/24] }\n${GROUPS}`,
  );
  const store = join(folder, 'store.db');
  return {
    web,
    out,
    socket,
    start: (...more) =>
      Daemon.start(t, file, [
        ...['--control', socket],
        ...(more.length > 0 ? more : ['--store', store, '--host', 'here']),
      ]),
    sgctl: (...args) => run(process.execPath, [SGCTL, 'interface', ...args, '--socket', socket]),
  };
}

test('an interface is added, guarded, given other groups, kept over kill -9, and removed', async (t) => {
  if (!canRun(t)) return;
  const { web, out, start, sgctl } = await makeWorld(t);
  const first = await start();
  const add = ['add', '--netns', web.path, '--address', WEB, '--group', 'web'];
  const added = await sgctl(...add);
  assert.deepEqual([added.code, added.stderr], [0, ''], added.stderr);
  const id = added.stdout.trim();
  assert.match(id, /^eni-[0-9a-f]{17}$/);
  assert.equal((await ping(out, WEB)).code, 0, first.output);
  assert.equal((await sgctl(...add)).stdout.trim(), id);
  const other = await sgctl(...add, '--mtu', '1400');
  assert.deepEqual(
    [other.code, other.stderr],
    [
      1,
      `sgctl: ${id} is there already, and differs in device.mtu: it has 1500, not 1400: remove it first, or set its groups\n`,
    ],
  );
  const set = await sgctl('set-groups', id, 'closed');
  assert.equal(set.stdout, `${id} has closed.\n`);
  await pingInVain(out, WEB);
  await sgctl('set-groups', id, 'web');
  assert.equal((await ping(out, WEB)).code, 0);
  await first.kill();
  const second = await start();
  assert.equal((await ping(out, WEB)).code, 0, second.output);
  const [listed] = JSON.parse((await sgctl('ls', '--json')).stdout) as OwnedInterfaceView[];
  assert.deepEqual([listed.id, listed.owner, listed.notInForce], [id, 'sgctl', undefined]);
  assert.match((await sgctl('ls')).stdout, new RegExp(`^${id}  web  +${WEB} `, 'm'));
  assert.equal((await sgctl('rm', id)).stdout, `Removed ${id}.\n`);
  assert.equal((await web.run('ip', ['link', 'show', 'eth0'])).code, 1);
  assert.deepEqual(
    [(await sgctl('rm', id)).stdout, (await sgctl('ls')).stdout],
    ['There is none.\n', 'There are none.\n'],
  );
});

test('twenty at once are all in force, and wrong ones leave nothing behind', async (t) => {
  if (!canRun(t)) return;
  const { web, socket, start } = await makeWorld(t);
  const daemon = await start();
  const question = (n: number) => ({
    id: `eni-000000000000000${10 + n}`,
    owner: 'docker',
    device: { name: `eth${n}`, netns: web.path, configure: false },
    addresses: [`10.0.1.${10 + n}`],
    securityGroups: ['web'],
  });
  const gone = { ...question(0), id: 'eni-1', device: { netns: '/nowhere/at/all' } };
  const wrong = ask(socket, 'addInterface', {
    ...gone,
    id: 'eni-00000000000000099',
    addresses: ['10.0.2.1'],
  });
  const all = Array.from({ length: 20 }, (_, n) => ask(socket, 'addInterface', question(n)));
  await assert.rejects(wrong, (error) => {
    assert.ok(error instanceof ControlError);
    assert.match(
      error.message,
      /^eni-00000000000000099 can't be put in force: .*\/nowhere\/at\/all/,
    );
    return true;
  });
  assert.equal((await Promise.all(all)).length, 20);
  const links = await web.run('ip', ['-o', 'link', 'show']);
  assert.equal(links.stdout.match(/ eth\d+: /g)?.length, 20, daemon.output);
  await assert.rejects(ask(socket, 'addInterface', gone), /'eni-1' is no id of an interface/);
  const keep = [question(7).id];
  const { removed } = await ask(socket, 'reconcileInterfaces', { owner: 'docker', keep });
  assert.equal(removed.length, 19);
  const listed = await ask(socket, 'listInterfaces', {});
  assert.deepEqual(
    listed.map(({ id, notInForce }) => [id, notInForce]),
    [[keep[0], undefined]],
  );
});

test('without a store it is refused, with what to do', async (t) => {
  if (!canRun(t)) return;
  const { web, start, sgctl } = await makeWorld(t);
  await start('--host', 'here');
  const { code, stderr } = await sgctl(
    'add',
    '--netns',
    web.path,
    '--address',
    WEB,
    '--group',
    'web',
  );
  assert.deepEqual(
    [code, stderr],
    [
      1,
      'sgctl: this daemon has no store where an interface would outlive it; start it with --store FILE\n',
    ],
  );
});
