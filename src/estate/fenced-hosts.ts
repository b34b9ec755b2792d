/**
 * This file says of a host that does not answer whether it has stopped to forward all the same.
 *
 * Theory of operation. A host that fences (AppliedState.fence) forwards for interfaces of the store only while its
 * lease lives, by a clock that runs out before the store removes the row that it lives. When the row is there again,
 * the host has put in force what the store had after that, before a packet flows (daemon/fencing.ts). So whoever holds
 * a picture of the store that has the change in question, and no such row, knows: the host forwards nothing now, and
 * not before it knows of the change.
 *
 * Nobody's clock but the host's own and the store's counts for that.
 */
import type { Estate } from './estate.ts';

/** What is asked of an estate, which has to hold all rows. */
export type FenceView = Pick<Estate, 'alive' | 'applied'>;

/** Whether a host has told that it fences. */
export function fences(estate: FenceView, host: string): boolean {
  return estate.applied().get(host)?.fence === 'lease';
}

/** Whether a host forwards nothing for interfaces of the store, and will not before it knows all that `estate` has. */
export function isFenced(estate: FenceView, host: string): boolean {
  return fences(estate, host) && !estate.alive().has(host);
}
