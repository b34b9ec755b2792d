/** Says with which code to exit as a program did. */
import { constants } from 'node:os';

/** A program ended by signal N exits with this plus N, as in shells. */
export const EXIT_SIGNAL_BASE = 128;

/** What 'exit' of a child process tells, as one number. */
export function exitCodeOf(code: number | null, signal: NodeJS.Signals | null): number {
  return code ?? EXIT_SIGNAL_BASE + (signal === null ? 0 : constants.signals[signal]);
}
