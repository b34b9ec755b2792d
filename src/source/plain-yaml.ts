/**
 * Reads the plain part of YAML, and JSON, in one pass. Most of what people write needs no more. The library takes ten
 * times as long, and makes ten objects for each of ours.
 *
 * Theory of operation. `readPlainText` returns either the tree that `parseDocument` would make with the library, to
 * the last position and path, or nothing. It reports no problems. Whatever is wrong, unusual or might mean something
 * else to the library ends it: anchors, aliases, directives, tabs, lone carriage returns, repeated keys, empty values,
 * values over several lines, and so on. The library then reads the text from the start. So this reader can accept too
 * little, but it can't read anything differently. test/source/plain-yaml.test.ts compares both on generated texts, on
 * every template and configuration of the project, and on texts with random faults.
 */
import {
  makeEntry,
  makeList,
  makeMapping,
  makeScalar,
  type Dialect,
  type Entry,
  type Mapping,
  type Node,
} from './nodes.ts';
import { hasKey } from './known-keys.ts';
import { itemPath, keyPath } from './paths.ts';
import type { Position } from './problem.ts';
import { readPlain11, type PlainValue } from './yaml11.ts';

export interface PlainLimits {
  readonly depthMax: number;
  readonly nodesMax: number;
}

/** Tabs, carriage returns, byte order marks, and all else that one reader might take for a line break or a blank. */
const UNUSUAL = /[^\n\x20-\x7E\u00A1-\u1FFF\u2070-\u2FFF\u3001-\uD7FF]/;
const TAG = /![A-Za-z][A-Za-z0-9]*(?= |\n|$)/y;
/** At the start of a line, three dots before a blank end the document; they are no key. */
const KEY = /(?!\.\.\. )[A-Za-z0-9_./$][^\n:#]*(?::(?![ \n]|$)[^\n:#]*)*(?=:(?:[ \n]|$))/y;
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
/** What a number, a truth value or nothing can start with. Most texts start otherwise. */
const MEANS_MORE_MAYBE = /^[-+.0-9~tTfFnN]/;
const INTEGER = /^(?:0|-?[1-9][0-9]{0,14})$/;
/** YAML accepts no longer keys in flow style. */
const KEY_LENGTH_MAX = 1000;
const NEWLINE = 10;
const SPACE = 32;
const EXCLAMATION = 33;
const HASH = 35;
const DASH = 45;
const COLON = 58;

/** A key as written, without quotation marks. */
interface KeyText {
  readonly text: string;
  readonly isPlain: boolean;
}

const NOT_PLAIN = new Error('not the plain part of YAML');

/** Reads the tree of the text. Undefined if it needs the library, or has no tree. */
export function readPlainText(
  file: string,
  text: string,
  dialect: Dialect,
  limits: PlainLimits,
): Node | undefined {
  // Line breaks of Windows change no line, no column and no value.
  const lines = text.includes('\r') ? text.replaceAll('\r\n', '\n') : text;
  if (UNUSUAL.test(lines)) return undefined;
  try {
    return new PlainReader(file, lines, dialect, limits).read();
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
  /** The current offset. */
  #at = 0;
  #line = 1;
  #lineStart = 0;
  /** Indentation of the current line; -1 at the end of the text. */
  #indent = -1;

  constructor(file: string, text: string, dialect: Dialect, limits: PlainLimits) {
    this.#file = file;
    this.#text = text;
    this.#dialect = dialect;
    this.#limits = limits;
  }

  read(): Node {
    this.#findLine();
    // An indented `---` starts a text that continues on the next line.
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

  /** Goes to the next line with content. The rest of this line must be blank or a comment. */
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

  /** From the start of a line, skips blank lines and comments. */
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

  /** Matches a sticky pattern at the current offset. `exec` would make an object of each match. */
  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.test(this.#text) ? this.#text.slice(this.#at, pattern.lastIndex) : undefined;
  }

  #matchTag(): string | undefined {
    return this.#text.charCodeAt(this.#at) === EXCLAMATION ? this.#match(TAG) : undefined;
  }

  /**
   * Reads a list or a mapping in block style. It starts at the current offset, in the first column of its
   * indentation.
   */
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
    // A deeper line, or a key where an item was: the library says what is wrong.
    if (this.#indent > indent) giveUp();
    return makeList(at, path, tag, items);
  }

  #readItem(path: string, depth: number, indent: number): Node {
    if (this.#isItem()) giveUp();
    const start = this.#at;
    const first = this.#readKeyText();
    if (first !== undefined) {
      this.#indent = start - this.#lineStart;
      return this.#readMappingFrom(first, start, path, depth, undefined);
    }
    this.#at = start;
    return this.#readValue(path, depth, indent, false);
  }

  /** Reads a key with its colon. Undefined if there is none; then the current offset means nothing. */
  #readKeyText(plain = KEY): KeyText | undefined {
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
    const start = this.#at;
    return this.#readMappingFrom(this.#readKeyText() ?? giveUp(), start, path, depth, tag);
  }

  /**
   * Reads a mapping whose first key is already read and starts at `start`. Most list items are recognised by that
   * key.
   */
  #readMappingFrom(
    first: KeyText,
    start: number,
    path: string,
    depth: number,
    tag: string | undefined,
  ): Mapping {
    this.#count(depth);
    const at = this.#position(start);
    const indent = this.#indent;
    const entries: Entry[] = [];
    let keyAt = at;
    let read = first;
    for (;;) {
      const key = this.#keyOf(read, entries);
      while (this.#text.charCodeAt(this.#at) === SPACE) this.#at++;
      const value = this.#readValue(keyPath(path, key), depth + 1, indent, true);
      entries.push(makeEntry(key, keyAt, value, read.text));
      if (this.#indent !== indent) break;
      keyAt = this.#position(this.#at);
      read = this.#readKeyText() ?? giveUp();
    }
    if (this.#indent > indent) giveUp();
    return makeMapping(at, path, tag, entries);
  }

  /** The value of a key; ends the reading if the mapping already has it. */
  #keyOf({ text: source, isPlain }: KeyText, entries: readonly Entry[]): string {
    if (isPlain) {
      const { value, text } = this.#resolve(source);
      return value === null || hasKey(entries, text) ? giveUp() : text;
    }
    return hasKey(entries, source) ? giveUp() : source;
  }

  /** Reads what follows a colon or a dash, up to the start of the next line with content. */
  #readValue(path: string, depth: number, indent: number, mayStandLeft: boolean): Node {
    const tag = this.#matchTag();
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
    // A deeper line continues a plain scalar, or is wrong.
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
    const text = readQuotedText(raw, inner);
    return makeScalar(at, path, tag, text, text);
  }

  #readPlain(at: Position, path: string, tag: string | undefined, source: string): Node {
    this.#at += source.length;
    if (tag !== undefined) return makeScalar(at, path, tag, source, source);
    const { value, text } = this.#resolve(source);
    return makeScalar(at, path, undefined, value, text, source);
  }

  #resolve(source: string): PlainValue {
    if (this.#dialect === 'aws') return readPlain11(source);
    if (!MEANS_MORE_MAYBE.test(source)) return { value: source, text: source };
    if (INTEGER.test(source)) return { value: Number(source), text: source };
    if (NUMBER_MAYBE.test(source) && NUMBER.test(source)) giveUp();
    if (/^(?:~|null|true|false)$/i.test(source)) {
      if (source === 'true' || source === 'false')
        return { value: source === 'true', text: source };
      giveUp();
    }
    return { value: source, text: source };
  }

  /** Reads a block scalar without indentation indicator. In a folded one, no line may be blank or indented deeper. */
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
    return makeScalar(at, path, tag, text, text);
  }

  /** Skips blanks inside flow style. Line breaks are allowed only if the whole document is in flow style. */
  #skipBlanks(mayBreak: boolean): void {
    for (;;) {
      const code = this.#text.charCodeAt(this.#at);
      if (code === NEWLINE && mayBreak) this.#startLine(this.#at + 1);
      else if (code !== SPACE) return;
      this.#at++;
    }
  }

  #readFlow(path: string, depth: number, isJson: boolean): Node {
    const tag = isJson ? undefined : this.#matchTag();
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
    if (!this.#openFlow(']', isJson)) return makeList(at, path, tag, items);
    do items.push(this.#readFlow(itemPath(path, items.length), depth + 1, isJson));
    while (this.#hasMore(']', isJson));
    return makeList(at, path, tag, items);
  }

  #readFlowMapping(
    at: Position,
    path: string,
    depth: number,
    tag: string | undefined,
    isJson: boolean,
  ): Node {
    const entries: Entry[] = [];
    if (!this.#openFlow('}', isJson)) return makeMapping(at, path, tag, entries);
    do {
      const keyAt = this.#position(this.#at);
      const read = this.#readFlowKey(isJson);
      const key = this.#keyOf(read, entries);
      this.#skipBlanks(isJson);
      const value = this.#readFlow(keyPath(path, key), depth + 1, isJson);
      entries.push(makeEntry(key, keyAt, value, read.text));
    } while (this.#hasMore('}', isJson));
    return makeMapping(at, path, tag, entries);
  }

  #readFlowKey(isJson: boolean): KeyText {
    if (!isJson) return this.#readKeyText(FLOW_PLAIN) ?? giveUp();
    const raw = this.#match(DOUBLE_QUOTED) ?? giveUp();
    if (raw.length > KEY_LENGTH_MAX || raw.includes('\\')) giveUp();
    this.#at += raw.length;
    if (this.#text.charCodeAt(this.#at) !== COLON) giveUp();
    this.#at++;
    return { text: raw.slice(1, -1), isPlain: false };
  }

  /** Reads an opening bracket, and the closing one if it follows. Returns whether there is an item. */
  #openFlow(close: ']' | '}', mayBreak: boolean): boolean {
    this.#at++;
    this.#skipBlanks(mayBreak);
    if (this.#text[this.#at] !== close) return true;
    this.#at++;
    return false;
  }

  /** Behind an item, reads a comma or the closing bracket. Returns whether there is another item. */
  #hasMore(close: ']' | '}', mayBreak: boolean): boolean {
    this.#skipBlanks(mayBreak);
    const next = this.#text[this.#at++];
    if (next === close) return false;
    if (next !== ',') giveUp();
    this.#skipBlanks(mayBreak);
    return true;
  }
}

/** @param inner `raw` without the quotation marks */
function readQuotedText(raw: string, inner: string): string {
  if (raw.startsWith("'")) return inner.replaceAll("''", "'");
  return inner.includes('\\') ? (JSON.parse(raw) as string) : inner;
}
