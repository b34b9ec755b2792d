#!/usr/bin/env -S node --single-threaded-gc
/**
 * secgroupd: what takes longest to start first, then all the rest. What is imported here is a bundle once the build
 * is done (scripts/bundle).
 *
 * Its collector stays on its thread: on the others it would take turns from the packet loop, and wake them up when
 * the daemon is idle.
 */
import { startEarlyThread } from './dataplane/early-thread.ts';

if (process.argv[2] !== 'doctor') startEarlyThread();
try {
  await import('./control/start.ts');
} catch (error) {
  // There is no log yet, as where the addon does not load, or too few files may be open to load the rest.
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`could not start: ${message}\n`);
  process.exitCode = 1;
}
