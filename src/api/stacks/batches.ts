/**
 * This file runs the steps of a stack in as few commits as the store's limits allow, and takes all of them back if one
 * is refused.
 *
 * Theory of operation. Most stacks fit into one commit: all or nothing, with the stack's own row. A larger one is cut
 * between steps. Each of its commits but the last also says how far the stack is, so that a server that ends in between
 * leaves a stack that can be updated or deleted. Commits are taken back in the opposite order.
 */
import { Edit } from '../../estate/edit.ts';
import type { Estate } from '../../estate/estate.ts';
import type { Checked } from '../../policy/refusals.ts';
import { NOTE_OPERATIONS } from '../../estate/change-notes.ts';
import { COMMIT_LIMITS } from '../../store/limits.ts';
import { ApiError } from '../action.ts';
import type { Done, Managed, TakenBack } from '../managed.ts';
import type { Failure } from './events.ts';
import type { MadeRules } from './rule-steps.ts';
import type { Step } from './steps.ts';

/** For the rows of the stack: itself, template, events, change sets; and for the note of who did it. */
const RESERVED_OPERATIONS = 12 + NOTE_OPERATIONS;
const STEPS_BYTES_MAX = 400_000;

export interface BatchRun {
  readonly steps: readonly Step[];
  /** Checks and writes the stack's own rows. @throws ApiError if the stack is not as it was */
  readonly finish: (edit: Edit, results: MadeRules) => void;
  /** The same between two commits. @param count how many steps are done */
  readonly pause: (edit: Edit, results: MadeRules, count: number) => void;
}

export type BatchOutcome =
  | { readonly kind: 'done'; readonly revision: number }
  /** `isBack`: everything is as it was. */
  | { readonly kind: 'failed'; readonly failure: Failure; readonly isBack: boolean };

export async function runBatches(my: Managed, run: BatchRun): Promise<BatchOutcome> {
  const results: MadeRules = new Map();
  const done: Done<unknown>[] = [];
  const since: TakenBack = new Map();
  let at = 0;
  for (;;) {
    const batch = run.steps.slice(at, at + countFitting(my.estate, run.steps.slice(at)));
    const end = at + batch.length;
    const isLast = end === run.steps.length;
    let current = '';
    try {
      const work = (edit: Edit): Checked<undefined> => {
        for (const { logicalId, run: runStep } of batch) {
          current = logicalId;
          const step = runStep(edit, results);
          if (!step.ok) return step;
        }
        if (isLast) run.finish(edit, results);
        else run.pause(edit, results, end);
        current = '';
        checkSize(edit);
        return { ok: true, value: undefined };
      };
      done.push(await my.change({}, work, since));
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      const isBack = await takeBack(done, since);
      return { kind: 'failed', failure: { logicalId: current, reason: error.message }, isBack };
    }
    at = end;
    if (isLast) return { kind: 'done', revision: done[done.length - 1].revision };
  }
}

/** How many of the steps go into one commit. At least one, so that what is too large is refused as such. */
export function countFitting(estate: Estate, steps: readonly Step[]): number {
  const edit = new Edit(estate);
  const results: MadeRules = new Map();
  for (let i = 0; i < steps.length; i++) {
    const done = steps[i].run(edit, results);
    // It will be refused: the call tells.
    if (!done.ok) return i + 1;
    if (i > 0 && isFull(edit)) return i;
  }
  return steps.length;
}

function isFull(edit: Edit): boolean {
  const { conditions, changes, bytes } = sizeOf(edit);
  const most = COMMIT_LIMITS.operations - RESERVED_OPERATIONS;
  return conditions > most || changes > most || bytes > STEPS_BYTES_MAX;
}

function checkSize(edit: Edit): void {
  const { conditions, changes, bytes } = sizeOf(edit);
  const { operations, bytes: mostBytes } = COMMIT_LIMITS;
  if (conditions <= operations && changes <= operations && bytes <= mostBytes) return;
  throw new ApiError(
    'LimitExceededException',
    `The change is too large for one commit of the store: ${conditions} conditions, ${changes} rows, ${bytes} bytes. Use several stacks`,
  );
}

function sizeOf(edit: Edit): {
  readonly conditions: number;
  readonly changes: number;
  readonly bytes: number;
} {
  const { conditions, puts, deletes } = edit.commit();
  const keys = [...conditions, ...puts].reduce((sum, { key }) => sum + key.length, 0);
  const bytes =
    puts.reduce((sum, { value }) => sum + Buffer.byteLength(value), keys) +
    deletes.reduce((sum, key) => sum + key.length, 0);
  return { conditions: conditions.length, changes: puts.length + deletes.length, bytes };
}

async function takeBack(done: readonly Done<unknown>[], since: TakenBack): Promise<boolean> {
  for (const one of [...done].reverse()) if (!(await one.takeBack(since))) return false;
  return true;
}
