/**
 * Reads YAML or JSON text into a tree in which every value knows its position.
 *
 * Theory of operation. plain-yaml.ts reads plain texts, faster and into the same tree. The `yaml` library reads the
 * rest, with the YAML 1.2 core schema, even where a %YAML directive asks for another. (Under 1.1 `22:25` would be the
 * number 1345 and `no` would be false. Templates are read so, because AWS reads them so: yaml11.ts.) `convert` copies
 * the library's result into our own nodes, so that no other file depends on the library. The copying enforces the
 * limits, since an attacker may have written the text: bytes of text, depth, nodes, and nodes made by aliases (ten
 * lines of aliases to aliases would expand to gigabytes). An alias becomes a copy of its anchor's node. The copy has
 * the original's position, where the text to correct stands, and the path of the place where the alias is.
 *
 * A text with a syntax error gives no tree: what follows the error may not mean what its author wrote. A repeated key
 * is an error too, but there is a tree, with the first of the two values, so that the rest is checked.
 */
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument as parseYamlDocument,
  type Document,
  type Node as YamlNode,
  type Pair,
  type Scalar as YamlScalar,
  type YAMLMap,
} from 'yaml';
import { findDeepNesting } from './nesting.ts';
import {
  makeEntry,
  makeList,
  makeMapping,
  makeScalar,
  type Dialect,
  type Entry,
  type List,
  type Mapping,
  type Node,
  type NodeBase,
  type Scalar,
} from './nodes.ts';
import type { Position, Problem } from './problem.ts';
import { commentProblem, findJsonComment, startsAsJson } from './json-comments.ts';
import { itemPath, keyPath } from './paths.ts';
import { readPlainText } from './plain-yaml.ts';
import { readText } from './read-text.ts';
import { mergeProblem, syntaxProblem, tooDeep, unreadable } from './yaml-problems.ts';
import { readPlain11, type PlainValue } from './yaml11.ts';

export { itemPath, keyPath, readText };
export type { Dialect, Entry, List, Mapping, Node, Scalar };

export const DOCUMENT_BYTES_MAX = 4 * 1024 * 1024;
export const DEPTH_MAX = 100;
export const NODES_MAX = 500_000;
/** One below the limit: at the limit itself the library reports the error. */
export const PLAIN_LIMITS = { depthMax: DEPTH_MAX - 1, nodesMax: NODES_MAX };
export const ALIASED_NODES_MAX = 50_000;
const SYNTAX_PROBLEMS_MAX = 50;
const STACK_MESSAGE = 'Maximum call stack';

const MERGE_KEY = '<<';

const CORE_TAGS = new Set(
  ['str', 'int', 'float', 'bool', 'null', 'map', 'seq'].map((tag) => `tag:yaml.org,2002:${tag}`),
);

/**
 * Reads a file. If it can't be read or has no tree, returns undefined and adds at least one error.
 * @param options.maxBytes refuses a larger file before reading it
 */
export function readDocument(
  file: string,
  problems: Problem[],
  options: { readonly maxBytes?: number } = {},
): Node | undefined {
  const text = readText(file, problems, options.maxBytes ?? DOCUMENT_BYTES_MAX);
  return text === undefined ? undefined : parseDocument(file, text, problems);
}

/**
 * Reads a text. If it has no tree, returns undefined and adds at least one error. An empty document is an error, and
 * so is a comment in JSON.
 */
export function parseDocument(
  file: string,
  text: string,
  problems: Problem[],
  dialect: Dialect = 'core',
): Node | undefined {
  return (
    readPlainText(file, text, dialect, PLAIN_LIMITS) ??
    parseAnyDocument(file, text, problems, dialect)
  );
}

/** Reads any text with the library: the slow twin of `readPlainText`. */
export function parseAnyDocument(
  file: string,
  text: string,
  problems: Problem[],
  dialect: Dialect,
): Node | undefined {
  const commentAt = findJsonComment(text);
  if (commentAt !== undefined) {
    problems.push(commentProblem(positionIn(file, text, commentAt)));
    return undefined;
  }
  const lines = new LineCounter();
  const positionOf = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const deepAt = findDeepNesting(text, DEPTH_MAX);
  if (deepAt !== undefined) {
    problems.push(tooDeep(positionIn(file, text, deepAt), '', DEPTH_MAX));
    return undefined;
  }
  let document: Document.Parsed;
  try {
    document = parseYamlDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      uniqueKeys: false,
      // 'silent' would also hide that there is a second document.
      logLevel: 'error',
      schema: 'core',
      merge: false,
      resolveKnownTags: false,
    });
  } catch (error) {
    problems.push(unreadable(file, error));
    return undefined;
  }
  // Indentation alone can nest a few thousand levels within the bytes allowed. The library then runs out of stack.
  const overflow = document.errors.find((error) => error.message.startsWith(STACK_MESSAGE));
  if (overflow !== undefined) {
    problems.push(tooDeep(positionOf(overflow.pos[0]), '', DEPTH_MAX));
    return undefined;
  }
  // In JSON, everything behind a mistake is read wrongly: only the first error is the mistake, the others follow from
  // it.
  const isJson = startsAsJson(text);
  const errors = [...document.errors].sort((a, b) => a.pos[0] - b.pos[0]);
  for (const error of errors.slice(0, isJson ? 1 : SYNTAX_PROBLEMS_MAX)) {
    problems.push(syntaxProblem(error.code, error.message, positionOf(error.pos[0]), isJson));
  }
  if (document.errors.length > 0) return undefined;
  if (
    document.contents === null ||
    (isScalar(document.contents) && document.contents.value === null)
  ) {
    problems.push({
      severity: 'error',
      code: 'empty-document',
      at: { file, line: 1, column: 1 },
      path: '',
      message: 'the file is empty',
    });
    return undefined;
  }
  try {
    return new Converter(positionOf, problems, dialect).convert(document.contents, '', 0);
  } catch (error) {
    if (!(error instanceof LimitError)) throw error;
    problems.push(error.problem);
    return undefined;
  }
}

/** The value of `key`, or undefined. The node may be undefined or no mapping, so that calls can be chained. */
export function get(node: Node | undefined, key: string): Node | undefined {
  if (node?.kind !== 'mapping') return undefined;
  for (const entry of node.entries) if (entry.key === key) return entry.value;
  return undefined;
}

/** What the node is, for messages: 'a list', 'a string' … */
export function describeNode(node: Node): string {
  if (node.tag !== undefined) return `the function ${node.tag}`;
  if (node.kind === 'list') return 'a list';
  if (node.kind === 'mapping') return 'a mapping';
  if (node.value === null) return 'nothing';
  return typeof node.value === 'boolean' ? `${node.value}` : `a ${typeof node.value}`;
}

/**
 * Returns the tree as plain data, without positions. Objects have no prototype, so that a key `__proto__` is only a
 * key.
 */
export function toPlain(node: Node): unknown {
  switch (node.kind) {
    case 'scalar':
      return node.value;
    case 'list':
      return node.items.map(toPlain);
    case 'mapping': {
      const object = Object.create(null) as Record<string, unknown>;
      for (const { key, value } of node.entries) object[key] = toPlain(value);
      return object;
    }
  }
}

function positionIn(file: string, text: string, offset: number): Position {
  const before = text.slice(0, offset).split('\n');
  return { file, line: before.length, column: before.at(-1)!.length + 1 };
}

class LimitError extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.message);
    this.problem = problem;
  }
}

class Converter {
  readonly #positionOf: (offset: number) => Position;
  readonly #problems: Problem[];
  readonly #dialect: Dialect;
  /** Finished nodes by anchor name. A later anchor of the same name replaces an earlier one, as YAML says. */
  readonly #anchors = new Map<string, Node>();
  readonly #openAnchors = new Set<string>();
  #nodes = 0;
  #aliasedNodes = 0;

  constructor(positionOf: (offset: number) => Position, problems: Problem[], dialect: Dialect) {
    this.#positionOf = positionOf;
    this.#problems = problems;
    this.#dialect = dialect;
  }

  convert(node: YamlNode, path: string, depth: number): Node {
    const at = this.#positionOf(node.range?.[0] ?? 0);
    this.#count(at, path, depth);
    if (isAlias(node)) return this.#expandAlias(node.source, at, path, depth);
    const tag = this.#localTag(node.tag, at, path);
    const anchor = node.anchor;
    if (anchor !== undefined) this.#openAnchors.add(anchor);
    const base: NodeBase = tag === undefined ? { at, path } : { at, path, tag };
    const converted = this.#convertContent(node, base, depth);
    if (anchor !== undefined) {
      this.#openAnchors.delete(anchor);
      this.#anchors.set(anchor, converted);
    }
    return converted;
  }

  #convertContent(node: YamlNode, base: NodeBase, depth: number): Node {
    const { at, path, tag } = base;
    if (isMap(node)) return makeMapping(at, path, tag, this.#convertEntries(node, base, depth));
    if (isSeq(node)) {
      const items = node.items.map((item, i) => {
        const itemPathText = itemPath(base.path, i);
        // In `[a: b]` the item is a pair, which the library has already wrapped in a mapping.
        return item === null
          ? nullAt(base.at, itemPathText)
          : this.convert(item as YamlNode, itemPathText, depth + 1);
      });
      return makeList(at, path, tag, items);
    }
    const { value, text } = this.#readScalar(node as YamlScalar, tag);
    return makeScalar(at, path, tag, value, text, (node as YamlScalar).source);
  }

  #readScalar(scalar: YamlScalar, tag: string | undefined): PlainValue {
    const isPlain = scalar.type === 'PLAIN' && scalar.tag === undefined && tag === undefined;
    if (isPlain && this.#dialect === 'aws') return readPlain11(scalar.source ?? '');
    const value = scalarValue(scalar.value);
    return { value, text: scalar.source ?? (value === null ? '' : String(value)) };
  }

  #convertEntries(map: YAMLMap, base: NodeBase, depth: number): Entry[] {
    const entries = new Map<string, Entry>();
    for (const pair of map.items as Pair<YamlNode | null, YamlNode | null>[]) {
      const keyAt = this.#positionOf(pair.key?.range?.[0] ?? map.range?.[0] ?? 0);
      const key = isScalar(pair.key) ? this.#readKey(pair.key, keyAt, base.path) : undefined;
      if (key === undefined) {
        this.#problems.push({
          severity: 'error',
          code: 'yaml-key',
          at: keyAt,
          path: base.path,
          message: 'a key must be plain text',
        });
        continue;
      }
      const path = keyPath(base.path, key);
      const first = entries.get(key);
      if (first !== undefined) {
        const message = `key '${key}' is given twice: on line ${first.keyAt.line} and on line ${keyAt.line}`;
        this.#problems.push({
          severity: 'error',
          code: 'duplicate-key',
          at: keyAt,
          path,
          message,
          hint: 'keep one of the two',
        });
      }
      const value =
        pair.value === null ? nullAt(keyAt, path) : this.convert(pair.value, path, depth + 1);
      const { source } = pair.key as YamlScalar;
      if (first === undefined) entries.set(key, makeEntry(key, keyAt, value, source));
    }
    return [...entries.values()];
  }

  /** The text of a key; undefined for a null key. */
  #readKey(scalar: YamlScalar, at: Position, path: string): string | undefined {
    const { value, text } = this.#readScalar(scalar, undefined);
    if (value === null) return undefined;
    if (text === MERGE_KEY && scalar.type === 'PLAIN' && this.#dialect === 'aws')
      this.#problems.push(mergeProblem(at, path));
    return text;
  }

  #expandAlias(name: string, at: Position, path: string, depth: number): Node {
    const original = this.#anchors.get(name);
    if (original !== undefined && !this.#openAnchors.has(name))
      return this.#copy(original, path, depth, name, at);
    const inside = this.#openAnchors.has(name);
    const message = inside
      ? `alias *${name} stands inside its own anchor &${name}`
      : `alias *${name} has no anchor &${name} before it`;
    this.#problems.push({ severity: 'error', code: 'yaml-alias', at, path, message });
    return nullAt(at, path);
  }

  #copy(node: Node, path: string, depth: number, alias: string, aliasAt: Position): Node {
    this.#aliasedNodes++;
    if (this.#aliasedNodes > ALIASED_NODES_MAX) {
      const message = `the aliases expand to more than ${ALIASED_NODES_MAX} values; the limit was passed at alias *${alias}`;
      const hint = 'aliases of aliases multiply; write the values out, or make fewer of them';
      throw new LimitError({
        severity: 'error',
        code: 'yaml-alias-expansion',
        at: aliasAt,
        path,
        message,
        hint,
      });
    }
    this.#count(aliasAt, path, depth);
    switch (node.kind) {
      case 'scalar':
        return { ...node, path };
      case 'list':
        return {
          ...node,
          path,
          items: node.items.map((item, i) =>
            this.#copy(item, itemPath(path, i), depth + 1, alias, aliasAt),
          ),
        };
      case 'mapping': {
        const entries = node.entries.map((entry) => {
          return {
            ...entry,
            value: this.#copy(entry.value, keyPath(path, entry.key), depth + 1, alias, aliasAt),
          };
        });
        return { ...node, path, entries };
      }
    }
  }

  #count(at: Position, path: string, depth: number): void {
    if (depth > DEPTH_MAX) throw new LimitError(tooDeep(at, path, DEPTH_MAX));
    this.#nodes++;
    if (this.#nodes > NODES_MAX) {
      const message = `the file has more than ${NODES_MAX} values`;
      throw new LimitError({ severity: 'error', code: 'too-many-values', at, path, message });
    }
  }

  #localTag(tag: string | undefined, at: Position, path: string): string | undefined {
    if (tag === undefined || tag === '!' || CORE_TAGS.has(tag)) return undefined;
    if (tag.startsWith('!')) return tag;
    const short = tag.replace('tag:yaml.org,2002:', '!!');
    this.#problems.push({
      severity: 'error',
      code: 'yaml-tag',
      at,
      path,
      message: `the tag ${short} is not supported`,
      hint: 'leave it out',
    });
    return undefined;
  }
}

function nullAt(at: Position, path: string): Scalar {
  return { kind: 'scalar', at, path, value: null, text: '' };
}

function scalarValue(value: unknown): Scalar['value'] {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean')
    return value;
  if (typeof value === 'bigint') return Number(value);
  return null;
}
