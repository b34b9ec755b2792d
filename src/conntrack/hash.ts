/**
 * Computes a keyed hash of a few words: HalfSipHash-1-3 (Aumasson and Bernstein, "SipHash", the 32-bit variant).
 *
 * Senders choose ports and, from outside, addresses. If they could compute the hash, they could aim thousands of
 * flows at one slot, and every lookup would walk through them all. The key is drawn when the daemon starts and never
 * leaves it.
 */
export interface HashKey {
  readonly k0: number;
  readonly k1: number;
}

const INITIAL_V2 = 0x6c796765;
const INITIAL_V3 = 0x74656462;

/** The int32 hash of words[start … start + count). */
export function hashWords(
  words: Int32Array,
  start: number,
  count: number,
  k0: number,
  k1: number,
): number {
  return hashMessage(words, start, count, count << 26, k0, k1);
}

/** Hashes the words as hashWords does, followed by one byte. */
export function hashWordsAndByte(
  words: Int32Array,
  start: number,
  count: number,
  byte: number,
  k0: number,
  k1: number,
): number {
  return hashMessage(words, start, count, (((count << 2) | 1) << 24) | byte, k0, k1);
}

/** Hashes three words and a byte as hashWordsAndByte does, without reading them from memory. */
export function hashThreeAndByte(
  first: number,
  second: number,
  third: number,
  byte: number,
  k0: number,
  k1: number,
): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = INITIAL_V2 ^ k0;
  let v3 = INITIAL_V3 ^ k1;
  for (let i = 0; i < 7; i++) {
    let word = 0;
    if (i === 0) word = first;
    else if (i === 1) word = second;
    else if (i === 2) word = third;
    else if (i === 3) word = (13 << 24) | byte;
    else if (i === 4) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}

/**
 * @param last the last word of the message, as SipHash defines it: the length in bytes in the high 8 bits, then the
 *   bytes left
 */
function hashMessage(
  words: Int32Array,
  start: number,
  count: number,
  last: number,
  k0: number,
  k1: number,
): number {
  let v0 = k0 | 0;
  let v1 = k1 | 0;
  let v2 = INITIAL_V2 ^ k0;
  let v3 = INITIAL_V3 ^ k1;
  // One round for each word, the last one included, then three.
  for (let i = 0; i < count + 4; i++) {
    let word = 0;
    if (i < count) word = words[start + i]!;
    else if (i === count) word = last;
    else if (i === count + 1) v2 ^= 0xff;
    v3 ^= word;
    v0 = (v0 + v1) | 0;
    v1 = ((v1 << 5) | (v1 >>> 27)) ^ v0;
    v0 = (v0 << 16) | (v0 >>> 16);
    v2 = (v2 + v3) | 0;
    v3 = ((v3 << 8) | (v3 >>> 24)) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = ((v3 << 7) | (v3 >>> 25)) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = ((v1 << 13) | (v1 >>> 19)) ^ v2;
    v2 = (v2 << 16) | (v2 >>> 16);
    v0 ^= word;
  }
  return v1 ^ v3;
}
