/**
 * Relates groups and interfaces to their VPCs.
 *
 * A group can only be on interfaces of its own VPC, and its rules can only name groups of that VPC. AWS refuses
 * anything else, and so do the loaders. So the packet path never asks for a VPC. A group stands for its members'
 * addresses, its members are in the VPC of all who may name it, and no two interfaces of a daemon have the same
 * address. A packet from an interface of another VPC can match a rule by its address, within a block, like that of
 * any stranger, but never as a member of a group. AWS has the same between two VPCs with a route and without
 * references: peering across Regions, or a gateway.
 */
import type { GroupId, Rule, SecurityGroup, VpcRef } from './model.ts';
import { stableId } from './ids.ts';
import { DEFAULT_GROUP_NAME } from './texts.ts';

/** AWS's answer where two things are not of one VPC. Source: EC2 API, InvalidGroup.NotFound. */
export const DIFFERENT_NETWORKS_TEXT =
  'You have specified two resources that belong to different networks';

export const DIFFERENT_NETWORKS = `AWS refuses it: InvalidGroup.NotFound, ${DIFFERENT_NETWORKS_TEXT}`;

/** What the one VPC is called that nobody gave a name. */
export const ONLY_VPC_NAME = 'default';

/** That one: what a file says without a word about VPCs is in it, and it is the default VPC of the API. */
export const ONLY_VPC_ID = stableId('vpc', ONLY_VPC_NAME);

/** A group's name in messages and lists: `VPC/NAME` where there are several VPCs. */
export function groupLabel({
  name,
  vpc,
}: {
  readonly name: string;
  readonly vpc?: VpcRef | undefined;
}): string {
  return vpc === undefined ? name : `${vpc.name}/${name}`;
}

/**
 * Finds the groups that somebody means by an id, by `VPC/NAME`, by a name, or by what their template or plan calls
 * them, with or without `sg:` in front. It finds
 * several if several VPCs have a group with this name. Of groups with the same label, as in two files, it returns the
 * first.
 */
export function findGroups(
  groups: readonly SecurityGroup[],
  text: string,
): readonly SecurityGroup[] {
  const plain = text.startsWith('sg:') ? text.slice('sg:'.length) : text;
  const exact = groups.filter((group) => group.id === text || groupLabel(group) === plain);
  const named = exact.length > 0 ? exact : groups.filter(({ name }) => name === plain);
  const found =
    named.length > 0 ? named : groups.filter(({ origin }) => origin.logicalId === plain);
  return [
    ...new Map(found.toReversed().map((group) => [groupLabel(group), group])).values(),
  ].reverse();
}

/** The message for a text that could mean several groups. */
export function ambiguousGroupText(text: string, found: readonly SecurityGroup[]): string {
  const labels = found.map(groupLabel).join(', ');
  return `'${text}' could be any of ${found.length} groups: ${labels}; write one of them`;
}

/** The id of a group of the configuration. Without a VPC it is the same as before there were VPCs. */
export function ownGroupId(name: string, vpc: VpcRef | undefined): GroupId {
  return vpc === undefined ? stableId('sg', name) : stableId('sg', 'vpc', vpc.id, name);
}

/** The id of the default group of a VPC of which only the id is known. */
export function defaultGroupIdOf(vpcId: string): GroupId {
  return stableId('sg', 'vpc', vpcId, DEFAULT_GROUP_NAME);
}

/** Whether both belong to one VPC. */
export function isSameVpc(
  one: { readonly vpc?: VpcRef },
  other: { readonly vpc?: VpcRef },
): boolean {
  return one.vpc?.id === other.vpc?.id;
}

export interface ForeignReference {
  readonly rule: Rule;
  readonly group: SecurityGroup;
  readonly named: SecurityGroup;
}

/** Finds the rules that name a group of another VPC. */
export function findForeignReferences(
  groups: ReadonlyMap<GroupId, SecurityGroup>,
): readonly ForeignReference[] {
  const found: ForeignReference[] = [];
  for (const group of groups.values()) {
    for (const rule of [...group.ingress, ...group.egress, ...(group.audited ?? [])]) {
      const named = rule.peer.kind === 'group' ? groups.get(rule.peer.groupId) : undefined;
      if (named !== undefined && !isSameVpc(group, named)) found.push({ rule, group, named });
    }
  }
  return found;
}

/** The message and hint about such a rule. */
export function foreignReferenceText({ group, named }: Omit<ForeignReference, 'rule'>): {
  readonly message: string;
  readonly hint: string;
} {
  const message = `the security group '${named.name}' is in the VPC '${vpcName(named)}', and '${group.name}', whose rule names it, in '${vpcName(group)}'`;
  const hint = `${DIFFERENT_NETWORKS}; name the addresses of the other side, as a CIDR block`;
  return { message, hint };
}

function vpcName({ vpc }: SecurityGroup): string {
  return vpc?.name ?? 'default';
}
