/**
 * Finds the IP packet in a captured frame. Of a packet whose end was not captured it makes one of its length, with
 * zeroes in place of what is missing, so that it decodes as it was.
 */
import {
  ICMP_HEADER_BYTES,
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_HEADER_BYTES,
  UDP_HEADER_BYTES,
} from '../wire/fields.ts';
import { FRAGMENT_LATER, type Packet } from '../wire/packet.ts';
import type { CapturedPacket } from './captured-packet.ts';
import { findIp } from './link-types.ts';

/** Of a packet that the capture cut: bytes behind the end that headers may be read from, and are 0. */
const ZEROES = 256;
const IP_BYTES_MAX = 65_535;

export class IpFinder {
  /** Where the packet is: the capture, or `room`. */
  view: DataView;
  offset = 0;
  length = 0;
  /** Bytes of it that were captured. */
  captured = 0;
  private readonly room = Buffer.alloc(IP_BYTES_MAX + ZEROES);
  private readonly roomView = new DataView(this.room.buffer, this.room.byteOffset);

  constructor() {
    this.view = this.roomView;
  }

  /** @returns 0 if there is one; else why not, as `findIp` does */
  find(frame: CapturedPacket): number {
    const ip = findIp(frame.view, frame.offset, frame.captured, frame.linkType);
    if (ip < 0) return ip;
    this.view = frame.view;
    this.offset = frame.offset + ip;
    this.length = this.captured = frame.captured - ip;
    if (frame.length > frame.captured) this.fill(frame.length - ip);
    return 0;
  }

  private fill(whole: number): void {
    const { room, view } = this;
    const kept = Math.min(this.captured, IP_BYTES_MAX);
    room.set(new Uint8Array(view.buffer, view.byteOffset + this.offset, kept));
    room.fill(0, kept, kept + ZEROES);
    this.view = this.roomView;
    this.offset = 0;
    this.length = Math.min(whole, IP_BYTES_MAX);
  }
}

/** How much of the packet has to be there, from the IP header on, for a verdict: through ports, flags, types. */
export function headerBytes({ protocol, fragment, transportOffset, ipOffset }: Packet): number {
  const before = transportOffset - ipOffset;
  if (fragment === FRAGMENT_LATER) return before;
  if (protocol === PROTO_TCP) return before + TCP_HEADER_BYTES;
  if (protocol === PROTO_UDP) return before + UDP_HEADER_BYTES;
  const isIcmp = protocol === PROTO_ICMP || protocol === PROTO_ICMPV6;
  return before + (isIcmp ? ICMP_HEADER_BYTES : 0);
}
