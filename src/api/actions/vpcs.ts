/** Actions on VPCs: create, delete, modify, their blocks, describe, and what is derived from each. */
import { formatCidr } from '../../addr/address.ts';
import { Edit } from '../../estate/edit.ts';
import type { EstateVpc, VpcBlock } from '../../estate/model.ts';
import {
  associateBlock,
  createDefaultVpc,
  createVpc,
  deleteVpc,
  derivedIds,
  disassociateBlock,
  findVpc,
  modifyVpcAttributes,
  primaryBlock,
} from '../../estate/vpcs.ts';
import { ApiError, dryRunSucceeded, type Action } from '../action.ts';
import type { FilterFields } from '../filters.ts';
import { shown } from '../form.ts';
import { checked, managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { zonesOf } from '../zones.ts';
import { describe, refuseUnserved, required, type DescribeParams } from './describe.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';
import { blockOutput, ipv6BlockOutput, ofFamily, vpcOutput } from './vpc-output.ts';

interface VpcParams extends DryRunParams {
  readonly VpcId?: string;
}

interface CreateParams extends DryRunParams {
  readonly CidrBlock?: string;
  readonly AmazonProvidedIpv6CidrBlock?: boolean;
  readonly InstanceTenancy?: string;
  readonly TagSpecifications?: readonly TagSpecification[];
}

interface AssociateParams extends DryRunParams {
  readonly VpcId?: string;
  readonly CidrBlock?: string;
  readonly AmazonProvidedIpv6CidrBlock?: boolean;
}

interface Flag {
  readonly Value?: boolean;
}

interface ModifyParams extends DryRunParams {
  readonly VpcId?: string;
  readonly EnableDnsHostnames?: Flag;
  readonly EnableDnsSupport?: Flag;
  readonly EnableNetworkAddressUsageMetrics?: Flag;
}

interface DescribeVpcsParams extends DescribeParams {
  readonly VpcIds?: readonly string[];
}

/** Address managers and pools of one's own: there are none here. */
const UNSERVED = [
  'Ipv6Pool',
  'Ipv6CidrBlock',
  'Ipv4IpamPoolId',
  'Ipv4NetmaskLength',
  'Ipv6IpamPoolId',
  'Ipv6NetmaskLength',
  'VpcEncryptionControl',
];

export function vpcActions(managed: Managed): readonly Action[] {
  return [...changes(managed), ...blockChanges(managed), ...reads(managed)];
}

function changes(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateVpc', 'write', async (my, params) => {
      refuseUnserved(params, UNSERVED);
      const { InstanceTenancy: tenancy = 'default' } = params;
      if (tenancy !== 'default') {
        const message = `Value (${shown(tenancy)}) for parameter instanceTenancy is not served here: it is 'default'`;
        throw new ApiError('InvalidParameterValue', message);
      }
      const given = {
        cidr: params.CidrBlock,
        ipv6: params.AmazonProvidedIpv6CidrBlock === true ? ('given' as const) : ('none' as const),
        tags: tagsOf(params.TagSpecifications, 'vpc'),
      };
      const { value, revision } = await my.change(params, (edit) =>
        createVpc(edit, given, my.context),
      );
      return { output: { Vpc: vpcOutput(value, my) }, revision };
    }),
    managedAction<DryRunParams>(managed, 'CreateDefaultVpc', 'write', async (my, params) => {
      const zones = zonesOf(my.region).map(({ name }) => name);
      const { value, revision } = await my.change(params, (edit) =>
        createDefaultVpc(edit, zones, my.context),
      );
      return { output: { Vpc: vpcOutput(value, my) }, revision };
    }),
    managedAction<VpcParams>(managed, 'DeleteVpc', 'write', async (my, params) => {
      const id = required(params.VpcId, 'VpcId');
      const { revision } = await my.change(params, (edit) => deleteVpc(edit, id));
      return { output: {}, revision };
    }),
    managedAction<ModifyParams>(managed, 'ModifyVpcAttribute', 'write', async (my, params) => {
      const id = required(params.VpcId, 'VpcId');
      const given = Object.entries({
        enableDnsHostnames: params.EnableDnsHostnames?.Value,
        enableDnsSupport: params.EnableDnsSupport?.Value,
        enableNetworkAddressUsageMetrics: params.EnableNetworkAddressUsageMetrics?.Value,
      }).filter(([, value]) => value !== undefined);
      const { revision } = await my.change(params, (edit) =>
        modifyVpcAttributes(edit, id, Object.fromEntries(given)),
      );
      return { output: {}, revision };
    }),
  ];
}

function blockChanges(managed: Managed): readonly Action[] {
  return [
    managedAction<AssociateParams>(
      managed,
      'AssociateVpcCidrBlock',
      'write',
      async (my, params) => {
        refuseUnserved(params, UNSERVED);
        const id = required(params.VpcId, 'VpcId');
        const block =
          params.AmazonProvidedIpv6CidrBlock === true
            ? ('ipv6' as const)
            : { cidr: required(params.CidrBlock, 'CidrBlock') };
        const { value, revision } = await my.change(params, (edit) =>
          associateBlock(edit, id, block, my.context),
        );
        return { output: { VpcId: id, ...changedBlock(value.added, my) }, revision };
      },
    ),
    managedAction<DryRunParams & { readonly AssociationId?: string }>(
      managed,
      'DisassociateVpcCidrBlock',
      'write',
      async (my, params) => {
        const id = required(params.AssociationId, 'AssociationId');
        const { value, revision } = await my.change(params, (edit) => disassociateBlock(edit, id));
        const output = { VpcId: value.vpc.id, ...changedBlock(value.removed, my) };
        return { output, revision };
      },
    ),
  ];
}

function changedBlock(block: VpcBlock, { region }: Managed): object {
  return block.cidr.family === 4
    ? { CidrBlockAssociation: blockOutput(block) }
    : { Ipv6CidrBlockAssociation: ipv6BlockOutput(block, region) };
}

/** The attributes by the names that DescribeVpcAttribute takes, and those that it answers with. */
const ATTRIBUTES = {
  enableDnsHostnames: 'EnableDnsHostnames',
  enableDnsSupport: 'EnableDnsSupport',
  enableNetworkAddressUsageMetrics: 'EnableNetworkAddressUsageMetrics',
} as const;

function reads(managed: Managed): readonly Action[] {
  return [
    managedAction<DescribeVpcsParams>(managed, 'DescribeVpcs', 'read', async (my, params) => {
      const { items, NextToken } = describe<EstateVpc>(my, params, {
        ids: ['vpcIds', params.VpcIds],
        all: () => my.estate.list('vpcs'),
        find: findVpc,
        idOf: ({ id }) => id,
        tagsOf: ({ tags }) => tags,
        fields: vpcFields(my.accountId),
      });
      return { output: { Vpcs: items.map((vpc) => vpcOutput(vpc, my)), NextToken } };
    }),
    managedAction<VpcParams & { readonly Attribute?: string }>(
      managed,
      'DescribeVpcAttribute',
      'read',
      async (my, params) => {
        const attribute = required(params.Attribute, 'Attribute');
        const id = required(params.VpcId, 'VpcId');
        if (!Object.hasOwn(ATTRIBUTES, attribute)) {
          const message = `Value (${shown(attribute)}) for parameter attribute is invalid. Unknown attribute.`;
          throw new ApiError('InvalidParameterValue', message);
        }
        const name = attribute as keyof typeof ATTRIBUTES;
        const vpc = checked(findVpc(new Edit(my.estate), id));
        if (params.DryRun === true) throw dryRunSucceeded();
        return { output: { VpcId: id, [ATTRIBUTES[name]]: { Value: vpc[name] } } };
      },
    ),
  ];
}

/** Source: EC2 API Reference, DescribeVpcs, Filter.N. */
function vpcFields(accountId: string): FilterFields<EstateVpc> {
  const blocks =
    (family: 4 | 6, text: (block: VpcBlock) => string) =>
    (vpc: EstateVpc): readonly string[] =>
      ofFamily(vpc.blocks, family).map(text);
  const associationId = (block: VpcBlock): string => block.associationId;
  const cidr = (block: VpcBlock): string => formatCidr(block.cidr);
  const primary = (vpc: EstateVpc): readonly string[] => {
    const block = primaryBlock(vpc);
    return block === undefined ? [] : [cidr(block)];
  };
  const state = (): string => 'associated';
  return {
    'vpc-id': ({ id }) => [id],
    'owner-id': () => [accountId],
    state: () => ['available'],
    'is-default': ({ isDefault }) => [String(isDefault)],
    // Older clients say isDefault.
    isDefault: ({ isDefault }) => [String(isDefault)],
    cidr: primary,
    'cidr-block': primary,
    'cidr-block-association.association-id': blocks(4, associationId),
    'cidr-block-association.cidr-block': blocks(4, cidr),
    'cidr-block-association.state': blocks(4, state),
    'ipv6-cidr-block-association.association-id': blocks(6, associationId),
    'ipv6-cidr-block-association.ipv6-cidr-block': blocks(6, cidr),
    'ipv6-cidr-block-association.ipv6-pool': blocks(6, () => 'Amazon'),
    'ipv6-cidr-block-association.state': blocks(6, state),
    'dhcp-options-id': ({ id }) => [derivedIds(id).dhcpOptions],
  };
}
