/** Frames of packet sockets, several in a system call: whole, in order, and each with its own error. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { FD_IS_SOCKET, HEADROOM_BYTES, type OpenedDevice } from '../../src/ports/native.ts';
import { ETHERNET_HEADER_BYTES, VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { uniqueName } from '../support/netns.ts';
import { repositoryRoot } from '../support/repository.ts';
import {
  makeNamespace,
  misalignment,
  native,
  packetAt,
  turnOffIpv6,
  type TestNamespace,
} from './support.ts';

const EAGAIN = 11;
const ENXIO = 6;
const ENETDOWN = 100;
const EINVAL = 22;
/** IEEE Std 802 local experimental. Whatever else comes is the kernel's own. */
const ETHERTYPE = [0x88, 0xb5];
const VLAN_TAG = [0x81, 0x00, 0x00, 0x07];
const MTU = 9000;

interface Pair {
  /** The host's end. */
  readonly near: OpenedDevice;
  /** The instance's end, read as an attached interface. */
  readonly far: OpenedDevice;
  readonly hostName: string;
}

function makePair(t: TestContext, namespace: TestNamespace, name: string): Pair {
  const hostName = uniqueName();
  native.makePair(namespace.path, { name, hostName, alias: 'x', mtu: MTU, txQueueLength: 1000 });
  native.setLink(namespace.path, native.linkIndex(namespace.path, name), { up: true });
  const near = native.openDevice({ kind: 'veth', name: hostName, persist: false });
  const far = native.openDevice({ kind: 'attach', name, netns: namespace.path, persist: false });
  t.after(() => {
    for (const { fd } of [near, far]) native.closeFd(fd);
    native.unguardDevice(undefined, hostName);
  });
  return { near, far, hostName };
}

/** A frame with its virtio header; each byte of its payload is its number. */
function frame(number: number, payloadBytes: number, isTagged: boolean): Uint8Array {
  const addresses = [2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 8];
  const header = [...addresses, ...(isTagged ? VLAN_TAG : []), ...ETHERTYPE];
  const bytes = new Uint8Array(VNET_HDR_BYTES + header.length + payloadBytes).fill(number);
  bytes.fill(0, 0, VNET_HDR_BYTES);
  bytes.set(header, VNET_HDR_BYTES);
  return bytes;
}

/** Lays packets into an arena. @param portOf the third word of a packet's slot */
function layOut(
  packets: readonly Uint8Array[],
  portOf: (index: number) => number,
): { arena: Uint8Array; slots: Int32Array } {
  const arena = new Uint8Array(packets.reduce((sum, { length }) => sum + length, 0));
  const slots = new Int32Array(3 * packets.length);
  let at = 0;
  packets.forEach((packet, i) => {
    arena.set(packet, at);
    slots.set([at, packet.length, portOf(i)], 3 * i);
    at += packet.length;
  });
  return { arena, slots };
}

/** Reads all that waits, and leaves out what is not of the test. @param start of the arena that is used */
function readAll({ fd }: OpenedDevice, arena: Uint8Array, start: number): Uint8Array[] {
  const slots = new Int32Array(3 * 40);
  const found: Uint8Array[] = [];
  for (;;) {
    const count = native.readBatch(fd, arena, start, slots, ETHERNET_HEADER_BYTES, true);
    if (count === 0) return found;
    let end = start;
    for (let i = 0; i < count; i++) {
      const { offset, frame: bytes } = packetAt(arena, slots, i);
      const tag = bytes[12] === VLAN_TAG[0] && bytes[13] === VLAN_TAG[1] ? VLAN_TAG.length : 0;
      assert.equal(misalignment(arena, offset + tag, ETHERNET_HEADER_BYTES), 0);
      const gap = offset - end;
      assert.ok(gap >= HEADROOM_BYTES - tag && gap < HEADROOM_BYTES + 4, `${gap} before ${i}`);
      end = offset + VNET_HDR_BYTES + bytes.length;
      if (bytes[12 + tag] === ETHERTYPE[0] && bytes[13 + tag] === ETHERTYPE[1])
        found.push(arena.slice(offset, end));
    }
  }
}

/** More than are read at once; small and large ones follow each other in many orders. */
const FRAMES = Array.from({ length: 150 }, (_, i) =>
  frame(i, [50, 1400, 60, 3000, 8000, 70, 80][(i * i) % 7] + i, i % 4 === 3),
);

for (const [start, arenaBytes] of [
  [0, 1 << 20],
  [1, 1 << 20],
  [700_000, 1 << 20],
  [0, 140_000],
] as const)
  test(`frames of all lengths, tagged or not, from byte ${start} of ${arenaBytes} on`, (t) => {
    const namespace = makeNamespace(t);
    if (namespace === undefined) return;
    const { near, far } = makePair(t, namespace, 'eth0');
    const fds = Int32Array.of(near.fd | FD_IS_SOCKET);
    const { arena, slots } = layOut(FRAMES, () => 0);
    assert.equal(native.writeBatch(arena, slots, FRAMES.length, fds), FRAMES.length);
    const found = readAll(far, new Uint8Array(arenaBytes), start);
    assert.equal(found.length, FRAMES.length);
    found.forEach((bytes, i) => assert.deepEqual(bytes, FRAMES[i], `frame ${i}`));
  });

test('a batch to many devices: what comes of each packet is as if it were written alone', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const [one, two, down, deleted] = ['eth0', 'eth1', 'eth2', 'eth3'].map((name) =>
    makePair(t, namespace, name),
  );
  const tun = namespace.open({ name: 'sgt0' });
  native.setLink(undefined, down.near.ifindex, { up: false });
  native.deleteLink(undefined, deleted.near.ifindex);
  // Too short for a frame: it fails between others that don't.
  const short = new Uint8Array(VNET_HDR_BYTES + 3);
  const packets = Array.from({ length: 256 }, (_, i) =>
    i % 7 === 6 ? short : frame(i, 50, false),
  );
  const sockets = [one, two, down, deleted].map(({ near }) => near.fd);
  const written = [0, FD_IS_SOCKET].map((flag) => {
    const fds = Int32Array.of(...sockets.map((fd) => fd | flag), tun.fd);
    // Runs of one socket, and others in turn.
    const { arena, slots } = layOut(packets, (i) =>
      i < 100 ? 0 : [0, 1, 2, 0, 3, 4, 1, 1][i % 8],
    );
    const count = native.writeBatch(arena, slots, packets.length, fds);
    const outcomes = [...slots].filter((_, word) => word % 3 === 2);
    const arrived = [one, two].map(({ far }) => readAll(far, new Uint8Array(1 << 20), 0));
    return { count, outcomes, arrived };
  });
  const [alone, together] = written;
  assert.deepEqual(together, alone);
  assert.ok(alone.arrived.every(({ length }) => length > 20));
  for (const why of [-EINVAL, -ENETDOWN, -ENXIO])
    assert.ok(alone.outcomes.includes(why), String(why));
});

/** A socket that takes bytes until it is full, and who reads them. */
async function openSocket(t: TestContext): Promise<{ fd: number; reader: Socket }> {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-socket-'));
  const path = join(folder, 'socket');
  const { fd: listener } = native.openDevice({ kind: 'stream', name: path, persist: false });
  const reader = connect(path);
  await once(reader, 'connect');
  const fd = native.acceptStream(listener);
  t.after(() => {
    reader.destroy();
    native.closeFd(fd);
    native.closeFd(listener);
    rmSync(folder, { recursive: true });
  });
  return { fd, reader };
}

async function readBytes(reader: Socket, count: number): Promise<Buffer> {
  const parts: Buffer[] = [];
  let left = count;
  for await (const part of reader) {
    parts.push(part as Buffer);
    left -= (part as Buffer).length;
    if (left <= 0) break;
  }
  return Buffer.concat(parts);
}

test('what is full takes what it has room for, in order, and is not waited for', async (t) => {
  const { fd, reader } = await openSocket(t);
  const each = 4096;
  const packets = Array.from({ length: 1000 }, (_, i) => new Uint8Array(each).fill(i));
  const { arena, slots } = layOut(packets, () => 0);
  const written = native.writeBatch(arena, slots, 1000, Int32Array.of(fd | FD_IS_SOCKET));
  assert.ok(written > 0 && written < 1000, `${written} written`);
  packets.forEach((_, i) => assert.equal(slots[3 * i + 2], i < written ? 0 : -EAGAIN));
  const read = await readBytes(reader, each * written);
  assert.equal(read.equals(arena.subarray(0, each * written)), true);
});

test('chained slots leave as one message beside others', async (t) => {
  const { fd, reader } = await openSocket(t);
  // Chains of 2, 4, 8 … 64 slots of a byte each: more parts than wait at a time.
  const count = 500;
  const arena = Uint8Array.from({ length: count }, (_, i) => i);
  const slots = new Int32Array(3 * count);
  const next = new Int32Array(count);
  let length = 1;
  let left = 0;
  for (let i = 0; i < count; i++) {
    const isFirst = left === 0;
    if (isFirst) left = length = Math.min(64, count - i, 2 * length);
    slots.set([i, 1, isFirst ? 0 : -1], 3 * i);
    if (--left > 0) next[i] = i + 1;
  }
  const fds = Int32Array.of(fd | FD_IS_SOCKET);
  assert.equal(native.writeBatch(arena, slots, count, fds, next), count);
  assert.equal((await readBytes(reader, count)).equals(arena), true);
});

test('a frame that fails behind others is counted once, and leaves no error at the socket', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  turnOffIpv6(namespace);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-socket-'));
  t.after(() => rmSync(folder, { recursive: true }));
  const library = join(folder, 'late-error.so');
  const source = join(repositoryRoot(), 'test/native/late-error.c');
  try {
    execFileSync(process.env['CC'] ?? 'cc', ['-shared', '-fPIC', '-o', library, source, '-ldl'], {
      stdio: 'pipe',
    });
  } catch (error) {
    t.skip(`needs a C compiler: ${String(error)}`);
    return;
  }
  const script = fileURLToPath(new URL('./late-error-script.js', import.meta.url));
  const printed = namespace.run('env', `LD_PRELOAD=${library}`, process.execPath, script);
  // Four come one by one, then two of those that were asked for at once; the error; the rest.
  assert.equal(printed, 'read 7, the last one empty\nthen 5\nthen 0\n');
});
