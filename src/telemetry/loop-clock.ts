/**
 * A LoopClock converts moments of the packet loop's clock to wall time and keeps their order.
 *
 * If each moment were converted by itself, two packets of the same moment could get times a millisecond apart,
 * sometimes in the wrong order. So the wall clock is read once, and from then on only the time that passed on the
 * loop's clock is added. If the wall clock is set meanwhile, the result follows it: a long trace must not go on in
 * the old time.
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

  /**
   * Ms since 1970, with a fraction.
   * @param momentMs as records carry it. Normally at or after the previous call's moment; records of different loops
   * may arrive out of order.
   */
  wallMs(momentMs: number): number {
    const { observatory } = this;
    this.wallNowMs += ((momentMs - this.momentMs) | 0) / observatory.dataplane.timeScale;
    this.momentMs = momentMs;
    const asked = observatory.wallMs(momentMs);
    if (Math.abs(asked - this.wallNowMs) > DRIFT_MAX_MS) this.wallNowMs = asked;
    return this.wallNowMs;
  }
}
