/** Strangers' text is shown so that it deceives nobody, and is saved so that no spreadsheet runs it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { csvText } from '../../../src/console/page/logic/csv.ts';
import {
  formatAgo,
  formatBitRate,
  formatBytes,
  formatCount,
  formatDuration,
  formatEnd,
} from '../../../src/console/page/logic/format.ts';
import { matchesWords, wordsOf } from '../../../src/console/page/logic/search-words.ts';
import { shown, shownShort } from '../../../src/console/page/logic/shown.ts';

for (const [text, expected] of [
  ['web-1', 'web-1'],
  ['größe 東京 🚀', 'größe 東京 🚀'],
  ['<img src=x onerror=alert(1)>', '<img src=x onerror=alert(1)>'],
  ['a\u202eb', 'a\\u{202e}b'],
  ['\u2066x\u2069', '\\u{2066}x\\u{2069}'],
  ['a\nb\tc\0', 'a\\u{a}b\\u{9}c\\u{0}'],
  ['a\u200bb\u00ad', 'a\\u{200b}b\\u{ad}'],
  ['a\u{e0041}', 'a\\u{e0041}'],
  ['a\u3164b', 'a\\u{3164}b'],
  ['\ud800', '\\u{d800}'],
] as const)
  test(`shown ${JSON.stringify(text)}`, () => assert.equal(shown(text), expected));

test('what is shown has nothing invisible, whatever it was', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(shown(text), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
    }),
  );
});

test('a long text is cut at a whole character', () => {
  assert.equal(shownShort('🚀🚀🚀🚀', 3), '🚀🚀…');
  assert.equal(shownShort('abc', 3), 'abc');
});

test('CSV quotes what needs it, and disarms formulas', () => {
  assert.equal(
    csvText([['a', 'b,c', 'd"e'], ['=cmd()', '+1', '-1', '@x', '1-1', ''], ['two\nlines']]),
    `a,"b,c","d""e"\r\n'=cmd(),'+1,'-1,'@x,1-1,\r\n"two\nlines"\r\n`,
  );
});

test('numbers have three digits at most', () => {
  assert.deepEqual(
    [0, 0.5, 7, 41.3, 999, 1000, 1234, 9960, 35_000, 999_700, 1e15].map(formatCount),
    ['0', '0.5', '7', '41', '999', '1.0 k', '1.2 k', '10 k', '35 k', '1.0 M', '1000 T'],
  );
  assert.equal(formatBytes(1536), '1.5 KiB');
  assert.equal(formatBitRate(125_000), '1.0 Mbit/s');
});

test('times', () => {
  assert.deepEqual([0, 999, 1000, 119_999, 120_000, 7_200_000, 200_000_000].map(formatDuration), [
    '0 ms',
    '999 ms',
    '1 s',
    '119 s',
    '2 min',
    '2 h',
    '2 d',
  ]);
  assert.equal(formatAgo(1000, 500), 'now');
  assert.equal(formatAgo(0, 5000), '5 s ago');
  assert.equal(formatEnd('fd00::1', 80), '[fd00::1]:80');
  assert.equal(formatEnd('10.0.0.1', 0), '10.0.0.1');
});

test('all words have to be somewhere', () => {
  const texts = ['eni-web-1', '10.0.0.11'];
  assert.ok(matchesWords(wordsOf(' WEB  10.0'), texts));
  assert.ok(!matchesWords(wordsOf('web 10.1'), texts));
  assert.ok(matchesWords(wordsOf('  '), []));
});
