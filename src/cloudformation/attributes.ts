/**
 * What resources are called: `Ref` and `Fn::GetAtt`, for the kinds whose answers can be known here.
 *
 * Ids are made from the stack's name and the logical id, so they are the same after every reload, and
 * an id in a rule needs nothing but text to find its group again.
 * Source: AWS CloudFormation Template Reference, "Return values" of each kind.
 */
import { createHash } from 'node:crypto';
import { stableId } from '../policy/ids.ts';
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
import { fail, type Scope } from './scope.ts';
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

/** Kinds whose physical id is but a prefix and hex digits: any fixed one will do. */
const ID_PREFIXES: ReadonlyMap<string, string> = new Map([
  [KIND_INSTANCE, 'i'],
  [KIND_LAUNCH_TEMPLATE, 'lt'],
  [KIND_NETWORK_INTERFACE, 'eni'],
  [KIND_SUBNET, 'subnet'],
  [KIND_VPC, 'vpc'],
]);

/** Attributes that are a property of the resource, handed back. */
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

/** Attributes that are the resource's id, by kind. */
const ID_ATTRIBUTES: ReadonlyMap<string, readonly string[]> = new Map([
  [KIND_INSTANCE, ['InstanceId']],
  [KIND_LAUNCH_TEMPLATE, ['LaunchTemplateId']],
  [KIND_NETWORK_INTERFACE, ['Id']],
  [KIND_GROUP, ['GroupId', 'Id']],
  [KIND_PREFIX_LIST, ['PrefixListId']],
  [KIND_SUBNET, ['SubnetId']],
  [KIND_VPC, ['VpcId']],
]);

/** Of a nested stack. */
const OUTPUTS = 'Outputs.';
const ATTRIBUTES_OF_PREFIX_LIST = 'Arn, OwnerId, PrefixListId, Version';

/** Whether the resource exists, that is, whether its condition holds. */
export function decideExistence(scope: Scope, resource: Resource): Truth {
  const { condition } = resource;
  if (condition === undefined) return { kind: 'truth', value: true };
  return decideCondition(scope, condition);
}

/** What the condition of a resource is called, for messages. */
export function nameCondition(scope: Scope, { condition }: Resource): string {
  const name = condition === undefined ? undefined : readConditionName(scope, condition);
  return name?.kind === 'text' ? abbreviate(name.text) : '?';
}

/** Each is asked for by every rule that names the resource. */
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
  const { stackName } = scope.inputs;
  if (resource.type === KIND_GROUP) return stableId('sg', stackName, resource.logicalId);
  if (resource.type === KIND_PREFIX_LIST) return stableId('pl', stackName, resource.logicalId);
  const prefix = ID_PREFIXES.get(resource.type);
  const hash = createHash('sha256').update(`${stackName.length}:${stackName}${resource.logicalId}`);
  return `${prefix}-${hash.digest('hex').slice(0, 17)}`;
}

/** `Ref`. */
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

/** `Fn::GetAtt`. */
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

/** `sg-…|vpc-…`. */
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
      // A stack that has just been made: each change of the entries would add one.
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

/** The value that stands for a resource that doesn't exist, or may not; undefined if it does. */
function explainAbsence(scope: Scope, resource: Resource, where: Where): Value | undefined {
  const truth = decideExistence(scope, resource);
  if (truth.kind !== 'truth') return { ...truth, at: where.at, path: where.path };
  if (truth.value) return undefined;
  const { logicalId } = resource;
  const message = `'${logicalId}' does not exist: its condition ${nameCondition(scope, resource)} is false`;
  const hint = `AWS refuses it: Unresolved resource dependencies [${logicalId}]; use Fn::If with the same condition here`;
  return fail(scope, 'unresolved-reference', where, message, hint);
}

/** So that what is wrong with a name is reported once, not by everyone who asks for it. */
const groupNames = new WeakMap<Resource, Value>();

/** GroupName without the blanks at its end, or the name AWS would generate, less its random part. */
export function readGroupName(scope: Scope, resource: Resource): Value {
  const known = groupNames.get(resource);
  if (known !== undefined) return known;
  const name = evaluateGroupName(scope, resource);
  groupNames.set(resource, name);
  return name;
}

function evaluateGroupName(scope: Scope, resource: Resource): Value {
  const name = readProperty(scope, resource.properties, 'GroupName');
  if (name === undefined)
    return makeText(`${scope.inputs.stackName}-${resource.logicalId}`, resource);
  if (name.kind === 'list' || name.kind === 'map') {
    return fail(scope, 'bad-property', name, 'GroupName must be text');
  }
  if (name.kind !== 'text') return name;
  return { ...name, text: name.text.trimEnd() };
}
