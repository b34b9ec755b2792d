/**
 * Indents quoted texts and flow collections that continue at the column of their key, or left of it.
 *
 *     Description: 'one line          Tags: [
 *     and the next'                   {Key: a}]
 *
 * YAML requires such lines to be indented deeper. The readers that templates are written for (SnakeYAML, PyYAML)
 * accept them, since a quotation mark or a bracket shows where the value ends. So blanks are put in front of these
 * lines. That changes no meaning: lines of a quoted text are folded.
 */
export interface Indented {
  readonly text: string;
  /** By line, from 0: how many blanks were put in front of it. */
  readonly shifts: readonly number[];
}

/** A value that continues on the next line: its closing quotation mark, or the number of open brackets. */
interface Open {
  quote: string;
  depth: number;
  /** Blanks that each of its lines needs. */
  readonly indent: number;
}

const KEY = /(?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s#[\]{},&*!|>'"%@`-](?:(?! #).)*?) *:(?= |$)/y;
const DASH = /- +/y;
const PROPERTY = /[!&]\S* +/y;

/** Indents such lines. Undefined if there are none. */
export function indentContinuations(text: string): Indented | undefined {
  const lines = text.split('\n');
  const shifts = lines.map(() => 0);
  let open: Open | undefined;
  let blockIndent: number | undefined;
  for (const [i, line] of lines.entries()) {
    const content = line.trim();
    const indent = line.length - line.trimStart().length;
    if (content === '') continue;
    if (open !== undefined) {
      shifts[i] = Math.max(0, open.indent - indent);
      open = scan(line, indent, open);
      continue;
    }
    if (blockIndent !== undefined && indent > blockIndent) continue;
    blockIndent = undefined;
    if (content.startsWith('#')) continue;
    const { start, parent } = findValue(line, indent);
    const mark = line[start];
    if (mark === '|' || mark === '>') blockIndent = parent;
    else if (mark === "'" || mark === '"')
      open = scan(line, start + 1, { quote: mark, depth: 0, indent: parent + 1 });
    else if (mark === '[' || mark === '{')
      open = scan(line, start, { quote: '', depth: 0, indent: parent + 1 });
  }
  if (!shifts.some((shift) => shift > 0)) return undefined;
  const indented = lines.map((line, i) => ' '.repeat(shifts[i]) + line);
  return { text: indented.join('\n'), shifts };
}

/** Finds where the value of a line starts, and the column of the key or dash that it belongs to. */
function findValue(line: string, indent: number): { start: number; parent: number } {
  let start = indent;
  let parent = indent;
  for (let end = match(DASH, line, start); end > start; end = match(DASH, line, start)) {
    parent = start;
    start = end;
  }
  const end = match(KEY, line, start);
  if (end > start) {
    parent = start;
    start = end;
    while (line[start] === ' ') start++;
  }
  for (let next = match(PROPERTY, line, start); next > start; next = match(PROPERTY, line, start))
    start = next;
  return { start, parent };
}

/** The offset behind a match at `start`, or `start` if there is none. */
function match(pattern: RegExp, line: string, start: number): number {
  pattern.lastIndex = start;
  return pattern.test(line) ? pattern.lastIndex : start;
}

/** Returns what is still open at the end of the line. */
function scan(line: string, start: number, open: Open): Open | undefined {
  let { quote, depth } = open;
  const isQuoted = quote !== '' && depth === 0;
  for (let i = start; i < line.length; i++) {
    const c = line[i];
    if (quote !== '') {
      if (quote === '"' && c === '\\') i++;
      else if (c === quote && quote === "'" && line[i + 1] === "'") i++;
      else if (c === quote) quote = '';
      if (quote === '' && isQuoted) return undefined;
    } else if ((c === "'" || c === '"') && /[\s[{,:]/.test(line[i - 1] ?? ' ')) quote = c;
    else if (c === '#' && /\s/.test(line[i - 1] ?? ' ')) break;
    else if (c === '[' || c === '{') depth++;
    else if (c === ']' || c === '}') depth--;
    if (quote === '' && depth === 0) return undefined;
  }
  return { quote, depth, indent: open.indent };
}
