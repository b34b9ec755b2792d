/**
 * The tables of a store in a file of SQLite, and how a new file comes to be.
 *
 * `current_rows` has the rows in force. A row that is put again or deleted moves to `former_rows` with the revision
 * that ended it: that is the history, and compaction deletes its oldest part. `revisions` has the time of each commit
 * that history still tells of. So each value is written once, reading the present touches no history, and the past at
 * revision R is what is or was put at R or before and ended after R. docs/store.md tells it to people who look into the
 * file; a change here is a new FORMAT, with a way for files of the old one.
 */
import { accessSync, chmodSync, constants, linkSync, mkdirSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileError, Sqlite } from './sqlite.ts';
import { syncFile } from './files.ts';
import { StoreError } from './store.ts';

/** PRAGMA user_version: which tables there are, and what they mean. */
export const FORMAT = 1;
/** PRAGMA application_id, by which file(1) and we know the file: "secg" in ASCII. */
const APPLICATION_ID = 0x73656367;

/** The owner and the group may use the file, others nothing. -wal and -shm get the same from SQLite. */
export const FILE_MODE = 0o660;
/** Files that either of two users makes get the group of the directory (set-group-ID). */
const DIRECTORY_MODE = 0o2770;

const TABLES = `
CREATE TABLE meta (
  name TEXT PRIMARY KEY,
  value NOT NULL
) WITHOUT ROWID;
CREATE TABLE current_rows (
  key TEXT PRIMARY KEY,
  value TEXT NOT NULL,
  create_revision INTEGER NOT NULL,
  revision INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX current_rows_by_revision ON current_rows (revision);
CREATE TABLE former_rows (
  id INTEGER PRIMARY KEY,
  key TEXT NOT NULL,
  value TEXT NOT NULL,
  create_revision INTEGER NOT NULL,
  revision INTEGER NOT NULL,
  ended_revision INTEGER NOT NULL,
  ended_by TEXT NOT NULL CHECK (ended_by IN ('put', 'delete'))
);
CREATE INDEX former_rows_by_revision ON former_rows (revision);
CREATE INDEX former_rows_by_ended_revision ON former_rows (ended_revision);
CREATE TABLE revisions (
  revision INTEGER PRIMARY KEY,
  committed_at TEXT NOT NULL
);
`;

/**
 * Makes a new, empty store, unless there is something of that name. It appears complete or not at all: two processes
 * may start at once, and either may be killed.
 * @param path absolute; its directory is made if only that is missing
 * @throws StoreError
 */
export function createIfAbsent(path: string): void {
  if (isThere(path)) return;
  const next = `${path}.new-${process.pid}`;
  try {
    makeDirectory(dirname(path));
    rmSync(next, { force: true });
    writeEmptyStore(path, next);
    chmodSync(next, FILE_MODE);
    syncFile(next);
    linkSync(next, path);
    syncFile(dirname(path));
  } catch (error) {
    // EEXIST: another process was first.
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw systemError(path, error);
  } finally {
    rmSync(next, { force: true });
  }
}

/** Whether there is a file of this name, or something else. @throws StoreError if nobody can tell */
export function isThere(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    throw systemError(path, error);
  }
}

/** Makes the directory of a store, if only that is missing. */
export function makeDirectory(directory: string): void {
  if (isThere(directory)) return;
  mkdirSync(directory);
  // Not left to the umask: a group that can't enter would keep the second user out.
  chmodSync(directory, DIRECTORY_MODE);
}

/** Makes the tables, with nothing in them. */
export function createTables(sqlite: Sqlite): void {
  sqlite.exec(TABLES);
}

/** By way of memory, so that the file is closed again when this returns. @param path what the file will be called */
function writeEmptyStore(path: string, file: string): void {
  const memory = Sqlite.inMemory(path);
  memory.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${FORMAT};`);
  createTables(memory);
  const about = 'A store of secgroupd. docs/store.md tells what is in it.';
  for (const [name, value] of [
    ['about', about],
    ['created_at', new Date().toISOString()],
    ['revision', 0],
    ['compacted_revision', 0],
  ] as const)
    memory.run('INSERT INTO meta VALUES (?, ?)', name, value);
  memory.run('VACUUM INTO ?', file);
  memory.close();
}

/**
 * Opens the file of a store.
 * @param path absolute
 * @param mode `rw`: also as two processes do that share it
 * @throws StoreError, also where it is no store or one of a newer version
 */
export function openFile(path: string, mode: 'rw' | 'ro'): Sqlite {
  assertAccess(path, mode);
  const sqlite = Sqlite.open(path, mode);
  try {
    assertFormat(sqlite);
    if (mode === 'rw') {
      // Readers and a writer at the same time; a commit is on the disk when it returns; wal is cut to 64 MiB.
      sqlite.exec('PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;');
      sqlite.value('PRAGMA journal_mode = WAL');
    }
    // A file that somebody changed by hand must not run functions, and damage is to be seen early.
    sqlite.exec('PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;');
    return sqlite;
  } catch (error) {
    sqlite.close();
    throw error;
  }
}

/** SQLite tells a missing right and a missing file alike, so look first. */
function assertAccess(path: string, mode: 'rw' | 'ro'): void {
  try {
    if (statSync(path).isDirectory()) throw fileError(path, 'foreign', 'it is a directory');
    accessSync(path, mode === 'rw' ? constants.R_OK | constants.W_OK : constants.R_OK);
    if (mode === 'rw') accessSync(dirname(path), constants.W_OK | constants.X_OK);
  } catch (error) {
    throw systemError(path, error);
  }
  // SQLite would take it for a new one, and what was in it would be gone without a word.
  if (statSync(path).size === 0) throw fileError(path, 'corrupt', 'the file is empty');
}

function assertFormat(sqlite: Sqlite): void {
  const id = sqlite.value('PRAGMA application_id');
  if (id !== APPLICATION_ID)
    throw fileError(sqlite.path, 'foreign', 'it is a database of something else');
  const format = Number(sqlite.value('PRAGMA user_version'));
  if (format > FORMAT)
    throw fileError(
      sqlite.path,
      'newer',
      `it has format ${format}, and this version knows ${FORMAT} alone`,
    );
  if (format < FORMAT) throw fileError(sqlite.path, 'corrupt', `there is no format ${format}`);
}

const FAULT_OF_ERRNO: Readonly<Record<string, StoreError['fault']>> = {
  ENOENT: 'absent',
  EACCES: 'denied',
  EPERM: 'denied',
  EROFS: 'denied',
  ENOSPC: 'full',
  EDQUOT: 'full',
};

/** Makes a StoreError of a failed system call; leaves StoreErrors as they are. */
export function systemError(path: string, error: unknown): StoreError {
  if (error instanceof StoreError) return error;
  const { code = '', message } = error as NodeJS.ErrnoException;
  // Node.js: "ENOENT: no such file or directory, stat '/a/b'"
  const what = /^[A-Z0-9]+: ([^,]+)/.exec(message)?.[1] ?? message;
  return fileError(path, FAULT_OF_ERRNO[code] ?? 'failed', what, { cause: error });
}
