/** Medians and spreads: what is made of the figures of several rounds. */

export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** @throws RangeError for no values */
export function summarise(values: readonly number[]): Summary {
  if (values.length === 0) throw new RangeError('no values to summarise');
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const median =
    sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  return { median, low: sorted[0], high: sorted[sorted.length - 1] };
}

/**
 * Ours against the rival's, round by round: two figures that were taken one right after the other share what
 * else the machine did then. What rounds one of them has more is left out.
 */
export function ratios(ours: readonly number[], theirs: readonly number[]): number[] {
  const rounds = Math.min(ours.length, theirs.length);
  return Array.from({ length: rounds }, (_, i) => ours[i] / theirs[i]);
}

/** Three significant digits, no exponent: 0.0123, 1.23, 123, 12300. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 4));
}

/** `1.23 (1.10–1.40)` */
export function formatSummary({ median, low, high }: Summary): string {
  return `${formatNumber(median)} (${formatNumber(low)}–${formatNumber(high)})`;
}
