/** What a rule's numbers mean by protocol, and the text of rules for messages and tables. */
import { formatCidr, refuse, type Parsed } from '../addr/address.ts';
import { dnsPeerText } from './dns-names.ts';
import { ANY, PROTOCOL_ALL, type Peer, type PolicyModel, type Rule } from './model.ts';
import { hasIcmpType, hasPorts, PROTOCOL_ICMPV6, protocolName } from './protocols.ts';

export interface Range {
  readonly fromPort: number;
  readonly toPort: number;
}

export const PORT_MAX = 65535;
const ICMP_MAX = 255;

/** The part of a model that names are looked up in; enough while a model is still being put together. */
export type Names = Pick<PolicyModel, 'groups' | 'prefixLists'>;

/** Groups and prefix lists by their ids. */
const NAMELESS: Names = { groups: new Map(), prefixLists: new Map() };

/**
 * Checks FromPort and ToPort as EC2 does and returns the form the model keeps.
 *
 * - tcp, udp: both are needed, 0–65535, from ≤ to;
 * - icmp: both are needed, type and code, each 0–255 or -1; all types mean all codes. No range, so 8/0 is echo request;
 * - icmpv6: the same, or neither for all types;
 * - any other protocol, and -1: whatever was given, the rule covers all of it.
 * Source: EC2 API Reference, IpPermission and AuthorizeSecurityGroupIngress.
 */
export function normalizeRange(
  protocol: number,
  from: number | undefined,
  to: number | undefined,
): Parsed<Range> {
  if (hasPorts(protocol)) return normalizePorts(from, to);
  if (hasIcmpType(protocol)) return normalizeIcmp(protocol, from, to);
  return { ok: true, value: { fromPort: ANY, toPort: ANY } };
}

function normalizePorts(from: number | undefined, to: number | undefined): Parsed<Range> {
  if (from === undefined || to === undefined) {
    return refuse(
      'Invalid value for portRange. Must specify both from and to ports with TCP/UDP.',
      'every port is 0 to 65535',
    );
  }
  const hint =
    from === ANY && to === ANY
      ? 'every port is 0 to 65535; -1 is for ICMP'
      : 'ports go from 0 to 65535';
  if (!isInteger(from, 0, PORT_MAX))
    return refuse(`TCP/UDP (from) port (${from}) out of range`, hint);
  if (!isInteger(to, 0, PORT_MAX)) return refuse(`TCP/UDP (to) port (${to}) out of range`, hint);
  if (from > to)
    return refuse(
      `the port range is reversed: it goes from ${from} down to ${to}`,
      `the smaller port comes first: ${to}-${from}`,
    );
  return { ok: true, value: { fromPort: from, toPort: to } };
}

function normalizeIcmp(
  protocol: number,
  type: number | undefined,
  code: number | undefined,
): Parsed<Range> {
  if (type === undefined && code === undefined && protocol === PROTOCOL_ICMPV6) {
    return { ok: true, value: { fromPort: ANY, toPort: ANY } };
  }
  if (type === undefined || code === undefined) {
    return refuse(
      'Invalid value for portRange. Must specify both from and to ports with ICMP.',
      'give the ICMP type and code; -1 stands for all',
    );
  }
  const hint = 'ICMP types and codes go from 0 to 255; -1 stands for all';
  if (!isInteger(type, ANY, ICMP_MAX)) return refuse(`ICMP type (${type}) out of range`, hint);
  if (!isInteger(code, ANY, ICMP_MAX)) return refuse(`ICMP code (${code}) out of range`, hint);
  if (type === ANY && code !== ANY) {
    return refuse(
      `ICMP code (${code}) is given for all types`,
      'with type -1 (all types) the code must be -1 (all codes)',
    );
  }
  return { ok: true, value: { fromPort: type, toPort: code } };
}

/** `10.0.0.0/8`, `pl:office`, `sg:web` or `dns:api.example.com`; the id where the model has no name for it. */
export function peerText(peer: Peer, names: Names): string {
  switch (peer.kind) {
    case 'cidr':
      return formatCidr(peer.cidr);
    case 'prefixList':
      return `pl:${names.prefixLists.get(peer.prefixListId)?.name ?? peer.prefixListId}`;
    case 'group':
      return `sg:${names.groups.get(peer.groupId)?.name ?? peer.groupId}`;
    case 'dns':
      return dnsPeerText(peer);
    default:
      return peer satisfies never;
  }
}

/** `tcp 5432`, `udp 8000-8010`, `icmp type 3 code 4`, `icmp`, `all`, `50`. */
export function serviceText(rule: Pick<Rule, 'protocol' | 'fromPort' | 'toPort'>): string {
  const name = protocolName(rule.protocol);
  if (hasPorts(rule.protocol)) {
    return rule.fromPort === rule.toPort
      ? `${name} ${rule.fromPort}`
      : `${name} ${rule.fromPort}-${rule.toPort}`;
  }
  if (hasIcmpType(rule.protocol) && rule.fromPort !== ANY) {
    return rule.toPort === ANY
      ? `${name} type ${rule.fromPort}`
      : `${name} type ${rule.fromPort} code ${rule.toPort}`;
  }
  return name;
}

/** `tcp 5432 from sg:web`, `all to 0.0.0.0/0`. */
export function ruleText(
  rule: Pick<Rule, 'direction' | 'protocol' | 'fromPort' | 'toPort' | 'peer'>,
  names: Names,
): string {
  return `${serviceText(rule)} ${rule.direction === 'ingress' ? 'from' : 'to'} ${peerText(rule.peer, names)}`;
}

/** What makes two rules of one group the same rule; the same text always, since it uses ids, not names. */
export function ruleKey(
  rule: Pick<Rule, 'direction' | 'protocol' | 'fromPort' | 'toPort' | 'peer'>,
): string {
  return ruleText(rule, NAMELESS);
}

/** What makes two peers the same: a text that uses ids, not names. */
export function peerKey(peer: Peer): string {
  return peerText(peer, NAMELESS);
}

/** What EC2 answers where a group has the rule already (InvalidPermission.Duplicate); groups and lists by id. */
export function duplicateRuleText(
  rule: Pick<Rule, 'protocol' | 'fromPort' | 'toPort' | 'peer'>,
): string {
  const { protocol, fromPort, toPort, peer } = rule;
  const parts = [`peer: ${peerText(peer, NAMELESS).replace(/^(?:sg|pl):/, '')}`];
  const name = protocolName(protocol).toUpperCase();
  if (hasPorts(protocol)) parts.push(name, `from port: ${fromPort}`, `to port: ${toPort}`);
  else if (hasIcmpType(protocol)) parts.push(name, `type: ${fromPort}`, `code: ${toPort}`);
  else parts.push(protocol === PROTOCOL_ALL ? name : `protocol: ${protocol}`);
  return `the specified rule "${parts.join(', ')}, ALLOW" already exists`;
}

function isInteger(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
