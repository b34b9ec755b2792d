/** How the daemon ends when something fails: in words, and for certain. */
import type { Logger } from 'pino';

/** So long an orderly end may take. */
const STOP_TIMEOUT_MS = 5000;

/** Logs that `what` failed, and why in the same sentence. Where in the code is told of what is no failed system call: of our own faults. */
export function logFailure(log: Logger, what: string, error: unknown): void {
  const { code, syscall, device } = (error ?? {}) as Record<string, unknown>;
  const isSystemCall = typeof code === 'string' && !code.startsWith('ERR_');
  const fields = isSystemCall ? { code, syscall, device } : { err: error };
  log.fatal(fields, `${what}: ${error instanceof Error ? error.message : String(error)}`);
}

/**
 * Ends the process when an error comes up that nothing was prepared for, instead of leaving packets to a loop that nobody
 * steers. `process.exit` alone waits for the packet loop's thread, which waits for packets: so the loop is stopped first, and
 * if that does not come about in time the process is killed.
 * @param stop what stops the daemon
 */
export function endOnSurprise(log: Logger, stop: () => Promise<void>): void {
  let isEnding = false;
  process.on('uncaughtException', (error) => {
    logFailure(log, 'the daemon failed', error);
    if (isEnding) return;
    isEnding = true;
    setTimeout(() => process.kill(process.pid, 'SIGKILL'), STOP_TIMEOUT_MS);
    stop().then(
      () => process.exit(1),
      () => process.kill(process.pid, 'SIGKILL'),
    );
  });
}
