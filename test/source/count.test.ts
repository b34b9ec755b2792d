/** Numbers of things in messages. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { count } from '../../src/source/count.ts';

test('one is one, and none and more are several', () => {
  assert.deepEqual(
    [0, 1, 2].map((amount) => count(amount, 'warning')),
    ['0 warnings', '1 warning', '2 warnings'],
  );
  assert.deepEqual(
    [1, 2].map((amount) => count(amount, 'entry')),
    ['1 entry', '2 entries'],
  );
  assert.equal(count(2, 'key'), '2 keys');
  assert.equal(count(1200, 'flow', '1,200'), '1,200 flows');
});
