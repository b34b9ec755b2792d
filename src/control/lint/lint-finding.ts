/** What the parts of the linter share: findings, blocks, and a bound on the work. */
import { cidrContains, type Cidr } from '../../addr/address.ts';
import type { Origin } from '../../policy/model.ts';
import type { Problem, Severity } from '../../source/problem.ts';

/** Comparisons a run may make: a second or so. AWS's quotas keep any model it takes far below. */
const STEPS_MAX = 20_000_000;

export interface Budget {
  /** What is left; nothing more is compared at 0 or below. */
  steps: number;
}

export function makeBudget(): Budget {
  return { steps: STEPS_MAX };
}

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

/** Whether every address of `inner` is in `outer`. */
export function containsBlock(outer: Cidr, inner: Cidr): boolean {
  return outer.length <= inner.length && cidrContains(outer, inner);
}

/** `a`, `a and b`, `a, b and c`, `a, b and 7 more`. */
export function listTexts(texts: readonly string[], max = 4): string {
  const shown = texts.length > max ? texts.slice(0, max - 1) : texts.slice(0, -1);
  const last = texts.length > max ? `${texts.length - max + 1} more` : texts.at(-1)!;
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}

/** Where a rule stands, as one key. */
export function placeKey({ file, line, column }: Origin): string {
  return `${file}:${line}:${column}`;
}
