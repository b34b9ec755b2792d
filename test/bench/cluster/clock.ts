/** Time and processor time, as several processes can compare them. */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc are 10 ms on every Linux (USER_HZ). */
const TICK_MS = 10;

/** Milliseconds by a clock that all processes of the machine share. */
export function nowMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Processor time that a process has used, all its threads together, in milliseconds. */
export function cpuMs(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // The name may have blanks; what follows it begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11]) + Number(fields[12]));
}

/** The value below which a part of all values is. @param sorted ascending, not empty */
export function quantile(sorted: ArrayLike<number>, part: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}
