/**
 * The sections of a template, and its resources, with where each was written.
 * Source: AWS CloudFormation User Guide, "CloudFormation template sections".
 */
import type { Problem } from '../source/problem.ts';
import { describeNode, get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import { readCall } from './calls.ts';
import { fail, report } from './scope.ts';
import { abbreviate, type Where } from './values.ts';

/** What AWS takes: 500 resources, 200 parameters, 200 outputs, 200 mappings a template. */
export const AWS_RESOURCES_MAX = 500;
/** What we take. A template that stays under the size limit could otherwise have 100,000 empty resources. */
export const RESOURCES_MAX = 5_000;

export interface Resource extends Where {
  readonly logicalId: string;
  readonly type: string;
  /** Undefined if none are given. */
  readonly properties: Mapping | undefined;
  /** The whole resource, for what depends on it. */
  readonly node: Mapping;
  /** Name of the condition the resource exists under. */
  readonly condition: { readonly name: string; readonly where: Where } | undefined;
}

export interface Output extends Where {
  readonly name: string;
  readonly node: Mapping;
}

/** The parts of a template as they stand in the file; sections that are not there are undefined. */
export interface Sections {
  readonly root: Mapping;
  readonly parameters: Mapping | undefined;
  readonly mappings: Mapping | undefined;
  readonly conditions: Mapping | undefined;
  readonly resources: Mapping;
  readonly outputs: Mapping | undefined;
  /** Names of the transforms AWS would run over the template. */
  readonly transforms: readonly (Where & { readonly name: string })[];
}

export interface Template {
  readonly mappings: Mapping | undefined;
  readonly conditions: ReadonlyMap<string, Node>;
  readonly resources: ReadonlyMap<string, Resource>;
  readonly outputs: readonly Output[];
}

/** The transform of the AWS Serverless Application Model; it has a section of its own. */
const SERVERLESS = 'AWS::Serverless-2016-10-31';
const SERVERLESS_SECTION = 'Globals';

const SECTION_NAMES = new Set([
  'AWSTemplateFormatVersion',
  'Description',
  'Metadata',
  'Parameters',
  'Rules',
  'Mappings',
  'Conditions',
  'Transform',
  'Hooks',
  'Resources',
  'Outputs',
]);

const RESOURCE_ATTRIBUTES = new Set([
  'Type',
  'Properties',
  'Condition',
  'DependsOn',
  'Metadata',
  'CreationPolicy',
  'DeletionPolicy',
  'UpdatePolicy',
  'UpdateReplacePolicy',
  // Written by macros and by the resource importer; AWS takes them.
  'Version',
]);

/** Finds the sections; undefined if there is nothing that could be a template (reported). */
export function readSections(root: Node, problems: Problem[]): Sections | undefined {
  const whole = { at: root.at, path: '' };
  if (root.kind !== 'mapping' || root.tag !== undefined) {
    fail(
      { problems },
      'template-format',
      whole,
      `a template is a mapping with a section Resources, not ${describeNode(root)}`,
    );
    return undefined;
  }
  const transforms = readTransforms(get(root, 'Transform'));
  const isServerless = transforms.some(({ name }) => name === SERVERLESS);
  const strangers = root.entries.filter(
    ({ key }) => !SECTION_NAMES.has(key) && !(isServerless && key === SERVERLESS_SECTION),
  );
  const resources = readResourcesSection(root, strangers, problems);
  if (resources === undefined) return undefined;
  return {
    root,
    parameters: readSection(root, 'Parameters', problems),
    mappings: readSection(root, 'Mappings', problems),
    conditions: readSection(root, 'Conditions', problems),
    resources,
    outputs: readSection(root, 'Outputs', problems),
    transforms,
  };
}

function readSection(root: Mapping, name: string, problems: Problem[]): Mapping | undefined {
  const node = get(root, name);
  if (node === undefined) return undefined;
  if (node.kind === 'mapping' && node.tag === undefined) return node;
  fail(
    { problems },
    'template-format',
    node,
    `the section ${name} must be a mapping, not ${describeNode(node)}`,
  );
  return undefined;
}

/**
 * The Resources section, or what stands in for it: a fragment, as documentation prints it, has its
 * resources at the top. That is taken only if every key that is not a section is a resource.
 */
function readResourcesSection(
  root: Mapping,
  strangers: readonly Entry[],
  problems: Problem[],
): Mapping | undefined {
  const resources = readSection(root, 'Resources', problems);
  if (resources !== undefined) {
    for (const { key, keyAt } of strangers) {
      const message = `unknown section '${abbreviate(key)}'`;
      const hint = `AWS refuses it: Invalid template property or properties [${abbreviate(key)}]; resources belong under Resources`;
      report(problems, 'warning', 'unknown-section', { at: keyAt, path: key }, message, hint);
    }
    return resources;
  }
  if (get(root, 'Resources') !== undefined) return undefined;
  if (strangers.length === 0 || !strangers.every(isResourceEntry)) {
    const message = 'the template has no section Resources';
    const hint = 'AWS refuses it: At least one Resources member must be defined';
    fail({ problems }, 'missing-resources', { at: root.at, path: '' }, message, hint);
    return undefined;
  }
  const names = abbreviate(strangers.map((entry) => entry.key).join(', '));
  const message =
    'the template has no section Resources; the resources at the top are taken for it';
  const hint = `AWS refuses it: Invalid template property or properties [${names}]; write 'Resources:' above them and indent them by two blanks`;
  report(
    problems,
    'warning',
    'missing-resources',
    { at: strangers[0].keyAt, path: '' },
    message,
    hint,
  );
  return { kind: 'mapping', at: strangers[0].keyAt, path: '', entries: strangers };
}

function isResourceEntry({ value }: Entry): boolean {
  const type = get(value, 'Type');
  return (
    type?.kind === 'scalar' && typeof type.value === 'string' && type.value.startsWith('AWS::')
  );
}

function readTransforms(node: Node | undefined): (Where & { name: string })[] {
  if (node === undefined) return [];
  return (node.kind === 'list' ? node.items : [node]).map((item) => {
    const named = item.kind === 'mapping' ? get(item, 'Name') : item;
    return { name: named?.kind === 'scalar' ? named.text : '?', at: item.at, path: item.path };
  });
}

/** Splits the (expanded) sections into things with names. What is malformed is reported and left out. */
export function readTemplate(sections: Sections, problems: Problem[]): Template {
  const conditions = new Map(
    (sections.conditions?.entries ?? []).map(({ key, value }) => [key, value]),
  );
  const outputs: Output[] = [];
  for (const { key, keyAt, value } of sections.outputs?.entries ?? []) {
    if (value.kind === 'mapping')
      outputs.push({ name: key, node: value, at: keyAt, path: value.path });
  }
  return {
    mappings: sections.mappings,
    conditions,
    resources: readResources(sections.resources, problems),
    outputs,
  };
}

function readResources(section: Mapping, problems: Problem[]): Map<string, Resource> {
  const resources = new Map<string, Resource>();
  const { entries } = section;
  if (entries.length === 0) {
    const hint = 'AWS refuses it: At least one Resources member must be defined';
    fail({ problems }, 'missing-resources', section, 'the section Resources is empty', hint);
  }
  if (entries.length > RESOURCES_MAX) {
    const at: Where = { at: entries[RESOURCES_MAX].keyAt, path: section.path };
    const message = `the template has ${entries.length} resources; at most ${RESOURCES_MAX} are read`;
    fail(
      { problems },
      'template-limit',
      at,
      message,
      `AWS takes ${AWS_RESOURCES_MAX}; split the template`,
    );
    return resources;
  }
  if (entries.length > AWS_RESOURCES_MAX) {
    const at: Where = { at: entries[AWS_RESOURCES_MAX].keyAt, path: section.path };
    const message = `the template has ${entries.length} resources; AWS takes at most ${AWS_RESOURCES_MAX}`;
    report(problems, 'warning', 'many-resources', at, message, 'split the template');
  }
  for (const entry of entries) {
    const resource = readResource(entry, problems);
    if (resource !== undefined) resources.set(resource.logicalId, resource);
  }
  return resources;
}

function readResource({ key, keyAt, value }: Entry, problems: Problem[]): Resource | undefined {
  const where: Where = { at: keyAt, path: value.path };
  const refuse = (at: Where, message: string, hint?: string): undefined => {
    fail({ problems }, 'template-format', at, message, hint);
    return undefined;
  };
  if (value.kind !== 'mapping' || value.tag !== undefined) {
    return refuse(
      where,
      `the resource '${abbreviate(key)}' must be a mapping with Type and Properties, not ${describeNode(value)}`,
    );
  }
  if (!/^[A-Za-z0-9]+$/.test(key)) {
    refuse(
      where,
      `the logical id '${abbreviate(key)}' is not alphanumeric`,
      'AWS refuses it: Resource name is non alphanumeric',
    );
    return undefined;
  }
  const type = get(value, 'Type');
  if (type === undefined)
    return refuse(
      where,
      `the resource '${key}' has no Type`,
      'name its kind, as Type: AWS::EC2::SecurityGroup',
    );
  if (type.kind !== 'scalar' || type.tag !== undefined || typeof type.value !== 'string') {
    return refuse(type, `the Type of '${key}' must be text, not ${describeNode(type)}`);
  }
  warnOfAttributes(key, value, problems);
  const properties = get(value, 'Properties');
  if (
    properties !== undefined &&
    (properties.kind !== 'mapping' || readCall(properties) !== undefined)
  ) {
    return refuse(
      properties,
      `the Properties of '${key}' must be a mapping, not ${describeNode(properties)}`,
    );
  }
  const condition = get(value, 'Condition');
  if (
    condition !== undefined &&
    (condition.kind !== 'scalar' || typeof condition.value !== 'string')
  ) {
    return refuse(
      condition,
      `the Condition of '${key}' must be the name of a condition, not ${describeNode(condition)}`,
    );
  }
  return {
    ...where,
    logicalId: key,
    type: type.value,
    properties,
    node: value,
    condition: condition === undefined ? undefined : { name: condition.text, where: condition },
  };
}

function warnOfAttributes(logicalId: string, node: Mapping, problems: Problem[]): void {
  for (const { key, keyAt, value } of node.entries) {
    if (RESOURCE_ATTRIBUTES.has(key)) continue;
    const message = `unknown attribute '${abbreviate(key)}' of the resource '${logicalId}'`;
    const hint = `AWS refuses it: Encountered unsupported properties in {/Resources/${logicalId}}; does it belong under Properties?`;
    report(problems, 'warning', 'unknown-property', { at: keyAt, path: value.path }, message, hint);
  }
}
