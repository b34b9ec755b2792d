/**
 * The resource types that are read here, and the properties they have.
 * Source: AWS CloudFormation Template Reference, the pages of the types.
 */
import { closest } from '../source/suggest.ts';

export const KIND_GROUP = 'AWS::EC2::SecurityGroup';
export const KIND_INGRESS = 'AWS::EC2::SecurityGroupIngress';
export const KIND_EGRESS = 'AWS::EC2::SecurityGroupEgress';
export const KIND_PREFIX_LIST = 'AWS::EC2::PrefixList';
export const KIND_INSTANCE = 'AWS::EC2::Instance';
export const KIND_NETWORK_INTERFACE = 'AWS::EC2::NetworkInterface';
export const KIND_LAUNCH_TEMPLATE = 'AWS::EC2::LaunchTemplate';
export const KIND_ASSOCIATION = 'AWS::EC2::SecurityGroupVpcAssociation';
export const KIND_SUBNET = 'AWS::EC2::Subnet';
export const KIND_VPC = 'AWS::EC2::VPC';
export const KIND_VPC_BLOCK = 'AWS::EC2::VPCCidrBlock';
export const KIND_STACK = 'AWS::CloudFormation::Stack';
/** What the AWS CDK writes to take AWS's own rules from a VPC's default group. */
export const KIND_RESTRICT_DEFAULT = 'Custom::VpcRestrictDefaultSG';

const RULE_KINDS: readonly string[] = [KIND_GROUP, KIND_INGRESS, KIND_EGRESS, KIND_PREFIX_LIST];

/** Kinds that say where groups and addresses are. They make no rules, but they are not passed over. */
const PLACEMENT_KINDS: readonly string[] = [
  KIND_INSTANCE,
  KIND_NETWORK_INTERFACE,
  KIND_LAUNCH_TEMPLATE,
  KIND_ASSOCIATION,
  KIND_SUBNET,
  KIND_VPC,
  KIND_VPC_BLOCK,
];

const RULE_KIND_SET: ReadonlySet<string> = new Set(RULE_KINDS);
const PLACEMENT_KIND_SET: ReadonlySet<string> = new Set(PLACEMENT_KINDS);

/** Groups, rules and prefix lists. */
export function isRuleKind(type: string): boolean {
  return RULE_KIND_SET.has(type);
}

export function isPlacementKind(type: string): boolean {
  return PLACEMENT_KIND_SET.has(type);
}

const RULE = ['IpProtocol', 'FromPort', 'ToPort', 'CidrIp', 'CidrIpv6', 'Description'];
export const INGRESS_PROPERTIES: readonly string[] = [
  ...RULE,
  'SourcePrefixListId',
  'SourceSecurityGroupId',
  'SourceSecurityGroupName',
  'SourceSecurityGroupOwnerId',
];
export const EGRESS_PROPERTIES: readonly string[] = [
  ...RULE,
  'DestinationPrefixListId',
  'DestinationSecurityGroupId',
];

export const PROPERTIES_OF_KINDS: ReadonlyMap<string, readonly string[]> = new Map([
  [
    KIND_GROUP,
    [
      'GroupDescription',
      'GroupName',
      'SecurityGroupIngress',
      'SecurityGroupEgress',
      'Tags',
      'VpcId',
    ],
  ],
  [KIND_INGRESS, [...INGRESS_PROPERTIES, 'GroupId', 'GroupName']],
  [KIND_EGRESS, [...EGRESS_PROPERTIES, 'GroupId']],
  [KIND_PREFIX_LIST, ['AddressFamily', 'Entries', 'MaxEntries', 'PrefixListName', 'Tags']],
]);

/** The kind of ours that `type` is a slip for: one or two letters, the case, a part left out. Undefined if it is one, or none of ours. */
export function findMisspeltKind(type: string): string | undefined {
  if (isRuleKind(type) || isPlacementKind(type)) return undefined;
  const plain = type.trim().toLowerCase();
  // `EC2::SecurityGroup`; what is under Custom:: or anybody else's name is theirs.
  const full = /^ec2:{1,2}/.test(plain) ? `aws::${plain}` : plain;
  if (!full.startsWith('aws') && !full.startsWith('was')) return closest(full, RULE_KINDS, 2);
  const near = closest(full, RULE_KINDS, 3) ?? closest(full, PLACEMENT_KINDS, 1);
  if (near !== undefined) return near;
  // `AWS::EC2::SecurityGroupRule`: no type of that kind that isn't read here.
  const isOurs = /^aws::ec2::(securitygroup|prefixlist)/.test(full);
  return isOurs ? closest(full, RULE_KINDS, full.length) : undefined;
}
