/**
 * Describes what is wrong in a text that a person wrote, and where.
 *
 * A loader never throws for bad input. It adds Problems to a list from its caller and goes on, so that all are
 * reported at once. The caller decides by `hasErrors` whether to use the result.
 */

/** A place in a text file. Lines and columns count from 1, as in editors and compilers. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/**
 * `error`: the input is refused. `warning`: it works here, but AWS or its author would object. `notice`: it was
 * ignored.
 */
export type Severity = 'error' | 'warning' | 'notice';

export interface Problem {
  readonly severity: Severity;
  /** Stable kebab-case name of the kind of problem, for `--json` and for searching the docs. */
  readonly code: string;
  /** Where it is. Undefined only if there is no text to point to. For a file that can't be opened, the line is 0. */
  readonly at: Position | undefined;
  /** Path inside the document, as `securityGroups.db.ingress[0].ports`. Empty for the whole document. */
  readonly path: string;
  /** What happened, as one sentence without a full stop. */
  readonly message: string;
  /** What would be right, or what to do. */
  readonly hint?: string;
}

export function hasErrors(problems: readonly Problem[]): boolean {
  return problems.some((problem) => problem.severity === 'error');
}

/** Writes a problem as compilers do: `file:line:column: error: message [path]`, then the hint on a line of its own. */
export function formatProblem(problem: Problem): string {
  const { at } = problem;
  const place =
    at === undefined ? '' : at.line > 0 ? `${at.file}:${at.line}:${at.column}: ` : `${at.file}: `;
  const path = problem.path === '' ? '' : ` [${problem.path}]`;
  const hint = problem.hint === undefined ? '' : `\n    ${problem.hint}`;
  return `${place}${problem.severity}: ${problem.message}${path}${hint}`;
}
