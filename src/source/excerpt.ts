/**
 * Shows the line of a file that a problem is about, with a mark under the place.
 *
 *     12 |   web: { ingress: [{ protocol: tpc, ports: 80 }] }
 *        |                                ^~~
 *
 * Theory of operation. Nobody keeps the text, so it is read again: bounded, mostly once a file, and only from regular
 * files. (A pipe was emptied by the first reading, and opening one may block.) If the file or the line is gone, there
 * is no excerpt. The line goes to a terminal and may come from an attacker, so everything that controls a terminal or
 * reorders text is replaced. Columns count UTF-16 units, as positions do. The mark is placed by the width on the
 * terminal: tabs are blanks, East Asian letters and emoji take two columns, combining marks none.
 */
import { readBytes } from './read-text.ts';
import type { Position } from './problem.ts';

const FILE_BYTES_MAX = 4 * 1024 * 1024;
/** Files kept at a time; problems come sorted by file. */
const FILES_MAX = 8;
const TAB_COLUMNS = 4;
/** A longer line (a template on one line) is cut to this many columns around the place. */
const LINE_COLUMNS_MAX = 100;
/** Columns of a cut line that are shown before the place. */
const LEAD_COLUMNS = 40;
const ELLIPSIS = '…';
/** UTF-16 units that are read on either side of the place, so that a megabyte on one line costs no more than a word. */
const WINDOW_UNITS = 300;

export interface Excerpt {
  /** The line for a terminal: without tabs and control characters, and cut if it is long. */
  readonly line: string;
  /** Blanks, then `^`, then `~` to the end of the marked text. */
  readonly mark: string;
  /** UTF-16 units that are marked, as far as they are on this line and near the place. */
  readonly units: number;
}

/** Reads excerpts. It keeps the last few files. */
export class ExcerptReader {
  readonly #files = new Map<string, readonly string[] | undefined>();

  /**
   * Reads an excerpt; undefined if the file or the line can't be read.
   * @param file path to read, if it is not the name in `at`
   */
  read(at: Position, file: string = at.file): Excerpt | undefined {
    if (at.line < 1) return undefined;
    const line = this.#linesOf(file)?.[at.line - 1];
    return line === undefined || at.column > line.length + 1
      ? undefined
      : makeExcerpt(line, at.column);
  }

  #linesOf(file: string): readonly string[] | undefined {
    if (this.#files.has(file)) return this.#files.get(file);
    const found = readBytes(file, FILE_BYTES_MAX);
    const lines = found.kind === 'read' ? found.bytes.toString('utf8').split(/\r?\n/) : undefined;
    const oldest = this.#files.keys().next();
    if (this.#files.size >= FILES_MAX && !oldest.done) this.#files.delete(oldest.value);
    this.#files.set(file, lines);
    return lines;
  }
}

/** Makes the excerpt of a line. @param column counts from 1, and may be one past the end */
export function makeExcerpt(line: string, column: number): Excerpt {
  const left = windowStart(line, column - 1);
  const text = line.slice(left, column - 1 + WINDOW_UNITS);
  const start = column - 1 - left;
  const end = findEnd(text, start);
  const cells = [...splitCells(text)];
  const before = widthOf(cells.filter(({ offset }) => offset < start));
  const marked = widthOf(cells.filter(({ offset }) => offset >= start && offset < end));
  const total = widthOf(cells);
  const from = total <= LINE_COLUMNS_MAX ? 0 : Math.max(0, before - LEAD_COLUMNS);
  const to = total <= LINE_COLUMNS_MAX ? total : from + LINE_COLUMNS_MAX;
  const shown = cells.filter((cell) => cell.column >= from && cell.column + cell.width <= to);
  const lead = from > 0 || left > 0 ? ELLIPSIS : '';
  const trail = to < total || left + text.length < line.length ? ELLIPSIS : '';
  // A wide letter that would be cut is left out whole, so the first one shown may stand behind `from`.
  const indent = before - (shown[0]?.column ?? from) + lead.length;
  const length = Math.max(1, Math.min(marked, to - before));
  return {
    line: `${lead}${shown.map(({ text }) => text).join('')}${trail}`.trimEnd(),
    mark: `${' '.repeat(Math.max(0, indent))}^${'~'.repeat(length - 1)}`,
    units: end - start,
  };
}

/** Where the window begins; never inside a surrogate pair. */
function windowStart(line: string, start: number): number {
  const left = Math.max(0, start - WINDOW_UNITS);
  return /[\udc00-\udfff]/.test(line[left] ?? '') && left > 0 ? left + 1 : left;
}

/**
 * Replaces everything in `text` that controls a terminal (ESC and the like) or shows letters in another order than
 * the file has them (CVE-2021-42574).
 */
export function printable(text: string): string {
  return text.replace(/[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, '\ufffd');
}

interface Cell {
  /** Index in the line. */
  readonly offset: number;
  /** Terminal columns before it. */
  readonly column: number;
  readonly width: number;
  readonly text: string;
}

function* splitCells(line: string): Generator<Cell> {
  let offset = 0;
  let column = 0;
  for (const character of line) {
    const width = character === '\t' ? TAB_COLUMNS - (column % TAB_COLUMNS) : widthOfOne(character);
    const text = character === '\t' ? ' '.repeat(width) : printable(character);
    yield { offset, column, width, text };
    offset += character.length;
    column += width;
  }
}

function widthOf(cells: readonly Cell[]): number {
  return cells.reduce((sum, { width }) => sum + width, 0);
}

/** East Asian wide and full-width blocks. Source: Unicode Standard Annex #11. */
const WIDE =
  /^(?:\p{Emoji_Presentation}|[\u1100-\u115f\u2e80-\u303e\u3041-\u4dbf\u4e00-\ua4cf\ua960-\ua97f\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|[\u{20000}-\u{3fffd}])$/u;
const NO_WIDTH = /^[\p{Mn}\p{Me}\u200b-\u200d\u2060\ufeff]$/u;

function widthOfOne(character: string): number {
  if (character >= ' ' && character <= '~') return 1;
  if (NO_WIDTH.test(character)) return 0;
  return WIDE.test(character) ? 2 : 1;
}

/** Finds where the word, quoted text or bracket that starts at `start` ends on this line. */
function findEnd(line: string, start: number): number {
  const rest = line.slice(start);
  const quoted = /^(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')/.exec(rest);
  if (quoted !== null) return start + quoted[0].length;
  if (rest.startsWith('{') || rest.startsWith('[')) return start + findClosing(rest);
  // A plain word ends before a comment, at the colon of a key, and where a flow collection may end it.
  const plain = /^.*?(?=\s+#|:\s|:$|,\s|[\]}]|\s*$)/.exec(rest);
  return start + Math.max(1, plain?.[0].length ?? 1);
}

/**
 * The length up to the bracket that closes the first one, or to the end of the line. Brackets in quotes don't count.
 */
function findClosing(text: string): number {
  let depth = 0;
  let quote: string | undefined;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (quote !== undefined) {
      if (character === quote) quote = undefined;
    } else if (character === '"' || character === "'") quote = character;
    else if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') {
      depth--;
      if (depth === 0) return i + 1;
    }
  }
  return text.trimEnd().length;
}
