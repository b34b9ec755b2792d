/** This file finds the group or prefix list that a rule names. */
import type { GroupId, PrefixListId } from '../policy/model.ts';
import type { Node } from '../source/yaml.ts';
import { idOf, readGroupName } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_GROUP, KIND_PREFIX_LIST, KIND_VPC } from './kinds.ts';
import { report } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

/** The groups and prefix lists of the template by the names that rules use, and functions that find others. */
export interface Directory {
  readonly groupsById: ReadonlyMap<GroupId, Resource>;
  /** By name in lower case, at most one a VPC: AWS compares names without regard to case. */
  readonly groupsByName: ReadonlyMap<string, readonly Resource[]>;
  readonly prefixListIds: ReadonlySet<PrefixListId>;
  /** The VPCs that the template makes, by id. None of them is the default VPC. */
  readonly madeVpcs: ReadonlyMap<string, Resource>;
  /** `referrer` is the group that the rule is in. Names are those of its VPC. */
  readonly resolveGroup: (reference: string, referrer?: GroupId) => GroupId | undefined;
  readonly resolvePrefixList: (reference: string) => PrefixListId | undefined;
}

export function makeDirectory(
  scope: Scope,
  resources: readonly Resource[],
  resolvers: Pick<Directory, 'resolveGroup' | 'resolvePrefixList'>,
): Directory {
  const groupsById = new Map<GroupId, Resource>();
  const groupsByName = new Map<string, Resource[]>();
  const prefixListIds = new Set<PrefixListId>();
  const madeVpcs = new Map<string, Resource>();
  for (const resource of resources) {
    if (resource.type === KIND_PREFIX_LIST) prefixListIds.add(idOf(scope, resource));
    if (resource.type === KIND_VPC) madeVpcs.set(idOf(scope, resource), resource);
    if (resource.type !== KIND_GROUP) continue;
    groupsById.set(idOf(scope, resource), resource);
    const name = readGroupName(scope, resource);
    if (name.kind !== 'text') continue;
    const key = name.text.toLowerCase();
    groupsByName.set(key, [...(groupsByName.get(key) ?? []), resource]);
  }
  return { groupsById, groupsByName, prefixListIds, madeVpcs, ...resolvers };
}

/**
 * Finds the group that `text` names: one of this template by id or name, else one that the configuration knows. Of
 * several with one name it is the one in the VPC of `referrer`, the group that the rule is in.
 */
export function resolveGroup(
  scope: Scope,
  directory: Directory,
  property: string,
  text: string,
  where: Where,
  referrer?: GroupId,
): GroupId | undefined {
  if (directory.groupsById.has(text)) return text;
  const namesakes = directory.groupsByName.get(text.trimEnd().toLowerCase()) ?? [];
  const named = chooseNamesake(scope, directory, namesakes, referrer);
  if (named === undefined && namesakes.length === 0) {
    // A logical id without !Ref. A group of another template with this name is surely not meant.
    const isOwn = scope.template.resources.get(text)?.type === KIND_GROUP;
    return isOwn ? undefined : directory.resolveGroup(text, referrer);
  }
  if (named === undefined) return undefined;
  if (property.endsWith('Id')) {
    const message = `${property} is the name '${abbreviate(text)}' of a group, not its id`;
    const hint = `AWS refuses it: Invalid id: "${abbreviate(text)}" (expecting "sg-..."); Ref of a group without VpcId is its name, so write !GetAtt ${named.logicalId}.GroupId`;
    report(scope.problems, 'warning', 'group-name-as-id', where, message, hint);
  } else if (property.endsWith('Name')) {
    warnOfOtherVpc(scope, directory, property, named, where);
  }
  return idOf(scope, named);
}

/**
 * Warns of a name that AWS does not find: it looks in its default VPC only, and a VPC that the template makes is
 * another.
 */
function warnOfOtherVpc(
  scope: Scope,
  directory: Directory,
  property: string,
  { logicalId, properties }: Resource,
  where: Where,
): void {
  const vpcId = vpcIdOf(scope, properties);
  const vpc = vpcId === undefined ? undefined : directory.madeVpcs.get(vpcId);
  if (vpc === undefined) return;
  const message = `${property} names the group '${logicalId}', which is in the VPC '${vpc.logicalId}'`;
  const hint = `AWS refuses it: InvalidGroup.NotFound, since it looks for names in the default VPC only; write ${property === 'SecurityGroupName' ? 'SecurityGroupIds' : property.replace(/Name$/, 'Id')}: !GetAtt ${logicalId}.GroupId`;
  report(scope.problems, 'warning', 'group-name-of-vpc', where, message, hint);
}

function vpcIdOf(scope: Scope, properties: Node | undefined): string | undefined {
  const value = readProperty(scope, properties, 'VpcId');
  return value?.kind === 'text' ? value.text : undefined;
}

/**
 * Chooses among groups of one name. AWS finds names in its default VPC only, so without a referrer it is the group
 * without VpcId.
 */
function chooseNamesake(
  scope: Scope,
  directory: Directory,
  namesakes: readonly Resource[],
  referrer: GroupId | undefined,
): Resource | undefined {
  if (namesakes.length < 2) return namesakes[0];
  const vpcOf = (resource: Resource | undefined): string | undefined =>
    vpcIdOf(scope, resource?.properties);
  const own = referrer === undefined ? undefined : directory.groupsById.get(referrer);
  const found = namesakes.filter((resource) => vpcOf(resource) === vpcOf(own));
  return found.length === 1 ? found[0] : undefined;
}

/** Explains that no group or prefix list has that name, and what its author may have meant. */
export function explainStranger(
  scope: Scope,
  directory: Directory,
  noun: 'group' | 'prefix list',
  text: string,
  where: Where,
): UnknownValue {
  const kind = noun === 'group' ? KIND_GROUP : KIND_PREFIX_LIST;
  if (
    noun === 'group' &&
    (directory.groupsByName.get(text.trimEnd().toLowerCase())?.length ?? 0) > 1
  ) {
    const why = `several VPCs have a group '${abbreviate(text)}'`;
    return makeUnknown(why, 'name it by its id, as !GetAtt Group.GroupId', where);
  }
  const reason = `the ${noun} '${abbreviate(text)}' is not defined here`;
  if (scope.template.resources.get(text)?.type === kind) {
    const reference = noun === 'group' ? `!GetAtt ${text}.GroupId` : `!Ref ${text}`;
    return makeUnknown(reason, `'${text}' is a logical id: write ${reference}`, where);
  }
  const hint =
    noun === 'group'
      ? 'define it in this template or in the configuration'
      : 'define it in this template, or in the configuration under prefixLists, with this id';
  return makeUnknown(reason, hint, where);
}

export function resolvePrefixList(directory: Directory, text: string): PrefixListId | undefined {
  return directory.prefixListIds.has(text) ? text : directory.resolvePrefixList(text);
}
