/** What counts as a verdict of no revision. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrongVerdicts } from './verdicts.ts';

const STATES = [
  { port: 1, revision: 10, startedMs: 0 },
  { port: 2, revision: 20, startedMs: 1000 },
  { port: 3, revision: 30, startedMs: 2000 },
];
const ACKNOWLEDGED = [
  { revision: 12, knownMs: 500 },
  { revision: 20, knownMs: 1500 },
];

function isWrong(port: number, sentMs: number, answeredMs: number | undefined): boolean {
  return wrongVerdicts([{ port, sentMs, answeredMs }], STATES, ACKNOWLEDGED, 100).length > 0;
}

test('a verdict is of a revision between the last acknowledged one and the newest', () => {
  // Before the second state was asked for, only the first can be.
  assert.deepEqual(
    [1, 2, 3].map((port) => isWrong(port, 600, 610)),
    [false, true, true],
  );
  assert.deepEqual(
    [1, 2, 3].map((port) => isWrong(port, 600, undefined)),
    [true, false, false],
  );
  // The second may be in force: nobody has said so.
  assert.deepEqual(
    [1, 2, 3].map((port) => isWrong(port, 1200, 1210)),
    [false, false, true],
  );
  assert.equal(isWrong(2, 1200, undefined), false);
  // It was asked for while the packet was under way.
  assert.equal(isWrong(2, 950, 1010), false);
  assert.equal(isWrong(1, 950, undefined), false);
  // Acknowledged: the first is over.
  assert.deepEqual(
    [1, 2, 3].map((port) => isWrong(port, 1600, 1610)),
    [true, false, true],
  );
  assert.equal(isWrong(2, 1600, undefined), true);
});
