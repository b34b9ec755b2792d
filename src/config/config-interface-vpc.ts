/** This file finds the VPC and the groups of an interface. As in AWS, all of its groups must be in its VPC. */
import { formatCidr } from '../addr/address.ts';
import type { Placement } from '../cloudformation/placement.ts';
import type { GroupId, NetworkInterface } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { DIFFERENT_NETWORKS } from '../policy/vpcs.ts';
import { listWords } from '../source/suggest.ts';
import { get, type Node } from '../source/yaml.ts';
import type { Directory } from './config-names.ts';
import {
  fail,
  placeOf,
  readItems,
  readText,
  report,
  take,
  type Place,
  type Reader,
} from './config-reader.ts';
import type { KnownVpc, VpcDirectory } from './config-vpc-directory.ts';
import { overlaps } from './config-vpcs.ts';

export interface VpcContext {
  readonly reader: Reader;
  readonly groups: Directory;
  readonly vpcs: VpcDirectory;
  /** The VPC of each subnet of a template, both by id. */
  readonly vpcsOfSubnets: ReadonlyMap<string, string>;
}

export interface Membership {
  /** Undefined if no key says it; that has been reported. */
  readonly vpc: KnownVpc | undefined;
  readonly groupIds: readonly GroupId[];
}

/**
 * Finds both.
 * @param place where the interface is written
 * @param placement what a template says about it
 */
export function readMembership(
  context: VpcContext,
  node: Node,
  name: string,
  place: Place,
  placement: Placement | undefined,
): Membership {
  const { reader, groups, vpcs, vpcsOfSubnets } = context;
  const vpcNode = get(node, 'vpc');
  const given = vpcs.read(reader, vpcNode);
  const subnetVpcId = vpcsOfSubnets.get(placement?.subnetId ?? '');
  const ofSubnet = subnetVpcId === undefined ? undefined : vpcs.find(subnetVpcId);
  if (given !== undefined && ofSubnet !== undefined && given !== ofSubnet) {
    const message = `the interface '${name}' is said to be in the VPC '${given.name}', and its subnet is in '${ofSubnet.name}'`;
    fail(reader, vpcNode!, 'other-vpc', message, 'remove the key, or correct it');
  }
  const said = given ?? ofSubnet;
  const groupIds = readGroupIds(context, node, placement, said);
  const ofGroups = groups.vpcOf(groupIds?.[0]);
  const vpc = said ?? (ofGroups === undefined ? undefined : vpcs.find(ofGroups)) ?? vpcs.fallback;
  if (vpc === undefined) {
    // An unknown group or VPC has been reported already.
    if (groupIds === undefined && vpcNode === undefined)
      vpcs.failMissing(reader, place, `the interface '${name}'`);
    return { vpc, groupIds: [] };
  }
  const ids = groupIds ?? [defaultGroupOf(groups, vpc)];
  const at = get(node, 'securityGroups') ?? get(node, 'from') ?? place;
  refuseOthers(context, at, name, vpc, ids);
  return { vpc, groupIds: ids };
}

/** Every VPC has a default group. */
function defaultGroupOf(groups: Directory, { id }: KnownVpc): GroupId {
  const found = groups.resolve(DEFAULT_GROUP_NAME, id);
  if (!found.ok) throw new Error(`the VPC ${id} has no default group`);
  return found.value;
}

function refuseOthers(
  { reader, groups, vpcs }: VpcContext,
  at: Place,
  name: string,
  vpc: KnownVpc,
  ids: readonly GroupId[],
): void {
  const strange = ids.filter((id) => groups.vpcOf(id) !== vpc.id);
  if (strange.length === 0) return;
  const names = listWords(
    strange.map((id) => {
      const other = vpcs.find(groups.vpcOf(id) ?? '');
      return `'${groups.nameOf(id)}' in '${other?.name ?? '?'}'`;
    }),
  );
  const message = `the interface '${name}' is in the VPC '${vpc.name}', and has groups of others: ${names}`;
  const hint = `${DIFFERENT_NETWORKS}; give it groups of one VPC`;
  fail(reader, at, 'other-vpc', message, hint);
}

/** The groups that the interface names. Undefined if it names none, and so gets the default group. */
function readGroupIds(
  { reader, groups }: VpcContext,
  node: Node,
  placement: Placement | undefined,
  vpc: KnownVpc | undefined,
): readonly GroupId[] | undefined {
  const list = get(node, 'securityGroups');
  if (list === undefined && placement?.groupIds?.length === 0) {
    const message = 'none of the security groups that the template names is known';
    fail(reader, get(node, 'from')!, 'missing-group', message, 'name them here, as securityGroups');
  }
  if (list === undefined) return placement?.groupIds;
  const items = readItems(reader, list);
  if (list.kind === 'list' && items.length === 0) {
    fail(
      reader,
      list,
      'missing-group',
      'an interface has at least one security group',
      'name one, or remove the key: then it has the default group',
    );
  }
  const ids = new Set<GroupId>();
  for (const node of items) {
    const text = readText(reader, node);
    if (text === undefined) continue;
    const id = take(reader, node, groups.unknownCode, groups.resolve(text, vpc?.id));
    if (id === undefined) continue;
    if (ids.has(id))
      report(
        reader,
        'warning',
        node,
        'duplicate-group',
        `the security group '${text}' is named twice`,
        'remove one of the two',
      );
    ids.add(id);
  }
  return [...ids];
}

/**
 * Reports blocks that two VPCs share if both have interfaces here. The packet path has one table of addresses, so it
 * could not tell which of the two an address in such a block belongs to.
 */
export function refuseSharedBlocks(
  reader: Reader,
  vpcs: VpcDirectory,
  interfaces: readonly { readonly network: Pick<NetworkInterface, 'vpc'> }[],
): void {
  if (!vpcs.isSeveral) return;
  const populated = new Set(interfaces.flatMap(({ network }) => network.vpc?.id ?? []));
  const present = vpcs.all.filter(({ id }) => populated.has(id));
  for (const [i, vpc] of present.entries()) {
    for (const earlier of present.slice(0, i)) refuseShared(reader, vpc, earlier);
  }
}

function refuseShared(reader: Reader, vpc: KnownVpc, earlier: KnownVpc): void {
  for (const { cidr, origin } of vpc.blocks) {
    const other = earlier.blocks.find((block) => overlaps(block.cidr, cidr));
    if (other === undefined) continue;
    const message = `the block ${formatCidr(cidr)} of the VPC '${vpc.name}' overlaps the block ${formatCidr(other.cidr)} of the VPC '${earlier.name}', and both have interfaces here`;
    const hint =
      'a daemon forwards by the address alone: make the blocks disjoint, or run a second daemon for one of the VPCs';
    fail(reader, placeOf(origin), 'vpc-overlap', message, hint);
  }
}
