/** Stacks as a test makes and looks at them, on an estate in memory, and the parts of their templates. */
import assert from 'node:assert/strict';
import type { TestContext } from 'node:test';
import { changeSetActions } from '../../src/api/actions/change-sets.ts';
import { groupActions } from '../../src/api/actions/groups.ts';
import { ruleActions } from '../../src/api/actions/rules.ts';
import { stackViews } from '../../src/api/actions/stack-views.ts';
import { stackActions } from '../../src/api/actions/stacks.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import { makeActions, type Actions } from './actions.ts';

interface Shown {
  readonly StackStatus: string;
  readonly StackStatusReason?: string;
  readonly Outputs: readonly { readonly OutputKey: string; readonly OutputValue: string }[];
  readonly Parameters: readonly object[];
}

export class Stacks {
  readonly api: Actions;

  constructor(api: Actions) {
    this.api = api;
  }

  static async open(t: TestContext): Promise<Stacks> {
    return new Stacks(
      await makeActions(t, (managed) => [
        ...groupActions(managed),
        ...ruleActions(managed),
        ...stackActions(managed),
        ...changeSetActions(managed),
        ...stackViews(managed),
      ]),
    );
  }

  create(name: string, template: object | string, more: object = {}): Promise<unknown> {
    return this.api.call('CreateStack', {
      StackName: name,
      TemplateBody: textOf(template),
      ...more,
    });
  }

  update(name: string, template: object | string, more: object = {}): Promise<unknown> {
    return this.api.call('UpdateStack', {
      StackName: name,
      TemplateBody: textOf(template),
      ...more,
    });
  }

  async show(name: string): Promise<Shown> {
    const { Stacks: found } = await this.api.call('DescribeStacks', { StackName: name });
    return (found as readonly Shown[])[0];
  }

  async status(name: string): Promise<string> {
    return (await this.show(name)).StackStatus;
  }

  /** Physical ids by logical ids. */
  async ids(name: string): Promise<Record<string, string>> {
    const { StackResources: found } = await this.api.call('DescribeStackResources', {
      StackName: name,
    });
    return Object.fromEntries(
      (found as readonly { LogicalResourceId: string; PhysicalResourceId: string }[]).map((one) => [
        one.LogicalResourceId,
        one.PhysicalResourceId,
      ]),
    );
  }

  /** `LOGICAL-ID STATUS REASON` of events, the newest first. */
  async events(name: string): Promise<readonly string[]> {
    const { StackEvents: found } = await this.api.call('DescribeStackEvents', { StackName: name });
    return (
      found as readonly {
        LogicalResourceId: string;
        ResourceStatus: string;
        ResourceStatusReason?: string;
      }[]
    ).map((one) =>
      [one.LogicalResourceId, one.ResourceStatus, one.ResourceStatusReason ?? ''].join(' ').trim(),
    );
  }

  rules(groupId: string): readonly string[] {
    const { ingress, egress } = this.api.client.estate.group(groupId)!.group;
    return [...ingress, ...egress].map(ruleKey).sort();
  }

  groupCount(): number {
    return this.api.client.estate.list('groups').length;
  }
}

export function textOf(template: object | string): string {
  return typeof template === 'string' ? template : JSON.stringify(template);
}

export function group(properties: object = {}): object {
  return { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'd', ...properties } };
}

export function tcp(port: number, peer: object = { CidrIp: '10.0.0.0/8' }): object {
  return { IpProtocol: 'tcp', FromPort: port, ToPort: port, ...peer };
}

export const attribute = (logicalId: string): object => ({ 'Fn::GetAtt': [logicalId, 'GroupId'] });

export function rejects(promise: Promise<unknown>, message: string | RegExp): Promise<void> {
  return assert.rejects(promise, { code: 'ValidationError', message });
}
