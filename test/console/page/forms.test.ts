/** Addresses of views, questions, drafts, tables and the matrix, as the page makes them of what is typed and answered. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  draftOf,
  isSameDraft,
  rowOfPath,
  rowsOf,
} from '../../../src/console/page/logic/draft-rows.ts';
import { flowsPath, NO_FLOW_FILTER } from '../../../src/console/page/logic/flow-filter.ts';
import {
  matrixRows,
  matrixTable,
  questionOfCell,
} from '../../../src/console/page/logic/matrix-table.ts';
import { readQuestion, writeQuestion } from '../../../src/console/page/logic/question-parts.ts';
import { parseRoute, routeHash, tokenIn } from '../../../src/console/page/logic/route.ts';
import { rowWindow } from '../../../src/console/page/logic/row-window.ts';
import { sortRows } from '../../../src/console/page/logic/sort-rows.ts';
import type { MatrixView } from '../../../src/console/contract.ts';

test('an address names a view and what it is about', () => {
  const hash = routeHash('why', { q: 'a -> b tcp 1' });
  assert.deepEqual(parseRoute(hash), { view: 'why', parameters: { q: 'a -> b tcp 1' } });
  assert.deepEqual(parseRoute('#/live'), { view: 'live', parameters: {} });
  for (const nonsense of ['', '#', '#/', '#/nowhere', '#token=abc', '#/__proto__'])
    assert.deepEqual(parseRoute(nonsense), { view: 'map', parameters: {} });
});

test('a token is what sgctl prints, and nothing else', () => {
  assert.equal(tokenIn('#token=aB3_-x'), 'aB3_-x');
  for (const hash of ['', '#token=', '#token=a b', '#/map?token=x', '#token=<x>'])
    assert.equal(tokenIn(hash), undefined);
});

test('a question comes apart and together again', () => {
  const text = 'web -> db tcp 5432';
  assert.deepEqual(readQuestion(text), { from: 'web', to: 'db', service: 'tcp', detail: '5432' });
  assert.equal(writeQuestion(readQuestion(text)), text);
  assert.deepEqual(readQuestion('a→b icmp echo').to, 'b');
  assert.deepEqual(readQuestion(''), { from: '', to: '', service: 'tcp', detail: '' });
});

test('flows are asked for with the words that are not empty', () => {
  assert.equal(
    flowsPath({ ...NO_FLOW_FILTER, interface: ' eni 1&x ', port: '443' }),
    'flows?interface=eni+1%26x&port=443&sort=bytes&limit=2000',
  );
});

test('a draft that nobody touched is the group as it is', () => {
  const now = {
    group: 'web',
    ingress: [
      { protocol: 'tcp', ports: '443', peer: '0.0.0.0/0', description: 'all' },
      { protocol: 'icmp', type: '8', code: '0', peer: 'sg:web' },
      { protocol: '47', peer: '10.0.0.0/8', audit: true },
    ],
    egress: [],
  };
  const draft = draftOf('web', rowsOf(now));
  assert.deepEqual(draft, now);
  assert.ok(isSameDraft(draft, now));
  assert.ok(!isSameDraft({ ...now, egress: [now.ingress[0]] }, now));
});

test('fields that a protocol has not are left out', () => {
  const [row] = rowsOf({
    group: 'g',
    ingress: [{ protocol: 'tcp', ports: '1', peer: 'p' }],
    egress: [],
  }).ingress;
  const rule = (change: object) =>
    draftOf('g', { ingress: [{ ...row, ...change }], egress: [] }).ingress[0];
  assert.deepEqual(rule({ protocol: 'all' }), { protocol: 'all', peer: 'p' });
  assert.deepEqual(rule({ protocol: 'icmp', type: ' 8 ' }), {
    protocol: 'icmp',
    type: '8',
    peer: 'p',
  });
  assert.deepEqual(rule({ ports: ' ' }), { protocol: 'tcp', peer: 'p' });
});

test('a problem is shown at its rule', () => {
  assert.deepEqual(rowOfPath('egress[12].ports'), { direction: 'egress', row: 12, field: 'ports' });
  assert.deepEqual(rowOfPath('ingress[0]'), { direction: 'ingress', row: 0, field: '' });
  assert.equal(rowOfPath('quotas'), undefined);
});

test('rows in sight are in the document, and the others have their height', () => {
  fc.assert(
    fc.property(
      fc.nat(5000),
      fc.nat(200_000),
      fc.integer({ min: 1, max: 2000 }),
      (count, top, height) => {
        const { first, end, above, below } = rowWindow(count, 32, top, height);
        assert.ok(0 <= first && first <= end && end <= count);
        assert.equal(above + (end - first) * 32 + below, count * 32);
        assert.ok(end - first <= Math.ceil(height / 32) + 21);
        for (let row = Math.floor(top / 32); row * 32 < top + height && row < count; row++)
          assert.ok(first <= row && row < end, `row ${row}`);
      },
    ),
  );
});

test('names with numbers are sorted by the numbers', () => {
  const sort = (isDescending: boolean) =>
    sortRows(['eni-10', 'eni-9', 'eni-1'], (name) => name, isDescending);
  assert.deepEqual(sort(false), ['eni-1', 'eni-9', 'eni-10']);
  assert.deepEqual(sort(true), ['eni-10', 'eni-9', 'eni-1']);
  assert.deepEqual(
    sortRows([3, 20, 1], (n) => n, true),
    [20, 3, 1],
  );
});

const MATRIX: MatrixView = {
  generation: 1,
  ends: [
    { label: '0.0.0.0/0', kind: 'outside' },
    { label: 'web', kind: 'interfaces' },
    { label: 'two words', kind: 'interfaces' },
    { label: '=evil()', kind: 'outside' },
  ],
  cells: [
    { from: 0, to: 1, services: ['tcp 443', 'udp 53'] },
    { from: 1, to: 2, services: ['tcp 22'], isPerhaps: true },
  ],
};

test('the matrix has each interface, and of the world what has a cell', () => {
  const table = matrixTable(MATRIX, []);
  assert.deepEqual(matrixRows(table), [
    ['from \\ to', 'web', 'two words'],
    ['0.0.0.0/0', 'tcp 443; udp 53', ''],
    ['web', '', 'tcp 22 (perhaps)'],
    ['two words', '', ''],
  ]);
  assert.deepEqual(matrixRows(matrixTable(MATRIX, ['two'])), [
    ['from \\ to', 'two words'],
    ['web', 'tcp 22 (perhaps)'],
    ['two words', ''],
  ]);
});

test('a cell leads to a question, if its ends can be asked about', () => {
  const [world, web, two] = MATRIX.ends;
  assert.equal(questionOfCell(world, web, ['tcp 443']), '0.0.0.0/0 -> web tcp 443');
  assert.equal(questionOfCell(web, two, ['tcp 443']), undefined);
});
