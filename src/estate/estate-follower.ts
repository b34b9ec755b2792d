/**
 * An EstateFollower keeps an estate up to date from a store: it reads once what its scope has, then it watches. Each
 * revision is taken in as a whole.
 */
import { follow } from '../store/follow.ts';
import type { Store } from '../store/store.ts';
import type { Edit } from './edit.ts';
import { Estate, type EstateChange } from './estate.ts';
import { WHOLE, type Scope } from './scope.ts';

export interface EstateFollowerOptions {
  readonly store: Store;
  /** Default: all rows. */
  readonly scope?: Scope;
  /** The store fails, or a row can't be read. */
  readonly onTrouble: (message: string) => void;
}

export class EstateFollower {
  readonly estate: Estate;
  readonly store: Store;
  private readonly scope: Scope;
  private readonly onTrouble: (message: string) => void;
  private readonly ending = new AbortController();
  private readonly listeners = new Set<() => void>();
  private watching: Promise<void> = Promise.resolve();
  /** The last of what is taken in, or read. */
  private last: Promise<unknown> = Promise.resolve();

  constructor({ store, scope = WHOLE, onTrouble }: EstateFollowerOptions) {
    this.store = store;
    this.scope = scope;
    this.estate = new Estate(scope.isWhole);
    this.onTrouble = onTrouble;
  }

  /** See Scope. */
  get kept(): ReadonlyMap<string, string> {
    return this.scope.kept;
  }

  /** Reads what there is, and begins to watch. @throws StoreError if it can't be read */
  async open(): Promise<void> {
    await this.readAll();
    this.start(true);
  }

  /** Holds what was held before, until the store is read. */
  restore(rows: EstateChange): void {
    this.takeIn(rows);
  }

  /** See Store. */
  awaySinceMs(): number | undefined {
    return this.store.awaySinceMs();
  }

  /** Begins to watch. @param isRead whether the estate has been read; else that is tried until it succeeds */
  start(isRead: boolean): void {
    const { store, scope, onTrouble } = this;
    this.watching = follow(
      {
        ...{ store, onTrouble },
        prefix: scope.prefix,
        signal: this.ending.signal,
        revision: () => this.estate.revision,
        readAll: () => this.readAll(),
        take: (change) =>
          this.inTurn(async () => {
            // What was told by a commit of ours, or was read, is old already.
            if (change.revision > this.estate.revision)
              this.take(await scope.narrow(store, this.estate, change));
          }),
      },
      isRead,
    );
  }

  /**
   * Makes an edit that nobody commits, on an estate that has all that the scope would have with it.
   * @param make is called with the estate, perhaps twice
   * @throws StoreError, CompactedError
   */
  async preview(make: (estate: Estate) => Edit): Promise<Edit> {
    const edit = make(this.estate);
    const more = await this.scope.missing(this.store, this.estate, edit.commit());
    return more.length === 0 ? edit : make(this.estate.with(more));
  }

  /** Calls `listener` after each revision; it must not throw. @returns what ends that */
  listen(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Waits until the estate has this revision. */
  reach(revision: number, timeoutMs: number): Promise<boolean> {
    return this.until(() => this.estate.revision >= revision, timeoutMs);
  }

  /** Waits until something is so of the estate. @returns whether it is */
  async until(isSo: () => boolean, timeoutMs: number): Promise<boolean> {
    const deadline = performance.now() + timeoutMs;
    while (!isSo()) {
      const leftMs = deadline - performance.now();
      if (leftMs <= 0) return false;
      await this.news(leftMs);
    }
    return true;
  }

  /** Ends the watch, and closes the store. */
  async close(): Promise<void> {
    this.ending.abort();
    await this.watching;
    await this.store.close();
  }

  /** Takes in what the scope has of a revision. */
  protected take(change: EstateChange): void {
    if (change.revision <= this.estate.revision) return;
    this.takeIn(change);
  }

  /** Resolves with the next revision, or after a while. */
  protected news(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        stop();
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      const stop = this.listen(done);
    });
  }

  private takeIn(change: EstateChange): void {
    const known = new Set(this.estate.unreadable.keys());
    this.estate.apply(change);
    for (const [key, why] of this.estate.unreadable)
      if (!known.has(key)) this.onTrouble(`a row of the store can't be read: ${why}`);
    for (const listener of [...this.listeners]) listener();
  }

  /**
   * Reads what there is now. Until then nobody knows whether the watch has told all that happened before this call.
   * @throws StoreError if it can't be read
   */
  readAll(): Promise<void> {
    return this.inTurn(async () => {
      // An older store may have been put in the place of this one: what it has counts all the same.
      this.takeIn(await this.scope.read(this.store, this.estate));
    });
  }

  private inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.last.then(work);
    this.last = done.catch(() => undefined);
    return done;
  }
}
