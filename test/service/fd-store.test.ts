/** Which kept descriptors become which devices: whole sets of queues, or none of them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { pino } from 'pino';
import { FdStore, NAMES_BYTES_MAX, queueNames, storedName } from '../../src/service/fd-store.ts';
import { Notifier, type StoredFd } from '../../src/service/notify.ts';
import type { Device, DeviceSpec } from '../../src/ports/device.ts';
import type { Native, OpenedDevice } from '../../src/ports/native.ts';

const OFFLOADS = { checksum: true, tso4: true, tso6: true, uso: true };

function specOf(name: string, queues: number): DeviceSpec {
  return {
    kind: 'tun',
    name,
    netnsPath: undefined,
    mtu: 1500,
    persist: false,
    queues,
    configure: false,
    addresses: [],
    routes: [],
  };
}

/** A kernel that knows which device each descriptor is of, and writes down what is asked of it. */
class FakeNative {
  readonly calls: string[] = [];
  /** By descriptor. */
  readonly devices = new Map<number, string>();
  /** Fails when that many queues have been opened. */
  opensAtMost = Infinity;
  private next = 100;

  openDevice({ name }: { name: string }): OpenedDevice {
    if (this.opensAtMost-- <= 0) throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
    const created = ![...this.devices.values()].includes(name);
    const fd = this.next++;
    this.devices.set(fd, name);
    this.calls.push(`open ${name} ${fd}`);
    return { fd, name, ifindex: 7, mtu: 1500, isUp: false, created, offloads: OFFLOADS };
  }

  adoptDevice(fd: number, { name }: { name: string }): OpenedDevice {
    if (this.devices.get(fd) !== name) throw Object.assign(new Error('EINVAL'), { code: 'EINVAL' });
    this.calls.push(`adopt ${name} ${fd}`);
    return { fd, name, ifindex: 7, mtu: 1500, isUp: true, created: false, offloads: OFFLOADS };
  }

  steerQueues(fd: number, _options: unknown, queues: number): void {
    const name = this.devices.get(fd);
    const held = [...this.devices.values()].filter((other) => other === name).length;
    if (held !== queues) throw Object.assign(new Error('EBUSY'), { code: 'EBUSY' });
    this.calls.push(`steer ${name} ${queues}`);
  }

  closeFd(fd: number): void {
    this.devices.delete(fd);
    this.calls.push(`close ${fd}`);
  }

  closeFds(fds: Int32Array): void {
    for (const fd of fds) this.closeFd(fd);
  }

  sendDatagram(_path: string, payload: Uint8Array, fds: Int32Array): void {
    const [what, name] = Buffer.from(payload).toString().split('\n');
    this.calls.push(`${what} ${name} ${fds.join(' ')}`.trim());
  }
}

interface World {
  readonly native: FakeNative;
  readonly store: FdStore;
  /** What was asked since the last time. */
  calls(): string[];
}

function makeStore(stored: readonly StoredFd[], devices: Record<number, string> = {}): World {
  const native = new FakeNative();
  for (const [fd, name] of Object.entries(devices)) native.devices.set(Number(fd), name);
  const log = pino({ level: 'silent' });
  const asNative = native as unknown as Native;
  const store = new FdStore(asNative, new Notifier(asNative, '/run/notify', log), log, stored);
  return { native, store, calls: () => native.calls.splice(0) };
}

async function openAll(store: FdStore, specs: readonly DeviceSpec[]): Promise<Device[]> {
  const openings = await store.openDevices(specs);
  return openings.map((one) => {
    if ('error' in one) throw one.error;
    return one.device;
  });
}

const NAME = storedName(specOf('eth0', 1));

function queueName(number: number, of: number): string {
  return queueNames(specOf('eth0', of))[number - 1];
}

test('a device is kept queue by queue, and taken over whole, in the order of its queues', async () => {
  const spec = specOf('eth0', 3);
  const first = makeStore([]);
  const devices = await openAll(first.store, [spec]);
  assert.deepEqual(first.calls(), [
    'open eth0 100',
    'open eth0 101',
    'open eth0 102',
    'steer eth0 3',
  ]);
  first.store.keep(devices);
  assert.deepEqual(first.calls(), [
    `FDSTORE=1 FDNAME=${queueName(1, 3)} 100`,
    `FDSTORE=1 FDNAME=${queueName(2, 3)} 101`,
    `FDSTORE=1 FDNAME=${queueName(3, 3)} 102`,
  ]);
  first.store.keep(devices);
  assert.deepEqual(first.calls(), [], 'once each');

  // The manager hands them over in any order.
  const next = makeStore(
    [
      { fd: 3, name: queueName(3, 3) },
      { fd: 4, name: queueName(1, 3) },
      { fd: 5, name: queueName(2, 3) },
    ],
    { 3: 'eth0', 4: 'eth0', 5: 'eth0' },
  );
  const [device] = await openAll(next.store, [spec]);
  assert.deepEqual([device.fds, device.created], [[4, 5, 3], false]);
  assert.deepEqual(next.calls(), ['adopt eth0 4', 'adopt eth0 5', 'adopt eth0 3', 'steer eth0 3']);
  next.store.keep([device]);
  assert.deepEqual(next.calls(), [], 'they are kept already');
  next.store.drop([device]);
  assert.deepEqual(next.calls(), [
    `FDSTOREREMOVE=1 FDNAME=${queueName(1, 3)}`,
    `FDSTOREREMOVE=1 FDNAME=${queueName(2, 3)}`,
    `FDSTOREREMOVE=1 FDNAME=${queueName(3, 3)}`,
  ]);
});

test('with a queue missing, the others are closed and the device is opened anew', async () => {
  const world = makeStore([{ fd: 3, name: queueName(2, 2) }], { 3: 'eth0' });
  const [device] = await openAll(world.store, [specOf('eth0', 2)]);
  assert.deepEqual(world.calls(), [
    'adopt eth0 3',
    'close 3',
    `FDSTOREREMOVE=1 FDNAME=${queueName(2, 2)}`,
    'open eth0 100',
    'open eth0 101',
    'steer eth0 2',
  ]);
  assert.deepEqual(device.fds, [100, 101]);
  world.store.keep([device]);
  assert.deepEqual(
    world.calls().map((call) => call.split(' ')[0]),
    ['FDSTORE=1', 'FDSTORE=1'],
  );
});

test('with a queue that is of another device, all of it is closed', async () => {
  const stored = [1, 2].map((queue) => ({ fd: 2 + queue, name: queueName(queue, 2) }));
  const world = makeStore(stored, { 3: 'eth0', 4: 'eth9' });
  const [device] = await openAll(world.store, [specOf('eth0', 2)]);
  assert.deepEqual(device.fds, [100, 101]);
  assert.deepEqual([...world.native.devices.keys()].sort(), [100, 101]);
  const removed = world.calls().filter((call) => call.startsWith('FDSTOREREMOVE'));
  assert.deepEqual(removed.sort(), [
    `FDSTOREREMOVE=1 FDNAME=${queueName(1, 2)}`,
    `FDSTOREREMOVE=1 FDNAME=${queueName(2, 2)}`,
  ]);
});

for (const [before, after] of [
  [1, 2],
  [2, 1],
  [2, 3],
])
  test(`from ${before} queues to ${after}: what was kept is closed before anything is opened`, async () => {
    const names = before === 1 ? [NAME] : [queueName(1, 2), queueName(2, 2)];
    const devices = Object.fromEntries(names.map((_, i) => [3 + i, 'eth0']));
    const world = makeStore(
      names.map((name, i) => ({ fd: 3 + i, name })),
      devices,
    );
    const [device] = await openAll(world.store, [specOf('eth0', after)]);
    const calls = world.calls();
    assert.deepEqual(
      calls.slice(0, 2 * before),
      names.flatMap((name, i) => [`FDSTOREREMOVE=1 FDNAME=${name}`, `close ${3 + i}`]),
    );
    assert.equal(device.fds.length, after);
    assert.equal(calls.at(-1), after > 1 ? `steer eth0 ${after}` : 'open eth0 100');
  });

test('as long as the manager holds queues of a device, none are added to them', async () => {
  // Its copies: closed here, but not there yet.
  const world = makeStore([{ fd: 3, name: queueName(1, 2) }], { 3: 'eth0', 900: 'eth0' });
  setTimeout(() => world.native.devices.delete(900), 120);
  const [device] = await openAll(world.store, [specOf('eth0', 3)]);
  const opened = world.calls().filter((call) => call.startsWith('open'));
  assert.deepEqual(
    opened.slice(-3),
    device.fds.map((fd) => `open eth0 ${fd}`),
  );
  assert.ok(opened.length > 3, 'it was tried before');
  assert.deepEqual([...world.native.devices.keys()], device.fds);
});

test('a device of which not all queues can be had leaves none behind', async () => {
  const world = makeStore([]);
  world.native.opensAtMost = 4;
  await assert.rejects(world.store.openDevices([specOf('eth0', 3), specOf('eth1', 3)]), {
    code: 'EMFILE',
  });
  assert.deepEqual([...world.native.devices], []);
});

/** Devices that need not exist: descriptors are only handed on. */
function devicesOf(count: number, queues: number): Device[] {
  return Array.from({ length: count }, (_, i): Device => {
    const spec = specOf(`tap${i}`, queues);
    const fds = Array.from({ length: queues }, (_, queue) => 1000 + i * queues + queue);
    const opened = { name: spec.name, ifindex: 7, mtu: 1500, isUp: false, created: true };
    return { ...opened, offloads: OFFLOADS, fds, spec, namespace: undefined };
  });
}

function namesKept(calls: readonly string[]): string[] {
  return calls.map((call) => /^FDSTORE=1 FDNAME=(\S+) \d+$/.exec(call)![1]);
}

for (const queues of [1, 2])
  test(`4,096 interfaces and an uplink are kept whole, with ${queues} queues each`, () => {
    const world = makeStore([]);
    world.store.keep(devicesOf(4097, queues));
    const names = namesKept(world.calls());
    assert.equal(names.length, 4097 * queues);
    assert.equal(new Set(names).size, names.length);
  });

test('no more is kept than the kernel lets systemd hand over: whole devices, and the store goes on', () => {
  const queues = 3;
  const world = makeStore([]);
  const devices = devicesOf(4000, queues);
  world.store.keep(devices);
  const names = namesKept(world.calls());
  assert.equal(names.length % queues, 0);
  assert.ok(names.length < devices.length * queues);
  const started = spawnSync('true', { env: { ...process.env, LISTEN_FDNAMES: names.join(':') } });
  assert.equal(started.error, undefined, 'a program starts with these names');
  const tooMany = 'x'.repeat(NAMES_BYTES_MAX + 1);
  const refused = spawnSync('true', { env: { ...process.env, LISTEN_FDNAMES: tooMany } });
  assert.equal(
    (refused.error as NodeJS.ErrnoException).code,
    'E2BIG',
    'and with no more it does not',
  );

  // What is given up makes room for another.
  world.store.drop([devices[0]]);
  world.calls();
  world.store.keep([devices.at(-1)!]);
  assert.equal(namesKept(world.calls()).length, queues);
});

test('opening and closing many devices asks the service manager for time, as long as it goes on', async (t) => {
  let nowMs = 0;
  t.mock.method(performance, 'now', () => (nowMs += 500));
  const world = makeStore([]);
  const specs = Array.from({ length: 640 }, (_, i) => specOf(`tap${i}`, 1));
  const extensions = (): number =>
    world.calls().filter((call) => call.startsWith('EXTEND_TIMEOUT_USEC=30000000')).length;
  const devices = await openAll(world.store, specs);
  // Two steps a device, half a second each; told every two seconds.
  assert.equal(extensions(), 320);
  world.store.close(devices);
  // 64 are closed in a step.
  assert.equal(extensions(), 2);
  assert.deepEqual([...world.native.devices], []);
});
