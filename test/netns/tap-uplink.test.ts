/** A TAP as the uplink: outside hosts ask for the instances as their neighbours, and are not taken for one of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  canRun,
  Daemon,
  get,
  makeNamespaces,
  ping,
  pingInVain,
  serve,
  temporaryFile,
} from './world.ts';

const TUN = '10.0.0.1';
const TUN6 = 'fd00:10::1';
const TAP = '10.0.0.2';
const TAP6 = 'fd00:10::2';
const OUT = '198.51.100.7';
const OUT6 = '2001:db8:51::7';

test('traffic by way of a TAP uplink', async (t) => {
  if (!canRun(t)) return;
  const { world, tun, tap } = await makeNamespaces(t, ['world', 'tun', 'tap']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `
uplink: { tap: up0, netns: ${world.path}, addresses: [${OUT}/24, '${OUT6}/64'] }
securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 80, from: [${OUT}/32, '${OUT6}/128'] }] }
interfaces:
  tun: { device: { kind: tun, netns: ${tun.path}, name: eth0 }, addresses: [${TUN}, '${TUN6}'], securityGroups: [web] }
  tap: { device: { kind: tap, netns: ${tap.path}, name: eth0 }, addresses: [${TAP}, '${TAP6}'], securityGroups: [web] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const [daemon] = await Promise.all([
    Daemon.start(t, file),
    serve(world, 'world'),
    serve(tun, 'tun'),
    serve(tap, 'tap'),
  ]);

  await t.test('out, to a host that has said nothing yet', async () => {
    assert.equal(await get(tun, OUT), 'world\n');
    assert.equal(await get(tun, `[${OUT6}]`), 'world\n');
    assert.equal(await get(tap, OUT), 'world\n');
    assert.equal(await get(tap, `[${OUT6}]`), 'world\n');
    assert.match((await ping(tap, OUT6, 2)).stdout, / 0% packet loss/);
  });

  await t.test('and in', async () => {
    assert.equal(await get(world, TUN), 'tun\n');
    assert.equal(await get(world, `[${TUN6}]`), 'tun\n');
    assert.equal(await get(world, TAP), 'tap\n');
    assert.equal(await get(world, `[${TAP6}]`), 'tap\n');
    const drops = await daemon.dropsDuring(async () => {
      await pingInVain(world, TUN, 2);
      await pingInVain(world, TAP6, 1);
    });
    assert.deepEqual(drops, { 'tun ingress ingress-rules': 2, 'tap ingress ingress-rules': 1 });
  });

  await t.test(
    "a stranger who asks for a neighbour in an instance's name is not answered",
    async () => {
      await world.mustRun('ip', ['address', 'add', `${TUN}/32`, 'dev', 'lo']);
      await world.mustRun('ip', ['neighbour', 'flush', 'dev', 'up0']);
      const drops = await daemon.dropsDuring(async () => {
        await world.run('ping', ['-c', '1', '-W', '0.3', '-I', TUN, TAP]);
      });
      assert.deepEqual(drops, { 'uplink ingress neighbour-spoof': 1 });
    },
  );
});
