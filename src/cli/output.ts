/**
 * What sgctl prints, and how it ends.
 *
 * Results go to stdout, everything else to stderr, so that `sgctl … --json | jq` works. Colour only where a
 * person looks: on a terminal, without NO_COLOR (no-color.org).
 */
import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import Table from 'cli-table3';
import { LabError, messageOf } from '../lab/errors.ts';
import { EXIT_SIGNAL_BASE } from '../lab/exit-code.ts';

export { EXIT_SIGNAL_BASE };

export const EXIT_OK = 0;
/** Something failed, or problems were found. */
export const EXIT_FAILED = 1;
/** The command line itself is wrong. */
export const EXIT_USAGE = 2;
/** Ended by Ctrl-C. */
export const EXIT_SIGINT = EXIT_SIGNAL_BASE + 2;
export const EXIT_SIGTERM = EXIT_SIGNAL_BASE + 15;

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Style = keyof typeof CODES;

export function hasColor(stream: NodeJS.WriteStream): boolean {
  const { NO_COLOR, TERM } = process.env;
  return stream.isTTY && (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb';
}

export function paint(
  text: string,
  style: Style,
  stream: NodeJS.WriteStream = process.stdout,
): string {
  return hasColor(stream) ? `\x1b[${CODES[style]}m${text}\x1b[0m` : text;
}

/** A table with a line under its head and no frame: easy on the eye and on `grep` and `awk`. */
export function formatTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: head.map((title) => paint(title, 'bold')),
    chars: {
      top: '', 'top-mid': '', 'top-left': '', 'top-right': '',
      bottom: '', 'bottom-mid': '', 'bottom-left': '', 'bottom-right': '',
      left: '', 'left-mid': '', right: '', 'right-mid': '',
      mid: '', 'mid-mid': '', middle: '  ',
    }, // prettier-ignore
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  table.push(...rows.map((row) => [...row]));
  // Columns are padded, also the last: no blanks at the ends of lines.
  return table.toString().replace(/[ \t]+$/gm, '');
}

/** Prints a failure on stderr, with what to do about it. */
export function printError(thrown: unknown): void {
  const label = paint('sgctl:', 'red', process.stderr);
  console.error(`${label} ${messageOf(thrown)}`);
  if (thrown instanceof LabError && thrown.hint !== undefined) console.error(`    ${thrown.hint}`);
}

/** How to call sgctl from here, to be shown in what a person might type next. */
export function programName(): string {
  if (basename(process.argv[1] ?? '') === 'sgctl') return 'sgctl';
  const script = fileURLToPath(new URL('../cli/sgctl.js', import.meta.url));
  const path = relative(process.cwd(), script);
  return `node ${path.startsWith('../../') ? script : path}`;
}
