/**
 * This file handles what a template leaves to others to write: macros, includes, and loops over unknown values.
 *
 * A key such as `Fn::Transform` beside other keys of a mapping stands for keys that only AWS knows. The written keys
 * are read. Any other key is unknown, not absent. The same holds for what a macro adds to a section: a name that is not
 * written may exist.
 * Source: AWS CloudFormation User Guide, "Template macros" and "AWS::Include transform".
 */
import { get, keyPath, type Entry, type Node } from '../source/yaml.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

export const TRANSFORM = 'Fn::Transform';
/** The key of a loop. One that is left after the expansion runs over something unknown. */
export const LOOP_PREFIX = 'Fn::ForEach::';

/** The transform that is implemented here: loops, Fn::Length, Fn::ToJsonString, functions as names. */
export const LANGUAGE_EXTENSIONS = 'AWS::LanguageExtensions';
/** The transform of the AWS Serverless Application Model. It has a section of its own. */
export const SERVERLESS = 'AWS::Serverless-2016-10-31';
export const SERVERLESS_SECTION = 'Globals';

/** AWS's own transforms of whole templates that add no rules to existing groups. */
const HARMLESS = new Set([
  SERVERLESS,
  LANGUAGE_EXTENSIONS,
  'AWS::CodeDeployBlueGreen',
  'AWS::SecretsManager-2020-07-23',
  'AWS::SecretsManager-2024-09-16',
  'AWS::ServiceCatalog',
]);

export type SectionName = 'Parameters' | 'Mappings' | 'Conditions' | 'Resources' | 'Outputs';

/** Something that may add to a section, or to all sections. */
export interface Unseen {
  readonly section: SectionName | 'all';
  readonly why: UnknownValue;
  /** Whether it may add egress to any group. */
  readonly mayAddEgress: boolean;
  /** Whether a warning has been given. */
  readonly isTold: boolean;
}

export function isMacroKey(key: string): boolean {
  return key === TRANSFORM || key.startsWith(LOOP_PREFIX);
}

/** What stands for a macro: `Fn::Transform: {Name: …}`, or a loop that could not be expanded. */
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

/** Why a mapping may contain more than is written. Undefined if it does not. */
export function findUnread(node: Node | undefined): UnknownValue | undefined {
  const entry =
    node?.kind === 'mapping' ? node.entries.find(({ key }) => isMacroKey(key)) : undefined;
  return entry === undefined ? undefined : explainMacro(entry);
}

/** The mapping that `!Transform …` is short for. Any other node is returned unchanged. */
export function writeOutTransform(node: Node): Node {
  if (node.tag !== '!Transform') return node;
  const { tag: _tag, ...argument } = node;
  const value = { ...argument, path: keyPath(node.path, TRANSFORM) } as Node;
  const { at, path } = node;
  return { kind: 'mapping', at, path, entries: [{ key: TRANSFORM, keyAt: at, value }] };
}

/** What a transform of the whole template may add. AWS's own add resources; others may change everything. */
export function describeTransform(name: string, why: UnknownValue): Unseen {
  const isHarmless = HARMLESS.has(name);
  return {
    section: isHarmless ? 'Resources' : 'all',
    why,
    mayAddEgress: !isHarmless,
    isTold: true,
  };
}

/** Why a section may contain something that is not written. Undefined if it can't. */
export function whyUnseen(
  unseen: readonly Unseen[],
  section: SectionName,
): UnknownValue | undefined {
  return unseen.find((one) => one.section === section || one.section === 'all')?.why;
}
