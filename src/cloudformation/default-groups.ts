/**
 * This file reads Custom::VpcRestrictDefaultSG, a resource that the AWS CDK writes. It removes AWS's own rules from the
 * default group of a VPC, in both directions.
 * Source: AWS CDK, aws-ec2 Vpc `restrictDefaultSecurityGroup`.
 */
import type { GroupId } from '../policy/model.ts';
import { decideExistence } from './attributes.ts';
import { readProperty } from './calls.ts';
import { KIND_RESTRICT_DEFAULT } from './kinds.ts';
import { resolveGroup, type Directory } from './references.ts';
import { report } from './reporting.ts';
import type { Scope } from './scope.ts';

/** The groups that lose AWS's own rules, including those that may lose them. */
export function findEmptied(scope: Scope, directory: Directory): Set<GroupId> {
  const emptied = new Set<GroupId>();
  for (const resource of scope.template.resources.values()) {
    if (resource.type !== KIND_RESTRICT_DEFAULT) continue;
    const truth = decideExistence(scope, resource);
    if (truth.kind === 'truth' && !truth.value) continue;
    const name = 'DefaultSecurityGroupId';
    const value = readProperty(scope, resource.properties, name);
    const named =
      value?.kind === 'text' ? resolveGroup(scope, directory, name, value.text, value) : undefined;
    // An unknown group is the default group of some VPC, so all of them are meant.
    const ids = named === undefined ? scope.inputs.defaultGroups() : [named];
    if (ids.length === 0) continue;
    for (const id of ids) emptied.add(id);
    const message = `'${resource.logicalId}' takes AWS's own rules from the default group: nothing in, nothing out but what is written`;
    report(scope.problems, 'notice', 'empty-default-group', resource, message);
  }
  return emptied;
}
