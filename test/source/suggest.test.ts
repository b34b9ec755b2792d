import assert from 'node:assert/strict';
import { test } from 'node:test';
import { closest, didYouMean, listWords } from '../../src/source/suggest.ts';
import { formatProblem } from '../../src/source/problem.ts';

test('the nearest word is found if it is near enough', () => {
  const known = ['ports', 'protocol', 'from', 'description', 'web'];
  const cases: readonly (readonly [string, string | undefined])[] = [
    ['portz', 'ports'],
    ['prot', undefined],
    ['PORTS', 'ports'],
    ['form', 'from'],
    ['descripton', 'description'],
    ['wbe', 'web'],
    ['colour', undefined],
    ['', undefined],
  ];
  for (const [word, expected] of cases) assert.equal(closest(word, known), expected, word);
  assert.equal(didYouMean('portz', known), "; did you mean 'ports'?");
  assert.equal(didYouMean('colour', known), '');
});

test('long lists are cut', () => {
  assert.equal(listWords([]), 'none');
  assert.equal(listWords(['a', 'b']), 'a, b');
  assert.equal(
    listWords(Array.from({ length: 14 }, (_, i) => `w${i}`)),
    'w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11 and 2 more',
  );
});

test('problems read like those of a compiler', () => {
  const problem = { severity: 'error', code: 'x', path: 'a.b', message: 'wrong' } as const;
  assert.equal(
    formatProblem({ ...problem, at: { file: 'f', line: 2, column: 3 }, hint: 'do it' }),
    'f:2:3: error: wrong [a.b]\n    do it',
  );
  assert.equal(
    formatProblem({ ...problem, path: '', at: { file: 'f', line: 0, column: 0 } }),
    'f: error: wrong',
  );
  assert.equal(formatProblem({ ...problem, at: undefined }), 'error: wrong [a.b]');
});
