/**
 * The contract of a store: what outlives a process and is no file of the user's. Backends meet it, and callers know
 * nothing else. test/store/contract.ts is the same contract as tests.
 *
 * Rows. A row is a key with a value. A key is a path, as `groups/sg-1`; a value is text that only the caller
 * understands. A backend answers questions about one key or about all keys with a prefix, and no others: SQLite and
 * etcd can both do that.
 *
 * Revisions. A commit that changes something makes one new revision, a whole number greater than all before it.
 * Revision 0 is the empty store. All that a commit does has the same revision. Revisions never go back, also not when a
 * backup is restored: it goes on above what anybody can have seen. So numbers may be left out, also before the first
 * commit: etcd counts what happens in the whole cluster, and a store there shares the numbers with others. A revision
 * that was left out is the store as it was at the one before, and a watch tells nothing of it.
 *
 * Conditions. A commit may say of keys at which revision they were last put, 0 for a key that is not there. If each is
 * still so, the commit happens, else nothing of it does. Whoever reads rows, decides, and names in the conditions what
 * the decision rests on, decides as if alone.
 *
 * History. Changes are kept for a while, so that a watch can go on where it was and a read can look back. What is older
 * is compacted. CompactedError says that the past that was asked for is gone: read anew, and go on from there.
 *
 * Durability. When `commit` has answered `committed`, the change is on the disk and survives a loss of power. A process
 * that is killed before the answer leaves the whole commit or nothing of it. With `mayBeLost` the commit survives the
 * end of all processes, and a loss of power only once a later commit does: it does not wait for the disk.
 *
 * Leases. A row that says that somebody lives must go when he is silent. A lease keeps such a row: whoever puts it by
 * the lease renews that, and a store of several hosts removes the row once it has heard nothing for the time to live of
 * the lease. A store in a file has one host, and nobody beside it to listen: there the row goes when it is released,
 * and stays when its process is killed. Nothing that is to last may hang on a lease.
 *
 * Errors. What went wrong is a StoreError; its `committed` says what became of a commit. `no`: nothing was changed.
 * `unknown`: it may have happened or may yet. Then read the keys again and look. A call that the contract forbids (a
 * bad key, a commit beyond the bounds) is a RangeError, and a fault of the caller.
 */

/** A key with its value. */
export interface Row {
  readonly key: string;
  readonly value: string;
  /** The revision that made the key. A key that was deleted and put again is a new one. */
  readonly createRevision: number;
  /** The revision that last put it, the same value or another. Conditions compare it. */
  readonly revision: number;
}

/** The rows of a prefix as they were at one revision, ordered by key. */
export interface Snapshot {
  /** The revision asked for, else the newest: a watch goes on from here without a gap. */
  readonly revision: number;
  readonly rows: readonly Row[];
}

/** What a commit asks for. It holds each key once in `puts` and `deletes` together; order means nothing. */
export interface Commit {
  /** `revision` is that of the row, 0 if the key must not be there. */
  readonly conditions: readonly { readonly key: string; readonly revision: number }[];
  readonly puts: readonly { readonly key: string; readonly value: string }[];
  /** Keys that need not be there. */
  readonly deletes: readonly string[];
  /** For what the caller would tell anew after a loss of power. Default false. */
  readonly mayBeLost?: boolean;
}

/**
 * How a commit ended. `committed` has the revision that it made, or the newest one if there was nothing to change (no
 * puts, and no key to delete). `conflict` has the keys whose condition did not hold, in the order of the commit.
 */
export type Outcome =
  | { readonly kind: 'committed'; readonly revision: number }
  | { readonly kind: 'conflict'; readonly keys: readonly string[] };

/** All that one revision changed below a prefix. It is never split. Both lists are ordered by key. */
export interface Change {
  readonly revision: number;
  readonly puts: readonly Row[];
  readonly deletes: readonly string[];
}

/** Keeps one row for as long as its holder lives. See Leases above. */
export interface Lease {
  /**
   * Puts the row, again if somebody removed it, and renews the lease from then on. If the lease ran out while the store
   * could not be reached, another is granted and the row is put anew, without a further call.
   * @returns the revision
   * @throws StoreError; what had been put before may go then, until the next call
   */
  put(): Promise<number>;
  /**
   * Up to when the store surely keeps the row, by the clock that it was opened with, if nobody removes it: the time to
   * live after the newest renewal that was answered was sent. 0: not at all. Infinity: until it is released.
   */
  readonly keptUntilMs: number;
  /** The revision at which the row was put last: since then it has been there. 0: it was not put. */
  readonly putRevision: number;
  /** Removes the row, and renews no longer. @throws StoreError; the row goes by itself then, if the store does that */
  release(): Promise<void>;
}

export interface Store {
  /**
   * Reads the rows whose key begins with `prefix`; all rows, if it is empty.
   * @param revision a revision of the past; undefined for the newest
   * @throws CompactedError if that revision is gone, or not reached yet
   */
  read(prefix: string, revision?: number): Promise<Snapshot>;

  /**
   * Reads several parts as they were at one revision, with few questions to the store however many they are. A part
   * that ends with a slash is all rows whose key begins so. Any other is the row with that key. The rows are in the
   * order of the parts; a row that is in two parts comes twice.
   * @param parts at least one
   * @param revision as for `read`
   * @throws CompactedError as `read` does
   */
  readParts(parts: readonly string[], revision?: number): Promise<Snapshot>;

  /**
   * Changes rows, all or none. Commits of one caller happen in the order of the calls.
   * @throws StoreError (see Errors above); RangeError for a commit beyond COMMIT_LIMITS or with a key twice
   */
  commit(commit: Commit): Promise<Outcome>;

  /**
   * Tells every change below `prefix` that came after the revision `after`, in order, each revision once. It reads when
   * the caller is ready for more, and little ahead, so a slow caller costs no memory. It ends, without an error, when
   * `signal` or the store is ended; what was not fetched by then is not told. While it waits for a change, only the
   * signal ends it at once: `return()` is heard with the next change.
   * @throws CompactedError, also in the middle, if changes that were not told yet are gone; or if `after` is newer than
   *   the store, which is then another one than the caller has read
   */
  watch(prefix: string, after: number, signal: AbortSignal): AsyncIterable<Change>;

  /**
   * A lease for one row. Nothing is put yet. When the store is closed, the lease is renewed no longer.
   * @param ttlSec its time to live, in whole seconds; a store may keep the row a little longer
   * @throws RangeError for what a commit could not put
   */
  lease(row: { readonly key: string; readonly value: string }, ttlSec: number): Lease;

  /**
   * Since when it can't be reached, by the clock of `performance.now()`; undefined: it can, as far as is known. A
   * connection that is dead without a word is noticed after some seconds.
   */
  awaySinceMs(): number | undefined;

  /** Waits for commits that were asked for, ends watches, lets go of the store. Later calls fail. Twice is fine. */
  close(): Promise<void>;
}

/** Why a store did not do what it was asked for. */
export type StoreFault =
  /** Somebody else is writing, and went on for too long. */
  | 'busy'
  /** The disk, or a quota, is full. */
  | 'full'
  /** This user may not read or write it. */
  | 'denied'
  /** There is none. */
  | 'absent'
  /** What is there is no store. */
  | 'foreign'
  /** A newer version of the program made it. */
  | 'newer'
  /** What is on the disk contradicts itself. */
  | 'corrupt'
  /** It was closed. */
  | 'closed'
  /** Somebody removed it, or put another in its place, while it was open. */
  | 'gone'
  /** A failure of the disk, of the network, of the store itself. */
  | 'failed';

/** A store that did not do what it was asked for. The message says what, where, why and what to do. */
export class StoreError extends Error {
  readonly fault: StoreFault;
  /** What became of the commit: nothing was changed, or nobody can tell. */
  readonly committed: 'no' | 'unknown';

  constructor(
    fault: StoreFault,
    message: string,
    options: { readonly committed?: 'no' | 'unknown'; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = 'StoreError';
    this.fault = fault;
    this.committed = options.committed ?? 'no';
  }
}

/** The past that was asked for is not kept any more, or is the past of another store. */
export class CompactedError extends Error {
  /** What was asked for. */
  readonly revision: number;
  /** The newest that there is. */
  readonly newest: number;

  /** @param oldest undefined: not known */
  constructor(revision: number, oldest: number | undefined, newest: number) {
    const kept =
      oldest === undefined
        ? `the newest of the store is ${newest}`
        : `the store has revisions ${oldest} to ${newest}`;
    super(`revision ${revision} is not kept: ${kept}; read anew`);
    this.name = 'CompactedError';
    this.revision = revision;
    this.newest = newest;
  }
}
