/** This file shows groups and rules as the EC2 API does. */
import { formatCidr } from '../../addr/address.ts';
import type { EstateGroup, Tags } from '../../estate/model.ts';
import { PROTOCOL_ALL, type Rule } from '../../policy/model.ts';
import { protocolName } from '../../policy/protocols.ts';

export interface Owner {
  readonly region: string;
  readonly accountId: string;
}

export function tagOutput(tags: Tags): readonly { readonly Key: string; readonly Value: string }[] {
  return tags.map(({ key, value }) => ({ Key: key, Value: value }));
}

export function arnOf({ region, accountId }: Owner, type: string, id: string): string {
  return `arn:aws:ec2:${region}:${accountId}:${type}/${id}`;
}

export function groupOutput({ group, tags }: EstateGroup, owner: Owner): object {
  return {
    GroupId: group.id,
    GroupName: group.name,
    Description: group.description,
    VpcId: group.vpc.id,
    OwnerId: owner.accountId,
    SecurityGroupArn: arnOf(owner, 'security-group', group.id),
    IpPermissions: permissionsOutput(group.ingress, owner),
    IpPermissionsEgress: permissionsOutput(group.egress, owner),
    Tags: tagOutput(tags),
  };
}

/** Rules of one protocol and range together, as IpPermission has them; ports of all protocols are left out. */
export function permissionsOutput(rules: readonly Rule[], { accountId }: Owner): readonly object[] {
  const services = new Map<string, Rule[]>();
  for (const rule of rules) {
    const key = `${rule.protocol} ${rule.fromPort} ${rule.toPort}`;
    const same = services.get(key);
    if (same === undefined) services.set(key, [rule]);
    else same.push(rule);
  }
  return Array.from(services.values(), (same) => permissionOutput(same, accountId));
}

/** @param rules have the same protocol and range */
function permissionOutput(rules: readonly Rule[], accountId: string): object {
  const [{ protocol, fromPort, toPort }] = rules;
  const permission = {
    IpProtocol: awsProtocol(protocol),
    FromPort: hasRange(protocol) ? fromPort : undefined,
    ToPort: hasRange(protocol) ? toPort : undefined,
    IpRanges: [] as object[],
    Ipv6Ranges: [] as object[],
    PrefixListIds: [] as object[],
    UserIdGroupPairs: [] as object[],
  };
  for (const { peer, description } of rules) {
    const Description = description === '' ? undefined : description;
    switch (peer.kind) {
      case 'cidr':
        if (peer.cidr.family === 4)
          permission.IpRanges.push({ CidrIp: formatCidr(peer.cidr), Description });
        else permission.Ipv6Ranges.push({ CidrIpv6: formatCidr(peer.cidr), Description });
        break;
      case 'prefixList':
        permission.PrefixListIds.push({ PrefixListId: peer.prefixListId, Description });
        break;
      case 'group':
        permission.UserIdGroupPairs.push({ GroupId: peer.groupId, UserId: accountId, Description });
        break;
      case 'dns':
        // EC2 has no word for it (estate/declared.ts).
        break;
      default:
        peer satisfies never;
    }
  }
  return permission;
}

export function ruleOutput(rule: Rule, { group, ruleTags }: EstateGroup, owner: Owner): object {
  const { id, direction, protocol, fromPort, toPort, peer, description } = rule;
  return {
    SecurityGroupRuleId: id,
    SecurityGroupRuleArn: arnOf(owner, 'security-group-rule', id),
    GroupId: group.id,
    GroupOwnerId: owner.accountId,
    IsEgress: direction === 'egress',
    IpProtocol: awsProtocol(protocol),
    FromPort: fromPort,
    ToPort: toPort,
    ...(peer.kind === 'cidr' && peer.cidr.family === 4 ? { CidrIpv4: formatCidr(peer.cidr) } : {}),
    ...(peer.kind === 'cidr' && peer.cidr.family === 6 ? { CidrIpv6: formatCidr(peer.cidr) } : {}),
    ...(peer.kind === 'prefixList' ? { PrefixListId: peer.prefixListId } : {}),
    ...(peer.kind === 'group'
      ? { ReferencedGroupInfo: { GroupId: peer.groupId, UserId: owner.accountId } }
      : {}),
    ...described(description),
    Tags: tagOutput(ruleTags.get(id) ?? []),
  };
}

/** As EC2 shows a protocol. */
export function awsProtocol(protocol: number): string {
  return protocol === PROTOCOL_ALL ? '-1' : protocolName(protocol);
}

/** Whether a service is shown with ports, or an ICMP type and code. */
function hasRange(protocol: number): boolean {
  return protocol !== PROTOCOL_ALL && protocolName(protocol) !== String(protocol);
}

function described(description: string): { readonly Description?: string } {
  return description === '' ? {} : { Description: description };
}
