/**
 * The Internet checksum (RFC 1071). The daemon writes it into packets that it makes itself. It also checks the sums
 * of packets before it joins them into one write (engine/coalesce.ts).
 */

/** Adds the 16-bit words from `offset` to `initial`, without folding. Exact for at most 65,535 bytes. */
export function sumWords(view: DataView, offset: number, length: number, initial: number): number {
  let sum = initial;
  const even = length & ~1;
  for (let i = 0; i < even; i += 2) sum += view.getUint16(offset + i);
  if (even !== length) sum += view.getUint8(offset + even) << 8;
  return sum;
}

/** Folds a sum to 16 bits and complements it. */
export function foldChecksum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + Math.floor(folded / 0x10000);
  return ~folded & 0xffff;
}
