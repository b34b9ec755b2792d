/**
 * Waits until something is so. It ends when that is seen, however slow the machine is; the bound is only there for what never
 * comes.
 */
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 120_000;
const LOOK_MS = 10;

/** @param what for the message of the error that is thrown in the end */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadlineMs = performance.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (performance.now() > deadlineMs) throw new Error(`waited in vain: ${what}`);
    await sleep(LOOK_MS);
  }
}
