/** The ports of a packet loop, with a native half that only notes what it is asked. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FD_IS_SOCKET, type Native } from '../../src/ports/native.ts';
import { PortIo, type PortDevice } from '../../src/ports/port-io.ts';
import { linkBytesOf, PORT_KIND_NAMES, portKind } from '../../src/ports/port-kind.ts';

const POLLER = 50;
const arena = new Uint8Array(8);
const slots = new Int32Array(3);

function makePorts(): { readonly ports: PortIo; readonly calls: string[] } {
  const calls: string[] = [];
  const note =
    (name: string, result: number) =>
    (...args: unknown[]): number => {
      const texts = args.map((arg) =>
        arg === arena
          ? 'arena'
          : arg === slots
            ? 'slots'
            : arg instanceof Int32Array
              ? `[${arg.join()}]`
              : String(arg),
      );
      calls.push(`${name} ${texts.join(' ')}`);
      return result;
    };
  const native = {
    createPoller: () => POLLER,
    watch: note('watch', 0),
    unwatch: note('unwatch', 0),
    wait: note('wait', 2),
    readBatch: note('readBatch', 3),
    writeBatch: note('writeBatch', 4),
    closeFd: note('closeFd', 0),
  } as unknown as Native;
  return { ports: new PortIo(native, 8), calls };
}

function device(fd: number, kind: PortDevice['kind'] = 'tun', takesUso = false): PortDevice {
  return { fd, kind, takesUso };
}

test('what the packet path asks of a port follows from its kind', () => {
  const kinds = PORT_KIND_NAMES.map((name) => [
    name,
    portKind(name).hasEthernet,
    linkBytesOf(portKind(name)),
  ]);
  assert.deepEqual(kinds, [
    ['tun', false, 0],
    ['tap', true, 14],
    ['attach', true, 14],
    ['veth', true, 14],
    ['stream', true, 14],
  ]);
  const { ports } = makePorts();
  ports.assign([device(7), device(8, 'tap', true), device(-1), device(5, 'stream')]);
  assert.deepEqual([...ports.hasEthernet], [0, 1, 0, 1, 0, 0, 0, 0]);
  assert.deepEqual([...ports.takesUso], [0, 1, 0, 0, 0, 0, 0, 0]);
  assert.deepEqual([...ports.isCutHere], [0, 0, 0, 1, 0, 0, 0, 0]);
  ports.assign([device(7), device(9)]);
  assert.deepEqual(
    [...ports.hasEthernet.subarray(0, 2), ...ports.takesUso.subarray(0, 2)],
    [0, 0, 0, 0],
  );
});

test('a port is read as its kind is, and all are written at once', () => {
  const { ports, calls } = makePorts();
  ports.watch(6, -1);
  ports.assign([device(7), device(8, 'tap')]);
  assert.equal(ports.read(0, arena, slots), 3);
  assert.equal(ports.read(1, arena, slots), 3);
  assert.equal(ports.write(arena, slots, 1), 4);
  assert.equal(ports.write(arena, slots, 1, Int32Array.of(0)), 4);
  assert.equal(ports.wait(Int32Array.of(1, 2), 30), 2);
  ports.close();
  assert.deepEqual(calls, [
    'watch 50 6 -1',
    'watch 50 7 0',
    'watch 50 8 1',
    'readBatch 7 arena 0 slots 0 false',
    'readBatch 8 arena 0 slots 14 false',
    'writeBatch arena slots 1 [7,8] undefined',
    'writeBatch arena slots 1 [7,8] [0]',
    'wait 50 [1,2] 30',
    'closeFd 50',
  ]);
});

test('descriptors of packet sockets are marked for writing', () => {
  const { ports, calls } = makePorts();
  ports.assign([device(7), device(8, 'attach'), device(9, 'veth'), device(-1, 'veth')]);
  const [attached, veth] = [8 | FD_IS_SOCKET, 9 | FD_IS_SOCKET];
  ports.write(arena, slots, 1);
  assert.equal(calls.at(-1), `writeBatch arena slots 1 [7,${attached},${veth},-1] undefined`);
  ports.giveUp(1);
  assert.equal(calls.at(-1), 'unwatch 50 8');
  ports.write(arena, slots, 1);
  assert.equal(calls.at(-1), `writeBatch arena slots 1 [7,-1,${veth},-1] undefined`);
});

test('descriptors are watched while a port has them, and all go before any comes', () => {
  const { ports, calls } = makePorts();
  assert.deepEqual(ports.assign([device(7), device(8), device(-1)]), [true, true, true]);
  // 7 moves from port 0 to 1, and 8 is no longer used.
  assert.deepEqual(ports.assign([device(9), device(7), device(-1)]), [true, true, false]);
  ports.giveUp(1);
  // A port that was given up has no descriptor to be left alone.
  assert.deepEqual(ports.assign([device(9), device(-1)]), [false, false]);
  assert.deepEqual(ports.assign([]), []);
  assert.deepEqual(calls, [
    'watch 50 7 0',
    'watch 50 8 1',
    'unwatch 50 7',
    'unwatch 50 8',
    'watch 50 9 0',
    'watch 50 7 1',
    'unwatch 50 7',
    'unwatch 50 9',
  ]);
});
