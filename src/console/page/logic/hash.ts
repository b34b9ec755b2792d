/** This file makes numbers of names, so that what has no place yet gets the same one on every machine. */

/** FNV-1a, 32 bits (draft-eastlake-fnv). It spreads names; nothing rests on it. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash ^= text.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

/** A number from 0 to less than 1. @param salt makes another number of the same name */
export function fractionOf(text: string, salt: string): number {
  return hashOf(`${salt}\0${text}`) / 2 ** 32;
}
