/**
 * What a template leaves to others to write: macros, includes, loops over what is not known here.
 *
 * Such a key, `Fn::Transform` beside the other keys of a mapping, stands for keys that only AWS knows.
 * What is written out beside it is read; what is not written out is unknown, not absent. The same holds
 * for what a macro makes of a section: a name that is not written may well be there.
 * Source: AWS CloudFormation User Guide, "Template macros" and "AWS::Include transform".
 */
import { get, keyPath, type Entry, type Mapping, type Node } from '../source/yaml.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

export const TRANSFORM = 'Fn::Transform';
/** A loop of the language extensions; one that is left when they are written out runs over something unknown. */
export const LOOP_PREFIX = 'Fn::ForEach::';

/** The transform that is built in here: loops, Fn::Length, Fn::ToJsonString, functions as names. */
export const LANGUAGE_EXTENSIONS = 'AWS::LanguageExtensions';
/** The transform of the AWS Serverless Application Model; it has a section of its own. */
export const SERVERLESS = 'AWS::Serverless-2016-10-31';
export const SERVERLESS_SECTION = 'Globals';

/** AWS's own transforms of whole templates that write no rules for groups that are there already. */
const HARMLESS = new Set([
  SERVERLESS,
  LANGUAGE_EXTENSIONS,
  'AWS::CodeDeployBlueGreen',
  'AWS::SecretsManager-2020-07-23',
  'AWS::SecretsManager-2024-09-16',
  'AWS::ServiceCatalog',
]);

export type SectionName = 'Parameters' | 'Mappings' | 'Conditions' | 'Resources' | 'Outputs';

/** Something that may add to a section, or to all of them. */
export interface Unseen {
  readonly section: SectionName | 'all';
  readonly why: UnknownValue;
  /** Whether what it adds may say something of the egress of any group. */
  readonly mayAddEgress: boolean;
  /** Whether a warning has been given. */
  readonly isTold: boolean;
}

export function isMacroKey(key: string): boolean {
  return key === TRANSFORM || key.startsWith(LOOP_PREFIX);
}

/** What stands for a macro: `Fn::Transform: {Name: …}`, or a loop that could not be written out. */
export function explainMacro({ key, keyAt, value }: Entry): UnknownValue {
  const where = { at: keyAt, path: value.path };
  if (key !== TRANSFORM)
    return makeUnknown(
      `the loop ${abbreviate(key)} can't be written out`,
      'write a list of texts, or give the parameters it is made of',
      where,
    );
  const named = value.kind === 'list' ? value.items[0] : value;
  return explainTransform(named, where);
}

export function explainTransform(named: Node | undefined, where: Where): UnknownValue {
  const name = named?.kind === 'mapping' ? get(named, 'Name') : named;
  const shown = name?.kind === 'scalar' ? abbreviate(name.text) : '?';
  return makeUnknown(`the macro '${shown}' runs in AWS alone`, 'write out what it makes', where);
}

/** Why a mapping may hold more than is written; undefined if it holds what is written. */
export function findUnread(mapping: Mapping | undefined): UnknownValue | undefined {
  const entry = mapping?.entries.find(({ key }) => isMacroKey(key));
  return entry === undefined ? undefined : explainMacro(entry);
}

/** The mapping that `!Transform …` is short for; any other node as it is. */
export function writeOutTransform(node: Node): Node {
  if (node.tag !== '!Transform') return node;
  const { tag: _tag, ...argument } = node;
  const value = { ...argument, path: keyPath(node.path, TRANSFORM) } as Node;
  const { at, path } = node;
  return { kind: 'mapping', at, path, entries: [{ key: TRANSFORM, keyAt: at, value }] };
}

/** What a transform of the whole template may add: AWS's own add resources, anybody else's may change everything. */
export function describeTransform(name: string, why: UnknownValue): Unseen {
  const isHarmless = HARMLESS.has(name);
  return {
    section: isHarmless ? 'Resources' : 'all',
    why,
    mayAddEgress: !isHarmless,
    isTold: true,
  };
}

/** Why something may be in a section that is not written there; undefined if it is what is written. */
export function whyUnseen(
  unseen: readonly Unseen[],
  section: SectionName,
): UnknownValue | undefined {
  return unseen.find((one) => one.section === section || one.section === 'all')?.why;
}
