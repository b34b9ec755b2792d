/**
 * This file says where a stack is made (account, Region and partition), and gives the pseudo parameters that depend on
 * it.
 * Source: AWS CloudFormation User Guide, "Get AWS values using pseudo parameters"; AWS General Reference, "Amazon
 * Resource Names (ARNs)", for the partitions.
 */
import { makeList, makeText, type Value, type Where } from './values.ts';

export interface Account {
  readonly accountId: string;
  readonly region: string;
  readonly partition: string;
}

/** The values in AWS's own examples. */
export const DEFAULT_ACCOUNT_ID = '123456789012';
export const DEFAULT_REGION = 'us-east-1';

/** The partition, and the suffix of AWS's host names in it, by the beginning of a Region's name. */
const PARTITIONS: readonly (readonly [prefix: string, partition: string, suffix: string])[] = [
  ['cn-', 'aws-cn', 'amazonaws.com.cn'],
  ['us-gov-', 'aws-us-gov', 'amazonaws.com'],
  ['us-iso-', 'aws-iso', 'c2s.ic.gov'],
  ['us-isob-', 'aws-iso-b', 'sc2s.sgov.gov'],
  ['us-isof-', 'aws-iso-f', 'csp.hci.ic.gov'],
  ['eu-isoe-', 'aws-iso-e', 'cloud.adc-e.uk'],
  ['eusc-', 'aws-eusc', 'amazonaws.eu'],
];
const COMMERCIAL = ['', 'aws', 'amazonaws.com'] as const;

/** What is given, and AWS's examples for the rest. The partition follows from the Region. */
export function makeAccount(given: Partial<Account>): Account {
  const { accountId = DEFAULT_ACCOUNT_ID, region = DEFAULT_REGION } = given;
  const [, partition] = PARTITIONS.find(([prefix]) => region.startsWith(prefix)) ?? COMMERCIAL;
  return { accountId, region, partition: given.partition ?? partition };
}

/** AWS puts a random UUID here into the id of a stack. */
const STACK_UUID = '00000000-0000-0000-0000-000000000000';

/** The value of a pseudo parameter `AWS::…`. Undefined if there is none of that name. */
export function readPseudoParameter(
  name: string,
  stackName: string,
  { accountId, region, partition }: Account,
  where: Where,
): Value | undefined {
  switch (name) {
    case 'AWS::AccountId':
      return makeText(accountId, where);
    case 'AWS::NoValue':
      return { kind: 'absent', at: where.at, path: where.path };
    case 'AWS::NotificationARNs':
      return makeList([], where);
    case 'AWS::Partition':
      return makeText(partition, where);
    case 'AWS::Region':
      return makeText(region, where);
    case 'AWS::StackId': {
      const stack = `stack/${stackName}/${STACK_UUID}`;
      return makeText(`arn:${partition}:cloudformation:${region}:${accountId}:${stack}`, where);
    }
    case 'AWS::StackName':
      return makeText(stackName, where);
    case 'AWS::URLSuffix': {
      const found = PARTITIONS.find(([, known]) => known === partition) ?? COMMERCIAL;
      return makeText(found[2], where);
    }
    default:
      return undefined;
  }
}
