/** The clock of the whole machine's processors, beside that of this process. */
import assert from 'node:assert/strict';
import { cpus } from 'node:os';
import { test } from 'node:test';
import { ProcessorClock } from './processor-clock.ts';

/** /proc/stat counts in hundredths of a second, for each processor. */
const GRAIN_SEC = 0.01;
const WORK_MS = 500;

test('the whole machine takes at least what this process does, and no more than there is', () => {
  const grainSec = GRAIN_SEC * (cpus().length + 1);
  const ownBefore = process.cpuUsage();
  const clock = new ProcessorClock();
  const beganMs = performance.now();
  while (performance.now() - beganMs < WORK_MS);
  const sec = clock.seconds();
  const elapsedSec = (performance.now() - beganMs) / 1000;
  const { user, system } = process.cpuUsage(ownBefore);
  assert.ok(sec >= (user + system) / 1e6 - 2 * grainSec, `${sec} of ${(user + system) / 1e6}`);
  assert.ok(sec <= cpus().length * elapsedSec + grainSec, `${sec} in ${elapsedSec}`);
});
