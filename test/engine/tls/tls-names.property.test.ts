/**
 * Random ClientHellos, cut into random records and segments, sent in and out of order, again, and with other bytes: the
 * gate and the slow twin agree on each segment. And whatever passes, the server has got a good name before anything else.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { alpn, clientHello, concat, records } from '../../packets/tls.ts';
import { PlainConnection, readStream } from './plain-hello.ts';
import { Connection, makeRig, NAME } from './tls-rig.ts';

const RUNS = Number(process.env['PROPERTY_RUNS'] ?? 150);

type Step =
  /** From how far behind what was sent so far; how many bytes; which one is another, if any. */
  | { readonly kind: 'send'; readonly back: number; readonly length: number; readonly wrong?: number } // prettier-ignore
  | { readonly kind: 'acknowledge'; readonly part: number };

const stream = fc
  .record({
    name: fc.constantFrom(NAME, NAME, NAME.toUpperCase(), 'ap1.example.com', 'x.example.org', undefined), // prettier-ignore
    pad: fc.oneof(fc.constant(0), fc.nat(80), fc.nat(9000)),
    isNameLast: fc.boolean(),
    cuts: fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 12 }),
    behind: fc.uint8Array({ maxLength: 60 }),
    change: fc.option(fc.tuple(fc.nat(9999), fc.nat(255)), { freq: 6, nil: undefined }),
  })
  .map(({ name, pad, isNameLast, cuts, behind, change }) => {
    const names = Array.from({ length: Math.ceil(pad / 200) }, () => 'x'.repeat(199));
    const extensions = pad === 0 ? [] : [alpn(...names)];
    const message = clientHello({
      extensions,
      isNameLast,
      ...(name === undefined ? {} : { name }),
    });
    const bytes = concat(records(message, ...cuts), behind);
    if (change !== undefined) bytes[change[0] % bytes.length] = change[1];
    return bytes;
  });

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant('send' as const),
      back: fc.oneof(fc.constant(0), fc.constant(0), fc.integer({ min: -40, max: 200 })),
      length: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 1500 })),
      wrong: fc.option(fc.nat(1499), { freq: 8, nil: undefined }),
    }) as fc.Arbitrary<Step>,
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('acknowledge' as const), part: fc.nat(100) }),
  },
);

function play(bytes: Uint8Array, steps: readonly Step[], isOffloaded: boolean): void {
  const isRight = (name: string): boolean => name === NAME;
  const rig = makeRig({ isOffloaded });
  const connection = new Connection(rig);
  connection.open();
  const twin = new PlainConnection(isRight);
  /** What the server has got, each place the way it came last: it may have lost what came before. */
  const got: number[] = [];
  let end = 0;
  let acknowledged = 0;
  for (const one of steps) {
    if (one.kind === 'acknowledge') {
      acknowledged = Math.max(acknowledged, Math.floor((end * one.part) / 100));
      assert.equal(connection.answer(acknowledged), 'agent');
      twin.acknowledge(acknowledged);
      continue;
    }
    const offset = end - one.back;
    const data = [...bytes.subarray(Math.max(0, offset), Math.max(0, offset) + one.length)];
    if (data.length === 0) continue;
    if (one.wrong !== undefined) data[one.wrong % data.length] ^= 0x20;
    const fate = twin.send(offset, data);
    const real = connection.send(offset, Uint8Array.from(data));
    assert.equal(real, fate === 'pass' ? 'uplink' : fate);
    if (fate !== 'pass') continue;
    end = Math.max(end, offset + data.length);
    // What the server has acknowledged it takes no more.
    data.forEach((byte, i) => {
      if (offset + i >= acknowledged) got[offset + i] = byte;
    });
    const read = readStream(Array.from(got, (byte) => byte ?? -1));
    if (read.kind === 'hello') assert.ok(read.name !== undefined && isRight(read.name));
  }
}

for (const isOffloaded of [false, true])
  test(`the gate and the twin agree on each segment${isOffloaded ? ', with the fast path' : ''}`, () => {
    fc.assert(
      fc.property(stream, fc.array(step, { minLength: 1, maxLength: 20 }), (bytes, steps) => {
        play(bytes, steps, isOffloaded);
      }),
      { numRuns: RUNS },
    );
  });

test('what is sent in order passes as far as the twin says, in segments of any size', () => {
  fc.assert(
    fc.property(stream, fc.integer({ min: 1, max: 1460 }), (bytes, size) => {
      const steps = Array.from({ length: Math.ceil(bytes.length / size) }, (): Step => ({ kind: 'send', back: 0, length: size })); // prettier-ignore
      play(bytes, steps.slice(0, 400), false);
    }),
    { numRuns: RUNS },
  );
});
