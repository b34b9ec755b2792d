/**
 * A connection to a file of SQLite: the only importer of `libsql`. It runs statements, and makes StoreErrors of
 * SQLite's.
 *
 * Calls don't wait: what another process has locked is `busy` at once, and patience.ts tries again without holding up
 * the event loop. Each statement is prepared once and kept.
 *
 * A file that is open here must not be opened and closed by `node:fs` in the same process: closing it would drop the
 * locks of SQLite, which belong to the process and the file (fcntl(2)). `stat` is harmless.
 *
 * libsql frees a connection when its statements have been collected. So a closed file stays locked for a moment, at
 * most until the process ends.
 */
import { createRequire } from 'node:module';
import type Libsql from 'libsql';
import { StoreError, type StoreFault } from './store.ts';

/** Numbers are whole. */
export type SqlValue = string | number | null;

/** The constructor of connections. */
type Driver = new (name: string, options: { readonly timeout: number }) => Libsql.Database;

type Statement = Libsql.Statement<(SqlValue | bigint)[]>;

/** Primary result codes, https://sqlite.org/rescode.html; extended ones have more above the lowest byte. */
const FAULT_OF_CODE: ReadonlyMap<number, StoreFault> = new Map([
  [3, 'denied'], // SQLITE_PERM
  [5, 'busy'], // SQLITE_BUSY
  [6, 'busy'], // SQLITE_LOCKED
  [8, 'denied'], // SQLITE_READONLY
  [11, 'corrupt'], // SQLITE_CORRUPT
  [13, 'full'], // SQLITE_FULL
  [14, 'denied'], // SQLITE_CANTOPEN: that the file is there has been seen before
  [26, 'foreign'], // SQLITE_NOTADB
]);
/** SQLITE_IOERR_SHMSIZE: there is no room for the -shm file. */
const SHM_SIZE = 4874;

/** What to do, by what happened. `{}` is the file. */
const ADVICE: Readonly<Record<StoreFault, string>> = {
  busy: "another process is writing to it; see who has it open with 'fuser -v {}', and try again",
  full: 'make room where it is, then try again',
  denied:
    'this user must be able to write the file, those beside it with -wal and -shm, and their directory',
  absent: 'name another file',
  foreign: "name another file, or bring back a backup with 'secgroupd store restore'",
  newer: 'install the version of secgroupd that made it, or a newer one',
  corrupt:
    "stop what uses it, look with 'secgroupd store check', and bring back a backup with 'secgroupd store restore'",
  closed: 'open it again',
  gone: "stop what uses it, bring it back with 'secgroupd store restore' or by its name, and start again",
  failed: 'see what the kernel says of the disk (dmesg), and try again',
};

/** Makes the error of a store in a file. @param what happened, a part of a sentence */
export function fileError(
  path: string,
  fault: StoreFault,
  what: string,
  options: { readonly committed?: 'no' | 'unknown'; readonly cause?: unknown } = {},
): StoreError {
  const advice = ADVICE[fault].replace('{}', path);
  return new StoreError(fault, `the store ${path}: ${what}; ${advice}`, options);
}

export class Sqlite {
  readonly path: string;
  private readonly database: Libsql.Database;
  private readonly statements = new Map<string, Statement>();
  /** Whether commits do not wait for the disk now. */
  private mayLose = false;

  private constructor(path: string, name: string) {
    this.path = path;
    const Driver = loadDriver();
    this.database = this.guard(() => new Driver(name, { timeout: 0 }));
  }

  /**
   * Opens a file that is there.
   * @param path absolute
   * @param mode `ro` changes nothing of what is stored
   * @throws StoreError
   */
  static open(path: string, mode: 'rw' | 'ro'): Sqlite {
    // Without `mode` SQLite would make an empty file of a name that is not there.
    const name = path.split('/').map(encodeURIComponent).join('/');
    return new Sqlite(path, `file:${name}?mode=${mode}`);
  }

  /** Makes a database in memory. @param path the file that it is for, named in errors */
  static inMemory(path: string): Sqlite {
    return new Sqlite(path, ':memory:');
  }

  /** Runs statements that have no parameters and no answer. */
  exec(sql: string): void {
    this.guard(() => this.database.exec(sql));
  }

  run(sql: string, ...parameters: SqlValue[]): void {
    this.guard(() => this.prepared(sql).run(...parameters.map(bound)));
  }

  /** All rows of the answer, each as a list of its columns. */
  all<T extends readonly SqlValue[]>(sql: string, ...parameters: SqlValue[]): T[] {
    return this.guard(() => this.prepared(sql).all(...parameters.map(bound)) as T[]);
  }

  /** The first column of the first row; undefined if there is no row. */
  value(sql: string, ...parameters: SqlValue[]): SqlValue | undefined {
    return this.all<SqlValue[]>(sql, ...parameters)[0]?.[0];
  }

  /** Does `work`, which only reads, on one state of the file. */
  reading<T>(work: () => T): T {
    this.exec('BEGIN');
    try {
      return work();
    } finally {
      this.rollBack();
    }
  }

  /**
   * Does `work`, which may write. When this returns, what it wrote is on the disk; when it throws, see `committed`.
   * @param mayBeLost it is not on the disk before a later call is that does not say so
   */
  writing<T>(work: () => T, mayBeLost = false): T {
    if (mayBeLost !== this.mayLose) {
      this.exec(`PRAGMA synchronous = ${mayBeLost ? 'NORMAL' : 'FULL'}`);
      this.mayLose = mayBeLost;
    }
    this.exec('BEGIN IMMEDIATE');
    let result: T;
    try {
      result = work();
    } catch (error) {
      this.rollBack();
      throw error;
    }
    try {
      this.database.exec('COMMIT');
    } catch (error) {
      this.rollBack();
      throw this.translate(error, 'unknown');
    }
    return result;
  }

  close(): void {
    this.statements.clear();
    this.database.close();
  }

  /** SQLite has already rolled back what failed for a full or failing disk. */
  private rollBack(): void {
    if (this.database.inTransaction) this.exec('ROLLBACK');
  }

  private prepared(sql: string): Statement {
    let statement = this.statements.get(sql);
    if (statement === undefined) {
      statement = this.database.prepare<(SqlValue | bigint)[]>(sql);
      if (statement.reader) statement.raw();
      this.statements.set(sql, statement);
    }
    return statement;
  }

  private guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw this.translate(error, 'no');
    }
  }

  /** @param atIoError what became of a commit if the disk failed: it can have been written before it failed */
  private translate(error: unknown, atIoError: 'no' | 'unknown'): unknown {
    const code = codeOf(error);
    if (code === undefined) return error;
    const fault = code === SHM_SIZE ? 'full' : (FAULT_OF_CODE.get(code & 0xff) ?? 'failed');
    const committed = fault === 'failed' || fault === 'corrupt' ? atIoError : 'no';
    const what = (error as Error).message;
    return fileError(this.path, fault, what, { committed, cause: error });
  }
}

/** libsql makes a REAL of a number, 3.0 of 3. */
function bound(value: SqlValue): SqlValue | bigint {
  return typeof value === 'number' ? BigInt(value) : value;
}

/** The binary is an optional package, as npm has it for what is for one processor only. */
function loadDriver(): Driver {
  try {
    const require = createRequire(import.meta.url);
    return require('libsql') as Driver;
  } catch (cause) {
    const message = `there is no libsql for this machine (${process.platform}, ${process.arch}); install secgroupd again, without --omit=optional`;
    throw new StoreError('failed', message, { cause });
  }
}

/** SQLite's result code; undefined for errors that are not SQLite's. */
function codeOf(error: unknown): number | undefined {
  const { rawCode } = error as { rawCode?: number };
  if (rawCode !== undefined) return rawCode;
  // Opening has its own kind of error, with the code at the end of its text.
  const message = error instanceof Error ? error.message : '';
  const code = /^ConnectionFailed\(.*: (\d+)"\)$/.exec(message)?.[1];
  return code === undefined ? undefined : Number(code);
}
