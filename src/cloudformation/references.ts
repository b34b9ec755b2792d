/** From what a rule says to the group or prefix list it means. */
import type { GroupId, PrefixListId } from '../policy/model.ts';
import { idOf, readGroupName } from './attributes.ts';
import { KIND_GROUP, KIND_PREFIX_LIST } from './kinds.ts';
import { report, type Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import { abbreviate, makeUnknown, type UnknownValue, type Where } from './values.ts';

/** The groups and prefix lists of the template by what rules call them, and whom to ask about others. */
export interface Directory {
  readonly groupsById: ReadonlyMap<GroupId, Resource>;
  /** By name in lower case: AWS compares names without regard to case. */
  readonly groupsByName: ReadonlyMap<string, Resource>;
  readonly prefixListIds: ReadonlySet<PrefixListId>;
  readonly resolveGroup: (reference: string) => GroupId | undefined;
  readonly resolvePrefixList: (reference: string) => PrefixListId | undefined;
}

export function makeDirectory(
  scope: Scope,
  resources: readonly Resource[],
  resolvers: Pick<Directory, 'resolveGroup' | 'resolvePrefixList'>,
): Directory {
  const groupsById = new Map<GroupId, Resource>();
  const groupsByName = new Map<string, Resource>();
  const prefixListIds = new Set<PrefixListId>();
  for (const resource of resources) {
    if (resource.type === KIND_PREFIX_LIST) prefixListIds.add(idOf(scope, resource));
    if (resource.type !== KIND_GROUP) continue;
    groupsById.set(idOf(scope, resource), resource);
    const name = readGroupName(scope, resource);
    if (name.kind === 'text') groupsByName.set(name.text.toLowerCase(), resource);
  }
  return { groupsById, groupsByName, prefixListIds, ...resolvers };
}

/** The group that `text` names: of this template by id or name, else whatever the configuration knows by it. */
export function resolveGroup(
  scope: Scope,
  directory: Directory,
  property: string,
  text: string,
  where: Where,
): GroupId | undefined {
  if (directory.groupsById.has(text)) return text;
  const named = directory.groupsByName.get(text.trimEnd().toLowerCase());
  if (named === undefined) {
    // A logical id without its !Ref: what another template calls so is surely not meant.
    const isOwn = scope.template.resources.get(text)?.type === KIND_GROUP;
    return isOwn ? undefined : directory.resolveGroup(text);
  }
  if (property.endsWith('Id')) {
    const message = `${property} is the name '${abbreviate(text)}' of a group, not its id`;
    const hint = `AWS refuses it: Invalid id: "${abbreviate(text)}" (expecting "sg-..."); Ref of a group without VpcId is its name, so write !GetAtt ${named.logicalId}.GroupId`;
    report(scope.problems, 'warning', 'group-name-as-id', where, message, hint);
  }
  return idOf(scope, named);
}

/** That nobody knows a group or prefix list of that name, with what its author may have meant. */
export function explainStranger(
  scope: Scope,
  noun: 'group' | 'prefix list',
  text: string,
  where: Where,
): UnknownValue {
  const kind = noun === 'group' ? KIND_GROUP : KIND_PREFIX_LIST;
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
