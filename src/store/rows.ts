/** What the tables of a store are asked (schema.ts). Each function runs within a transaction of the caller. */
import { fileError, type Sqlite, type SqlValue } from './sqlite.ts';
import { endOfPrefix } from './limits.ts';
import { CompactedError, type Change, type Commit, type Outcome, type Row } from './store.ts';

type Columns = readonly [key: string, value: string, createRevision: number, revision: number];

function rowOf([key, value, createRevision, revision]: Columns): Row {
  return { key, value, createRevision, revision };
}

/** The revisions of which a store can tell: reads from `compacted` on, changes after it. */
export interface Span {
  readonly compacted: number;
  readonly newest: number;
}

export function spanOf(sqlite: Sqlite): Span {
  return { compacted: metaNumber(sqlite, 'compacted_revision'), newest: newestRevision(sqlite) };
}

export function newestRevision(sqlite: Sqlite): number {
  return metaNumber(sqlite, 'revision');
}

function metaNumber(sqlite: Sqlite, name: string): number {
  const value = sqlite.value('SELECT value FROM meta WHERE name = ?', name);
  if (!Number.isSafeInteger(value))
    throw fileError(sqlite.path, 'corrupt', `its table meta has no ${name}`);
  return value as number;
}

export function setMeta(sqlite: Sqlite, name: string, value: SqlValue): void {
  sqlite.run('UPDATE meta SET value = ?2 WHERE name = ?1', name, value);
}

export interface PartOfRows {
  readonly revision: number;
  readonly rows: Row[];
}

/**
 * Reads the first rows from a key on.
 * @param from the first key that may be among them
 * @param revision as of when; undefined for now
 * @param most how many
 */
export function readRows(
  sqlite: Sqlite,
  prefix: string,
  from: string,
  revision: number | undefined,
  most: number,
): PartOfRows {
  const { compacted, newest } = spanOf(sqlite);
  const at = revision ?? newest;
  if (at < compacted || at > newest) throw new CompactedError(at, compacted, newest);
  const end = endOfPrefix(prefix);
  const columns =
    at === newest
      ? sqlite.all<Columns>(
          `SELECT key, value, create_revision, revision FROM current_rows
           WHERE key >= ?1 AND key < ?2 ORDER BY key LIMIT ?3`,
          from,
          end,
          most,
        )
      : sqlite.all<Columns>(
          `SELECT key, value, create_revision, revision FROM current_rows
           WHERE key >= ?1 AND key < ?2 AND revision <= ?4
           UNION ALL
           SELECT key, value, create_revision, revision FROM former_rows
           WHERE ended_revision > ?4 AND revision <= ?4 AND +key >= ?1 AND +key < ?2
           ORDER BY key LIMIT ?3`,
          from,
          end,
          most,
          at,
        );
  return { revision: at, rows: columns.map(rowOf) };
}

export interface PartOfChanges {
  readonly changes: Change[];
  /** All changes up to here are in this part or before it. */
  readonly upTo: number;
}

/** Reads what came after a revision below a prefix. @param most revisions at which it looks */
export function readChanges(
  sqlite: Sqlite,
  prefix: string,
  after: number,
  most: number,
): PartOfChanges {
  const { compacted, newest } = spanOf(sqlite);
  if (after < compacted || after > newest) throw new CompactedError(after, compacted, newest);
  const upTo = Math.min(newest, after + most);
  const end = endOfPrefix(prefix);
  const puts = sqlite.all<Columns>(
    `SELECT key, value, create_revision, revision FROM current_rows
     WHERE revision > ?3 AND revision <= ?4 AND +key >= ?1 AND +key < ?2
     UNION ALL
     SELECT key, value, create_revision, revision FROM former_rows
     WHERE revision > ?3 AND revision <= ?4 AND +key >= ?1 AND +key < ?2
     ORDER BY key`,
    prefix,
    end,
    after,
    upTo,
  );
  const deletes = sqlite.all<readonly [key: string, revision: number]>(
    `SELECT key, ended_revision FROM former_rows
     WHERE ended_revision > ?3 AND ended_revision <= ?4 AND ended_by = 'delete' AND +key >= ?1 AND +key < ?2
     ORDER BY key`,
    prefix,
    end,
    after,
    upTo,
  );
  const changes = new Map<number, { revision: number; puts: Row[]; deletes: string[] }>();
  const changeAt = (revision: number) => {
    const change = changes.get(revision) ?? { revision, puts: [], deletes: [] };
    changes.set(revision, change);
    return change;
  };
  for (const columns of puts) changeAt(columns[3]).puts.push(rowOf(columns));
  for (const [key, revision] of deletes) changeAt(revision).deletes.push(key);
  return { changes: [...changes.values()].sort((a, b) => a.revision - b.revision), upTo };
}

/** Does a commit, or says what it conflicts with. */
export function applyCommit(
  sqlite: Sqlite,
  { conditions, puts, deletes }: Commit,
  now: Date,
): Outcome {
  const keys = conditions
    .filter(({ key, revision }) => revision !== (revisionOf(sqlite, key) ?? 0))
    .map(({ key }) => key);
  if (keys.length > 0) return { kind: 'conflict', keys };
  const newest = newestRevision(sqlite);
  const gone = deletes.filter((key) => revisionOf(sqlite, key) !== undefined);
  if (puts.length === 0 && gone.length === 0) return { kind: 'committed', revision: newest };
  const revision = newest + 1;
  for (const { key, value } of puts) {
    keepFormer(sqlite, key, revision, 'put');
    sqlite.run(
      `INSERT INTO current_rows VALUES (?1, ?2, ?3, ?3)
       ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision`,
      key,
      value,
      revision,
    );
  }
  for (const key of gone) {
    keepFormer(sqlite, key, revision, 'delete');
    sqlite.run('DELETE FROM current_rows WHERE key = ?', key);
  }
  sqlite.run('INSERT INTO revisions VALUES (?, ?)', revision, now.toISOString());
  setMeta(sqlite, 'revision', revision);
  return { kind: 'committed', revision };
}

function revisionOf(sqlite: Sqlite, key: string): number | undefined {
  return sqlite.value('SELECT revision FROM current_rows WHERE key = ?', key) as number | undefined;
}

function keepFormer(sqlite: Sqlite, key: string, revision: number, by: 'put' | 'delete'): void {
  sqlite.run(
    `INSERT INTO former_rows (key, value, create_revision, revision, ended_revision, ended_by)
     SELECT key, value, create_revision, revision, ?2, ?3 FROM current_rows WHERE key = ?1`,
    key,
    revision,
    by,
  );
}
