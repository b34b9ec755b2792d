/** The steps of a change of ports and devices, one by one, without any packet loop. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import type { Config } from '../../src/config/config.ts';
import { LostDevices } from '../../src/daemon/lost-devices.ts';
import { GuardedLinks } from '../../src/daemon/guarded-links.ts';
import { NO_FAST_PATH } from '../../src/daemon/choose-fast-path.ts';
import { PortTable, type PortDevices, type PortPlan } from '../../src/daemon/port-table.ts';
import { FdStore } from '../../src/service/fd-store.ts';
import { Notifier } from '../../src/service/notify.ts';
import { loadText, problemLines } from '../config/config-text.ts';
import { FakeDevices, tempFolder } from './world.ts';

/** Interfaces by name, each with the device of its name, and an uplink if it is named. */
function configOf(interfaces: Readonly<Record<string, string>>, uplink?: string): Config {
  const lines = Object.entries(interfaces).map(
    ([name, device], i) =>
      `  ${name}: { device: { name: ${device} }, addresses: [10.0.0.${i + 1}] }`,
  );
  const way = uplink === undefined ? '' : `uplink: { tun: ${uplink}, configure: false }\n`;
  const { config, problems } = loadText(`${way}interfaces:\n${lines.join('\n')}\n`);
  assert.ok(config !== undefined, problemLines(problems).join('\n'));
  return config;
}

interface World {
  readonly table: PortTable;
  readonly lost: LostDevices;
  readonly devices: FakeDevices;
  readonly change: (next: Config) => readonly [PortPlan, PortDevices];
}

async function startTable(t: TestContext, config: Config): Promise<World> {
  const devices = new FakeDevices(tempFolder(t));
  const log = pino({ enabled: false });
  const store = new FdStore(devices.native, new Notifier(devices.native, undefined, log), log, []);
  const none = (): Promise<void> => Promise.resolve();
  const { native } = devices;
  const guards = new GuardedLinks(native, log);
  const watches = { has: () => true, keep: () => undefined, stop: () => undefined };
  const lost = new LostDevices({
    ...{ native, log, guards, watches, store, reopen: none, giveUp: none },
    devices: () => table.devices(),
  });
  const table: PortTable = new PortTable({
    ...{ native, log, lost, guards, store },
    fastPath: () => NO_FAST_PATH,
  });
  await table.start(config);
  t.after(() => {
    lost.stop();
    table.stop();
    devices.close();
  });
  devices.takeCalls();
  const change = (next: Config): readonly [PortPlan, PortDevices] => {
    const plan = table.plan(next);
    const opened = table.open(next, plan);
    table.take(plan, opened);
    return [plan, opened];
  };
  return { table, lost, devices, change };
}

test('planning and opening change nothing; taking does, and closes nothing; releasing closes', async (t) => {
  const { table, devices } = await startTable(t, configOf({ a: 'dev-a', b: 'dev-b' }, 'up-1'));
  const names = (): [number, string][] => table.names();
  const before = names();
  assert.deepEqual(before, [
    [0, 'uplink'],
    [1, 'a'],
    [2, 'b'],
  ]);
  const next = configOf({ a: 'dev-a', c: 'dev-c' }, 'up-2');
  const plan = table.plan(next);
  assert.deepEqual(
    [plan.added.map(([port]) => port), plan.removed.map(([port]) => port)],
    [[3], [2]],
  );
  const opened = table.open(next, plan);
  assert.deepEqual([opened.givenUp, names()], [[2, 0], before]);
  assert.deepEqual(devices.takeCalls(), ['open dev-c', 'open up-2']);
  table.take(plan, opened);
  assert.deepEqual(names(), [
    [0, 'uplink'],
    [1, 'a'],
    [3, 'c'],
  ]);
  assert.deepEqual(devices.takeCalls(), []);
  table.release(opened);
  assert.deepEqual(devices.takeCalls(), ['close dev-b', 'close up-1']);
});

test('a port that was given up rests until it is said that no flow is left', async (t) => {
  const { table, change } = await startTable(t, configOf({ a: 'dev-a', b: 'dev-b' }));
  const [plan] = change(configOf({ a: 'dev-a' }));
  const next = configOf({ a: 'dev-a', c: 'dev-c' });
  const portOfNew = (): number => table.plan(next).added[0][0];
  assert.equal(portOfNew(), 3);
  table.rested(plan);
  assert.equal(portOfNew(), 2);
});

test('ports as the packet loops see them: by number, with gaps, and without lost devices', async (t) => {
  const { table, lost, change } = await startTable(t, configOf({ a: 'dev-a', b: 'dev-b' }));
  const next = configOf({ b: 'dev-b', c: 'dev-c' });
  change(next);
  const labels = (): string[] => table.specs(next).map(({ label }) => label);
  assert.deepEqual(labels(), ['none', 'none', 'dev-b', 'dev-c']);
  const device = table.lose(2);
  assert.equal(device?.spec.name, 'dev-b');
  assert.equal(table.lose(2), undefined, 'it is lost already');
  assert.equal(table.lose(1), undefined, 'nobody has the port');
  assert.deepEqual(labels(), ['none', 'none', 'none', 'dev-c']);
  assert.deepEqual([lost.has(2), table.waiting().map(({ name }) => name)], [true, ['b']]);
});

test('a lost device is opened again at its port, or stays lost', async (t) => {
  const { table, devices, lost } = await startTable(t, configOf({ a: 'dev-a' }, 'up-1'));
  assert.equal(table.reopen(1), false, 'it is not lost');
  for (const port of [0, 1]) table.lose(port);
  devices.refused.set('dev-a', 'ENODEV');
  assert.throws(() => table.reopen(1), { message: 'ENODEV: no dev-a' });
  assert.equal(lost.has(1), true);
  devices.refused.clear();
  assert.deepEqual([table.reopen(1), table.reopen(0)], [true, true]);
  assert.deepEqual(devices.takeCalls(), ['open dev-a', 'open up-1']);
  assert.deepEqual(
    table.devices().map(({ spec }) => spec.name),
    ['up-1', 'dev-a'],
  );
});

test('what is new and can not be opened waits; what is removed waits no more', async (t) => {
  const { table, devices, lost, change } = await startTable(t, configOf({ a: 'dev-a' }));
  devices.refused.set('dev-b', 'EBUSY').set('up-1', 'ENODEV');
  change(configOf({ a: 'dev-a', b: 'dev-b' }, 'up-1'));
  assert.deepEqual(
    table.waiting().map(({ name, reason }) => [name, reason]),
    [
      ['uplink', 'ENODEV: no up-1'],
      ['b', 'EBUSY: no dev-b'],
    ],
  );
  const [, opened] = change(configOf({ a: 'dev-a' }));
  assert.deepEqual(
    [opened.closed, table.waiting(), lost.has(0), lost.has(2)],
    [[], [], false, false],
  );
  assert.equal(table.uplink, undefined);
});
