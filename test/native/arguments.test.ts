/** Wrong arguments throw the right class and name the argument. None of this needs a device or root. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { native, thrownBy } from './support.ts';

const arena = new Uint8Array(64);
const slots = new Int32Array(6);
const fds = new Int32Array(2);
const ipv4 = Uint8Array.of(10, 0, 0, 1);
const pair = { name: 'x', hostName: 'y', alias: 'z', mtu: 1500, txQueueLength: 1 };
const options = { kind: 'tun', name: 'x', persist: false } as const;

/** So that a wrong type can be passed at all. */
const call = native as unknown as Record<string, (...args: unknown[]) => unknown>;

const KIND = 'kind must be a kind of src/ports/port-kind.ts';
const FD = 'fd must be an integer from 0 to 2147483647';
const INTERFACE_NAME = "name must be an interface name: no blanks, '/', ':' or '%'";

// prettier-ignore
const WRONG: readonly [string, readonly unknown[], typeof TypeError | typeof RangeError, string][] = [
  ['preferHugePages', [], TypeError, 'memory must be a Uint8Array'],
  ['preferHugePages', [new Int32Array(1)], TypeError, 'memory must be a Uint8Array'],
  ['exitNow', [], TypeError, 'code must be a number'],
  ['exitNow', [256], RangeError, 'code must be an integer from 0 to 255'],
  ['exitNow', [-1], RangeError, 'code must be an integer from 0 to 255'],
  ['openDevice', [], TypeError, 'options must be an object'],
  ['openDevice', [null], TypeError, 'options must be an object'],
  ['openDevice', ['eth0'], TypeError, 'options must be an object'],
  ['openDevice', [{ ...options, kind: 0 }], TypeError, 'kind must be a string'],
  ['openDevice', [{ ...options, kind: 'vhost' }], RangeError, KIND],
  ['openDevice', [{ ...options, name: 1 }], TypeError, 'name must be a string'],
  ['openDevice', [{ ...options, name: '' }], RangeError, 'name must be from 1 to 15 bytes long'],
  ['openDevice', [{ ...options, name: 'a'.repeat(16) }], RangeError, 'name must be from 1 to 15 bytes long'],
  ['openDevice', [{ ...options, name: 'ü'.repeat(8) }], RangeError, 'name must be from 1 to 15 bytes long'],
  ['openDevice', [{ ...options, name: 'a\0b' }], RangeError, 'name must be free of NUL characters'],
  ['openDevice', [{ ...options, name: 'tun%d' }], RangeError, INTERFACE_NAME],
  ['openDevice', [{ ...options, name: 'a/b' }], RangeError, INTERFACE_NAME],
  ['openDevice', [{ ...options, name: 'a:1' }], RangeError, INTERFACE_NAME],
  ['openDevice', [{ ...options, name: 'a b' }], RangeError, INTERFACE_NAME],
  ['openDevice', [{ ...options, name: '..' }], RangeError, INTERFACE_NAME],
  ['openDevice', [{ ...options, netns: null }], TypeError, 'netns must be a string'],
  ['openDevice', [{ ...options, netns: '' }], RangeError, 'netns must be from 1 to 4095 bytes long'],
  ['openDevice', [{ ...options, netns: '/run/netns/a\0b' }], RangeError, 'netns must be free of NUL characters'],
  ['openDevice', [{ ...options, persist: 1 }], TypeError, 'persist must be a boolean'],
  ['openDevice', [{ kind: 'tun', name: 'x' }], TypeError, 'persist must be a boolean'],
  ['openDevice', [{ ...options, queues: '1' }], TypeError, 'queues must be a number'],
  ['openDevice', [{ ...options, queues: 17 }], RangeError, 'queues must be an integer from 1 to 16'],

  ['adoptDevice', ['9', options], TypeError, 'fd must be a number'],
  ['adoptDevice', [-1, options], RangeError, FD],
  ['adoptDevice', [9999, null], TypeError, 'options must be an object'],
  ['adoptDevice', [9999, { ...options, kind: 'vhost' }], RangeError, KIND],
  ['adoptDevice', [9999, { ...options, queues: null }], TypeError, 'queues must be a number'],
  ['adoptDevice', [9999, { ...options, moved: 1 }], TypeError, 'moved must be a boolean'],

  ['identifyDevice', ['9'], TypeError, 'fd must be a number'],
  ['identifyDevice', [-1], RangeError, FD],
  ['identifyDevice', [9999, 'vhost'], RangeError, KIND],
  ['locateDevice', ['9'], TypeError, 'fd must be a number'],
  ['locateDevice', [-1], RangeError, FD],
  ['locateDevice', [9999], TypeError, 'kind must be a string'],

  ['steerQueues', ['9', options, 2], TypeError, 'fd must be a number'],
  ['steerQueues', [-1, options, 2], RangeError, FD],
  ['steerQueues', [9999, null, 2], TypeError, 'options must be an object'],
  ['steerQueues', [9999, { ...options, kind: 'vhost' }, 2], RangeError, KIND],
  ['steerQueues', [9999, { ...options, name: '' }, 2], RangeError, 'name must be from 1 to 15 bytes long'],
  ['steerQueues', [9999, { ...options, netns: 1 }, 2], TypeError, 'netns must be a string'],
  ['steerQueues', [9999, options], TypeError, 'queues must be a number'],
  ['steerQueues', [9999, options, 0], RangeError, 'queues must be an integer from 1 to 16'],
  ['steerQueues', [9999, options, 17], RangeError, 'queues must be an integer from 1 to 16'],
  ['steerQueues', [9999, options, 2.5], RangeError, 'queues must be an integer from 1 to 16'],

  ['sendDatagram', [1, arena, fds], TypeError, 'path must be a string'],
  ['sendDatagram', ['', arena, fds], RangeError, 'path must be from 1 to 107 bytes long'],
  ['sendDatagram', ['/run/a', 'text', fds], TypeError, 'payload must be a Uint8Array'],
  ['sendDatagram', ['/run/a', arena, [1]], TypeError, 'fds must be an Int32Array'],

  ['setBatchScheduling', [], TypeError, 'isBatch must be a boolean'],
  ['setBatchScheduling', [1], TypeError, 'isBatch must be a boolean'],

  ['closeFds', [], TypeError, 'fds must be an Int32Array'],
  ['closeFds', [[9999]], TypeError, 'fds must be an Int32Array'],
  ['closeFd', [], TypeError, 'fd must be a number'],
  ['closeFd', [-1], RangeError, FD],
  ['closeFd', [0.5], RangeError, FD],
  ['closeFd', [NaN], RangeError, FD],
  ['closeFd', [Infinity], RangeError, FD],
  ['closeFd', [2 ** 32], RangeError, FD], // would be 0 if it were cut to 32 bits

  ['bindSocket', [1, '10.0.0.1', 80, true, 0], TypeError, 'netns must be a string'],
  ['bindSocket', [undefined, 'x', 80, true, 0], RangeError, 'address must be an IPv4 or IPv6 address'],
  ['bindSocket', [undefined, '10.0.0.1', 65536, true, 0], RangeError, 'port must be an integer from 0 to 65535'],
  ['bindSocket', [undefined, '10.0.0.1', 80, 1, 0], TypeError, 'isStream must be a boolean'],
  ['bindSocket', [undefined, '10.0.0.1', 80, true, 256], RangeError, 'hops must be an integer from 0 to 255'],
  ['guardDevice', [1, 'x'], TypeError, 'netns must be a string'],
  ['guardDevice', [undefined, 'a'.repeat(16)], RangeError, 'name must be from 1 to 15 bytes long'],
  ['listLinks', [1], TypeError, 'netns must be a string'],
  ['listGuards', [1], TypeError, 'netns must be a string'],
  ['watchLinks', [1], TypeError, 'netns must be a string'],
  ['watchLinks', [undefined, 'x'], TypeError, 'receiveBytes must be a number'],
  ['watchLinks', [undefined, 0], RangeError, 'receiveBytes must be an integer from 1 to 67108864'],
  ['namespaceId', [1, '/x'], TypeError, 'netns must be a string'],
  ['namespaceId', [undefined], TypeError, 'other must be a string'],
  ['unguardDevice', [1, 'x'], TypeError, 'netns must be a string'],
  ['unguardDevice', [undefined, 'a'.repeat(16)], RangeError, 'name must be from 1 to 15 bytes long'],
  ['lookAtDevice', [1, 'x'], TypeError, 'netns must be a string'],
  ['lookAtDevice', [undefined, ''], RangeError, 'name must be from 1 to 15 bytes long'],

  ['readBatch', ['1', arena, 0, slots, 0], TypeError, 'fd must be a number'],
  ['readBatch', [9999, new ArrayBuffer(64), 0, slots, 0], TypeError, 'arena must be a Uint8Array'],
  ['readBatch', [9999, new Int8Array(64), 0, slots, 0], TypeError, 'arena must be a Uint8Array'],
  ['readBatch', [9999, new DataView(new ArrayBuffer(64)), 0, slots, 0], TypeError, 'arena must be a Uint8Array'],
  ['readBatch', [9999, arena, -1, slots, 0], RangeError, 'start must be an integer from 0 to 64'],
  ['readBatch', [9999, arena, 65, slots, 0], RangeError, 'start must be an integer from 0 to 64'],
  ['readBatch', [9999, arena, undefined, slots, 0], TypeError, 'start must be a number'],
  ['readBatch', [9999, arena, 0, new Uint32Array(6), 0], TypeError, 'slots must be an Int32Array'],
  ['readBatch', [9999, arena, 0, [0, 0, 0], 0], TypeError, 'slots must be an Int32Array'],
  ['readBatch', [9999, arena, 0, slots], TypeError, 'linkBytes must be a number'],
  ['readBatch', [9999, arena, 0, slots, 15], RangeError, 'linkBytes must be an integer from 0 to 14'],

  ['acceptStream', [-1], RangeError, FD],
  ['readStream', [9999, arena, arena, arena, slots], TypeError, 'state must be an Int32Array'],
  ['readStream', [9999, new Int32Array(5), arena, arena, slots], RangeError, 'state must be at least 6 words long'],
  ['readStream', [9999, new Int32Array(6), slots, arena, slots], TypeError, 'buffer must be a Uint8Array'],
  ['readStream', [9999, new Int32Array(6), arena, arena, slots], RangeError, 'buffer must be as long as native.ts says'],
  ['writeStream', [9999, new Int32Array(6), arena, arena, slots, 1, 0], RangeError, 'buffer must be as long as native.ts says'],
  ['watchOutput', [9999, 9999, 1, 1], TypeError, 'isWanted must be a boolean'],

  ['writeBatch', [undefined, slots, 1, fds], TypeError, 'arena must be a Uint8Array'],
  ['writeBatch', [arena, null, 1, fds], TypeError, 'slots must be an Int32Array'],
  ['writeBatch', [arena, slots, 3, fds], RangeError, 'count must be an integer from 0 to 2'],
  ['writeBatch', [arena, slots, -1, fds], RangeError, 'count must be an integer from 0 to 2'],
  ['writeBatch', [arena, slots, 1, [1]], TypeError, 'fds must be an Int32Array'],
  ['writeBatch', [arena, slots, 1, fds, [0]], TypeError, 'next must be an Int32Array'],
  ['writeBatch', [arena, slots, 2, fds, new Int32Array(1)], RangeError, 'next must be at least count words long'],
  ['writeBatch', [arena, Int32Array.of(-1, 10, 0), 1, fds], RangeError, 'slot 0 must be inside the arena'],
  ['writeBatch', [arena, Int32Array.of(0, -1, 0), 1, fds], RangeError, 'slot 0 must be inside the arena'],
  ['writeBatch', [arena, Int32Array.of(0, 65, 0), 1, fds], RangeError, 'slot 0 must be inside the arena'],
  ['writeBatch', [arena, Int32Array.of(0x7fffffff, 0x7fffffff, 0), 1, fds], RangeError, 'slot 0 must be inside the arena'],
  ['writeBatch', [arena, Int32Array.of(0, 10, -1, 64, 1, 0), 2, fds], RangeError, 'slot 1 must be inside the arena'],
  ['writeBatch', [arena, Int32Array.of(0, 10, 2), 1, fds], RangeError, 'slot 0 must be for a descriptor in fds'],


  ['signalEventfd', [{}], TypeError, 'fd must be a number'],
  ['drainEventfd', [-5], RangeError, FD],

  ['addAddress', [1, 1, ipv4, 24], TypeError, 'netns must be a string'],
  ['addAddress', [undefined, 0, ipv4, 24], RangeError, 'ifindex must be an integer from 1 to 2147483647'],
  ['addAddress', [undefined, 1, '10.0.0.1', 24], TypeError, 'address must be a Uint8Array'],
  ['addAddress', [undefined, 1, new Uint8Array(5), 24], RangeError, 'address must be 4 or 16 bytes long'],
  ['addAddress', [undefined, 1, ipv4, 33], RangeError, 'prefixLength must be an integer from 0 to 32'],
  ['addAddress', [undefined, 1, new Uint8Array(16), 129], RangeError, 'prefixLength must be an integer from 0 to 128'],
  ['removeAddress', [undefined, 1, new Uint8Array(5), 24], RangeError, 'address must be 4 or 16 bytes long'],
  ['removeRoute', [undefined, 1, ipv4, 33, undefined], RangeError, 'prefixLength must be an integer from 0 to 32'],
  ['addRoute', [undefined, 1, new Uint8Array(0), 0, undefined], RangeError, 'destination must be 4 or 16 bytes long'],
  ['addRoute', [undefined, 1, ipv4, -1, undefined], RangeError, 'prefixLength must be an integer from 0 to 32'],
  ['addRoute', [undefined, 1, ipv4, 32, null], TypeError, 'gateway must be a Uint8Array'],
  ['addRoute', [undefined, 1, ipv4, 32, new Uint8Array(16)], RangeError, "gateway must be of the destination's address family"],

  ['setLink', [undefined, 1], TypeError, 'change must be an object'],
  ['setLink', [undefined, 1, { up: 1 }], TypeError, 'up must be a boolean'],
  ['setLink', [undefined, 1, { mtu: -1 }], RangeError, 'mtu must be an integer from 0 to 2147483647'],
  ['setLink', [undefined, 1, { mtu: null }], TypeError, 'mtu must be a number'],
  ['setLink', [undefined, 1, { txQueueLength: 1.5 }], RangeError, 'txQueueLength must be an integer from 0 to 2147483647'],
  ['setLink', [undefined, 1, { macAddress: '02:00:00:00:00:01' }], TypeError, 'macAddress must be a Uint8Array'],
  ['setLink', [undefined, 1, { macAddress: new Uint8Array(7) }], RangeError, 'macAddress must be 6 bytes long'],
  ['watch', [9999, 1.5, 0], RangeError, 'fd must be an integer from 0 to 2147483647'],
  ['watch', [9999, 1, 2 ** 31], RangeError, 'number must be an integer from -2147483648 to 2147483647'],
  ['unwatch', [9999, -1], RangeError, 'fd must be an integer from 0 to 2147483647'],
  ['wait', ['9', new Int32Array(2), 0], TypeError, 'fd must be a number'],
  ['wait', [9999, [0, 0], 0], TypeError, 'events must be an Int32Array'],
  ['wait', [9999, new Int32Array(1), 0], RangeError, 'events must be at least two words long'],
  ['wait', [9999, new Int32Array(2), -2], RangeError, 'timeoutMs must be an integer from -1 to 2147483647'],
  ['setLink', [undefined, 1, { alias: 'x'.repeat(256) }], RangeError, 'alias must be from 1 to 255 bytes long'],
  ['lookAtLink', [1, 1], TypeError, 'netns must be a string'],
  ['lookAtLink', [undefined, 0], RangeError, 'ifindex must be an integer from 1 to 2147483647'],
  ['makePair', [1, pair], TypeError, 'netns must be a string'],
  ['makePair', [undefined], TypeError, 'pair must be an object'],
  ['makePair', [undefined, { ...pair, name: 'a'.repeat(16) }], RangeError, 'name must be from 1 to 15 bytes long'],
  ['makePair', [undefined, { ...pair, hostName: 1 }], TypeError, 'hostName must be a string'],
  ['makePair', [undefined, { ...pair, alias: '' }], RangeError, 'alias must be from 1 to 255 bytes long'],
  ['makePair', [undefined, { ...pair, mtu: 0 }], RangeError, 'mtu must be an integer from 1 to 2147483647'],
  ['makePair', [undefined, { ...pair, txQueueLength: -1 }], RangeError, 'txQueueLength must be an integer from 0 to 2147483647'],
  ['makePair', [undefined, { ...pair, macAddress: ipv4 }], RangeError, 'macAddress must be 6 bytes long'],
  ['linkIndex', [undefined, 'a'.repeat(16)], RangeError, 'name must be from 1 to 15 bytes long'],
  ['linkIndex', [undefined], TypeError, 'name must be a string'],
  ['deleteLink', [undefined, 'eth0'], TypeError, 'ifindex must be a number'],
  ['deleteLink', [undefined, 2 ** 31], RangeError, 'ifindex must be an integer from 1 to 2147483647'],
];

test('a wrong argument throws the right class and is named', () => {
  for (const [name, args, expected, message] of WRONG) {
    const error = thrownBy(() => call[name]?.(...args));
    const where = `${name}: ${message}`;
    assert.equal(error.message, message, where);
    assert.equal(error.constructor, expected, where);
    assert.equal(
      error.code,
      expected === TypeError ? 'ERR_INVALID_ARG_TYPE' : 'ERR_OUT_OF_RANGE',
      where,
    );
  }
});

test('every function is in the table of wrong arguments', () => {
  const functions = Object.keys(native).filter((name) => typeof call[name] === 'function');
  const tried = new Set<string>(WRONG.map(([name]) => name));
  assert.deepEqual(
    functions.filter((name) => !tried.has(name)),
    ['createPoller', 'bootMs', 'eventfd'], // take none
  );
});

test('an exception from a getter is handed on', () => {
  const trap = {
    get kind(): string {
      throw new Error('from the getter');
    },
  };
  assert.equal(thrownBy(() => call['openDevice']?.(trap)).message, 'from the getter');
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  assert.equal(thrownBy(() => call['setLink']?.(undefined, 1, proxy)).constructor, TypeError);
});

test('a detached arena counts as empty', () => {
  const detached = new Uint8Array(1 << 20);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  assert.equal(native.readBatch(9999, detached, 0, slots, 0), 0);
  const slot = Int32Array.of(0, 10, 0);
  assert.equal(
    thrownBy(() => native.writeBatch(detached, slot, 1, fds)).message,
    'slot 0 must be inside the arena',
  );
});

test('whatever is passed, a call returns or throws an Error', () => {
  // No number here is a descriptor or an interface, so nothing real can be closed or changed.
  const junk = fc.constantFrom<unknown[]>(
    ...[undefined, null, true, NaN, -1, 1.5, 2 ** 31, -(2 ** 53), 1n, '', 'x', Symbol('s')],
    ...[{}, [], () => 1, new Date(), new Proxy({}, {}), new Uint8Array(0), new Uint8Array(4)],
    ...[new Uint8Array(new SharedArrayBuffer(8)), new Int32Array(3), new Float64Array(2)],
    ...[new DataView(new ArrayBuffer(8)), new ArrayBuffer(8), new BigInt64Array(1)],
  );
  const names = Object.keys(native).filter(
    (name) => typeof call[name] === 'function' && name !== 'eventfd' && name !== 'createPoller',
  );
  fc.assert(
    fc.property(fc.constantFrom(...names), fc.array(junk, { maxLength: 6 }), (name, args) => {
      try {
        call[name]?.(...args);
      } catch (error) {
        assert.ok(error instanceof Error, String(error));
      }
    }),
    { numRuns: 2000 },
  );
});
