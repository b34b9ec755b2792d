/** Each ban of eslint.config.js for the packet path catches what it says, and leaves other code alone. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { Linter } from 'eslint';
import { parser } from 'typescript-eslint';
import { repositoryRoot } from '../support/repository.ts';

interface Ban {
  readonly selector: string;
  readonly message: string;
}

describe('hot-path bans', () => {
  let bans: readonly Ban[];

  before(async () => {
    const config = (await import(
      pathToFileURL(join(repositoryRoot(), 'eslint.config.js')).href
    )) as {
      readonly hotPathBans: readonly Ban[];
    };
    bans = config.hotPathBans;
  });

  function messages(code: string): string[] {
    const rules = { 'no-restricted-syntax': ['error', ...bans] } as Linter.RulesRecord;
    const found = new Linter().verify(
      code,
      [{ files: ['**/*.ts'], languageOptions: { parser: parser }, rules }],
      'a.ts',
    );
    return found.map((message) =>
      message.message.replace(
        /^hot path: (no [^;]*?|no text is made for a packet)(;.*| but .*)?$/,
        '$1',
      ),
    );
  }

  const caught: readonly (readonly [code: string, ...messages: string[]])[] = [
    ['function f() { try { g(); } catch { h(); } }', 'no try/catch'],
    ['function f() { throw e; }', 'no throw'],
    ['function f(a) { g(...a); }', 'no spread'],
    ['function f(...a) { g(a); }', 'no rest parameters'],
    ['function f(a) { return `${a}`; }', 'no text is made for a packet'],
    ['function f(a) { const [b] = a; }', 'no array destructuring'],
    ['function f(a) { const { b, ...c } = a; return c; }', 'no rest elements'],
    ['function f({ b }) { return b; }', 'no patterns as parameters'],
    ['function* f() { yield 1; }', 'no generators'],
    ['async function f() { await 1; }', 'no async functions'],
    ['function f() { return new A(); }', 'no `new`'],
    ['class A { m() { return new A(); } }', 'no `new`'],
    ['function f(a) { for (const b of a) g(b); }', 'no for-of'],
    ['function f(a) { for (const b in a) g(b); }', 'no for-in'],
    ['function f(a) { return a.map((b) => b); }', 'no closures'],
    ['class A { m(a) { return function () { return a; }; } }', 'no closures'],
    ['const a = 1n;', 'no BigInt'],
    ['const a = BigInt(1);', 'no BigInt'],
    ['const a = view.getBigUint64(0);', 'no BigInt'],
    ['function f() { return arguments; }', 'no `arguments`'],
  ];
  for (const [code, ...expected] of caught) {
    test(`catch ${code}`, () => {
      assert.deepEqual(messages(code), expected);
    });
  }

  const letBe: readonly string[] = [
    'const TABLE = new Uint8Array([...[1, 2]]); for (const a of TABLE) g(`${a}`);',
    'class A { field = new Int32Array(4); constructor(n) { if (n < 1) throw new RangeError(`n is ${n}`); } }',
    'function createTable({ size }) { const [a] = size; return new Table((b) => b, ...a); }',
    'export const makeTable = (size) => new Table(size);',
    'function assertSlot(slot) { if (slot < 0) throw new Error(`slot ${slot}`); }',
    'function f(a) { for (let i = 0; i < a.length; i++) g(a[i]); }',
  ];
  for (const code of letBe) {
    test(`let be ${code}`, () => {
      assert.deepEqual(messages(code), []);
    });
  }
});
