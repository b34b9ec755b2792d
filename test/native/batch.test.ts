/** Packets of a real kernel, in and out: pings answered, ARP on a TAP, a full arena, a device that goes. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { test } from 'node:test';

import { FRAME_BYTES_MAX, HEADROOM_BYTES } from '../../src/ports/native.ts';
import type { OpenedDevice } from '../../src/ports/native.ts';
import { ETHERNET_HEADER_BYTES, VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { waitForInput } from './wait-for-input.ts';
import type { TestNamespace } from './support.ts';
import {
  bytes,
  finished,
  makeNamespace,
  misalignment,
  native,
  packetAt,
  readUntil,
  thrownBy,
  turnOffIpv6,
} from './support.ts';

/** A TUN at 10.7.0.1/24, up, with nothing but the test's own packets on it. */
function makeTun(t: TestContext): { namespace: TestNamespace; device: OpenedDevice } | undefined {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return undefined;
  turnOffIpv6(namespace);
  const device = namespace.open({ name: 'sgt0' });
  native.addAddress(namespace.path, device.ifindex, bytes(10, 7, 0, 1), 24);
  native.setLink(namespace.path, device.ifindex, { up: true });
  return { namespace, device };
}

/** Sends `count` datagrams of "0", "1", ... to 10.7.0.2:4000, and returns when they are in the TUN's queue. */
function sendDatagrams({ namespace }: { namespace: TestNamespace }, count: number): void {
  const script = `
    const socket = require('node:dgram').createSocket('udp4');
    let left = ${count};
    for (let i = 0; i < ${count}; i++)
      socket.send(String(i), 4000, '10.7.0.2', () => { if (--left === 0) socket.close(); });`;
  namespace.run(process.execPath, '-e', script);
}

/** What sendDatagrams put into packet `index`: IPv4 and UDP headers are 28 bytes. */
function payload(arena: Uint8Array, slots: Int32Array, index: number): string {
  return Buffer.from(packetAt(arena, slots, index).frame.subarray(28)).toString('latin1');
}

test('a ping is read from the TUN', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  made.namespace.start('ping', '-c', '1', '-W', '1', '-p', 'c0ffee', '10.7.0.2');
  const { vnet, frame } = readUntil(made.device, (packet) => packet.frame[9] === 1);
  assert.equal(frame.length, 84);
  assert.equal(frame[0], 0x45);
  assert.deepEqual([...frame.subarray(12, 20)], [10, 7, 0, 1, 10, 7, 0, 2]);
  assert.deepEqual([...frame.subarray(20, 22)], [8, 0]); // echo request
  assert.equal(Buffer.from(frame).includes(Buffer.from('c0ffeec0ffee', 'hex')), true);
  assert.equal(vnet.getUint8(1), 0); // not a superpacket
});

/** Makes an echo request the reply to it. The checksum is corrected, not computed (RFC 1624, equation 3). */
function turnIntoReply(frame: Uint8Array): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const source = view.getUint32(12);
  view.setUint32(12, view.getUint32(16));
  view.setUint32(16, source);
  view.setUint8(20, 0);
  const sum = (~view.getUint16(22) & 0xffff) + (~0x0800 & 0xffff);
  view.setUint16(22, ~((sum & 0xffff) + (sum >>> 16)));
}

test('a batch written back answers pings', async (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const { namespace, device } = made;
  const ping = namespace.start('ping', '-c', '3', '-i', '0.2', '-W', '2', '10.7.0.2');
  let result: { code: number | null; out: string } | undefined;
  void finished(ping).then((end) => (result = end));
  const arena = new Uint8Array(new SharedArrayBuffer(1 << 20));
  const slots = new Int32Array(new SharedArrayBuffer(3 * 64 * 4));
  const fds = Int32Array.of(999_999, device.fd);
  // ping ends by itself.
  while (result === undefined) {
    waitForInput(native, [device.fd], 20);
    const count = native.readBatch(device.fd, arena, 0, slots, 0);
    for (let i = 0; i < count; i++) {
      turnIntoReply(packetAt(arena, slots, i).frame);
      slots[3 * i + 2] = 1;
    }
    assert.equal(native.writeBatch(arena, slots, count, fds), count);
    await new Promise((resolve) => setImmediate(resolve)); // for the end of ping to be seen
  }
  assert.equal(result?.code, 0, result?.out);
  assert.match(result.out, /3 packets transmitted, 3 received, 0% packet loss/);
});

test('an empty device gives no packet', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const arena = new Uint8Array(1 << 18);
  assert.equal(native.readBatch(made.device.fd, arena, 0, new Int32Array(30), 0), 0);
  assert.deepEqual(waitForInput(native, [made.device.fd], 0), [0]);
  sendDatagrams(made, 1);
  assert.deepEqual(waitForInput(native, [made.device.fd], 0), [1]);
});

test('packets lie in order, apart and aligned, in any arena', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const room = new ArrayBuffer(1 << 18);
  const shared = new SharedArrayBuffer(1 << 18);
  for (const arena of [
    new Uint8Array(room),
    new Uint8Array(room, 1),
    new Uint8Array(room, 2),
    new Uint8Array(shared, 3),
    Buffer.from(room, 5),
  ]) {
    sendDatagrams(made, 12);
    const slots = new Int32Array(3 * 20);
    const start = 77;
    assert.equal(native.readBatch(made.device.fd, arena, start, slots, 0), 12);
    let end = start;
    for (let i = 0; i < 12; i++) {
      const [offset, length, free] = slots.subarray(3 * i, 3 * i + 3) as unknown as number[];
      assert.equal(payload(arena, slots, i), String(i));
      assert.equal(length, VNET_HDR_BYTES + 28 + String(i).length);
      assert.equal(free, 0);
      const gap = offset - end;
      assert.ok(gap >= HEADROOM_BYTES && gap < HEADROOM_BYTES + 4, `gap of ${gap} before ${i}`);
      assert.equal(misalignment(arena, offset, 0), 0);
      end = offset + length;
    }
    assert.deepEqual([...slots.subarray(36)], new Array(24).fill(0));
  }
});

test('reading stops when the slots or the arena are full, and loses nothing', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const { fd } = made.device;
  const one = HEADROOM_BYTES + VNET_HDR_BYTES + FRAME_BYTES_MAX + 3;
  const arena = new Uint8Array(2 * one);
  sendDatagrams(made, 6);
  const slots = new Int32Array(3 * 2 + 2); // room for two, and two words that are no slot
  assert.equal(native.readBatch(fd, arena, 0, slots, 0), 2);
  assert.deepEqual([payload(arena, slots, 0), payload(arena, slots, 1)], ['0', '1']);
  assert.deepEqual([...slots.subarray(6)], [0, 0]);

  const many = new Int32Array(30);
  assert.equal(native.readBatch(fd, arena.subarray(0, one), 0, many, 0), 1);
  assert.equal(payload(arena, many, 0), '2');
  assert.equal(native.readBatch(fd, arena.subarray(0, one - 4), 0, many, 0), 0);
  assert.equal(native.readBatch(fd, arena, arena.length, many, 0), 0);
  assert.equal(native.readBatch(fd, arena, 0, new Int32Array(2), 0), 0);

  assert.equal(native.readBatch(fd, arena, 0, many, 0), 3);
  assert.deepEqual(
    [0, 1, 2].map((i) => payload(arena, many, i)),
    ['3', '4', '5'],
  );
  assert.equal(native.readBatch(fd, arena, 0, many, 0), 0);
});

test('a packet that cannot be written is skipped and says why', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const { namespace, device } = made;
  sendDatagrams(made, 1);
  const arena = new Uint8Array(1 << 18);
  const read = new Int32Array(3);
  assert.equal(native.readBatch(device.fd, arena, 0, read, 0), 1);
  const [offset, length] = read as unknown as [number, number];
  // prettier-ignore
  const slots = Int32Array.of(
    offset, length, 0, // written
    offset, length, -7, // not to be sent: nothing of it is looked at
    -1, -1, -1, // nor of this
    offset, length, 1, // no such descriptor
    offset, 4, 0, // not even a virtio header
    offset, length, 0, // written all the same
  );
  const fds = Int32Array.of(device.fd, 999_999);
  const received = (): unknown => {
    const [link] = namespace.ipJson('-stats', 'link', 'show', 'sgt0');
    return (link?.['stats64'] as { rx: { packets: number } }).rx.packets;
  };
  assert.equal(native.writeBatch(arena, slots, 6, fds), 2);
  const thirds = [...slots].filter((_, index) => index % 3 === 2);
  assert.deepEqual(thirds, [0, -7, -1, -9 /* EBADF */, -22 /* EINVAL */, 0]);
  assert.equal(received(), 2);

  native.setLink(namespace.path, device.ifindex, { up: false });
  assert.equal(native.writeBatch(arena, read, 1, fds), 0);
  assert.equal(read[2], -5); // EIO: the interface is down
});

test('slots that follow each other leave in one write', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const { namespace, device } = made;
  sendDatagrams(made, 2);
  const arena = new Uint8Array(1 << 18);
  const read = new Int32Array(6);
  assert.equal(native.readBatch(device.fd, arena, 0, read, 0), 2);
  const [first, length, , second] = read as unknown as [number, number, number, number];
  // prettier-ignore
  const slots = Int32Array.of(
    first, 15, 0, // the first packet in three parts, another one between them
    second, length, 0,
    first + 15, 20, -1,
    first + 35, length - 35, -1,
  );
  const next = Int32Array.of(2, 0, 3, 0);
  const fds = Int32Array.of(device.fd);
  const received = (): unknown => {
    const [link] = namespace.ipJson('-stats', 'link', 'show', 'sgt0');
    const { packets, bytes: total } = (
      link?.['stats64'] as { rx: { packets: number; bytes: number } }
    ).rx;
    return [packets, total];
  };
  assert.equal(native.writeBatch(arena, slots, 4, fds, next), 4);
  assert.deepEqual(received(), [2, 2 * (length - VNET_HDR_BYTES)]);
  assert.deepEqual([slots[2], slots[5], slots[8], slots[11]], [0, 0, -1, -1]);

  // Too short to be a packet: the write fails as one, and the slot that began it says why.
  assert.equal(
    native.writeBatch(arena, Int32Array.of(first, 4, 0, first, 4, -1), 2, fds, Int32Array.of(1, 0)),
    0,
  );
  slots.set([4, 0], 1);
  slots.set([2, -1], 7);
  assert.equal(native.writeBatch(arena, slots, 3, fds, Int32Array.of(2, 0, 0)), 1);
  assert.deepEqual([slots[2], slots[5]], [-22 /* EINVAL */, 0]);
});

test('a chain of slots that goes back, out of the arena, or on for too long is written nowhere', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const arena = new Uint8Array(1000);
  const fds = Int32Array.of(made.device.fd);
  const part = [0, 10, -1];
  const cases: readonly [number[], number[], string][] = [
    [[0, 10, 0, ...part], [2, 0], 'followed by a slot behind it'],
    [[0, 10, 0, ...part], [-1, 0], 'followed by a slot behind it'],
    [[...part, 0, 10, 0, ...part], [0, 1, 0], 'followed by a slot behind it'],
    [[0, 10, 0, ...part, ...part], [2, 0, 1], 'followed by a slot behind it'],
    [[0, 10, 0, 995, 10, -1], [1, 0], 'followed by slots inside the arena'],
    [[0, 10, 0, 5, -1, -1], [1, 0], 'followed by slots inside the arena'],
    [
      [0, 10, 0, ...Array.from({ length: 64 }, () => part).flat()],
      [...Array.from({ length: 64 }, (_, i) => i + 1), 0],
      'part of a write of at most 64 slots',
    ],
  ];
  for (const [slots, next, expected] of cases) {
    const words = Int32Array.from(slots);
    const error = thrownBy(() =>
      native.writeBatch(arena, words, slots.length / 3, fds, Int32Array.from(next)),
    );
    const at = words[2] < 0 ? 1 : 0;
    assert.equal(error.message, `slot ${at} must be ${expected}`);
  }
  const short = thrownBy(() =>
    native.writeBatch(arena, new Int32Array(6), 2, fds, new Int32Array(1)),
  );
  assert.equal(short.message, 'next must be at least count words long');
  const [link] = made.namespace.ipJson('-stats', 'link', 'show', 'sgt0');
  assert.equal((link?.['stats64'] as { rx: { packets: number } }).rx.packets, 0);
});

test('no packet is written if one slot is wrong', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  sendDatagrams(made, 1);
  const arena = new Uint8Array(1 << 18);
  const slots = new Int32Array(6);
  assert.equal(native.readBatch(made.device.fd, arena, 0, slots, 0), 1);
  slots.set([arena.length, 1, 0], 3);
  const error = thrownBy(() => native.writeBatch(arena, slots, 2, Int32Array.of(made.device.fd)));
  assert.equal(error.message, 'slot 1 must be inside the arena');
  const [link] = made.namespace.ipJson('-stats', 'link', 'show', 'sgt0');
  assert.equal((link?.['stats64'] as { rx: { packets: number } }).rx.packets, 0);
});

test('a device deleted by somebody else is an error, after a poll that says so', (t) => {
  const made = makeTun(t);
  if (made === undefined) return;
  const { namespace, device } = made;
  const poller = native.createPoller();
  t.after(() => native.closeFd(poller));
  native.watch(poller, device.fd, 7);
  namespace.ip('link', 'del', 'sgt0');
  const events = new Int32Array(2);
  assert.equal(native.wait(poller, events, 0), 1);
  assert.deepEqual([...events], [7, 2]);
  native.unwatch(poller, device.fd);
  assert.equal(native.wait(poller, events, 0), 0);
  assert.deepEqual(waitForInput(native, [device.fd], 0), [2]);
  const arena = new Uint8Array(1 << 18);
  const slots = new Int32Array(3);
  const error = thrownBy(() => native.readBatch(device.fd, arena, 0, slots, 0));
  assert.equal(error.code, 'EBADFD');
  assert.equal(error.errno, 77);
  assert.equal(error.syscall, 'read');
  assert.equal(
    error.message,
    `EBADFD: the interface of descriptor ${device.fd} is gone: somebody deleted it (read)`,
  );
  slots.set([0, 50, 0]);
  assert.equal(native.writeBatch(arena, slots, 1, Int32Array.of(device.fd)), 0);
  assert.equal(slots[2], -77);
});

test('a descriptor that is no device is refused, not read for ever', (t) => {
  const fd = native.eventfd();
  t.after(() => native.closeFd(fd));
  native.signalEventfd(fd);
  const arena = new Uint8Array(1 << 18);
  assert.equal(
    thrownBy(() => native.readBatch(fd, arena, 0, new Int32Array(30), 0)).message,
    `EIO: descriptor ${fd} gave 8 bytes, less than a virtio header (read)`,
  );
});

test('a TAP gives Ethernet frames, the IP header aligned', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  turnOffIpv6(namespace);
  const device = namespace.open({ kind: 'tap', name: 'sgt0' });
  native.setLink(namespace.path, device.ifindex, { macAddress: bytes(2, 0, 0, 0, 0, 7) });
  native.addAddress(namespace.path, device.ifindex, bytes(10, 7, 0, 1), 24);
  native.setLink(namespace.path, device.ifindex, { up: true });
  namespace.start('ping', '-c', '3', '-W', '1', '10.7.0.2');
  const room = new ArrayBuffer(1 << 18);
  for (const arena of [new Uint8Array(room), new Uint8Array(room, 3)]) {
    const isArp = ({ frame }: { frame: Uint8Array }): boolean =>
      frame[12] === 0x08 && frame[13] === 0x06;
    const packet = readUntil(device, isArp, { linkBytes: ETHERNET_HEADER_BYTES, arena });
    assert.deepEqual([...packet.frame.subarray(0, 6)], [255, 255, 255, 255, 255, 255]);
    assert.deepEqual([...packet.frame.subarray(6, 12)], [2, 0, 0, 0, 0, 7]);
    assert.deepEqual([...packet.frame.subarray(38, 42)], [10, 7, 0, 2]); // who has
    assert.equal(misalignment(arena, packet.offset, ETHERNET_HEADER_BYTES), 0);
    assert.ok(packet.offset >= HEADROOM_BYTES);
  }
});
