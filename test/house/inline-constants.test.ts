/** The build writes constants where they are used and calls functions by constants. It changes nothing else. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { constantsOf, inlineConstants } from '../../scripts/inline/constants.ts';
import { bindFunctions, functionsOf, restoreConstants } from '../../scripts/inline/functions.ts';

const OTHER = new Map([
  ['LIMIT', 5],
  ['NONE', -1],
  ['RATIO', 0.5],
]);

function inline(code: string, own: ReadonlyMap<string, number> = new Map()): string {
  return inlineConstants(code, own, (specifier) => (specifier === './o.js' ? OTHER : undefined));
}

const IMPORT = "import { LIMIT, NONE as NOT, twice } from './o.js';\n";

for (const [code, expected] of [
  ['f(LIMIT, -NOT, twice(LIMIT));', 'f(5, -(-1), twice(5));'],
  ['const a = LIMIT; a.LIMIT = b[LIMIT];', 'const a = 5; a.LIMIT = b[5];'],
  ['const a = { LIMIT: LIMIT, LIMIT, [LIMIT]: 1 };', 'const a = { LIMIT: 5, LIMIT, [5]: 1 };'],
  ['class A { LIMIT = LIMIT; LIMIT2() {} }', 'class A { LIMIT = 5; LIMIT2() {} }'],
  ['switch (a) { case LIMIT: b(); }', 'switch (a) { case 5: b(); }'],
  ['function f(a = LIMIT) { return a; }', 'function f(a = 5) { return a; }'],
  ['f(`${LIMIT}`, "LIMIT"); // LIMIT', 'f(`${5}`, "LIMIT"); // LIMIT'],
] as const) {
  test(`inline in ${code}`, () => {
    assert.equal(inline(IMPORT + code), IMPORT + expected);
  });
}

for (const code of [
  'function f(LIMIT) { return LIMIT; }',
  'function f() { const LIMIT = 3; return LIMIT; }',
  'for (const { LIMIT } of a) f(LIMIT);',
]) {
  test(`let be ${code}`, () => {
    assert.equal(inline(IMPORT + code), IMPORT + code);
  });
}

test('constants of modules that are not looked at, and what is re-exported, stay', () => {
  const code = "import { LIMIT } from 'elsewhere';\nexport { RATIO } from './o.js';\nf(LIMIT);";
  assert.equal(inline(code), code);
});

test("a module's own exported constants are inlined, their declarations stay", () => {
  const code = 'export const A = 1 << 4;\nexport const B = A | 1;';
  assert.equal(
    inline(
      code,
      new Map([
        ['A', 16],
        ['B', 17],
      ]),
    ),
    'export const A = 1 << 4;\nexport const B = 16 | 1;',
  );
});

test('only numbers that are exported as constants count', () => {
  const code =
    'export const A = 1, B = [1].length, C = "x"; export let D = 4; const E = 5; export function F() {}';
  assert.deepEqual(
    [...constantsOf(code, { A: 1, B: 1, C: 'x', D: 4, F: 1 })],
    [
      ['A', 1],
      ['B', 1],
    ],
  );
});

const FUNCTIONS = new Set(['twice', 'thrice']);

function bind(code: string): string {
  return bindFunctions(code, (specifier) => (specifier === './o.js' ? FUNCTIONS : undefined));
}

for (const [code, expected] of [
  [
    "import { twice, thrice as three, Other } from './o.js';\ntwice(three(1)); new Other(); twice;",
    "import { twice, thrice as three, Other } from './o.js'; const three$ = three, twice$ = twice;\ntwice$(three$(1)); new Other(); twice;",
  ],
  [
    'export function f(a) { return g(a); }\nfunction g(a) { return a.g(f); }',
    ' const g$ = g;export function f(a) { return g$(a); }\nfunction g(a) { return a.g(f); }',
  ],
  [
    "import { other } from 'elsewhere';\nother(1);",
    "import { other } from 'elsewhere';\nother(1);",
  ],
  [
    'function f(g) { g(1); }\nfunction g() { f(g); }',
    ' const f$ = f;function f(g) { g(1); }\nfunction g() { f$(g); }',
  ],
] as const) {
  test(`bind the functions of ${code}`, () => {
    assert.equal(bind(code), expected);
    assert.equal(bind(expected), expected);
  });
}

test('functions count that are exported where they are declared', () => {
  const code =
    'export function a() {} function b() {} export const c = () => 1; export class D {} export { b };';
  assert.deepEqual([...functionsOf(code)], ['a']);
});

for (const [code, expected] of [
  ['var f$ = f, g$2 = g;', 'const f$ = f, g$2 = g;'],
  ['var A = 5; var B = -1 | (2 << 3);', 'const A = 5; const B = -1 | (2 << 3);'],
  [
    'var a = f(); var b; var c = g; var d = { e: 1 };',
    'var a = f(); var b; var c = g; var d = { e: 1 };',
  ],
  ['var n = 0; f(() => n++);', 'var n = 0; f(() => n++);'],
  ['var n = 0; f(() => { n += 2; });', 'var n = 0; f(() => { n += 2; });'],
  ['var n = 0, m = 1; [n] = f(); ({ m } = f());', 'var n = 0, m = 1; [n] = f(); ({ m } = f());'],
  ['var n = 0; for (n of f()) g();', 'var n = 0; for (n of f()) g();'],
  ['var n = 0; var n = 1;', 'var n = 0; var n = 1;'],
  ['function f() { var n = 1; return n; }', 'function f() { var n = 1; return n; }'],
] as const) {
  test(`constants of the bundle ${code}`, () => {
    assert.equal(restoreConstants(code), expected);
  });
}
