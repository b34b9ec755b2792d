/**
 * Tables that fit the terminal: columns that can bear it are cut, and what is still too long is cut at the right.
 * Nothing wraps. Where nobody looks (a pipe, a file) nothing is cut.
 */
import { printable } from '../source/excerpt.ts';
import { paint } from './output.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
  /** It may be cut to so many characters. Absent: only with the end of the line. */
  readonly min?: number;
  /** Colours a cell once it is padded. */
  readonly style?: (padded: string, cell: string) => string;
}

const GAP = '  ';
const CUT = '…';

/** Columns of the terminal that stdout is; undefined if it is none. */
export function terminalColumns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

/** Head and rows as lines. Cells are made harmless to a terminal. @param width undefined: as wide as it gets */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): string[] {
  const cells = rows.map((row) => row.map(printable));
  const widths = columns.map(({ title }, i) =>
    Math.max(title.length, ...cells.map((row) => row[i].length)),
  );
  const fitted = width === undefined ? widths : fitWidths(columns, widths, width);
  const head = columns.map(({ title }, i) => pad(title, fitted[i], columns[i]));
  const lines = [paintLine(head, width, (text) => paint(text, 'bold'))];
  for (const row of cells) {
    const texts = row.map((cell, i) => pad(cell, fitted[i], columns[i]));
    lines.push(styleLine(texts, row, columns, width));
  }
  return lines;
}

/** The table as text for stdout. */
export function formatFitted(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  return tableLines(columns, rows, terminalColumns()).join('\n');
}

/** `text` in at most `width` characters. */
export function cut(text: string, width: number): string {
  if (text.length <= width) return text;
  return width < 1 ? '' : text.slice(0, width - 1) + CUT;
}

/** Takes from the columns that may be cut, the right one first, until all fit or none can give more. */
function fitWidths(columns: readonly Column[], widths: readonly number[], width: number): number[] {
  const fitted = [...widths];
  let over = fitted.reduce((sum, one) => sum + one, 0) + GAP.length * (columns.length - 1) - width;
  for (let i = columns.length - 1; i >= 0 && over > 0; i--) {
    const spare = Math.max(0, fitted[i] - (columns[i].min ?? Infinity));
    const taken = Math.min(spare, over);
    fitted[i] -= taken;
    over -= taken;
  }
  return fitted;
}

function pad(text: string, width: number, { align }: Column): string {
  const short = cut(text, width);
  return align === 'right' ? short.padStart(width) : short.padEnd(width);
}

function paintLine(
  texts: readonly string[],
  width: number | undefined,
  style: (text: string) => string,
): string {
  const line = texts.join(GAP).trimEnd();
  return style(width === undefined ? line : cut(line, width));
}

/** Styles cells that are wholly there: a colour must not be cut in two. */
function styleLine(
  texts: readonly string[],
  row: readonly string[],
  columns: readonly Column[],
  width: number | undefined,
): string {
  const plain = texts.join(GAP).trimEnd();
  if (width !== undefined && plain.length > width) return cut(plain, width);
  const styled = texts.map((text, i) => columns[i].style?.(text, row[i]) ?? text);
  return styled.join(GAP).trimEnd();
}
