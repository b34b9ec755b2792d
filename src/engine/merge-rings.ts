/** Merges the records of several rings, one for each packet loop, by the time they were written. */

/** A reader of records that have a time. */
export interface MomentRing {
  /** Time of the oldest record, in a unit that all rings share, modulo 2^32; undefined if the ring is empty. */
  nextMoment(): number | undefined;
}

/**
 * Calls `takeFrom` with the index of the ring whose next record is the oldest. `takeFrom` must take that record.
 * @returns how many times it did, at most `most`
 */
export function takeInOrder(
  rings: readonly MomentRing[],
  takeFrom: (ring: number) => void,
  most: number,
): number {
  for (let taken = 0; taken < most; taken++) {
    let oldest = -1;
    let oldestMoment = 0;
    for (let i = 0; i < rings.length; i++) {
      const moment = rings[i].nextMoment();
      if (moment === undefined) continue;
      // Times wrap, but those of records that wait together are close.
      if (oldest >= 0 && ((moment - oldestMoment) | 0) >= 0) continue;
      oldest = i;
      oldestMoment = moment;
    }
    if (oldest < 0) return taken;
    takeFrom(oldest);
  }
  return most;
}
