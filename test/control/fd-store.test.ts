/** Which kept descriptors become which devices: whole sets of queues, or none of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pino } from 'pino';
import { FdStore, storedName } from '../../src/control/service/fd-store.ts';
import { Notifier, type StoredFd } from '../../src/control/service/notify.ts';
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

const NAME = storedName(specOf('eth0', 2));

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
    `FDSTORE=1 FDNAME=${NAME}-1of3 100`,
    `FDSTORE=1 FDNAME=${NAME}-2of3 101`,
    `FDSTORE=1 FDNAME=${NAME}-3of3 102`,
  ]);
  first.store.keep(devices);
  assert.deepEqual(first.calls(), [], 'once each');

  // The manager hands them over in any order.
  const next = makeStore(
    [
      { fd: 3, name: `${NAME}-3of3` },
      { fd: 4, name: `${NAME}-1of3` },
      { fd: 5, name: `${NAME}-2of3` },
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
    `FDSTOREREMOVE=1 FDNAME=${NAME}-1of3`,
    `FDSTOREREMOVE=1 FDNAME=${NAME}-2of3`,
    `FDSTOREREMOVE=1 FDNAME=${NAME}-3of3`,
  ]);
});

test('with a queue missing, the others are closed and the device is opened anew', async () => {
  const world = makeStore([{ fd: 3, name: `${NAME}-2of2` }], { 3: 'eth0' });
  const [device] = await openAll(world.store, [specOf('eth0', 2)]);
  assert.deepEqual(world.calls(), [
    'adopt eth0 3',
    'close 3',
    `FDSTOREREMOVE=1 FDNAME=${NAME}-2of2`,
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
  const stored = [1, 2].map((queue) => ({ fd: 2 + queue, name: `${NAME}-${queue}of2` }));
  const world = makeStore(stored, { 3: 'eth0', 4: 'eth9' });
  const [device] = await openAll(world.store, [specOf('eth0', 2)]);
  assert.deepEqual(device.fds, [100, 101]);
  assert.deepEqual([...world.native.devices.keys()].sort(), [100, 101]);
  const removed = world.calls().filter((call) => call.startsWith('FDSTOREREMOVE'));
  assert.deepEqual(removed.sort(), [
    `FDSTOREREMOVE=1 FDNAME=${NAME}-1of2`,
    `FDSTOREREMOVE=1 FDNAME=${NAME}-2of2`,
  ]);
});

for (const [before, after] of [
  [1, 2],
  [2, 1],
  [2, 3],
])
  test(`from ${before} queues to ${after}: what was kept is closed before anything is opened`, async () => {
    const names = before === 1 ? [NAME] : [`${NAME}-1of2`, `${NAME}-2of2`];
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
  const world = makeStore([{ fd: 3, name: `${NAME}-1of2` }], { 3: 'eth0', 900: 'eth0' });
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
