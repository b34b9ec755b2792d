/** Failures are closed: without a daemon no traffic passes, and without a valid configuration no device is opened. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Netns } from '../support/netns.ts';
import { canRun, Daemon, get, makeNamespaces, pingInVain, serve, temporaryFile } from './world.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const SETTLE_MS = 200;
const SILENCE_MS = 300;

async function hasEth0(netns: Netns): Promise<boolean> {
  return (await netns.run('ip', ['link', 'show', 'eth0'])).code === 0;
}

test('a daemon that is killed takes the traffic with it, and brings it back', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { kind: tap, netns: ${b.path}, name: eth0, persist: true }, addresses: [${B}] }
`,
  );
  await serve(b, 'b');
  const daemon = await Daemon.start(t, file);
  const client = await a.start('curl', ['-gsSN', `http://${B}/ticks`]);
  await client.waitFor(/tick 5\n/);

  await daemon.kill();
  await sleep(SETTLE_MS); // For what the kernel had delivered by then and was still on its way to us.
  const received = client.stdout();
  await sleep(SILENCE_MS);
  assert.equal(client.stdout(), received, 'nothing comes any more');
  assert.equal(await hasEth0(a), false, 'the device is gone');
  assert.equal(await hasEth0(b), true, 'a persistent one is not');
  await pingInVain(b, A);
  assert.notEqual((await a.run('ping', ['-c', '1', '-W', '0.3', B])).code, 0);

  const next = await Daemon.start(t, file);
  assert.equal(await get(a, B), 'b\n');
  // The connection outlived it all: its packets belong to no flow now, and the rules admit them.
  const ticks = received.split('\n').length;
  await client.waitFor(new RegExp(`tick ${ticks + 2}\n`));
  assert.equal(await next.stop(), 0);
});

test('everything that is wrong with a configuration is told, and nothing is made of it', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const configurations: readonly (readonly [string, readonly RegExp[]])[] = [
    [
      `securityGroups:
  web: { ingress: [{ protocol: tcp, ports: 70000, from: 0.0.0.0/0 }] }
  app: { ingress: [{ protocol: tcp, ports: 80, from: sg:wbe }] }
interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}], securityGroups: [web] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [10.0.0.256], securityGroups: [app] }
`,
      [/:2:\d+: .*70000/, /:3:\d+: .*wbe/, /:6:\d+: .*10\.0\.0\.256/],
    ],
    [
      `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${A}] }
interfaces: {}
`,
      [/:4:\d+: .*interfaces/],
    ],
  ];
  for (const [text, problems] of configurations) {
    const { code, log } = await Daemon.startAndEnd(t, temporaryFile(t, 'secgroupd.yaml', text));
    assert.equal(code, 1, log);
    for (const problem of problems) assert.match(log, problem);
    assert.deepEqual([await hasEth0(a), await hasEth0(b)], [false, false], log);
  }
});
