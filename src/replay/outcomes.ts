/** What became of a packet or a record in each of the worlds, and what is counted before any gate is told of. */
import { LINK_SCOPE } from '../engine/reasons.ts';
import type { Packet } from '../wire/packet.ts';
import { isUnjudged, type World } from './world.ts';

export const PASSES = 0;
export const DROPPED = 1;
/** Neither end is an interface there. */
export const ABSENT = 2;
/** A packet: it passes if its connection was opened before the capture, as it seems. */
export const ASSUMED = 3;
/** A packet: it is dropped, and answers what was dropped already: it would never have been. */
export const FOLLOWS = 4;
/** A record: either, by what the log does not say. */
export const OPEN = 5;

/** What both judges count apart. */
export interface ApartCounts {
  /** Neither end is an interface. */
  unrelated: number;
  /** Of services at link-local addresses that no group filters. */
  unjudged: number;
  /** They end at their link: multicast, broadcast, neighbour discovery. */
  linkScope: number;
  /** Of an interface that one of the two configurations lacks, by which one. */
  absent: [number, number];
}

/** Counts what no gate of any world was asked about. @returns whether it is such */
export function countApart(
  counts: ApartCounts,
  outcomes: readonly number[],
  worlds: readonly World[],
  packet: Packet,
): boolean {
  let isSomewhere = false;
  for (let i = 0; i < worlds.length; i++) if (outcomes[i] !== ABSENT) isSomewhere = true;
  if (!isSomewhere) counts.unrelated++;
  else if (isUnjudged(packet)) counts.unjudged++;
  else if (outcomes.includes(DROPPED) && worlds.some(({ reason }) => reason === LINK_SCOPE))
    counts.linkScope++;
  else return false;
  return true;
}

/** Counts what one of two worlds knows no end of. @returns whether it is such */
export function countAbsent(counts: ApartCounts, before: number, after: number): boolean {
  if (before !== ABSENT && after !== ABSENT) return false;
  counts.absent[before === ABSENT ? 0 : 1]++;
  return true;
}
