/**
 * This file reports the progress of long steps of a start or a stop. It writes to the log, and it asks the service
 * manager for more time than TimeoutStartSec= and TimeoutStopSec= of the unit allow.
 */
import type { Logger } from 'pino';
import type { Notifier } from './notify.ts';

const TELL_INTERVAL_MS = 2000;
/** Much longer than the time between two steps, even on a busy machine. */
const EXTENSION_MS = 30_000;

/** @returns a function to call at every step, with the number of steps done. It logs `what` with `fields`. */
export function tellProgress(
  log: Logger,
  notifier: Pick<Notifier, 'extendTimeout'>,
  what: string,
): (fields: Readonly<Record<string, number | undefined>>) => void {
  let told = performance.now();
  return (fields) => {
    const now = performance.now();
    if (now - told < TELL_INTERVAL_MS) return;
    told = now;
    log.info(fields, what);
    notifier.extendTimeout(EXTENSION_MS);
  };
}
