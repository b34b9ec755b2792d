/** IPv4 and IPv6 headers, extension headers, and cutting packets into fragments. */
import { addressBytes, bytes, checksum, concat, counting, padTo, uint, with16 } from './bytes.ts';
import type { AddressLike } from './bytes.ts';

/** IANA protocol numbers, also of extension headers. */
export const PROTOCOL = {
  hopByHop: 0,
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  routing: 43,
  fragment: 44,
  gre: 47,
  esp: 50,
  ah: 51,
  icmp6: 58,
  noNext: 59,
  destinationOptions: 60,
  sctp: 132,
} as const;

/** RFC 791 section 3.1. Lengths and checksum follow from the rest unless they are given. */
export interface Ipv4Options {
  readonly src: AddressLike;
  readonly dst: AddressLike;
  readonly protocol: number;
  readonly payload?: Uint8Array;
  readonly tos?: number;
  readonly id?: number;
  /** Reserved bit ("evil bit"), don't fragment, more fragments. */
  readonly reserved?: boolean;
  readonly df?: boolean;
  readonly mf?: boolean;
  /** In bytes; a multiple of 8. */
  readonly fragmentOffset?: number;
  readonly ttl?: number;
  /** Padded with zeros to a multiple of 4. */
  readonly options?: Uint8Array;
  readonly version?: number;
  /** In 4-byte words. */
  readonly headerLength?: number;
  readonly totalLength?: number;
  readonly checksum?: number;
}

export function ipv4(o: Ipv4Options): Uint8Array {
  const options = padTo(4, o.options ?? bytes());
  const payload = o.payload ?? bytes();
  const headerBytes = 20 + options.length;
  const header = concat(
    bytes((o.version ?? 4) * 16 + (o.headerLength ?? headerBytes / 4), o.tos ?? 0),
    uint(o.totalLength ?? headerBytes + payload.length, 2),
    uint(o.id ?? 1, 2),
    uint(
      flag(o.reserved, 0x8000) +
        flag(o.df, 0x4000) +
        flag(o.mf, 0x2000) +
        eighths(o.fragmentOffset ?? 0),
      2,
    ),
    bytes(o.ttl ?? 64, o.protocol, 0, 0),
    addressBytes(o.src),
    addressBytes(o.dst),
    options,
  );
  return concat(with16(header, 10, o.checksum ?? checksum(header)), payload);
}

/** RFC 8200 section 3. */
export interface Ipv6Options {
  readonly src: AddressLike;
  readonly dst: AddressLike;
  /** Of the payload: what the last extension header points to, or the fixed header if there are none. */
  readonly nextHeader: number;
  readonly extensionHeaders?: readonly ExtensionHeader[];
  readonly payload?: Uint8Array;
  readonly trafficClass?: number;
  readonly flowLabel?: number;
  readonly hopLimit?: number;
  readonly version?: number;
  readonly payloadLength?: number;
}

export function ipv6(o: Ipv6Options): Uint8Array {
  const extensions = o.extensionHeaders ?? [];
  const numbers = [...extensions.map((header) => header.number), o.nextHeader];
  const chain = extensions.map((header, i) => header.build(numbers[i + 1]));
  const rest = concat(...chain, o.payload ?? bytes());
  return concat(
    uint((o.version ?? 6) * 2 ** 28 + (o.trafficClass ?? 0) * 2 ** 20 + (o.flowLabel ?? 0), 4),
    uint(o.payloadLength ?? rest.length, 2),
    bytes(numbers[0], o.hopLimit ?? 64),
    addressBytes(o.src),
    addressBytes(o.dst),
    rest,
  );
}

/** A header between the fixed IPv6 header and the payload; it learns what follows it when the packet is put together. */
export interface ExtensionHeader {
  readonly number: number;
  build(nextHeader: number): Uint8Array;
}

interface OptionsHeader {
  /** Option bytes; default a PadN that fills the header. */
  readonly options?: Uint8Array;
  /** Override of the length field, in 8-byte units beyond the first. */
  readonly length?: number;
}

/** RFC 8200 section 4.3. */
export function hopByHop(o: OptionsHeader = {}): ExtensionHeader {
  return optionsHeader(PROTOCOL.hopByHop, o);
}

/** RFC 8200 section 4.6. */
export function destinationOptions(o: OptionsHeader = {}): ExtensionHeader {
  return optionsHeader(PROTOCOL.destinationOptions, o);
}

function optionsHeader(number: number, o: OptionsHeader): ExtensionHeader {
  return { number, build: (nextHeader) => sized(nextHeader, o.options ?? padN(6), o.length) };
}

/** An option of `count` bytes that means nothing (RFC 8200 section 4.2). */
export function padN(count: number): Uint8Array {
  return count === 1 ? bytes(0) : concat(bytes(1, count - 2), new Uint8Array(count - 2));
}

/** RFC 8200 section 4.4; type 0 is deprecated by RFC 5095, 2 is Mobile IPv6, 4 is segment routing. */
export function routing(
  type: number,
  o: { readonly segmentsLeft?: number; readonly data?: Uint8Array; readonly length?: number } = {},
): ExtensionHeader {
  const body = concat(bytes(type, o.segmentsLeft ?? 0), o.data ?? new Uint8Array(4));
  return { number: PROTOCOL.routing, build: (nextHeader) => sized(nextHeader, body, o.length) };
}

/** Next header, length in 8-byte units beyond the first, body; filled up with Pad1. */
function sized(nextHeader: number, body: Uint8Array, length: number | undefined): Uint8Array {
  const whole = padTo(8, concat(bytes(nextHeader, 0), body));
  return concat(bytes(nextHeader, length ?? whole.length / 8 - 1), whole.subarray(2));
}

/** RFC 8200 section 4.5; `offset` in bytes, a multiple of 8. */
export function fragment6(o: {
  readonly offset?: number;
  readonly more?: boolean;
  readonly id?: number;
}): ExtensionHeader {
  const offset = uint(eighths(o.offset ?? 0) * 8 + flag(o.more, 1), 2);
  return {
    number: PROTOCOL.fragment,
    build: (nextHeader) => concat(bytes(nextHeader, 0), offset, uint(o.id ?? 1, 4)),
  };
}

/** RFC 4302 section 2. Its length counts 4-byte units less 2, unlike every other extension header. */
export function authentication(
  o: {
    readonly spi?: number;
    readonly sequence?: number;
    readonly icv?: Uint8Array;
    readonly length?: number;
  } = {},
): ExtensionHeader {
  const icv = o.icv ?? counting(12);
  const length = o.length ?? (12 + icv.length) / 4 - 2;
  const body = concat(uint(o.spi ?? 0x100, 4), uint(o.sequence ?? 1, 4), icv);
  return {
    number: PROTOCOL.ah,
    build: (nextHeader) => concat(bytes(nextHeader, length, 0, 0), body),
  };
}

/**
 * Cuts an unfragmented IPv4 packet as a router would: the same header on every piece, options and all.
 * @param bytesPerFragment payload of each piece but the last, a multiple of 8
 */
export function fragments4(packet: Uint8Array, bytesPerFragment: number): Uint8Array[] {
  const headerBytes = (packet[0] % 16) * 4;
  return pieces(packet.subarray(headerBytes), bytesPerFragment).map(({ offset, more, payload }) => {
    let header = with16(packet.subarray(0, headerBytes), 2, headerBytes + payload.length);
    header = with16(header, 6, eighths(offset) + flag(more, 0x2000));
    header = with16(header, 10, 0);
    return concat(with16(header, 10, checksum(header)), payload);
  });
}

/** Cuts what would be one IPv6 packet: the given extension headers stand in front of each Fragment header. */
export function fragments6(o: Ipv6Options, bytesPerFragment: number, id = 1): Uint8Array[] {
  return pieces(o.payload ?? bytes(), bytesPerFragment).map(({ offset, more, payload }) =>
    ipv6({
      ...o,
      extensionHeaders: [...(o.extensionHeaders ?? []), fragment6({ offset, more, id })],
      payload,
    }),
  );
}

function pieces(
  whole: Uint8Array,
  bytesEach: number,
): { offset: number; more: boolean; payload: Uint8Array }[] {
  const count = Math.max(1, Math.ceil(whole.length / bytesEach));
  return Array.from({ length: count }, (_, i) => ({
    offset: i * bytesEach,
    more: i < count - 1,
    payload: whole.subarray(i * bytesEach, (i + 1) * bytesEach),
  }));
}

function eighths(offset: number): number {
  if (offset % 8 !== 0) throw new RangeError(`fragment offset ${offset} is not a multiple of 8`);
  return offset / 8;
}

function flag(set: boolean | undefined, value: number): number {
  return set === true ? value : 0;
}
