/** The pump over the rings of several packet loops: order, bounds, what is lost, and who is told of it. */
import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { EventPump, type EventListener } from '../../src/telemetry/event-pump.ts';
import {
  EVENT_DROP,
  EVENT_PACKETS,
  EVENT_TIME,
  EventReader,
  eventRingBytes,
  EventRing,
  EVENTS_MAX,
  WANT_DROPS,
  WANT_FLOWS,
} from '../../src/engine/events.ts';
import { Packet } from '../../src/wire/packet.ts';
import { until } from '../support/until.ts';

const packet = new Packet();

interface Loop {
  readonly ring: EventRing;
  readonly reader: EventReader;
}

function makeLoops(count: number): Loop[] {
  return Array.from({ length: count }, () => {
    const buffer = new SharedArrayBuffer(eventRingBytes());
    return { ring: new EventRing(buffer), reader: new EventReader(buffer) };
  });
}

function makePump(t: TestContext | undefined, loops: readonly Loop[]): EventPump {
  const pump = new EventPump(loops.map(({ reader }) => reader));
  t?.after(() => pump.stop());
  return pump;
}

/** Has a loop tell of a drop at a moment, with a number to know it by. */
function tell({ ring }: Loop, nowMs: number, number: number): void {
  ring.beginRound(nowMs);
  ring.tellPacket(EVENT_DROP, 1, packet, false, 1, 0, -1, -1, number, 0);
}

/** Notes what it is given. */
class Notes implements EventListener {
  readonly wants = WANT_DROPS;
  readonly taken: (readonly [moment: number, loop: number, number: number])[] = [];
  readonly lost: number[] = [];

  take(words: Int32Array, _doubles: Float64Array, at: number, loop: number): void {
    this.taken.push([words[at + EVENT_TIME], loop, words[at + EVENT_PACKETS]]);
  }

  settle(lost: number): void {
    this.lost.push(lost);
  }
}

test('records of all loops come in the order of their moments, each with its loop', () => {
  const told = fc.array(fc.tuple(fc.nat(3), fc.nat(5)), { maxLength: 60 });
  fc.assert(
    fc.property(told, fc.constantFrom(0, 0x7ffffff0), (events, start) => {
      const loops = makeLoops(4);
      const pump = makePump(undefined, loops);
      try {
        const notes = new Notes();
        pump.listen(notes);
        const clocks = loops.map(() => start);
        const expected = events.map(([loop, pauseMs], number) => {
          clocks[loop] += pauseMs;
          tell(loops[loop], clocks[loop] | 0, number);
          return [clocks[loop], loop, number] as const;
        });
        pump.flush();
        expected.sort(([a, i, m], [b, j, n]) => a - b || i - j || m - n);
        assert.deepEqual(
          notes.taken,
          expected.map(([moment, loop, number]) => [moment | 0, loop, number]),
        );
        assert.deepEqual(notes.lost, [0]);
        assert.deepEqual(pump.counts, { taken: events.length, lost: 0 });
      } finally {
        pump.stop();
      }
    }),
    { numRuns: 40 },
  );
});

test('what a full ring lost is summed over the loops, and told once', (t) => {
  const loops = makeLoops(3);
  const pump = makePump(t, loops);
  const notes = new Notes();
  pump.listen(notes);
  for (let i = 0; i < EVENTS_MAX + 7; i++) tell(loops[0], i, i);
  for (let i = 0; i < EVENTS_MAX + 5; i++) tell(loops[2], i, i);
  tell(loops[1], 3, 3);
  pump.flush();
  assert.equal(notes.taken.length, 2 * EVENTS_MAX + 1);
  assert.deepEqual(notes.lost, [12]);
  pump.flush();
  assert.deepEqual(notes.lost, [12, 0]);
  assert.deepEqual(pump.counts, { taken: 2 * EVENTS_MAX + 1, lost: 12 });
});

test('flush ends, also while the loops go on telling', (t) => {
  const loops = makeLoops(2);
  const pump = makePump(t, loops);
  let taken = 0;
  pump.listen({
    wants: WANT_DROPS,
    take: (_words, _doubles, at, loop) => {
      taken++;
      // As fast as it is read, a loop that is under a flood writes.
      if (at >= 0) tell(loops[loop], taken, taken);
    },
  });
  for (const loop of loops) tell(loop, 0, 0);
  pump.flush();
  assert.equal(taken, 2 * EVENTS_MAX, 'what there can have been at once, and no more');
});

test('every loop is told what is wanted, and that nothing is any more', (t) => {
  const loops = makeLoops(2);
  const wanted = (): number[] =>
    loops.map(({ ring }) => {
      ring.beginRound(0);
      return ring.wanted;
    });
  const pump = makePump(t, loops);
  assert.deepEqual(wanted(), [0, 0]);
  const ends = [WANT_FLOWS, WANT_DROPS].map((wants) =>
    pump.listen({ wants, take: () => undefined }),
  );
  assert.deepEqual(wanted(), [WANT_DROPS | WANT_FLOWS, WANT_DROPS | WANT_FLOWS]);
  ends[0]();
  assert.deepEqual(wanted(), [WANT_DROPS, WANT_DROPS]);
  pump.stop();
  assert.deepEqual(wanted(), [0, 0]);
});

test('whichever loop tells something wakes the pump, time and again', async (t) => {
  const loops = makeLoops(3);
  const pump = makePump(t, loops);
  const notes = new Notes();
  pump.listen(notes);
  for (const [i, loop] of [2, 0, 1, 1, 2].entries()) {
    await sleep(i === 0 ? 0 : 120); // Until it has found nothing and rests again.
    tell(loops[loop], i, 10 + i);
    await until('it is told', () => notes.taken.length > i);
    assert.deepEqual(notes.taken.at(-1), [i, loop, 10 + i]);
  }
});
