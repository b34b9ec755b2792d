/**
 * Batches made by hand: packets and frames laid into an arena as readBatch does, judged, and looked at
 * again. Whatever is not a slot's own is filled with a canary, and must still be there afterwards.
 */
import assert from 'node:assert/strict';
import { Batch, SLOT_LENGTH, SLOT_OFFSET, SLOT_PORT, SLOT_WORDS } from '../../src/engine/batch.ts';
import { createLinkMemory } from '../../src/engine/link-memory.ts';
import { LinkLayer } from '../../src/engine/link.ts';
import { HEADROOM_BYTES } from '../../src/ports/native.ts';
import { concat, ethernet, ETHER_TYPE, toHex } from '../packets/build.ts';
import type { MacLike } from '../packets/build.ts';
import type { ModelText } from '../support/policy.ts';
import { Rig } from './rig.ts';
import type { RigOptions } from './rig.ts';

export const GATEWAY = '02:73:67:00:00:01';
const VNET_BYTES = 10;
const CANARY = 0xa5;
const ARENA_BYTES = 1 << 18;

/**
 * An advertisement is this much longer than a solicitation without options. The room is there: behind a
 * slot comes the headroom of the next, or what readBatch left free for a largest frame.
 */
const GROWTH_BYTES = 8;

/** virtio_net_hdr; the multi-byte fields are in host order, which is little-endian wherever the tests run. */
export interface Vnet {
  readonly flags?: number;
  readonly gsoType?: number;
  readonly hdrLen?: number;
  readonly gsoSize?: number;
  readonly csumStart?: number;
  readonly csumOffset?: number;
}

export const GSO = { tcp4: 1, tcp6: 4, udp: 5 } as const;
export const NEEDS_CSUM = 1;

export function vnetHeader(o: Vnet = {}): Uint8Array {
  const header = new DataView(new ArrayBuffer(VNET_BYTES));
  header.setUint8(0, o.flags ?? 0);
  header.setUint8(1, o.gsoType ?? 0);
  header.setUint16(2, o.hdrLen ?? 0, true);
  header.setUint16(4, o.gsoSize ?? 0, true);
  header.setUint16(6, o.csumStart ?? 0, true);
  header.setUint16(8, o.csumOffset ?? 0, true);
  return new Uint8Array(header.buffer);
}

/** An IPv4 or IPv6 packet in a frame. */
export function frame(packet: Uint8Array, src: MacLike, dst: MacLike): Uint8Array {
  return ethernet({ src, dst, etherType: etherTypeOf(packet), payload: packet });
}

export function etherTypeOf(packet: Uint8Array): number {
  return packet[0] >>> 4 === 4 ? ETHER_TYPE.ipv4 : ETHER_TYPE.ipv6;
}

/** What one slot became; bytes in hexadecimal, so that a difference shows. */
export interface Sent {
  readonly to: string;
  readonly vnet: string;
  readonly frame: string;
}

export const DROPPED = 'dropped';

/** The MAC address that each instance on a TAP is known to have at first. */
export const INSTANCE_MAC = '06:00:00:00:00:ff';

export class Wire {
  readonly rig: Rig;
  readonly batch: Batch;
  private readonly arena = new Uint8Array(ARENA_BYTES);
  readonly link: LinkLayer;
  private readonly names: readonly string[];
  private readonly hasEthernet: Uint8Array;

  constructor(text: ModelText, taps: readonly string[], options: RigOptions = {}) {
    this.rig = new Rig(text, options);
    this.names = ['uplink', ...Object.keys(text.interfaces)];
    this.hasEthernet = Uint8Array.from(this.names, (name) => (taps.includes(name) ? 1 : 0));
    this.link = new LinkLayer(this.rig.policy, createLinkMemory(this.names.length), options.fence);
    for (const [port, name] of this.names.entries())
      if (taps.includes(name)) this.link.startPort(port, 0x0600, 0xff, 0);
    this.batch = new Batch(this.arena, 64);
  }

  /** One batch that comes in by the port of that name. */
  receive(
    from: string,
    contents: readonly (Uint8Array | readonly [Vnet, Uint8Array])[],
    nowMs = 0,
  ): Sent[] {
    const port = this.portOf(from);
    const spans = this.lay(contents, this.hasEthernet[port] === 1);
    const { batch, arena } = this;
    const sent = batch.process(
      this.rig.engine,
      this.link,
      this.hasEthernet,
      port,
      contents.length,
      nowMs,
    );
    this.checkCanary(spans);
    const results = contents.map((_, i): Sent => {
      const slot = i * SLOT_WORDS;
      const to = batch.slots[slot + SLOT_PORT];
      if (to < 0) return { to: DROPPED, vnet: '', frame: '' };
      const at = batch.slots[slot + SLOT_OFFSET];
      const end = at + batch.slots[slot + SLOT_LENGTH];
      return {
        to: this.names[to],
        vnet: toHex(arena.subarray(at, at + VNET_BYTES)),
        frame: toHex(arena.subarray(at + VNET_BYTES, end)),
      };
    });
    assert.equal(sent, results.filter(({ to }) => to !== DROPPED).length);
    return results;
  }

  /** From here on the device of that port takes packets of so many bytes. */
  setMtu(name: string, mtu: number): void {
    this.batch.tooBig.mtu[this.portOf(name)] = mtu;
  }

  /** What is written behind the batches since it was last asked for: fragments, and errors about what was too big. */
  takeBehind(): Sent[] {
    const { tooBig } = this.batch;
    tooBig.wrap(this.link, this.hasEthernet, 0);
    const found = Array.from({ length: tooBig.count }, (_, i): Sent => {
      const [at, length, to] = tooBig.slots.subarray(i * SLOT_WORDS);
      const end = at + length;
      return {
        to: this.names[to],
        vnet: toHex(tooBig.arena.subarray(at, at + VNET_BYTES)),
        frame: toHex(tooBig.arena.subarray(at + VNET_BYTES, end)),
      };
    });
    tooBig.clear();
    return found;
  }

  /** The answers about interfaces that are to be written, since it was last asked for. */
  takeAnswers(): Sent[] {
    const { answers } = this.link.leases;
    const found = Array.from({ length: answers.count }, (_, i): Sent => {
      const [at, length, to] = answers.slots.subarray(i * SLOT_WORDS);
      return {
        to: this.names[to],
        vnet: toHex(answers.arena.subarray(at, at + VNET_BYTES)),
        frame: toHex(answers.arena.subarray(at + VNET_BYTES, at + length)),
      };
    });
    answers.clear();
    return found;
  }

  portOf(name: string): number {
    const port = this.names.indexOf(name);
    assert.notEqual(port, -1, `no port ${name}`);
    return port;
  }

  /** One packet or frame. */
  pass(from: string, content: Uint8Array, vnet: Vnet = {}): Sent {
    return this.receive(from, [[vnet, content]])[0];
  }

  /** The write after a batch of `count`, in which the devices refuse the slots of those numbers. */
  refuse(count: number, refused: readonly number[]): void {
    const EIO = 5;
    for (const i of refused) this.batch.slots[i * SLOT_WORDS + SLOT_PORT] = -EIO;
    const alone = Int32Array.from({ length: count }, (_, i) => i);
    this.batch.countFailures(this.rig.engine, count, alone);
  }

  /** Fills the arena as readBatch does: headroom, and IP headers on multiples of 4. */
  private lay(
    contents: readonly (Uint8Array | readonly [Vnet, Uint8Array])[],
    hasEthernet: boolean,
  ): [number, number][] {
    this.arena.fill(CANARY);
    let at = 0;
    return contents.map((content, i) => {
      const [vnet, bytes] = content instanceof Uint8Array ? [{}, content] : content;
      const whole = concat(vnetHeader(vnet), bytes);
      at += HEADROOM_BYTES;
      const ipAt = VNET_BYTES + (hasEthernet ? 14 : 0);
      while ((at + ipAt) % 4 !== 0) at++;
      this.arena.set(whole, at);
      this.batch.slots.set([at, whole.length, 0], i * SLOT_WORDS);
      const span: [number, number] = [at, at + whole.length];
      at += whole.length;
      return span;
    });
  }

  private checkCanary(spans: readonly [number, number][]): void {
    const isOwn = new Uint8Array(ARENA_BYTES);
    for (const [from, to] of spans) isOwn.fill(1, from - HEADROOM_BYTES, to + GROWTH_BYTES);
    const broken = this.arena.findIndex((byte, i) => isOwn[i] === 0 && byte !== CANARY);
    assert.equal(broken, -1, `byte ${broken} of the arena belongs to no slot and was written`);
  }
}
