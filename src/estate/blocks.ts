/** This file counts through CIDR blocks: which addresses they have, and whether they overlap. */
import { addressBits, cidrContains, maskWords, type Address, type Cidr } from '../addr/address.ts';

/** Whether two blocks share an address. */
export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.length <= b.length ? cidrContains(a, b) : cidrContains(b, a);
}

/** Whether all of `inner` is in `outer`. */
export function isWithin(inner: Cidr, outer: Cidr): boolean {
  return inner.length >= outer.length && cidrContains(outer, inner);
}

/** How many addresses a block has, at most 2^52. */
export function sizeOf({ family, length }: Cidr): number {
  return 2 ** Math.min(addressBits(family) - length, 52);
}

/** The address at a place of a block, from 0. Places beyond 2^32 are not reached. */
export function addressAt({ family, words }: Cidr, place: number): Address {
  const last = words.length - 1;
  return { family, words: words.map((word, i) => (i === last ? (word + place) | 0 : word)) };
}

/** Part number `part` of a block, when it is cut into parts of a length. Parts beyond 2^31 are not reached. */
export function partOf({ family, words }: Cidr, length: number, part: number): Cidr {
  const at = Math.floor((length - 1) / 32);
  const shifted = words.map(
    (word, i) => (i === at ? word + (part << (31 - ((length - 1) % 32))) : word) | 0,
  );
  return { family, length, words: maskWords(shifted, length) };
}
