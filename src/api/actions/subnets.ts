/** Actions on subnets: create, delete, modify, their IPv6 blocks, describe. */
import { formatCidr } from '../../addr/address.ts';
import type { EstateSubnet, VpcBlock } from '../../estate/model.ts';
import {
  associateSubnetBlock,
  countFree,
  createSubnet,
  deleteSubnet,
  disassociateSubnetBlock,
  findSubnet,
  modifySubnetAttributes,
} from '../../estate/subnets.ts';
import { ApiError, type Action } from '../action.ts';
import type { FilterFields } from '../filters.ts';
import { shown } from '../form.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { zonesOf } from '../zones.ts';
import { describe, refuseUnserved, required, type DescribeParams } from './describe.ts';
import { arnOf, tagOutput } from './group-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface CreateParams extends DryRunParams {
  readonly VpcId?: string;
  readonly CidrBlock?: string;
  readonly Ipv6CidrBlock?: string;
  readonly AvailabilityZone?: string;
  readonly AvailabilityZoneId?: string;
  readonly TagSpecifications?: readonly TagSpecification[];
}

interface SubnetParams extends DryRunParams {
  readonly SubnetId?: string;
}

interface Flag {
  readonly Value?: boolean;
}

interface ModifyParams extends SubnetParams {
  readonly AssignIpv6AddressOnCreation?: Flag;
  readonly MapPublicIpOnLaunch?: Flag;
  readonly PrivateDnsHostnameTypeOnLaunch?: string;
}

interface DescribeSubnetsParams extends DescribeParams {
  readonly SubnetIds?: readonly string[];
}

/** Attributes that mean nothing here: they may be set to what they are. */
const FALSE_ATTRIBUTES = [
  'MapCustomerOwnedIpOnLaunch',
  'EnableDns64',
  'EnableResourceNameDnsARecordOnLaunch',
  'EnableResourceNameDnsAAAARecordOnLaunch',
];
const HOSTNAME_TYPE = 'ip-name';

const IPAM = ['Ipv4IpamPoolId', 'Ipv4NetmaskLength', 'Ipv6IpamPoolId', 'Ipv6NetmaskLength'];

export function subnetActions(managed: Managed): readonly Action[] {
  return [...changes(managed), ...blockChanges(managed), describeSubnets(managed)];
}

function changes(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateSubnet', 'write', async (my, params) => {
      refuseUnserved(params, ['OutpostArn', 'Ipv6Native', ...IPAM]);
      const given = {
        vpcId: required(params.VpcId, 'VpcId'),
        cidr: params.CidrBlock,
        ipv6Cidr: params.Ipv6CidrBlock,
        zone: zoneAsked(my, params),
        tags: tagsOf(params.TagSpecifications, 'subnet'),
      };
      const zones = zonesOf(my.region).map(({ name }) => name);
      const { value, revision } = await my.change(params, (edit) =>
        createSubnet(edit, given, zones, my.context),
      );
      return { output: { Subnet: subnetOutput(value, my) }, revision };
    }),
    managedAction<SubnetParams>(managed, 'DeleteSubnet', 'write', async (my, params) => {
      const id = required(params.SubnetId, 'SubnetId');
      const { revision } = await my.change(params, (edit) => deleteSubnet(edit, id));
      return { output: {}, revision };
    }),
    managedAction<ModifyParams>(managed, 'ModifySubnetAttribute', 'write', async (my, params) => {
      const id = required(params.SubnetId, 'SubnetId');
      const flags = params as Readonly<Record<string, Flag | undefined>>;
      for (const name of FALSE_ATTRIBUTES) refuseUnserved({ [name]: flags[name]?.Value }, [name]);
      refuseUnserved(params, ['CustomerOwnedIpv4Pool', 'EnableLniAtDeviceIndex']);
      if ((params.PrivateDnsHostnameTypeOnLaunch ?? HOSTNAME_TYPE) !== HOSTNAME_TYPE)
        refuseUnserved(params, ['PrivateDnsHostnameTypeOnLaunch']);
      const given = Object.entries({
        assignIpv6AddressOnCreation: params.AssignIpv6AddressOnCreation?.Value,
        mapPublicIpOnLaunch: params.MapPublicIpOnLaunch?.Value,
      }).filter(([, value]) => value !== undefined);
      const { revision } = await my.change(params, (edit) =>
        modifySubnetAttributes(edit, id, Object.fromEntries(given)),
      );
      return { output: {}, revision };
    }),
  ];
}

function blockChanges(managed: Managed): readonly Action[] {
  return [
    managedAction<SubnetParams & { readonly Ipv6CidrBlock?: string }>(
      managed,
      'AssociateSubnetCidrBlock',
      'write',
      async (my, params) => {
        refuseUnserved(params, IPAM);
        const id = required(params.SubnetId, 'SubnetId');
        const text = required(params.Ipv6CidrBlock, 'Ipv6CidrBlock');
        const { value, revision } = await my.change(params, (edit) =>
          associateSubnetBlock(edit, id, text, my.context),
        );
        return { output: { SubnetId: id, Ipv6CidrBlockAssociation: ipv6Output(value) }, revision };
      },
    ),
    managedAction<DryRunParams & { readonly AssociationId?: string }>(
      managed,
      'DisassociateSubnetCidrBlock',
      'write',
      async (my, params) => {
        const id = required(params.AssociationId, 'AssociationId');
        const { value, revision } = await my.change(params, (edit) =>
          disassociateSubnetBlock(edit, id),
        );
        const output = {
          SubnetId: value.subnet.id,
          Ipv6CidrBlockAssociation: ipv6Output(value.removed),
        };
        return { output, revision };
      },
    ),
  ];
}

function describeSubnets(managed: Managed): Action {
  return managedAction<DescribeSubnetsParams>(
    managed,
    'DescribeSubnets',
    'read',
    async (my, params) => {
      const { items, NextToken } = describe<EstateSubnet>(my, params, {
        ids: ['subnetIds', params.SubnetIds],
        all: () => my.estate.list('subnets'),
        find: findSubnet,
        idOf: ({ id }) => id,
        tagsOf: ({ tags }) => tags,
        fields: subnetFields(my),
      });
      return { output: { Subnets: items.map((subnet) => subnetOutput(subnet, my)), NextToken } };
    },
  );
}

/** @throws ApiError for a zone id that is not there, or both of name and id */
function zoneAsked(
  { region }: Managed,
  { AvailabilityZone: name, AvailabilityZoneId: id }: CreateParams,
): string | undefined {
  if (id === undefined) return name;
  if (name !== undefined) {
    const message = 'The parameter AvailabilityZoneId may not be used with AvailabilityZone';
    throw new ApiError('InvalidParameterCombination', message);
  }
  const zone = zonesOf(region).find((one) => one.id === id);
  if (zone !== undefined) return zone.name;
  throw new ApiError('InvalidParameterValue', `Invalid availability zone: [${shown(id)}]`);
}

export function zoneIdOf(region: string, name: string): string | undefined {
  return zonesOf(region).find((zone) => zone.name === name)?.id;
}

function subnetOutput(subnet: EstateSubnet, managed: Managed): object {
  const { id, vpcId, cidr, ipv6, zone, tags } = subnet;
  return {
    SubnetId: id,
    SubnetArn: arnOf(managed, 'subnet', id),
    OwnerId: managed.accountId,
    VpcId: vpcId,
    State: 'available',
    CidrBlock: formatCidr(cidr),
    Ipv6CidrBlockAssociationSet: ipv6 === undefined ? [] : [ipv6Output(ipv6)],
    AvailableIpAddressCount: countFree(managed.estate, subnet),
    AvailabilityZone: zone,
    AvailabilityZoneId: zoneIdOf(managed.region, zone),
    DefaultForAz: subnet.isDefault,
    MapPublicIpOnLaunch: subnet.mapPublicIpOnLaunch,
    MapCustomerOwnedIpOnLaunch: false,
    AssignIpv6AddressOnCreation: subnet.assignIpv6AddressOnCreation,
    EnableDns64: false,
    Ipv6Native: false,
    PrivateDnsNameOptionsOnLaunch: {
      HostnameType: HOSTNAME_TYPE,
      EnableResourceNameDnsARecord: false,
      EnableResourceNameDnsAAAARecord: false,
    },
    Tags: tagOutput(tags),
  };
}

function ipv6Output({ associationId, cidr }: VpcBlock): object {
  return {
    AssociationId: associationId,
    Ipv6CidrBlock: formatCidr(cidr),
    Ipv6CidrBlockState: { State: 'associated' },
  };
}

/** Source: EC2 API Reference, DescribeSubnets, Filter.N. */
function subnetFields(managed: Managed): FilterFields<EstateSubnet> {
  const cidr = ({ cidr: block }: EstateSubnet): readonly string[] => [formatCidr(block)];
  const zone = (subnet: EstateSubnet): readonly string[] => [subnet.zone];
  const isDefault = (subnet: EstateSubnet): readonly string[] => [String(subnet.isDefault)];
  const ipv6 =
    (text: (block: VpcBlock) => string) =>
    (subnet: EstateSubnet): readonly string[] =>
      subnet.ipv6 === undefined ? [] : [text(subnet.ipv6)];
  return {
    'subnet-id': ({ id }) => [id],
    'subnet-arn': ({ id }) => [arnOf(managed, 'subnet', id)],
    'vpc-id': ({ vpcId }) => [vpcId],
    'owner-id': () => [managed.accountId],
    state: () => ['available'],
    'cidr-block': cidr,
    cidr,
    cidrBlock: cidr,
    'availability-zone': zone,
    availabilityZone: zone,
    'availability-zone-id': (subnet) => [zoneIdOf(managed.region, subnet.zone) ?? ''],
    'available-ip-address-count': (subnet) => [String(countFree(managed.estate, subnet))],
    'default-for-az': isDefault,
    defaultForAz: isDefault,
    'map-public-ip-on-launch': ({ mapPublicIpOnLaunch }) => [String(mapPublicIpOnLaunch)],
    'ipv6-native': () => ['false'],
    'enable-dns64': () => ['false'],
    'ipv6-cidr-block-association.association-id': ipv6((block) => block.associationId),
    'ipv6-cidr-block-association.ipv6-cidr-block': ipv6((block) => formatCidr(block.cidr)),
    'ipv6-cidr-block-association.state': ipv6(() => 'associated'),
  };
}
