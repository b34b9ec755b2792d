/**
 * The highest rate that passes a trial, by bisection, as RFC 2544 section 26.1 finds a throughput. Knows nothing
 * of packets, so that it can be tried on made-up devices.
 */

export interface Trial {
  /** What was truly offered, a second. */
  readonly offered: number;
  /** The device passed what was offered. */
  readonly passed: boolean;
  /** The sender did not manage what it was asked for: the trial says nothing of the device at that rate. */
  readonly fellShort: boolean;
}

export interface SearchOptions {
  /** Where to look first. */
  readonly guess: number;
  /** How far to step from there until it is bracketed: 1.5 goes half as high again. */
  readonly step: number;
  /** Done when the lowest rate that failed is within this of the highest that passed: 0.05. */
  readonly precision: number;
  readonly trialsMax: number;
}

export interface Found {
  /** The highest rate offered in a trial that passed; 0 if none did. */
  readonly rate: number;
  /** What failed above it. */
  readonly limit: 'loss' | 'sender' | 'none';
}

/** A fluke of the machine costs packets, or keeps the sender from sending: a rate has failed when it failed twice. */
const TRIES = 2;
const STRIDE_MAX = 4;

export async function highestRate(
  trial: (rate: number) => Promise<Trial>,
  { guess, step, precision, trialsMax }: SearchOptions,
): Promise<Found> {
  let low = 0;
  let high = Infinity;
  let limit: Found['limit'] = 'none';
  let rate = guess;
  let stride = step;
  for (let trials = 0; trials < trialsMax;) {
    let outcome = await trial(rate);
    trials++;
    for (let tries = 1; tries < TRIES && (!outcome.passed || outcome.fellShort); tries++) {
      outcome = await trial(rate);
      trials++;
    }
    if (outcome.passed) low = Math.max(low, outcome.offered);
    if (!outcome.passed || outcome.fellShort) {
      high = Math.min(high, rate);
      limit = outcome.fellShort ? 'sender' : 'loss';
    }
    if (high / low <= 1 + precision) break;
    rate = next(low, high, stride);
    // Far from the guess, ever longer strides get there.
    stride = Math.min(STRIDE_MAX, stride ** 1.5);
    // A sender at its limit tells where that is.
    const hint = outcome.offered * (1 + precision / 2);
    if (outcome.fellShort && hint > low && hint < high) rate = hint;
  }
  return { rate: low, limit };
}

function next(low: number, high: number, step: number): number {
  if (high === Infinity) return low * step;
  if (low === 0) return high / step;
  return Math.sqrt(low * high);
}
