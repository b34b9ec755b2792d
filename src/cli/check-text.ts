/**
 * Prints problems as compilers do: place and message, then the line of the text with a mark under it, then the hint.
 */
import { ExcerptReader, printable } from '../source/excerpt.ts';
import { formatProblem, type Problem, type Severity } from '../source/problem.ts';
import { paint, type Style } from './output.ts';

const STYLE_OF: Readonly<Record<Severity, Style>> = {
  error: 'red',
  warning: 'yellow',
  notice: 'dim',
};

const HINT_INDENT = '    ';

/** Prints problems on stderr, in colour on a terminal. */
export function printProblems(problems: readonly Problem[], withExcerpts: boolean): void {
  const excerpts = withExcerpts ? new ExcerptReader() : undefined;
  for (const problem of problems) console.error(problemText(problem, excerpts));
}

/** The text of one problem. Without a reader it has no excerpt. The text of a file can't control the terminal. */
export function problemText(problem: Problem, excerpts?: ExcerptReader): string {
  const { hint, ...head } = problem;
  const style = STYLE_OF[problem.severity];
  const label = `${problem.severity}:`;
  const styled = paint(label, style, process.stderr);
  // A function, because a `$` in the text would have a meaning in a replacement text.
  const lines = [printable(formatProblem(head)).replace(label, () => styled)];
  const excerpt = problem.at === undefined ? undefined : excerpts?.read(problem.at);
  if (excerpt !== undefined) {
    const number = String(problem.at!.line).padStart(5);
    const bar = (text: string): string => paint(`${text} | `, 'dim', process.stderr);
    lines.push(`${bar(number)}${excerpt.line}`.trimEnd());
    const caret = excerpt.mark.trimStart();
    const blanks = excerpt.mark.slice(0, excerpt.mark.length - caret.length);
    lines.push(`${bar(' '.repeat(number.length))}${blanks}${paint(caret, style, process.stderr)}`);
  }
  if (hint !== undefined) lines.push(`${HINT_INDENT}${printable(hint)}`);
  return lines.join('\n');
}

export type Counts = Readonly<Record<Severity, number>>;

export function countSeverities(problems: readonly Problem[]): Counts {
  const counts = { error: 0, warning: 0, notice: 0 };
  for (const { severity } of problems) counts[severity] += 1;
  return counts;
}
