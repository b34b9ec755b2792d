/**
 * How many entries each owner has, and which owner has the most.
 *
 * Theory of operation. What is full takes from whoever holds the most, and from whoever asks if nobody
 * holds more. So an owner that holds no more than its even share (the whole divided by the owners that
 * hold anything) never loses an entry to another: a flood evicts its own.
 *
 * A binary heap of all owners, the one with the most on top, of several with as many the one with the
 * lowest number. A count changes by one at a time, so an owner moves at most log2(owners) places, 13 for
 * 8,192. Rejected: a list of owners for each count, which is as fast for any number of owners; there, which of
 * several gives way depends on all that has happened before, so no twin could tell it.
 */
export class Shares {
  /** Entries by owner. */
  private readonly counts: Int32Array;
  /** Owners; each has no more than the one at (its place - 1) >> 1. */
  private readonly heap: Int32Array;
  private readonly places: Int32Array;

  /** @param owners how many there may be, numbered from 0 */
  constructor(owners: number) {
    this.counts = new Int32Array(owners);
    this.heap = Int32Array.from({ length: owners }, (_, i) => i);
    this.places = Int32Array.from(this.heap);
  }

  /** Entries of `owner`. */
  of(owner: number): number {
    return this.counts[owner];
  }

  /** Who has to make room for one more entry of `owner`: itself, unless others have more; then whoever has the most. */
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
