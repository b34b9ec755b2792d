/** Values in parts: what comes out is what went in, and no part is large. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Assembler, toMessages } from '../../src/config/config-parts.ts';

/** As it crosses between two threads. */
function send(value: unknown): { readonly got: unknown; readonly messages: number } {
  const assembler = new Assembler();
  const messages = toMessages(value);
  for (const [i, message] of messages.entries()) {
    const whole = assembler.take(structuredClone(message));
    assert.equal(whole !== undefined, i === messages.length - 1);
    if (whole !== undefined) return { got: whole.value, messages: messages.length };
  }
  throw new Error('no end');
}

const scalar = fc.constantFrom<unknown>(undefined, null, true, 0, -1, 1.5, '', 'x', '10.0.0.0/8');
const { value: arbitrary } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    scalar,
    fc.array(tie('value'), { maxLength: 4 }),
    // Long lists of long lists of long lists would take all memory.
    fc
      .tuple(fc.oneof(scalar, fc.array(scalar, { maxLength: 4 })), fc.integer({ min: 60, max: 70 }))
      .map(([item, n]) => new Array<unknown>(n).fill(item)),
    fc.dictionary(fc.constantFrom('a', 'b', '__proto__', 'length'), tie('value'), { maxKeys: 4 }),
    fc
      .array(fc.tuple(fc.string({ maxLength: 2 }), tie('value')), { maxLength: 4 })
      .map((pairs) => new Map(pairs)),
  ),
}));

test('any value comes out as it went in', () => {
  fc.assert(
    fc.property(arbitrary, (value) => {
      assert.deepStrictEqual(send(value).got, structuredClone(value));
    }),
    { numRuns: 500 },
  );
});

test('a large value takes many messages, none of them large', () => {
  const entry = (i: number): object => ({ cidr: { words: [i, 0, 0, 0] }, at: { line: i } });
  const lists = Array.from(
    { length: 50 },
    (_, list) => [`l${list}`, Array.from({ length: 1000 }, (_, i) => entry(i))] as const,
  );
  const value = { model: { lists: new Map(lists), few: [1, 2] }, problems: [] };
  const { got, messages } = send(value);
  assert.deepStrictEqual(got, value);
  assert.ok(messages > 10, `${messages} messages`);
  for (const message of toMessages(value))
    assert.ok(message.reduce((sum, { values }) => sum + values, 0) < 41_000);
});
