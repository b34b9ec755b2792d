/** The messages of etcd as bytes: against protobufjs' own reading of a definition, and cut off. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { Collector } from '../../src/store/etcd/watch.ts';
import { keysBelow } from '../../src/store/etcd/keys.ts';
import { TXN, WATCH, type WatchResponse } from '../../src/store/etcd/messages.ts';
import { bool, bytes, id, list, message, number, part, text } from '../../src/store/etcd/wire.ts';

const TWIN = protobuf
  .parse(
    `
  syntax = "proto3";
  message Inner { int64 a = 1; bytes b = 2; }
  message Outer { int64 n = 1; uint64 id = 3; bool is = 4; bytes raw = 7; string text = 15; Inner one = 16; repeated Inner many = 64; }
`,
  )
  .root.lookupType('Outer');

const INNER = message({ a: number(1), b: bytes(2) });
const OUTER = message({
  n: number(1),
  id: id(3),
  is: bool(4),
  raw: bytes(7),
  text: text(15),
  one: part(16, INNER),
  many: list(64, INNER),
});

const whole = fc.maxSafeInteger();
const raw = fc.uint8Array({ maxLength: 300 }).map((each) => Buffer.from(each));
const inner = fc.record({ a: whole, b: raw }, { noNullPrototype: true });
const outer = fc.record(
  {
    n: whole,
    id: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String),
    is: fc.boolean(),
    raw,
    text: fc.string({ unit: 'grapheme' }),
    one: inner,
    many: fc.array(inner, { maxLength: 4 }),
  },
  { noNullPrototype: true },
);

test('what is written the twin reads, and the other way round', () => {
  fc.assert(
    fc.property(outer, (given) => {
      const bytesOf = (message: protobuf.Message): string =>
        Buffer.from(TWIN.encode(message).finish()).toString('hex');
      assert.equal(bytesOf(TWIN.decode(OUTER.encode(given))), bytesOf(TWIN.fromObject(given)));
      assert.deepEqual(OUTER.decode(TWIN.encode(TWIN.fromObject(given)).finish()), given);
    }),
  );
});

test('fields that are not known are passed over, those that are missing are empty', () => {
  assert.deepEqual(INNER.decode(OUTER.encode({ id: '5', text: 'x', one: { a: 1 } })), {
    a: 0,
    b: Buffer.alloc(0),
  });
  assert.deepEqual(OUTER.decode(Buffer.alloc(0)).many, []);
});

test('bytes that are cut off or wild end in an error or a message, never in another kind of end', () => {
  const message = OUTER.encode({
    n: 1,
    id: '7',
    raw: Buffer.from('abc'),
    one: { b: Buffer.from('x') },
    many: [{ a: 5 }, {}],
  });
  for (let length = 0; length < message.length; length++)
    try {
      OUTER.decode(message.subarray(0, length));
    } catch (error) {
      assert.ok(error instanceof Error);
    }
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (wild) => {
      for (const codec of [OUTER, WATCH.response, TXN.response])
        try {
          codec.decode(wild);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
    }),
    { numRuns: 2000 },
  );
});

test('a number that JavaScript can not count with is refused', () => {
  const large = TWIN.encode(TWIN.fromObject({ n: '9007199254740993' })).finish();
  assert.throws(() => OUTER.decode(large), /a number beyond 2\^53/);
});

test('changes are whole however the events are cut', () => {
  const keys = keysBelow('/s/');
  const event = fc.record({ key: fc.constantFrom('a', 'b', 'c', 'd'), isPut: fc.boolean() });
  const revisions = fc.array(
    fc.uniqueArray(event, { minLength: 1, maxLength: 4, selector: ({ key }) => key }),
    {
      minLength: 1,
      maxLength: 6,
    },
  );
  fc.assert(
    fc.property(revisions, fc.array(fc.nat({ max: 24 })), (all, cuts) => {
      const events = all.flatMap((each, i) =>
        each.map(({ key, isPut }) => ({
          type: isPut ? 0 : 1,
          kv: { key: keys.of(key), createRevision: 1, modRevision: i + 1, value: Buffer.from(key) },
        })),
      );
      // Fragments of one answer: each but the last says that there is more.
      const bounds = [
        ...new Set([0, ...cuts.filter((cut) => cut < events.length), events.length]),
      ].sort((a, b) => a - b);
      const collector = new Collector(keys);
      const changes = bounds.slice(1).flatMap((end, i) => {
        const fragment = end < events.length;
        return [
          ...collector.take({
            events: events.slice(bounds[i], end),
            fragment,
          } as unknown as WatchResponse),
        ];
      });
      assert.deepEqual(
        changes.map(({ revision, puts, deletes }) => [
          revision,
          puts.map(({ key }) => key),
          deletes,
        ]),
        all.map((each, i) => {
          const named = (isPut: boolean): string[] =>
            each
              .filter((one) => one.isPut === isPut)
              .map(({ key }) => key)
              .sort();
          return [i + 1, named(true), named(false)];
        }),
      );
    }),
  );
});
