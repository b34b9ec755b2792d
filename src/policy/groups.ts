/**
 * Makes and deletes groups as the EC2 API does, and checks which groups an interface may have.
 *
 * The functions are pure. The caller tells what else exists (a group of the same name, the users of a group).
 *
 * Source: EC2 API Reference, CreateSecurityGroup, DeleteSecurityGroup, ModifyNetworkInterfaceAttribute; Amazon VPC
 * User Guide, "Default security groups for your VPCs".
 */
import { DEFAULT_GROUP_DESCRIPTION, defaultEgress, defaultIngress } from './default-group.ts';
import type { MakeRuleId } from './group-rules.ts';
import type { GroupId, Origin, Rule, SecurityGroup, VpcRef } from './model.ts';
import {
  findExcesses,
  membershipsText,
  type PrefixListSource,
  type QuotaMaxima,
} from './quotas.ts';
import {
  collect,
  makeRefusal,
  missingParameter,
  unlessRefused,
  type Checked,
  type Refusal,
} from './refusals.ts';
import { ruleKey } from './rules.ts';
import { checkGroupDescription, checkGroupName, DEFAULT_GROUP_NAME, trimBlanks } from './texts.ts';
import { DIFFERENT_NETWORKS_TEXT, isSameVpc } from './vpcs.ts';
import { count } from '../source/count.ts';
import { listWords } from '../source/suggest.ts';

/** What AWS adds to a group depends on its VPC: it adds rules for IPv6 if the VPC has an IPv6 block. */
interface Making {
  readonly id: GroupId;
  readonly vpc: VpcRef;
  readonly hasIpv6: boolean;
  readonly makeRuleId: MakeRuleId;
  readonly origin: Origin;
}

export interface NewGroup extends Making {
  /** Both as given; undefined: not given. */
  readonly name: string | undefined;
  readonly description: string | undefined;
}

/** What exists already. */
export interface Neighbours {
  /** Whether the VPC has a group of that name. Names are compared by foldGroupName. */
  readonly isNameTaken: boolean;
  /** How many groups there are, and how many there may be (undefined: no limit). */
  readonly groups: number;
  readonly securityGroups: number | undefined;
}

/**
 * Makes a group of a VPC: no ingress, and egress to everywhere. Blanks at the end of its name are cut off, as AWS
 * does. AWS also requires a description.
 */
export function createGroup(
  given: NewGroup,
  { isNameTaken, groups, securityGroups }: Neighbours,
): Checked<SecurityGroup> {
  const { id, vpc, origin } = given;
  const name = trimBlanks(given.name ?? '');
  const description = given.description ?? '';
  const refusals = collect(
    name === '' ? missingParameter('GroupName') : checkGroupName(name),
    description === ''
      ? missingParameter('GroupDescription', 'say what the group is for; it can not be changed')
      : checkGroupDescription(description),
    isNameTaken ? nameTaken(name, vpc) : undefined,
    securityGroups !== undefined && groups >= securityGroups ? tooMany(vpc) : undefined,
  );
  const egress = ownEgress(given);
  return unlessRefused({ id, name, vpc, description, ingress: [], egress, origin }, refusals);
}

/** Makes the group that comes with a VPC. */
export function createDefaultGroup(making: Making): SecurityGroup {
  const { id, vpc, origin } = making;
  return {
    id,
    name: DEFAULT_GROUP_NAME,
    vpc,
    description: DEFAULT_GROUP_DESCRIPTION,
    ingress: asWritten(defaultIngress(id, origin), making),
    egress: ownEgress(making),
    origin,
  };
}

function ownEgress(making: Making): readonly Rule[] {
  const rules = defaultEgress(making.id, making.origin).filter(
    ({ peer }) => making.hasIpv6 || peer.kind !== 'cidr' || peer.cidr.family === 4,
  );
  return asWritten(rules, making);
}

/** Makes a new group's rules like any others: they stay until somebody revokes them. */
function asWritten(rules: readonly Rule[], { makeRuleId }: Making): readonly Rule[] {
  return rules.map(({ implied: _, ...rule }) => ({ ...rule, id: makeRuleId(ruleKey(rule)) }));
}

function nameTaken(name: string, vpc: VpcRef): Refusal {
  const message = `The security group '${name}' already exists for VPC '${vpc.id}'`;
  return makeRefusal(
    'InvalidGroup.Duplicate',
    message,
    'names are compared without regard to case',
  );
}

function tooMany(vpc: VpcRef): Refusal {
  const message = `The maximum number of security groups for VPC '${vpc.id}' has been reached.`;
  return makeRefusal('SecurityGroupLimitExceeded', message, 'default groups count');
}

/**
 * Checks whether a group may be deleted.
 * @param users the interfaces, and the rules of other groups, that name it, as a person can look them up; the group's
 *   own rules don't count
 * @returns why it may not be deleted, if so
 */
export function checkDelete(
  { id, name }: Pick<SecurityGroup, 'id' | 'name'>,
  users: readonly string[],
): Refusal | undefined {
  if (name === DEFAULT_GROUP_NAME) {
    const message = `the specified group: "${id}" name: "${name}" cannot be deleted by a user`;
    return makeRefusal('CannotDelete', message, 'it goes with its VPC; its rules can be revoked');
  }
  return users.length === 0 ? undefined : dependencyViolation(id, users);
}

/** The answer to a call that would delete what others use. AWS never says who they are; our hint does. */
export function dependencyViolation(id: string, users: readonly string[]): Refusal {
  const message = `resource ${id} has a dependent object`;
  return makeRefusal('DependencyViolation', message, `it is used by ${listWords(users)}`);
}

/**
 * Checks whether an interface may have these groups. The quota of rules times groups bounds how many rules a packet
 * may be checked against.
 * @param account the caller's account id, which is in AWS's sentence
 */
export function checkInterfaceGroups(
  groups: readonly SecurityGroup[],
  network: { readonly vpc?: VpcRef },
  { groupsPerInterface: most, rulesTimesGroups }: QuotaMaxima,
  source: PrefixListSource,
  account?: string,
): readonly Refusal[] {
  const refusals: Refusal[] = [];
  if (groups.length === 0)
    refusals.push(missingParameter('SecurityGroupId', 'an interface has at least one group'));
  if (groups.some((group) => !isSameVpc(group, network)))
    refusals.push(makeRefusal('InvalidGroup.NotFound', `${DIFFERENT_NETWORKS_TEXT}.`));
  if (most !== undefined && groups.length > most) {
    const hint = `there are ${groups.length}: merge groups, or raise the quota`;
    const message = membershipsText(most, account);
    refusals.push(makeRefusal('SecurityGroupsPerInterfaceLimitExceeded', message, hint));
  }
  for (const { direction, family, found } of findExcesses(groups, rulesTimesGroups, source)) {
    const message = `The groups have ${count(found, `${direction} rule`)} for IPv${family} together, more than ${rulesTimesGroups}`;
    const hint = 'use fewer rules, or fewer groups';
    refusals.push(makeRefusal('RulesPerSecurityGroupLimitExceeded', message, hint));
  }
  return refusals;
}
