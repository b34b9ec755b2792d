/** A store in memory: the slow twin of all backends, written to be obviously right. Each call goes through all commits. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PlainLease } from '../../src/store/plain-lease.ts';
import { assertCommit, assertParts, assertPrefix, assertRevision } from '../../src/store/limits.ts';
import {
  CompactedError,
  StoreError,
  type Change,
  type Commit,
  type Lease,
  type Outcome,
  type Row,
  type Snapshot,
  type Store,
} from '../../src/store/store.ts';
import type { Backend } from './contract.ts';

/** What several MemoryStores share, as processes share a file. */
export class Memory {
  /** Commit n is at place n - 1. */
  readonly commits: Pick<Commit, 'puts' | 'deletes'>[] = [];
  compacted = 0;
  readonly waiting = new Set<() => void>();

  rowsAt(revision: number): Map<string, Row> {
    const rows = new Map<string, Row>();
    for (let at = 1; at <= revision; at++) {
      const { puts, deletes } = this.commits[at - 1];
      for (const { key, value } of puts)
        rows.set(key, {
          key,
          value,
          createRevision: rows.get(key)?.createRevision ?? at,
          revision: at,
        });
      for (const key of deletes) rows.delete(key);
    }
    return rows;
  }

  /** What one revision changed; deletes of keys that were not there are left out. */
  changeAt(revision: number, prefix: string): Change {
    const before = this.rowsAt(revision - 1);
    const after = this.rowsAt(revision);
    const isMeant = ({ key }: Row): boolean => key.startsWith(prefix);
    return {
      revision,
      puts: [...after.values()]
        .filter((row) => row.revision === revision && isMeant(row))
        .sort(byKey),
      deletes: [...before.values()]
        .filter((row) => !after.has(row.key) && isMeant(row))
        .sort(byKey)
        .map(({ key }) => key),
    };
  }

  assertKept(revision: number): void {
    const newest = this.commits.length;
    if (revision < this.compacted || revision > newest)
      throw new CompactedError(revision, this.compacted, newest);
  }
}

function byKey(a: Row, b: Row): number {
  return a.key < b.key ? -1 : 1;
}

export class MemoryStore implements Store {
  private readonly memory: Memory;
  private readonly end = new AbortController();

  constructor(memory = new Memory()) {
    this.memory = memory;
  }

  async read(prefix: string, revision?: number): Promise<Snapshot> {
    assertPrefix(prefix);
    if (revision !== undefined) assertRevision(revision);
    this.assertOpen();
    await nextTurn();
    const at = revision ?? this.memory.commits.length;
    this.memory.assertKept(at);
    const rows = [...this.memory.rowsAt(at).values()];
    return { revision: at, rows: rows.filter(({ key }) => key.startsWith(prefix)).sort(byKey) };
  }

  async readParts(parts: readonly string[], revision?: number): Promise<Snapshot> {
    assertParts(parts);
    const { revision: at, rows } = await this.read('', revision);
    const isIn = (key: string, part: string): boolean =>
      part.endsWith('/') ? key.startsWith(part) : key === part;
    return {
      revision: at,
      rows: parts.flatMap((part) => rows.filter(({ key }) => isIn(key, part))),
    };
  }

  async commit(commit: Commit): Promise<Outcome> {
    assertCommit(commit);
    this.assertOpen();
    // As in any store, other work has its turn between two commits.
    await nextTurn();
    const { commits, waiting } = this.memory;
    const rows = this.memory.rowsAt(commits.length);
    const keys = commit.conditions
      .filter(({ key, revision }) => (rows.get(key)?.revision ?? 0) !== revision)
      .map(({ key }) => key);
    if (keys.length > 0) return { kind: 'conflict', keys };
    const { puts, deletes } = commit;
    if (puts.length > 0 || deletes.some((key) => rows.has(key))) commits.push({ puts, deletes });
    for (const wake of [...waiting]) wake();
    return { kind: 'committed', revision: commits.length };
  }

  async *watch(prefix: string, after: number, signal: AbortSignal): AsyncGenerator<Change> {
    assertPrefix(prefix);
    assertRevision(after);
    this.assertOpen();
    const over = AbortSignal.any([signal, this.end.signal]);
    for (let seen = after; !over.aborted;) {
      this.memory.assertKept(seen);
      if (seen === this.memory.commits.length) {
        await this.news(over);
        continue;
      }
      const change = this.memory.changeAt(++seen, prefix);
      if (change.puts.length + change.deletes.length > 0) yield change;
    }
  }

  lease(row: { readonly key: string; readonly value: string }): Lease {
    assertCommit({ conditions: [], puts: [row], deletes: [] });
    return new PlainLease(this, row);
  }

  awaySinceMs(): undefined {
    return undefined;
  }

  async close(): Promise<void> {
    this.end.abort();
  }

  private news(over: AbortSignal): Promise<void> {
    const { waiting } = this.memory;
    return new Promise((resolve) => {
      const wake = (): void => {
        waiting.delete(wake);
        over.removeEventListener('abort', wake);
        resolve();
      };
      waiting.add(wake);
      over.addEventListener('abort', wake);
    });
  }

  private assertOpen(): void {
    if (this.end.signal.aborted)
      throw new StoreError('closed', 'the store is closed; open it again');
  }
}

/** Stores in memory, for tests of any backend. */
export const memory: Backend = {
  name: 'memory',
  make: async () => {
    const shared = new Memory();
    return {
      store: new MemoryStore(shared),
      other: async () => new MemoryStore(shared),
      compact: async () => {
        shared.compacted = shared.commits.length;
      },
    };
  },
};
