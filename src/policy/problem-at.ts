/** Makes a problem of something of the model, at the place where it is written. */
import type { Problem, Severity } from '../source/problem.ts';
import type { Origin } from './model.ts';

export function problemAt(
  { file, line, column, path }: Origin,
  severity: Severity,
  code: string,
  message: string,
  hint?: string,
): Problem {
  const at = { file, line, column };
  return { severity, code, at, path, message, ...(hint === undefined ? {} : { hint }) };
}
