/**
 * This file finds the clauses of a rule that a packet fails, and says what would have made it match.
 *
 * A rule has up to five clauses: protocol, family (of its CIDR or prefix list), port or ICMP type and code, and peer.
 * No clause fails exactly if the matchers admit the packet by the rule. A property test compares the three.
 */
import {
  addressBits,
  cidrContains,
  formatAddress,
  formatCidr,
  sameAddress,
  type Address,
  type Family,
} from '../addr/address.ts';
import type {
  AdmittingRule,
  Clause,
  FailedClause,
  LearntName,
  NearMiss,
  RuleRef,
  Service,
} from './explanation.ts';
import { groupMembers } from '../policy/members.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type DnsPeer,
  type GroupId,
  type Peer,
  type PolicyModel,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { DNS_PREFIX, isWildcardName } from '../policy/dns-names.ts';
import { hasIcmpType, hasPorts, protocolName } from '../policy/protocols.ts';
import { peerText, PORT_MAX, ruleText } from '../policy/rules.ts';
import { groupLabel } from '../policy/vpcs.ts';
import { listFirst } from '../source/suggest.ts';

const LISTED_MAX = 4;

/** If two rules fail equally many clauses, the one that was more likely meant for this packet comes first. */
const CLAUSES_BY_CLOSENESS: readonly Clause[] = [
  'code',
  'peer',
  'port',
  'type',
  'family',
  'protocol',
];

/** The packet as the rules of one gate see it. */
export interface Seen {
  readonly service: Service;
  /** The remote address: source at an ingress gate, destination at an egress gate. */
  readonly remote: Address;
  /** Groups with a member that has this address. */
  readonly remoteGroups: ReadonlySet<GroupId>;
  readonly members: ReadonlyMap<GroupId, readonly Address[]>;
  /** What the interface has learnt of the names of its rules; undefined: nobody can tell. */
  readonly learnt?: readonly LearntName[] | undefined;
}

export function seeService(
  model: PolicyModel,
  service: Service,
  remote: Address,
  learnt?: readonly LearntName[],
): Seen {
  const members = groupMembers(model);
  const remoteGroups = new Set<GroupId>();
  for (const [groupId, addresses] of members) {
    if (addresses.some((address) => sameAddress(address, remote))) remoteGroups.add(groupId);
  }
  return { service, remote, remoteGroups, members, learnt };
}

/** Finds the clauses that fail, in the order of the explanation. Empty if the rule admits the packet. */
export function failedClauses(rule: Rule, seen: Seen, model: PolicyModel): FailedClause[] {
  return [...serviceClauses(rule, seen.service), ...peerClauses(rule, seen, model)];
}

function serviceClauses(rule: Rule, service: Service): FailedClause[] {
  if (rule.protocol === PROTOCOL_ALL) return [];
  const failed: FailedClause[] = [];
  if (rule.protocol !== service.protocol) {
    failed.push({
      clause: 'protocol',
      wanted: protocolName(rule.protocol),
      found: protocolName(service.protocol),
    });
  }
  if (hasPorts(rule.protocol)) failed.push(...portClauses(rule, service));
  if (hasIcmpType(rule.protocol)) failed.push(...icmpClauses(rule, service));
  return failed;
}

function portClauses({ fromPort, toPort }: Rule, service: Service): FailedClause[] {
  const wanted = fromPort === toPort ? `${fromPort}` : `${fromPort}-${toPort}`;
  if (service.kind !== 'ports')
    return fromPort === 0 && toPort === PORT_MAX ? [] : [{ clause: 'port', wanted }];
  return fromPort <= service.port && service.port <= toPort
    ? []
    : [{ clause: 'port', wanted, found: `${service.port}` }];
}

function icmpClauses({ fromPort: type, toPort: code }: Rule, service: Service): FailedClause[] {
  if (type === ANY) return [];
  if (service.kind !== 'icmp') return [{ clause: 'type', wanted: `${type}` }];
  const failed: FailedClause[] = [];
  if (type !== service.type)
    failed.push({ clause: 'type', wanted: `${type}`, found: `${service.type}` });
  if (code !== ANY && code !== service.code)
    failed.push({ clause: 'code', wanted: `${code}`, found: `${service.code}` });
  return failed;
}

function peerClauses({ peer }: Rule, seen: Seen, model: PolicyModel): FailedClause[] {
  const { remote } = seen;
  const family = familyOf(peer, model);
  if (family !== undefined && family !== remote.family)
    return [{ clause: 'family', wanted: `IPv${family}`, found: `IPv${remote.family}` }];
  if (coveringText(peer, seen, model) !== undefined) return [];
  return [
    {
      clause: 'peer',
      wanted: describePeer(peer, seen, model),
      found: formatAddress(remote),
    },
  ];
}

/** The family of a peer. Undefined for a group, whose members may have both, and for a DNS name. */
function familyOf(peer: Peer, model: PolicyModel): Family | undefined {
  switch (peer.kind) {
    case 'cidr':
      return peer.cidr.family;
    case 'prefixList':
      return model.prefixLists.get(peer.prefixListId)?.family;
    case 'group':
    case 'dns':
      return undefined;
    default:
      return peer satisfies never;
  }
}

/**
 * Explains why the peer covers the address. Empty for a CIDR, which needs no words. Undefined if it does not cover it.
 */
function coveringText(peer: Peer, seen: Seen, model: PolicyModel): string | undefined {
  const { remote, remoteGroups, learnt } = seen;
  switch (peer.kind) {
    case 'cidr':
      return cidrContains(peer.cidr, remote) ? '' : undefined;
    case 'prefixList': {
      const entries = model.prefixLists.get(peer.prefixListId)?.entries ?? [];
      const entry = entries.find(({ cidr }) => cidrContains(cidr, remote));
      if (entry === undefined) return undefined;
      return `${formatAddress(remote)} is in ${formatCidr(entry.cidr)} of ${peerText(peer, model)}`;
    }
    case 'group':
      return remoteGroups.has(peer.groupId)
        ? `${formatAddress(remote)} is of ${peerText(peer, model)}`
        : undefined;
    case 'dns': {
      const found = learnt?.find(
        (one) => one.name === peer.name && sameAddress(one.address, remote),
      );
      if (found === undefined) return undefined;
      const until = new Date(found.untilMs).toISOString();
      return `${formatAddress(remote)} was learnt for ${DNS_PREFIX}${peer.name}, and counts until ${until}${tlsNameText(peer)}`;
    }
    default:
      return peer satisfies never;
  }
}

/** What else a rule requires of the connection. Explanations are about its first packet. */
function tlsNameText({ name, tlsName }: DnsPeer): string {
  return tlsName === true
    ? `; the connection must begin with TLS, and its server name must be ${nameText(name)}`
    : '';
}

function nameText(name: string): string {
  return isWildcardName(name) ? `below ${name.slice(2)}` : name;
}

/** Describes a peer: `sg:app (10.0.0.12, fd00:10::12)`, `pl:office (203.0.113.0/24)`, `10.0.0.0/8`, `10.0.0.12`. */
function describePeer(peer: Peer, { remote, members, learnt }: Seen, model: PolicyModel): string {
  const name = peerText(peer, model);
  switch (peer.kind) {
    case 'cidr':
      return isHost(peer) ? formatAddress(peer.cidr) : name;
    case 'prefixList': {
      const list = model.prefixLists.get(peer.prefixListId);
      if (list === undefined) return `${name} (which does not exist)`;
      const cidrs = list.entries.map(({ cidr }) => formatCidr(cidr));
      return `${name} (${cidrs.length === 0 ? 'no entries' : listFirst(cidrs, LISTED_MAX)})`;
    }
    case 'group': {
      const own = members.get(peer.groupId);
      if (own === undefined) return `${name} (which does not exist)`;
      if (own.length === 0) return `${name} (on no interface)`;
      const { family } = remote;
      const ofFamily = own.filter((address) => address.family === family);
      const others = own.filter((address) => address.family !== family);
      const lacks = ofFamily.length === 0 ? `; no IPv${family} address` : '';
      return `${name} (${listFirst([...ofFamily, ...others].map(formatAddress), LISTED_MAX)}${lacks})`;
    }
    case 'dns': {
      const own = learnt?.filter((one) => one.name === peer.name).map(({ address }) => address);
      if (own === undefined) return name;
      if (own.length === 0) return `${name} (no answer for it has been seen)`;
      return `${name} (${listFirst(own.map(formatAddress), LISTED_MAX)})`;
    }
    default:
      return peer satisfies never;
  }
}

function isHost(peer: Peer): boolean {
  return peer.kind === 'cidr' && peer.cidr.length === addressBits(peer.cidr.family);
}

export function refer(rule: Rule, group: SecurityGroup, model: PolicyModel): RuleRef {
  return {
    id: rule.id,
    group: { id: group.id, name: groupLabel(group) },
    text: ruleText(rule, model),
    description: rule.description,
    origin: rule.origin,
  };
}

/** Makes the reference to a rule that admits the packet. */
export function referAdmitting(
  rule: Rule,
  group: SecurityGroup,
  seen: Seen,
  model: PolicyModel,
): AdmittingRule {
  const because = coveringText(rule.peer, seen, model) ?? '';
  const ref = refer(rule, group, model);
  return because === '' ? ref : { ...ref, because };
}

/** A rule that does not admit the packet. */
export interface Miss {
  readonly rule: Rule;
  readonly group: SecurityGroup;
  /** At least one. */
  readonly failed: readonly FailedClause[];
}

/** Sorts misses: the fewest failed clauses first, then by which clauses failed, then in written order. */
export function nearMisses(misses: readonly Miss[], model: PolicyModel): NearMiss[] {
  const distance = ({ failed }: Miss): number =>
    Math.max(...failed.map(({ clause }) => CLAUSES_BY_CLOSENESS.indexOf(clause)));
  return [...misses]
    .sort((a, b) => a.failed.length - b.failed.length || distance(a) - distance(b))
    .map(({ rule, group, failed }) => ({
      rule: refer(rule, group, model),
      failed,
      text: missText(rule, failed),
    }));
}

/**
 * `would match if the port were 443, not 8443, and the source were in sg:app (10.0.0.12)`,
 * `is for tcp, not udp`, `is for tcp, not udp, and only if the port were 53`.
 */
function missText(rule: Rule, failed: readonly FailedClause[]): string {
  const kinds = failed.flatMap((one) =>
    one.clause === 'protocol'
      ? `${one.wanted}, not ${one.found}`
      : one.clause === 'family'
        ? `${one.wanted} only`
        : [],
  );
  const conditions = failed.flatMap((one) => conditionText(rule, one) ?? []);
  if (kinds.length === 0) return `would match if ${conditions.join(', and ')}`;
  const isFor = `is for ${kinds.join(', and for ')}`;
  return conditions.length === 0 ? isFor : `${isFor}, and only if ${conditions.join(', and ')}`;
}

function conditionText(rule: Rule, { clause, wanted, found }: FailedClause): string | undefined {
  const instead = found === undefined ? '' : `, not ${found}`;
  switch (clause) {
    case 'protocol':
    case 'family':
      return undefined;
    case 'port':
      return `the port were ${wanted.includes('-') ? 'in ' : ''}${wanted}${instead}`;
    case 'type':
    case 'code':
      return `the ${clause} were ${wanted}${instead}`;
    case 'peer':
      return `the ${rule.direction === 'ingress' ? 'source' : 'destination'} were ${isHost(rule.peer) ? '' : 'in '}${wanted}`;
    default:
      return clause satisfies never;
  }
}
