/**
 * Parameters files of CloudFormation, in the two forms its tools write:
 * `[{ "ParameterKey": …, "ParameterValue": … }]` of the command line, and the template configuration
 * `{ "Parameters": { … } }` of CodePipeline.
 * Source: AWS CLI Command Reference, "cloudformation create-stack"; AWS CloudFormation User Guide,
 * "AWS CloudFormation artifacts", template configuration file.
 */
import type { GivenValue } from '../../cloudformation/parameters.ts';
import type { Problem } from '../../source/problem.ts';
import { closest } from '../../source/suggest.ts';
import { describeNode, get, readDocument, type Entry, type Node } from '../../source/yaml.ts';
import { fail, report } from './config-reader.ts';

/** 200 parameters of 4096 characters, as AWS takes them, several times over. */
const FILE_BYTES_MAX = 4_194_304;

const ITEM_KEYS = ['ParameterKey', 'ParameterValue', 'UsePreviousValue', 'ResolvedValue'];
const CONFIGURATION_KEYS = ['Parameters', 'Tags', 'StackPolicy'];

/** The values by name. Whatever is wrong with the file goes to `problems`. */
export function readParametersFile(problems: Problem[], file: string): Map<string, GivenValue> {
  const values = new Map<string, GivenValue>();
  const root = readDocument(file, problems, { maxBytes: FILE_BYTES_MAX });
  if (root === undefined) return values;
  if (root.kind === 'list') {
    for (const item of root.items) readItem(problems, item, values);
  } else if (root.kind === 'mapping' && get(root, 'Parameters') !== undefined) {
    readConfiguration(problems, root.entries, values);
  } else {
    const message = `a parameters file is a list or a mapping with Parameters, not ${describeNode(root)}`;
    const hint =
      'write [{ "ParameterKey": "Port", "ParameterValue": "443" }] or { "Parameters": { "Port": "443" } }';
    fail(readerOf(problems), root, 'parameters-format', message, hint);
  }
  return values;
}

function readItem(problems: Problem[], item: Node, values: Map<string, GivenValue>): void {
  const reader = readerOf(problems);
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
  const first = values.get(key.value);
  if (first !== undefined) {
    const message = `the parameter '${key.value}' is given on line ${first.at.line} already`;
    fail(reader, key, 'duplicate-key', message, 'keep one of the two');
    return;
  }
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
