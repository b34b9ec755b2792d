/** Random steps of a model-based test: the calls that they mean, and what a server describes, in the twin's words. */
import fc from 'fast-check';
import {
  isIpv6,
  LIST_ENTRIES_MAX,
  ruleLine,
  type Parameters,
  type Twin,
  type TwinRule,
} from './model-twin.ts';
import type { SdkClient } from './sdk.ts';

const NAMES = ['a', 'b', 'B', 'default'];
const PORTS = [80, 81];

const nth = fc.nat({ max: 5 });
const isEgress = fc.boolean();

interface StepRule {
  readonly protocol: string;
  readonly from: number;
  readonly to: number;
  readonly cidr: string;
  readonly description: string;
}

export interface Step {
  readonly kind: string;
  readonly isEgress?: boolean;
  readonly name?: string;
  readonly group?: number;
  readonly other?: number;
  readonly at?: number;
  readonly value?: string;
  readonly rule?: StepRule;
}

/** @param cidrs blocks of both families. @param kinds those steps alone; all if absent */
export function steps(cidrs: readonly string[], kinds?: readonly string[]): fc.Arbitrary<Step> {
  const rule = fc.record<StepRule>({
    protocol: fc.constantFrom('tcp', 'udp'),
    from: fc.constantFrom(...PORTS),
    to: fc.constantFrom(...PORTS),
    cidr: fc.constantFrom(...cidrs),
    description: fc.constantFrom('', 'first', 'second'),
  });
  const weighted: readonly (readonly [weight: number, kind: string, more: object])[] = [
    [3, 'create', { name: fc.constantFrom(...NAMES) }],
    [1, 'delete', { group: nth }],
    [6, 'authorize', { group: nth, isEgress, rule }],
    [2, 'name', { group: nth, isEgress, other: nth }],
    [3, 'revoke', { group: nth, isEgress, rule }],
    [2, 'revoke id', { group: nth, isEgress, at: nth }],
    [2, 'modify', { group: nth, isEgress, at: nth, rule }],
    [2, 'describe', { group: nth, isEgress, at: nth, rule }],
    [2, 'tag', { group: nth, value: fc.constantFrom('x', 'y') }],
    [1, 'untag', { group: nth }],
    [4, 'list', { rule }],
    [5, 'add entry', { at: nth, rule }],
    [3, 'remove entry', { at: nth, rule }],
    [1, 'no list', { at: nth }],
    [6, 'name list', { group: nth, isEgress, at: nth }],
  ];
  return fc.oneof(
    ...weighted
      .filter(([, kind]) => kinds === undefined || kinds.includes(kind))
      .map(([weight, kind, more]) => ({
        weight,
        arbitrary: fc.record({ kind: fc.constant(kind), ...more }),
      })),
  );
}

function permission(one: StepRule): Parameters {
  const prefix = 'IpPermissions.1.';
  const [range, cidr] = isIpv6(one.cidr)
    ? ['Ipv6Ranges.1.', 'CidrIpv6']
    : ['IpRanges.1.', 'CidrIp'];
  return {
    [`${prefix}IpProtocol`]: one.protocol,
    [`${prefix}FromPort`]: String(one.from),
    [`${prefix}ToPort`]: String(one.to),
    [`${prefix}${range}${cidr}`]: one.cidr,
    ...(one.description === '' ? {} : { [`${prefix}${range}Description`]: one.description }),
  };
}

type Call = readonly [action: string, parameters: Parameters];

/** The call that a step means in a world as the twin has it. */
export function callOf(one: Step, twin: Twin): Call {
  const { kind, rule: said } = one;
  const GroupId = twin.groupAt(one.group ?? 0);
  const ruleId = twin.ruleAt(GroupId, one.isEgress ?? false, one.at ?? 0);
  const direction = one.isEgress === true ? 'Egress' : 'Ingress';
  const authorize = `AuthorizeSecurityGroup${direction}`;
  const all = { GroupId, 'IpPermissions.1.IpProtocol': '-1' };
  switch (kind) {
    case 'create':
      return ['CreateSecurityGroup', { GroupName: one.name!, GroupDescription: 'd' }];
    case 'delete':
      return ['DeleteSecurityGroup', { GroupId }];
    case 'authorize':
      return [authorize, { GroupId, ...permission(said!) }];
    case 'name':
      return [authorize, { ...all, 'IpPermissions.1.Groups.1.GroupId': twin.groupAt(one.other!) }];
    case 'name list': {
      const id = twin.listAt(one.at!);
      return [authorize, { ...all, 'IpPermissions.1.PrefixListIds.1.PrefixListId': id }];
    }
    case 'revoke':
      return [`RevokeSecurityGroup${direction}`, { GroupId, ...permission(said!) }];
    case 'revoke id':
      return [`RevokeSecurityGroup${direction}`, { GroupId, 'SecurityGroupRuleId.1': ruleId }];
    case 'modify':
      return ['ModifySecurityGroupRules', { GroupId, ...replacement(ruleId, said!) }];
    case 'describe':
      return [
        `UpdateSecurityGroupRuleDescriptions${direction}`,
        {
          ...{ GroupId, 'SecurityGroupRuleDescription.1.SecurityGroupRuleId': ruleId },
          'SecurityGroupRuleDescription.1.Description': said!.description,
        },
      ];
    case 'tag':
      return [
        'CreateTags',
        { 'ResourceId.1': GroupId, 'Tag.1.Key': 'k', 'Tag.1.Value': one.value! },
      ];
    case 'untag':
      return ['DeleteTags', { 'ResourceId.1': GroupId, 'Tag.1.Key': 'k' }];
    default:
      return listCall(one, twin);
  }
}

function replacement(ruleId: string, { protocol, from, to, cidr }: StepRule): Parameters {
  const prefix = 'SecurityGroupRule.1.SecurityGroupRule.';
  return {
    'SecurityGroupRule.1.SecurityGroupRuleId': ruleId,
    [`${prefix}IpProtocol`]: protocol,
    [`${prefix}FromPort`]: String(from),
    [`${prefix}ToPort`]: String(to),
    [`${prefix}CidrIpv${isIpv6(cidr) ? 6 : 4}`]: cidr,
  };
}

/** A list takes blocks of its family; of another one it is told so by its own tests. */
function listCall({ kind, at = 0, rule }: Step, twin: Twin): Call {
  const PrefixListId = twin.listAt(at);
  if (kind === 'no list') return ['DeleteManagedPrefixList', { PrefixListId }];
  const cidr = rule!.cidr;
  if (kind === 'list')
    return [
      'CreateManagedPrefixList',
      {
        ...{ PrefixListName: 'l', MaxEntries: String(LIST_ENTRIES_MAX), 'Entry.1.Cidr': cidr },
        AddressFamily: isIpv6(cidr) ? 'IPv6' : 'IPv4',
      },
    ];
  const list = twin.list(PrefixListId);
  const fits = list === undefined || list.isIpv6 === isIpv6(cidr);
  const name = kind === 'add entry' ? 'AddEntry.1.Cidr' : 'RemoveEntry.1.Cidr';
  const other = list?.isIpv6 === true ? '2001:db8:ffff::/48' : '198.51.100.0/24';
  return ['ModifyManagedPrefixList', { PrefixListId, [name]: fits ? cidr : other }];
}

export interface Described {
  readonly SecurityGroups: readonly {
    readonly GroupId: string;
    readonly GroupName: string;
    readonly Tags?: readonly { readonly Value: string }[];
  }[];
  readonly SecurityGroupRules: readonly {
    readonly GroupId: string;
    readonly SecurityGroupRuleId: string;
    readonly IsEgress: boolean;
    readonly IpProtocol: string;
    readonly FromPort: number;
    readonly ToPort: number;
    readonly CidrIpv4?: string;
    readonly CidrIpv6?: string;
    readonly PrefixListId?: string;
    readonly ReferencedGroupInfo?: { readonly GroupId: string };
    readonly Description?: string;
  }[];
  readonly PrefixLists: readonly {
    readonly PrefixListId: string;
    readonly PrefixListName: string;
    readonly Version: number;
  }[];
  readonly Entries: readonly { readonly Cidr: string }[];
}

async function ask(sdk: SdkClient, action: string, input: object = {}): Promise<Described> {
  return (await sdk.call(action, input)) as unknown as Described;
}

/** The rules of a group, as a server has them. */
export async function rulesOf(sdk: SdkClient, groupId: string): Promise<TwinRule[]> {
  const { SecurityGroupRules } = await ask(sdk, 'DescribeSecurityGroupRules');
  return SecurityGroupRules.filter(({ GroupId }) => GroupId === groupId).map(twinRule);
}

function twinRule(rule: Described['SecurityGroupRules'][number]): TwinRule {
  return {
    id: rule.SecurityGroupRuleId,
    isEgress: rule.IsEgress,
    protocol: rule.IpProtocol,
    from: rule.FromPort,
    to: rule.ToPort,
    cidr: rule.CidrIpv4 ?? rule.CidrIpv6 ?? '',
    peer: rule.ReferencedGroupInfo?.GroupId ?? rule.PrefixListId ?? '',
    description: rule.Description ?? '',
  };
}

/** What a server says there is, in the twin's words. */
export async function described(sdk: SdkClient): Promise<string[]> {
  const { SecurityGroups } = await ask(sdk, 'DescribeSecurityGroups');
  const { SecurityGroupRules } = await ask(sdk, 'DescribeSecurityGroupRules');
  const { PrefixLists } = await ask(sdk, 'DescribeManagedPrefixLists');
  const lists = PrefixLists.map(async ({ PrefixListId, PrefixListName, Version }) => {
    const { Entries } = await ask(sdk, 'GetManagedPrefixListEntries', { PrefixListId });
    const entries = Entries.map(({ Cidr }) => Cidr).sort();
    return `${PrefixListId} ${PrefixListName} ${Version} ${entries.join(' ')}`;
  });
  return [
    ...SecurityGroups.map(({ GroupId, GroupName, Tags }) => `${GroupId} ${GroupName} ${Tags?.[0]?.Value ?? '-'}`),
    ...SecurityGroupRules.map((rule) => ruleLine(rule.GroupId, twinRule(rule))),
    ...(await Promise.all(lists)),
  ].sort(); // prettier-ignore
}

/** The id of what an answer says was made; '' if there is none. */
export function newIdOf(action: string, body: string): string {
  const tag = action.startsWith('CreateSecurity')
    ? 'groupId'
    : action.startsWith('CreateManaged')
      ? 'prefixListId'
      : 'securityGroupRuleId';
  return new RegExp(`<${tag}>(.*?)<`).exec(body)?.[1] ?? '';
}
