/** One daemon has two thousand interfaces, and the last works like the first. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { canRun, Daemon, makeNamespaces, ping, temporaryFile } from './world.ts';
import { until } from '../support/until.ts';

const INTERFACES = 2000;
const FIRST = '10.1.0.1';
const LAST_TUN = '10.2.0.1';
const LAST_TAP = '10.2.0.2';
/** So much faster than real time do flows age: 30 s of an ICMP flow are 0.3 s. */
const TIME_SCALE = 100;

/** What nobody sends through: they have their descriptors, ports and counters all the same. */
function idleInterface(number: number, netns: string): string {
  const address = `10.${16 + (number >> 8)}.${number & 255}.1`;
  return `  idle-${number}: { device: { netns: ${netns}, name: t${number}, configure: false }, addresses: [${address}], securityGroups: [g] }`;
}

test('two thousand interfaces', async (t) => {
  if (!canRun(t)) return;
  const { first, tun, tap, idle } = await makeNamespaces(t, ['first', 'tun', 'tap', 'idle']);
  const many = Array.from({ length: INTERFACES - 3 }, (_, i) => idleInterface(i, idle.path));
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `securityGroups:
  g: { ingress: [{ protocol: icmp, type: 8, from: sg:g }] }
interfaces:
  first: { device: { netns: ${first.path}, name: eth0 }, addresses: [${FIRST}], securityGroups: [g] }
${many.join('\n')}
  tun: { device: { netns: ${tun.path}, name: eth0 }, addresses: [${LAST_TUN}], securityGroups: [g] }
  tap: { device: { kind: tap, netns: ${tap.path}, name: eth0 }, addresses: [${LAST_TAP}], securityGroups: [g] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const daemon = await Daemon.start(t, file, ['--time-scale', String(TIME_SCALE)]);

  for (const [from, to] of [
    [first, LAST_TUN],
    [tun, LAST_TAP],
    [tap, FIRST],
  ] as const)
    assert.equal((await ping(from, to)).code, 0, `${from.name} to ${to}`);

  await t.test('every counter is a number, and there are those of each', async () => {
    const metrics = await daemon.metrics();
    const passed = [...metrics].filter(([sample]) => sample.startsWith('secgroupd_packets_total{'));
    for (const name of ['first', 'tun', 'tap', 'idle-0', `idle-${INTERFACES - 4}`])
      assert.ok(
        passed.some(([sample]) => sample.includes(`interface="${name}"`)),
        name,
      );
    assert.deepEqual(
      [...metrics].filter(
        ([sample, value]) => Number.isNaN(value) && sample.startsWith('secgroupd_'),
      ),
      [],
    );
    const sent = passed.find(([sample]) => /"tun",direction="egress",verdict="pass/.test(sample));
    assert.ok(sent !== undefined && sent[1] >= 2, String(sent));
  });

  await t.test('flows of the last ports end in time', async () => {
    await until('no flow is left', async () => (await daemon.flows()) === 0);
  });

  assert.equal(await daemon.stop(), 0);
});
