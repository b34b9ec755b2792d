/**
 * This file keeps somebody up to date with rows of a store: they are read once, and each change is told from then on.
 * When the watch fails, what was missed may be gone from the history, so all is read anew.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Change, Store } from './store.ts';

/** The longest wait before the first attempt to read again; it doubles. Many who lost a store must not come at once. */
const AGAIN_FIRST_MS = 50;
const AGAIN_MOST_MS = 10_000;

export interface Following {
  readonly store: Store;
  readonly prefix: string;
  readonly signal: AbortSignal;
  /** The revision that is known. */
  readonly revision: () => number;
  readonly readAll: () => Promise<void>;
  readonly take: (change: Change) => Promise<void> | void;
  readonly onTrouble: (message: string) => void;
}

/**
 * Tells changes until the signal; then it resolves.
 * @param isRead whether `readAll` has been called; else that is the first thing
 */
export async function follow(following: Following, isRead: boolean): Promise<void> {
  const { store, prefix, signal, revision, readAll, take, onTrouble } = following;
  let isKnown = isRead;
  let failures = 0;
  while (!signal.aborted) {
    try {
      if (!isKnown) await readAll();
      isKnown = true;
      failures = 0;
      for await (const change of store.watch(prefix, revision(), signal)) await take(change);
    } catch (error) {
      if (signal.aborted) return;
      onTrouble(error instanceof Error ? error.message : String(error));
      // The first attempt to read again is made at once.
      const most = Math.min(AGAIN_MOST_MS, AGAIN_FIRST_MS * 2 ** failures);
      if (!isKnown) await sleep(Math.random() * most, undefined, { signal }).catch(() => undefined);
      failures++;
      isKnown = false;
    }
  }
}
