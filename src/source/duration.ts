/** This file reads durations as people write them. */

const DURATION = /^(\d{1,15}(?:\.\d{1,15})?)(ms|s|m|h|d)?$/;
const UNITS_MS = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Reads `30`, `30s`, `1.5m`, `2h`, `5d`; in ms, undefined if it is none of them or beyond what a number holds. */
export function parseDuration(text: string): number | undefined {
  const parts = DURATION.exec(text);
  if (parts === null) return undefined;
  const ms = Math.round(Number(parts[1]) * UNITS_MS[(parts[2] ?? 's') as keyof typeof UNITS_MS]);
  return Number.isSafeInteger(ms) ? ms : undefined;
}
