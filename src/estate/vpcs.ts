/**
 * Calls on VPCs: CreateVpc, DeleteVpc, ModifyVpcAttribute, AssociateVpcCidrBlock, and the default VPC that a store
 * begins with.
 */
import { formatCidr, parseCidr, type Cidr } from '../addr/address.ts';
import { isId, stableId } from '../policy/ids.ts';
import type { VpcId } from '../policy/model.ts';
import { malformedIdText } from '../policy/permissions.ts';
import { type Checked } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { ONLY_VPC_ID } from '../policy/vpcs.ts';
import { overlaps, partOf } from './blocks.ts';
import { newTags, refused, unlessDeclared, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import { addDefaultGroup, eraseGroup } from './groups.ts';
import { NO_DEFAULT_VPC } from './keys.ts';
import type { EstateSubnet, EstateVpc, VpcBlock } from './model.ts';

/** Source: Amazon VPC User Guide, "VPC CIDR blocks". */
const LENGTHS = { min: 16, max: 28 };
const IPV6_LENGTH = 56;

/** Source: Amazon VPC User Guide, "Default VPCs". */
const DEFAULT_BLOCK: Cidr = { family: 4, words: [0xac1f0000 | 0], length: 16 };
const DEFAULT_SUBNET_LENGTH = 20;

export interface NewVpc {
  readonly cidr: string | undefined;
  readonly ipv6: 'none' | 'given';
  readonly tags: readonly Tag[];
}

export function createVpc(
  edit: Edit,
  { cidr: text, ipv6, tags: given }: NewVpc,
  context: CallContext,
): Checked<EstateVpc> {
  if (text === undefined)
    return refused('MissingParameter', 'The request must contain the parameter CidrBlock');
  const block = readBlock(text);
  if (!block.ok) return block;
  const tags = newTags(given);
  if (!tags.ok) return tags;
  const id = context.newId('vpc');
  const blocks = [block.value, ...(ipv6 === 'given' ? [ipv6BlockOf(id)] : [])];
  const vpc: EstateVpc = {
    id,
    blocks: blocks.map((cidr) => ({ associationId: context.newId('vpc-cidr-assoc'), cidr })),
    isDefault: false,
    enableDnsHostnames: false,
    enableDnsSupport: true,
    enableNetworkAddressUsageMetrics: false,
    tags: tags.value,
  };
  edit.write('vpcs', id, vpc);
  addDefaultGroup(edit, vpc, context);
  return { ok: true, value: vpc };
}

/** Deletes a VPC in which nothing is but its default group, which goes too. */
export function deleteVpc(edit: Edit, id: VpcId): Checked<EstateVpc> {
  const found = unlessDeclared(id, findVpc(edit, id));
  if (!found.ok) return found;
  edit.requireUnused(id);
  const groups = edit.list('groups').filter(({ group }) => group.vpc.id === id);
  const isUsed =
    groups.some(
      ({ group, declaredAt }) => declaredAt !== undefined || group.name !== DEFAULT_GROUP_NAME,
    ) ||
    edit.list('subnets').some(({ vpcId }) => vpcId === id) ||
    edit.list('interfaces').some(({ vpcId }) => vpcId === id);
  if (isUsed) {
    const message = `The vpc '${id}' has dependencies and cannot be deleted.`;
    return refused('DependencyViolation', message, 'delete its groups, subnets and interfaces');
  }
  for (const { group } of groups) eraseGroup(edit, group);
  edit.erase('vpcs', id);
  if (id === ONLY_VPC_ID) edit.put(NO_DEFAULT_VPC, '{}');
  return found;
}

export type VpcAttribute = keyof Pick<
  EstateVpc,
  'enableDnsHostnames' | 'enableDnsSupport' | 'enableNetworkAddressUsageMetrics'
>;

export function modifyVpcAttributes(
  edit: Edit,
  id: VpcId,
  attributes: Partial<Record<VpcAttribute, boolean>>,
): Checked<EstateVpc> {
  return changeVpc(edit, id, (vpc) => ({ ok: true, value: { ...vpc, ...attributes } }));
}

/** A further block: of IPv4, or the one of IPv6 if the VPC has none. Rules of groups stay as they are, as in AWS. */
export function associateBlock(
  edit: Edit,
  id: VpcId,
  block: { readonly cidr: string } | 'ipv6',
  context: CallContext,
): Checked<{ readonly vpc: EstateVpc; readonly added: VpcBlock }> {
  const associationId = context.newId('vpc-cidr-assoc');
  const done = changeVpc(edit, id, (vpc) => {
    const hasIpv6 = vpc.blocks.some(({ cidr }) => cidr.family === 6);
    if (block === 'ipv6' && hasIpv6)
      return refused('InvalidParameterValue', `The vpc ${id} has an IPv6 block already`);
    const read =
      block === 'ipv6' ? ({ ok: true, value: ipv6BlockOf(id) } as const) : readBlock(block.cidr);
    if (!read.ok) return read;
    const other = vpc.blocks.find(({ cidr }) => overlaps(cidr, read.value));
    if (other !== undefined) {
      const message = `The CIDR '${formatCidr(read.value)}' conflicts with ${formatCidr(other.cidr)} of the VPC`;
      return refused('InvalidVpc.Range', message);
    }
    return {
      ok: true,
      value: { ...vpc, blocks: [...vpc.blocks, { associationId, cidr: read.value }] },
    };
  });
  if (!done.ok) return done;
  return { ok: true, value: { vpc: done.value, added: done.value.blocks.at(-1)! } };
}

/** The VPC without a block that is not its primary one and in which no subnet is. */
export function disassociateBlock(
  edit: Edit,
  associationId: string,
): Checked<{ readonly vpc: EstateVpc; readonly removed: VpcBlock }> {
  const vpc = edit
    .list('vpcs')
    .find(({ blocks }) => blocks.some((block) => block.associationId === associationId));
  const removed = vpc?.blocks.find((block) => block.associationId === associationId);
  if (vpc === undefined || removed === undefined) {
    const message = `The vpc CIDR block association ID '${associationId}' does not exist`;
    return refused('InvalidVpcCidrBlockAssociationID.NotFound', message);
  }
  const done = changeVpc(edit, vpc.id, (before) => {
    if (removed.associationId === primaryBlock(before)?.associationId) {
      const message = `The CIDR '${formatCidr(removed.cidr)}' is the primary one of the VPC and stays`;
      return refused('OperationNotPermitted', message);
    }
    edit.requireUnused(vpc.id);
    const isUsed = edit
      .list('subnets')
      .some(
        ({ vpcId, cidr, ipv6 }) =>
          vpcId === vpc.id &&
          (overlaps(cidr, removed.cidr) ||
            (ipv6 !== undefined && overlaps(ipv6.cidr, removed.cidr))),
      );
    if (isUsed) {
      const message = `The CIDR '${formatCidr(removed.cidr)}' has subnets and cannot be removed.`;
      return refused('DependencyViolation', message);
    }
    const blocks = before.blocks.filter((block) => block !== removed);
    return { ok: true, value: { ...before, blocks } };
  });
  return done.ok ? { ok: true, value: { vpc: done.value, removed } } : done;
}

/** CreateDefaultVpc: for whoever has deleted it. */
export function createDefaultVpc(
  edit: Edit,
  zones: readonly string[],
  context: CallContext,
): Checked<EstateVpc> {
  edit.remove(NO_DEFAULT_VPC);
  const made = ensureDefaultVpc(edit, zones, context);
  if (made !== undefined) return { ok: true, value: made };
  const message = 'A Default VPC already exists for this account in this region.';
  return refused('DefaultVpcAlreadyExists', message);
}

/**
 * Makes the default VPC with a subnet in each zone, which every account has from the start. Its id is the one that
 * files mean when they don't name a VPC, so that both sides are in one.
 * @returns undefined if it is there, or somebody has deleted it
 */
export function ensureDefaultVpc(
  edit: Edit,
  zones: readonly string[],
  context: CallContext,
): EstateVpc | undefined {
  if (edit.read('vpcs', ONLY_VPC_ID) !== undefined || edit.has(NO_DEFAULT_VPC)) return undefined;
  const vpc: EstateVpc = {
    id: ONLY_VPC_ID,
    blocks: [{ associationId: context.newId('vpc-cidr-assoc'), cidr: DEFAULT_BLOCK }],
    isDefault: true,
    enableDnsHostnames: true,
    enableDnsSupport: true,
    enableNetworkAddressUsageMetrics: false,
    tags: [],
  };
  edit.write('vpcs', vpc.id, vpc);
  addDefaultGroup(edit, vpc, context);
  zones.forEach((zone, i) => {
    const subnet: EstateSubnet = {
      id: context.newId('subnet'),
      vpcId: vpc.id,
      cidr: partOf(DEFAULT_BLOCK, DEFAULT_SUBNET_LENGTH, i),
      ipv6: undefined,
      zone,
      isDefault: true,
      mapPublicIpOnLaunch: true,
      assignIpv6AddressOnCreation: false,
      tags: [],
    };
    edit.write('subnets', subnet.id, subnet);
  });
  return vpc;
}

/** A VPC that is there. @returns AWS's refusal otherwise */
export function findVpc(edit: Edit, id: VpcId): Checked<EstateVpc> {
  const vpc = edit.read('vpcs', id);
  if (vpc !== undefined) return { ok: true, value: vpc };
  return isId('vpc', id)
    ? refused('InvalidVpcID.NotFound', `The vpc ID '${id}' does not exist`)
    : refused('InvalidVpcID.Malformed', malformedIdText('vpc', id));
}

/** The block that a VPC was made with; undefined: it has none of IPv4. */
export function primaryBlock({ blocks }: EstateVpc): VpcBlock | undefined {
  return blocks.find(({ cidr }) => cidr.family === 4);
}

/** Its main route table, default network ACL and DHCP options: they are there, and nothing can be done with them. */
export function derivedIds(id: VpcId): {
  readonly routeTable: string;
  readonly networkAcl: string;
  readonly dhcpOptions: string;
} {
  const digits = stableId('vpc', 'derived', id).slice('vpc-'.length);
  return {
    routeTable: `rtb-${digits}`,
    networkAcl: `acl-${digits}`,
    dhcpOptions: `dopt-${digits}`,
  };
}

function changeVpc(
  edit: Edit,
  id: VpcId,
  work: (vpc: EstateVpc) => Checked<EstateVpc>,
): Checked<EstateVpc> {
  const found = unlessDeclared(id, findVpc(edit, id));
  if (!found.ok) return found;
  const done = work(found.value);
  if (done.ok) edit.write('vpcs', id, done.value);
  return done;
}

function readBlock(text: string): Checked<Cidr> {
  const parsed = parseCidr(text, 'mask');
  const { min, max } = LENGTHS;
  if (!parsed.ok || parsed.value.family !== 4) {
    const message = `Value (${text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.`;
    return refused('InvalidParameterValue', message);
  }
  if (parsed.value.length < min || parsed.value.length > max) {
    const hint = `a VPC has a block from /${min} to /${max}`;
    return refused('InvalidVpc.Range', `The CIDR '${text}' is invalid.`, hint);
  }
  return { ok: true, value: parsed.value };
}

/**
 * The IPv6 block of a VPC. AWS gives one of its own; here it is a unique local one (RFC 4193), whose global id is made
 * of the VPC's random one: no router on the Internet forwards to it.
 */
function ipv6BlockOf(id: VpcId): Cidr {
  const digits = `fd${id.slice('vpc-'.length, 'vpc-'.length + 10)}`.padEnd(16, '0');
  const words = [digits.slice(0, 8), digits.slice(8, 16)].map((part) => Number(`0x${part}`) | 0);
  return { family: 6, words: [...words, 0, 0], length: IPV6_LENGTH };
}
