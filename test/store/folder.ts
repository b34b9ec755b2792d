/** What the tests of stores in files share. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import {
  openSqliteStore,
  type SqliteStore,
  type SqliteStoreOptions,
} from '../../src/store/sqlite-store.ts';
import type { Scope } from '../support/scope.ts';

/** A folder that goes with the test. */
export function makeFolder(scope: Scope): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-store-'));
  scope.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A store that is closed with the test. */
export async function openStore(
  t: TestContext,
  file: string,
  options?: SqliteStoreOptions,
): Promise<SqliteStore> {
  const store = await openSqliteStore(file, options);
  t.after(() => store.close());
  return store;
}
