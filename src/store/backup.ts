/**
 * Writes a store to another file while it is in use. The backup is a store itself, of one revision and without its
 * history's free space; the sqlite3 program reads it.
 */
import { chmodSync, linkSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { checkStore, type StoreReport } from './check.ts';
import { syncFile } from './files.ts';
import { isThere, openFile, systemError } from './schema.ts';
import { fileError } from './sqlite.ts';
import { StoreError } from './store.ts';

/** Whoever may read backups is for their owner to say. */
const BACKUP_MODE = 0o600;

/**
 * Makes a backup. The file appears complete and on the disk, or not at all.
 * @param store absolute
 * @param target absolute; not there yet, since a backup that fails must not cost the one before
 * @returns what is in the backup
 * @throws StoreError
 */
export function backUpStore(store: string, target: string): StoreReport {
  if (isThere(target)) throw notReplaced(target);
  const partial = `${target}.partial-${process.pid}`;
  try {
    copyStore(store, partial);
    chmodSync(partial, BACKUP_MODE);
    syncFile(partial);
    const report = checkStore(partial);
    if (report.problems.length > 0) throw unsound(store, report);
    linkSync(partial, target);
    syncFile(dirname(target));
    return { ...report, file: target };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') throw notReplaced(target);
    throw systemError(target, error);
  } finally {
    rmSync(partial, { force: true });
  }
}

/** Copies what is in a store at one revision, as SQLite reads it. @param target not there yet */
export function copyStore(store: string, target: string): void {
  const sqlite = openFile(store, 'ro');
  try {
    sqlite.run('VACUUM INTO ?', target);
  } finally {
    sqlite.close();
  }
}

/** The error of a store that is not to be copied. */
export function unsound(store: string, { problems }: StoreReport): StoreError {
  return fileError(store, 'corrupt', problems.map(({ message }) => message).join('; '));
}

function notReplaced(target: string): StoreError {
  return new StoreError('failed', `${target} is there already; name a file that is not there yet`);
}
