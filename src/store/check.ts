/**
 * Checks that a store is sound: what SQLite says of the file, and what must hold between the rows of its tables
 * (schema.ts). It changes nothing, and others may use the store meanwhile.
 */
import { statSync } from 'node:fs';
import { createTables, FORMAT, openFile } from './schema.ts';
import { spanOf, type Span } from './rows.ts';
import { Sqlite } from './sqlite.ts';
import { StoreError } from './store.ts';

/** What is wrong with a store. */
export interface StoreProblem {
  /** Stable kebab-case name. */
  readonly code: string;
  /** One sentence without a full stop. */
  readonly message: string;
}

export interface StoreReport {
  readonly file: string;
  readonly format: number;
  readonly revision: number;
  /** The oldest revision that can be read. */
  readonly compactedRevision: number;
  readonly rows: number;
  readonly formerRows: number;
  /** Of the file, without what is only in its -wal. */
  readonly bytes: number;
  /** Empty if all is well. */
  readonly problems: readonly StoreProblem[];
}

/** How many of a kind are told. */
const TOLD_MAX = 5;

/** Rules between rows. Each query finds keys that break it. `?1` is the compacted revision, `?2` the newest. */
const RULES: readonly (readonly [code: string, what: string, query: string])[] = [
  [
    'row-revisions',
    'rows with revisions that can not be',
    `SELECT key FROM current_rows
     WHERE NOT (1 <= create_revision AND create_revision <= revision AND revision <= ?2 AND ?1 <= ?2)`,
  ],
  [
    'former-row-revisions',
    'former rows with revisions that can not be',
    `SELECT key FROM former_rows
     WHERE NOT (1 <= create_revision AND create_revision <= revision AND revision < ended_revision
                AND ?1 < ended_revision AND ended_revision <= ?2)`,
  ],
  [
    'overlap',
    'keys with two values at one revision',
    `SELECT DISTINCT key FROM
       (SELECT key, ended_revision, lead(revision) OVER (PARTITION BY key ORDER BY revision) AS next FROM
         (SELECT key, revision, ended_revision FROM former_rows
          UNION ALL SELECT key, revision, NULL FROM current_rows))
     WHERE next IS NOT NULL AND (ended_revision IS NULL OR ended_revision > next) AND ?1 <= ?2`,
  ],
  [
    'lost-value',
    'former rows whose next value is missing, or is there though they were deleted',
    `SELECT key FROM former_rows AS former
     WHERE ?1 <= ?2 AND (ended_by = 'put') <>
       (EXISTS (SELECT 1 FROM current_rows AS next
                WHERE next.key = former.key AND next.revision = former.ended_revision)
        OR EXISTS (SELECT 1 FROM former_rows AS next
                   WHERE next.revision = former.ended_revision AND +next.key = former.key))`,
  ],
  [
    'lost-revision',
    'revisions of the history that are missing, or too many',
    `SELECT count(*) || ' in place of ' || (?2 - ?1) FROM revisions
     HAVING count(*) <> ?2 - ?1 OR min(revision) <= ?1 OR max(revision) > ?2`,
  ],
  [
    'key',
    'keys that no commit can have made',
    `SELECT quote(key) FROM
       (SELECT key, value FROM current_rows UNION ALL SELECT key, value FROM former_rows)
     WHERE ?1 <= ?2 AND
       (typeof(key) <> 'text' OR typeof(value) <> 'text' OR key = '' OR key GLOB '*[^ -~]*')`,
  ],
];

/**
 * Checks a store.
 * @param file absolute
 * @throws StoreError if it can't be read as a store at all
 */
export function checkStore(file: string): StoreReport {
  const sqlite = openFile(file, 'ro');
  try {
    return sqlite.reading(() => reportOn(sqlite));
  } finally {
    sqlite.close();
  }
}

function reportOn(sqlite: Sqlite): StoreReport {
  const problems: StoreProblem[] = [];
  /** Damage can keep a query from its end: that is told, and the rest is looked at. */
  const trying = <T>(fallback: T, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      problems.push({ code: 'unreadable', message: error.message });
      return fallback;
    }
  };
  trying(undefined, () => problems.push(...damageOf(sqlite), ...changedTables(sqlite)));
  const span = trying<Span>({ compacted: 0, newest: 0 }, () => spanOf(sqlite));
  for (const rule of RULES)
    trying(undefined, () => problems.push(...breachesOf(sqlite, rule, span)));
  const count = (table: string): number =>
    trying(0, () => Number(sqlite.value(`SELECT count(*) FROM ${table}`)));
  return {
    file: sqlite.path,
    format: FORMAT,
    revision: span.newest,
    compactedRevision: span.compacted,
    rows: count('current_rows'),
    formerRows: count('former_rows'),
    bytes: statSync(sqlite.path).size,
    problems,
  };
}

function damageOf(sqlite: Sqlite): StoreProblem[] {
  return sqlite
    .all<readonly [string]>(`PRAGMA integrity_check(${TOLD_MAX})`)
    .filter(([message]) => message !== 'ok')
    .map(([message]) => ({ code: 'damaged', message: message.replaceAll('\n', ' ') }));
}

/** Tables, indexes and triggers that are not as a new store has them. */
function changedTables(sqlite: Sqlite): StoreProblem[] {
  const fresh = Sqlite.inMemory(sqlite.path);
  createTables(fresh);
  const [found, right] = [sqlite, fresh].map((each) => tablesOf(each));
  fresh.close();
  return [...new Set([...found.keys(), ...right.keys()])]
    .filter((name) => found.get(name) !== right.get(name))
    .map((name) => ({
      code: 'changed-table',
      message: `${name} is ${right.has(name) ? (found.has(name) ? 'not as it was made' : 'missing') : 'none of ours'}`,
    }));
}

function tablesOf(sqlite: Sqlite): Map<string, string> {
  return new Map(
    sqlite.all<readonly [name: string, sql: string]>(
      "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name",
    ),
  );
}

function breachesOf(
  sqlite: Sqlite,
  [code, what, query]: (typeof RULES)[number],
  { compacted, newest }: Span,
): StoreProblem[] {
  const found = sqlite.all<readonly [string]>(
    `SELECT * FROM (${query}) LIMIT ${TOLD_MAX + 1}`,
    compacted,
    newest,
  );
  if (found.length === 0) return [];
  const told = found.slice(0, TOLD_MAX).map(([name]) => name);
  const more = found.length > TOLD_MAX ? ', …' : '';
  return [{ code, message: `${what}: ${told.join(', ')}${more}` }];
}
