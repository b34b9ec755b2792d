/** A batch of judged packets, joined, and the writes it comes to. */
import { Batch, NOT_SENT, SLOT_WORDS } from '../../src/engine/batch.ts';
import { Coalescer, NO_NEXT } from '../../src/engine/coalesce.ts';
import { concat, with16 } from '../packets/build.ts';
import { NEEDS_CSUM, vnetHeader, type Vnet } from './frames.ts';
import { partialChecksum, segment } from './segment-twin.ts';

const VNET_BYTES = 10;
const ETHERNET_BYTES = 14;

export const TUN_PORT = 1;
export const TAP_PORT = 2;
/** A TUN of a kernel without USO. */
export const OLD_PORT = 3;

const IS_TAP = Uint8Array.of(0, 0, 1, 0);
const TAKES_USO = Uint8Array.of(1, 1, 1, 0);
const IS_CUT_HERE = new Uint8Array(4);
const LINK = Uint8Array.of(6, 0, 0, 0, 0, 1, 2, 0x73, 0x67, 0, 0, 1, 8, 0);

/** An IP packet on its way to a port, its virtio header counted from the IP header; to -1: dropped. */
export interface Outgoing {
  readonly to: number;
  readonly packet: Uint8Array;
  readonly vnet?: Vnet;
}

export interface Write {
  readonly to: number;
  readonly vnet: Vnet;
  readonly packet: Uint8Array;
  /** Slots that it carries. */
  readonly slots: readonly number[];
}

/** The packet as a kernel hands it over that leaves the checksum to the device. */
export function withPartialChecksum(packet: Uint8Array): Pick<Outgoing, 'packet' | 'vnet'> {
  const isIpv4 = packet[0] >>> 4 === 4;
  const csumStart = isIpv4 ? (packet[0] % 16) * 4 : 40;
  const csumOffset = packet[isIpv4 ? 9 : 6] === 6 ? 16 : 6;
  return {
    packet: with16(packet, csumStart + csumOffset, partialChecksum(packet)),
    vnet: { flags: NEEDS_CSUM, csumStart, csumOffset },
  };
}

/** What writeBatch would write for a batch of these, in its order. */
export function writesOf(packets: readonly Outgoing[]): Write[] {
  const whole = packets.map(({ to, packet, vnet = {} }) => {
    const linkBytes = IS_TAP[to] === 1 ? ETHERNET_BYTES : 0;
    const { hdrLen = 0, csumStart = 0 } = vnet;
    const shift = (value: number): number => (value === 0 ? 0 : value + linkBytes);
    const shifted = { ...vnet, hdrLen: shift(hdrLen), csumStart: shift(csumStart) };
    return concat(vnetHeader(shifted), LINK.subarray(0, linkBytes), packet);
  });
  const arena = new Uint8Array(whole.reduce((sum, { length }) => sum + 64 + length, 0));
  const batch = new Batch(arena, packets.length);
  let at = 0;
  whole.forEach((bytes, i) => {
    at += 22;
    while ((at + VNET_BYTES) % 4 !== 0) at++;
    arena.set(bytes, at);
    batch.slots.set([at, bytes.length, packets[i].to], i * SLOT_WORDS);
    at += bytes.length;
  });
  const coalescer = new Coalescer(packets.length);
  coalescer.join(batch.view, batch.slots, packets.length, IS_TAP, TAKES_USO, IS_CUT_HERE);
  const writes: Write[] = [];
  packets.forEach((_, i) => {
    const to = batch.slots[i * SLOT_WORDS + 2];
    if (to === NOT_SENT) return;
    const slots = [i];
    for (let j = coalescer.next[i]; j !== NO_NEXT; j = coalescer.next[j]) slots.push(j);
    if (slots.some((slot) => coalescer.head[slot] !== i)) throw new Error('a head that is not');
    const bytes = concat(
      ...slots.map((slot) => {
        const [offset, length] = batch.slots.subarray(slot * SLOT_WORDS);
        return arena.subarray(offset, offset + length);
      }),
    );
    writes.push({ to, slots, ...parse(bytes, IS_TAP[to] === 1 ? ETHERNET_BYTES : 0) });
  });
  return writes;
}

/** A virtio header that counts from the IP header again, and the IP packet. */
function parse(bytes: Uint8Array, linkBytes: number): { vnet: Vnet; packet: Uint8Array } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const flags = view.getUint8(0);
  const gsoType = view.getUint8(1);
  const shift = (value: number): number => (value === 0 ? 0 : value - linkBytes);
  return {
    vnet: {
      flags,
      gsoType,
      hdrLen: shift(view.getUint16(2, true)),
      gsoSize: view.getUint16(4, true),
      csumStart: shift(view.getUint16(6, true)),
      csumOffset: view.getUint16(8, true),
    },
    packet: bytes.subarray(VNET_BYTES + linkBytes),
  };
}

/** The packets that come out of the writes, in order. */
export function packetsOf(writes: readonly Write[]): { to: number; packet: Uint8Array }[] {
  return writes.flatMap(({ to, vnet, packet }) =>
    segment(vnet, packet).map((piece) => ({ to, packet: piece })),
  );
}
