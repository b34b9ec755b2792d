/** Run by rootless.test.ts inside `unshare -Urn`: opens a TUN, sends a datagram into it, prints what came out. */
import { createSocket } from 'node:dgram';

import { bytes, native, readUntil } from './support.ts';

const device = native.openDevice({ kind: 'tun', name: 'sgt0', persist: false });
native.addAddress(undefined, device.ifindex, bytes(10, 7, 0, 1), 24);
native.setLink(undefined, device.ifindex, { up: true });

const socket = createSocket('udp4');
await new Promise((resolve) => socket.send('rootless', 4000, '10.7.0.2', resolve));
socket.close();
const { frame } = readUntil(device, (packet) => packet.frame[9] === 17);

const result = {
  name: device.name,
  created: device.created,
  checksum: device.offloads.checksum,
  found: native.linkIndex(undefined, 'sgt0') === device.ifindex,
  destination: [...frame.subarray(16, 20)],
  payload: Buffer.from(frame.subarray(28)).toString('latin1'),
};
console.log(JSON.stringify(result));
