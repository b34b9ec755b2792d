/**
 * Decides how a test file is run: beside others, beside others in a box (box.ts), or alone. This is read from the text of
 * the compiled file and of the helpers in test/ that it imports, so that no list must be kept.
 *
 * - Alone runs what measures memory or processor time, itself or by a helper, what reads a clock itself, and what
 *   says "Runs alone:" and why. It would measure what runs beside it. In doubt a file runs alone. One that has such things, but
 *   is not disturbed, says "Runs beside others:" and why: a clock that only says when to stop waiting is no reason.
 * - In a box runs what makes namespaces and daemons, itself or by a helper, whether alone or not, and what says
 *   "Runs in a box:" and why. Where no box can be made it runs alone.
 * - The tests of some folders start whole programs (systemd, dockerd, podman, packages). They make boxes of their own,
 *   or need the machine as it is.
 *
 * The order is such that no long file is left for the end, when the other processors would have nothing to do. First
 * are those that say "Starts early:" and why, then those of whole programs.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const SAYS_ALONE = /\bRuns alone: /;
const SAYS_BESIDE = /\bRuns beside others: /;
const SAYS_EARLY = /\bStarts early: /;
const CLOCK = /\bperformance\.now\b|\bhrtime\b/;
const MEASURE = /\bmemoryUsage\b|\bcpuUsage\b/;
/** `freePorts`: ports that were free a moment ago are free again only where nobody else is (etcd.ts). */
const NAMESPACES = /\bunshare\b|\brequireRoot\b|\bfreePorts\b|\bRuns in a box: /;
const IMPORT = /\b(?:from|import) ['"](\.{1,2}\/[^'"]+)['"]/g;

const WHOLE_PROGRAMS = /\/test\/(?:docs|doors|packaging|run|systemd)\/[^/]+$/;

/** It only defines what others ask for. */
const SKIPPED = /\/src\/|\/support\/(?:require|box)\.js$/;

export interface Placement {
  readonly file: string;
  readonly isAlone: boolean;
  readonly isBoxed: boolean;
  /** Smaller ones start first. */
  readonly rank: number;
}

/** @param file a compiled test file @param hasBoxes whether a box can be made */
export function placementOf(file: string, hasBoxes: boolean): Placement {
  const text = readFileSync(file, 'utf8');
  const isWhole = WHOLE_PROGRAMS.test(file);
  const needsBox = !isWhole && isMarked(file, NAMESPACES);
  const isMeasuring = !isWhole && (CLOCK.test(text) || isMarked(file, MEASURE));
  const isAlone =
    !SAYS_BESIDE.test(text) && (SAYS_ALONE.test(text) || isMeasuring || (needsBox && !hasBoxes));
  const rank = SAYS_EARLY.test(text) ? 0 : isWhole ? 1 : 2;
  return { file, isAlone, isBoxed: needsBox && hasBoxes, rank };
}

function isMarked(file: string, mark: RegExp, seen = new Set<string>()): boolean {
  if (seen.has(file)) return false;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  if (mark.test(text)) return true;
  return [...text.matchAll(IMPORT)]
    .map(([, path]) => join(dirname(file), path))
    .some((path) => !SKIPPED.test(path) && existsSync(path) && isMarked(path, mark, seen));
}
