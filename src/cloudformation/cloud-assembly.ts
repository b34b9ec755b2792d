/**
 * This file reads cloud assemblies, the folders that the AWS CDK synthesises (`cdk.out`).
 *
 * The manifest lists the stacks, their names, environments, parameters and dependencies. Asset manifests give the names
 * of uploaded files, which include the templates of nested stacks. Stages are assemblies inside the assembly.
 * Source: @aws-cdk/cloud-assembly-schema, cloud-assembly.schema.json and assets.schema.json.
 */
import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { Problem } from '../source/problem.ts';
import { describeNode, get, readDocument, type Entry, type Node } from '../source/yaml.ts';
import type { Account } from './account.ts';
import type { GivenValue } from './parameters.ts';
import { fail, report } from './reporting.ts';
import { abbreviate, type Where } from './values.ts';

/** The newest revision of the schema that is known here. All older ones are read. */
export const REVISION_MAX = 55;
const MANIFEST = 'manifest.json';
/** A manifest is large, because it contains the metadata of every construct. */
const MANIFEST_BYTES_MAX = 33_554_432;
/** The deepest nesting of stages. */
const DEPTH_MAX = 10;

export interface AssemblyStack {
  /** The path of the template. */
  readonly file: string;
  readonly stackName: string;
  /** The artifact id, unique in the assembly. */
  readonly artifactId: string;
  /** The environment of the stack, as far as it is known. */
  readonly account: Partial<Account>;
  readonly parameters: ReadonlyMap<string, GivenValue>;
  /** The uploaded files, by the last part of their URL. */
  readonly assets: ReadonlyMap<string, string>;
  /** The position in the manifest. */
  readonly where: Where;
}

export interface Assembly {
  /** Each stack comes after those it depends on. */
  readonly stacks: readonly AssemblyStack[];
  /** The manifests, including those that could not be read. */
  readonly files: readonly string[];
}

export function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}

/** Reads the manifests of a folder. Problems are added to `problems`. Templates are not read here. */
export function readCloudAssembly(folder: string, problems: Problem[]): Assembly {
  const files: string[] = [];
  return { stacks: readFolder({ folder, problems, files }, 0), files };
}

/**
 * Gives stacks different names. An assembly may have stacks of one name in several accounts or Regions, and here a name
 * means one stack. All but the first are called by their artifact id.
 */
export function uniqueNames(
  stacks: readonly AssemblyStack[],
  problems: Problem[],
): readonly AssemblyStack[] {
  const taken = new Set<string>();
  return stacks.map((stack) => {
    const stackName = taken.has(stack.stackName) ? stack.artifactId : stack.stackName;
    taken.add(stackName);
    if (stackName === stack.stackName) return stack;
    const message = `the cloud assembly has several stacks '${abbreviate(stack.stackName)}'; this one is called '${abbreviate(stackName)}' here`;
    report(
      problems,
      'warning',
      'duplicate-stack',
      stack.where,
      message,
      'for one of them alone, name its template, or the folder of its stage',
    );
    return { ...stack, stackName };
  });
}

interface Folder {
  readonly folder: string;
  readonly problems: Problem[];
  readonly files: string[];
}

interface Artifact {
  readonly id: string;
  readonly where: Where;
  readonly type: string;
  readonly node: Node;
  readonly properties: Node | undefined;
}

/** Types of artifacts that make no stack. */
const OTHER_TYPES = new Set(['none', 'cdk:tree', 'cdk:feature-flag-report', 'cdk:asset-manifest']);

function readFolder(context: Folder, depth: number): AssemblyStack[] {
  const { folder, problems, files } = context;
  const file = join(folder, MANIFEST);
  files.push(file);
  if (!existsSync(file)) {
    const where = { at: { file, line: 0, column: 0 }, path: '' };
    const hint = 'name a template, or the folder that `cdk synth` wrote';
    fail(
      context,
      'cloud-assembly',
      where,
      'the file is not there: the folder is no cloud assembly',
      hint,
    );
    return [];
  }
  const root = readDocument(file, problems, { maxBytes: MANIFEST_BYTES_MAX });
  if (root === undefined || !checkVersion(root, problems)) return [];
  warnOfMissing(root, problems);
  const section = get(root, 'artifacts');
  if (section !== undefined && section.kind !== 'mapping') {
    fail(
      context,
      'cloud-assembly',
      section,
      `artifacts must be a mapping, not ${describeNode(section)}`,
    );
    return [];
  }
  const artifacts = (section?.entries ?? []).map(readArtifact);
  const assets = new Map<string, string>();
  for (const artifact of artifacts)
    if (artifact.type === 'cdk:asset-manifest') readAssets(context, artifact, assets);
  return sortByDependencies(artifacts).flatMap((artifact) => {
    if (artifact.type === 'aws:cloudformation:stack') return readStack(context, artifact, assets);
    if (artifact.type === 'cdk:cloud-assembly') return readStage(context, artifact, depth);
    if (!OTHER_TYPES.has(artifact.type)) {
      const message = `the artifact '${abbreviate(artifact.id)}' is of a type that is not known: '${abbreviate(artifact.type)}'`;
      report(
        problems,
        'warning',
        'cloud-assembly',
        artifact.where,
        message,
        'what it makes is not seen',
      );
    }
    return [];
  });
}

function readArtifact({ key, keyAt, value }: Entry): Artifact {
  return {
    id: key,
    where: { at: keyAt, path: value.path },
    type: textOf(get(value, 'type')) ?? '',
    node: value,
    properties: get(value, 'properties'),
  };
}

function checkVersion(root: Node, problems: Problem[]): boolean {
  const node = get(root, 'version');
  const version = textOf(node);
  const refuse = (message: string, hint: string): boolean => {
    fail({ problems }, 'cloud-assembly', { at: (node ?? root).at, path: 'version' }, message, hint);
    return false;
  };
  const revision = /^(\d{1,5})\.\d+\.\d+$/.exec(version ?? '')?.[1];
  if (revision === undefined) {
    const found = version === undefined ? 'no version' : `the version '${abbreviate(version)}'`;
    return refuse(
      `the manifest has ${found}: this is no cloud assembly`,
      'name the folder that `cdk synth` wrote',
    );
  }
  if (Number(revision) <= REVISION_MAX) return true;
  return refuse(
    `the cloud assembly has the version ${version}; versions up to ${REVISION_MAX} are read`,
    'name its *.template.json files in place of the folder, with their stackName and region',
  );
}

/** Reports what the CDK would have looked up in AWS, and replaced by a placeholder. */
function warnOfMissing(root: Node, problems: Problem[]): void {
  const missing = get(root, 'missing');
  if (missing?.kind !== 'list' || missing.items.length === 0) return;
  const keys = missing.items.map((item) => textOf(get(item, 'key')) ?? '?').join(', ');
  const message = `values that the CDK looks up in AWS are missing, and what stands for them is made up: ${abbreviate(keys)}`;
  report(
    problems,
    'warning',
    'cloud-assembly',
    missing,
    message,
    'run `cdk synth` where it can look them up',
  );
}

function readStack(
  context: Folder,
  { id, where, node, properties }: Artifact,
  assets: ReadonlyMap<string, string>,
): AssemblyStack[] {
  const template = textOf(get(properties, 'templateFile'));
  if (template === undefined || template === '') {
    fail(
      context,
      'cloud-assembly',
      where,
      `the stack '${abbreviate(id)}' names no templateFile`,
      'run `cdk synth` again',
    );
    return [];
  }
  const parameters = new Map<string, GivenValue>();
  const section = get(properties, 'parameters');
  for (const { key, value } of section?.kind === 'mapping' ? section.entries : []) {
    const text = textOf(value);
    if (text !== undefined) parameters.set(key, { text, at: value.at, path: value.path });
  }
  return [
    {
      file: resolve(context.folder, template),
      stackName: textOf(get(properties, 'stackName')) ?? id,
      artifactId: id,
      account: readEnvironment(context, get(node, 'environment')),
      parameters,
      assets,
      where,
    },
  ];
}

/** Reads `aws://ACCOUNT/REGION`. Either may be unknown. */
function readEnvironment(context: Folder, node: Node | undefined): Partial<Account> {
  const text = textOf(node);
  if (node === undefined || text === undefined) return {};
  const [, accountId, region] = /^aws:\/\/(\d{12}|unknown-account)\/([a-z0-9-]+)$/.exec(text) ?? [];
  if (accountId === undefined) {
    const hint = 'write aws://ACCOUNT/REGION';
    fail(context, 'cloud-assembly', node, `'${abbreviate(text)}' is no environment`, hint);
    return {};
  }
  return {
    ...(accountId === 'unknown-account' ? {} : { accountId }),
    ...(region === 'unknown-region' ? {} : { region }),
  };
}

function readStage(
  context: Folder,
  { id, where, properties }: Artifact,
  depth: number,
): AssemblyStack[] {
  const directory = textOf(get(properties, 'directoryName'));
  if (directory === undefined || directory === '') {
    fail(
      context,
      'cloud-assembly',
      where,
      `the assembly '${abbreviate(id)}' names no directoryName`,
      'run `cdk synth` again',
    );
    return [];
  }
  if (depth >= DEPTH_MAX) {
    const message = `assemblies are within each other more than ${DEPTH_MAX} deep`;
    fail(context, 'cloud-assembly', where, message, 'does one name itself?');
    return [];
  }
  return readFolder({ ...context, folder: resolve(context.folder, directory) }, depth + 1);
}

/** Adds the files that an asset manifest uploads without change. */
function readAssets(
  context: Folder,
  { id, where, properties }: Artifact,
  assets: Map<string, string>,
): void {
  const name = textOf(get(properties, 'file'));
  if (name === undefined || name === '') {
    fail(
      context,
      'cloud-assembly',
      where,
      `the asset manifest '${abbreviate(id)}' names no file`,
      'run `cdk synth` again',
    );
    return;
  }
  const file = resolve(context.folder, name);
  context.files.push(file);
  const root = readDocument(file, context.problems, { maxBytes: MANIFEST_BYTES_MAX });
  const section = root === undefined ? undefined : get(root, 'files');
  for (const { value } of section?.kind === 'mapping' ? section.entries : []) {
    const source = get(value, 'source');
    const path = textOf(get(source, 'path'));
    if (path === undefined || textOf(get(source, 'packaging')) !== 'file') continue;
    const destinations = get(value, 'destinations');
    for (const destination of destinations?.kind === 'mapping' ? destinations.entries : []) {
      const key = textOf(get(destination.value, 'objectKey'));
      if (key !== undefined) assets.set(basename(key), resolve(context.folder, path));
    }
  }
}

/** Sorts the stacks so that each comes after those it depends on. Circles keep the order of the manifest. */
function sortByDependencies(artifacts: readonly Artifact[]): readonly Artifact[] {
  const byId = new Map(artifacts.map((artifact) => [artifact.id, artifact]));
  const sorted = new Set<Artifact>();
  const begun = new Set<Artifact>();
  for (const first of artifacts) {
    // An explicit stack, because recursion over a chain of thousands would overflow.
    const open = [first];
    while (open.length > 0) {
      const artifact = open[open.length - 1];
      const before = begun.has(artifact) ? [] : dependenciesOf(artifact, byId);
      begun.add(artifact);
      const waiting = before.filter((one) => !begun.has(one));
      if (waiting.length === 0) {
        sorted.add(artifact);
        open.pop();
      } else open.push(...waiting.reverse());
    }
  }
  return [...sorted];
}

function dependenciesOf({ node }: Artifact, byId: ReadonlyMap<string, Artifact>): Artifact[] {
  const list = get(node, 'dependencies');
  return (list?.kind === 'list' ? list.items : []).flatMap(
    (item) => byId.get(textOf(item) ?? '') ?? [],
  );
}

function textOf(node: Node | undefined): string | undefined {
  return node?.kind === 'scalar' && node.value !== null ? node.text : undefined;
}
