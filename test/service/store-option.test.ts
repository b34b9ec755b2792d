/** What `--stale` and `--fence` take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseFence, parseStale } from '../../src/service/store-option.ts';

test('for how long old news counts is a duration like any other', () => {
  assert.equal(parseStale('keep'), Infinity);
  for (const [text, ms] of [
    ['1s', 1000],
    ['90', 90_000],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
  ] as const)
    assert.equal(parseStale(`deny-new-after:${text}`), ms);
  for (const text of [
    '',
    'Keep',
    'deny-new-after',
    'deny-new-after:',
    'deny-new-after:x',
    'deny-new-after:-1s',
    'deny-new-after:999999999999999d',
    '10m',
  ])
    // prettier-ignore
    assert.throws(() => parseStale(text), /it is 'keep', or 'deny-new-after:' and 90s, 10m or 2h/, text);
});

test('a fence is there or not', () => {
  assert.deepEqual([parseFence('none'), parseFence('lease')], ['none', 'lease']);
  for (const text of ['', 'Lease', 'lease:10s']) assert.throws(() => parseFence(text), /it is 'none' or 'lease'/, text); // prettier-ignore
});
