/**
 * Moments of the packet loop's clock as wall time, in their order.
 *
 * Asked one by one, two packets of the same moment would get times a millisecond apart, now and then the wrong way
 * round. So the wall clock is asked once, and then only what passed on the loop's clock is added. A wall clock that
 * was set meanwhile is followed: a long trace or capture must not go on in the old time.
 */
import type { Observatory } from './observatory.ts';

const DRIFT_MAX_MS = 100;

export class LoopClock {
  private readonly observatory: Observatory;
  private momentMs: number;
  private wallNowMs: number;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
    this.momentMs = observatory.dataplane.nowMs;
    this.wallNowMs = Date.now();
  }

  /** Ms since 1970, with a fraction. @param momentMs as records carry it; not before that of the call before, but for records that crossed */
  wallMs(momentMs: number): number {
    const { observatory } = this;
    this.wallNowMs += ((momentMs - this.momentMs) | 0) / observatory.dataplane.timeScale;
    this.momentMs = momentMs;
    const asked = observatory.wallMs(momentMs);
    if (Math.abs(asked - this.wallNowMs) > DRIFT_MAX_MS) this.wallNowMs = asked;
    return this.wallNowMs;
  }
}
