/**
 * Bytes, addresses and checksums for the packet builders.
 *
 * Nothing of src/wire is used here or in the other builders: what tests a decoder must not share its mistakes.
 */

/** Text as people write it (`10.0.0.1`, `fd00::1`), or the 4 or 16 bytes. */
export type AddressLike = string | Uint8Array;

/** `02:00:00:00:00:01`, or the 6 bytes. */
export type MacLike = string | Uint8Array;

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

/** A big-endian unsigned number of 1 to 4 bytes. Bits that don't fit are a mistake of the test. */
export function uint(value: number, bytes: 1 | 2 | 3 | 4): Uint8Array {
  if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * bytes)) {
    throw new RangeError(`${value} is not an unsigned number of ${bytes} bytes`);
  }
  return Uint8Array.from(
    { length: bytes },
    (_, i) => Math.floor(value / 2 ** (8 * (bytes - 1 - i))) % 256,
  );
}

/** A byte per argument. */
export function bytes(...values: readonly number[]): Uint8Array {
  if (values.some((value) => !Number.isInteger(value) || value < 0 || value > 255)) {
    throw new RangeError(`not all of ${values.join(', ')} are bytes`);
  }
  return Uint8Array.from(values);
}

/** Hexadecimal text, blanks and `#` comments to the end of a line left out of account. */
export function hex(text: string): Uint8Array {
  const digits = text.replace(/#.*/g, '').replace(/\s+/g, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits))
    throw new RangeError(`'${digits}' is not whole bytes in hexadecimal`);
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

export function toHex(packet: Uint8Array): string {
  return [...packet].map((byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** ASCII text as bytes. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** `count` bytes 0, 1, 2, …: a payload in which a shifted byte shows. */
export function counting(count: number): Uint8Array {
  return Uint8Array.from({ length: count }, (_, i) => i % 256);
}

/** Fills up with zeros to a multiple of `unit`. */
export function padTo(unit: number, part: Uint8Array): Uint8Array {
  return concat(part, new Uint8Array((unit - (part.length % unit)) % unit));
}

/** The Internet checksum (RFC 1071) of the parts laid end to end, an odd byte at the end padded with zero. */
export function checksum(...parts: readonly Uint8Array[]): number {
  const all = padTo(2, concat(...parts));
  let sum = 0;
  for (let i = 0; i < all.length; i += 2) sum += all[i] * 256 + all[i + 1];
  while (sum > 0xffff) sum = Math.floor(sum / 0x10000) + (sum % 0x10000);
  return 0xffff - sum;
}

/** A copy with a 16-bit value put in at `offset`. */
export function with16(packet: Uint8Array, offset: number, value: number): Uint8Array {
  return concat(packet.subarray(0, offset), uint(value, 2), packet.subarray(offset + 2));
}

/** 4 or 16 bytes. */
export function addressBytes(address: AddressLike): Uint8Array {
  if (typeof address !== 'string') return address;
  return address.includes(':') ? address6Bytes(address) : address4Bytes(address);
}

function address4Bytes(text: string): Uint8Array {
  const parts = text.split('.').map(Number);
  if (parts.length !== 4) throw new RangeError(`'${text}' is not an IPv4 address`);
  return bytes(...parts);
}

function address6Bytes(text: string): Uint8Array {
  const [before = '', after] = text.split('::');
  const head = words6(before);
  const tail = words6(after ?? '');
  const zeros = 8 - head.length - tail.length;
  if (after === undefined ? zeros !== 0 : zeros < 1)
    throw new RangeError(`'${text}' is not an IPv6 address`);
  return concat(
    ...[...head, ...new Array<number>(zeros).fill(0), ...tail].map((word) => uint(word, 2)),
  );
}

function words6(text: string): number[] {
  return text === '' ? [] : text.split(':').map((word) => Number.parseInt(word, 16));
}

/** 6 bytes. */
export function macBytes(mac: MacLike): Uint8Array {
  if (typeof mac !== 'string') return mac;
  const parts = hex(mac.replace(/:/g, ' '));
  if (parts.length !== 6) throw new RangeError(`'${mac}' is not an Ethernet address`);
  return parts;
}

/** The pseudo-header that TCP, UDP and ICMPv6 checksums cover (RFC 793 section 3.1, RFC 8200 section 8.1). */
export function pseudoHeader(
  src: AddressLike,
  dst: AddressLike,
  protocol: number,
  length: number,
): Uint8Array {
  const [from, to] = [addressBytes(src), addressBytes(dst)];
  if (from.length !== to.length)
    throw new RangeError('source and destination are of different families');
  return from.length === 4
    ? concat(from, to, bytes(0, protocol), uint(length, 2))
    : concat(from, to, uint(length, 4), bytes(0, 0, 0, protocol));
}
