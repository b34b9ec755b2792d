/**
 * Calls on security groups: CreateSecurityGroup, DeleteSecurityGroup, Authorize, Revoke, ModifySecurityGroupRules and
 * UpdateSecurityGroupRuleDescriptions.
 *
 * Each reads and writes an Edit. What a rule may say and how a group changes is policy/'s; here are the group's
 * neighbours: who has its name, who names it, which groups and lists its rules name.
 */
import {
  authorize,
  describeByIds,
  describeByPermissions,
  modifyRules,
  revokeByIds,
  revokeByPermissions,
  type RuleDescription,
} from '../policy/group-rules.ts';
import { checkDelete, createDefaultGroup, createGroup } from '../policy/groups.ts';
import { isId } from '../policy/ids.ts';
import type { Direction, GroupId, Rule, RuleId, SecurityGroup, VpcId } from '../policy/model.ts';
import {
  malformedIdText,
  readPermission,
  readRule,
  unknownGroupText,
  type PeerSource,
  type Permission,
  type PermissionText,
  type RuleText,
} from '../policy/permissions.ts';
import { collect, unlessRefused, type Checked } from '../policy/refusals.ts';
import { DEFAULT_GROUP_NAME, foldGroupName } from '../policy/texts.ts';
import { ONLY_VPC_ID, ownGroupId } from '../policy/vpcs.ts';
import type { Tag } from '../policy/tags.ts';
import {
  allOf,
  checkNotDeclared,
  newTags,
  refused,
  unlessDeclared,
  type CallContext,
} from './calls.ts';
import type { Edit } from './edit.ts';
import { nameKey } from './keys.ts';
import type { EstateGroup, EstateVpc, Tags } from './model.ts';
import { estateOrigin, vpcRef } from './rows.ts';

export interface NewEstateGroup {
  /** Undefined: the default VPC. */
  readonly vpcId: VpcId | undefined;
  readonly name: string | undefined;
  readonly description: string | undefined;
  readonly tags: readonly Tag[];
}

export function createEstateGroup(
  edit: Edit,
  { vpcId, name, description, tags: given }: NewEstateGroup,
  context: CallContext,
): Checked<EstateGroup> {
  const found = findVpcOrDefault(edit, vpcId);
  if (!found.ok) return found;
  const vpc = found.value;
  const key = nameKey(vpc.id, foldGroupName(name ?? ''));
  const tags = newTags(given);
  const id = context.newId('sg');
  const made = createGroup(
    {
      id,
      vpc: vpcRef(vpc.id),
      hasIpv6: hasIpv6(vpc),
      name,
      description,
      makeRuleId: () => context.newId('sgr'),
      origin: estateOrigin(id),
    },
    {
      isNameTaken: edit.has(key) || isNameDeclared(edit, vpc.id, name ?? ''),
      groups: edit.list('groups').length,
      securityGroups: context.quotas.securityGroups,
    },
  );
  if (!made.ok || !tags.ok)
    return { ok: false, refusals: [made, tags].flatMap((one) => (one.ok ? [] : one.refusals)) };
  edit.use(vpc.id);
  // The quota counts the groups of all VPCs.
  edit.use('security-groups');
  return { ok: true, value: addGroup(edit, made.value, tags.value) };
}

/** Makes the default group of a VPC that is being made. That of the default VPC is the one that files mean, too. */
export function addDefaultGroup(edit: Edit, vpc: EstateVpc, context: CallContext): EstateGroup {
  const id =
    vpc.id === ONLY_VPC_ID ? ownGroupId(DEFAULT_GROUP_NAME, undefined) : context.newId('sg');
  const group = createDefaultGroup({
    id,
    vpc: vpcRef(vpc.id),
    hasIpv6: hasIpv6(vpc),
    makeRuleId: () => context.newId('sgr'),
    origin: estateOrigin(id),
  });
  return addGroup(edit, group, []);
}

/** Deletes a group that nobody uses. */
export function deleteEstateGroup(edit: Edit, id: GroupId): Checked<EstateGroup> {
  const found = findGroup(edit, id);
  if (!found.ok) return found;
  const { group } = found.value;
  edit.requireUnused(id);
  const refusals = [
    ...checkNotDeclared(id, found.value),
    ...collect(checkDelete(group, groupUsers(edit, id))),
  ];
  if (refusals.length === 0) eraseGroup(edit, group);
  return unlessRefused(found.value, refusals);
}

/** Erases a group without asking who uses it: its VPC goes. */
export function eraseGroup(edit: Edit, { id, name, vpc }: EstateGroup['group']): void {
  edit.erase('groups', id);
  edit.remove(nameKey(vpc.id, foldGroupName(name)));
  edit.requireUnused(id);
}

/** The interfaces and other groups that keep a group from being deleted. */
function groupUsers(edit: Edit, id: GroupId): readonly string[] {
  const groups = edit.groupsThatName(id).map(({ group }) => group.id);
  const interfaces = edit.interfacesOfGroup(id).map((one) => one.id);
  return [...interfaces, ...groups.filter((other) => other !== id)];
}

export interface Authorized {
  readonly group: EstateGroup;
  readonly added: readonly Rule[];
}

/** Adds rules; all of them have the tags. */
export function authorizeRules(
  edit: Edit,
  id: GroupId,
  direction: Direction,
  texts: readonly PermissionText[],
  tags: readonly Tag[],
  context: CallContext,
): Checked<Authorized> {
  return changeRules(edit, id, (before) => {
    const permissions = readPermissions(edit, before.group, texts);
    const given = newTags(tags);
    if (!permissions.ok) return permissions;
    if (!given.ok) return given;
    const done = authorize(before.group, direction, permissions.value, {
      makeId: () => context.newId('sgr'),
      origin: estateOrigin(id),
      rulesPerGroup: context.quotas.rulesPerGroup,
      source: peerSource(edit),
    });
    if (!done.ok) return done;
    const { group, added } = done.value;
    const ruleTags =
      given.value.length === 0 ? [] : added.map((rule) => [rule.id, given.value] as const);
    return answer(before, group, { added }, new Map([...before.ruleTags, ...ruleTags]));
  });
}

export interface RevokedRules {
  readonly group: EstateGroup;
  readonly revoked: readonly Rule[];
  /** Permissions that no rule was, where the VPC is a default one: AWS lists them there and refuses them elsewhere. */
  readonly unknown: readonly Permission[];
}

/** What rules a call is about: by their ids, or by what they say. */
export type RuleChoice =
  | { readonly kind: 'ids'; readonly ids: readonly RuleId[] }
  | { readonly kind: 'permissions'; readonly texts: readonly PermissionText[] };

export function revokeRules(
  edit: Edit,
  id: GroupId,
  direction: Direction,
  choice: RuleChoice,
): Checked<RevokedRules> {
  return changeRules(edit, id, (before) => {
    if (choice.kind === 'ids') {
      const done = revokeByIds(before.group, direction, choice.ids);
      if (!done.ok) return done;
      return answer(before, done.value.group, { revoked: done.value.revoked, unknown: [] });
    }
    const permissions = readPermissions(edit, before.group, choice.texts);
    if (!permissions.ok) return permissions;
    const isLenient = edit.peek('vpcs', before.group.vpc.id)?.isDefault === true;
    const how = isLenient ? 'list' : 'refuse';
    const done = revokeByPermissions(before.group, direction, permissions.value, how);
    if (!done.ok) return done;
    const { group, revoked, unknown } = done.value;
    return answer(before, group, { revoked, unknown });
  });
}

/** Replaces rules under their ids. */
export function modifyEstateRules(
  edit: Edit,
  id: GroupId,
  texts: readonly { readonly ruleId: RuleId; readonly rule: RuleText }[],
  context: CallContext,
): Checked<{ readonly group: EstateGroup }> {
  return changeRules(edit, id, (before) => {
    const source = peerSource(edit);
    const replacements = allOf(
      texts.map(({ ruleId, rule }): Checked<{ ruleId: RuleId; permission: Permission }> => {
        const permission = readRule(rule, before.group, source);
        return permission.ok
          ? { ok: true, value: { ruleId, permission: permission.value } }
          : permission;
      }),
    );
    if (!replacements.ok) return replacements;
    const { rulesPerGroup } = context.quotas;
    const done = modifyRules(before.group, replacements.value, { rulesPerGroup, source });
    return done.ok ? answer(before, done.value.group, {}) : done;
  });
}

export function updateDescriptions(
  edit: Edit,
  id: GroupId,
  direction: Direction,
  choice:
    | { readonly kind: 'ids'; readonly descriptions: readonly RuleDescription[] }
    | { readonly kind: 'permissions'; readonly texts: readonly PermissionText[] },
): Checked<{ readonly group: EstateGroup }> {
  return changeRules(edit, id, (before) => {
    if (choice.kind === 'ids') {
      const done = describeByIds(before.group, direction, choice.descriptions);
      return done.ok ? answer(before, done.value, {}) : done;
    }
    const permissions = readPermissions(edit, before.group, choice.texts);
    if (!permissions.ok) return permissions;
    const done = describeByPermissions(before.group, direction, permissions.value);
    return done.ok ? answer(before, done.value, {}) : done;
  });
}

/** A group that is there. @returns AWS's refusal otherwise */
export function findGroup(edit: Edit, id: GroupId): Checked<EstateGroup> {
  const group = edit.read('groups', id);
  if (group !== undefined) return { ok: true, value: group };
  return isId('sg', id)
    ? refused('InvalidGroup.NotFound', unknownGroupText(id))
    : refused('InvalidGroupId.Malformed', malformedIdText('sg', id));
}

/** Where rules find the groups and lists that they name. */
export function peerSource(edit: Edit): PeerSource {
  return {
    groups: { get: (id) => edit.peek('groups', id)?.group },
    prefixLists: { get: (id) => edit.peek('prefix-lists', id)?.list },
  };
}

function findVpcOrDefault(edit: Edit, id: VpcId | undefined): Checked<EstateVpc> {
  const { estate } = edit;
  const vpc = id === undefined ? estate.defaultVpc() : edit.read('vpcs', id);
  if (vpc !== undefined) return { ok: true, value: vpc };
  return id === undefined
    ? refused('VPCIdNotSpecified', 'No default VPC for this user', 'name a VPC, by VpcId')
    : refused('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`);
}

function hasIpv6({ blocks }: EstateVpc): boolean {
  return blocks.some(({ cidr }) => cidr.family === 6);
}

/** Whether a file has a group of this name. Should one come at the same time, the join leaves the call's out. */
function isNameDeclared({ estate }: Edit, vpcId: VpcId, name: string): boolean {
  return estate.groupByName(vpcId, name)?.declaredAt !== undefined;
}

function addGroup(edit: Edit, group: SecurityGroup, tags: Tags): EstateGroup {
  const { vpc } = group;
  if (vpc === undefined) throw new Error(`the group ${group.id} has no VPC`);
  const value: EstateGroup = { group: { ...group, vpc }, ruleTags: new Map(), tags };
  edit.put(nameKey(vpc.id, foldGroupName(group.name)), JSON.stringify({ groupId: group.id }));
  edit.write('groups', group.id, value);
  return value;
}

function readPermissions(
  edit: Edit,
  group: SecurityGroup,
  texts: readonly PermissionText[],
): Checked<readonly Permission[]> {
  const source = peerSource(edit);
  const found = allOf(texts.map((text) => readPermission(text, group, source)));
  return found.ok ? { ok: true, value: found.value.flat() } : found;
}

function changeRules<T extends { readonly group: EstateGroup }>(
  edit: Edit,
  id: GroupId,
  work: (before: EstateGroup) => Checked<T>,
): Checked<T> {
  const found = unlessDeclared(id, findGroup(edit, id));
  if (!found.ok) return found;
  const done = work(found.value);
  if (!done.ok) return done;
  const { group } = done.value;
  if (group.group !== found.value.group) {
    noteNewPeers(edit, found.value.group, group.group);
    edit.write('groups', id, group);
  }
  return done;
}

/**
 * Groups and lists that are named from now on must be there when this is committed, and can't be deleted by a call that
 * has not seen that they are named. A group is there as long as the row of its name is, which changes never.
 */
function noteNewPeers(edit: Edit, before: SecurityGroup, after: SecurityGroup): void {
  const known = peersOf(before);
  for (const id of peersOf(after)) {
    if (known.has(id)) continue;
    const named = edit.peek('groups', id);
    if (named === undefined) edit.read('prefix-lists', id);
    else edit.has(nameKey(named.group.vpc.id, foldGroupName(named.group.name)));
    edit.use(id);
  }
}

function peersOf({ ingress, egress }: SecurityGroup): ReadonlySet<string> {
  const ids = [...ingress, ...egress].flatMap(({ peer }) => {
    if (peer.kind === 'group') return [peer.groupId];
    return peer.kind === 'prefixList' ? [peer.prefixListId] : [];
  });
  return new Set(ids);
}

/** The answer of a call that changed rules; tags of rules that are gone go too. */
function answer<T extends object>(
  before: EstateGroup,
  group: SecurityGroup,
  more: T,
  tags: ReadonlyMap<RuleId, Tags> = before.ruleTags,
): { readonly ok: true; readonly value: T & { readonly group: EstateGroup } } {
  const ids = new Set([...group.ingress, ...group.egress].map((rule) => rule.id));
  const ruleTags = new Map([...tags].filter(([id]) => ids.has(id)));
  const changed: EstateGroup = { ...before, group: { ...group, vpc: before.group.vpc }, ruleTags };
  return { ok: true, value: { ...more, group: changed } };
}
