/** Faults under a running daemon: a deleted device or namespace cuts off one interface and no other. */
import assert from 'node:assert/strict';
import { rmSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { mustRun } from '../support/process.ts';
import { makeNetns } from '../support/netns.ts';
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
import { until } from '../support/until.ts';

const A = '10.0.0.1';
const B = '10.0.0.2';
const C = '10.0.0.3';

const LOST = /"device":"eth0 in ([^"]+)".*"msg":"a device is gone; its interface is cut off/;
const BACK = /"msg":"a device is back"/;

test('a device that is deleted cuts off its interface, and comes back with its connections', async (t) => {
  if (!canRun(t)) return;
  const { a, b, c } = await makeNamespaces(t, ['a', 'b', 'c']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
  c: { device: { kind: tap, netns: ${c.path}, name: eth0 }, addresses: [${C}] }
metrics: { listen: '127.0.0.1:0' }
`,
  );
  const daemon = await Daemon.start(t, file);
  await serve(b, 'b');
  await serve(c, 'c');
  const toB = await a.start('curl', ['-gsSN', `http://${B}/ticks`]);
  const toC = await a.start('curl', ['-gsSN', `http://${C}/ticks`]);
  await toB.waitFor(/tick 3\n/);
  await toC.waitFor(/tick 3\n/);

  const generation = async (): Promise<number | undefined> =>
    (await daemon.metrics()).get('secgroupd_policy_generation');
  assert.equal(await generation(), 1);
  await b.mustRun('ip', ['link', 'delete', 'eth0']);
  await until('it happens', () => LOST.test(daemon.output));
  assert.equal(LOST.exec(daemon.output)![1], b.path);
  const ticks = toC.stdout().split('\n').length;
  await toC.waitFor(new RegExp(`tick ${ticks + 5}\n`));

  await until('it happens', () => BACK.test(daemon.output));
  const before = toB.stdout().split('\n').length;
  await toB.waitFor(new RegExp(`tick ${before + 5}\n`));
  assert.equal(await get(a, B), 'b\n');
  assert.equal(await generation(), 1, 'the policy is what it was');
  assert.equal(await daemon.stop(), 0);
});

test('a namespace that is deleted and made anew: its device moves; others never notice', async (t) => {
  if (!canRun(t)) return;
  const { a, c } = await makeNamespaces(t, ['a', 'c']);
  const b = await makeNetns(t);
  const both = `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  c: { device: { netns: ${c.path}, name: eth0 }, addresses: [${C}] }
`;
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `${both}  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }\n`,
  );
  const daemon = await Daemon.start(t, file);
  assert.equal((await ping(a, B)).code, 0);

  // Nobody can enter it any more, but it lives on while the device is open in it.
  await mustRun('ip', ['netns', 'delete', b.name]);
  assert.equal((await ping(a, C)).code, 0);
  assert.equal((await ping(a, B)).code, 0);

  // Somebody makes it anew under its name, as when a machine is started again: the device moves there.
  await mustRun('ip', ['netns', 'add', b.name]);
  await until('it happens', () => LOST.test(daemon.output));
  await until('it happens', () => BACK.test(daemon.output));
  await b.mustRun('ip', ['link', 'show', 'eth0']);
  await until('it happens', async () => (await ping(a, B)).code === 0);

  // For good: a reload goes on without it.
  await mustRun('ip', ['netns', 'delete', b.name]);
  daemon.hangUp();
  await until('it happens', () => /"outcome":"unchanged"/.test(daemon.output));
  assert.equal((await ping(a, C)).code, 0);
  writeFileSync(file, both);
  daemon.hangUp();
  await until('it happens', () => /"outcome":"changed"/.test(daemon.output));
  await pingInVain(a, B);
  assert.equal((await ping(a, C)).code, 0);
  assert.equal(await daemon.stop(), 0);
  await mustRun('ip', ['netns', 'add', b.name]); // For the end of the test to remove.
});

test('a configuration file that is gone: what ran keeps running', async (t) => {
  if (!canRun(t)) return;
  const { a, b } = await makeNamespaces(t, ['a', 'b']);
  const file = temporaryFile(
    t,
    'secgroupd.yaml',
    `interfaces:
  a: { device: { netns: ${a.path}, name: eth0 }, addresses: [${A}] }
  b: { device: { netns: ${b.path}, name: eth0 }, addresses: [${B}] }
`,
  );
  const daemon = await Daemon.start(t, file, ['--watch']);
  rmSync(file);
  await until('it happens', () =>
    /configuration refused; what ran keeps running/.test(daemon.output),
  );
  assert.match(daemon.output, /the file can't be read: ENOENT/);
  assert.equal((await ping(a, B)).code, 0);
  daemon.hangUp();
  await until('it happens', () => daemon.output.split('configuration refused').length >= 3);
  assert.equal((await ping(a, B)).code, 0);
  assert.equal(await daemon.stop(), 0);
});
