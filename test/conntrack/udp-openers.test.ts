/** Who opened the UDP flows that nobody tracks: against a Map. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  OPENER_LOCAL,
  OPENER_REMOTE,
  OPENER_UNKNOWN,
  UdpOpeners,
} from '../../src/conntrack/udp-openers.ts';

const IDLE_MS = 1000;

test('says who opened a flow, as a Map does, over all times of the clock', () => {
  const step = fc.record({
    // Few enough for four places a set: hashes are even, since the lowest bit says nothing.
    hash: fc.integer({ min: -20, max: 20 }).map((n) => 2 * Math.imul(n, 0x01000193)),
    port: fc.integer({ min: 1, max: 3 }),
    fromLocal: fc.boolean(),
    isNew: fc.boolean(),
    kind: fc.constantFrom('note', 'ask', 'forget'),
    afterMs: fc.constantFrom(0, 1, 500, 1000, 1001),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const openers = new UdpOpeners();
      const twin = new Map<string, { fromLocal: boolean; seenMs: number }>();
      let nowMs = 2 ** 31 - 3000;
      for (const { hash, port, fromLocal, isNew, kind, afterMs } of steps) {
        nowMs += afterMs;
        const key = `${hash} ${port}`;
        const found = twin.get(key);
        const known = found !== undefined && nowMs - found.seenMs <= IDLE_MS ? found : undefined;
        if (kind === 'forget') {
          openers.forget(hash, port);
          twin.delete(key);
        } else if (kind === 'note') {
          openers.note(hash, port, fromLocal, isNew, IDLE_MS, nowMs | 0);
          const opener = known === undefined || isNew ? fromLocal : known.fromLocal;
          twin.set(key, { fromLocal: opener, seenMs: nowMs });
        } else {
          const expected =
            known === undefined ? OPENER_UNKNOWN : known.fromLocal ? OPENER_LOCAL : OPENER_REMOTE;
          assert.equal(openers.ask(hash, port, IDLE_MS, nowMs | 0), expected);
          if (known !== undefined) known.seenMs = nowMs;
        }
      }
    }),
    { numRuns: 500 },
  );
});

test('of a full set the place used longest ago gives way', () => {
  const openers = new UdpOpeners();
  // One set: these differ above the bits that choose it.
  const hashes = [0, 1, 2, 3, 4].map((n) => n << 16);
  hashes.forEach((hash, i) => openers.note(hash, 1, true, false, 1e6, i));
  openers.note(hashes[1], 1, true, false, 1e6, 10);
  assert.equal(openers.ask(hashes[0], 1, 1e6, 11), OPENER_UNKNOWN);
  openers.note(5 << 16, 1, false, false, 1e6, 12);
  assert.equal(openers.ask(hashes[2], 1, 1e6, 13), OPENER_UNKNOWN);
  for (const hash of [hashes[1], hashes[3], hashes[4]])
    assert.equal(openers.ask(hash, 1, 1e6, 13), OPENER_LOCAL);
  assert.equal(openers.ask(5 << 16, 1, 1e6, 13), OPENER_REMOTE);
});
