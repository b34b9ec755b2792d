/** From what a rule says to the group or prefix list it means. */
import type { GroupId, PrefixListId } from '../policy/model.ts';
import { idOf, readGroupName } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_GROUP, KIND_PREFIX_LIST } from './kinds.ts';
import { report, type Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

/** The groups and prefix lists of the template by what rules call them, and whom to ask about others. */
export interface Directory {
  readonly groupsById: ReadonlyMap<GroupId, Resource>;
  /** By name in lower case, one a VPC: AWS compares names without regard to case. */
  readonly groupsByName: ReadonlyMap<string, readonly Resource[]>;
  readonly prefixListIds: ReadonlySet<PrefixListId>;
  /** `referrer` is the group whose rule it is in: names are those of its VPC. */
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
  for (const resource of resources) {
    if (resource.type === KIND_PREFIX_LIST) prefixListIds.add(idOf(scope, resource));
    if (resource.type !== KIND_GROUP) continue;
    groupsById.set(idOf(scope, resource), resource);
    const name = readGroupName(scope, resource);
    if (name.kind !== 'text') continue;
    const key = name.text.toLowerCase();
    groupsByName.set(key, [...(groupsByName.get(key) ?? []), resource]);
  }
  return { groupsById, groupsByName, prefixListIds, ...resolvers };
}

/**
 * The group that `text` names: of this template by id or name, else whatever the configuration knows by it. Of several
 * with one name, that of the VPC of `referrer`, the group whose rule it is in.
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
    // A logical id without its !Ref: what another template calls so is surely not meant.
    const isOwn = scope.template.resources.get(text)?.type === KIND_GROUP;
    return isOwn ? undefined : directory.resolveGroup(text, referrer);
  }
  if (named === undefined) return undefined;
  if (property.endsWith('Id')) {
    const message = `${property} is the name '${abbreviate(text)}' of a group, not its id`;
    const hint = `AWS refuses it: Invalid id: "${abbreviate(text)}" (expecting "sg-..."); Ref of a group without VpcId is its name, so write !GetAtt ${named.logicalId}.GroupId`;
    report(scope.problems, 'warning', 'group-name-as-id', where, message, hint);
  }
  return idOf(scope, named);
}

/** AWS takes names in its default VPC only: without a referrer it is the group that says nothing of a VPC. */
function chooseNamesake(
  scope: Scope,
  directory: Directory,
  namesakes: readonly Resource[],
  referrer: GroupId | undefined,
): Resource | undefined {
  if (namesakes.length < 2) return namesakes[0];
  const vpcOf = (resource: Resource | undefined): string | undefined => {
    const value = readProperty(scope, resource?.properties, 'VpcId');
    return value?.kind === 'text' ? value.text : undefined;
  };
  const own = referrer === undefined ? undefined : directory.groupsById.get(referrer);
  const found = namesakes.filter((resource) => vpcOf(resource) === vpcOf(own));
  return found.length === 1 ? found[0] : undefined;
}

/** That nobody knows a group or prefix list of that name, with what its author may have meant. */
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
