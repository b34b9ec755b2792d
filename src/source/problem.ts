/**
 * What is wrong with what a person wrote, and where.
 *
 * A loader never throws for bad input: it pushes Problems into a list it was handed and goes on, so
 * that all of them are told at once. Whoever asked decides by `hasErrors` whether to use the result.
 */

/** A place in a text file. Lines and columns count from 1, as editors and compilers do. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `error`: the input is refused. `warning`: it works here, but AWS or its author would object. `notice`: passed over. */
export type Severity = 'error' | 'warning' | 'notice';

export interface Problem {
  readonly severity: Severity;
  /** Stable kebab-case name of the kind of problem, for `--json` and for searching the docs. */
  readonly code: string;
  /** Where; undefined only if there is no text to point to (a file that can't be opened has line 0). */
  readonly at: Position | undefined;
  /** Path inside the document, as `securityGroups.db.ingress[0].ports`; empty for the whole document. */
  readonly path: string;
  /** What happened, one sentence without a full stop. */
  readonly message: string;
  /** What would be right, or what to do. */
  readonly hint?: string;
}

export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === 'error');
}

/** `file:line:column: error: message (path)` and the hint on a line of its own, as compilers print. */
export function formatProblem(problem: Problem): string {
  const { at } = problem;
  const place =
    at === undefined ? '' : at.line > 0 ? `${at.file}:${at.line}:${at.column}: ` : `${at.file}: `;
  const path = problem.path === '' ? '' : ` [${problem.path}]`;
  const hint = problem.hint === undefined ? '' : `\n    ${problem.hint}`;
  return `${place}${problem.severity}: ${problem.message}${path}${hint}`;
}
