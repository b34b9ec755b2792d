/** Calls on subnets: CreateSubnet, DeleteSubnet, ModifySubnetAttribute, and their IPv6 blocks. */
import { formatCidr, parseCidr, type Cidr } from '../addr/address.ts';
import type { VpcId } from '../policy/model.ts';
import type { Checked } from '../policy/refusals.ts';
import type { Tag } from '../policy/tags.ts';
import { RESERVED_FIRST, RESERVED_LAST } from './addresses.ts';
import { isWithin, overlaps, sizeOf } from './blocks.ts';
import { checkNotDeclared, newTags, refused, unlessDeclared, type CallContext } from './calls.ts';
import type { Edit } from './edit.ts';
import type { Estate } from './estate.ts';
import type { EstateSubnet, EstateVpc, SubnetId, VpcBlock } from './model.ts';
import { findVpc } from './vpcs.ts';

const LENGTHS = { min: 16, max: 28 };
const IPV6_LENGTH = 64;

export interface NewSubnet {
  readonly vpcId: VpcId;
  readonly cidr: string | undefined;
  readonly ipv6Cidr: string | undefined;
  /** Undefined: the first zone. */
  readonly zone: string | undefined;
  readonly tags: readonly Tag[];
}

/** @param zones the availability zones there are */
export function createSubnet(
  edit: Edit,
  given: NewSubnet,
  zones: readonly string[],
  context: CallContext,
): Checked<EstateSubnet> {
  const found = findVpc(edit, given.vpcId);
  if (!found.ok) return found;
  const vpc = found.value;
  const tags = newTags(given.tags);
  if (!tags.ok) return tags;
  const { zone = zones[0] } = given;
  if (!zones.includes(zone)) {
    const message = `Value (${zone}) for parameter availabilityZone is invalid. Subnets can currently only be created in the following availability zones: ${zones.join(', ')}.`;
    return refused('InvalidParameterValue', message);
  }
  if (given.cidr === undefined)
    return refused('MissingParameter', 'Either cidrBlock or ipv6CidrBlock should be provided.');
  const cidr = readPart(edit, vpc, given.cidr, 4);
  if (!cidr.ok) return cidr;
  const ipv6Cidr =
    given.ipv6Cidr === undefined ? undefined : readPart(edit, vpc, given.ipv6Cidr, 6);
  if (ipv6Cidr?.ok === false) return ipv6Cidr;
  const ipv6: VpcBlock | undefined =
    ipv6Cidr === undefined
      ? undefined
      : { associationId: context.newId('subnet-cidr-assoc'), cidr: ipv6Cidr.value };
  const subnet: EstateSubnet = {
    id: context.newId('subnet'),
    vpcId: vpc.id,
    cidr: cidr.value,
    ipv6,
    zone,
    isDefault: false,
    mapPublicIpOnLaunch: false,
    assignIpv6AddressOnCreation: false,
    tags: tags.value,
  };
  edit.write('subnets', subnet.id, subnet);
  return { ok: true, value: subnet };
}

export function deleteSubnet(edit: Edit, id: SubnetId): Checked<EstateSubnet> {
  const found = unlessDeclared(id, findSubnet(edit, id));
  if (!found.ok) return found;
  edit.requireUnused(id);
  const users = edit.interfacesOfSubnet(id);
  if (users.length > 0) {
    const message = `The subnet '${id}' has dependencies and cannot be deleted.`;
    return refused(
      'DependencyViolation',
      message,
      `interfaces in it: ${users.map((one) => one.id).join(', ')}`,
    );
  }
  edit.erase('subnets', id);
  return found;
}

export function modifySubnetAttributes(
  edit: Edit,
  id: SubnetId,
  attributes: Partial<Pick<EstateSubnet, 'mapPublicIpOnLaunch' | 'assignIpv6AddressOnCreation'>>,
): Checked<EstateSubnet> {
  const found = unlessDeclared(id, findSubnet(edit, id));
  if (!found.ok) return found;
  if (attributes.assignIpv6AddressOnCreation === true && found.value.ipv6 === undefined) {
    const message = `The subnet '${id}' has no IPv6 CIDR block`;
    return refused('InvalidParameterValue', message);
  }
  const subnet = { ...found.value, ...attributes };
  edit.write('subnets', id, subnet);
  return { ok: true, value: subnet };
}

/** Gives a subnet a part of its VPC's IPv6 block; it has none yet. */
export function associateSubnetBlock(
  edit: Edit,
  id: SubnetId,
  text: string,
  context: CallContext,
): Checked<VpcBlock> {
  const found = unlessDeclared(id, findSubnet(edit, id));
  if (!found.ok) return found;
  if (found.value.ipv6 !== undefined)
    return refused('InvalidParameterValue', `The subnet '${id}' has an IPv6 CIDR block already`);
  const vpc = findVpc(edit, found.value.vpcId);
  if (!vpc.ok) return vpc;
  const cidr = readPart(edit, vpc.value, text, 6);
  if (!cidr.ok) return cidr;
  const ipv6 = { associationId: context.newId('subnet-cidr-assoc'), cidr: cidr.value };
  edit.write('subnets', id, { ...found.value, ipv6 });
  return { ok: true, value: ipv6 };
}

/** Takes a subnet's IPv6 block, of which no interface has an address. */
export function disassociateSubnetBlock(
  edit: Edit,
  associationId: string,
): Checked<{ readonly subnet: EstateSubnet; readonly removed: VpcBlock }> {
  const known = edit.list('subnets').find(({ ipv6 }) => ipv6?.associationId === associationId);
  const subnet = known === undefined ? undefined : edit.read('subnets', known.id);
  const removed = subnet?.ipv6;
  if (subnet === undefined || removed === undefined) {
    const message = `The subnet CIDR block association ID '${associationId}' does not exist`;
    return refused('InvalidSubnetCidrBlockAssociationID.NotFound', message);
  }
  const refusals = checkNotDeclared(subnet.id, subnet);
  if (refusals.length > 0) return { ok: false, refusals };
  edit.requireUnused(subnet.id);
  const users = edit
    .interfacesOfSubnet(subnet.id)
    .filter(({ addresses }) => addresses.some(({ family }) => family === 6));
  if (users.length > 0) {
    const message = `The CIDR '${formatCidr(removed.cidr)}' has addresses in use and cannot be removed.`;
    const hint = `interfaces with addresses of it: ${users.map((one) => one.id).join(', ')}`;
    return refused('DependencyViolation', message, hint);
  }
  edit.write('subnets', subnet.id, {
    ...subnet,
    ipv6: undefined,
    assignIpv6AddressOnCreation: false,
  });
  return { ok: true, value: { subnet, removed } };
}

/** A subnet that is there. @returns AWS's refusal otherwise */
export function findSubnet(edit: Edit, id: SubnetId): Checked<EstateSubnet> {
  const subnet = edit.read('subnets', id);
  if (subnet !== undefined) return { ok: true, value: subnet };
  return refused('InvalidSubnetID.NotFound', `The subnet ID '${id}' does not exist`);
}

/** How many IPv4 addresses of a subnet are free. */
export function countFree(estate: Estate, { id, cidr }: EstateSubnet): number {
  const used = estate
    .interfacesOfSubnet(id)
    .flatMap(({ addresses }) => addresses.filter(({ family }) => family === 4));
  return sizeOf(cidr) - RESERVED_FIRST - RESERVED_LAST - used.length;
}

/** A part of a VPC's blocks that no other subnet has. */
function readPart(edit: Edit, vpc: EstateVpc, text: string, family: 4 | 6): Checked<Cidr> {
  // Two subnets that are made at once could overlap: one of the two calls is made again.
  edit.use(vpc.id);
  const neighbours = edit
    .list('subnets')
    .filter(({ vpcId }) => vpcId === vpc.id)
    .flatMap(({ cidr: ipv4, ipv6 }) => (family === 4 ? ipv4 : (ipv6?.cidr ?? [])));
  const blocks = vpc.blocks.map(({ cidr: block }) => block);
  const parsed = parseCidr(text, 'mask');
  if (!parsed.ok || parsed.value.family !== family) {
    const message = `Value (${text}) for parameter cidrBlock is invalid. This is not a valid CIDR block.`;
    return refused('InvalidParameterValue', message);
  }
  const cidr = parsed.value;
  const [min, max] = family === 4 ? [LENGTHS.min, LENGTHS.max] : [IPV6_LENGTH, IPV6_LENGTH];
  const isInside = blocks.some((block) => block.family === family && isWithin(cidr, block));
  if (cidr.length < min || cidr.length > max || !isInside) {
    const hint = isInside
      ? `a subnet has a block from /${min} to /${max}`
      : `blocks of the VPC: ${blocks.map(formatCidr).join(', ')}`;
    return refused('InvalidSubnet.Range', `The CIDR '${text}' is invalid.`, hint);
  }
  const other = neighbours.find((one) => overlaps(one, cidr));
  if (other === undefined) return { ok: true, value: cidr };
  const message = `The CIDR '${text}' conflicts with another subnet`;
  return refused('InvalidSubnet.Conflict', message, `the other one has ${formatCidr(other)}`);
}
