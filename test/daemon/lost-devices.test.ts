/** Devices that can't be had: told once, tried again, given up when nobody wants them. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { pino } from 'pino';
import { absentDevice } from '../../src/daemon/port-specs.ts';
import { LostDevices } from '../../src/daemon/lost-devices.ts';
import type { Device, DeviceSpec } from '../../src/ports/device.ts';
import type { LinkNews } from '../../src/ports/link-news.ts';
import type { ListedLink, Native } from '../../src/ports/native.ts';
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

/** What the kernel says of interfaces that somebody else made. */
interface Attached {
  isWatched: boolean;
  /** Why one can't be opened. */
  code: string;
  readonly guarded: string[];
  readonly list: () => ListedLink[];
  readonly look: (name: string) => ReturnType<Native['lookAtDevice']>;
}

interface World {
  readonly lost: LostDevices;
  /** The devices that are open. */
  readonly open: Device[];
  readonly asked: number[];
  readonly dropped: string[];
  readonly givenUp: Device[];
  /** Ports whose device can be opened by now. */
  readonly there: Set<number>;
  /** Lets a second pass, and what it sets off be done. */
  readonly second: () => Promise<void>;
  readonly settle: () => Promise<void>;
}

/** @param attached what an attached interface is to the kernel; absent: there is none */
function makeWorld(t: TestContext, attached?: Attached): World {
  const world = {
    asked: [] as number[],
    dropped: [] as string[],
    givenUp: [] as Device[],
    open: [] as Device[],
    there: new Set<number>(),
  };
  const store = {
    drop: (devices: readonly Device[]): void =>
      void world.dropped.push(...devices.map(({ spec }) => spec.netnsPath!)),
  };
  const lost: LostDevices = new LostDevices({
    native: {
      lookAtDevice: (_, name) => attached?.look(name) ?? assert.fail('none is attached here'),
      listLinks: () => attached?.list() ?? assert.fail('none is attached here'),
    },
    guards: {
      hold: () => undefined,
      follow: () => undefined,
      followAt: () => undefined,
      guardEarly: (_, { name }) => void attached?.guarded.push(name),
      guardStranger: () => undefined,
      isGuardedFor: () => false,
    },
    watches: {
      has: () => attached?.isWatched ?? false,
      keep: () => undefined,
      stop: () => undefined,
    },
    log: pino({ enabled: false }),
    store,
    devices: () => world.open,
    reopen: (port) => {
      world.asked.push(port);
      if (!world.there.has(port))
        return Promise.reject(
          Object.assign(new Error(`port ${port} is still gone`), { code: attached?.code }),
        );
      lost.forget(port);
      return Promise.resolve();
    },
    giveUp: (device) => Promise.resolve(void world.givenUp.push(device)),
  });
  t.after(() => lost.stop());
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await Promise.resolve();
  };
  const second = (): Promise<void> => {
    lost.look();
    return settle();
  };
  return { lost, ...world, second, settle };
}

test('a device that is gone is tried once a second until it is back', async (t) => {
  const { lost, asked, dropped, there, second, settle } = makeWorld(t);
  lost.note(3, absentDevice(specAt('/run/netns/a')));
  assert.deepEqual(dropped, ['/run/netns/a'], 'the service manager keeps its descriptor no longer');
  assert.match(lost.reasonOf(3)!, /deleted/);
  await second();
  assert.equal(lost.reasonOf(3), 'port 3 is still gone', 'the latest reason is told');
  there.add(3);
  lost.retrySoon();
  await settle();
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

test('a device is given up when the name stands for another namespace, and only then', async (t) => {
  const { open, givenUp, second } = makeWorld(t);
  const at = (netnsPath: string, namespace: string | undefined): Device => ({
    ...absentDevice(specAt(netnsPath)),
    namespace,
  });
  const here = namespaceAt(OWN_NAMESPACE);
  open.push(
    at('/proc/thread-self/ns/net', here),
    at('/run/netns/there-is-none', 'net:[1]'),
    at('/proc/self/ns/net', undefined),
  );
  await second();
  assert.deepEqual(givenUp, []);
  const moved = at('/proc/thread-self/ns/net', 'net:[1]');
  open.push(moved);
  await second();
  assert.deepEqual(givenUp, [moved]);
});

const VETH: DeviceSpec = { ...specAt('/run/netns/a'), kind: 'attach', name: 'v1' };
const PLAIN = { alias: '', mac: '', kind: '', flags: 0, type: 1, link: 0, linkNetnsId: -1 };

function newsOf(...links: readonly (readonly [number, string])[]): LinkNews {
  const made = links.map(([ifindex, name]) => ({ ...PLAIN, ifindex, name }));
  return { links: made, unguarded: [], isAll: false };
}

function makeAttached(links: Map<number, string>): Attached {
  return {
    ...{ isWatched: true, code: 'ENODEV', guarded: [] },
    list: () => [...links].map(([ifindex, name]) => ({ ...PLAIN, ifindex, name })),
    look: (name) => ({
      ifindex: [...links].find(([, one]) => one === name)?.[0] ?? 0,
      ...{ mtu: 1500, isUp: true, isGuarded: true },
    }),
  };
}

test('what the kernel tells of is looked at, and nothing else', async (t) => {
  const links = new Map<number, string>();
  const attached = makeAttached(links);
  const { lost, asked, there, second, settle } = makeWorld(t, attached);
  lost.await(1, VETH, Object.assign(new Error('gone'), { code: 'ENODEV' }));
  await second();
  assert.deepEqual(asked, [1], 'the first look is at everything');
  for (let i = 0; i < 29; i++) await second();
  assert.deepEqual(asked, [1]);
  await second();
  assert.deepEqual(asked, [1, 1], 'the slow one');
  links.set(7, 'v7').set(8, 'v1');
  lost.hear('/run/netns/a', newsOf([7, 'v7']));
  lost.hear('/run/netns/b', newsOf([8, 'v1']));
  await settle();
  assert.deepEqual([asked.length, attached.guarded], [2, []]);
  there.add(1);
  lost.hear('/run/netns/a', newsOf([8, 'v1']));
  assert.deepEqual(attached.guarded, ['v1'], 'before it is opened');
  await settle();
  assert.deepEqual([asked.length, lost.has(1)], [3, false]);
});

test('what the kernel does not tell, or can not, is tried each second', async (t) => {
  const attached = makeAttached(new Map());
  const { lost, asked, second } = makeWorld(t, attached);
  lost.await(1, VETH, Object.assign(new Error('held'), { code: 'EBUSY' }));
  attached.code = 'EADDRINUSE';
  for (let i = 0; i < 3; i++) await second();
  assert.equal(asked.length, 3);
  attached.code = 'ENETDOWN';
  for (let i = 0; i < 3; i++) await second();
  assert.equal(asked.length, 4);
  attached.isWatched = false;
  for (let i = 0; i < 3; i++) await second();
  assert.equal(asked.length, 7);
});

test('one that is renamed is kept; one that goes is given up once, whatever was lost on the way', async (t) => {
  const links = new Map([[8, 'v1']]);
  const { lost, open, givenUp, second } = makeWorld(t, makeAttached(links));
  const device = { ...absentDevice(VETH), ...{ fds: [40], ifindex: 8, mtu: 1500 } };
  open.push(device);
  await second();
  links.set(8, 'v9');
  lost.hear('/run/netns/a', newsOf([8, 'v9']));
  assert.deepEqual(givenUp, []);
  links.clear();
  lost.hear('/run/netns/a', { ...newsOf(), isAll: true });
  lost.hear('/run/netns/a', newsOf([8, 'v9']));
  assert.deepEqual(givenUp, [device]);
});
