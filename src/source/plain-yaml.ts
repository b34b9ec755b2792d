/**
 * The plain part of YAML, and JSON, read in one pass: most of what people write needs no more, and the
 * library takes ten times as long and makes ten objects for each of ours.
 *
 * Theory of operation. `readPlainText` gives the tree that `parseDocument` would make with the library, to
 * the last position and path, or nothing. It reports nothing: whatever is wrong, unusual or not known for
 * certain to mean the same (anchors, aliases, directives, tabs, carriage returns, keys given twice, empty
 * values, values that go on over several lines …) ends it, and the library reads the text from the start.
 * So it can only be too narrow, never wrong in its own way; test/source/plain-yaml.test.ts compares both on
 * generated text, on every template and configuration of the project, and on texts broken at random.
 */
import type { Position } from './problem.ts';
import { itemPath, keyPath } from './paths.ts';
import type { Dialect, Entry, Mapping, Node } from './yaml.ts';
import { readPlain11, type PlainValue } from './yaml11.ts';

export interface PlainLimits {
  readonly depthMax: number;
  readonly nodesMax: number;
}

/** Tabs, carriage returns, byte order marks, and what else might be a line break or a blank to one reader only. */
const UNUSUAL = /[^\n\x20-\x7E\u00A1-\u1FFF\u2070-\u2FFF\u3001-\uD7FF]/;
const TAG = /![A-Za-z][A-Za-z0-9]*(?= |\n|$)/y;
const KEY = /[A-Za-z0-9_./$][^\n:#]*(?::(?![ \n]|$)[^\n:#]*)*(?=:(?:[ \n]|$))/y;
const DOUBLE_QUOTED = /"((?:[^"\\\n]|\\["\\/nt])*)"/y;
const JSON_STRING = /"((?:[^"\\\n]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*)"/y;
const SINGLE_QUOTED = /'((?:[^'\n]|'')*)'/y;
const PLAIN = /(?:[A-Za-z0-9_./$+(=;^~\\]|-(?=[A-Za-z0-9]))[^\n]*/y;
const FLOW_PLAIN =
  /(?:[A-Za-z0-9_./$]|-(?=[0-9]))(?:[A-Za-z0-9_./$*+@=-]|:(?=[A-Za-z0-9_./$])| +(?=[A-Za-z0-9_./$*+@=-]))*/y;
const JSON_WORD =
  /(?:true|false|null|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)(?=[ \n,\]}])/y;
const BLOCK_HEADER = /[|>]-?(?= *(?:\n|$))/y;
const NUMBER_MAYBE = /^(?:[-+]?[0-9.]|[-+]?\.(?:inf|nan))/i;
const NUMBER =
  /^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^0[ox]|^[-+]?\.(?:inf|nan)$/i;
const INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/;
/** Longer keys in flow style are no keys to YAML. */
const KEY_LENGTH_MAX = 1000;
const NEWLINE = 10;
const SPACE = 32;
const HASH = 35;
const DASH = 45;
const COLON = 58;

const NOT_PLAIN = new Error('not the plain part of YAML');

/** The tree of the text; undefined if it needs the library, or has none. */
export function readPlainText(
  file: string,
  text: string,
  dialect: Dialect,
  limits: PlainLimits,
): Node | undefined {
  if (UNUSUAL.test(text)) return undefined;
  try {
    return new PlainReader(file, text, dialect, limits).read();
  } catch (error) {
    if (error === NOT_PLAIN) return undefined;
    throw error;
  }
}

function giveUp(): never {
  throw NOT_PLAIN;
}

class PlainReader {
  readonly #file: string;
  readonly #text: string;
  readonly #dialect: Dialect;
  readonly #limits: PlainLimits;
  #nodes = 0;
  /** Where reading stands. */
  #at = 0;
  #line = 1;
  #lineStart = 0;
  /** Of the line it stands on; -1 at the end of the text. */
  #indent = -1;

  constructor(file: string, text: string, dialect: Dialect, limits: PlainLimits) {
    this.#file = file;
    this.#text = text;
    this.#dialect = dialect;
    this.#limits = limits;
  }

  read(): Node {
    this.#findLine();
    // Indented, it is the start of a text that goes on in the next line.
    if (this.#indent === 0 && this.#text.startsWith('---\n', this.#at)) {
      this.#at += 3;
      this.#nextLine();
    }
    if (this.#indent < 0) giveUp();
    const first = this.#text[this.#at];
    if (first !== '{' && first !== '[') {
      const root = this.#readBlock('', 0, undefined);
      return this.#indent < 0 ? root : giveUp();
    }
    const root = this.#readFlow('', 0, true);
    this.#skipBlanks(true);
    return this.#at === this.#text.length ? root : giveUp();
  }

  /** The next line with something on it, when the rest of this one is read. */
  #nextLine(): void {
    let at = this.#at;
    while (this.#text.charCodeAt(at) === SPACE) at++;
    if (this.#text.charCodeAt(at) === HASH) {
      if (at === this.#at) giveUp();
      at = this.#text.indexOf('\n', at);
      if (at < 0) at = this.#text.length;
    }
    if (at < this.#text.length) {
      if (this.#text.charCodeAt(at) !== NEWLINE) giveUp();
      this.#startLine(at + 1);
    }
    this.#at = at < this.#text.length ? at + 1 : at;
    this.#findLine();
  }

  #startLine(at: number): void {
    this.#line++;
    this.#lineStart = at;
  }

  /** From the start of a line: goes over blank lines and comments. */
  #findLine(): void {
    const text = this.#text;
    let at = this.#at;
    for (;;) {
      while (text.charCodeAt(at) === SPACE) at++;
      if (at >= text.length) {
        this.#indent = -1;
        this.#at = at;
        return;
      }
      const code = text.charCodeAt(at);
      if (code === HASH) {
        at = text.indexOf('\n', at);
        if (at < 0) at = text.length;
      } else if (code !== NEWLINE) break;
      if (at < text.length) this.#startLine(++at);
    }
    this.#at = at;
    this.#indent = at - this.#lineStart;
  }

  #position(at: number): Position {
    return { file: this.#file, line: this.#line, column: at - this.#lineStart + 1 };
  }

  #count(depth: number): void {
    if (depth > this.#limits.depthMax || ++this.#nodes > this.#limits.nodesMax) giveUp();
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    return match?.[0];
  }

  /** A list or a mapping in block style that starts where reading stands, which is in the first column of its indentation. */
  #readBlock(path: string, depth: number, tag: string | undefined): Node {
    return this.#isItem() ? this.#readList(path, depth, tag) : this.#readMapping(path, depth, tag);
  }

  #isItem(): boolean {
    if (this.#text.charCodeAt(this.#at) !== DASH) return false;
    const next = this.#text.charCodeAt(this.#at + 1);
    return next === SPACE || next === NEWLINE;
  }

  #readList(path: string, depth: number, tag: string | undefined): Node {
    this.#count(depth);
    const at = this.#position(this.#at);
    const indent = this.#indent;
    const items: Node[] = [];
    while (this.#indent === indent && this.#isItem()) {
      this.#at++;
      while (this.#text.charCodeAt(this.#at) === SPACE) this.#at++;
      items.push(this.#readItem(itemPath(path, items.length), depth + 1, indent));
    }
    // Deeper, or a key where an item was: of that the library says what is wrong.
    if (this.#indent > indent) giveUp();
    return tag === undefined
      ? { at, path, kind: 'list', items }
      : { at, path, tag, kind: 'list', items };
  }

  #readItem(path: string, depth: number, indent: number): Node {
    if (this.#isItem()) giveUp();
    if (this.#startsMapping()) {
      this.#indent = this.#at - this.#lineStart;
      return this.#readMapping(path, depth, undefined);
    }
    return this.#readValue(path, depth, indent, false);
  }

  #startsMapping(): boolean {
    const start = this.#at;
    const isKey = this.#readKeyText() !== undefined;
    this.#at = start;
    return isKey;
  }

  /** A key with its colon; undefined, and anywhere, if there is none. */
  #readKeyText(plain = KEY): { readonly text: string; readonly isPlain: boolean } | undefined {
    const first = this.#text[this.#at];
    const isPlain = first !== '"' && first !== "'";
    const raw = this.#match(isPlain ? plain : first === '"' ? DOUBLE_QUOTED : SINGLE_QUOTED);
    if (raw === undefined) return undefined;
    this.#at += raw.length;
    if (this.#text.charCodeAt(this.#at) !== COLON) return undefined;
    const next = this.#text.charCodeAt(this.#at + 1);
    if (next !== SPACE && next !== NEWLINE && this.#at + 1 < this.#text.length) return undefined;
    if (raw.length > KEY_LENGTH_MAX || (isPlain && raw.endsWith(' '))) giveUp();
    if (!isPlain && /['\\]/.test(raw.slice(1, -1))) giveUp();
    this.#at++;
    return { text: isPlain ? raw : raw.slice(1, -1), isPlain };
  }

  #readMapping(path: string, depth: number, tag: string | undefined): Mapping {
    this.#count(depth);
    const at = this.#position(this.#at);
    const indent = this.#indent;
    const entries: Entry[] = [];
    const seen = new Set<string>();
    do {
      const keyAt = this.#position(this.#at);
      const read = this.#readKeyText() ?? giveUp();
      const { key, source } = this.#readKey(read.text, read.isPlain, seen);
      while (this.#text.charCodeAt(this.#at) === SPACE) this.#at++;
      const value = this.#readValue(keyPath(path, key), depth + 1, indent, true);
      entries.push(source === undefined ? { key, keyAt, value } : { key, keyAt, value, source });
    } while (this.#indent === indent);
    if (this.#indent > indent) giveUp();
    return tag === undefined
      ? { at, path, kind: 'mapping', entries }
      : { at, path, tag, kind: 'mapping', entries };
  }

  #readKey(
    source: string,
    isPlain: boolean,
    seen: Set<string>,
  ): { readonly key: string; readonly source?: string } {
    const { value, text } = isPlain ? this.#resolve(source) : { value: source, text: source };
    if (value === null || seen.has(text)) giveUp();
    seen.add(text);
    return source === text ? { key: text } : { key: text, source };
  }

  /** What follows a colon or a dash, to the start of the line after it. */
  #readValue(path: string, depth: number, indent: number, mayStandLeft: boolean): Node {
    const tag = this.#match(TAG);
    if (tag !== undefined) {
      this.#at += tag.length;
      while (this.#text.charCodeAt(this.#at) === SPACE) this.#at++;
    }
    const code = this.#text.charCodeAt(this.#at);
    if (code === NEWLINE || code === HASH || this.#at >= this.#text.length) {
      if (code === HASH && this.#text.charCodeAt(this.#at - 1) === SPACE) this.#at--;
      this.#nextLine();
      const isIn = this.#indent > indent;
      const isLeft = mayStandLeft && tag === undefined && this.#indent === indent && this.#isItem();
      return isIn || isLeft ? this.#readBlock(path, depth, tag) : giveUp();
    }
    const node =
      code === 124 || code === 62
        ? this.#readBlockScalar(path, depth, indent, tag)
        : this.#readInline(path, depth, tag);
    // It would go on, in a plain scalar, or is wrong.
    return this.#indent > indent ? giveUp() : node;
  }

  #readInline(path: string, depth: number, tag: string | undefined): Node {
    const first = this.#text[this.#at];
    if (first === '[' || first === '{') {
      const node = this.#readFlow(path, depth, false);
      this.#nextLine();
      return tag === undefined ? node : { ...node, tag };
    }
    this.#count(depth);
    const at = this.#position(this.#at);
    const node =
      this.#readQuoted(at, path, tag) ?? this.#readPlain(at, path, tag, this.#plainInBlock());
    this.#nextLine();
    return node;
  }

  #plainInBlock(): string {
    const raw = this.#match(PLAIN) ?? giveUp();
    const comment = raw.indexOf(' #');
    const text = (comment < 0 ? raw : raw.slice(0, comment)).trimEnd();
    if (text.includes(': ') || text.endsWith(':')) giveUp();
    return text;
  }

  #readQuoted(at: Position, path: string, tag: string | undefined): Node | undefined {
    const first = this.#text[this.#at];
    if (first !== '"' && first !== "'") return undefined;
    const raw = this.#match(first === '"' ? JSON_STRING : SINGLE_QUOTED) ?? giveUp();
    this.#at += raw.length;
    const inner = raw.slice(1, -1);
    if (first === "'") return scalar(at, path, tag, inner.replaceAll("''", "'"));
    return scalar(at, path, tag, inner.includes('\\') ? (JSON.parse(raw) as string) : inner);
  }

  #readPlain(at: Position, path: string, tag: string | undefined, source: string): Node {
    this.#at += source.length;
    if (tag !== undefined) return scalar(at, path, tag, source);
    const { value, text } = this.#resolve(source);
    return source !== text && typeof value === 'boolean'
      ? { at, path, kind: 'scalar', value, text, source }
      : { at, path, kind: 'scalar', value, text };
  }

  #resolve(source: string): PlainValue {
    if (this.#dialect === 'aws') return readPlain11(source);
    if (INTEGER.test(source)) return { value: Number(source), text: source };
    if (NUMBER_MAYBE.test(source) && NUMBER.test(source)) giveUp();
    if (/^(?:~|null|true|false)$/i.test(source)) {
      if (source === 'true' || source === 'false')
        return { value: source === 'true', text: source };
      giveUp();
    }
    return { value: source, text: source };
  }

  /** Without an indentation of its own, and without blank lines or lines that are indented further inside what is folded. */
  #readBlockScalar(path: string, depth: number, indent: number, tag: string | undefined): Node {
    const header = this.#match(BLOCK_HEADER) ?? giveUp();
    this.#count(depth);
    const at = this.#position(this.#at);
    const lines: string[] = [];
    let inner = -1;
    let start = this.#text.indexOf('\n', this.#at) + 1;
    while (start > 0 && start < this.#text.length) {
      const newline = this.#text.indexOf('\n', start);
      const line = this.#text.slice(start, newline < 0 ? this.#text.length : newline);
      const blanks = line.length - line.trimStart().length;
      if (blanks === line.length) {
        if (blanks > 0 || inner < 0) giveUp();
      } else if (inner < 0) {
        if (blanks <= indent) giveUp();
        inner = blanks;
      } else if (blanks < inner) break;
      this.#startLine(start);
      lines.push(line.slice(inner));
      if (newline < 0) giveUp();
      start = newline + 1;
    }
    if (lines.length === 0) giveUp();
    this.#startLine(start);
    this.#at = start;
    this.#findLine();
    while (lines.at(-1) === '') lines.pop();
    const isFolded = header.startsWith('>');
    if (isFolded && lines.some((line) => line === '' || line.startsWith(' ') || line.endsWith(' ')))
      giveUp();
    const text = lines.join(isFolded ? ' ' : '\n') + (header.endsWith('-') ? '' : '\n');
    return scalar(at, path, tag, text);
  }

  /** Blanks inside flow style. Line breaks only where a whole document is written so. */
  #skipBlanks(mayBreak: boolean): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === NEWLINE && mayBreak) this.#startLine(this.#at + 1);
      else if (code !== SPACE) return;
      this.#at++;
    }
  }

  #readFlow(path: string, depth: number, isJson: boolean): Node {
    const tag = isJson ? undefined : this.#match(TAG);
    if (tag !== undefined) {
      this.#at += tag.length;
      this.#skipBlanks(false);
    }
    const first = this.#text[this.#at];
    const at = this.#position(this.#at);
    this.#count(depth);
    if (first === '[') return this.#readFlowList(at, path, depth, tag, isJson);
    if (first === '{') return this.#readFlowMapping(at, path, depth, tag, isJson);
    const quoted = this.#readQuoted(at, path, tag);
    if (quoted !== undefined) return quoted;
    return this.#readPlain(at, path, tag, this.#match(isJson ? JSON_WORD : FLOW_PLAIN) ?? giveUp());
  }

  #readFlowList(
    at: Position,
    path: string,
    depth: number,
    tag: string | undefined,
    isJson: boolean,
  ): Node {
    const items: Node[] = [];
    this.#readBetween(']', isJson, () => {
      items.push(this.#readFlow(itemPath(path, items.length), depth + 1, isJson));
    });
    return tag === undefined
      ? { at, path, kind: 'list', items }
      : { at, path, tag, kind: 'list', items };
  }

  #readFlowMapping(
    at: Position,
    path: string,
    depth: number,
    tag: string | undefined,
    isJson: boolean,
  ): Node {
    const entries: Entry[] = [];
    const seen = new Set<string>();
    this.#readBetween('}', isJson, () => {
      const keyAt = this.#position(this.#at);
      const { text, isPlain } = this.#readFlowKey(isJson);
      const { key, source } = this.#readKey(text, isPlain, seen);
      this.#skipBlanks(isJson);
      const value = this.#readFlow(keyPath(path, key), depth + 1, isJson);
      entries.push(source === undefined ? { key, keyAt, value } : { key, keyAt, value, source });
    });
    return tag === undefined
      ? { at, path, kind: 'mapping', entries }
      : { at, path, tag, kind: 'mapping', entries };
  }

  #readFlowKey(isJson: boolean): { readonly text: string; readonly isPlain: boolean } {
    if (!isJson) return this.#readKeyText(FLOW_PLAIN) ?? giveUp();
    const raw = this.#match(DOUBLE_QUOTED) ?? giveUp();
    if (raw.length > KEY_LENGTH_MAX || raw.includes('\\')) giveUp();
    this.#at += raw.length;
    if (this.#text.charCodeAt(this.#at) !== COLON) giveUp();
    this.#at++;
    return { text: raw.slice(1, -1), isPlain: false };
  }

  /** From an opening bracket to past the closing one, with a comma between what `readOne` reads. */
  #readBetween(close: ']' | '}', mayBreak: boolean, readOne: () => void): void {
    this.#at++;
    this.#skipBlanks(mayBreak);
    if (this.#text[this.#at] === close) {
      this.#at++;
      return;
    }
    for (;;) {
      readOne();
      this.#skipBlanks(mayBreak);
      const next = this.#text[this.#at++];
      if (next === close) return;
      if (next !== ',') giveUp();
      this.#skipBlanks(mayBreak);
    }
  }
}

function scalar(at: Position, path: string, tag: string | undefined, text: string): Node {
  return tag === undefined
    ? { at, path, kind: 'scalar', value: text, text }
    : { at, path, tag, kind: 'scalar', value: text, text };
}
