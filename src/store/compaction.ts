/**
 * Deletes the oldest history of a store, a little at a time: a step is one transaction of some hundred rows, so that a
 * commit waits for a few milliseconds at most. Every process that has the store open for writing does steps; which of
 * them makes no difference.
 */
import { setMeta, spanOf } from './rows.ts';
import type { Sqlite } from './sqlite.ts';

/** How much history is kept. What is beyond either bound is compacted. */
export interface HistoryLimits {
  readonly ageMs: number;
  /** Of former rows, and of revisions. */
  readonly rows: number;
}

/** Far more than a watch is behind, and than a page of an answer waits for the next. */
export const HISTORY_LIMITS: HistoryLimits = { ageMs: 15 * 60_000, rows: 20_000 };

/** A commit has at most 127 rows; 500 are deleted in some milliseconds. */
const STEP_ROWS = 500;
const STEP_REVISIONS = 500;

/**
 * Does one step, within a transaction of the caller.
 * @returns whether there is more to do. What came meanwhile is left for another time: else who compacts would write as
 *   often as all others together
 */
export function compactStep(sqlite: Sqlite, limits: HistoryLimits, now: Date): boolean {
  const { compacted, newest } = spanOf(sqlite);
  const tooOld = sqlite.value(
    `SELECT max(revision) FROM
       (SELECT revision, committed_at FROM revisions ORDER BY revision LIMIT ${STEP_REVISIONS})
     WHERE committed_at <= ?`,
    new Date(now.getTime() - limits.ageMs).toISOString(),
  );
  const target = Math.max(
    Number(tooOld ?? 0),
    newest - limits.rows,
    lastOfTooMany(sqlite, limits.rows),
  );
  if (target <= compacted) return false;
  const end = Math.min(target, compacted + STEP_REVISIONS, endOfStep(sqlite));
  compactTo(sqlite, end);
  return end < target;
}

/** Deletes the history up to a revision; reads at that revision are still possible. */
export function compactTo(sqlite: Sqlite, revision: number): void {
  sqlite.run('DELETE FROM former_rows WHERE ended_revision <= ?', revision);
  sqlite.run('DELETE FROM revisions WHERE revision <= ?', revision);
  setMeta(sqlite, 'compacted_revision', revision);
}

/** The revision that ended the last of the former rows beyond `most`; 0 if there are no more than those. */
function lastOfTooMany(sqlite: Sqlite, most: number): number {
  return Number(
    sqlite.value(
      `SELECT ended_revision FROM former_rows WHERE id = (SELECT max(id) FROM former_rows) - ?`,
      most,
    ) ?? 0,
  );
}

/** The revision with which a step of STEP_ROWS is complete; infinite if fewer rows are left. */
function endOfStep(sqlite: Sqlite): number {
  return Number(
    sqlite.value(
      `SELECT ended_revision FROM former_rows WHERE id = (SELECT min(id) FROM former_rows) + ?`,
      STEP_ROWS,
    ) ?? Infinity,
  );
}
