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
await import('./control/start.ts');
