/**
 * Waits until something is so. It ends when that is seen, however slow the machine is; the bound is only there for what never
 * comes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { GUARD_MS } from './guard-time.ts';

const LOOK_MS = 10;

/** @param what for the message of the error that is thrown in the end; a function is asked then */
export async function until(
  what: string | (() => string | Promise<string>),
  isSo: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadlineMs = performance.now() + GUARD_MS;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs)
      throw new Error(`waited in vain: ${typeof what === 'string' ? what : await what()}`);
    await sleep(LOOK_MS);
  }
}
