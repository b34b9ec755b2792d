/**
 * This file knows the exports of stacks, and which stacks import them.
 *
 * Theory of operation. All templates of a configuration share one directory. Each template enters the names of its
 * exports before anything in any template is evaluated. A value is evaluated when somebody imports it, in the scope of
 * the template that exports it. So templates may be listed in any order, and two may import from each other as long as
 * no value needs itself. A value that does is an error. Stacks that wait for each other are a warning, since AWS could
 * make neither first.
 *
 * Levels of nesting are counted for all templates together: a chain of imports through many templates may be as deep as
 * one template, and no deeper.
 *
 * Rejected: sorting the templates by their imports. It refuses stacks that need each other although every value is
 * known, and it has to evaluate names that may never be needed.
 * Source: AWS CloudFormation User Guide, "CloudFormation template Outputs syntax".
 */
import { didYouMean } from '../source/suggest.ts';
import { findEntry, readProperty } from './calls.ts';
import { decideCondition } from './conditions.ts';
import { findCircles } from './dependencies.ts';
import { fail, report } from './reporting.ts';
import type { Nesting, Scope } from './scope.ts';
import type { Output } from './template.ts';
import {
  abbreviate,
  makeUnknown,
  moveTo,
  type UnknownValue,
  type Value,
  type Where,
} from './values.ts';

const SUGGESTED_FROM_MAX = 500;

interface Export {
  readonly name: string;
  readonly scope: Scope;
  readonly output: Output;
  /** Why the export may or may not exist. */
  readonly doubt: UnknownValue | undefined;
  value: Value | undefined;
}

/** The names of exports are unique in an account and Region, and visible nowhere else. */
function keyOf({ inputs }: Scope, name: string): string {
  return `${inputs.account.accountId}/${inputs.account.region}/${name}`;
}

export class ExportDirectory {
  readonly nesting: Nesting;
  readonly #peers: readonly ExportDirectory[];
  #findMore: (() => void) | undefined;
  readonly #exports = new Map<string, Export>();
  readonly #open: string[] = [];
  /** For each stack: the stacks that it imports from, and where it does so first. */
  readonly #imports = new Map<string, Map<string, Where & { readonly scope: Scope }>>();

  /**
   * @param peers directories of files that may or may not belong together. A name that is not exported here is looked
   *   up there, and several may export the same name. The list may contain this directory, and may grow later.
   */
  constructor(peers: readonly ExportDirectory[] = []) {
    this.#peers = peers;
    this.nesting = peers[0]?.nesting ?? { depth: 0 };
  }

  /** @param find opens further templates that may export more; called when a name is not found */
  awaitMore(find: () => void): void {
    this.#findMore = find;
  }

  /** Adds the exports of a template. An export whose condition is false does not count. */
  add(scope: Scope): void {
    for (const output of scope.template.outputs) {
      const node = findEntry(output.node, 'Export');
      if (node === undefined) continue;
      const condition = findEntry(output.node, 'Condition');
      const truth = condition === undefined ? undefined : decideCondition(scope, condition);
      if (truth?.kind === 'invalid' || (truth?.kind === 'truth' && !truth.value)) continue;
      const name = readProperty(scope, node, 'Name');
      if (name?.kind !== 'text') continue;
      const key = keyOf(scope, name.text);
      const first = this.#exports.get(key);
      if (first === undefined) {
        const doubt = truth?.kind === 'unknown' ? truth : undefined;
        this.#exports.set(key, { name: name.text, scope, output, doubt, value: undefined });
        continue;
      }
      const by =
        first.scope === scope ? 'twice' : `by the stack '${first.scope.inputs.stackName}' as well`;
      const message = `'${abbreviate(name.text)}' is exported ${by}`;
      fail(
        scope,
        'duplicate-export',
        name,
        message,
        'an export name is unique in an account and region',
      );
    }
  }

  /** The value of Fn::ImportValue in `importer`. Undefined if no template exports the name. */
  read(importer: Scope, name: string, where: Where): Value | undefined {
    const key = keyOf(importer, name);
    let found = this.#exports.get(key);
    if (found === undefined) {
      for (const one of [this, ...this.#peers]) one.#openMore();
      found = this.#exports.get(key);
    }
    if (found === undefined) return this.#readPeers(importer, key, name, where);
    this.#noteImport(importer, found.scope, where);
    if (this.#open.includes(key)) {
      const open = [...this.#open.slice(this.#open.indexOf(key)), key];
      const circle = open.map((one) => this.#exports.get(one)!.name).join(' -> ');
      const message = `circular reference: the export ${abbreviate(circle)}`;
      return fail(
        importer,
        'circular-reference',
        where,
        message,
        'nothing in the circle can be evaluated; break it',
      );
    }
    const value = this.#evaluate(key, found);
    if (value.kind !== 'unknown') return moveTo(value, where);
    const stack = found.scope === importer ? '' : ` by the stack '${found.scope.inputs.stackName}'`;
    return makeUnknown(
      `'${abbreviate(name)}' is exported${stack}, and ${value.reason}`,
      value.hint,
      where,
    );
  }

  #openMore(): void {
    const find = this.#findMore;
    this.#findMore = undefined;
    find?.();
  }

  #readPeers(importer: Scope, key: string, name: string, where: Where): Value | undefined {
    const having = this.#peers.filter((peer) => peer !== this && peer.#exports.has(key));
    if (having.length < 2) return having[0]?.read(importer, name, where);
    const stacks = having.map((peer) => peer.#exports.get(key)!.scope.inputs.stackName).join(', ');
    const reason = `'${abbreviate(name)}' is exported by several of the files: ${abbreviate(stacks)}`;
    return makeUnknown(reason, 'give the one that is meant, without the others', where);
  }

  /** The names and values of the exports of `scope` that are known. */
  readAll(scope: Scope): Map<string, string> {
    const known = new Map<string, string>();
    for (const [key, entry] of this.#exports) {
      const value = entry.scope === scope ? this.#evaluate(key, entry) : undefined;
      if (value?.kind === 'text') known.set(entry.name, value.text);
    }
    return known;
  }

  /** The suggestion `did you mean 'net-vpc'? Or `, or an empty text. */
  suggest(name: string): string {
    // Comparing thousands of imports with thousands of exports would take minutes.
    const size = this.#peers.reduce((sum, one) => sum + one.#exports.size, this.#exports.size);
    if (size > SUGGESTED_FROM_MAX) return '';
    if ([...this.#exports.values()].some((entry) => entry.name === name))
      return "it is exported in another region or account, where it can't be imported from. Or ";
    const names = [this, ...this.#peers].flatMap((one) =>
      [...one.#exports.values()].map((entry) => entry.name),
    );
    return didYouMean(name, names).replace(/^; (.*)$/, '$1 Or ');
  }

  /** Warns of each circle among stacks, at its first import. */
  warnOfCircles(): void {
    const edges = new Map(
      [...this.#exports.values()].map(({ scope }) => [
        scope.inputs.stackName,
        [] as { name: string }[],
      ]),
    );
    for (const [importer, exporters] of this.#imports) {
      edges.set(
        importer,
        [...exporters.keys()].map((name) => ({ name })),
      );
    }
    for (const circle of findCircles(edges)) {
      const [importer, where] = [...circle].flatMap((stack) =>
        [...(this.#imports.get(stack) ?? [])]
          .filter(([exporter]) => circle.has(exporter))
          .map(([, found]) => [stack, found] as const),
      )[0];
      const message =
        circle.size === 1
          ? `the stack '${importer}' imports what it exports itself`
          : `the stacks ${[...circle].join(', ')} import from each other`;
      const hint =
        'AWS refuses it: No export named … found, since a stack is made after those it imports from';
      report(where.scope.problems, 'warning', 'circular-reference', where, message, hint);
    }
  }

  #noteImport(importer: Scope, exporter: Scope, { at, path }: Where): void {
    const { stackName } = importer.inputs;
    const from =
      this.#imports.get(stackName) ?? new Map<string, Where & { readonly scope: Scope }>();
    this.#imports.set(stackName, from);
    const name = exporter.inputs.stackName;
    if (!from.has(name)) from.set(name, { at, path, scope: importer });
  }

  #evaluate(key: string, entry: Export): Value {
    if (entry.value !== undefined) return entry.value;
    const { scope, output, doubt } = entry;
    this.#open.push(key);
    try {
      entry.value =
        doubt ??
        readProperty(scope, output.node, 'Value') ??
        makeUnknown('its output has no Value', 'give the output a Value', output);
    } finally {
      this.#open.pop();
    }
    return entry.value;
  }
}
