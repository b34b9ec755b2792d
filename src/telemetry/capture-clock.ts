/**
 * A CaptureClock converts the moments of captured packets to wall time, to the microsecond.
 *
 * The loop's clock and the wall clock run at the same speed. So one difference between the two serves for a whole
 * capture, and the distances between packets stay exact. The difference is measured again only after the wall clock
 * was set: a long capture must not go on in the old time.
 */
import type { LoopView } from './observatory.ts';

/** If the difference has changed by more than this, the wall clock was set. */
const STEP_MS = 100;
/** Date.now() has whole milliseconds only, and the two clocks are not read at the same moment. */
const ROUNDING_MS = 2;

export class CaptureClock {
  private readonly loop: Pick<LoopView, 'uptimeMs'>;
  private zeroMs: number;

  constructor(loop: Pick<LoopView, 'uptimeMs'>) {
    this.loop = loop;
    this.zeroMs = this.zeroNow();
  }

  /** Checks whether the wall clock was set. Call it a few times a second. */
  follow(): void {
    const zeroMs = this.zeroNow();
    if (Math.abs(zeroMs - this.zeroMs) > STEP_MS) this.zeroMs = zeroMs;
  }

  /** Ms since 1970, with a fraction. @param sec of the loop's clock, not scaled  @param usec within the second */
  wallMs(sec: number, usec: number): number {
    return this.zeroMs + 1000 * sec + usec / 1000;
  }

  /** When the loop's clock was zero, by the wall clock as it is now. */
  private zeroNow(): number {
    const roundedMs = Date.now();
    // This clock is finer, but does not follow when the wall clock is set.
    const fineMs = performance.timeOrigin + performance.now();
    const isSame = Math.abs(fineMs - roundedMs) <= ROUNDING_MS;
    return (isSame ? fineMs : roundedMs) - this.loop.uptimeMs;
  }
}
