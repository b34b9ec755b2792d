/** This file writes numbers, amounts and times for people. */

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `0`, `950`, `1.2 k`, `35 M`: three digits at most. */
export function formatCount(value: number): string {
  return scaled(value, 1000, ['', ' k', ' M', ' G', ' T']);
}

/** `0 B`, `950 B`, `1.2 KiB`. */
export function formatBytes(value: number): string {
  return scaled(value, 1024, [' B', ' KiB', ' MiB', ' GiB', ' TiB']);
}

/** Bits of so many bytes a second, as networks are measured: `1.2 Mbit/s`. */
export function formatBitRate(bytesPerSecond: number): string {
  return scaled(bytesPerSecond * 8, 1000, [' bit/s', ' kbit/s', ' Mbit/s', ' Gbit/s', ' Tbit/s']);
}

function scaled(value: number, step: number, units: readonly string[]): string {
  let rest = value;
  let unit = 0;
  while (rest >= step && unit < units.length - 1) {
    rest /= step;
    unit++;
  }
  // 999.6 would be written as 1000.
  if (unit > 0 && rest >= step - 0.5 && unit < units.length - 1) {
    rest /= step;
    unit++;
  }
  const isWhole = unit === 0 && (Number.isInteger(rest) || rest >= 9.95);
  const text = isWhole || rest >= 9.95 ? rest.toFixed(0) : rest.toFixed(1);
  return `${text}${units[unit]}`;
}

/** A whole number with thousands apart. */
export function formatWhole(value: number): string {
  return value.toLocaleString('en-GB', { maximumFractionDigits: 0 });
}

/** `350 ms`, `12 s`, `3 min`, `2 h`, `4 d`. */
export function formatDuration(ms: number): string {
  if (ms < SECOND_MS) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 2 * MINUTE_MS) return `${Math.floor(ms / SECOND_MS)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min`;
  if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h`;
  return `${Math.floor(ms / DAY_MS)} d`;
}

/** `12 s ago`; `now` for what is less than two seconds ago, also by a clock that is ahead. */
export function formatAgo(thenMs: number, nowMs: number): string {
  const ms = nowMs - thenMs;
  return ms < 2 * SECOND_MS ? 'now' : `${formatDuration(ms)} ago`;
}

/** The time of day by this machine's clock and zone: `14:03:27`. */
export function formatClock(timeMs: number): string {
  return new Date(timeMs).toLocaleTimeString('en-GB', { hour12: false });
}

/** Day and time: `30 Nov 2026, 14:03:27`. */
export function formatMoment(timeMs: number): string {
  return new Date(timeMs).toLocaleString('en-GB', { dateStyle: 'medium', timeStyle: 'medium' });
}

/** `10.0.0.1:80`, `[fd00::1]:80`; the address alone where there is no port. */
export function formatEnd(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `1 rule`, `2 rules`. */
export function formatNumberOf(count: number, one: string, many = `${one}s`): string {
  return `${formatWhole(count)} ${count === 1 ? one : many}`;
}

/** `lab.yaml:12`. */
export function formatOrigin(origin: { readonly file: string; readonly line: number }): string {
  return origin.line > 0 ? `${origin.file}:${origin.line}` : origin.file;
}
