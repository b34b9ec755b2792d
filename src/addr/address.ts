/**
 * Text to addresses and back: the only importer of ipaddr.js, and strict where that library is not.
 *
 * ipaddr.js takes `192.168.010.1` for 192.168.8.1 and `1` for 0.0.0.1; in a security configuration
 * both are mistakes, so only its four-part-decimal validator is used for IPv4. IPv6 zones are refused.
 *
 * An address is its int32 words in network order (1 for IPv4, 4 for IPv6), as the packet path
 * compares them; negative from 128.0.0.0 on. Text is made only here.
 */
import ipaddr from 'ipaddr.js';

export type Family = 4 | 6;

export interface Address {
  readonly family: Family;
  /** int32 words, network order: 1 for IPv4, 4 for IPv6. */
  readonly words: readonly number[];
}

export interface Cidr extends Address {
  /** Prefix length, 0–32 or 0–128. Bits of `words` beyond it are zero. */
  readonly length: number;
}

/** A value, or a sentence (no full stop) that says what is wrong with the text and what would be right. */
export type Parsed<T> = { readonly ok: true; readonly value: T } | Refused;

export interface Refused {
  readonly ok: false;
  readonly message: string;
  readonly hint: string;
}

/** The answer to a text that is wrong. */
export function refuse(message: string, hint: string): Refused {
  return { ok: false, message, hint };
}

const WORD_BITS = 32;
const BYTE_MAX = 255;
const DOT = 46;
/** The code of '0'. */
const ZERO = 48;

export function addressBits(family: Family): number {
  return family === 4 ? 32 : 128;
}

/** Reads `10.0.0.11` or `fd00:10::11`; refuses octal-looking, short, zoned and IPv4-mapped forms. */
export function parseAddress(text: string): Parsed<Address> {
  if (text.includes('/')) {
    return refuse(
      `'${text}' is a CIDR block, not an address`,
      `write the address alone: ${text.slice(0, text.indexOf('/'))}`,
    );
  }
  if (text.includes(':')) return parseAddress6(text);
  const word = parseWord4(text);
  if (word !== undefined) return { ok: true, value: { family: 4, words: [word] } };
  return refuse(
    `'${text}' is not an IP address`,
    octalHint(text) ?? 'write four decimal parts, as 10.0.0.11, or an IPv6 address, as fd00:10::11',
  );
}

/** Reads `10.0.0.0/16` or `fd00:10::/64`; `hostBits` says whether bits beyond the prefix are an error or masked off. */
export function parseCidr(text: string, hostBits: 'refuse' | 'mask'): Parsed<Cidr> {
  const slash = text.indexOf('/');
  if (slash < 0) {
    const alone = parseAddress(text);
    if (!alone.ok) {
      const hint = octalHint(text) ?? 'write one as 10.0.0.0/16 or fd00:10::/64';
      return refuse(`'${text}' is not a CIDR block`, hint);
    }
    const bits = addressBits(alone.value.family);
    return refuse(`'${text}' has no prefix length`, `for a single host write ${text}/${bits}`);
  }
  const address = parseAddress(text.slice(0, slash));
  if (!address.ok) return address;
  const lengthText = text.slice(slash + 1);
  const { family } = address.value;
  const max = addressBits(family);
  if (!/^(0|[1-9]\d{0,2})$/.test(lengthText) || Number(lengthText) > max) {
    return refuse(
      `'${text}' has a bad prefix length`,
      `IPv${family} takes a prefix length from 0 to ${max}`,
    );
  }
  const length = Number(lengthText);
  const value: Cidr = { family, words: maskWords(address.value.words, length), length };
  if (hostBits === 'refuse' && !sameAddress(value, address.value)) {
    return refuse(
      `'${text}' has bits set beyond its prefix`,
      `the block is ${formatCidr(value)}; for the one host write ${text.slice(0, slash)}/${max}`,
    );
  }
  return { ok: true, value };
}

/** `words` with every bit beyond `length` cleared. */
export function maskWords(words: readonly number[], length: number): number[] {
  if (words.length === 1) return [maskWord(words[0], length)];
  return words.map((word, i) => maskWord(word, length - i * WORD_BITS));
}

function maskWord(word: number, bits: number): number {
  // A shift by 32 is a shift by 0 in JavaScript: without this branch a /0 would become a /32.
  if (bits <= 0) return 0;
  return bits >= WORD_BITS ? word : word & (-1 << (WORD_BITS - bits));
}

export function cidrContains(cidr: Cidr, address: Address): boolean {
  if (cidr.family !== address.family) return false;
  const masked = maskWords(address.words, cidr.length);
  return masked.every((word, i) => word === cidr.words[i]);
}

/** Whether every address of `inner` is in `outer`. */
export function cidrCovers(outer: Cidr, inner: Cidr): boolean {
  return outer.length <= inner.length && cidrContains(outer, inner);
}

export function sameAddress(a: Address, b: Address): boolean {
  const count = a.words.length;
  if (count !== b.words.length) return false;
  for (let i = 0; i < count; i++) if (a.words[i] !== b.words[i]) return false;
  return true;
}

/**
 * Whether two lists have the same addresses at the same places. One loop: all members of a group pass through it at
 * each reload.
 */
export function sameAddresses(a: readonly Address[], b: readonly Address[]): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) {
    const words = a[i].words;
    const others = b[i].words;
    if (words.length !== others.length) return false;
    for (let j = 0; j < words.length; j++) if (words[j] !== others[j]) return false;
  }
  return true;
}

/** RFC 5952 for IPv6, dotted decimal for IPv4. */
export function formatAddress(address: Address): string {
  if (address.family === 6) return new ipaddr.IPv6(bytesOf(address)).toRFC5952String();
  const [word] = address.words;
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

export function formatCidr(cidr: Cidr): string {
  return `${formatAddress(cidr)}/${cidr.length}`;
}

/** The address as 4 or 16 bytes in network order, as the kernel's interfaces take it. */
export function bytesOf(address: Address): number[] {
  const bytes: number[] = [];
  for (const word of address.words)
    bytes.push(word >>> 24, (word >>> 16) & 0xff, (word >>> 8) & 0xff, word & 0xff);
  return bytes;
}

/** The address of 4 or 16 bytes. */
export function addressOf(bytes: Uint8Array): Address {
  return { family: bytes.length === 4 ? 4 : 6, words: wordsOf([...bytes]) };
}

/**
 * The word of four decimal parts without leading zeros, each at most 255. Undefined for any other text. It takes what
 * ipaddr.js calls a valid four-part decimal, in a twentieth of the time (Node.js 20): files hold ten thousands.
 */
function parseWord4(text: string): number | undefined {
  const { length } = text;
  let word = 0;
  let at = 0;
  for (let part = 0; part < 4; part++) {
    const start = at;
    let value = 0;
    for (; at < length; at++) {
      const digit = text.charCodeAt(at) - ZERO;
      if (digit < 0 || digit > 9) break;
      value = 10 * value + digit;
      if (value > BYTE_MAX) return undefined;
    }
    if (at === start || (at > start + 1 && text.charCodeAt(start) === ZERO)) return undefined;
    if (part < 3 && text.charCodeAt(at++) !== DOT) return undefined;
    word = (word << 8) | value;
  }
  return at === length ? word : undefined;
}

function parseAddress6(text: string): Parsed<Address> {
  if (!ipaddr.IPv6.isValid(text) || text.includes('%')) {
    return refuse(
      `'${text}' is not an IPv6 address`,
      text.includes('%') ? 'leave the zone (%…) out' : 'write it as fd00:10::11',
    );
  }
  const parsed = ipaddr.IPv6.parse(text);
  if (parsed.isIPv4MappedAddress()) {
    return refuse(
      `'${text}' is an IPv4 address in IPv6 form`,
      `write ${parsed.toIPv4Address().toString()}`,
    );
  }
  return { ok: true, value: { family: 6, words: wordsOf(parsed.toByteArray()) } };
}

function octalHint(text: string): string | undefined {
  if (!/^\d+(\.\d+){3}$/.test(text)) return undefined;
  const parts = text.split('.');
  const decimal = parts.map((part) => String(Number(part)));
  if (
    parts.some((part) => part.length > 1 && part.startsWith('0')) &&
    decimal.every((part) => Number(part) <= 255)
  ) {
    return `a part with a leading zero is octal to some programs; write ${decimal.join('.')} if you mean decimal`;
  }
  return 'each of the four parts goes from 0 to 255';
}

function wordsOf(bytes: readonly number[]): number[] {
  const word = (i: number): number =>
    (bytes[i] << 24) | (bytes[i + 1] << 16) | (bytes[i + 2] << 8) | bytes[i + 3];
  // V8 keeps room for 17 elements in an array that is filled by push(), and there may be ten thousands of addresses.
  return bytes.length === 4 ? [word(0)] : [word(0), word(4), word(8), word(12)];
}
