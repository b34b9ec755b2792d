/**
 * This file expands Fn::ForEach in the tree before anything is read.
 *
 * Theory of operation. A loop `Fn::ForEach::Name: [Identifier, collection, {key: value}]` gives its entries once for
 * each item. `${Identifier}` and `&{Identifier}` are replaced in keys and texts, and `Ref Identifier` as a whole.
 * Positions are those of the loop's body, and paths those of the result. The collection and its items may be any
 * function of parameters, mappings and conditions. A loop over something unknown is left as it is, and its reader
 * treats it as unknown. Loops may be nested, so ten lines can ask for ten thousand million resources. Therefore the new
 * nodes are counted, and one error ends the expansion when there are too many.
 * Source: AWS CloudFormation Template Reference, "Fn::ForEach".
 */
import { itemPath, keyPath, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import type { Problem } from '../source/problem.ts';
import { readCall } from './calls.ts';
import { LOOP_PREFIX } from './macros.ts';
import { fail, report } from './reporting.ts';
import { abbreviate, describeKind, type Value, type Where } from './values.ts';

/** The most nodes that all loops together may make. */
export const EXPANDED_NODES_MAX = 50_000;
/** The longest text after identifiers are replaced. */
const TEXT_CHARS_MAX = 100_000;

/** The values of the identifiers of the loops around a node. */
type Bindings = ReadonlyMap<string, string>;

export interface ForEachInputs {
  /** Evaluates collections, before there are any resources. */
  readonly evaluate: (node: Node) => Value;
  /** Whether the template asks for the transform AWS::LanguageExtensions. */
  readonly isEnabled: boolean;
}

/**
 * Returns the section with its loops expanded, or the same node if it has none. Undefined if they make too much, which
 * is reported.
 */
export function expandLoops(
  section: Mapping,
  inputs: ForEachInputs,
  problems: Problem[],
): Mapping | undefined {
  if (!hasLoop(section)) return section;
  const expander = new Expander(inputs, problems);
  const expanded = expander.expandMapping(section, new Map(), section.path);
  return expander.isSpent ? undefined : expanded;
}

function hasLoop(node: Node): boolean {
  switch (node.kind) {
    case 'scalar':
      return false;
    case 'list':
      return node.items.some(hasLoop);
    case 'mapping':
      return node.entries.some(
        (entry) => entry.key.startsWith(LOOP_PREFIX) || hasLoop(entry.value),
      );
    default:
      return node satisfies never;
  }
}

class Expander {
  readonly #inputs: ForEachInputs;
  readonly #problems: Problem[];
  #nodes = 0;
  #isWarned = false;
  #chars = 0;
  isSpent = false;

  constructor(inputs: ForEachInputs, problems: Problem[]) {
    this.#inputs = inputs;
    this.#problems = problems;
  }

  expandMapping(mapping: Mapping, bindings: Bindings, path: string): Mapping {
    const entries = new Map<string, Entry>();
    for (const entry of mapping.entries) {
      if (entry.key.startsWith(LOOP_PREFIX)) this.#expandLoop(entry, bindings, path, entries);
      else this.#addEntry(entry, bindings, path, entries);
    }
    return { ...mapping, path, entries: [...entries.values()] };
  }

  #addEntry(entry: Entry, bindings: Bindings, path: string, entries: Map<string, Entry>): void {
    if (this.isSpent) return;
    const key = this.#replace(entry.key, bindings, entry.keyAt, path, true);
    const value = this.#expand(entry.value, bindings, keyPath(path, key));
    if (!entries.has(key)) {
      entries.set(key, { key, keyAt: entry.keyAt, value });
      return;
    }
    const where: Where = { at: entry.keyAt, path: keyPath(path, key) };
    const hint = 'let the key hold the identifier of the loop, as ${Identifier} or &{Identifier}';
    fail(
      { problems: this.#problems },
      'duplicate-key',
      where,
      `the loop makes the key '${abbreviate(key)}' twice`,
      hint,
    );
  }

  #expandLoop(
    { key, keyAt, value }: Entry,
    bindings: Bindings,
    path: string,
    entries: Map<string, Entry>,
  ): void {
    const where: Where = { at: keyAt, path: value.path };
    const [identifier, collection, body] = value.kind === 'list' ? value.items : [];
    if (identifier?.kind !== 'scalar' || collection === undefined || body?.kind !== 'mapping') {
      const hint = 'write [Identifier, [value, value, …], {key with ${Identifier}: value}]';
      fail(
        { problems: this.#problems },
        'bad-function',
        where,
        `${abbreviate(key)} has the wrong arguments`,
        hint,
      );
      return;
    }
    if (!this.#inputs.isEnabled && !this.#isWarned) {
      this.#isWarned = true;
      const hint =
        "AWS refuses it; add the line 'Transform: AWS::LanguageExtensions' to the template";
      report(
        this.#problems,
        'warning',
        'transform',
        where,
        'Fn::ForEach needs the transform AWS::LanguageExtensions',
        hint,
      );
    }
    const items = this.#readCollection(key, collection, bindings);
    // A loop that is left means that there may be more than is written.
    if (items === undefined && !entries.has(key)) entries.set(key, { key, keyAt, value });
    for (const item of items ?? []) {
      const inner = new Map(bindings).set(identifier.text, item);
      for (const entry of body.entries) {
        if (this.isSpent) return;
        if (entry.key.startsWith(LOOP_PREFIX)) this.#expandLoop(entry, inner, path, entries);
        else this.#addEntry(entry, inner, path, entries);
      }
    }
  }

  /** The items of a collection. Undefined if they are unknown, which is reported. */
  #readCollection(key: string, node: Node, bindings: Bindings): readonly string[] | undefined {
    const { path } = node;
    const value = this.#inputs.evaluate(this.#expand(node, bindings, path));
    const unknown =
      value.kind === 'list' ? value.items.find((item) => item.kind === 'unknown') : value;
    if (unknown?.kind === 'unknown') {
      const message = `what ${abbreviate(key)} loops over can't be known here: ${unknown.reason}; what it makes is not seen`;
      report(
        this.#problems,
        'warning',
        'unknown-value',
        { at: node.at, path },
        message,
        unknown.hint,
      );
      return undefined;
    }
    if (value.kind === 'invalid') return undefined;
    const items = value.kind === 'list' ? value.items : [];
    const texts = items.flatMap((item) => (item.kind === 'text' ? item.text : []));
    if (value.kind === 'list' && texts.length === items.length) return texts;
    if (items.some((item) => item.kind === 'invalid')) return undefined;
    const found =
      value.kind === 'list'
        ? `an item that is ${describeKind(items.find(({ kind }) => kind !== 'text')!)}`
        : describeKind(value);
    const message = `the collection of ${abbreviate(key)} must be a list of texts, not ${found}`;
    const hint = 'write a list, or a function that gives one';
    fail({ problems: this.#problems }, 'bad-function', { at: node.at, path }, message, hint);
    return [];
  }

  #expand(node: Node, bindings: Bindings, path: string): Node {
    if (!this.#count(node)) return node;
    const call = readCall(node);
    if (call?.name === 'Ref' && call.argument.kind === 'scalar') {
      const value = bindings.get(call.argument.text);
      if (value !== undefined) return { kind: 'scalar', value, text: value, at: node.at, path };
    }
    switch (node.kind) {
      case 'scalar': {
        if (typeof node.value !== 'string') return { ...node, path };
        const text = this.#replace(node.text, bindings, node.at, path, false);
        return { ...node, value: text, text, path };
      }
      case 'list':
        return {
          ...node,
          path,
          items: node.items.map((item, i) => this.#expand(item, bindings, itemPath(path, i))),
        };
      case 'mapping':
        return this.expandMapping(node, bindings, path);
      default:
        return node satisfies never;
    }
  }

  /** `&{Id}` removes the characters that a logical id can't have, so that `10.0.0.0/8` can be part of one. */
  #replace(
    text: string,
    bindings: Bindings,
    at: Where['at'],
    path: string,
    isKey: boolean,
  ): string {
    if (bindings.size === 0 || !/[$&]\{/.test(text)) return text;
    const replaced = text.replace(
      /([$&])\{([A-Za-z0-9]+)\}/g,
      (whole: string, sign: string, name: string) => {
        const value = bindings.get(name);
        if (value === undefined) return whole;
        return sign === '&' && isKey ? value.replace(/[^A-Za-z0-9]/g, '') : value;
      },
    );
    this.#chars += replaced.length;
    if (replaced.length > TEXT_CHARS_MAX || this.#chars > 100 * TEXT_CHARS_MAX) {
      this.#exhaust(
        { at, path },
        `the loops make more than ${100 * TEXT_CHARS_MAX} characters of text`,
      );
    }
    return replaced;
  }

  #count(where: Where): boolean {
    this.#nodes++;
    if (this.#nodes > EXPANDED_NODES_MAX) {
      this.#exhaust(where, `the loops make more than ${EXPANDED_NODES_MAX} values`);
    }
    return !this.isSpent;
  }

  #exhaust(where: Where, message: string): void {
    if (this.isSpent) return;
    this.isSpent = true;
    fail(
      { problems: this.#problems },
      'template-limit',
      where,
      message,
      'loops inside loops multiply; make fewer or shorter ones',
    );
  }
}
