/**
 * Counts how many entries each owner has, and finds the owner with the most.
 *
 * Theory of operation. A full table takes an entry from the owner with the most, or from the owner that asks if none
 * has more. So an owner with no more than an even share (the whole divided by the owners that hold anything) never
 * loses an entry to another. A flood evicts its own entries.
 *
 * The owners are in a binary heap, the largest on top. Of owners with equally many entries the lowest number comes
 * first. A count changes by one at a time, so an owner moves at most log2(owners) places, 13 for 8,192. Rejected: a
 * list of owners for each count. It is as fast for any number of owners, but which of several equal owners gives way
 * then depends on all that happened before, so no slow twin could predict it.
 */
import { failInvariant } from './invariant.ts';

export class Shares {
  /** Entries by owner. */
  private readonly counts: Int32Array;
  /** Owner numbers in heap order: the owner at place p has no more entries than the one at (p - 1) >> 1. */
  private readonly heap: Int32Array;
  private readonly places: Int32Array;

  /** @param owners how many there may be, numbered from 0 */
  constructor(owners: number) {
    this.counts = new Int32Array(owners);
    this.heap = new Int32Array(owners);
    for (let owner = 0; owner < owners; owner++) this.heap[owner] = owner;
    this.places = this.heap.slice();
  }

  /** Entries of `owner`. */
  of(owner: number): number {
    return this.counts[owner];
  }

  /**
   * The owner that makes room for one more entry of `owner`: `owner` itself if none has more, otherwise the largest.
   */
  largestFor(owner: number): number {
    const largest = this.heap[0];
    return this.counts[owner] === this.counts[largest] ? owner : largest;
  }

  grow(owner: number): void {
    const { counts, heap, places } = this;
    const count = ++counts[owner];
    let place = places[owner];
    while (place > 0) {
      const above = (place - 1) >> 1;
      const other = heap[above];
      if (counts[other] > count || (counts[other] === count && other < owner)) break;
      heap[place] = other;
      places[other] = place;
      place = above;
    }
    heap[place] = owner;
    places[owner] = place;
  }

  shrink(owner: number): void {
    const { counts, heap, places } = this;
    const count = --counts[owner];
    if (!(count >= 0)) failInvariant('an owner has fewer than no entries');
    let place = places[owner];
    for (;;) {
      let below = 2 * place + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && this.isAhead(heap[below + 1], heap[below])) below++;
      const other = heap[below];
      if (counts[other] < count || (counts[other] === count && other > owner)) break;
      heap[place] = other;
      places[other] = place;
      place = below;
    }
    heap[place] = owner;
    places[owner] = place;
  }

  private isAhead(a: number, b: number): boolean {
    const { counts } = this;
    return counts[a] > counts[b] || (counts[a] === counts[b] && a < b);
  }
}
