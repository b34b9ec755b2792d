/** Tells what processor time a process or a thread has used, whoever asks. */
import { readFileSync } from 'node:fs';

/** Clock ticks of /proc are 10 ms on every Linux (USER_HZ). */
const TICK_MS = 10;

/**
 * Processor time in milliseconds.
 * @param task a process, all its threads together; or one of these, as `PID/task/TID`
 */
export function cpuMs(task: number | string): number {
  const stat = readFileSync(`/proc/${task}/stat`, 'utf8');
  // The name may have blanks; what follows it begins with field 3.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return TICK_MS * (Number(fields[11]) + Number(fields[12]));
}
