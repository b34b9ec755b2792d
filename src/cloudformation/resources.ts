/**
 * This file reads the section Resources: the kind of each resource, its properties and its condition. A misspelling in
 * one of our kinds is an error, as in AWS, because a rule that nobody reads may be the one that restricts egress.
 */
import type { Problem } from '../source/problem.ts';
import { closest } from '../source/suggest.ts';
import { describeNode, get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import { readCall } from './calls.ts';
import {
  findBareKind,
  findMisspeltKind,
  isPossibleType,
  isRuleKind,
  PROPERTIES_OF_KINDS,
} from './kinds.ts';
import {
  explainMacro,
  findUnread,
  isMacroKey,
  LOOP_PREFIX,
  TRANSFORM,
  writeOutTransform,
  type Unseen,
} from './macros.ts';
import { fail, report } from './reporting.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

/** AWS's limits: 500 resources, 200 parameters, 200 outputs, 200 mappings a template. */
export const AWS_RESOURCES_MAX = 500;
/** Our limit. Otherwise a template below the size limit could have 100,000 empty resources. */
export const RESOURCES_MAX = 5_000;

export interface Resource extends Where {
  readonly logicalId: string;
  readonly type: string;
  /** Undefined if there are none. */
  readonly properties: Mapping | undefined;
  /** The whole resource, for DependsOn. */
  readonly node: Mapping;
  /** The condition of the resource: its name, or a function that returns it. */
  readonly condition: Node | undefined;
  /** Why the resource may say more than was understood: a macro, or an unknown attribute. */
  readonly gap: UnknownValue | undefined;
}

const ATTRIBUTES = [
  'Type',
  'Properties',
  'Condition',
  'DependsOn',
  'Metadata',
  'CreationPolicy',
  'DeletionPolicy',
  'UpdatePolicy',
  'UpdateReplacePolicy',
];

/** Undocumented attributes that AWS accepts. Macros, the resource importer and project templates write them. */
const TAKEN_ATTRIBUTES = new Set([...ATTRIBUTES, 'Description', 'Version']);

/**
 * Reads the resources by logical id, and what may add more. Malformed ones are reported and left out.
 * @param hasOwnTypes whether a macro reads the template; types of the macro's own may then be in it
 */
export function readResources(
  section: Mapping,
  hasOwnTypes: boolean,
  problems: Problem[],
): { readonly resources: Map<string, Resource>; readonly unseen: Unseen[] } {
  const resources = new Map<string, Resource>();
  const unseen: Unseen[] = [];
  const { entries } = section;
  if (entries.length === 0) {
    const hint = 'AWS refuses it: At least one Resources member must be defined';
    fail({ problems }, 'missing-resources', section, 'the section Resources is empty', hint);
  }
  if (entries.length > RESOURCES_MAX) {
    const at: Where = { at: entries[RESOURCES_MAX].keyAt, path: section.path };
    const message = `the template has ${entries.length} resources; at most ${RESOURCES_MAX} are read`;
    const hint = `AWS takes ${AWS_RESOURCES_MAX}; split the template`;
    fail({ problems }, 'template-limit', at, message, hint);
    return { resources, unseen };
  }
  if (entries.length > AWS_RESOURCES_MAX) {
    const at: Where = { at: entries[AWS_RESOURCES_MAX].keyAt, path: section.path };
    const message = `the template has ${entries.length} resources; AWS takes at most ${AWS_RESOURCES_MAX}`;
    report(problems, 'warning', 'many-resources', at, message, 'split the template');
  }
  // A macro in the section is handed the resources beside it.
  const hasMacro = hasOwnTypes || findUnread(section) !== undefined;
  for (const entry of entries) {
    const why = findMadeElsewhere(entry);
    if (why !== undefined) {
      const mayAddEgress =
        !entry.key.startsWith('Fn::') || entry.key === TRANSFORM || loopMayAddEgress(entry.value);
      const isTold = entry.key.startsWith(LOOP_PREFIX);
      unseen.push({ section: 'Resources', why, mayAddEgress, isTold });
      continue;
    }
    const resource = readResource(entry, hasMacro, problems);
    if (resource !== undefined) resources.set(resource.logicalId, resource);
  }
  return { resources, unseen };
}

/** Reads an entry that is not a resource itself, but from which a macro or a loop makes resources. */
function findMadeElsewhere(entry: Entry): UnknownValue | undefined {
  if (isMacroKey(entry.key)) return explainMacro(entry);
  const value = writeOutTransform(entry.value);
  if (value.kind !== 'mapping') return undefined;
  const type = get(value, 'Type');
  return findUnread(type === undefined ? value : writeOutTransform(type));
}

/**
 * Whether a loop that could not be expanded may make an egress rule. It can't if it names the kinds it makes, and none
 * is one.
 */
function loopMayAddEgress(node: Node): boolean {
  const body = node.kind === 'list' ? node.items[2] : undefined;
  if (body?.kind !== 'mapping') return true;
  return body.entries.some(({ key, value }) => {
    if (key.startsWith('Fn::')) return key === TRANSFORM || loopMayAddEgress(value);
    const type = get(value, 'Type');
    return type?.kind !== 'scalar' || type.text.includes('${') || type.text.endsWith('Egress');
  });
}

function readResource(
  { key, keyAt, value: node }: Entry,
  hasMacro: boolean,
  problems: Problem[],
): Resource | undefined {
  const where: Where = { at: keyAt, path: node.path };
  const refuse = (at: Where, message: string, hint?: string): undefined => {
    fail({ problems }, 'template-format', at, message, hint);
    return undefined;
  };
  if (key.startsWith('Fn::')) {
    const message = `there is no function ${abbreviate(key)} that makes resources`;
    return refuse(where, message, `there are ${TRANSFORM} and ${LOOP_PREFIX}Name`);
  }
  if (node.kind !== 'mapping' || node.tag !== undefined) {
    const found = describeNode(node);
    const message = `the resource '${abbreviate(key)}' must be a mapping with Type and Properties, not ${found}`;
    return refuse(where, message);
  }
  if (!/^[A-Za-z0-9]+$/.test(key)) {
    const hint = 'AWS refuses it: Resource name is non alphanumeric';
    return refuse(where, `the logical id '${abbreviate(key)}' is not alphanumeric`, hint);
  }
  const isTheirs = hasMacro || findUnread(node) !== undefined;
  const type = readType(key, node, where, isTheirs, problems);
  if (type === undefined) return undefined;
  const unknownAttribute = checkAttributes(key, type, node, problems);
  const properties = findProperties(node, where);
  if (properties !== undefined && (properties.kind !== 'mapping' || properties.tag !== undefined)) {
    const message = `the Properties of '${key}' must be a mapping, not ${describeNode(properties)}`;
    return refuse(properties, message);
  }
  const condition = get(node, 'Condition');
  if (condition !== undefined && !isName(condition)) {
    const message = `the Condition of '${key}' must be the name of a condition, not ${describeNode(condition)}`;
    return refuse(condition, message);
  }
  // Written out, since spreading takes longer than all the rest.
  return {
    at: where.at,
    path: where.path,
    logicalId: key,
    type,
    properties,
    node,
    condition,
    gap: unknownAttribute ?? findUnread(properties),
  };
}

/** A text, or a function that may return one. */
function isName(node: Node): boolean {
  return readCall(node) !== undefined || (node.kind === 'scalar' && node.value !== null);
}

/** Properties, and what a macro among the attributes may add to them. */
function findProperties(node: Mapping, where: Where): Node | undefined {
  const written = get(node, 'Properties');
  const properties = written === undefined ? undefined : writeOutTransform(written);
  const macros = node.entries.filter(({ key }) => isMacroKey(key));
  if (macros.length === 0) return properties;
  if (properties === undefined) return { kind: 'mapping', ...where, entries: macros };
  if (properties.kind !== 'mapping') return properties;
  return { ...properties, entries: [...properties.entries, ...macros] };
}

function readType(
  key: string,
  node: Mapping,
  where: Where,
  isTheirs: boolean,
  problems: Problem[],
): string | undefined {
  const type = get(node, 'Type');
  if (type === undefined) {
    const hint = 'name its kind, as Type: AWS::EC2::SecurityGroup';
    fail({ problems }, 'template-format', where, `the resource '${key}' has no Type`, hint);
    return undefined;
  }
  if (type.kind !== 'scalar' || type.tag !== undefined || typeof type.value !== 'string') {
    const message = `the Type of '${key}' must be text, not ${describeNode(type)}`;
    fail({ problems }, 'template-format', type, message);
    return undefined;
  }
  const misspelt = findMisspeltKind(type.value);
  if (misspelt === undefined && (isTheirs || isPossibleType(type.value))) return type.value;
  const meant = misspelt ?? findBareKind(type.value);
  const name = abbreviate(type.value);
  const advice =
    meant === undefined ? 'a type has three parts, as AWS::EC2::SecurityGroup' : `write ${meant}`;
  const message = `there is no resource type '${name}'${meant === undefined ? '' : `; did you mean '${meant}'?`}`;
  const hint = `AWS refuses it: Unrecognized resource types: [${name}]; ${advice}`;
  fail({ problems }, 'unknown-type', type, message, hint);
  return undefined;
}

/** Reports unknown attributes. Returns why one of them may change what the resource says. */
function checkAttributes(
  logicalId: string,
  type: string,
  node: Mapping,
  problems: Problem[],
): UnknownValue | undefined {
  const known = PROPERTIES_OF_KINDS.get(type) ?? [];
  let gap: UnknownValue | undefined;
  for (const { key, keyAt, value } of node.entries) {
    if (TAKEN_ATTRIBUTES.has(key) || isMacroKey(key)) continue;
    const where: Where = { at: keyAt, path: value.path };
    const name = abbreviate(key);
    const message = `unknown attribute '${name}' of the resource '${logicalId}'`;
    const refused = `AWS refuses it: Encountered unsupported properties in {/Resources/${logicalId}}`;
    const property = closest(key, known);
    const meant = closest(key, ATTRIBUTES);
    if (known.includes(key) || (property !== undefined && meant === undefined)) {
      const hint = `${refused}; indent it under Properties`;
      fail(
        { problems },
        'unknown-property',
        where,
        `${message}: ${property ?? key} belongs under its Properties`,
        hint,
      );
    } else if (meant !== undefined && isRuleKind(type)) {
      const hint = `${refused}; write ${meant}`;
      fail({ problems }, 'unknown-property', where, `${message}; did you mean '${meant}'?`, hint);
    } else {
      const advice =
        meant === undefined ? 'does it belong under Properties?' : `is ${meant} meant?`;
      report(problems, 'warning', 'unknown-property', where, message, `${refused}; ${advice}`);
      gap ??= makeUnknown(`its attribute '${name}' is not known`, 'take it out', where);
    }
  }
  return gap;
}
