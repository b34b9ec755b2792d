/** These functions end the daemon after a failure: with an explanation, and reliably. */
import type { Logger } from 'pino';
import type { Native } from '../ports/native.ts';

/** The longest time that an orderly end may take. */
const STOP_TIMEOUT_MS = 5000;

/** Logs that `what` failed, and why. Errors that are no failed system calls are our own faults: they get a stack. */
export function logFailure(log: Logger, what: string, error: unknown): void {
  const { code, syscall, device } = (error ?? {}) as Record<string, unknown>;
  const isSystemCall = typeof code === 'string' && !code.startsWith('ERR_');
  const fields = isSystemCall ? { code, syscall, device } : { err: error };
  log.fatal(fields, `${what}: ${error instanceof Error ? error.message : String(error)}`);
}

/** The exit code of the process when something failed (exit-codes.ts). */
const EXIT_FAILED = 1;

/** What to do about a failed system call, by its error code. `fallback` is for all other codes. */
export type Advice = Readonly<Record<string, string>> & { readonly fallback: string };

/**
 * Does `work`. If it fails, the error says what failed, why, and what to do.
 * @throws Error with the code of the first
 */
export async function advising<T>(
  what: string,
  advice: Advice,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const { code, syscall } = (error ?? {}) as { code?: string; syscall?: string };
    if (code === undefined) throw error;
    const why = error instanceof Error ? error.message : code;
    const message = `${what}: ${why}; ${advice[code] ?? advice.fallback}`;
    throw Object.assign(new Error(message, { cause: error }), { code, syscall });
  }
}

/**
 * Ends the process at once after a packet loop has died, without an orderly stop of the other loops. This fails closed:
 * the devices close with the process, and nothing passes until it is started again. The state that the loop left can't
 * be trusted, so no flows are saved. (process.exit would wait for the other loops, which wait for packets.)
 */
export function endAtOnce(log: Logger, native: Native, error: Error): never {
  logFailure(log, 'the packet loop failed', error);
  native.exitNow(EXIT_FAILED);
}

/**
 * Ends the process on an unexpected error. Otherwise the packet loops would run on without a control plane. The loops
 * are stopped first, so that their flows are saved. If that takes too long, the process ends all the same.
 * @param stop stops the daemon
 */
export function endOnSurprise(log: Logger, native: Native, stop: () => Promise<void>): void {
  let isEnding = false;
  process.on('uncaughtException', (error) => {
    logFailure(log, 'the daemon failed', error);
    if (isEnding) return;
    isEnding = true;
    setTimeout(() => native.exitNow(EXIT_FAILED), STOP_TIMEOUT_MS);
    const end = (): never => native.exitNow(EXIT_FAILED);
    stop().then(end, end);
  });
}
