/**
 * A store that need not be there yet. Whoever enforces what it knew of the store starts without it, and each call tries
 * to reach it.
 */
import {
  StoreError,
  type Change,
  type Commit,
  type Lease,
  type Outcome,
  type Snapshot,
  type Store,
} from './store.ts';

export class LateStore implements Store {
  private readonly open: () => Promise<Store>;
  private opened: Store | undefined;
  private opening: Promise<Store> | undefined;
  private isClosed = false;
  private readonly startedMs = performance.now();

  /** @param open tries to reach it for a while; it is called again after it has failed */
  constructor(open: () => Promise<Store>) {
    this.open = open;
  }

  async read(prefix: string, revision?: number): Promise<Snapshot> {
    return (await this.reach()).read(prefix, revision);
  }

  async readParts(parts: readonly string[], revision?: number): Promise<Snapshot> {
    return (await this.reach()).readParts(parts, revision);
  }

  async commit(commit: Commit): Promise<Outcome> {
    return (await this.reach()).commit(commit);
  }

  async *watch(prefix: string, after: number, signal: AbortSignal): AsyncIterable<Change> {
    yield* (await this.reach()).watch(prefix, after, signal);
  }

  lease(row: { readonly key: string; readonly value: string }, ttlSec: number): Lease {
    let lease: Lease | undefined;
    return {
      put: async () => {
        const store = await this.reach();
        lease ??= store.lease(row, ttlSec);
        return lease.put();
      },
      get keptUntilMs() {
        return lease?.keptUntilMs ?? 0;
      },
      get putRevision() {
        return lease?.putRevision ?? 0;
      },
      release: async () => lease?.release(),
    };
  }

  awaySinceMs(): number | undefined {
    return this.opened === undefined ? this.startedMs : this.opened.awaySinceMs();
  }

  async close(): Promise<void> {
    this.isClosed = true;
    const store = await this.opening?.catch(() => undefined);
    await store?.close();
  }

  private async reach(): Promise<Store> {
    if (this.isClosed) throw new StoreError('closed', 'the store is closed; open it again');
    this.opening ??= this.open();
    try {
      this.opened = await this.opening;
      return this.opened;
    } catch (error) {
      this.opening = undefined;
      throw error;
    }
  }
}
