/**
 * This file shows VPCs as the EC2 API does, with what each has without anybody having made it: the main route table,
 * the default network ACL and a set of DHCP options. All three are derived from the VPC, and nothing can be done with
 * them: packets are forwarded by address, and no network ACL is enforced, so the default one admits everything.
 */
import { formatCidr } from '../../addr/address.ts';
import type { EstateSubnet, EstateVpc, VpcBlock } from '../../estate/model.ts';
import { derivedIds, primaryBlock } from '../../estate/vpcs.ts';
import { tagOutput, type Owner } from './group-output.ts';

const ASSOCIATED = { State: 'associated' };

export function vpcOutput(vpc: EstateVpc, { accountId, region }: Owner): object {
  const { id, blocks, isDefault, tags } = vpc;
  const primary = primaryBlock(vpc);
  return {
    VpcId: id,
    OwnerId: accountId,
    State: 'available',
    CidrBlock: primary === undefined ? undefined : formatCidr(primary.cidr),
    CidrBlockAssociationSet: ofFamily(blocks, 4).map(blockOutput),
    Ipv6CidrBlockAssociationSet: ofFamily(blocks, 6).map((block) => ipv6BlockOutput(block, region)),
    DhcpOptionsId: derivedIds(id).dhcpOptions,
    InstanceTenancy: 'default',
    IsDefault: isDefault,
    Tags: tagOutput(tags),
  };
}

export function blockOutput({ associationId, cidr }: VpcBlock): object {
  return { AssociationId: associationId, CidrBlock: formatCidr(cidr), CidrBlockState: ASSOCIATED };
}

export function ipv6BlockOutput({ associationId, cidr }: VpcBlock, region: string): object {
  return {
    AssociationId: associationId,
    Ipv6CidrBlock: formatCidr(cidr),
    Ipv6CidrBlockState: ASSOCIATED,
    Ipv6Pool: 'Amazon',
    NetworkBorderGroup: region,
  };
}

export function ofFamily(blocks: readonly VpcBlock[], family: 4 | 6): readonly VpcBlock[] {
  return blocks.filter(({ cidr }) => cidr.family === family);
}

export function routeTableOutput({ id, blocks }: EstateVpc, { accountId }: Owner): object {
  const { routeTable } = derivedIds(id);
  const local = { GatewayId: 'local', Origin: 'CreateRouteTable', State: 'active' };
  return {
    RouteTableId: routeTable,
    VpcId: id,
    OwnerId: accountId,
    Associations: [
      {
        Main: true,
        RouteTableId: routeTable,
        RouteTableAssociationId: mainAssociationId(id),
        AssociationState: ASSOCIATED,
      },
    ],
    PropagatingVgws: [],
    Routes: blocks.map(({ cidr }) =>
      cidr.family === 4
        ? { DestinationCidrBlock: formatCidr(cidr), ...local }
        : { DestinationIpv6CidrBlock: formatCidr(cidr), ...local },
    ),
    Tags: [],
  };
}

export function mainAssociationId(vpcId: string): string {
  return derivedIds(vpcId).routeTable.replace('rtb-', 'rtbassoc-');
}

/** Numbers of the rules of a default network ACL, as AWS has them. */
const ALLOW = { 4: 100, 6: 101 } as const;
const DENY = { 4: 32_767, 6: 32_768 } as const;

/** @param subnets those of the VPC */
export function networkAclOutput(
  { id, blocks }: EstateVpc,
  subnets: readonly EstateSubnet[],
  { accountId }: Owner,
): object {
  const { networkAcl } = derivedIds(id);
  const families = ofFamily(blocks, 6).length > 0 ? ([4, 6] as const) : ([4] as const);
  const entry = (Egress: boolean, family: 4 | 6, isAllow: boolean): object => ({
    Egress,
    Protocol: '-1',
    RuleAction: isAllow ? 'allow' : 'deny',
    RuleNumber: (isAllow ? ALLOW : DENY)[family],
    ...(family === 4 ? { CidrBlock: '0.0.0.0/0' } : { Ipv6CidrBlock: '::/0' }),
  });
  return {
    NetworkAclId: networkAcl,
    VpcId: id,
    OwnerId: accountId,
    IsDefault: true,
    Associations: subnets.map(({ id: subnetId }) => ({
      NetworkAclId: networkAcl,
      NetworkAclAssociationId: aclAssociationId(subnetId),
      SubnetId: subnetId,
    })),
    Entries: [true, false].flatMap((isEgress) =>
      families.flatMap((family) => [entry(isEgress, family, true), entry(isEgress, family, false)]),
    ),
    Tags: [],
  };
}

export function aclAssociationId(subnetId: string): string {
  return subnetId.replace('subnet-', 'aclassoc-');
}
