/** Devices that can't be had: told once, tried again, given up when nobody wants them. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { absentDevice } from '../../src/daemon/port-specs.ts';
import { LostDevices } from '../../src/daemon/lost-devices.ts';
import type { Device, DeviceSpec } from '../../src/ports/device.ts';
import { namespaceAt } from '../../src/ports/namespace.ts';

const OWN_NAMESPACE = '/proc/self/ns/net';

function specAt(netnsPath: string): DeviceSpec {
  const shape = {
    kind: 'tun',
    name: 'eth0',
    mtu: 1500,
    persist: false,
    queues: 1,
    configure: true,
  } as const;
  return { ...shape, netnsPath, addresses: [], routes: [] };
}

interface World {
  readonly lost: LostDevices;
  readonly asked: number[];
  readonly dropped: string[];
  readonly givenUp: Device[];
  /** Ports whose device can be opened by now. */
  readonly there: Set<number>;
  /** Lets a second pass, and what it sets off be done. */
  readonly second: () => Promise<void>;
}

function makeWorld(t: TestContext): World {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const world = {
    asked: [] as number[],
    dropped: [] as string[],
    givenUp: [] as Device[],
    there: new Set<number>(),
  };
  const store = {
    drop: (devices: readonly Device[]): void =>
      void world.dropped.push(...devices.map(({ spec }) => spec.netnsPath!)),
  };
  const lost: LostDevices = new LostDevices({
    native: {
      lookAtDevice: () => assert.fail('no interface is attached here'),
      listLinks: () => assert.fail('no interface is found by a match here'),
    },
    matched: { hold: () => undefined, follow: () => undefined },
    log: pino({ enabled: false }),
    store,
    reopen: (port) => {
      world.asked.push(port);
      if (!world.there.has(port)) return Promise.reject(new Error(`port ${port} is still gone`));
      lost.forget(port);
      return Promise.resolve();
    },
    giveUp: (device) => Promise.resolve(void world.givenUp.push(device)),
  });
  t.after(() => lost.stop());
  const second = async (): Promise<void> => {
    t.mock.timers.tick(1000);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { lost, ...world, second };
}

test('a device that is gone is tried once a second until it is back', async (t) => {
  const { lost, asked, dropped, there, second } = makeWorld(t);
  lost.note(3, absentDevice(specAt('/run/netns/a')));
  assert.deepEqual(dropped, ['/run/netns/a'], 'the service manager keeps its descriptor no longer');
  assert.match(lost.reasonOf(3)!, /deleted/);
  await second();
  assert.equal(lost.reasonOf(3), 'port 3 is still gone', 'the latest reason is told');
  there.add(3);
  lost.retrySoon();
  for (let i = 0; i < 10; i++) await Promise.resolve();
  assert.deepEqual([lost.has(3), lost.reasonOf(3)], [false, undefined]);
  await second();
  assert.deepEqual(asked, [3, 3], 'nothing is tried when all are back');
});

test('one that could not be opened waits the same, and others do not wait for it', async (t) => {
  const { lost, asked, there, second } = makeWorld(t);
  lost.await(1, specAt('/run/netns/a'), new Error('no such namespace'));
  lost.await(2, specAt('/run/netns/b'), new Error('no such namespace'));
  assert.equal(lost.reasonOf(1), 'no such namespace');
  there.add(2);
  await second();
  assert.deepEqual(asked, [1, 2]);
  assert.deepEqual([lost.has(1), lost.has(2)], [true, false]);
});

test('one that the configuration has no longer is not tried again', async (t) => {
  const { lost, asked, second } = makeWorld(t);
  lost.await(1, specAt('/run/netns/a'), new Error('gone'));
  lost.forget(1);
  await second();
  lost.retrySoon();
  assert.deepEqual(asked, []);
});

test('what is lost while the daemon stops is not tried again, also where a round was under way', async (t) => {
  const { lost, asked, second } = makeWorld(t);
  lost.await(1, specAt('/run/netns/a'), new Error('gone'));
  lost.await(2, specAt('/run/netns/b'), new Error('gone'));
  const round = second();
  lost.stop();
  await round;
  lost.note(3, absentDevice(specAt('/run/netns/c')));
  await second();
  assert.deepEqual(asked, [1], 'the one that was being opened');
});

test('a namespace named by a process is never looked up again: the number may be another by then', async (t) => {
  const { lost, asked, second } = makeWorld(t);
  lost.await(1, specAt('/proc/4242/ns/net'), new Error('no such process'));
  await second();
  await second();
  assert.deepEqual([asked, lost.has(1)], [[], true]);
});

test('a device is given up when the name stands for another namespace, and only then', (t) => {
  const { lost, givenUp } = makeWorld(t);
  const at = (netnsPath: string, namespace: string | undefined): Device => ({
    ...absentDevice(specAt(netnsPath)),
    namespace,
  });
  const here = namespaceAt(OWN_NAMESPACE);
  lost.look([
    at('/proc/thread-self/ns/net', here),
    at('/run/netns/there-is-none', 'net:[1]'),
    at('/proc/self/ns/net', undefined),
  ]);
  assert.deepEqual(givenUp, []);
  const moved = at('/proc/thread-self/ns/net', 'net:[1]');
  lost.look([moved]);
  assert.deepEqual(givenUp, [moved]);
});
