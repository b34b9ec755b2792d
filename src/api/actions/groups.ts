/** Actions on security groups: create, delete, describe. */
import { createEstateGroup, deleteEstateGroup } from '../../estate/groups.ts';
import type { EstateGroup } from '../../estate/model.ts';
import { formatCidr } from '../../addr/address.ts';
import { isId } from '../../policy/ids.ts';
import type { Rule } from '../../policy/model.ts';
import { malformedIdText, unknownGroupText } from '../../policy/permissions.ts';
import { ApiError, type Action } from '../action.ts';
import type { FilterFields } from '../filters.ts';
import { shown } from '../form.ts';
import { managedAction, type DryRunParams, type Managed } from '../managed.ts';
import { pageOfMatching, type DescribeParams } from './describe.ts';
import { arnOf, awsProtocol, groupOutput, tagOutput } from './group-output.ts';
import { tagsOf, type TagSpecification } from './rule-params.ts';

interface CreateParams extends DryRunParams {
  readonly GroupName?: string;
  readonly Description?: string;
  readonly VpcId?: string;
  readonly TagSpecifications?: readonly TagSpecification[];
}

/** How a call names a group: by its id, or by its name in the default VPC. */
export interface GroupParams {
  readonly GroupId?: string;
  readonly GroupName?: string;
}

interface DescribeGroupsParams extends DescribeParams {
  readonly GroupIds?: readonly string[];
  readonly GroupNames?: readonly string[];
}

export function groupActions(managed: Managed): readonly Action[] {
  return [
    managedAction<CreateParams>(managed, 'CreateSecurityGroup', 'write', async (my, params) => {
      const { value, revision } = await my.change(params, (edit) =>
        createEstateGroup(
          edit,
          {
            vpcId: params.VpcId,
            name: params.GroupName,
            description: params.Description,
            tags: tagsOf(params.TagSpecifications, 'security-group'),
          },
          my.context,
        ),
      );
      const { group, tags } = value;
      const output = {
        GroupId: group.id,
        SecurityGroupArn: arnOf(my, 'security-group', group.id),
        Tags: tagOutput(tags),
      };
      return { output, revision };
    }),
    managedAction<GroupParams & DryRunParams>(
      managed,
      'DeleteSecurityGroup',
      'write',
      async (my, params) => {
        const id = groupIdOf(my, params);
        const { revision } = await my.change(params, (edit) => deleteEstateGroup(edit, id));
        return { output: { Return: true, GroupId: id }, revision };
      },
    ),
    managedAction<DescribeGroupsParams>(
      managed,
      'DescribeSecurityGroups',
      'read',
      async (my, params) => {
        const { items, NextToken } = pageOfMatching(groupsAsked(my, params), params, {
          idOf: ({ group }) => group.id,
          tagsOf: ({ tags }) => tags,
          fields: filterFields(my.accountId),
        });
        const output = { SecurityGroups: items.map((one) => groupOutput(one, my)), NextToken };
        return { output };
      },
    ),
  ];
}

/** @throws ApiError if none is named, or the name is nobody's */
export function groupIdOf(
  { estate }: Pick<Managed, 'estate'>,
  { GroupId: id, GroupName: name }: GroupParams,
): string {
  if (id !== undefined) return id;
  if (name === undefined) {
    const message = 'The request must contain the parameter groupName or groupId';
    throw new ApiError('MissingParameter', message);
  }
  const vpc = estate.defaultVpc();
  const found = vpc === undefined ? undefined : estate.groupByName(vpc.id, name);
  if (found !== undefined) return found.group.id;
  const message = `The security group '${shown(name)}' does not exist in default VPC '${vpc?.id}'`;
  throw new ApiError('InvalidGroup.NotFound', message);
}

/** Those of the ids and names, or all. */
function groupsAsked({ estate }: Managed, params: DescribeGroupsParams): readonly EstateGroup[] {
  const { GroupIds: ids, GroupNames: names } = params;
  if (ids !== undefined && params.MaxResults !== undefined) {
    const message = 'The parameter groupIds cannot be used with the parameter maxResults';
    throw new ApiError('InvalidParameterCombination', message);
  }
  for (const id of ids ?? []) {
    if (estate.group(id) !== undefined) continue;
    throw isId('sg', id)
      ? new ApiError('InvalidGroup.NotFound', unknownGroupText(id))
      : new ApiError('InvalidGroupId.Malformed', malformedIdText('sg', shown(id)));
  }
  const named = (names ?? []).map((name) => groupIdOf({ estate }, { GroupName: name }));
  return ids === undefined && names === undefined
    ? estate.list('groups')
    : [...new Set([...(ids ?? []), ...named])].map((id) => estate.group(id)!);
}

function filterFields(accountId: string): FilterFields<EstateGroup> {
  return {
    'group-id': ({ group }) => [group.id],
    'group-name': ({ group }) => [group.name],
    description: ({ group }) => [group.description],
    'vpc-id': ({ group }) => [group.vpc.id],
    'owner-id': () => [accountId],
    ...ruleFields('ip-permission.', ({ group }) => group.ingress, accountId),
    ...ruleFields('egress.ip-permission.', ({ group }) => group.egress, accountId),
  };
}

function ruleFields(
  prefix: string,
  rulesOf: (one: EstateGroup) => readonly Rule[],
  accountId: string,
): FilterFields<EstateGroup> {
  const field =
    (valueOf: (rule: Rule) => string | undefined) =>
    (one: EstateGroup): readonly string[] =>
      rulesOf(one).flatMap((rule) => valueOf(rule) ?? []);
  return {
    [`${prefix}cidr`]: field(({ peer }) =>
      peer.kind === 'cidr' && peer.cidr.family === 4 ? formatCidr(peer.cidr) : undefined,
    ),
    [`${prefix}ipv6-cidr`]: field(({ peer }) =>
      peer.kind === 'cidr' && peer.cidr.family === 6 ? formatCidr(peer.cidr) : undefined,
    ),
    [`${prefix}from-port`]: field(({ fromPort }) => String(fromPort)),
    [`${prefix}to-port`]: field(({ toPort }) => String(toPort)),
    [`${prefix}protocol`]: field(({ protocol }) => awsProtocol(protocol)),
    [`${prefix}group-id`]: field(({ peer }) => (peer.kind === 'group' ? peer.groupId : undefined)),
    [`${prefix}user-id`]: field(({ peer }) => (peer.kind === 'group' ? accountId : undefined)),
    [`${prefix}prefix-list-id`]: field(({ peer }) =>
      peer.kind === 'prefixList' ? peer.prefixListId : undefined,
    ),
  };
}
