/**
 * What it means that groups and interfaces belong to VPCs.
 *
 * A group can be on interfaces of its own VPC only, and its rules can name groups of that VPC only: AWS refuses the
 * rest, and so do the loaders. So no packet is ever asked for its VPC. A group stands for the addresses of its members;
 * those are in the VPC of whoever may name it; and no two interfaces of a daemon have one address. What an interface of
 * another VPC sends can match by its address, as a block, like that of any stranger, and never as a member of a group.
 * That is what AWS has between two VPCs with a route and without references: peering across Regions, or a gateway.
 */
import type { GroupId, Rule, SecurityGroup, VpcRef } from './model.ts';
import { stableId } from './ids.ts';
import { DEFAULT_GROUP_NAME } from './texts.ts';

/** What AWS says where two things are not of one VPC. Source: EC2 API, InvalidGroup.NotFound. */
export const DIFFERENT_NETWORKS =
  'AWS refuses it: InvalidGroup.NotFound, You have specified two resources that belong to different networks';

/** As messages and lists name it: `VPC/NAME` where there are several VPCs. */
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
 * The groups that somebody means by an id, by `VPC/NAME` or by a name, with or without `sg:` in front. Several where
 * a name is not enough to tell which VPC's. Of several that are called the same in every way, as those of two files may
 * be, the first.
 */
export function findGroups(
  groups: readonly SecurityGroup[],
  text: string,
): readonly SecurityGroup[] {
  const plain = text.startsWith('sg:') ? text.slice('sg:'.length) : text;
  const exact = groups.filter((group) => group.id === text || groupLabel(group) === plain);
  const found = exact.length > 0 ? exact : groups.filter(({ name }) => name === plain);
  return [
    ...new Map(found.toReversed().map((group) => [groupLabel(group), group])).values(),
  ].reverse();
}

/** What to say where that are several. */
export function ambiguousGroupText(text: string, found: readonly SecurityGroup[]): string {
  const labels = found.map(groupLabel).join(', ');
  return `'${text}' could be any of ${found.length} groups: ${labels}; write one of them`;
}

/** The id of a group that the configuration names; without a VPC it is what it always was. */
export function ownGroupId(name: string, vpc: VpcRef | undefined): GroupId {
  return vpc === undefined ? stableId('sg', name) : stableId('sg', 'vpc', vpc.id, name);
}

/** An id for the default group of a VPC that is known by nothing but its own id. */
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

/** The rules that name a group of another VPC. */
export function findForeignReferences(
  groups: ReadonlyMap<GroupId, SecurityGroup>,
): readonly ForeignReference[] {
  const found: ForeignReference[] = [];
  for (const group of groups.values()) {
    for (const rule of [...group.ingress, ...group.egress]) {
      const named = rule.peer.kind === 'group' ? groups.get(rule.peer.groupId) : undefined;
      if (named !== undefined && !isSameVpc(group, named)) found.push({ rule, group, named });
    }
  }
  return found;
}

/** What to tell of one. */
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
