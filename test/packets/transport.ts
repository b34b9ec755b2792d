/**
 * What IP carries: TCP, UDP, ICMP, ICMPv6. The addresses come first, since checksums cover them.
 * Each returns the bytes after the IP header; `tcp4` and its kind in build.ts put the header on.
 */
import {
  ascii,
  addressBytes,
  bytes,
  checksum,
  concat,
  padTo,
  pseudoHeader,
  uint,
  with16,
} from './bytes.ts';
import type { AddressLike } from './bytes.ts';
import { PROTOCOL } from './ip.ts';

const TCP_FLAGS: Readonly<Record<string, number>> = {
  F: 1,
  S: 2,
  R: 4,
  P: 8,
  A: 16,
  U: 32,
  E: 64,
  C: 128,
};

/** RFC 9293 section 3.1. */
export interface TcpOptions {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly seq?: number;
  readonly ack?: number;
  /** Letters of FSRPAUEC in any order, as `SA`; default `A`. */
  readonly flags?: string;
  readonly window?: number;
  readonly urgent?: number;
  /** TCP options, put in this order, with a NOP in front of windowScale, and zeros up to a multiple of 4. */
  readonly mss?: number;
  readonly sackPermitted?: boolean;
  readonly timestamps?: readonly [value: number, echo: number];
  readonly windowScale?: number;
  readonly rawOptions?: Uint8Array;
  readonly payload?: Uint8Array | string;
  /** In 4-byte words. */
  readonly dataOffset?: number;
  readonly checksum?: number;
}

export function tcp(src: AddressLike, dst: AddressLike, o: TcpOptions): Uint8Array {
  const options = tcpOptions(o);
  const segment = concat(
    uint(o.srcPort, 2),
    uint(o.dstPort, 2),
    uint(o.seq ?? 0, 4),
    uint(o.ack ?? 0, 4),
    bytes((o.dataOffset ?? 5 + options.length / 4) * 16, tcpFlags(o.flags ?? 'A')),
    uint(o.window ?? 65535, 2),
    uint(0, 2),
    uint(o.urgent ?? 0, 2),
    options,
    payloadBytes(o.payload),
  );
  return with16(
    segment,
    16,
    o.checksum ?? checksum(pseudoHeader(src, dst, PROTOCOL.tcp, segment.length), segment),
  );
}

/** `SA` → 0x12. */
export function tcpFlags(letters: string): number {
  let flags = 0;
  for (const letter of letters) {
    if (!(letter in TCP_FLAGS)) throw new RangeError(`'${letter}' is not a TCP flag, FSRPAUEC are`);
    flags |= TCP_FLAGS[letter];
  }
  return flags;
}

function tcpOptions(o: TcpOptions): Uint8Array {
  return padTo(
    4,
    concat(
      o.mss === undefined ? bytes() : concat(bytes(2, 4), uint(o.mss, 2)),
      o.sackPermitted === true ? bytes(4, 2) : bytes(),
      o.timestamps === undefined
        ? bytes()
        : concat(bytes(8, 10), uint(o.timestamps[0], 4), uint(o.timestamps[1], 4)),
      o.windowScale === undefined ? bytes() : bytes(1, 3, 3, o.windowScale),
      o.rawOptions ?? bytes(),
    ),
  );
}

/** RFC 768. */
export interface UdpOptions {
  readonly srcPort: number;
  readonly dstPort: number;
  readonly payload?: Uint8Array | string;
  readonly length?: number;
  /** 0 means none was computed, which IPv4 alone allows. */
  readonly checksum?: number;
}

export function udp(src: AddressLike, dst: AddressLike, o: UdpOptions): Uint8Array {
  const payload = payloadBytes(o.payload);
  const datagram = concat(
    uint(o.srcPort, 2),
    uint(o.dstPort, 2),
    uint(o.length ?? 8 + payload.length, 2),
    uint(0, 2),
    payload,
  );
  const sum = checksum(pseudoHeader(src, dst, PROTOCOL.udp, datagram.length), datagram);
  // A sum that comes out as 0 is sent as all ones: 0 is taken for "none".
  return with16(datagram, 6, o.checksum ?? (sum === 0 ? 0xffff : sum));
}

/** RFC 792, RFC 4443. */
export interface IcmpOptions {
  readonly type: number;
  readonly code?: number;
  /** The four bytes after the checksum: identifier and sequence number of an echo (default 1 and 1) … */
  readonly id?: number;
  readonly seq?: number;
  /** … or, for other types, whatever they mean there, as one number. */
  readonly rest?: number;
  readonly payload?: Uint8Array | string;
  readonly checksum?: number;
}

export const ICMP = {
  echoReply: 0,
  unreachable: 3,
  redirect: 5,
  echo: 8,
  timeExceeded: 11,
  parameterProblem: 12,
} as const;

export const ICMP6 = {
  unreachable: 1,
  packetTooBig: 2,
  timeExceeded: 3,
  parameterProblem: 4,
  echo: 128,
  echoReply: 129,
  routerSolicitation: 133,
  routerAdvertisement: 134,
  neighborSolicitation: 135,
  neighborAdvertisement: 136,
  mld2Report: 143,
} as const;

export function icmp(o: IcmpOptions): Uint8Array {
  const message = icmpMessage(o);
  return with16(message, 2, o.checksum ?? checksum(message));
}

export function icmp6(src: AddressLike, dst: AddressLike, o: IcmpOptions): Uint8Array {
  const message = icmpMessage(o);
  return with16(
    message,
    2,
    o.checksum ?? checksum(pseudoHeader(src, dst, PROTOCOL.icmp6, message.length), message),
  );
}

function icmpMessage(o: IcmpOptions): Uint8Array {
  const rest =
    o.rest === undefined ? concat(uint(o.id ?? 1, 2), uint(o.seq ?? 1, 2)) : uint(o.rest, 4);
  return concat(bytes(o.type, o.code ?? 0, 0, 0), rest, payloadBytes(o.payload));
}

/** An ICMP error about `quoted`, a whole IP packet. */
export interface IcmpErrorOptions {
  readonly type: number;
  readonly code?: number;
  readonly quoted: Uint8Array;
  /** How much of it is quoted; see icmpErrorMessage and icmp6ErrorMessage for the defaults. */
  readonly quotedBytes?: number;
  /** Next-hop MTU, pointer, gateway: the four bytes before the quotation. */
  readonly rest?: number;
  readonly checksum?: number;
}

/** Quotes the IP header and 8 bytes, the least RFC 792 allows and so the hardest to match. */
export function icmpErrorMessage(o: IcmpErrorOptions): Uint8Array {
  const quotedBytes = o.quotedBytes ?? (o.quoted[0] % 16) * 4 + 8;
  return icmp({ rest: 0, ...o, payload: o.quoted.subarray(0, quotedBytes) });
}

/** Quotes as much as fits into 1280 bytes (RFC 4443 section 2.4). */
export function icmp6ErrorMessage(
  src: AddressLike,
  dst: AddressLike,
  o: IcmpErrorOptions,
): Uint8Array {
  const quotedBytes = o.quotedBytes ?? 1280 - 40 - 8;
  return icmp6(src, dst, { rest: 0, ...o, payload: o.quoted.subarray(0, quotedBytes) });
}

function payloadBytes(payload: Uint8Array | string | undefined): Uint8Array {
  return typeof payload === 'string' ? ascii(payload) : (payload ?? bytes());
}

/** The solicited-node multicast address of an IPv6 address (RFC 4291 section 2.7.1). */
export function solicitedNode(address: AddressLike): Uint8Array {
  return concat(addressBytes('ff02::1:ff00:0').subarray(0, 13), addressBytes(address).subarray(13));
}
