/**
 * How many of a table's entries each owner has, and which owner has the most.
 *
 * Theory of operation. A full table takes from whoever holds the most, and from whoever asks if nobody
 * holds more. So an owner that holds no more than its even share (capacity divided by the owners that
 * hold anything) never loses an entry to another: a flood evicts its own. Owners with the same count form a list; a count changes by one at a time, so the
 * owner with the most is always known, and every operation takes a bounded number of steps.
 */

const NONE = -1;

export class Shares {
  /** Entries by owner. */
  private readonly counts: Int32Array;
  private readonly previous: Int32Array;
  private readonly next: Int32Array;
  /** First owner with that count. */
  private readonly heads: Int32Array;
  private most = 0;

  /** @param owners how many there may be, numbered from 0  @param capacity entries of the table */
  constructor(owners: number, capacity: number) {
    this.counts = new Int32Array(owners);
    this.previous = new Int32Array(owners).fill(NONE);
    this.next = new Int32Array(owners).fill(NONE);
    this.heads = new Int32Array(capacity + 1).fill(NONE);
  }

  /** Entries of `owner`. */
  of(owner: number): number {
    return this.counts[owner];
  }

  /**
   * Who has to make room for one more entry of `owner`: itself, unless others have more; then whoever has
   * the most, of several the one that came to that count last. Only while any has one.
   */
  largestFor(owner: number): number {
    return this.counts[owner] === this.most ? owner : this.heads[this.most];
  }

  grow(owner: number): void {
    const count = this.counts[owner] + 1;
    if (count > 1) this.unlink(owner);
    this.link(owner, count);
    if (count > this.most) this.most = count;
  }

  shrink(owner: number): void {
    const count = this.counts[owner] - 1;
    this.unlink(owner);
    this.link(owner, count);
    // Whoever had the most by itself now has one less, and still the most.
    if (this.heads[this.most] === NONE) this.most--;
  }

  /** Owners without entries are in no list. */
  private link(owner: number, count: number): void {
    const { heads, previous, next } = this;
    this.counts[owner] = count;
    if (count === 0) return;
    const head = heads[count];
    previous[owner] = NONE;
    next[owner] = head;
    if (head !== NONE) previous[head] = owner;
    heads[count] = owner;
  }

  private unlink(owner: number): void {
    const { heads, previous, next } = this;
    const before = previous[owner];
    const after = next[owner];
    if (before === NONE) heads[this.counts[owner]] = after;
    else next[before] = after;
    if (after !== NONE) previous[after] = before;
  }
}
