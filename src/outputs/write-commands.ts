/** Writes groups and lists as a script of aws CLI commands that makes them in a VPC. */
import { formatCidr } from '../addr/address.ts';
import type { PolicyModel, Rule } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { awsService } from './aws-service.ts';
import { awsPeer, cleanText, descriptionOf, prepare, tagsOf, type Exported } from './exported.ts';

/** Stands for a variable of the shell in JSON: no text of AWS's has this character. */
const MARK = '\u0001';

export function writeCommands(model: PolicyModel): {
  readonly text: string;
  readonly losses: readonly string[];
} {
  const exported = prepare(model);
  const losses = [...exported.losses];
  const lines = [
    '#!/bin/sh',
    '# Makes prefix lists and groups in a VPC: VPC=vpc-… sh FILE',
    'set -eu',
    ': "${VPC:?is not set: the id of the VPC}"',
  ];
  for (const { list, key } of exported.lists.values()) {
    const entries = list.entries.map(({ cidr, description }) => ({
      Cidr: formatCidr(cidr),
      ...(description === '' ? {} : { Description: description }),
    }));
    const given = entries.length === 0 ? '' : ` --entries ${quote(JSON.stringify(entries))}`;
    lines.push(
      `${variable(key)}=$(aws ec2 create-managed-prefix-list --prefix-list-name ${quote(list.name)} --address-family IPv${list.family} --max-entries ${list.maxEntries}${given} --query PrefixList.PrefixListId --output text)`,
    );
  }
  for (const { group, key } of exported.groups.values()) {
    const isDefault = group.name === DEFAULT_GROUP_NAME;
    if (isDefault)
      losses.push(`the group ${group.name} can't be made: the script makes ${key}-copy`);
    const tags = tagsOf(group).map((tag) => `{Key=${tag.key},Value=${tag.value}}`);
    const tagged =
      tags.length === 0
        ? ''
        : ` --tag-specifications ${quote(`ResourceType=security-group,Tags=[${tags.join(',')}]`)}`;
    lines.push(
      `${variable(key)}=$(aws ec2 create-security-group --group-name ${quote(isDefault ? `${key}-copy` : group.name)} --description ${quote(descriptionOf(group))} --vpc-id "$VPC"${tagged} --query GroupId --output text)`,
      `own=$(aws ec2 describe-security-group-rules --filters "Name=group-id,Values=$${variable(key)}" --query 'SecurityGroupRules[?IsEgress].SecurityGroupRuleId' --output text)`,
      `aws ec2 revoke-security-group-egress --group-id "$${variable(key)}" --security-group-rule-ids $own > /dev/null`,
    );
  }
  for (const { group, key } of exported.groups.values())
    for (const direction of ['ingress', 'egress'] as const) {
      const rules = group[direction];
      if (rules.length === 0) continue;
      const permissions = JSON.stringify(rules.map((rule) => permissionOf(rule, exported)));
      lines.push(
        `aws ec2 authorize-security-group-${direction} --group-id "$${variable(key)}" --ip-permissions ${quote(permissions)} > /dev/null`,
      );
    }
  return { text: `${lines.join('\n')}\n`, losses };
}

function permissionOf(rule: Rule, { groups, lists }: Exported): object {
  const { protocol, fromPort, toPort } = awsService(rule);
  const { description } = rule;
  const peer = awsPeer(rule);
  const told = description === '' ? {} : { Description: description };
  const refer = (key: string | undefined, id: string): string =>
    key === undefined ? cleanText(id) : `${MARK}${variable(key)}${MARK}`;
  const named =
    peer.kind === 'cidr'
      ? peer.cidr.family === 4
        ? { IpRanges: [{ CidrIp: formatCidr(peer.cidr), ...told }] }
        : { Ipv6Ranges: [{ CidrIpv6: formatCidr(peer.cidr), ...told }] }
      : peer.kind === 'group'
        ? {
            UserIdGroupPairs: [
              { GroupId: refer(groups.get(peer.groupId)?.key, peer.groupId), ...told },
            ],
          }
        : {
            PrefixListIds: [
              {
                PrefixListId: refer(lists.get(peer.prefixListId)?.key, peer.prefixListId),
                ...told,
              },
            ],
          };
  return {
    IpProtocol: protocol,
    ...(fromPort === undefined ? {} : { FromPort: fromPort, ToPort: toPort }),
    ...named,
  };
}

function variable(key: string): string {
  return `id_${key.replaceAll('-', '_')}`;
}

/** A word of the shell; marks in it become variables. */
function quote(text: string): string {
  const parts = text.replaceAll('\\u0001', MARK).split(MARK);
  return parts
    .map((part, i) => (i % 2 === 1 ? `"$${part}"` : `'${part.replaceAll("'", `'\\''`)}'`))
    .join('');
}
