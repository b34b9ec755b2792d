/** Run by socket-batch.test.ts with a library that has a read of several frames fail: prints what was read. */
import { FD_IS_SOCKET } from '../../src/ports/native.ts';
import { VNET_HDR_BYTES } from '../../src/wire/fields.ts';
import { uniqueName } from '../support/netns.ts';
import { native } from './support.ts';

const [name, hostName] = [uniqueName(), uniqueName()];
const ifindex = native.makePair(undefined, {
  ...{ name, hostName, alias: 'x', mtu: 1500, txQueueLength: 100 },
});
native.setLink(undefined, native.linkIndex(undefined, name), { up: true });
const near = native.openDevice({ kind: 'veth', name: hostName, persist: false });
const far = native.openDevice({ kind: 'attach', name, persist: false });
const frame = VNET_HDR_BYTES + 60;
const count = 11;
const slots = Int32Array.from({ length: 3 * count }, (_, word) => (word % 3 === 1 ? frame : 0));
const arena = new Uint8Array(frame);
const fds = Int32Array.of(near.fd | FD_IS_SOCKET);
if (native.writeBatch(arena, slots, count, fds) !== count) throw new Error('not all were written');
const room = new Uint8Array(1 << 20);
const read = new Int32Array(3 * 64);
const first = native.readBatch(far.fd, room, 0, read, 14, true);
const isEmpty = read[3 * (first - 1) + 1] === VNET_HDR_BYTES;
console.log(`read ${first}${isEmpty ? ', the last one empty' : ''}`);
for (let i = 0; i < 2; i++)
  console.log(`then ${native.readBatch(far.fd, room, 0, read, 14, true)}`);
native.deleteLink(undefined, ifindex);
