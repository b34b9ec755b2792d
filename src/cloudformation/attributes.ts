/**
 * This file evaluates `Ref` and `Fn::GetAtt` of resources, for the kinds whose answers can be known here.
 *
 * An id is made from the stack's name and the logical id. So it is the same after every reload, and the id in a rule is
 * enough to find the group again.
 * Source: AWS CloudFormation Template Reference, "Return values" of each kind.
 */
import { sha256, stableId } from '../policy/ids.ts';
import { readConditionName, readProperty } from './calls.ts';
import { decideCondition } from './conditions.ts';
import {
  KIND_ASSOCIATION,
  KIND_GROUP,
  KIND_INSTANCE,
  KIND_LAUNCH_TEMPLATE,
  KIND_NETWORK_INTERFACE,
  KIND_PREFIX_LIST,
  KIND_STACK,
  KIND_SUBNET,
  KIND_VPC,
} from './kinds.ts';
import { findSupplied, supplyHint } from './parameters.ts';
import { fail } from './reporting.ts';
import type { Scope } from './scope.ts';
import type { Resource } from './resources.ts';
import {
  abbreviate,
  makeText,
  makeUnknown,
  moveTo,
  type Truth,
  type Value,
  type Where,
} from './values.ts';

/** Kinds whose physical id is only a prefix and hex digits. Any fixed id will do. */
const ID_PREFIXES: ReadonlyMap<string, string> = new Map([
  [KIND_INSTANCE, 'i'],
  [KIND_LAUNCH_TEMPLATE, 'lt'],
  [KIND_NETWORK_INTERFACE, 'eni'],
  [KIND_SUBNET, 'subnet'],
  [KIND_VPC, 'vpc'],
]);

/** Attributes that return a property of the resource. */
const ECHOED: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  [KIND_INSTANCE, new Map([['PrivateIp', 'PrivateIpAddress']])],
  [KIND_NETWORK_INTERFACE, new Map([['PrimaryPrivateIpAddress', 'PrivateIpAddress']])],
  [KIND_GROUP, new Map([['VpcId', 'VpcId']])],
  [
    KIND_SUBNET,
    new Map([
      ['AvailabilityZone', 'AvailabilityZone'],
      ['CidrBlock', 'CidrBlock'],
      ['VpcId', 'VpcId'],
    ]),
  ],
  [KIND_VPC, new Map([['CidrBlock', 'CidrBlock']])],
]);

/** Attributes that return the resource's id, by kind. */
const ID_ATTRIBUTES: ReadonlyMap<string, readonly string[]> = new Map([
  [KIND_INSTANCE, ['InstanceId']],
  [KIND_LAUNCH_TEMPLATE, ['LaunchTemplateId']],
  [KIND_NETWORK_INTERFACE, ['Id']],
  [KIND_GROUP, ['GroupId', 'Id']],
  [KIND_PREFIX_LIST, ['PrefixListId']],
  [KIND_SUBNET, ['SubnetId']],
  [KIND_VPC, ['VpcId']],
]);

/** The outputs of a nested stack. */
const OUTPUTS = 'Outputs.';
const ATTRIBUTES_OF_PREFIX_LIST = 'Arn, OwnerId, PrefixListId, Version';

/** Whether the resource exists, which means that its condition holds. */
export function decideExistence(scope: Scope, resource: Resource): Truth {
  const { condition } = resource;
  if (condition === undefined) return { kind: 'truth', value: true };
  return decideCondition(scope, condition);
}

/** The condition's name, for messages. */
export function nameCondition(scope: Scope, { condition }: Resource): string {
  const name = condition === undefined ? undefined : readConditionName(scope, condition);
  return name?.kind === 'text' ? abbreviate(name.text) : '?';
}

/** Cached ids: every rule that names a resource asks for its id. */
const ids = new WeakMap<Resource, string>();

/** The id of a resource of this template. */
export function idOf(scope: Scope, resource: Resource): string {
  let id = ids.get(resource);
  if (id === undefined) {
    id = makeId(scope, resource);
    ids.set(resource, id);
  }
  return id;
}

function makeId(scope: Scope, resource: Resource): string {
  const { stackName, physical } = scope.inputs;
  const given = physical?.idOf(resource.logicalId, prefixOf(resource.type));
  if (given !== undefined) return given;
  if (resource.type === KIND_GROUP) return stableId('sg', stackName, resource.logicalId);
  if (resource.type === KIND_PREFIX_LIST) return stableId('pl', stackName, resource.logicalId);
  const prefix = prefixOf(resource.type);
  const hash = sha256(`${stackName.length}:${stackName}${resource.logicalId}`);
  return `${prefix}-${hash.slice(0, 17)}`;
}

function prefixOf(type: string): string {
  if (type === KIND_GROUP) return 'sg';
  return type === KIND_PREFIX_LIST ? 'pl' : (ID_PREFIXES.get(type) ?? '');
}

/** Evaluates `Ref`. */
export function readReferenceTo(scope: Scope, resource: Resource, where: Where): Value {
  const absence = explainAbsence(scope, resource, where);
  if (absence !== undefined) return absence;
  if (
    resource.type === KIND_GROUP &&
    readProperty(scope, resource.properties, 'VpcId') === undefined
  ) {
    const name = readGroupName(scope, resource);
    return name.kind === 'text' ? makeText(name.text, where) : name;
  }
  if (ID_ATTRIBUTES.has(resource.type)) return makeText(idOf(scope, resource), where);
  if (resource.type === KIND_ASSOCIATION) return readAssociationId(scope, resource, where);
  const key = `ref:${resource.logicalId}`;
  const supplied = findSupplied(scope.inputs, key, where);
  if (supplied !== undefined) return supplied;
  const reason = `the physical id of '${resource.logicalId}' (${abbreviate(resource.type)}) is known to AWS alone`;
  return makeUnknown(reason, supplyHint(scope.inputs, key), where);
}

/** Evaluates `Fn::GetAtt`. */
export function readAttributeOf(
  scope: Scope,
  resource: Resource,
  attribute: string,
  where: Where,
): Value {
  const absence = explainAbsence(scope, resource, where);
  if (absence !== undefined) return absence;
  const { type, logicalId } = resource;
  if (ID_ATTRIBUTES.get(type)?.includes(attribute)) return makeText(idOf(scope, resource), where);
  const echoed = ECHOED.get(type)?.get(attribute);
  const value = echoed === undefined ? undefined : readProperty(scope, resource.properties, echoed);
  if (value !== undefined) return moveTo(value, where);
  const { defaultGroupOf } = scope.inputs;
  if (type === KIND_VPC && attribute === 'DefaultSecurityGroup' && defaultGroupOf !== undefined)
    return makeText(defaultGroupOf(idOf(scope, resource)), where);
  if (type === KIND_PREFIX_LIST) return readPrefixListAttribute(scope, resource, attribute, where);
  if (type === KIND_GROUP && attribute !== 'VpcId') {
    return fail(
      scope,
      'unknown-attribute',
      where,
      `${KIND_GROUP} has no attribute '${abbreviate(attribute)}'`,
      'it has GroupId, Id, VpcId',
    );
  }
  if (type === KIND_STACK && attribute.startsWith(OUTPUTS)) {
    const name = attribute.slice(OUTPUTS.length);
    const output = scope.inputs.nested?.readOutput(scope, resource, name, where);
    if (output !== undefined) return output;
  }
  const key = `getatt:${logicalId}.${attribute}`;
  const supplied = findSupplied(scope.inputs, key, where);
  if (supplied !== undefined) return supplied;
  const reason = `the attribute ${abbreviate(attribute)} of '${logicalId}' (${abbreviate(type)}) is known to AWS alone`;
  return makeUnknown(reason, supplyHint(scope.inputs, key), where);
}

/** Evaluates `Ref` of an association: `sg-…|vpc-…`. */
function readAssociationId(scope: Scope, resource: Resource, where: Where): Value {
  const ids: string[] = [];
  for (const name of ['GroupId', 'VpcId']) {
    const value = readProperty(scope, resource.properties, name);
    if (value?.kind === 'unknown' || value?.kind === 'invalid') return value;
    ids.push(value?.kind === 'text' ? value.text : '');
  }
  return makeText(ids.join('|'), where);
}

function readPrefixListAttribute(
  scope: Scope,
  resource: Resource,
  attribute: string,
  where: Where,
): Value {
  const { accountId, partition, region } = scope.inputs.account;
  switch (attribute) {
    case 'Arn':
      return makeText(
        `arn:${partition}:ec2:${region}:${accountId}:prefix-list/${idOf(scope, resource)}`,
        where,
      );
    case 'OwnerId':
      return makeText(accountId, where);
    case 'Version':
      // The version of a new list. In AWS it goes up with each change of the entries.
      return makeText('1', where);
    default: {
      const message = `${KIND_PREFIX_LIST} has no attribute '${abbreviate(attribute)}'`;
      return fail(
        scope,
        'unknown-attribute',
        where,
        message,
        `it has ${ATTRIBUTES_OF_PREFIX_LIST}`,
      );
    }
  }
}

/** The value of a resource that does not exist, or may not exist. Undefined if it exists. */
function explainAbsence(scope: Scope, resource: Resource, where: Where): Value | undefined {
  const truth = decideExistence(scope, resource);
  if (truth.kind !== 'truth') return { ...truth, at: where.at, path: where.path };
  if (truth.value) return undefined;
  const { logicalId } = resource;
  const message = `'${logicalId}' does not exist: its condition ${nameCondition(scope, resource)} is false`;
  const hint = `AWS refuses it: Unresolved resource dependencies [${logicalId}]; use Fn::If with the same condition here`;
  return fail(scope, 'unresolved-reference', where, message, hint);
}

/** Cached names, so that a problem with a name is reported once, and not at each use. */
const groupNames = new WeakMap<Resource, Value>();

/** GroupName without trailing blanks, or the name that AWS would generate without its random part. */
export function readGroupName(scope: Scope, resource: Resource): Value {
  const known = groupNames.get(resource);
  if (known !== undefined) return known;
  const name = evaluateGroupName(scope, resource);
  groupNames.set(resource, name);
  return name;
}

function evaluateGroupName(scope: Scope, resource: Resource): Value {
  const name = readProperty(scope, resource.properties, 'GroupName');
  if (name === undefined) {
    const { physical, stackName } = scope.inputs;
    const made = physical?.groupName(resource.logicalId);
    return makeText(made ?? `${stackName}-${resource.logicalId}`, resource);
  }
  if (name.kind === 'list' || name.kind === 'map') {
    return fail(scope, 'bad-property', name, 'GroupName must be text');
  }
  if (name.kind !== 'text') return name;
  return { ...name, text: name.text.trimEnd() };
}
