/** Tells of addresses whether groups ever judge what goes between them. */
import { CLASS_E, isLinkLocal6, LOOPBACK_4, MULTICAST_4 } from '../engine/scope.ts';
import { isInPlatformBlock } from '../policy/special-addresses.ts';
import type { AddressPair } from '../recorded/flow-memory.ts';

/** Two addresses of a family. */
export interface Pair extends AddressPair {
  readonly family: number;
}

/** Whether it ends at its link or its host: multicast, broadcast, loopback, nobody's address. */
export function isOfLink(pair: Pair): boolean {
  const { family, src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = pair;
  if (family === 4) return isOfLink4(src0) || isOfLink4(dst0);
  return isOfLink6(src0, src1, src2, src3) || isOfLink6(dst0, dst1, dst2, dst3);
}

/** Whether one end is an address of the platform, whose services no group filters. */
export function isOfPlatformBlock({ family, src0, dst0 }: Pair): boolean {
  return isInPlatformBlock(family, src0) || isInPlatformBlock(family, dst0);
}

export function isPassedOver(pair: Pair): boolean {
  return isOfLink(pair) || isOfPlatformBlock(pair);
}

function isOfLink4(word: number): boolean {
  const first = word >>> 24;
  return (
    first === 0 || first === LOOPBACK_4 || (first >= MULTICAST_4 && first < CLASS_E) || word === -1
  );
}

function isOfLink6(a0: number, a1: number, a2: number, a3: number): boolean {
  if (a0 >>> 24 === 0xff || isLinkLocal6(a0)) return true;
  return a0 === 0 && a1 === 0 && a2 === 0 && (a3 === 0 || a3 === 1);
}
