/**
 * This file reads what an instance takes from its launch template when it does not say it itself.
 * Source: AWS CloudFormation Template Reference, AWS::EC2::Instance LaunchTemplateSpecification and
 * AWS::EC2::LaunchTemplate LaunchTemplateData.
 */
import type { Mapping } from '../source/yaml.ts';
import { idOf } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_LAUNCH_TEMPLATE } from './kinds.ts';
import { warnOfUnknown } from './properties.ts';
import type { Resource } from './resources.ts';
import type { Scope } from './scope.ts';
import { makeUnknown, type UnknownValue, type Value } from './values.ts';

/**
 * The data of the launch template that `properties` name. Undefined if they name none, `unusable` if it is unknown,
 * which is reported.
 */
export function findLaunchData(
  scope: Scope,
  properties: Mapping | undefined,
  property = 'LaunchTemplate',
): Mapping | 'unusable' | undefined {
  const named = readProperty(scope, properties, property);
  if (named === undefined) return undefined;
  const data = named.kind === 'map' ? readData(scope, named.node, named) : named;
  if (data.kind === 'map') return data.node;
  if (data.kind === 'unknown') {
    const loss = 'the groups and addresses it gives the instance are not known';
    warnOfUnknown(scope, property, data, data.path, loss);
  }
  return 'unusable';
}

function readData(scope: Scope, specification: Mapping, where: Value): Value {
  const id = readProperty(scope, specification, 'LaunchTemplateId');
  const name = readProperty(scope, specification, 'LaunchTemplateName');
  for (const value of [id, name]) if (value?.kind === 'unknown') return value;
  const found = [...scope.template.resources.values()].find(
    (resource) =>
      resource.type === KIND_LAUNCH_TEMPLATE &&
      ((id?.kind === 'text' && id.text === idOf(scope, resource)) ||
        (name?.kind === 'text' && name.text === readName(scope, resource))),
  );
  if (found === undefined) return makeStranger(where);
  return readProperty(scope, found.properties, 'LaunchTemplateData') ?? makeStranger(found);
}

function readName(scope: Scope, resource: Resource): string | undefined {
  const name = readProperty(scope, resource.properties, 'LaunchTemplateName');
  return name?.kind === 'text' ? name.text : undefined;
}

function makeStranger(where: Pick<Value, 'at' | 'path'>): UnknownValue {
  const hint = 'give addresses and securityGroups in the configuration';
  return makeUnknown('it is no launch template of this template', hint, where);
}
