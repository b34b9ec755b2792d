/**
 * This file reads parameters files of CloudFormation. Its tools accept three forms: `[{ "ParameterKey": …,
 * "ParameterValue": … }]` (command line), `{ "Parameters": { … } }` (template configuration file of CodePipeline), and
 * `Key=Value`, in a list or one a line.
 * Source: AWS CLI Command Reference, "cloudformation create-stack" and "cloudformation deploy", --parameter-overrides;
 * AWS CloudFormation User Guide, "AWS CloudFormation artifacts".
 */
import type { GivenValue } from '../cloudformation/parameters.ts';
import type { Problem } from '../source/problem.ts';
import { closest } from '../source/suggest.ts';
import {
  describeNode,
  get,
  parseDocument,
  readText,
  type Entry,
  type Node,
} from '../source/yaml.ts';
import { fail, report, type Place } from './config-reader.ts';

/** Several times AWS's limit of 200 parameters of 4096 characters. */
const FILE_BYTES_MAX = 4_194_304;

const ITEM_KEYS = ['ParameterKey', 'ParameterValue', 'UsePreviousValue', 'ResolvedValue'];
const CONFIGURATION_KEYS = ['Parameters', 'Tags', 'StackPolicy'];

/** Returns the values by name. Mistakes in the file are added to `problems`. */
export function readParametersFile(problems: Problem[], file: string): Map<string, GivenValue> {
  const values = new Map<string, GivenValue>();
  const text = readText(file, problems, FILE_BYTES_MAX);
  if (text === undefined) return values;
  const lines = text.replace(/^\uFEFF/, '').split(/\r?\n/);
  const first = lines.find((line) => !isEmptyLine(line));
  if (first !== undefined && PAIR.test(first)) {
    readLines(problems, file, lines, values);
    return values;
  }
  const root = parseDocument(file, text, problems);
  if (root === undefined) return values;
  if (root.kind === 'list') {
    for (const item of root.items) readItem(problems, item, values);
  } else if (root.kind === 'mapping' && get(root, 'Parameters') !== undefined) {
    readConfiguration(problems, root.entries, values);
  } else {
    const message = `a parameters file is a list, a mapping with Parameters, or lines Key=Value, not ${describeNode(root)}`;
    const hint =
      'write [{ "ParameterKey": "Port", "ParameterValue": "443" }], { "Parameters": { "Port": "443" } }, or lines as Port=443';
    fail(readerOf(problems), root, 'parameters-format', message, hint);
  }
  return values;
}

const PAIR = /^\s*([A-Za-z0-9]+)=(.*?)\s*$/;

function isEmptyLine(line: string): boolean {
  return /^\s*(?:#.*)?$/.test(line);
}

/** Reads `Key=Value` lines. A value may be quoted. */
function readLines(
  problems: Problem[],
  file: string,
  lines: readonly string[],
  values: Map<string, GivenValue>,
): void {
  for (const [i, line] of lines.entries()) {
    if (isEmptyLine(line)) continue;
    const column = line.search(/\S/) + 1;
    readPair(problems, line, { at: { file, line: i + 1, column }, path: '' }, values);
  }
}

function readPair(
  problems: Problem[],
  pair: string,
  { at, path }: Place,
  values: Map<string, GivenValue>,
): void {
  const reader = readerOf(problems);
  const [, key, written] = PAIR.exec(pair) ?? [];
  if (key === undefined) {
    const hint = 'write the name of a parameter, = and its value, as Port=443';
    fail(reader, { at, path }, 'parameters-format', 'this is no Key=Value', hint);
    return;
  }
  const place = { at, path: path === '' ? key : path };
  const text = /^(["'])(.*)\1$/.exec(written)?.[2];
  if (text === undefined && /\s[A-Za-z0-9]+=/.test(written)) {
    const hint = 'write each on a line of its own; put a value that holds blanks and = in quotes';
    fail(
      reader,
      place,
      'parameters-format',
      'this looks like several parameters on one line',
      hint,
    );
    return;
  }
  if (refuseSecond(problems, key, place, values)) return;
  values.set(key, { text: text ?? written, ...place });
}

/** Whether the parameter already has a value, which is reported. */
function refuseSecond(
  problems: Problem[],
  key: string,
  place: Place,
  values: ReadonlyMap<string, GivenValue>,
): boolean {
  const first = values.get(key);
  if (first === undefined) return false;
  const message = `the parameter '${key}' is given on line ${first.at.line} already`;
  fail(readerOf(problems), place, 'duplicate-key', message, 'keep one of the two');
  return true;
}

function readItem(problems: Problem[], item: Node, values: Map<string, GivenValue>): void {
  const reader = readerOf(problems);
  if (item.kind === 'scalar' && item.text.includes('=')) {
    readPair(problems, item.text, item, values);
    return;
  }
  if (item.kind !== 'mapping') {
    const message = `a parameter must be a mapping, not ${describeNode(item)}`;
    fail(reader, item, 'parameters-format', message, 'give ParameterKey and ParameterValue');
    return;
  }
  refuseUnknownKeys(problems, item.entries, ITEM_KEYS);
  const key = get(item, 'ParameterKey');
  if (key?.kind !== 'scalar' || typeof key.value !== 'string') {
    const message =
      key === undefined
        ? 'the parameter has no ParameterKey'
        : `ParameterKey must be a string, not ${describeNode(key)}`;
    fail(reader, key ?? item, 'parameters-format', message);
    return;
  }
  const value = get(item, 'ParameterValue');
  const previous = get(item, 'UsePreviousValue');
  if (value === undefined && previous?.kind === 'scalar' && previous.value === true) {
    const message = `the parameter '${key.value}' keeps its previous value, which AWS alone knows; its default is taken`;
    const hint = 'give the value, here or in the configuration under parameters';
    report(reader, 'warning', previous, 'unknown-value', message, hint);
    return;
  }
  if (value === undefined) {
    fail(reader, item, 'parameters-format', `the parameter '${key.value}' has no ParameterValue`);
    return;
  }
  if (refuseSecond(problems, key.value, key, values)) return;
  addValue(problems, key.value, value, values);
}

function readConfiguration(
  problems: Problem[],
  entries: readonly Entry[],
  values: Map<string, GivenValue>,
): void {
  refuseUnknownKeys(problems, entries, CONFIGURATION_KEYS);
  const parameters = entries.find(({ key }) => key === 'Parameters')!.value;
  if (parameters.kind !== 'mapping') {
    const message = `Parameters must be a mapping, not ${describeNode(parameters)}`;
    fail(readerOf(problems), parameters, 'parameters-format', message);
    return;
  }
  for (const { key, value } of parameters.entries) addValue(problems, key, value, values);
}

function addValue(
  problems: Problem[],
  name: string,
  node: Node,
  values: Map<string, GivenValue>,
): void {
  if (node.kind === 'scalar' && node.value !== null) {
    values.set(name, { text: node.text, at: node.at, path: node.path });
    return;
  }
  const message = `the value of the parameter '${name}' must be a string, not ${describeNode(node)}`;
  const hint = node.kind === 'list' ? 'write a list as one text, as "a,b,c"' : undefined;
  fail(readerOf(problems), node, 'parameters-format', message, hint);
}

function refuseUnknownKeys(
  problems: Problem[],
  entries: readonly Entry[],
  known: readonly string[],
): void {
  for (const { key, keyAt, value } of entries) {
    if (known.includes(key)) continue;
    const meant = closest(key, known);
    const suggestion = meant === undefined ? '' : `; did you mean '${meant}'?`;
    const place = { at: keyAt, path: value.path };
    const hint = `known keys: ${known.join(', ')}`;
    fail(readerOf(problems), place, 'unknown-key', `unknown key '${key}'${suggestion}`, hint);
  }
}

function readerOf(problems: Problem[]): { problems: Problem[]; misses: [] } {
  return { problems, misses: [] };
}
