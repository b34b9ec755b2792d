/** When the loop's thread interrupts others, and when it stops doing so. */
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { Scheduling, type Waits } from '../../src/dataplane/scheduling.ts';

/** A kernel that says what the test has it say, and writes down what is asked of it. */
function rig(answer: () => boolean = () => true): {
  readonly asked: boolean[];
  /** A look after so many turns with such a wait each. */
  look: (nowMs: number, turns: number, waitUs: number) => void;
} {
  const asked: boolean[] = [];
  const kernel: Waits = { waitedNs: 0, turns: 0 };
  const setBatchScheduling = (isBatch: boolean): boolean => {
    asked.push(isBatch);
    return answer();
  };
  const scheduling = new Scheduling({ setBatchScheduling }, (waits) => {
    Object.assign(waits, kernel);
  });
  return {
    asked,
    look: (nowMs, count, waitUs) => {
      kernel.turns += count;
      kernel.waitedNs += count * waitUs * 1000;
      scheduling.review(nowMs);
    },
  };
}

test('interrupts nobody while its turns come soon', () => {
  const { asked, look } = rig();
  for (let nowMs = 0; nowMs < 10_000; nowMs += 50) look(nowMs, 500, 7);
  assert.deepEqual(asked, [true]);
});

test('interrupts again after one look at long waits, even if it had a single turn', () => {
  const { asked, look } = rig();
  look(0, 500, 7);
  look(50, 1, 4000);
  assert.deepEqual(asked, [true, false]);
});

test('waits from before it stopped interrupting do not count', () => {
  const { asked, look } = rig();
  look(0, 500, 4000);
  look(50, 500, 7);
  assert.deepEqual(asked, [true]);
});

test('tries again ever later while it fails, and soon once it has lasted', () => {
  const { asked, look } = rig();
  const triedMs: number[] = [];
  for (let nowMs = 0; nowMs < 40_000; nowMs += 50) {
    const before = asked.length;
    look(nowMs, 10, 4000);
    if (asked.length > before && asked.at(-1) === true) triedMs.push(nowMs);
  }
  // Given up 50 ms after each try; then 1, 2, 4, 8 and 16 s.
  assert.deepEqual(triedMs, [0, 1050, 3100, 7150, 15_200, 31_250]);
  const again = 40_000 + 64_000;
  look(again, 10, 7);
  for (let nowMs = again + 50; nowMs < again + 70_000; nowMs += 50) look(nowMs, 10, 7);
  look(again + 70_000, 10, 4000);
  look(again + 70_950, 10, 7);
  assert.deepEqual(asked.slice(-2), [true, false]);
  look(again + 71_000, 10, 7);
  assert.equal(asked.at(-1), true);
});

test('leaves a policy alone that somebody else chose, or that it may not change', () => {
  for (const answer of [
    () => false,
    () => {
      throw new Error('EPERM');
    },
  ]) {
    const { asked, look } = rig(answer);
    for (let nowMs = 0; nowMs < 5000; nowMs += 50) look(nowMs, 10, 4000);
    assert.deepEqual(asked, [true]);
  }
});

test('changes nothing where the kernel does not tell of waits', () => {
  let asked = 0;
  const setBatchScheduling = (): boolean => ++asked > 0;
  new Scheduling({ setBatchScheduling }, null).review(0);
  assert.equal(asked, 0);
});
