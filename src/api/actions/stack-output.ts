/** This file shows stacks, their resources, events and change sets as CloudFormation's answers have them. */
import { settled } from '../stacks/deploy.ts';
import type {
  ChangeSet,
  Stack,
  StackEvent,
  StackParameter,
  StackResource,
} from '../stacks/stack-rows.ts';
import { tagOutput } from './group-output.ts';

const SECRET = '****';
const NOT_CHECKED = { StackDriftStatus: 'NOT_CHECKED' };
const RESOURCE_NOT_CHECKED = { StackResourceDriftStatus: 'NOT_CHECKED' };

export function stackOutput(stack: Stack): object {
  const one = settled(stack);
  return {
    ...headOutput(one),
    ChangeSetId: one.changeSetId,
    Description: one.description,
    Parameters: parametersOutput(one.parameters),
    DisableRollback: one.isRollbackDisabled,
    NotificationARNs: [],
    RollbackConfiguration: {},
    Capabilities: one.capabilities,
    RoleARN: one.roleArn,
    Outputs: one.outputs.map(({ key, value, description, exportName }) => ({
      OutputKey: key,
      OutputValue: value,
      Description: description,
      ExportName: exportName,
    })),
    Tags: tagOutput(one.tags),
    EnableTerminationProtection: one.isProtected,
    DriftInformation: NOT_CHECKED,
  };
}

export function stackSummary(stack: Stack): object {
  const one = settled(stack);
  return {
    ...headOutput(one),
    TemplateDescription: one.description,
    DriftInformation: NOT_CHECKED,
  };
}

function headOutput(one: Stack): object {
  return {
    StackId: one.id,
    StackName: one.name,
    CreationTime: new Date(one.createdAt),
    LastUpdatedTime: dateOf(one.updatedAt),
    DeletionTime: dateOf(one.deletedAt),
    StackStatus: one.status,
    StackStatusReason: one.reason,
  };
}

export function parametersOutput(parameters: readonly StackParameter[]): readonly object[] {
  return parameters.map(({ key, value, isSecret }) => ({
    ParameterKey: key,
    ParameterValue: isSecret ? SECRET : value,
  }));
}

/** @param timeMember `Timestamp` or `LastUpdatedTimestamp`, by the action */
export function resourceOutput(
  { id, name }: Stack,
  one: StackResource,
  timeMember: 'Timestamp' | 'LastUpdatedTimestamp',
): object {
  return {
    StackId: id,
    StackName: name,
    LogicalResourceId: one.logicalId,
    PhysicalResourceId: one.physicalId,
    ResourceType: one.type,
    [timeMember]: new Date(one.at),
    ResourceStatus: one.status,
    ResourceStatusReason: one.reason,
    DriftInformation: RESOURCE_NOT_CHECKED,
  };
}

export function eventOutput({ id, name }: Stack, event: StackEvent): object {
  return {
    StackId: id,
    StackName: name,
    EventId: event.id,
    LogicalResourceId: event.logicalId,
    PhysicalResourceId: event.physicalId,
    ResourceType: event.type,
    Timestamp: new Date(event.at),
    ResourceStatus: event.status,
    ResourceStatusReason: event.reason,
  };
}

export function changeSetSummary(set: ChangeSet): object {
  return {
    StackId: set.stackId,
    StackName: set.stackName,
    ChangeSetId: set.id,
    ChangeSetName: set.name,
    ExecutionStatus: set.executionStatus,
    Status: set.status,
    StatusReason: set.reason,
    CreationTime: new Date(set.createdAt),
    Description: set.description,
    IncludeNestedStacks: false,
  };
}

export function changeSetOutput(set: ChangeSet): object {
  const { order, changes } = set;
  return {
    ...changeSetSummary(set),
    Parameters: parametersOutput(order.parameters),
    NotificationARNs: [],
    RollbackConfiguration: {},
    Capabilities: order.capabilities,
    Tags: tagOutput(order.tags),
    OnStackFailure: set.onFailure,
    Changes: changes.map(({ action, logicalId, physicalId, type, isReplaced }) => ({
      Type: 'Resource',
      ResourceChange: {
        Action: action,
        LogicalResourceId: logicalId,
        PhysicalResourceId: physicalId,
        ResourceType: type,
        ...(action === 'Modify'
          ? { Replacement: isReplaced ? 'True' : 'False', Scope: ['Properties'] }
          : { Scope: [] }),
        Details: [],
      },
    })),
  };
}

function dateOf(text: string | undefined): Date | undefined {
  return text === undefined ? undefined : new Date(text);
}
