/**
 * This file has a server of the API see what another one has answered.
 *
 * Theory of operation. Clients are spread over several servers. Who was told by one that a group is made, and asks the
 * next one for it, must find it; but a watch tells a server of a change a moment after the commit. So each commit of a
 * call writes one row more, LAST_CALL_KEY, and a server that gets a call reads that row first: all that was answered
 * before is at its revision, or below. Then it waits until it was told of that revision. This costs a read of one row
 * for each call, which a store of several hosts answers only if most of its members agree.
 *
 * The newest revision of the store would not do: a cluster of etcd counts what others do there, too, and no watch of
 * ours ends at that number. Nor would what hosts say of themselves be worth a wait.
 *
 * Calls that come while the row is read wait for the next reading: what they know of may be newer than what is under
 * way. So there are two readings at most, however many calls.
 */
import type { Store } from '../store/store.ts';

/** Calls write it, and no host reads it. */
export const LAST_CALL_KEY = 'last-call';
/** Its revision says all. */
export const LAST_CALL = { key: LAST_CALL_KEY, value: '{}' } as const;

export class LastCall {
  private readonly store: Store;
  private reading: Promise<unknown> = Promise.resolve();
  private next: Promise<number> | undefined;

  constructor(store: Store) {
    this.store = store;
  }

  /** Asks for the revision that no call answered until now is above. @throws StoreError */
  revision(): Promise<number> {
    this.next ??= this.reading.then(() => {
      const mine = this.next!;
      this.next = undefined;
      this.reading = mine.catch(() => undefined);
      return this.read();
    });
    return this.next;
  }

  private async read(): Promise<number> {
    const { rows } = await this.store.read(LAST_CALL_KEY);
    return rows.find(({ key }) => key === LAST_CALL_KEY)?.revision ?? 0;
  }
}
