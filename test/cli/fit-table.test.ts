/** Tables that fit, and figures as people read them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cut, tableLines, type Column } from '../../src/cli/fit-table.ts';
import {
  formatAgo,
  formatBitRate,
  formatBytes,
  formatClock,
  formatCount,
  formatDuration,
} from '../../src/cli/units.ts';
import { parseDuration } from '../../src/source/duration.ts';

const COLUMNS: readonly Column[] = [
  { title: 'name', min: 6 },
  { title: 'count', align: 'right' },
  { title: 'rule', min: 8 },
];
const ROWS = [
  ['eni-web-1', '7', 'tcp 443 from 0.0.0.0/0'],
  ['db', '12345', 'all'],
];

test('as wide as it gets where nobody looks', () => {
  assert.deepEqual(tableLines(COLUMNS, ROWS, undefined), [
    'name       count  rule',
    'eni-web-1      7  tcp 443 from 0.0.0.0/0',
    'db         12345  all',
  ]);
});

test('what may be cut is cut, the right column first; nothing wraps', () => {
  assert.deepEqual(tableLines(COLUMNS, ROWS, 30), [
    'name       count  rule',
    'eni-web-1      7  tcp 443 fro…',
    'db         12345  all',
  ]);
  assert.deepEqual(tableLines(COLUMNS, ROWS, 24), [
    'name     count  rule',
    'eni-we…      7  tcp 443…',
    'db       12345  all',
  ]);
  assert.deepEqual(tableLines(COLUMNS, ROWS, 12), ['name    cou…', 'eni-w…     …', 'db      123…']);
});

test('no line is ever longer than the terminal', () => {
  const cell = fc.string({ maxLength: 40 });
  fc.assert(
    fc.property(
      fc.array(fc.tuple(cell, cell, cell), { maxLength: 5 }),
      fc.integer({ min: 1, max: 120 }),
      (rows, width) => {
        for (const line of tableLines(COLUMNS, rows, width)) assert.ok(line.length <= width, line);
      },
    ),
  );
});

test('a cell cannot steer the terminal', () => {
  const [, line] = tableLines([{ title: 'name' }], [['\x1b[2Jgone\r']], undefined);
  assert.equal(line, '\ufffd[2Jgone\ufffd');
});

test('cut', () => {
  assert.deepEqual(
    [cut('abc', 3), cut('abcd', 3), cut('abcd', 1), cut('abcd', 0)],
    ['abc', 'ab…', '…', ''],
  );
});

test('counts, bytes and rates', () => {
  const cases: [string, string][] = [
    [formatCount(0), '0'],
    [formatCount(9999), '9999'],
    [formatCount(10_000), '10.0k'],
    [formatCount(999_949), '999.9k'],
    [formatCount(999_950), '1.0M'],
    [formatBytes(0), '0 B'],
    [formatBytes(999), '999 B'],
    [formatBytes(1500), '1.5 kB'],
    [formatBytes(2 ** 53), '9.0 PB'],
    [formatBitRate(125_000), '1.0 Mb/s'],
  ];
  for (const [found, wanted] of cases) assert.equal(found, wanted);
});

test('durations and moments', () => {
  const cases: [string, string][] = [
    [formatDuration(0), '0 s'],
    [formatDuration(4250), '4.2 s'],
    [formatDuration(59_999), '59 s'],
    [formatDuration(185_000), '3m 05s'],
    [formatDuration(2 * 3_600_000 + 7 * 60_000), '2h 07m'],
    [formatDuration(432_000_000 - 1), '4d 23h'],
    [formatAgo(undefined), 'never'],
    [formatAgo(1000, 61_000), '1m 00s ago'],
    [formatAgo(2000, 1000), '0 s ago'],
    [formatClock(new Date(2026, 0, 2, 3, 4, 5, 6).getTime()), '03:04:05.006'],
  ];
  for (const [found, wanted] of cases) assert.equal(found, wanted);
  const read: [string, number | undefined][] = [
    ['30', 30_000],
    ['500ms', 500],
    ['1.5m', 90_000],
    ['2h', 7_200_000],
    ['1d', 86_400_000],
    ['', undefined],
    ['5 m', undefined],
    ['-1s', undefined],
    ['1w', undefined],
  ];
  for (const [text, wanted] of read) assert.equal(parseDuration(text), wanted, text);
});
