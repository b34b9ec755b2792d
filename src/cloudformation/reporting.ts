/** This file reports the problems that the readers of templates find. */
import type { Problem, Severity } from '../source/problem.ts';
import { makeInvalid, type InvalidValue, type Where } from './values.ts';

/** Collects problems. */
export interface Reporting {
  readonly problems: Problem[];
}

export function report(
  problems: Problem[],
  severity: Severity,
  code: string,
  { at, path }: Where,
  message: string,
  hint?: string,
): void {
  problems.push({ severity, code, at, path, message, ...(hint === undefined ? {} : { hint }) });
}

/** Reports an error, and returns the value that stands for it. */
export function fail(
  to: Reporting,
  code: string,
  where: Where,
  message: string,
  hint?: string,
): InvalidValue {
  report(to.problems, 'error', code, where, message, hint);
  return makeInvalid(where);
}
