/**
 * The platform's port with real packets: a server in its namespace answers instances at 169.254.169.254, and nobody
 * else; the host keeps its own way to that address.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { ask } from '../../src/control-socket/control-client.ts';
import type { Netns } from '../support/netns.ts';
import { runSgctl } from '../support/sgctl.ts';
import { canRun, Daemon, get, makeNamespaces, pingInVain, serve, temporaryFile } from './world.ts';

const IMDS = '169.254.169.254';
const IMDS6 = 'fd00:ec2::254';

type Names = Record<'world' | 'web' | 'db' | 'platform', Netns>;

function configuration(names: Names, hasPort = true): string {
  const port = `platform: { tun: sg-platform, netns: ${names.platform.path} }`;
  return `
uplink: { tun: up0, netns: ${names.world.path}, addresses: [10.0.0.1/24, 'fd00:10::1/64'] }
platformServices: [instance-metadata]
${hasPort ? port : ''}
securityGroups:
  open: { ingress: [{ protocol: all, from: [0.0.0.0/0, '::/0'] }] }
  closed: { egress: [] }
interfaces:
  web: { device: { netns: ${names.web.path}, name: eth0 }, addresses: [10.0.0.11, 'fd00:10::11'], securityGroups: [open] }
  db: { device: { netns: ${names.db.path}, name: eth0 }, addresses: [10.0.0.13], securityGroups: [closed] }
metrics: { listen: 127.0.0.1:0 }
`;
}

async function makeWorld(t: TestContext) {
  const names = await makeNamespaces(t, ['world', 'web', 'db', 'platform']);
  const file = temporaryFile(t, 'platform.yaml', configuration(names));
  const socket = join(dirname(file), 'control.sock');
  const daemon = await Daemon.start(t, file, ['--control', socket]);
  await serve(names.platform, 'platform');
  await serve(names.web, 'web');
  const reload = async (hasPort: boolean) => {
    writeFileSync(file, configuration(names, hasPort));
    return ask(socket, 'reload', {});
  };
  return { ...names, daemon, file, socket, reload };
}

test('instances reach the services of the platform at its port, and nothing else there', async (t) => {
  if (!canRun(t)) return;
  const { web, db, platform, world, daemon, socket } = await makeWorld(t);
  assert.equal(await get(web, IMDS), 'platform\n');
  assert.equal(await get(web, `[${IMDS6}]`), 'platform\n');
  assert.equal(await get(db, IMDS), 'platform\n', 'whatever its groups say');
  const drops = await daemon.dropsDuring(async () => {
    assert.equal(await get(web, `${IMDS}:8080`, 1), '');
    await pingInVain(web, IMDS);
  });
  assert.deepEqual(Object.keys(drops), ['web egress no-route']);

  const opened = await daemon.dropsDuring(async () => {
    assert.equal(await get(platform, '10.0.0.11', 1), '', 'the platform opens nothing');
  });
  assert.deepEqual(Object.keys(opened), ['web ingress ingress-rules']);
  const beyond = await daemon.dropsDuring(async () => {
    assert.equal(await get(platform, '10.0.0.1', 1), '');
  });
  assert.deepEqual(Object.keys(beyond), ['platform egress no-route']);

  const routes = await world.mustRun('ip', ['route', 'show', 'dev', 'up0']);
  assert.match(routes, /10\.0\.0\.13/);
  assert.doesNotMatch(routes, /169\.254/, 'the host keeps its own way to the platform');

  const shown = runSgctl(['interfaces', '--socket', socket]);
  assert.match(shown.stdout, /^platform +/m, shown.stderr);
  const why = runSgctl(['explain', '--socket', socket, `db -> ${IMDS} tcp 80`]);
  assert.equal(why.code, 0, why.stdout + why.stderr);
  assert.match(why.stdout, /what is behind the port of the\s+platform answers/);
});

test('nobody gets an answer that is for another', async (t) => {
  if (!canRun(t)) return;
  const { db, daemon } = await makeWorld(t);
  await db.mustRun('ip', ['address', 'add', '10.0.0.11/32', 'dev', 'lo']);
  const drops = await daemon.dropsDuring(async () => {
    const args = ['-sS', '-m', '1', '--interface', '10.0.0.11', `http://${IMDS}`];
    assert.equal((await db.run('curl', args)).stdout, '');
  });
  assert.deepEqual(Object.keys(drops), ['db egress source-check']);
});

test('the port goes and comes with a reload, and with its device', async (t) => {
  if (!canRun(t)) return;
  const { web, world, platform, reload, daemon } = await makeWorld(t);
  await world.mustRun('ip', ['address', 'add', `${IMDS}/32`, 'dev', 'lo']);
  await serve(world, 'host');
  assert.equal(
    await get(web, IMDS),
    'platform\n',
    'what answers in the host is shadowed by nobody',
  );
  const gone = await reload(false);
  assert.equal(gone.outcome, 'changed', JSON.stringify(gone));
  assert.equal(await get(web, IMDS), 'host\n', 'without it, services are beyond the uplink');
  const back = await reload(true);
  assert.equal(back.outcome, 'changed', JSON.stringify(back));
  assert.equal(await get(web, IMDS), 'platform\n');
  await platform.mustRun('ip', ['link', 'delete', 'sg-platform']);
  const drops = await daemon.dropsDuring(async () => {
    // The daemon opens the device again when it sees that it is gone, so its own service may answer.
    assert.notEqual(await get(web, IMDS, 1), 'host\n', 'never by the uplink instead');
  });
  assert.ok(Object.keys(drops).length <= 1, JSON.stringify(drops));
});
