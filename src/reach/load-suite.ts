/**
 * Reads a file of expectations and its configuration into a Suite, or reports every mistake in them at once.
 *
 * It works like the configuration loader. Readers take what they understand, report mistakes and go on. Then the
 * published schema finds values of the wrong kind and unknown keys.
 */
import { dirname, isAbsolute } from 'node:path';
import {
  fail,
  kindProblem,
  makeReader,
  readItems,
  readOneOrMore,
  readText,
  type Reader,
} from '../config/config-reader.ts';
import { addShapeProblems } from '../config/config-shape.ts';
import {
  foreignFolder,
  foreignTemplate,
  foreignText,
  foreignTree,
} from '../config/foreign-input.ts';
import { networkOf } from '../explain/question.ts';
import { loadInput, type InputOptions } from '../inputs/load-input.ts';
import { hasErrors, type Problem } from '../source/problem.ts';
import {
  DOCUMENT_BYTES_MAX,
  get,
  parseDocument,
  readText as readDocumentText,
  type Node,
} from '../source/yaml.ts';
import { readFamily, readTargets, type Context } from './context.ts';
import { EndFinder } from './ends.ts';
import { CASES_MAX, Expander, OverBudget } from './expand.ts';
import { readMatrix } from './matrix.ts';
import { EXPECTATIONS_SCHEMA } from './schema.ts';
import { readServices, requireService } from './services.ts';
import type { Block, Check, Expected, Suite } from './suite.ts';

export interface SuiteOptions extends InputOptions {
  /** The input to use instead of the one in the file. */
  readonly configFile?: string;
}

export interface LoadedSuite {
  /** Undefined if any of the problems is an error. */
  readonly suite: Suite | undefined;
  /** Errors of both files. Warnings about the configuration are left to `sgctl check`. */
  readonly problems: readonly Problem[];
}

/** Reads and checks a file of expectations. Never throws for the contents of files, or for missing files. */
export function loadSuite(file: string, options: SuiteOptions): LoadedSuite {
  const problems: Problem[] = [];
  const folder = foreignFolder(file, 'expectations');
  if (folder !== undefined) return { suite: undefined, problems: [folder] };
  const text = readDocumentText(file, problems, DOCUMENT_BYTES_MAX);
  if (text === undefined) return { suite: undefined, problems };
  const foreign = foreignText(file, text, 'expectations');
  if (foreign !== undefined) return { suite: undefined, problems: [foreign] };
  const root = parseDocument(file, text, problems);
  const template = foreignTemplate(file, text, root, 'expectations');
  if (template !== undefined) return { suite: undefined, problems: [template] };
  if (root === undefined) return { suite: undefined, problems };
  const other = foreignTree(file, root, 'expectations');
  if (other !== undefined) return { suite: undefined, problems: [...problems, other] };
  const reader = makeReader(problems);
  const configFile = options.configFile ?? readConfigPath(reader, root);
  const loaded =
    configFile === undefined
      ? undefined
      : loadInput(configFile, { ...options, needsInterfaces: true });
  const config = loaded?.config;
  const blocks = config === undefined ? [] : readBlocks(reader, root, config);
  addShapeProblems(root, problems, EXPECTATIONS_SCHEMA);
  addMisses(reader);
  if (config !== undefined && blocks.length === 0 && !hasErrors(problems))
    fail(reader, get(root, 'expect') ?? root, 'nothing-expected', 'the file expects nothing');
  problems.sort((a, b) => compare(a, b, 'line') || compare(a, b, 'column'));
  problems.push(...(loaded?.problems.filter(({ severity }) => severity === 'error') ?? []));
  const isGood = !hasErrors(problems) && configFile !== undefined && config !== undefined;
  return { suite: isGood ? { file, configFile, config, blocks } : undefined, problems };
}

function readConfigPath(reader: Reader, root: Node): string | undefined {
  const node = get(root, 'config');
  const text = readText(reader, node);
  if (text !== undefined) return resolveBeside(root.at.file, text);
  if (node === undefined && root.kind === 'mapping') {
    const hint = 'write config: and its path, or give --config FILE';
    fail(reader, root, 'missing-key', 'the file names no configuration to test', hint);
  }
  return undefined;
}

/** Makes a path relative to the file's directory, and as short as possible: it is shown to people. */
function resolveBeside(file: string, path: string): string {
  const directory = dirname(file);
  return directory === '.' || isAbsolute(path) ? path : `${directory}/${path}`;
}

function readBlocks(reader: Reader, root: Node, config: Suite['config']): readonly Block[] {
  const context: Context = {
    reader,
    ends: new EndFinder(config),
    expander: new Expander(networkOf(config)),
  };
  const expect = get(root, 'expect');
  const matrix = get(root, 'matrix');
  if (root.kind === 'mapping' && expect === undefined && matrix === undefined) {
    const hint = 'write expect: and a list of expectations, or matrix:';
    fail(reader, root, 'nothing-expected', 'the file expects nothing', hint);
  }
  const blocks: Block[] = [];
  const checks: Check[] = [];
  try {
    for (const node of readItems(reader, expect))
      checks.push(...withinBudget(reader, node, () => readExpectation(context, node)));
    if (checks.length > 0) blocks.push({ kind: 'list', checks });
    for (const node of matrix === undefined ? [] : readOneOrMore(matrix))
      blocks.push(...withinBudget(reader, node, () => readMatrix(context, node)));
  } catch (thrown) {
    if (!(thrown instanceof OverBudget)) throw thrown;
  }
  return blocks;
}

/** Reports the entry that exceeded the limit. The OverBudget then ends the reading. */
function withinBudget<T>(reader: Reader, node: Node, read: () => T): T {
  try {
    return read();
  } catch (thrown) {
    if (thrown instanceof OverBudget) {
      const message = `${thrown.message}: the limit was passed here`;
      const hint = `at most ${CASES_MAX} packets are tried; name single interfaces for large groups, or make several files`;
      fail(reader, node, 'too-many-cases', message, hint);
    }
    throw thrown;
  }
}

function readExpectation(context: Context, node: Node): readonly Check[] {
  const { reader, expander } = context;
  if (node.kind !== 'mapping') return [];
  const from = readTargets(context, get(node, 'from'));
  const to = readTargets(context, get(node, 'to'));
  const services = readServices(reader, node);
  requireService(reader, node, 'expectation');
  const expected = readExpected(get(node, 'is'));
  if (expected === undefined) return [];
  const family = readFamily(get(node, 'family'));
  const name = readText(reader, get(node, 'name'));
  const checks: Check[] = [];
  for (const source of from) {
    for (const destination of to) {
      expander.countPair();
      // In `from: [web, app], to: [web, app]` nobody means the pair of web and web.
      if (source.label === destination.label && from.length + to.length > 2) continue;
      for (const service of services) {
        const { label } = source;
        const head = { name, at: node.at, from: label, to: destination.label, service, expected };
        const check = expander.expand(head, source, destination, family);
        if (check.untestable === undefined) checks.push(check);
        else fail(reader, node, 'nothing-to-test', `nothing can be tried: ${check.untestable}`);
      }
    }
  }
  return checks;
}

/** Undefined for everything that the schema refuses. */
function readExpected(node: Node | undefined): Expected | undefined {
  const value = node?.kind === 'scalar' ? node.value : undefined;
  return value === 'allowed' || value === 'denied' ? value : undefined;
}

/**
 * A gap in the schema must not let a value go unnoticed: a value that it accepts and no reader could use is an error.
 */
function addMisses({ problems, misses }: Reader): void {
  const objected = new Set(problems.map(({ path }) => path));
  for (const { node, expected } of misses)
    if (!objected.has(node.path)) problems.push(kindProblem(node, expected));
}

function compare(a: Problem, b: Problem, key: 'line' | 'column'): number {
  return (a.at?.[key] ?? 0) - (b.at?.[key] ?? 0);
}
