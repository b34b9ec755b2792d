/** This file finds the group that a rule resource belongs to. */
import type { GroupId } from '../policy/model.ts';
import { closest } from '../source/suggest.ts';
import type { Node } from '../source/yaml.ts';
import { idOf } from './attributes.ts';
import { findEntry, readCall } from './calls.ts';
import { findMentions } from './dependencies.ts';
import { KIND_GROUP, KIND_INGRESS } from './kinds.ts';
import { readText } from './properties.ts';
import { explainStranger, resolveGroup, type Directory } from './references.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { makeText, type Value } from './values.ts';

type Unresolved = Extract<Value, { kind: 'unknown' }>;

/** The group that a rule resource belongs to. If it names none, or none that is known, `tell` is called. */
export function findTarget(
  scope: Scope,
  directory: Directory,
  resource: Resource,
  tell: (name: string, value: Unresolved | undefined) => void,
): GroupId | undefined {
  const names = resource.type === KIND_INGRESS ? ['GroupId', 'GroupName'] : ['GroupId'];
  for (const name of names) {
    const value = readText(scope, resource.properties, name);
    if (value === undefined) continue;
    if (value.kind === 'unusable') return undefined;
    const groupId =
      value.kind === 'text' ? resolveGroup(scope, directory, name, value.text, value) : undefined;
    if (groupId !== undefined) return groupId;
    tell(
      name,
      value.kind === 'text' ? explainStranger(scope, directory, 'group', value.text, value) : value,
    );
    return undefined;
  }
  tell('GroupId', undefined);
  return undefined;
}

/**
 * The groups that a rule resource may belong to if `findTarget` can't tell. It lists too many rather than too few: each
 * listed group loses its default "allow everything".
 */
export function findPossibleTargets(
  scope: Scope,
  directory: Directory,
  resource: Resource,
): readonly GroupId[] {
  const node =
    resource.properties === undefined ? undefined : findEntry(resource.properties, 'GroupId');
  // A macro may name any group of the template.
  if (node === undefined) return resource.gap === undefined ? [] : [...directory.groupsById.keys()];
  return findOutcomes(scope, node).flatMap((value) => {
    if (value.kind !== 'text') return [];
    const found = resolveGroup(scope, directory, '', value.text, value);
    return found ?? findMeant(scope, directory, value.text);
  });
}

/**
 * The groups that a text may mean if it names none. It may be a logical id or parameter without !Ref, a misspelling of
 * one or of a group's name, or a name that several VPCs have.
 */
function findMeant(scope: Scope, directory: Directory, text: string): readonly GroupId[] {
  if (text.startsWith('sg-')) return [];
  const groups = [...directory.groupsById.values()];
  const logicalId = closest(
    text,
    groups.map((group) => group.logicalId),
  );
  const parameter = closest(text, scope.parameters.keys());
  const value = parameter === undefined ? undefined : scope.parameters.get(parameter);
  const handed =
    value?.kind === 'text' ? resolveGroup(scope, directory, '', value.text, value) : undefined;
  const name = closest(text, directory.groupsByName.keys());
  const namesakes = name === undefined ? [] : directory.groupsByName.get(name)!;
  const own = groups
    .filter((group) => group.logicalId === logicalId || namesakes.includes(group))
    .map((group) => idOf(scope, group));
  return handed === undefined ? own : [...own, handed];
}

/**
 * The values that a node may have. For an Fn::If with an unknown condition these are both branches. For anything else
 * that is unknown they are the groups it mentions.
 */
function findOutcomes(scope: Scope, node: Node): readonly Value[] {
  const value = scope.evaluate(node);
  if (value.kind !== 'unknown') return [value];
  const call = readCall(node);
  const items = call?.argument.kind === 'list' ? call.argument.items : [];
  if (call?.name === 'Fn::If' && items.length === 3)
    return items.slice(1).flatMap((item) => findOutcomes(scope, item));
  return findMentions(scope, node).flatMap((mention) => {
    const resource = scope.template.resources.get(mention.name);
    if (resource?.type === KIND_GROUP) return makeText(idOf(scope, resource), mention);
    return scope.parameters.get(mention.name) ?? [];
  });
}
