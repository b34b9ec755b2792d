/**
 * Keeps entries of the kernel's table that were taken back, until no program can be at work on them.
 *
 * They wait in the order in which they came, so only the oldest is looked at.
 */
import { NO_ENTRY } from './kernel-flows.ts';

/** How long an entry stays unused after its slot was cleared. A program is at work for microseconds. */
export const LINGER_MS = 100;

export class Lingering {
  private readonly first: number;
  private readonly ring: Int32Array;
  private readonly sinceMs: Int32Array;
  private readonly isIn: Uint8Array;
  private at = 0;
  private count = 0;

  /** @param first number of the loop's first entry */
  constructor(first: number, capacity: number) {
    this.first = first;
    this.ring = new Int32Array(capacity);
    this.sinceMs = new Int32Array(capacity);
    this.isIn = new Uint8Array(capacity);
  }

  has(entry: number): boolean {
    return this.isIn[entry - this.first] !== 0;
  }

  /** Adds an entry that is not in it. */
  add(entry: number, nowMs: number): void {
    const end = (this.at + this.count) % this.ring.length;
    this.ring[end] = entry;
    this.sinceMs[end] = nowMs;
    this.isIn[entry - this.first] = 1;
    this.count++;
  }

  /** Takes the oldest entry that has waited long enough; NO_ENTRY if there is none. */
  take(nowMs: number): number {
    const { at } = this;
    if (this.count === 0 || ((nowMs - this.sinceMs[at]) | 0) < LINGER_MS) return NO_ENTRY;
    const entry = this.ring[at];
    this.at = (at + 1) % this.ring.length;
    this.count--;
    this.isIn[entry - this.first] = 0;
    return entry;
  }
}
