/** Actions on what each VPC has without anybody having made it: DescribeRouteTables and DescribeNetworkAcls. */
import type { EstateSubnet, EstateVpc } from '../../estate/model.ts';
import { derivedIds } from '../../estate/vpcs.ts';
import { refused } from '../../estate/calls.ts';
import type { RefusalCode } from '../../policy/refusals.ts';
import type { Action } from '../action.ts';
import type { FilterFields } from '../filters.ts';
import { shown } from '../form.ts';
import { managedAction, type Managed } from '../managed.ts';
import type { Page } from '../page.ts';
import { describe, type DescribeParams } from './describe.ts';
import {
  aclAssociationId,
  mainAssociationId,
  networkAclOutput,
  routeTableOutput,
} from './vpc-output.ts';

interface RouteTablesParams extends DescribeParams {
  readonly RouteTableIds?: readonly string[];
}

interface NetworkAclsParams extends DescribeParams {
  readonly NetworkAclIds?: readonly string[];
}

export function vpcPartActions(managed: Managed): readonly Action[] {
  return [
    managedAction<RouteTablesParams>(managed, 'DescribeRouteTables', 'read', async (my, params) => {
      const { items, NextToken } = describeParts(my, params, {
        ids: ['routeTableIds', params.RouteTableIds],
        idOf: ({ id }) => derivedIds(id).routeTable,
        code: 'InvalidRouteTableID.NotFound',
        what: 'routeTable',
        fields: {
          'route-table-id': ({ id }) => [derivedIds(id).routeTable],
          'association.main': () => ['true'],
          'association.route-table-id': ({ id }) => [derivedIds(id).routeTable],
          'association.route-table-association-id': ({ id }) => [mainAssociationId(id)],
          // No subnet has a table of its own: all go by the main one.
          'association.subnet-id': () => [],
          'association.gateway-id': () => [],
        },
      });
      return { output: { RouteTables: items.map((vpc) => routeTableOutput(vpc, my)), NextToken } };
    }),
    managedAction<NetworkAclsParams>(managed, 'DescribeNetworkAcls', 'read', async (my, params) => {
      const subnetIds = (vpc: EstateVpc): readonly string[] =>
        subnetsOf(my, vpc).map(({ id }) => id);
      const { items, NextToken } = describeParts(my, params, {
        ids: ['networkAclIds', params.NetworkAclIds],
        idOf: ({ id }) => derivedIds(id).networkAcl,
        code: 'InvalidNetworkAclID.NotFound',
        what: 'networkAcl',
        fields: {
          'network-acl-id': ({ id }) => [derivedIds(id).networkAcl],
          default: () => ['true'],
          'association.network-acl-id': ({ id }) => [derivedIds(id).networkAcl],
          'association.association-id': (vpc) => subnetIds(vpc).map(aclAssociationId),
          'association.subnet-id': subnetIds,
        },
      });
      const NetworkAcls = items.map((vpc) => networkAclOutput(vpc, subnetsOf(my, vpc), my));
      return { output: { NetworkAcls, NextToken } };
    }),
  ];
}

interface Part {
  readonly ids: readonly [parameter: string, ids: readonly string[] | undefined];
  readonly idOf: (vpc: EstateVpc) => string;
  readonly code: RefusalCode;
  /** As AWS calls it in its sentence. */
  readonly what: string;
  readonly fields: FilterFields<EstateVpc>;
}

/** What is derived from VPCs, as the VPCs that it is derived from. */
function describeParts(
  managed: Managed,
  params: DescribeParams,
  { ids, idOf, code, what, fields }: Part,
): Page<EstateVpc> {
  const vpcs = managed.estate.list('vpcs');
  return describe<EstateVpc>(managed, params, {
    ids,
    all: () => vpcs,
    find: (_, id) => {
      const vpc = vpcs.find((one) => idOf(one) === id);
      return vpc === undefined
        ? refused(code, `The ${what} ID '${shown(id)}' does not exist`)
        : { ok: true, value: vpc };
    },
    idOf,
    tagsOf: () => [],
    fields: {
      'vpc-id': ({ id }) => [id],
      'owner-id': () => [managed.accountId],
      ...fields,
    },
  });
}

function subnetsOf({ estate }: Managed, { id }: EstateVpc): readonly EstateSubnet[] {
  return estate.list('subnets').filter(({ vpcId }) => vpcId === id);
}
