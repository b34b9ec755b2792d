/**
 * Lets a packet loop ask for packets again and again for some microseconds before it sleeps, where that pays.
 *
 * Theory of operation. To wake a thread that sleeps takes 10 to 50 µs, and a question with its answer wakes the loop
 * twice. A loop that still asks when the next packet comes needs no waking, at the cost of a processor's time. That
 * is worth it only where the next packet often comes so soon. So each wait that ends within the bound, whether the loop
 * was awake or slept, is credit for HIT_WORTH that don't. Without credit it sleeps at once, as a loop without traffic
 * does.
 */

/** So many waits may be polled in vain for each one that ended in time. */
const HIT_WORTH = 4;
/** Of waits in vain, one after the other. */
const CREDIT_MAX = 16;

/** What is waited for: as PortIo. */
export interface Waits {
  /** Waits so many ms at most; 0: not at all. @returns how much of `events` it has written */
  wait(events: Int32Array, timeoutMs: number): number;
}

export class BusyPoll {
  private readonly waits: Waits;
  private readonly limitMs: number;
  private readonly now: () => number;
  private credit = 0;

  /**
   * @param limitUs how long to ask; 0: never
   * @param now a clock in ms with a fraction
   */
  constructor(waits: Waits, limitUs: number, now: () => number) {
    this.waits = waits;
    this.limitMs = limitUs / 1000;
    this.now = now;
  }

  /** Waits as `Waits` does. */
  wait(events: Int32Array, timeoutMs: number): number {
    const { waits, limitMs } = this;
    if (limitMs === 0 || timeoutMs === 0) return waits.wait(events, timeoutMs);
    const beganMs = this.now();
    let found = 0;
    if (this.credit > 0)
      do found = waits.wait(events, 0);
      while (found === 0 && this.now() - beganMs < limitMs);
    if (found === 0) found = waits.wait(events, timeoutMs);
    if (this.now() - beganMs >= limitMs) this.credit = Math.max(0, this.credit - 1);
    else this.credit = Math.min(CREDIT_MAX, this.credit + HIT_WORTH);
    return found;
  }
}
