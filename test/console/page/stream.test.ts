/** The page reads the event stream whatever the pieces are that it comes in, and keeps an hour of rates. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { RateHistory, RateSample } from '../../../src/console/contract.ts';
import { EventReader } from '../../../src/console/page/logic/event-reader.ts';
import { addSample } from '../../../src/console/page/logic/rate-samples.ts';

const TEXT =
  'event: source\ndata: {"a":1}\n\n: comment\n\nevent: top\r\ndata: one\r\ndata:two\r\n\r\nid: 7\ndata\n\nevent: empty\n\n';
const EVENTS = [
  { name: 'source', data: '{"a":1}' },
  { name: 'top', data: 'one\ntwo' },
  { name: 'message', data: '' },
];

test('events come out whole, however the text is cut', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(TEXT.length), { maxLength: 12 }), (cuts) => {
      const places = [0, ...cuts.sort((a, b) => a - b), TEXT.length];
      const reader = new EventReader();
      const events = places.slice(1).flatMap((end, i) => reader.push(TEXT.slice(places[i], end)));
      assert.deepEqual(events, EVENTS);
    }),
  );
});

test('an event without an end is refused', () => {
  const reader = new EventReader();
  const piece = 'x'.repeat(1 << 20);
  assert.throws(() => {
    for (let i = 0; i < 10; i++) reader.push(`data: ${piece}\n`);
  }, /too long/);
  assert.throws(() => {
    for (let i = 0; i < 10; i++) reader.push(piece);
  }, /too long/);
});

const columns = (...values: number[]) => ({
  passedPackets: values,
  passedBytes: values,
  droppedPackets: values,
  droppedBytes: values,
});
const HISTORY: RateHistory = {
  stepMs: 5000,
  timesMs: [1000, 6000],
  total: columns(1, 2),
  drops: [{ reason: 'martian', packets: [0, 3] }],
  interfaces: [{ name: 'eni-1', ...columns(1, 2) }],
};
const traffic = (value: number) => ({
  passedPackets: value,
  passedBytes: value,
  droppedPackets: value,
  droppedBytes: value,
});
const SAMPLE: RateSample = {
  timeMs: 11_000,
  total: traffic(9),
  drops: [{ reason: 'ingress-rules', packets: 4 }],
  interfaces: [{ name: 'eni-2', ...traffic(5) }],
};

test('a sample is added at the end; a reason that is new was 0 before', () => {
  assert.deepEqual(addSample(HISTORY, SAMPLE), {
    stepMs: 5000,
    timesMs: [1000, 6000, 11_000],
    total: columns(1, 2, 9),
    drops: [
      { reason: 'martian', packets: [0, 3, 0] },
      { reason: 'ingress-rules', packets: [0, 0, 4] },
    ],
    interfaces: [
      {
        name: 'eni-1',
        passedPackets: [1, 2, null],
        passedBytes: [1, 2, null],
        droppedPackets: [1, 2, null],
        droppedBytes: [1, 2, null],
      },
    ],
  });
});

test('a sample that the history has already is not added', () => {
  assert.equal(addSample(HISTORY, { ...SAMPLE, timeMs: 6000 }), HISTORY);
});

test('while the daemon is away nothing is known', () => {
  const { total, drops } = addSample(HISTORY, { ...SAMPLE, total: null, drops: [] });
  assert.deepEqual(total.passedBytes, [1, 2, null]);
  assert.deepEqual(drops, [{ reason: 'martian', packets: [0, 3, null] }]);
});

test('what is older than an hour is gone', () => {
  const later = addSample(HISTORY, { ...SAMPLE, timeMs: 1001 + 3_600_000 });
  assert.deepEqual(later.timesMs, [6000, 1001 + 3_600_000]);
  assert.deepEqual(later.total.passedBytes, [2, 9]);
});
