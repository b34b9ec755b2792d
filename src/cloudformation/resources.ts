/**
 * The section Resources: each resource with its kind, its properties and the condition it exists under.
 * What is misspelt and ours is an error, as in AWS: a rule that nobody reads may be the one that closes.
 */
import type { Problem } from '../source/problem.ts';
import { closest } from '../source/suggest.ts';
import { describeNode, get, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import { readCall } from './calls.ts';
import { findMisspeltKind, isRuleKind, PROPERTIES_OF_KINDS } from './kinds.ts';
import {
  explainMacro,
  findUnread,
  isMacroKey,
  LOOP_PREFIX,
  TRANSFORM,
  writeOutTransform,
  type Unseen,
} from './macros.ts';
import { fail, report } from './scope.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

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
  /** The condition the resource exists under: its name, or a function that gives it. */
  readonly condition: Node | undefined;
  /** Why it may say more than was understood: a macro, an attribute that is not known here. */
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

/** Not in AWS's documentation, but taken: written by macros, by the resource importer, by project templates. */
const TAKEN_ATTRIBUTES = new Set([...ATTRIBUTES, 'Description', 'Version']);

/** The resources by logical id, and what may make more of them. What is malformed is reported and left out. */
export function readResources(
  section: Mapping,
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
  for (const entry of entries) {
    const why = findMadeElsewhere(entry);
    if (why !== undefined) {
      const mayAddEgress =
        !entry.key.startsWith('Fn::') || entry.key === TRANSFORM || loopMayAddEgress(entry.value);
      const isTold = entry.key.startsWith(LOOP_PREFIX);
      unseen.push({ section: 'Resources', why, mayAddEgress, isTold });
      continue;
    }
    const resource = readResource(entry, problems);
    if (resource !== undefined) resources.set(resource.logicalId, resource);
  }
  return { resources, unseen };
}

/** An entry that is no resource yet, but what a macro or a loop makes into some. */
function findMadeElsewhere(entry: Entry): UnknownValue | undefined {
  if (isMacroKey(entry.key)) return explainMacro(entry);
  const value = writeOutTransform(entry.value);
  if (value.kind !== 'mapping' || get(value, 'Type') !== undefined) return undefined;
  return findUnread(value);
}

/** Whether a loop that could not be written out may make an egress rule: not if it names the kinds it makes, and none is one. */
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
  problems: Problem[],
): Resource | undefined {
  const where: Where = { at: keyAt, path: node.path };
  const refuse = (at: Where, message: string, hint?: string): undefined => {
    fail({ problems }, 'template-format', at, message, hint);
    return undefined;
  };
  if (node.kind !== 'mapping' || node.tag !== undefined) {
    const found = describeNode(node);
    const message = `the resource '${abbreviate(key)}' must be a mapping with Type and Properties, not ${found}`;
    return refuse(where, message);
  }
  if (!/^[A-Za-z0-9]+$/.test(key)) {
    const hint = 'AWS refuses it: Resource name is non alphanumeric';
    return refuse(where, `the logical id '${abbreviate(key)}' is not alphanumeric`, hint);
  }
  const type = readType(key, node, where, problems);
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
  // Written out: spreading takes longer than all the rest.
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

/** A text, or a function that may give one. */
function isName(node: Node): boolean {
  return readCall(node) !== undefined || (node.kind === 'scalar' && node.value !== null);
}

/** Properties, with what a macro among the attributes may make of them. */
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
  const meant = findMisspeltKind(type.value);
  if (meant !== undefined) {
    const message = `there is no resource type '${abbreviate(type.value)}'; did you mean '${meant}'?`;
    const hint = `AWS refuses it: Unrecognized resource types: [${abbreviate(type.value)}]; write ${meant}`;
    fail({ problems }, 'unknown-type', type, message, hint);
    return undefined;
  }
  return type.value;
}

/** Tells attributes that AWS does not know; returns why one of them leaves it open what the resource says. */
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
