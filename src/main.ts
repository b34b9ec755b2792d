#!/usr/bin/env -S node --single-threaded-gc
/**
 * secgroupd: what takes longest to start first, then all the rest. In dist/ this file and what it imports are a bundle
 * (scripts/bundle).
 *
 * Its collector stays on its thread: on the others it would take turns from the packet loop, and wake them up when
 * the daemon is idle.
 */
import { statSync } from 'node:fs';
import { startEarlyThread } from './dataplane/early-thread.ts';

warnIfStale();
if (process.argv[2] !== 'doctor' && process.argv[2] !== 'store') startEarlyThread();
try {
  await import('./daemon/start.ts');
} catch (error) {
  // There is no log yet, as where the addon does not load, or too few files may be open to load the rest.
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`could not start: ${message}${hintOf(error)}\n`);
  process.exitCode = 1;
}

/** The addon says the same of its own calls. */
function hintOf(error: unknown): string {
  const isFull = error instanceof Error && 'code' in error && error.code === 'EMFILE';
  return isFull
    ? '; the limit of open files is too low: raise LimitNOFILE= of the service, or ulimit -n'
    : '';
}

/** Says so where this is a bundle in a source tree, and tsc has compiled something since it was made. */
function warnIfStale(): void {
  const [bundled, compiled] = ['../inputs.sha256', '../../../build/tsconfig.tsbuildinfo'].map(
    (path) => statSync(new URL(path, import.meta.url), { throwIfNoEntry: false })?.mtimeMs,
  );
  if (bundled !== undefined && compiled !== undefined && compiled > bundled)
    process.stderr.write('dist/ is older than what was compiled last: run scripts/build\n');
}
