/**
 * Decides which test files must run alone: those that read a clock, measure memory or processor time, or make
 * namespaces and daemons, themselves or by a helper of test/ that they import. So do those that say "Runs alone:" and
 * why. This is read from the text, so that no list must be kept; in doubt a file runs alone. A file that has such
 * things, but neither disturbs others nor is disturbed, says "Runs beside others:" and why.
 *
 * The tests of some folders start whole programs (systemd, dockerd, podman, packages) and mostly wait for them, as
 * long as it takes. They run beside others: one after the other they took a third of the whole run, with the processors idle.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

const ALONE = /\bRuns alone: /;
const MARKS =
  /\bperformance\.now\b|\bhrtime\b|\bmemoryUsage\b|\bcpuUsage\b|\bunshare\b|\brequireRoot\b|\bRuns alone: /;
const BESIDE = /\bRuns beside others: /;
const IMPORT = /\b(?:from|import) ['"](\.{1,2}\/[^'"]+)['"]/g;

const PATIENT = /\/test\/(?:docs|doors|packaging|run|systemd)\/[^/]+$/;

/** It only defines what others ask for. */
const SKIPPED = /\/src\/|\/support\/require\.js$/;

/** Whether it mostly waits for programs that it starts. @param file a compiled test file */
export function isPatient(file: string): boolean {
  return PATIENT.test(file) && !ALONE.test(readFileSync(file, 'utf8'));
}

/** @param file a compiled test file */
export function mustRunAlone(file: string): boolean {
  if (isPatient(file) || BESIDE.test(readFileSync(file, 'utf8'))) return false;
  return isMarked(file, new Set());
}

function isMarked(file: string, seen: Set<string>): boolean {
  if (seen.has(file)) return false;
  seen.add(file);
  const text = readFileSync(file, 'utf8');
  if (MARKS.test(text)) return true;
  return [...text.matchAll(IMPORT)]
    .map(([, path]) => join(dirname(file), path))
    .some((path) => !SKIPPED.test(path) && existsSync(path) && isMarked(path, seen));
}
