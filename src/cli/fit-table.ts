/**
 * Tables that fit the terminal: columns that can bear it are cut, those that matter least are left out, and what is
 * still too long is cut at the right. Nothing wraps. Where nobody looks (a pipe, a file) everything is there, uncut.
 */
import { printable } from '../source/excerpt.ts';
import { paint } from './output.ts';

export interface Column {
  readonly title: string;
  readonly align?: 'right';
  /** It may be cut to so many characters. Absent: only with the end of the line. */
  readonly min?: number;
  /** It may be left out where there is no room: the column with the highest number first. Absent: it stays. */
  readonly leaves?: number;
  /** Colours a cell once it is padded. */
  readonly style?: (padded: string, cell: string) => string;
}

const GAP = '  ';
const CUT = '…';

/** Columns of the terminal that stdout is; undefined if it is none. */
export function terminalColumns(): number | undefined {
  return process.stdout.isTTY ? process.stdout.columns : undefined;
}

export interface FittedTable {
  readonly lines: readonly string[];
  /** Titles of the columns that found no room. */
  readonly leftOut: readonly string[];
}

/** Head and rows as lines. Cells are made harmless to a terminal. @param width undefined: as wide as it gets */
export function tableLines(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): readonly string[] {
  return fitTable(columns, rows, width).lines;
}

/** As `tableLines`, and which columns were left out. */
export function fitTable(
  allColumns: readonly Column[],
  allRows: readonly (readonly string[])[],
  width: number | undefined,
): FittedTable {
  const allCells = allRows.map((row) => row.map(printable));
  const allWidths = allColumns.map(({ title }, i) =>
    allCells.reduce((most, row) => Math.max(most, row[i].length), title.length),
  );
  const kept = keptColumns(allColumns, allWidths, width ?? Infinity);
  const columns = kept.map((i) => allColumns[i]);
  const widths = kept.map((i) => allWidths[i]);
  const cells = allCells.map((row) => kept.map((i) => row[i]));
  const fitted = width === undefined ? widths : fitWidths(columns, widths, width);
  const head = columns.map(({ title }, i) => pad(title, fitted[i], columns[i]));
  const lines = [paintLine(head, width, (text) => paint(text, 'bold'))];
  for (const row of cells) {
    const texts = row.map((cell, i) => pad(cell, fitted[i], columns[i]));
    lines.push(styleLine(texts, row, columns, width));
  }
  const leftOut = allColumns.filter((_, i) => !kept.includes(i)).map(({ title }) => title);
  return { lines, leftOut };
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

/** Which columns have room when all that may be cut are: their places, in order. */
function keptColumns(
  columns: readonly Column[],
  widths: readonly number[],
  width: number,
): readonly number[] {
  let kept = columns.map((_, i) => i);
  const leastOf = (i: number): number => Math.min(widths[i], columns[i].min ?? Infinity);
  const least = (): number =>
    kept.reduce((sum, i) => sum + leastOf(i), 0) + GAP.length * (kept.length - 1);
  while (least() > width) {
    const going = kept.reduce((worst, i) =>
      (columns[i].leaves ?? 0) > (columns[worst].leaves ?? 0) ? i : worst,
    );
    if (columns[going].leaves === undefined) return kept;
    kept = kept.filter((i) => i !== going);
  }
  return kept;
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
