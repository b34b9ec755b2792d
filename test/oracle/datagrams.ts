/** Datagrams in fragments: cutting them, and what their receiver makes of those that reach it. */
import * as build from '../packets/build.ts';
import type { Sent } from './steps.ts';

const MORE_4 = 0x2000;
const OFFSET_4 = 0x1fff;
const HEADER_4 = 20;
const HEADER_6 = 40;
const FRAGMENT_HEADER_6 = 8;

export interface Fragment {
  /** Tells datagrams apart, as their receiver does. */
  readonly datagram: string;
  readonly protocol: number;
  /** Range of the datagram's payload. */
  readonly start: number;
  readonly end: number;
  readonly more: boolean;
  readonly payload: Uint8Array;
}

/** Undefined if the packet is none. Sequences have no IPv4 options, and no extension header but this one. */
export function fragmentOf(packet: Uint8Array): Fragment | undefined {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const is4 = packet[0] >>> 4 === 4;
  if (is4) {
    const field = view.getUint16(6);
    if ((field & (MORE_4 | OFFSET_4)) === 0) return undefined;
    const start = (field & OFFSET_4) * 8;
    const payload = packet.subarray(HEADER_4);
    const datagram = build.toHex(
      build.concat(packet.subarray(4, 6), packet.subarray(9, 10), packet.subarray(12, 20)),
    );
    return {
      datagram,
      protocol: packet[9],
      start,
      end: start + payload.length,
      more: (field & MORE_4) !== 0,
      payload,
    };
  }
  if (packet[6] !== build.PROTOCOL.fragment) return undefined;
  const field = view.getUint16(HEADER_6 + 2);
  const start = field & 0xfff8;
  const payload = packet.subarray(HEADER_6 + FRAGMENT_HEADER_6);
  const datagram = build.toHex(
    build.concat(packet.subarray(HEADER_6 + 4, HEADER_6 + 8), packet.subarray(8, 40)),
  );
  return {
    datagram,
    protocol: packet[HEADER_6],
    start,
    end: start + payload.length,
    more: (field & 1) !== 0,
    payload,
  };
}

/** Of a first fragment, how many bytes of its datagram are in others. */
export function bytesToCome({ packet, whole }: Sent): number {
  const fragment = fragmentOf(packet);
  if (fragment === undefined || whole === undefined) return 0;
  return whole.length - (whole[0] >>> 4 === 4 ? HEADER_4 : HEADER_6) - fragment.end;
}

/** Protocol and payload: what is left of a packet whether it came whole or in fragments. */
export function contentOf(packet: Uint8Array): Uint8Array {
  const is4 = packet[0] >>> 4 === 4;
  return build.concat(
    packet.subarray(is4 ? 9 : 6, is4 ? 10 : 7),
    packet.subarray(is4 ? HEADER_4 : HEADER_6),
  );
}

/** A receiver that puts together what reaches it, and takes an overlap for a fault of whoever let it pass. */
export class Receiver {
  private readonly waiting = new Map<string, Fragment[]>();

  /** @returns the content of what is complete with this packet; undefined if nothing is */
  take(packet: Uint8Array): Uint8Array | undefined {
    const fragment = fragmentOf(packet);
    if (fragment === undefined) return contentOf(packet);
    const { datagram, start, end } = fragment;
    // "Atomic": stands by itself, whatever else has its identification (RFC 6946).
    if (start === 0 && !fragment.more)
      return build.concat(build.bytes(fragment.protocol), fragment.payload);
    const others = this.waiting.get(datagram) ?? [];
    if (others.some((other) => start < other.end && other.start < end))
      throw new Error(`fragment ${start}-${end} overlaps one that passed`);
    const all = [...others, fragment].sort((a, b) => a.start - b.start);
    const isWhole = all.every(
      (one, i) =>
        (i === 0 ? one.start === 0 : one.start === all[i - 1].end) &&
        one.more === i < all.length - 1,
    );
    if (!isWhole) {
      this.waiting.set(datagram, all);
      return undefined;
    }
    this.waiting.delete(datagram);
    // What the others call it does not matter (RFC 8200 section 4.5).
    return build.concat(build.bytes(all[0].protocol), ...all.map(({ payload }) => payload));
  }
}

/** Cuts a packet into fragments of `bytes` each. IPv4 has the identification in the packet, IPv6 takes `id`. */
export function fragmentsOf(
  packet: Uint8Array,
  bytes: number,
  id: number,
): {
  readonly packet: Uint8Array;
  readonly start: number;
  readonly end: number;
  readonly more: boolean;
}[] {
  const is4 = packet[0] >>> 4 === 4;
  const pieces = is4
    ? build.fragments4(packet, bytes)
    : build
        .fragments6(
          {
            src: packet.subarray(8, 24),
            dst: packet.subarray(24, 40),
            nextHeader: packet[6],
            payload: packet.subarray(HEADER_6),
          },
          bytes,
          id,
        )
        .map((piece) => labelled(piece, id));
  return pieces.flatMap((piece) => {
    const fragment = fragmentOf(piece);
    if (fragment === undefined) return [];
    const { start, end, more } = fragment;
    return [{ packet: piece, start, end, more }];
  });
}

/** Writes a number where no firewall changes it (IPv4 identification, IPv6 flow label), to know the packet again. */
export function labelled(packet: Uint8Array, number: number): Uint8Array {
  const copy = Uint8Array.from(packet);
  const at = copy[0] >>> 4 === 4 ? 4 : 2;
  copy[at] = number >>> 8;
  copy[at + 1] = number;
  return at === 4 ? withHeaderChecksum(copy) : copy;
}

export function labelOf(packet: Uint8Array): number {
  const at = packet[0] >>> 4 === 4 ? 4 : 2;
  return packet[at] * 256 + packet[at + 1];
}

export function withHeaderChecksum(packet: Uint8Array): Uint8Array {
  const cleared = build.with16(packet, 10, 0);
  return build.with16(cleared, 10, build.checksum(cleared.subarray(0, HEADER_4)));
}
