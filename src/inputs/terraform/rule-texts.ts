/** Reads of Terraform's rules what needs nothing but themselves. */
import type { Direction } from '../../policy/model.ts';
import type { PeerText, PermissionText } from '../../policy/permissions.ts';
import { numberOf, own, textOf, textsOf } from '../../source/json-values.ts';

/** Without the account that a group of another one has in front: `123456789012/sg-…`. */
export function plainGroupId(text: string): string {
  return text.slice(text.indexOf('/') + 1);
}

/** The protocol and ports of a rule. */
export function serviceOf(block: object, protocolKey: string): Omit<PermissionText, 'peers'> {
  const protocol = own(block, protocolKey);
  return {
    protocol: protocol === 'all' ? '-1' : (textOf(protocol) ?? numberOf(protocol)),
    fromPort: numberOf(own(block, 'from_port')),
    toPort: numberOf(own(block, 'to_port')),
  };
}

/** The key of a rule in a state before, to recognise it where AWS lists it in its group. */
export function removedRules(
  type: string,
  before: object,
): readonly {
  readonly groupId: string;
  readonly direction: Direction;
  readonly text: PermissionText;
}[] {
  const groupId = textOf(own(before, 'security_group_id'));
  if (groupId === undefined) return [];
  const texts = (key: string): readonly string[] => {
    const value = own(before, key);
    return textOf(value) === undefined ? textsOf(value) : [textOf(value)!];
  };
  const isPlain = type === 'aws_security_group_rule';
  const direction = (isPlain ? own(before, 'type') === 'egress' : type.includes('egress'))
    ? 'egress'
    : 'ingress';
  const peers: PeerText[] = [
    ...[...texts('cidr_blocks'), ...texts('cidr_ipv4')].map(
      (text) => ({ kind: 'cidrIpv4', text }) as const,
    ),
    ...[...texts('ipv6_cidr_blocks'), ...texts('cidr_ipv6')].map(
      (text) => ({ kind: 'cidrIpv6', text }) as const,
    ),
    ...[...texts('prefix_list_ids'), ...texts('prefix_list_id')].map(
      (text) => ({ kind: 'prefixList', text }) as const,
    ),
    ...[...texts('source_security_group_id'), ...texts('referenced_security_group_id')].map(
      (text) => ({ kind: 'group', text: plainGroupId(text) }) as const,
    ),
    ...(own(before, 'self') === true ? [{ kind: 'group', text: groupId } as const] : []),
  ];
  const text = { ...serviceOf(before, isPlain ? 'protocol' : 'ip_protocol'), peers };
  return [{ groupId, direction, text }];
}
