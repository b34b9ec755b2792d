/** Tries again what another process keeps from happening, without holding up the event loop. */
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';
import { StoreError } from './store.ts';

/** A commit takes less than 1 ms as a rule, and holds the lock no longer. */
const PAUSE_MAX_MS = 10;

/**
 * Does `work`, again and again while the store is busy. It begins in a new turn of the event loop: a caller that does
 * one call after the other would else leave nobody a turn, since work that is done at once makes no other wait.
 * @param limitMs how long; then the error says that it was busy
 */
export async function patiently<T>(limitMs: number, work: () => T): Promise<T> {
  await nextTurn();
  const start = performance.now();
  for (let tries = 1; ; tries++) {
    try {
      return work();
    } catch (error) {
      const isBusy = error instanceof StoreError && error.fault === 'busy';
      if (!isBusy || performance.now() - start >= limitMs) throw error;
    }
    // Not in step with others who wait.
    await sleep(Math.random() * Math.min(tries, PAUSE_MAX_MS));
  }
}
