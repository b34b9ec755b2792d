/** Records of several rings in the order of their moments, against sorting them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { takeInOrder, type MomentRing } from '../../src/engine/merge-rings.ts';

/** A ring of moments, each in its place by `name`. */
class Queue implements MomentRing {
  readonly moments: number[];

  constructor(moments: readonly number[]) {
    this.moments = [...moments];
  }

  nextMoment(): number | undefined {
    return this.moments[0];
  }
}

/** As int32: the clock's moments wrap. */
const wrapped = (moment: number): number => moment | 0;

/** What each loop wrote, in its own order; moments of different loops often coincide. */
const rings = fc.array(
  fc.array(fc.nat(20), { maxLength: 30 }).map((moments) => moments.sort((a, b) => a - b)),
  { minLength: 1, maxLength: 5 },
);

test('what is taken is sorted, whole, and of equal moments the first loop comes first', () => {
  fc.assert(
    fc.property(rings, fc.integer(), (written, start) => {
      const queues = written.map((moments) => new Queue(moments.map((at) => wrapped(start + at))));
      const taken: (readonly [moment: number, ring: number])[] = [];
      const count = takeInOrder(
        queues,
        (ring) => taken.push([wrapped(queues[ring].moments.shift()! - start), ring]),
        Infinity,
      );
      const sorted = written
        .flatMap((moments, ring) => moments.map((moment) => [moment, ring] as const))
        .sort(([a, i], [b, j]) => a - b || i - j);
      assert.deepEqual(taken, sorted);
      assert.equal(count, sorted.length);
    }),
  );
});

test('no more are taken than were asked for, and the rest stays for the next time', () => {
  fc.assert(
    fc.property(rings, fc.nat(40), (written, most) => {
      const queues = written.map((moments) => new Queue(moments));
      const all = written.flat().sort((a, b) => a - b);
      const taken: number[] = [];
      const take = (ring: number): void => void taken.push(queues[ring].moments.shift()!);
      assert.equal(takeInOrder(queues, take, most), Math.min(most, all.length));
      assert.deepEqual(taken, all.slice(0, most));
      assert.equal(takeInOrder(queues, take, Infinity), all.length - taken.slice(0, most).length);
      assert.deepEqual(taken, all);
    }),
  );
});
