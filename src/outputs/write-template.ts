/**
 * Writes groups and lists as a CloudFormation template, in JSON. Each rule is a resource of its own, so that groups can
 * name each other. A group without egress rules gets one to nowhere, as CloudFormation's own advice has it: without
 * any, AWS adds the rule that allows everything.
 */
import { formatCidr } from '../addr/address.ts';
import type { PolicyModel, Rule } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import {
  awsPeer,
  cleanText,
  descriptionOf,
  prepare,
  rulesOf,
  tagsOf,
  type Exported,
} from './exported.ts';
import { awsService } from './aws-service.ts';

export const NOWHERE = {
  ...{ IpProtocol: '-1', CidrIp: '127.0.0.1/32' },
  Description: 'Nothing goes out: without a rule AWS would add one that allows everything',
};

export function writeTemplate(model: PolicyModel): {
  readonly text: string;
  readonly losses: readonly string[];
} {
  const exported = prepare(model);
  const losses = [...exported.losses];
  const ids = new LogicalIds();
  const resources: Record<string, object> = {};
  for (const { list, key } of exported.lists.values())
    resources[ids.of(key)] = {
      Type: 'AWS::EC2::PrefixList',
      Properties: {
        ...{
          PrefixListName: list.name,
          AddressFamily: `IPv${list.family}`,
          MaxEntries: list.maxEntries,
        },
        Entries: list.entries.map(({ cidr, description }) => ({
          Cidr: formatCidr(cidr),
          ...(description === '' ? {} : { Description: description }),
        })),
      },
    };
  for (const { group, key } of exported.groups.values()) {
    const isDefault = group.name === DEFAULT_GROUP_NAME;
    if (isDefault)
      losses.push(`the group ${group.name} can't be made: it is ${key} in the template`);
    const tags = tagsOf(group);
    resources[ids.of(key)] = {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: {
        GroupName: isDefault ? `${key}-copy` : group.name,
        GroupDescription: descriptionOf(group),
        VpcId: { Ref: 'VpcId' },
        ...(group.egress.length === 0 ? { SecurityGroupEgress: [NOWHERE] } : {}),
        ...(tags.length === 0
          ? {}
          : { Tags: tags.map(({ key: Key, value: Value }) => ({ Key, Value })) }),
      },
    };
    rulesOf(group).forEach((rule, i) => {
      const id = ids.make(`${ids.of(key)}${rule.direction === 'ingress' ? 'In' : 'Out'}${i + 1}`);
      resources[id] = ruleOf(rule, ids.of(key), exported, ids);
    });
  }
  const parameters = { VpcId: { Type: 'AWS::EC2::VPC::Id', Description: 'The VPC of the groups' } };
  const template = {
    AWSTemplateFormatVersion: '2010-09-09',
    Parameters: parameters,
    Resources: resources,
  };
  return { text: `${JSON.stringify(template, undefined, 2)}\n`, losses };
}

function ruleOf(rule: Rule, group: string, { groups, lists }: Exported, ids: LogicalIds): object {
  const isIngress = rule.direction === 'ingress';
  const { protocol, fromPort, toPort } = awsService(rule);
  const { description } = rule;
  const peer = awsPeer(rule);
  const side = isIngress ? 'Source' : 'Destination';
  const refer = (key: string | undefined, id: string, attribute: string): unknown =>
    key === undefined ? cleanText(id) : { 'Fn::GetAtt': [ids.of(key), attribute] };
  const named =
    peer.kind === 'cidr'
      ? { [peer.cidr.family === 4 ? 'CidrIp' : 'CidrIpv6']: formatCidr(peer.cidr) }
      : peer.kind === 'group'
        ? {
            [`${side}SecurityGroupId`]: refer(
              groups.get(peer.groupId)?.key,
              peer.groupId,
              'GroupId',
            ),
          }
        : {
            [`${side}PrefixListId`]: refer(
              lists.get(peer.prefixListId)?.key,
              peer.prefixListId,
              'PrefixListId',
            ),
          };
  return {
    Type: isIngress ? 'AWS::EC2::SecurityGroupIngress' : 'AWS::EC2::SecurityGroupEgress',
    Properties: {
      ...{ GroupId: { 'Fn::GetAtt': [group, 'GroupId'] }, IpProtocol: protocol },
      ...(fromPort === undefined ? {} : { FromPort: fromPort, ToPort: toPort }),
      ...named,
      ...(description === '' ? {} : { Description: description }),
    },
  };
}

/** Logical ids: letters and digits, each once. */
class LogicalIds {
  private readonly taken = new Set(['VpcId']);
  private readonly byKey = new Map<string, string>();

  /** That of a group or list. */
  of(key: string): string {
    const known = this.byKey.get(key) ?? this.make(key.replaceAll('-', 'x'));
    this.byKey.set(key, known);
    return known;
  }

  /** A new one. */
  make(text: string): string {
    const stem = text.replace(/^./, (letter) => letter.toUpperCase());
    let id = stem;
    for (let i = 2; this.taken.has(id); i++) id = `${stem}n${i}`;
    this.taken.add(id);
    return id;
  }
}
