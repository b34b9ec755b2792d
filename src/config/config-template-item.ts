/** This file reads an item of the `templates` section: its file, stack name and values. */
import { basename, dirname, extname, resolve } from 'node:path';
import type { Account } from '../cloudformation/account.ts';
import { isFolder, readCloudAssembly, uniqueNames } from '../cloudformation/cloud-assembly.ts';
import type { GivenValue } from '../cloudformation/parameters.ts';
import { didYouMean } from '../source/suggest.ts';
import { get, type Node } from '../source/yaml.ts';
import { readParametersFile } from './config-parameters-file.ts';
import {
  fail,
  readEntries,
  readText,
  readTextOrNumber,
  report,
  type Place,
  type Reader,
} from './config-reader.ts';
import { ACCOUNT_ID, REGION, STACK_NAME } from './template-names.ts';

/**
 * The key of a value that a message may name: its kind, and the rest. The kind of a dynamic reference is its service.
 */
const SUPPLIED_KEY = /^[A-Za-z][A-Za-z0-9-]*:./s;

/** A value that only AWS knows, given by the configuration. */
export interface SuppliedValue extends Place {
  readonly value: string | readonly string[];
}

export interface TemplateItem {
  readonly node: Node;
  readonly fileNode: Node;
  /** As it is written. */
  readonly name: string;
  /** The resolved path. */
  readonly file: string;
  readonly stackName: string;
  readonly stackNameNode: Node | undefined;
  /** The key `vpc`: the VPC of groups that have no VpcId. */
  readonly vpcNode: Node | undefined;
  /** The account and Region of the stack. */
  readonly account: Partial<Account>;
  /** Values of the configuration come before those of the parameters file. */
  readonly parameters: ReadonlyMap<string, GivenValue>;
  /** Those that are meant for all stacks of a cloud assembly. */
  readonly sharedParameters: ReadonlyMap<string, GivenValue>;
  /** The uploaded files of a cloud assembly, by the last part of their URL. */
  readonly assets: ReadonlyMap<string, string> | undefined;
  /** The other files that were read: parameters files and manifests. */
  readonly otherFiles: readonly string[];
  /** True of a cloud assembly without any stack. */
  readonly isEmpty: boolean;
  readonly supplied: ReadonlyMap<string, SuppliedValue>;
}

/** Reads an item. It stands for one template, or for those of a cloud assembly; for none if it names no file. */
export function readTemplateItem(reader: Reader, configFile: string, node: Node): TemplateItem[] {
  const item = readItem(reader, configFile, node);
  if (item === undefined) return [];
  return isFolder(item.file) ? readAssemblyItem(reader, item) : [item];
}

/**
 * Copies the item for each stack. What the stack says itself comes first; of the parameters it gets those it declares.
 */
function readAssemblyItem(reader: Reader, item: TemplateItem): TemplateItem[] {
  if (item.stackNameNode !== undefined) {
    const hint = 'take stackName out, or name one of its templates';
    const message = 'a cloud assembly has names for its stacks';
    fail(reader, item.stackNameNode, 'bad-value', message, hint);
  }
  const { stacks, files } = readCloudAssembly(item.file, reader.problems);
  const items = uniqueNames(stacks, reader.problems).map((stack) => ({
    ...item,
    name: `${item.name}/${basename(stack.file)}`,
    file: stack.file,
    stackName: stack.stackName,
    stackNameNode: undefined,
    account: { ...item.account, ...stack.account },
    parameters: stack.parameters,
    sharedParameters: item.parameters,
    assets: stack.assets,
    otherFiles: [...item.otherFiles, ...files],
  }));
  // These files are watched even if they give no stack.
  return items.length > 0
    ? items
    : [{ ...item, isEmpty: true, otherFiles: [...item.otherFiles, ...files] }];
}

/** Undefined if the item names no file. */
function readItem(reader: Reader, configFile: string, node: Node): TemplateItem | undefined {
  const fileNode = node.kind === 'mapping' ? get(node, 'file') : node;
  const name = readText(reader, fileNode);
  const stackNameNode = get(node, 'stackName');
  const stackName = readText(reader, stackNameNode);
  if (stackName !== undefined && !STACK_NAME.test(stackName)) {
    const hint = "use a letter and then up to 127 letters, digits and '-'";
    fail(reader, stackNameNode!, 'bad-name', `'${stackName}' can't be the name of a stack`, hint);
  }
  const parametersNode = get(node, 'parametersFile');
  const parametersName = readText(reader, parametersNode);
  if (parametersName === '')
    fail(reader, parametersNode!, 'bad-value', 'the name of the parameters file is empty');
  const directory = dirname(configFile);
  const parametersFile = parametersName ? resolve(directory, parametersName) : undefined;
  const parameters = new Map([
    ...(parametersFile === undefined ? [] : readParametersFile(reader.problems, parametersFile)),
    ...readParameters(reader, get(node, 'parameters')),
  ]);
  const supplied = readSupplied(reader, get(node, 'supplied'));
  if (name === undefined || fileNode === undefined) return undefined;
  if (name === '')
    return fail(reader, fileNode, 'bad-value', 'the name of the template file is empty');
  return {
    node,
    fileNode,
    name,
    file: resolve(directory, name),
    stackName: stackName ?? basename(name, extname(name)),
    stackNameNode,
    vpcNode: get(node, 'vpc'),
    account: readAccount(reader, node),
    parameters,
    sharedParameters: new Map(),
    assets: undefined,
    otherFiles: parametersFile === undefined ? [] : [parametersFile],
    isEmpty: false,
    supplied,
  };
}

/** Region, account and partition, as far as they are given. */
function readAccount(reader: Reader, node: Node): Partial<Account> {
  const region = readText(reader, get(node, 'region'));
  const partition = readText(reader, get(node, 'partition'));
  const accountNode = get(node, 'accountId');
  const accountId = readTextOrNumber(reader, accountNode);
  if (region !== undefined && !REGION.test(region))
    fail(
      reader,
      get(node, 'region')!,
      'bad-value',
      `'${region}' is no region`,
      'write one as eu-west-1',
    );
  if (partition !== undefined && !/^aws(-[a-z]+)*$/.test(partition))
    fail(
      reader,
      get(node, 'partition')!,
      'bad-value',
      `'${partition}' is no partition`,
      'write one as aws-cn',
    );
  if (accountId !== undefined && !ACCOUNT_ID.test(accountId))
    fail(
      reader,
      accountNode!,
      'bad-value',
      `'${accountId}' is no account id`,
      'an account id has twelve digits',
    );
  return {
    ...(region === undefined ? {} : { region }),
    ...(partition === undefined ? {} : { partition }),
    ...(accountId === undefined ? {} : { accountId }),
  };
}

/** Values as CloudFormation's texts. A list becomes a comma-delimited text. */
function readParameters(reader: Reader, section: Node | undefined): Map<string, GivenValue> {
  const parameters = new Map<string, GivenValue>();
  for (const { key, value } of readEntries(reader, section)) {
    const texts = readTexts(reader, value);
    if (texts === undefined) continue;
    parameters.set(key, { text: [texts].flat().join(','), at: value.at, path: value.path });
  }
  return parameters;
}

function readSupplied(reader: Reader, section: Node | undefined): Map<string, SuppliedValue> {
  const supplied = new Map<string, SuppliedValue>();
  for (const { key, keyAt, value } of readEntries(reader, section)) {
    const place = { at: keyAt, path: value.path };
    if (!SUPPLIED_KEY.test(key)) {
      const message = `'${key}' is no key of a value that only AWS knows`;
      const hint =
        'write ssm:/PATH, secretsmanager:NAME, import:NAME, getatt:ID.ATTRIBUTE or ref:ID, as the warning about the value has it';
      fail(reader, place, 'bad-supplied-key', message, hint);
      continue;
    }
    const texts = readTexts(reader, value);
    if (texts !== undefined) supplied.set(key, { ...place, value: texts });
  }
  return supplied;
}

/** A scalar as it is written, or a list of scalars. */
function readTexts(reader: Reader, node: Node): string | readonly string[] | undefined {
  const nodes = node.kind === 'list' ? node.items : [node];
  const texts = nodes.flatMap((item) =>
    item.kind === 'scalar' && item.value !== null ? [item.text] : [],
  );
  if (texts.length < nodes.length) {
    reader.misses.push({ node, expected: 'a string, a number, or a list of these' });
    return undefined;
  }
  return node.kind === 'list' ? texts : texts[0];
}

/** Reports parameters of a cloud assembly that none of its stacks declares. */
export function refuseUnusedParameters(
  reader: Reader,
  { sharedParameters }: TemplateItem,
  known: ReadonlySet<string>,
): void {
  for (const [name, place] of sharedParameters) {
    if (known.has(name)) continue;
    const message = `no stack of the cloud assembly has a parameter '${name}'${didYouMean(name, known)}`;
    fail(reader, place, 'unknown-parameter', message, 'correct it, or remove it');
  }
}

/** Warns of values that no template used: they are mistyped, or no longer needed. */
export function warnOfUnusedValues(
  reader: Reader,
  item: TemplateItem,
  askedKeys: ReadonlySet<string>,
): void {
  const { fileNode, assets, name } = item;
  const isAssembly = assets !== undefined && fileNode.kind === 'scalar';
  const where = isAssembly ? `the cloud assembly '${fileNode.text}'` : `the template '${name}'`;
  const unanswered = [...askedKeys].filter((key) => !item.supplied.has(key));
  for (const [key, place] of item.supplied) {
    if (askedKeys.has(key)) continue;
    const message = `nothing in ${where} asks for '${key}'${didYouMean(key, unanswered)}`;
    report(reader, 'warning', place, 'unused-value', message, 'correct the key, or remove it');
  }
}
