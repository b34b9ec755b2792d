/**
 * This file lists the resource types that are read, and their properties.
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
/** The type that the AWS CDK uses to remove AWS's own rules from a VPC's default group. */
export const KIND_RESTRICT_DEFAULT = 'Custom::VpcRestrictDefaultSG';

const RULE_KINDS: readonly string[] = [KIND_GROUP, KIND_INGRESS, KIND_EGRESS, KIND_PREFIX_LIST];

/** Types that say where groups and addresses are used. They make no rules, but they are not reported as ignored. */
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

/** The types of groups, rules and prefix lists. */
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

/**
 * The type of ours that a misspelt `type` probably means: one or two letters differ, or the case, or a part is missing.
 * Undefined if it is one of ours, or resembles none.
 */
export function findMisspeltKind(type: string): string | undefined {
  if (isRuleKind(type) || isPlacementKind(type)) return undefined;
  const plain = type.trim().toLowerCase();
  // `AWS.EC2.SecurityGroup`, `EC2::SecurityGroup`; types under Custom:: or another vendor's name are left alone.
  const parts = plain.replace(/[.:/]+/g, '::');
  const full = parts.startsWith('ec2::') ? `aws::${parts}` : parts;
  if (!full.startsWith('aws') && !full.startsWith('was')) return closest(full, RULE_KINDS, 2);
  const near = closest(full, RULE_KINDS, 3) ?? closest(full, PLACEMENT_KINDS, 1);
  if (near !== undefined) return near;
  // `AWS::EC2::SecurityGroupRule`, `AWS::VPC::EgressSecurityGroup`: all real types of that kind are read here.
  if (!/^aws::(ec2|vpc)::\w*(securitygroup|prefixlist)/.test(full)) return undefined;
  if (full.includes('prefixlist')) return KIND_PREFIX_LIST;
  if (full.includes('egress')) return KIND_EGRESS;
  return full.includes('ingress') ? KIND_INGRESS : KIND_GROUP;
}

/** The type of ours whose last part `type` is, or nearly is. */
export function findBareKind(type: string): string | undefined {
  const full = `aws::ec2::${type.trim().toLowerCase()}`;
  return closest(full, [...RULE_KINDS, ...PLACEMENT_KINDS], 2);
}

/**
 * Whether a type of that name can exist, be it AWS's or one that somebody registered there.
 * Source: AWS CloudFormation User Guide, "Resource attribute Type"; CloudFormation registry.
 */
export function isPossibleType(type: string): boolean {
  return (
    /^(?:[A-Za-z0-9]{2,64}::){2}[A-Za-z0-9]{2,64}(?:::MODULE)?$/.test(type) ||
    /^Custom::[\w@-]+$/.test(type)
  );
}
