/** Streams: how their socket is opened, frames that come cut anywhere, and what is written to who reads late or not. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';

import fc from 'fast-check';
import {
  FRAME_BYTES_MAX,
  HEADROOM_BYTES,
  STREAM_IN_BYTES,
  STREAM_OUT_BYTES,
} from '../../src/ports/native.ts';
import { frame, GSO, NEEDS_CSUM, vnetHeader, type Vnet } from '../engine/frames.ts';
import { finish, partialChecksum, segment } from '../engine/segment-twin.ts';
import { concat, tcp4, tcp6, toHex, udp4, udp6, uint, with16 } from '../packets/build.ts';
import { misalignment, native, packetAt, thrownBy } from './support.ts';

const VNET_BYTES = 10;
const LINK_BYTES = 14;
const SLOTS = 8;
const EAGAIN = -11;
const PORT = 3;
const [OPEN, CLOSED, TOO_LONG] = [0, 1, 2];
const [END, MORE] = [4, 5];
const MACS = ['02:00:00:00:00:01', '02:00:00:00:00:02'] as const;

function makeFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-stream-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function listen(t: TestContext, path: string): number {
  const { fd } = native.openDevice({ kind: 'stream', name: path, persist: false });
  t.after(() => native.closeFd(fd));
  return fd;
}

/** The two ends of a connection: a client of Node's, and our descriptor. */
async function meet(t: TestContext): Promise<{ readonly client: Socket; readonly fd: number }> {
  const path = join(makeFolder(t), 'vm.sock');
  const listener = listen(t, path);
  assert.equal(native.acceptStream(listener), -1);
  const client = connect(path);
  t.after(() => client.destroy());
  await new Promise((resolve) => client.once('connect', resolve));
  const fd = native.acceptStream(listener);
  t.after(() => native.closeFd(fd));
  return { client, fd };
}

/** What we read of a connection, and how it stands. */
class Reader {
  readonly state = new Int32Array(6);
  private readonly input = new Uint8Array(STREAM_IN_BYTES);
  private readonly arena: Uint8Array;
  private readonly slots: Int32Array;
  readonly frames: Uint8Array[] = [];

  constructor(arenaBytes = 1 << 18, slots = SLOTS) {
    this.arena = new Uint8Array(arenaBytes);
    this.slots = new Int32Array(3 * slots);
  }

  /** Reads what has come. */
  take(fd: number): void {
    const { state, input, arena, slots, frames } = this;
    for (;;) {
      const count = native.readStream(fd, state, input, arena, slots);
      for (let i = 0, end = 0; i < count; i++) {
        const packet = packetAt(arena, slots, i);
        assert.ok(packet.offset >= end + HEADROOM_BYTES);
        assert.equal(misalignment(arena, packet.offset, LINK_BYTES), 0);
        const vnet = arena.subarray(packet.offset, packet.offset + VNET_BYTES);
        assert.equal(toHex(vnet), '00'.repeat(VNET_BYTES));
        frames.push(packet.frame.slice());
        end = packet.offset + slots[3 * i + 1];
      }
      if (count === 0) {
        assert.equal(state[MORE], 0, 'frames are left, and none is read');
        return;
      }
      if (state[END] !== OPEN) return;
    }
  }
}

const behindLength = (bytes: Uint8Array): Uint8Array => concat(uint(bytes.length, 4), bytes);

/** The same as a plain reader has it: all bytes at once, one frame after the other. */
function readPlainly(bytes: Uint8Array): { frames: Uint8Array[]; end: number } {
  const frames: Uint8Array[] = [];
  let rest = bytes;
  while (rest.length >= 4) {
    const length = new DataView(rest.buffer, rest.byteOffset).getUint32(0);
    if (length > FRAME_BYTES_MAX) return { frames: [...frames, new Uint8Array()], end: TOO_LONG };
    if (rest.length < 4 + length) break;
    frames.push(rest.slice(4, 4 + length));
    rest = rest.subarray(4 + length);
  }
  return { frames, end: OPEN };
}

const aLength = fc.oneof(
  { weight: 8, arbitrary: fc.nat(80) },
  { weight: 4, arbitrary: fc.nat(1600) },
  { weight: 1, arbitrary: fc.constantFrom(0, 1, FRAME_BYTES_MAX - 1, FRAME_BYTES_MAX) },
);
const aBadLength = fc.constantFrom(FRAME_BYTES_MAX + 1, 1 << 20, 0x7fffffff, 0xffffffff);

test('frames are read as a plain reader reads them, wherever the stream is cut', async (t) => {
  const { client, fd: first } = await meet(t);
  client.destroy();
  const gone = new Reader();
  gone.take(first);
  assert.deepEqual([gone.frames, gone.state[END]], [[], CLOSED]);
  const path = join(makeFolder(t), 'vm.sock');
  const listener = listen(t, path);
  await fc.assert(
    fc.asyncProperty(
      fc.array(aLength, { maxLength: 40 }),
      fc.option(aBadLength),
      fc.array(fc.nat(), { maxLength: 30 }),
      fc.integer({ min: 1, max: SLOTS }),
      async (lengths, bad, cutsAt, slots) => {
        const frames = lengths.map((length, i) => new Uint8Array(length).fill(i + 1));
        const tail = bad === null ? [uint(0, 3)] : [uint(bad, 4), new Uint8Array(100)];
        const whole = concat(...frames.map(behindLength), ...tail);
        const cuts = cutsAt.map((at) => at % (whole.length + 1)).sort((a, b) => a - b);
        const sender = connect(path);
        await new Promise((resolve) => sender.once('connect', resolve));
        const fd = native.acceptStream(listener);
        const reader = new Reader(undefined, slots);
        for (const [i, cut] of [...cuts, whole.length].entries()) {
          await new Promise((resolve) =>
            sender.write(whole.subarray(cuts[i - 1] ?? 0, cut), resolve),
          );
          if (reader.state[END] === OPEN) reader.take(fd);
        }
        sender.destroy();
        native.closeFd(fd);
        const plain = readPlainly(whole);
        assert.deepEqual(reader.frames.map(toHex), plain.frames.map(toHex));
        assert.equal(reader.state[END], plain.end);
      },
    ),
    { numRuns: 200 },
  );
});

/** A packet with what its sender left to the device, counted from the IP header. */
interface Left {
  readonly vnet: Vnet;
  readonly packet: Uint8Array;
}

const aPacket: fc.Arbitrary<Left> = fc
  .record({
    isTcp: fc.boolean(),
    isIpv4: fc.boolean(),
    size: fc.integer({ min: 1, max: 1460 }),
    segments: fc.integer({ min: 1, max: 60 }),
    shorter: fc.nat(1459),
    flags: fc.constantFrom('A', 'PA', 'FA', 'FPA', 'AC', 'PAC'),
    options: fc.constantFrom(0, 12),
    seq: fc.constantFrom(0, 0xffffffff, 0x7fffff00),
    id: fc.constantFrom(0, 0xffff, 4711),
    isOpen: fc.boolean(),
  })
  .map(({ isTcp, isIpv4, size, segments, shorter, flags, options, seq, id, isOpen }) => {
    const bytes = Math.min(65000, Math.max(1, size * segments - (shorter % size)));
    const payload = Uint8Array.from({ length: bytes }, (_, i) => (i * 7 + size) & 0xff);
    const ports = { srcPort: 40000, dstPort: 443, payload };
    const tcpFields = { ...ports, flags, seq, rawOptions: new Uint8Array(options).fill(1) };
    const packet = isIpv4
      ? isTcp
        ? tcp4('10.0.0.1', '10.0.0.2', tcpFields, { id })
        : udp4('10.0.0.1', '10.0.0.2', ports, { id })
      : isTcp
        ? tcp6('fd00::1', 'fd00::2', tcpFields)
        : udp6('fd00::1', 'fd00::2', ports);
    const isCut = bytes > size;
    if (!isOpen && !isCut) return { vnet: {}, packet };
    const csumStart = isIpv4 ? 20 : 40;
    const csumOffset = isTcp ? 16 : 6;
    const gsoType = isTcp ? (isIpv4 ? GSO.tcp4 : GSO.tcp6) : GSO.udp;
    const hdrLen = csumStart + (isTcp ? 20 + options : 8);
    return {
      vnet: {
        ...{ flags: NEEDS_CSUM, csumStart, csumOffset },
        ...(isCut ? { gsoType, gsoSize: size, hdrLen } : {}),
      },
      packet: with16(packet, csumStart + csumOffset, partialChecksum(packet)),
    };
  });

/** Lays packets into an arena, each in a frame for PORT. */
function lay(packets: readonly Left[]): { arena: Uint8Array; slots: Int32Array } {
  const laid = packets.map(({ vnet, packet }) => {
    const { csumStart = 0, hdrLen = 0 } = vnet;
    const shifted = {
      ...vnet,
      csumStart: csumStart === 0 ? 0 : csumStart + LINK_BYTES,
      hdrLen: hdrLen === 0 ? 0 : hdrLen + LINK_BYTES,
    };
    return concat(vnetHeader(shifted), frame(packet, ...MACS));
  });
  let at = 0;
  const slots = laid.flatMap((bytes) => {
    const slot = [at, bytes.length, PORT];
    at += bytes.length;
    return slot;
  });
  return { arena: concat(...laid), slots: Int32Array.from(slots) };
}

/** What a wire without offloads gets of a packet. TCP's checksum 0 may be written as 0xffff, which is the same. */
function onTheWire({ vnet, packet }: Left): string[] {
  const packets = (vnet.gsoType ?? 0) === 0 ? [finish(vnet, packet)] : segment(vnet, packet);
  return packets.map((one) => toHex(frame(withoutMinusZero(one), ...MACS)));
}

function withoutMinusZero(packet: Uint8Array): Uint8Array {
  const isIpv4 = packet[0] >>> 4 === 4;
  const at = (isIpv4 ? 20 : 40) + 16;
  const isTcp = packet[isIpv4 ? 9 : 6] === 6;
  return isTcp && packet[at] === 0xff && packet[at + 1] === 0xff ? with16(packet, at, 0) : packet;
}

test('what a virtio header asks for is done before a frame is written, as the kernel does it', async (t) => {
  const { client, fd } = await meet(t);
  const output = new Uint8Array(STREAM_OUT_BYTES);
  const state = new Int32Array(6);
  let received = new Uint8Array();
  client.on('data', (data) => (received = Buffer.concat([received, data])));
  await fc.assert(
    fc.asyncProperty(fc.array(aPacket, { minLength: 1, maxLength: 6 }), async (packets) => {
      received = new Uint8Array();
      const { arena, slots } = lay(packets);
      let written = 0;
      const expected = packets.flatMap(onTheWire);
      const bytes = expected.reduce((sum, hex) => sum + 4 + hex.length / 2, 0);
      written += native.writeStream(fd, state, output, arena, slots, packets.length, PORT);
      assert.equal(written, packets.length);
      while (received.length < bytes) {
        await new Promise(setImmediate);
        native.writeStream(fd, state, output, arena, slots, 0, PORT);
      }
      const { frames } = readPlainly(received);
      const plain = frames.map((one) =>
        toHex(concat(one.subarray(0, LINK_BYTES), withoutMinusZero(one.subarray(LINK_BYTES)))),
      );
      assert.deepEqual(plain, expected);
    }),
    { numRuns: 150 },
  );
});

test('a header that does not fit its frame is refused, and no other frame with it', async (t) => {
  const { client, fd } = await meet(t);
  const packet = tcp4('10.0.0.1', '10.0.0.2', { srcPort: 1, dstPort: 2, payload: 'x'.repeat(99) });
  const good: Left = { vnet: {}, packet };
  const open = { flags: NEEDS_CSUM, csumStart: 20, csumOffset: 16 };
  const wrong: readonly Vnet[] = [
    { ...open, gsoType: GSO.tcp4, gsoSize: 0 },
    { ...open, gsoType: 3, gsoSize: 50 },
    { ...open, flags: 0, gsoType: GSO.tcp4, gsoSize: 50 },
    { ...open, gsoType: GSO.tcp4, gsoSize: 50, csumStart: 19 },
    { ...open, gsoType: GSO.tcp4, gsoSize: 50, csumStart: 120 },
    { ...open, gsoType: GSO.udp, gsoSize: 50 },
    { ...open, csumStart: 150 },
    { ...open, csumStart: 40, csumOffset: 0xffff },
  ];
  const { arena, slots } = lay([good, ...wrong.map((vnet) => ({ vnet, packet })), good]);
  const output = new Uint8Array(STREAM_OUT_BYTES);
  const count = wrong.length + 2;
  const written = native.writeStream(fd, new Int32Array(6), output, arena, slots, count, PORT);
  assert.equal(written, 2);
  const ports = Array.from({ length: count }, (_, i) => slots[3 * i + 2]);
  assert.deepEqual(ports, [PORT, ...wrong.map(() => -22), PORT]);
  const data = await new Promise<Buffer>((resolve) => client.once('data', resolve));
  const expected = [good, good].flatMap(onTheWire);
  assert.deepEqual(readPlainly(data).frames.map(toHex), expected);
});

test('who does not read loses what there is no room for, and gets all else whole', async (t) => {
  const { client, fd } = await meet(t);
  client.pause();
  const output = new Uint8Array(STREAM_OUT_BYTES);
  const state = new Int32Array(6);
  const packets = Array.from({ length: 20 }, (_, i) => ({
    vnet: {},
    packet: udp4('10.0.0.1', '10.0.0.2', { srcPort: i, dstPort: 1, payload: 'y'.repeat(1400) }),
  }));
  const sent: string[] = [];
  for (let refused = 0, calls = 0; refused < 30; calls++) {
    assert.ok(calls < 10_000, 'there is room for ever');
    const { arena, slots } = lay(packets);
    const written = native.writeStream(fd, state, output, arena, slots, packets.length, PORT);
    const ports = packets.map((_, i) => slots[3 * i + 2]);
    sent.push(...packets.flatMap((one, i) => (ports[i] === PORT ? onTheWire(one) : [])));
    assert.equal(written, ports.filter((port) => port === PORT).length);
    assert.ok(ports.every((port) => port === PORT || port === EAGAIN));
    refused += packets.length - written;
  }
  const chunks: Buffer[] = [];
  let receivedBytes = 0;
  client.on('data', (data) => {
    chunks.push(data);
    receivedBytes += data.length;
  });
  client.resume();
  const bytes = sent.reduce((sum, hex) => sum + 4 + hex.length / 2, 0);
  while (receivedBytes < bytes) {
    await new Promise(setImmediate);
    native.writeStream(fd, state, output, new Uint8Array(1), new Int32Array(3), 0, PORT);
  }
  assert.deepEqual(readPlainly(Buffer.concat(chunks)).frames.map(toHex), sent);
});

test('the socket is for its owner alone, and replaces only what an earlier process left', async (t) => {
  const folder = makeFolder(t);
  const path = join(folder, 'vm.sock');
  const open = (name = path, queues = 1): number =>
    native.openDevice({ kind: 'stream', name, persist: false, queues }).fd;
  const codeOf = (name?: string, queues?: number): string =>
    thrownBy(() => native.closeFd(open(name, queues))).code;

  const first = open();
  const { mode, uid } = lstatSync(path);
  assert.deepEqual([mode & 0o7777, uid], [0o600, process.geteuid?.()]);
  assert.equal(codeOf(), 'EBUSY');
  native.closeFd(first);
  assert.ok(existsSync(path));
  native.closeFd(open());

  const file = join(folder, 'file');
  writeFileSync(file, 'x');
  assert.equal(codeOf(file), 'EEXIST');
  const link = join(folder, 'link');
  symlinkSync(path, link);
  assert.equal(codeOf(link), 'EEXIST');
  assert.equal(codeOf(join(folder, 'none', 'vm.sock')), 'ENOENT');
  assert.equal(codeOf(path, 2), 'EINVAL');
  assert.throws(() => open('vm.sock'), RangeError);
  assert.throws(() => open(`/${'x'.repeat(107)}`), RangeError);

  chmodSync(folder, 0o777);
  assert.equal(codeOf(), 'EPERM');
  chmodSync(folder, 0o1777);
  native.closeFd(open());
  if (process.geteuid?.() === 0) {
    chownSync(path, 65534, 65534);
    assert.equal(codeOf(), 'EPERM');
    chownSync(path, 0, 0);
  }
  // A server of somebody else's is as alive as ours.
  rmSync(path);
  const server = createServer().listen(path);
  await new Promise((resolve) => server.once('listening', resolve));
  assert.equal(codeOf(), 'EBUSY');
  await new Promise((resolve) => server.close(resolve));
});

test('buffers that are too short are refused, and state that is not theirs', () => {
  const arena = new Uint8Array(64);
  const slots = new Int32Array(3);
  const input = new Uint8Array(STREAM_IN_BYTES);
  const output = new Uint8Array(STREAM_OUT_BYTES);
  const short = new Uint8Array(100);
  const wrong: readonly (() => unknown)[] = [
    () => native.readStream(1, new Int32Array(5), input, arena, slots),
    () => native.readStream(1, new Int32Array(6), short, arena, slots),
    () => native.readStream(1, Int32Array.of(2, 1, 0, 0, 0, 0), input, arena, slots),
    () => native.readStream(1, Int32Array.of(0, 1 << 20, 0, 0, 0, 0), input, arena, slots),
    () => native.writeStream(1, new Int32Array(6), short, arena, slots, 1, 0),
    () => native.writeStream(1, Int32Array.of(0, 0, -1, 0, 0, 0), output, arena, slots, 1, 0),
    () => native.writeStream(1, new Int32Array(6), output, arena, slots, 2, 0),
    () => native.writeStream(1, new Int32Array(6), output, arena, Int32Array.of(60, 9, 0), 1, 0),
  ];
  for (const call of wrong) assert.throws(call, RangeError);
});
