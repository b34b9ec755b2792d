/** Waits for descriptors of a test's own, now and then: it makes a poller for one wait. */
import type { Native } from '../../src/ports/native.ts';

/** @returns by descriptor: 1 if it has input, 2 after an error or a hang-up, 0 if it is quiet */
export function waitForInput(native: Native, fds: readonly number[], timeoutMs: number): number[] {
  const poller = native.createPoller();
  try {
    for (const [number, fd] of fds.entries()) native.watch(poller, fd, number);
    const events = new Int32Array(2 * fds.length);
    const count = native.wait(poller, events, timeoutMs);
    const found = fds.map(() => 0);
    for (let i = 0; i < count; i++) found[events[2 * i]] = events[2 * i + 1];
    return found;
  } finally {
    native.closeFd(poller);
  }
}
