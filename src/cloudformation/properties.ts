/**
 * The properties of the kinds we read, and how they are read.
 * Source: AWS CloudFormation Template Reference, the pages of the four kinds.
 */
import type { Mapping } from '../source/yaml.ts';
import { KIND_EGRESS, KIND_GROUP, KIND_INGRESS, KIND_PREFIX_LIST } from './attributes.ts';
import { readProperty } from './calls.ts';
import { fail, report, type Scope } from './scope.ts';
import {
  abbreviate,
  describeKind,
  type TextValue,
  type UnknownValue,
  type Where,
} from './values.ts';

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

/** Warns of each property that AWS would refuse; `owner` is what has them, for the message. */
export function warnOfUnknownProperties(
  scope: Scope,
  mapping: Mapping | undefined,
  known: readonly string[],
  owner: string,
): void {
  for (const { key, keyAt, value } of mapping?.entries ?? []) {
    if (known.includes(key)) continue;
    const similar = known.find((name) => name.toLowerCase() === key.toLowerCase());
    const advice = similar === undefined ? `there are ${known.join(', ')}` : `is ${similar} meant?`;
    const message = `unknown property '${abbreviate(key)}' of ${owner}; it is passed over`;
    const hint = `AWS refuses it: extraneous key [${abbreviate(key)}] is not permitted; ${advice}`;
    report(
      scope.problems,
      'warning',
      'unknown-property',
      { at: keyAt, path: value.path },
      message,
      hint,
    );
  }
}

/**
 * A property that is text. Undefined if it is not given; `unusable` if there is no text to use:
 * in error (reported here), or unknown (up to the caller, who knows what is lost by it).
 */
export function readText(
  scope: Scope,
  mapping: Mapping | undefined,
  name: string,
): TextValue | UnknownValue | { readonly kind: 'unusable' } | undefined {
  const value = readProperty(scope, mapping, name);
  switch (value?.kind) {
    case undefined:
      return undefined;
    case 'text':
    case 'unknown':
      return value;
    case 'invalid':
      return { kind: 'unusable' };
    default:
      fail(scope, 'bad-property', value!, `${name} must be text, not ${describeKind(value!)}`);
      return { kind: 'unusable' };
  }
}

/** Warns that a value is not known, and says what is lost by it: `the rule is left out`. */
export function warnOfUnknown(
  scope: Scope,
  name: string,
  value: UnknownValue,
  path: string,
  loss: string,
): void {
  const where: Where = { at: value.at, path };
  report(
    scope.problems,
    'warning',
    'unknown-value',
    where,
    `${name} can't be known here: ${value.reason}; ${loss}`,
    value.hint,
  );
}
