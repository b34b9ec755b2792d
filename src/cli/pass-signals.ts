/** Passes signals on to a program that runs in our place. */
import { isatty } from 'node:tty';

const PASSED: readonly NodeJS.Signals[] = [
  ...(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const),
  ...(['SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const),
];
/** The kernel sends these to everything in the terminal's foreground, so the program has them already. */
const FROM_TERMINAL: ReadonlySet<NodeJS.Signals> = new Set(['SIGINT', 'SIGQUIT', 'SIGWINCH']);

/**
 * From now on signals go to the program. Call it before the program starts: a signal in between would end only this
 * process. @returns a function that ends it
 */
export function passSignals(pass: (signal: NodeJS.Signals) => void): () => void {
  // Not `process.stdin.isTTY`, which would open the stream: the terminal is the program's.
  const hasTerminal = [0, 1, 2].some((fd) => isatty(fd));
  const take = (signal: NodeJS.Signals): void => {
    if (!hasTerminal || !FROM_TERMINAL.has(signal)) pass(signal);
  };
  PASSED.forEach((signal) => process.on(signal, take));
  return () => PASSED.forEach((signal) => process.off(signal, take));
}
