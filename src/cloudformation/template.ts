/**
 * This file finds the sections of a template and its resources, with their positions.
 * Source: AWS CloudFormation User Guide, "CloudFormation template sections".
 */
import type { Problem } from '../source/problem.ts';
import { closest } from '../source/suggest.ts';
import { describeNode, get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import {
  describeTransform,
  explainMacro,
  explainTransform,
  isMacroKey,
  LANGUAGE_EXTENSIONS,
  SERVERLESS,
  SERVERLESS_SECTION,
  TRANSFORM,
  type SectionName,
  type Unseen,
} from './macros.ts';
import { readResources, type Resource } from './resources.ts';
import { fail, report } from './reporting.ts';
import { abbreviate, type Where } from './values.ts';

export interface Output extends Where {
  readonly name: string;
  readonly node: Mapping;
}

/** The sections of a template as they are in the file. Absent ones are undefined. */
export interface Sections {
  readonly root: Mapping;
  readonly parameters: Mapping | undefined;
  readonly mappings: Mapping | undefined;
  readonly conditions: Mapping | undefined;
  readonly resources: Mapping;
  readonly outputs: Mapping | undefined;
  /** The transforms that AWS would run over the template. */
  readonly transforms: readonly Transform[];
}

export interface Transform extends Where {
  readonly name: string;
  readonly unseen: Unseen;
}

export interface Template {
  readonly mappings: Mapping | undefined;
  readonly conditions: ReadonlyMap<string, Node>;
  readonly resources: ReadonlyMap<string, Resource>;
  readonly outputs: readonly Output[];
  /** What may add to sections: macros, and loops over unknown values. */
  readonly unseen: readonly Unseen[];
  /** Whether the template asks for AWS::LanguageExtensions. */
  readonly isExtended: boolean;
}

const SECTION_NAMES: readonly string[] = [
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
];

/** Finds the sections. Undefined if the tree can't be a template, which is reported. */
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
  const transforms = [
    ...readTransforms(get(root, 'Transform')),
    ...root.entries
      .filter(({ key }) => isMacroKey(key))
      .flatMap(({ value }) => readTransforms(value)),
  ];
  const isServerless = transforms.some(({ name }) => name === SERVERLESS);
  const strangers = root.entries.filter(
    ({ key }) =>
      !SECTION_NAMES.includes(key) &&
      !(isServerless && key === SERVERLESS_SECTION) &&
      !isMacroKey(key),
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
 * The Resources section, or a fragment in its place: documentation prints resources at the top level. A fragment is
 * accepted only if every key that is not a section is a resource.
 */
function readResourcesSection(
  root: Mapping,
  strangers: readonly Entry[],
  problems: Problem[],
): Mapping | undefined {
  const resources = readSection(root, 'Resources', problems);
  if (resources !== undefined) {
    for (const { key, keyAt } of strangers) {
      const where: Where = { at: keyAt, path: key };
      const meant = closest(key, SECTION_NAMES);
      const message = `unknown section '${abbreviate(key)}'`;
      const refused = `AWS refuses it: Invalid template property or properties [${abbreviate(key)}]`;
      // A misspelt section is not read, and may contain what restricts egress.
      if (meant !== undefined)
        fail(
          { problems },
          'unknown-section',
          where,
          `${message}; did you mean '${meant}'?`,
          refused,
        );
      else {
        const hint = `${refused}; resources belong under Resources`;
        report(problems, 'warning', 'unknown-section', where, message, hint);
      }
    }
    return resources;
  }
  if (get(root, 'Resources') !== undefined) return undefined;
  if (strangers.length === 0 || !strangers.every(isResourceEntry)) {
    const near = strangers.find(({ key }) => closest(key, ['Resources']) !== undefined);
    const question = near === undefined ? '' : `; is '${abbreviate(near.key)}' meant for it?`;
    const message = `the template has no section Resources${question}`;
    const hint = 'AWS refuses it: At least one Resources member must be defined';
    const where: Where = { at: near?.keyAt ?? root.at, path: near?.key ?? '' };
    fail({ problems }, 'missing-resources', where, message, hint);
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

function readTransforms(node: Node | undefined): Transform[] {
  if (node === undefined) return [];
  return (node.kind === 'list' ? node.items : [node]).map((item) => {
    const named = item.kind === 'mapping' ? get(item, 'Name') : item;
    const name = named?.kind === 'scalar' ? named.text : '?';
    const unseen = describeTransform(name, explainTransform(item, item));
    return { name, unseen, at: item.at, path: item.path };
  });
}

/** Splits the expanded sections into named things. Malformed ones are reported and left out. */
export function readTemplate(sections: Sections, problems: Problem[]): Template {
  const { transforms } = sections;
  const hasOwnTypes = transforms.some((transform) => transform.unseen.mayAddEgress);
  const { resources, unseen } = readResources(sections.resources, hasOwnTypes, problems);
  const conditions = readConditions(sections.conditions);
  const outputs: Output[] = [];
  for (const { key, keyAt, value } of withoutMacros(sections.outputs)) {
    if (value.kind === 'mapping')
      outputs.push({ name: key, node: value, at: keyAt, path: value.path });
  }
  const all: Unseen[] = [
    ...unseen,
    ...findUnseen('Parameters', sections.parameters),
    ...findUnseen('Mappings', sections.mappings),
    ...findUnseen('Conditions', sections.conditions),
    ...findUnseen('Outputs', sections.outputs),
  ];
  warnOfUnseen(all, problems);
  return {
    mappings: sections.mappings,
    conditions,
    resources,
    outputs,
    unseen: [
      ...all,
      ...transforms.flatMap((transform) =>
        transform.name === LANGUAGE_EXTENSIONS ? [] : transform.unseen,
      ),
    ],
    isExtended: isExtended(transforms),
  };
}

function readConditions(section: Mapping | undefined): Map<string, Node> {
  return new Map(withoutMacros(section).map(({ key, source, value }) => [source ?? key, value]));
}

function isExtended(transforms: readonly Transform[]): boolean {
  return transforms.some(({ name }) => name === LANGUAGE_EXTENSIONS);
}

/** The written entries of a section, without those that stand for more. */
export function withoutMacros(section: Mapping | undefined): readonly Entry[] {
  return (section?.entries ?? []).filter(({ key }) => !isMacroKey(key));
}

function findUnseen(section: SectionName, node: Mapping | undefined): Unseen[] {
  return (node?.entries ?? []).flatMap((entry) =>
    isMacroKey(entry.key)
      ? {
          section,
          why: explainMacro(entry),
          mayAddEgress: false,
          // In Parameters it is an error of its own.
          isTold: entry.key !== TRANSFORM || section === 'Parameters',
        }
      : [],
  );
}

function warnOfUnseen(unseen: readonly Unseen[], problems: Problem[]): void {
  for (const { section, why, isTold } of unseen) {
    if (isTold) continue;
    const message = `what ${section} may hold besides is not seen: ${why.reason}`;
    report(problems, 'warning', 'transform', why, message, why.hint);
  }
}
