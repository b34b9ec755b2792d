/** Records of several rings, one a packet loop, in the order in which they happened. */

/** A reader of records that carry the moment (nowMs) they were written at. */
export interface MomentRing {
  /** Of the oldest record that is there; undefined: none. */
  nextMoment(): number | undefined;
}

/**
 * Calls `takeFrom` with the place of the ring whose next record is the oldest; it has to take that one.
 * @returns how many times, at most `most`
 */
export function takeInOrder(
  rings: readonly MomentRing[],
  takeFrom: (ring: number) => void,
  most: number,
): number {
  for (let taken = 0; taken < most; taken++) {
    let oldest = -1;
    let oldestMs = 0;
    for (let i = 0; i < rings.length; i++) {
      const momentMs = rings[i].nextMoment();
      if (momentMs === undefined) continue;
      // Moments wrap; those of records that wait at the same time are near one another.
      if (oldest >= 0 && ((momentMs - oldestMs) | 0) >= 0) continue;
      oldest = i;
      oldestMs = momentMs;
    }
    if (oldest < 0) return taken;
    takeFrom(oldest);
  }
  return most;
}
