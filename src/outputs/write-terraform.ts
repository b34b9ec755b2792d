/**
 * Writes groups and lists as Terraform, in the JSON syntax of its language (`.tf.json`), with a resource for each rule.
 * Source: Terraform's "JSON Configuration Syntax"; the AWS provider, aws_vpc_security_group_ingress_rule.
 */
import { formatCidr } from '../addr/address.ts';
import type { PolicyModel, Rule } from '../policy/model.ts';
import { DEFAULT_GROUP_NAME } from '../policy/texts.ts';
import { awsService } from './aws-service.ts';
import {
  awsPeer,
  cleanText,
  descriptionOf,
  prepare,
  rulesOf,
  tagsOf,
  type Exported,
} from './exported.ts';

export function writeTerraform(model: PolicyModel): {
  readonly text: string;
  readonly losses: readonly string[];
} {
  const exported = prepare(model);
  const resources: Record<string, Record<string, object>> = {};
  const add = (type: string, name: string, values: object): void => {
    (resources[type] ??= {})[name] = values;
  };
  for (const { list, key } of exported.lists.values())
    add('aws_ec2_managed_prefix_list', key, {
      ...{
        name: literal(list.name),
        address_family: `IPv${list.family}`,
        max_entries: list.maxEntries,
      },
      entry: list.entries.map(({ cidr, description }) => ({
        cidr: formatCidr(cidr),
        ...(description === '' ? {} : { description: literal(description) }),
      })),
    });
  for (const { group, key } of exported.groups.values()) {
    const isDefault = group.name === DEFAULT_GROUP_NAME;
    const type = isDefault ? 'aws_default_security_group' : 'aws_security_group';
    const named = { name: literal(group.name), description: literal(descriptionOf(group)) };
    const tags = tagsOf(group).map((tag) => [tag.key, tag.value] as const);
    add(type, key, {
      ...(isDefault ? {} : named),
      vpc_id: '${var.vpc_id}',
      ...(tags.length === 0 ? {} : { tags: Object.fromEntries(tags) }),
    });
    rulesOf(group).forEach((rule, i) => {
      add(`aws_vpc_security_group_${rule.direction}_rule`, `${key}-${i + 1}`, {
        security_group_id: `\${${type}.${key}.id}`,
        ...ruleOf(rule, exported),
      });
    });
  }
  const written = {
    variable: { vpc_id: { type: 'string', description: 'The VPC of the groups' } },
    resource: resources,
  };
  return { text: `${JSON.stringify(written, undefined, 2)}\n`, losses: exported.losses };
}

function ruleOf(rule: Rule, { groups, lists }: Exported): object {
  const { protocol, fromPort, toPort } = awsService(rule);
  const { description } = rule;
  const peer = awsPeer(rule);
  const named = (): object => {
    switch (peer.kind) {
      case 'cidr':
        return { [`cidr_ipv${peer.cidr.family}`]: formatCidr(peer.cidr) };
      case 'group': {
        const made = groups.get(peer.groupId);
        const type =
          made?.group.name === DEFAULT_GROUP_NAME
            ? 'aws_default_security_group'
            : 'aws_security_group';
        return {
          referenced_security_group_id:
            made === undefined ? cleanText(peer.groupId) : `\${${type}.${made.key}.id}`,
        };
      }
      case 'prefixList': {
        const key = lists.get(peer.prefixListId)?.key;
        return {
          prefix_list_id:
            key === undefined
              ? cleanText(peer.prefixListId)
              : `\${aws_ec2_managed_prefix_list.${key}.id}`,
        };
      }
      default:
        return peer satisfies never;
    }
  };
  return {
    ip_protocol: protocol,
    ...(fromPort === undefined ? {} : { from_port: fromPort, to_port: toPort }),
    ...named(),
    ...(description === '' ? {} : { description: literal(description) }),
  };
}

/** A text that is no template of Terraform's. */
function literal(text: string): string {
  return text.replaceAll('${', '$${').replaceAll('%{', '%%{');
}
