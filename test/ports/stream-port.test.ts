/** Guests of a stream come, wait, go and come again, while its port has other numbers or is given up. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { loadNative } from '../../src/ports/native.ts';
import { PortIo, READABLE, type PortDevice } from '../../src/ports/port-io.ts';
import { frame } from '../engine/frames.ts';
import { concat, udp4, uint } from '../packets/build.ts';

const native = loadNative();
const SLOTS = 4;
const ENOTCONN = -107;
const EAGAIN = -11;
const FAILED = 2;
const PACKET = udp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2, payload: 'x' });
const FRAME = frame(PACKET, '02:00:00:00:00:01', '02:00:00:00:00:02');
const SENT = concat(uint(FRAME.length, 4), FRAME);

class World {
  readonly told: string[] = [];
  readonly ports: PortIo;
  readonly listener: number;
  private readonly path: string;
  private readonly t: TestContext;
  private readonly events = new Int32Array(8);
  readonly slots = new Int32Array(3 * SLOTS);
  readonly arena = new Uint8Array(1 << 18);

  constructor(t: TestContext) {
    this.t = t;
    const folder = mkdtempSync(join(tmpdir(), 'sgt-stream-'));
    this.path = join(folder, 'vm.sock');
    const { fd } = native.openDevice({ kind: 'stream', name: this.path, persist: false });
    this.listener = fd;
    this.ports = new PortIo(native, 8, (port, why) => this.told.push(`${port} ${why ?? 'came'}`));
    t.after(() => {
      this.ports.close();
      native.closeFd(fd);
      rmSync(folder, { recursive: true });
    });
  }

  device(fd = this.listener): PortDevice {
    return { kind: 'stream', takesUso: false, fd };
  }

  async connect(): Promise<Socket> {
    const socket = connect(this.path);
    this.t.after(() => socket.destroy());
    await new Promise((resolve) => socket.once('connect', resolve));
    return socket;
  }

  /** What is ready now, as PORT:HOW. */
  ready(): string[] {
    const found = this.ports.wait(this.events, 0);
    return Array.from(
      { length: found },
      (_, i) => `${this.events[2 * i]}:${this.events[2 * i + 1]}`,
    );
  }

  /** Serves a port as long as it is ready. @returns frames read */
  async serve(port: number): Promise<number> {
    let frames = 0;
    for (let quiet = 0; quiet < 3; quiet++) {
      await turn();
      while (this.ready().length > 0) {
        frames += this.ports.read(port, this.arena, this.slots);
        quiet = 0;
      }
    }
    return frames;
  }

  /** Writes a packet to a port. @returns what is in its slot then */
  write(port: number): number {
    const packet = concat(new Uint8Array(10), FRAME);
    this.arena.set(packet);
    this.slots.set([0, packet.length, port]);
    const written = this.ports.write(this.arena, this.slots, 1);
    assert.equal(written, this.slots[2] === port ? 1 : 0);
    return this.slots[2];
  }
}

/** Waits until a socket has received so many bytes. */
async function received(socket: Socket, bytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on('data', (data) => chunks.push(data));
  while (chunks.reduce((sum, { length }) => sum + length, 0) < bytes) await turn();
  return Buffer.concat(chunks);
}

const CLOSED = 'it closed the connection';

test('a port without a guest takes nothing; one guest at a time has it, the next one waits', async (t) => {
  const world = new World(t);
  world.ports.assign([{ kind: 'tun', takesUso: false, fd: -1 }, world.device()]);
  assert.equal(world.write(1), ENOTCONN);
  const first = await world.connect();
  assert.deepEqual(world.ready(), [`1:${READABLE}`]);
  assert.equal(await world.serve(1), 0);
  const second = await world.connect();
  second.write(SENT);
  first.write(SENT);
  assert.equal(await world.serve(1), 1);
  assert.equal(world.write(1), 1);
  assert.deepEqual(await received(first, SENT.length), Buffer.from(SENT));
  assert.deepEqual(world.told, ['1 came']);
  first.destroy();
  assert.equal(await world.serve(1), 1);
  assert.deepEqual(world.told, ['1 came', `1 ${CLOSED}`, '1 came']);
  assert.equal(world.write(1), 1);
  assert.deepEqual(await received(second, SENT.length), Buffer.from(SENT));
  second.destroy();
  await world.serve(1);
  assert.equal(world.write(1), ENOTCONN);
  assert.deepEqual(world.ready(), []);
});

test('frames that a batch has no room for come without further input', async (t) => {
  const world = new World(t);
  world.ports.assign([world.device()]);
  const guest = await world.connect();
  await world.serve(0);
  guest.write(concat(...Array.from({ length: 2 * SLOTS + 1 }, () => SENT)));
  const { ports, arena, slots } = world;
  const counts: number[] = [];
  while (world.ready().length > 0) counts.push(ports.read(0, arena, slots));
  assert.deepEqual(counts, [SLOTS, SLOTS, 1]);
});

test('a length that no frame has ends the connection, and is counted as one empty frame', async (t) => {
  const world = new World(t);
  world.ports.assign([world.device()]);
  const guest = await world.connect();
  const closed = new Promise((resolve) => guest.once('close', resolve));
  guest.resume().on('error', () => undefined);
  guest.write(concat(SENT, uint(0x7fffffff, 4), SENT));
  assert.equal(await world.serve(0), 2);
  assert.deepEqual([...world.slots.subarray(3, 5)][1], 10);
  await closed;
  assert.deepEqual(world.told, ['0 came', '0 it sent a length that no frame has']);
  await world.connect();
  await world.serve(0);
  assert.deepEqual(world.told.slice(2), ['0 came']);
});

test('what waits for a guest that reads late is sent as soon as it reads, with nothing else to send', async (t) => {
  const world = new World(t);
  world.ports.assign([world.device()]);
  const guest = await world.connect();
  guest.pause();
  await world.serve(0);
  let written = 0;
  while (world.write(0) === 0) written++;
  assert.equal(world.slots[2], EAGAIN);
  assert.deepEqual(world.ready(), []);
  const bytes = received(guest, written * SENT.length);
  guest.resume();
  let isOver = false;
  void bytes.then(() => (isOver = true));
  while (!isOver) await world.serve(0);
  assert.equal((await bytes).length, written * SENT.length);
  assert.deepEqual(world.ready(), []);
  assert.equal(world.write(0), 0);
});

test('a guest moves with its device to another port, and loses it with the device', async (t) => {
  const world = new World(t);
  const none: PortDevice = { kind: 'tun', takesUso: false, fd: -1 };
  const { ports } = world;
  ports.assign([world.device()]);
  const guest = await world.connect();
  await world.serve(0);
  assert.deepEqual(ports.assign([none, world.device()]), [true, true]);
  guest.write(SENT);
  assert.deepEqual(world.ready(), [`1:${READABLE}`]);
  assert.equal(await world.serve(1), 1);
  assert.equal(world.write(1), 1);
  await received(guest, SENT.length);
  const closed = new Promise((resolve) => guest.once('close', resolve));
  ports.giveUp(1);
  assert.equal(world.write(1), -9);
  await closed;
  // Whoever comes now waits until the port has a device again.
  await world.connect();
  assert.deepEqual(world.ready(), []);
  ports.assign([world.device()]);
  assert.deepEqual(world.ready(), [`0:${READABLE}`]);
  ports.assign([none]);
  assert.deepEqual(world.ready(), []);
});

test('a port that can take in no guest, for want of descriptors, has failed', async (t) => {
  const world = new World(t);
  const isShort = new Proxy(native, {
    get: (target, name): unknown =>
      name === 'acceptStream' ? (): number => -2 : Reflect.get(target, name),
  });
  const ports = new PortIo(isShort, 4);
  t.after(() => ports.close());
  ports.assign([world.device()]);
  await world.connect();
  const events = new Int32Array(8);
  assert.equal(ports.wait(events, 0), 1);
  assert.deepEqual([events[0], events[1]], [0, READABLE]);
  assert.equal(ports.read(0, world.arena, world.slots), 0);
  assert.equal(ports.wait(events, 0), 1);
  assert.deepEqual([events[0], events[1]], [0, FAILED]);
  ports.giveUp(0);
});
