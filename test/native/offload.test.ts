/** Superpackets: TCP relayed between two namespaces, and a UDP send that was cut by nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import type { OpenedDevice } from '../../src/ports/native.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { bytes, finished, makeNamespace, native, packetAt, readUntil } from './support.ts';
import { waitForInput } from './wait-for-input.ts';

const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
const VIRTIO_NET_HDR_GSO_UDP_L4 = 5;
const SENT_BYTES = 4 << 20;

const SERVER = `
  require('node:net').createServer((socket) => {
    let bytes = 0;
    socket.on('data', (data) => (bytes += data.length));
    socket.on('end', () => { console.log(bytes); socket.end(); process.exit(); });
  }).listen(4000, () => console.log('listening'));`;
const CLIENT = `
  require('node:net').connect(4000, '10.7.0.2').end(Buffer.alloc(${SENT_BYTES}, 'x'));`;

/** Moves what is there from one device to the other, virtio headers untouched. Returns the largest TCP superpacket. */
function relay(
  from: OpenedDevice,
  to: OpenedDevice,
  arena: Uint8Array,
  slots: Int32Array,
): { bytes: number; segmentBytes: number } {
  const largest = { bytes: 0, segmentBytes: 0 };
  const count = native.readBatch(from.fd, arena, 0, slots, 0);
  for (let i = 0; i < count; i++) {
    const { vnet, frame } = packetAt(arena, slots, i);
    if (vnet.getUint8(1) === VIRTIO_NET_HDR_GSO_TCPV4 && frame.length > largest.bytes) {
      largest.bytes = frame.length;
      largest.segmentBytes = vnet.getUint16(4, true);
    }
  }
  assert.equal(native.writeBatch(arena, slots, count, Int32Array.of(to.fd)), count);
  return largest;
}

test('TCP between two namespaces goes in superpackets, through the relay unharmed', async (t) => {
  const left = makeNamespace(t);
  const right = left && makeNamespace(t);
  if (left === undefined || right === undefined) return;
  const devices = [left, right].map((namespace, index) => {
    const device = namespace.open({ name: 'sgt0' });
    native.addAddress(namespace.path, device.ifindex, bytes(10, 7, 0, 1 + index), 24);
    native.setLink(namespace.path, device.ifindex, { up: true, mtu: 1500 });
    return device;
  }) as [OpenedDevice, OpenedDevice];
  if (!devices[0].offloads.tso4) return t.skip('the kernel gives no TSO on TUN');

  const server = right.start(process.execPath, '-e', SERVER);
  const output = finished(server);
  let over = false;
  void output.then(() => (over = true));
  await new Promise((resolve) => server.stdout?.once('data', resolve));
  left.start(process.execPath, '-e', CLIENT);

  const arena = new Uint8Array(4 << 20);
  const slots = new Int32Array(3 * 256);
  const fds = devices.map((device) => device.fd);
  let largest = { bytes: 0, segmentBytes: 0 };
  const deadline = Date.now() + GUARD_MS;
  while (!over && Date.now() < deadline) {
    waitForInput(native, fds, 20);
    const there = relay(devices[0], devices[1], arena, slots);
    relay(devices[1], devices[0], arena, slots);
    if (there.bytes > largest.bytes) largest = there;
    await new Promise((resolve) => setImmediate(resolve)); // for the end of the server to be seen
  }
  assert.equal(over, true, 'the transfer did not end');
  assert.equal((await output).out, `listening\n${SENT_BYTES}\n`);
  assert.ok(largest.bytes > 16_384, `the largest packet had ${largest.bytes} bytes`);
  assert.equal(largest.segmentBytes, 1448); // MTU 1500 less IPv4, TCP and the timestamp option
});

test('a segmented UDP send arrives as one packet', (t) => {
  const namespace = makeNamespace(t);
  if (namespace === undefined) return;
  const device = namespace.open({ name: 'sgt0' });
  if (!device.offloads.uso) return t.skip('the kernel gives no USO on TUN (Linux 6.2 does)');
  native.addAddress(namespace.path, device.ifindex, bytes(10, 7, 0, 1), 24);
  native.setLink(namespace.path, device.ifindex, { up: true });
  const script = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(17, 103, 1000)  # SOL_UDP, UDP_SEGMENT
s.sendto(b'x' * 30500, ('10.7.0.2', 4000))`;
  try {
    namespace.run('python3', '-c', script);
  } catch (error) {
    t.skip(`needs python3: ${String(error)}`);
    return;
  }
  const { vnet, frame } = readUntil(device, (packet) => packet.frame[9] === 17);
  assert.equal(frame.length, 20 + 8 + 30_500);
  assert.equal(vnet.getUint8(1), VIRTIO_NET_HDR_GSO_UDP_L4);
  assert.equal(vnet.getUint16(4, true), 1000);
});
