/** This file has what the lint rules share: findings, blocks, and a limit on the work. */
import type { Origin } from '../policy/model.ts';

/** Most comparisons in a run: about a second. Models within AWS's quotas stay far below. */
const STEPS_MAX = 20_000_000;

export interface Budget {
  /** Comparisons that are left. At 0 or below nothing more is compared. */
  steps: number;
}

export function makeBudget(): Budget {
  return { steps: STEPS_MAX };
}

/** Formats a list: `a`, `a and b`, `a, b and c`, `a, b and 7 more`. */
export function listTexts(texts: readonly string[], max = 4): string {
  const shown = texts.length > max ? texts.slice(0, max - 1) : texts.slice(0, -1);
  const last = texts.length > max ? `${texts.length - max + 1} more` : texts.at(-1)!;
  return shown.length === 0 ? last : `${shown.join(', ')} and ${last}`;
}

/** Makes one key of the place where a rule is written. */
export function placeKey({ file, line, column }: Origin): string {
  return `${file}:${line}:${column}`;
}
