/**
 * This file turns the parameters of rule calls into what the estate takes: IpPermissions, and the older single ones.
 */
import type { Estate } from '../../estate/estate.ts';
import type { VpcId } from '../../policy/model.ts';
import type { PeerText, PermissionText, RuleText } from '../../policy/permissions.ts';
import type { Tag } from '../../policy/tags.ts';
import { ApiError } from '../action.ts';
import { shown } from '../form.ts';

export interface UserIdGroupPair {
  readonly GroupId?: string;
  readonly GroupName?: string;
  readonly UserId?: string;
  readonly Description?: string;
}

export interface IpPermission {
  readonly IpProtocol?: string;
  readonly FromPort?: number;
  readonly ToPort?: number;
  readonly IpRanges?: readonly { readonly CidrIp?: string; readonly Description?: string }[];
  readonly Ipv6Ranges?: readonly { readonly CidrIpv6?: string; readonly Description?: string }[];
  readonly PrefixListIds?: readonly {
    readonly PrefixListId?: string;
    readonly Description?: string;
  }[];
  readonly UserIdGroupPairs?: readonly UserIdGroupPair[];
}

/** Parameters that say what rules a call is about. */
export interface RuleParams {
  readonly IpPermissions?: readonly IpPermission[];
  readonly IpProtocol?: string;
  readonly FromPort?: number;
  readonly ToPort?: number;
  readonly CidrIp?: string;
  readonly SourceSecurityGroupName?: string;
  readonly SourceSecurityGroupOwnerId?: string;
}

export interface SecurityGroupRuleRequest {
  readonly IpProtocol?: string;
  readonly FromPort?: number;
  readonly ToPort?: number;
  readonly CidrIpv4?: string;
  readonly CidrIpv6?: string;
  readonly PrefixListId?: string;
  readonly ReferencedGroupId?: string;
  readonly Description?: string;
}

export interface TagSpecification {
  readonly ResourceType?: string;
  readonly Tags?: readonly { readonly Key?: string; readonly Value?: string }[];
}

/** Where names of groups are looked up. */
export interface NameContext {
  readonly estate: Estate;
  readonly vpcId: VpcId;
  readonly accountId: string;
}

/** @throws ApiError for what can't be turned into a rule at all */
export function permissionTexts(
  params: RuleParams,
  context: NameContext,
): readonly PermissionText[] {
  const { IpPermissions: permissions = [], CidrIp: cidr } = params;
  const { SourceSecurityGroupName: source, SourceSecurityGroupOwnerId: owner } = params;
  const isSingle = cidr !== undefined || source !== undefined || params.IpProtocol !== undefined;
  if (!isSingle) return permissions.map((one) => permissionText(one, context));
  if (permissions.length > 0) {
    const message =
      'The parameter IpPermissions may not be used in combination with IpProtocol, CidrIp or SourceSecurityGroupName';
    throw new ApiError('InvalidParameterCombination', message);
  }
  const pair =
    source === undefined
      ? undefined
      : { GroupName: source, ...(owner === undefined ? {} : { UserId: owner }) };
  const one: IpPermission = {
    // A group alone stands for all traffic from it.
    ...(params.IpProtocol === undefined ? { IpProtocol: '-1' } : { IpProtocol: params.IpProtocol }),
    ...(params.FromPort === undefined ? {} : { FromPort: params.FromPort }),
    ...(params.ToPort === undefined ? {} : { ToPort: params.ToPort }),
    ...(cidr === undefined ? {} : { IpRanges: [{ CidrIp: cidr }] }),
    ...(pair === undefined ? {} : { UserIdGroupPairs: [pair] }),
  };
  return [permissionText(one, context)];
}

function permissionText(
  { IpProtocol, FromPort, ToPort, IpRanges, Ipv6Ranges, PrefixListIds, ...rest }: IpPermission,
  context: NameContext,
): PermissionText {
  const peers: readonly PeerText[] = [
    ...(IpRanges ?? []).map(({ CidrIp: text = '', Description: description }) => ({
      kind: 'cidrIpv4' as const,
      text,
      description,
    })),
    ...(Ipv6Ranges ?? []).map(({ CidrIpv6: text = '', Description: description }) => ({
      kind: 'cidrIpv6' as const,
      text,
      description,
    })),
    ...(PrefixListIds ?? []).map(({ PrefixListId: text = '', Description: description }) => ({
      kind: 'prefixList' as const,
      text,
      description,
    })),
    ...(rest.UserIdGroupPairs ?? []).map((pair) => ({
      kind: 'group' as const,
      text: groupIdOf(pair, context),
      description: pair.Description,
    })),
  ];
  return { protocol: IpProtocol, fromPort: FromPort, toPort: ToPort, peers };
}

function groupIdOf(
  { GroupId: id, GroupName: name, UserId: owner }: UserIdGroupPair,
  { estate, vpcId, accountId }: NameContext,
): string {
  if (owner !== undefined && owner !== accountId) {
    const message = `The security group '${shown(id ?? name ?? '')}' of account ${shown(owner)} does not exist: this endpoint has the account ${accountId} only`;
    throw new ApiError('InvalidGroup.NotFound', message);
  }
  if (id !== undefined) return id;
  if (name === undefined)
    throw new ApiError('MissingParameter', 'The request must contain the parameter GroupId');
  const found = estate.groupByName(vpcId, name);
  if (found !== undefined) return found.group.id;
  const message = `The security group '${shown(name)}' does not exist in the VPC '${vpcId}'`;
  throw new ApiError('InvalidGroup.NotFound', message);
}

export function ruleText(one: SecurityGroupRuleRequest): RuleText {
  return {
    protocol: one.IpProtocol,
    fromPort: one.FromPort,
    toPort: one.ToPort,
    cidrIpv4: one.CidrIpv4,
    cidrIpv6: one.CidrIpv6,
    prefixListId: one.PrefixListId,
    referencedGroupId: one.ReferencedGroupId,
    description: one.Description,
  };
}

/**
 * The tags that a call gives to what it makes.
 * @throws ApiError if a specification is for another type of resource
 */
export function tagsOf(
  specifications: readonly TagSpecification[] | undefined,
  type: string,
): readonly Tag[] {
  return (specifications ?? []).flatMap(({ ResourceType: given, Tags: tags = [] }) => {
    if (given !== type) {
      const message = `'${shown(given ?? '')}' is not a valid taggable resource type for this operation.`;
      throw new ApiError('InvalidParameterValue', message);
    }
    return tags.map(({ Key: key = '', Value: value = '' }) => ({ key, value }));
  });
}
