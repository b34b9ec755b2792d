/** Figures as people read them at a glance. JSON has the raw ones. */

const STEP = 1000;
const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P'] as const;
const EXACT_MAX = 10_000;

/** `9999`, `12.3k`, `1.2M`. */
export function formatCount(count: number): string {
  return count < EXACT_MAX ? String(count) : scale(count).join('');
}

/** `0 B`, `512 B`, `1.5 kB`, `2.3 GB`: decimal, as network rates are. */
export function formatBytes(bytes: number): string {
  return withUnit(bytes, 'B');
}

/** `0 b/s`, `9.8 Mb/s`. @param bytes a second */
export function formatBitRate(bytes: number): string {
  return withUnit(8 * bytes, 'b/s');
}

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** The two largest units: `0 s`, `4.2 s`, `42 s`, `3m 05s`, `2h 07m`, `4d 23h`. */
export function formatDuration(ms: number): string {
  if (ms < 10 * SECOND_MS) {
    const seconds = Math.floor(ms / 100) / 10;
    return `${seconds} s`;
  }
  if (ms < MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < HOUR_MS) return two(ms, MINUTE_MS, 'm', SECOND_MS, 's');
  if (ms < DAY_MS) return two(ms, HOUR_MS, 'h', MINUTE_MS, 'm');
  return two(ms, DAY_MS, 'd', HOUR_MS, 'h');
}

/** `3m 05s ago`; `never` for undefined. @param atMs since 1970 */
export function formatAgo(atMs: number | undefined, nowMs = Date.now()): string {
  return atMs === undefined ? 'never' : `${formatDuration(Math.max(0, nowMs - atMs))} ago`;
}

/** Local time of day: `14:03:07.123`. @param atMs since 1970 */
export function formatClock(atMs: number): string {
  const date = new Date(atMs);
  const part = (value: number, digits = 2): string => String(value).padStart(digits, '0');
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map((one) => part(one));
  return `${time.join(':')}.${part(date.getMilliseconds(), 3)}`;
}

function withUnit(value: number, unit: string): string {
  const [number, prefix] = scale(value);
  return `${number} ${prefix}${unit}`;
}

function scale(value: number): [number: string, prefix: string] {
  let rest = value;
  let step = 0;
  // 999.95 would be shown as 1000.0 of the smaller unit.
  while (rest >= 999.95 && step < PREFIXES.length - 1) {
    rest /= STEP;
    step++;
  }
  return [step === 0 ? String(Math.round(rest)) : rest.toFixed(1), PREFIXES[step]];
}

function two(ms: number, big: number, bigName: string, small: number, smallName: string): string {
  const rest = Math.floor((ms % big) / small);
  return `${Math.floor(ms / big)}${bigName} ${String(rest).padStart(2, '0')}${smallName}`;
}
