/**
 * Puts a backup in the place of a store. What was there is kept beside it under another name.
 *
 * Nobody may have the store open: a process would go on with the old file, and write into it. While the old file is
 * replaced this holds SQLite's exclusive lock of it, so who comes now waits, and opens the new one. A store too damaged
 * for a lock is looked for in /proc/locks, where everyone who has it open holds one.
 *
 * The store goes on at a revision above all that anybody can have seen, and with no history. So whoever watched the old
 * one is told to read anew (CompactedError), and no number ever means two things.
 */
import {
  chmodSync,
  chownSync,
  linkSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { copyStore, unsound } from './backup.ts';
import { checkStore } from './check.ts';
import { compactTo } from './compaction.ts';
import { syncFile } from './files.ts';
import { newestRevision, setMeta } from './rows.ts';
import { FILE_MODE, isThere, makeDirectory, systemError } from './schema.ts';
import { Sqlite } from './sqlite.ts';
import { openSqliteStore } from './sqlite-store.ts';
import { StoreError } from './store.ts';

/** Where nobody knows which revisions there were: more than there can have been. It is what etcd advises, too. */
const UNKNOWN_REVISIONS = 1_000_000_000;

export interface Restored {
  readonly file: string;
  readonly rows: number;
  readonly revision: number;
  /** Where the store is that was there; undefined if there was none. */
  readonly kept?: string;
}

/**
 * Restores a backup.
 * @param backup absolute
 * @param store absolute; need not be there
 * @throws StoreError; the store is as it was, unless the new one then fails to open
 */
export async function restoreStore(backup: string, store: string): Promise<Restored> {
  const report = checkStore(backup);
  if (report.problems.length > 0) throw unsound(backup, report);
  const next = `${store}.restoring-${process.pid}`;
  let held: Held | undefined;
  try {
    makeDirectory(dirname(store));
    held = hold(store);
    rmSync(next, { force: true });
    copyStore(backup, next);
    const revision =
      held?.revision === undefined
        ? report.revision + UNKNOWN_REVISIONS
        : Math.max(report.revision, held.revision) + 1;
    beginAt(next, revision);
    takeOwner(next, store);
    const kept = held && keep(store, held);
    renameSync(next, store);
    syncFile(dirname(store));
    return { file: store, ...(await readAsItsUsersDo(store)), ...(kept !== undefined && { kept }) };
  } catch (error) {
    throw systemError(store, error);
  } finally {
    held?.release();
    rmSync(next, { force: true });
  }
}

/** Opens what was restored as the daemon will, so that it is this that says what is there. */
async function readAsItsUsersDo(path: string): Promise<{ rows: number; revision: number }> {
  const store = await openSqliteStore(path);
  const { rows, revision } = await store.read('');
  await store.close();
  return { rows: rows.length, revision };
}

/** A store that nobody else has open, and can't open until it is released. */
interface Held {
  /** The newest; undefined if it can't be read. */
  readonly revision: number | undefined;
  readonly isDamaged: boolean;
  readonly release: () => void;
}

/** @returns undefined if there is no store */
function hold(store: string): Held | undefined {
  if (!isThere(store)) return undefined;
  let sqlite: Sqlite | undefined;
  try {
    sqlite = Sqlite.open(store, 'rw');
    sqlite.exec('PRAGMA locking_mode = EXCLUSIVE');
    // SQLite leaves WAL only when no one else has the file open, and puts into the file what the -wal has.
    sqlite.value('PRAGMA journal_mode = DELETE');
    sqlite.exec('BEGIN EXCLUSIVE');
    const lock = sqlite;
    return { revision: revisionOf(lock), isDamaged: false, release: () => lock.close() };
  } catch (error) {
    sqlite?.close();
    if (!(error instanceof StoreError)) throw error;
    if (error.fault === 'busy' || isLocked(store)) throw inUse(store, error);
    if (error.fault !== 'foreign' && error.fault !== 'corrupt') throw error;
    return { revision: undefined, isDamaged: true, release: () => undefined };
  }
}

function revisionOf(sqlite: Sqlite): number | undefined {
  try {
    return newestRevision(sqlite);
  } catch {
    // A store of another format, or not one at all: nobody knows.
    return undefined;
  }
}

function inUse(store: string, cause: unknown): StoreError {
  const message = `the store ${store} is in use; stop secgroupd and whoever else has it open (fuser -v ${store}), then restore`;
  return new StoreError('busy', message, { cause });
}

/** Whether any process has a lock on the file: everyone has who uses it. Device numbers differ on some file systems. */
function isLocked(store: string): boolean {
  const { ino } = statSync(store);
  return new RegExp(`^\\S+ POSIX .* [0-9a-f]+:[0-9a-f]+:${ino} `, 'm').test(
    readFileSync('/proc/locks', 'latin1').replaceAll(/ +/g, ' '),
  );
}

/** Makes a copy the store that goes on at `revision`. The commit puts the whole file on the disk. */
function beginAt(copy: string, revision: number): void {
  const sqlite = Sqlite.open(copy, 'rw');
  sqlite.writing(() => {
    setMeta(sqlite, 'revision', revision);
    compactTo(sqlite, revision);
  });
  sqlite.close();
}

/** The store belongs to whom it belonged, else to the owner of its directory: root may restore it for the service. */
function takeOwner(copy: string, store: string): void {
  chmodSync(copy, FILE_MODE);
  if (process.geteuid?.() !== 0) return;
  const { uid, gid } = statSync(store, { throwIfNoEntry: false }) ?? statSync(dirname(store));
  chownSync(copy, uid, gid);
}

/** Gives the old store a second name, which is its only one when the new store takes its place. */
function keep(store: string, { isDamaged }: Held): string {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const kept = `${store}.before-restore-${stamp}`;
  linkSync(store, kept);
  // SQLite would play what is left of the -wal of a damaged store into the new one.
  if (isDamaged && isThere(`${store}-wal`)) renameSync(`${store}-wal`, `${kept}-wal`);
  rmSync(`${store}-shm`, { force: true });
  return kept;
}
