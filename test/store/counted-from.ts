/**
 * A store whose revisions begin at some number, as one whose revisions begin at 0. etcd counts what happens in the
 * whole cluster; tests of the contract want to know which revision a commit makes when nobody else makes any.
 */
import {
  CompactedError,
  type Change,
  type Row,
  type Snapshot,
  type Store,
} from '../../src/store/store.ts';

/** @param first the newest revision while the store was empty */
export function countedFrom(first: number, store: Store): Store {
  /** 0 is the empty store; others are counted. */
  const inner = (revision: number): number => revision + first;
  const rowOf = (row: Row): Row => ({
    ...row,
    createRevision: row.createRevision - first,
    revision: row.revision - first,
  });
  const translated = (error: unknown): unknown => {
    if (!(error instanceof CompactedError)) return error;
    return new CompactedError(error.revision - first, undefined, error.newest - first);
  };
  const translating = async <T>(work: Promise<T>): Promise<T> => {
    try {
      return await work;
    } catch (error) {
      throw translated(error);
    }
  };
  // What can't be a revision is for the store to refuse.
  const asked = (revision: number | undefined): number | undefined =>
    revision !== undefined && revision >= 0 ? inner(revision) : revision;
  const snapshotOf = async (work: Promise<Snapshot>): Promise<Snapshot> => {
    const { revision, rows } = await translating(work);
    return { revision: revision - first, rows: rows.map(rowOf) };
  };
  return {
    read: (prefix, revision) => snapshotOf(store.read(prefix, asked(revision))),
    readParts: (parts, revision) => snapshotOf(store.readParts(parts, asked(revision))),
    commit: async (commit) => {
      const conditions = commit.conditions.map(({ key, revision }) => {
        return {
          key,
          revision: Number.isSafeInteger(revision) && revision > 0 ? inner(revision) : revision,
        };
      });
      const outcome = await store.commit({ ...commit, conditions });
      if (outcome.kind === 'conflict') return outcome;
      return { ...outcome, revision: outcome.revision - first };
    },
    async *watch(prefix, after, signal) {
      const changes = store.watch(prefix, inner(after), signal)[Symbol.asyncIterator]();
      try {
        for (;;) {
          const next = await translating<IteratorResult<Change, unknown>>(changes.next());
          if (next.done === true) return;
          const { revision, puts, deletes } = next.value;
          yield { revision: revision - first, puts: puts.map(rowOf), deletes };
        }
      } finally {
        await changes.return?.();
      }
    },
    lease: (row, ttlSec) => {
      const lease = store.lease(row, ttlSec);
      return {
        put: async () => (await lease.put()) - first,
        get keptUntilMs() {
          return lease.keptUntilMs;
        },
        get putRevision() {
          return lease.putRevision;
        },
        release: () => lease.release(),
      };
    },
    awaySinceMs: () => store.awaySinceMs(),
    close: () => store.close(),
  };
}
