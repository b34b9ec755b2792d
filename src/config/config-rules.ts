/**
 * This file reads the rules of a security group. An item of the list may give several ranges and several peers. It
 * makes a rule of each pair.
 */
import { formatCidr, parseCidr, refuse, type Cidr, type Parsed } from '../addr/address.ts';
import { auditRuleId } from '../policy/audit.ts';
import { ruleIdOfKey } from '../policy/default-group.ts';
import { DNS_PREFIX } from '../policy/dns-names.ts';
import {
  giveIds,
  separateRepeated,
  type Separated,
  type UnnamedRule,
} from '../policy/group-rules.ts';
import { isId } from '../policy/ids.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type GroupId,
  type Origin,
  type Peer,
  type Rule,
} from '../policy/model.ts';
import {
  hasIcmpType,
  hasPorts,
  parseProtocol,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  protocolName,
} from '../policy/protocols.ts';
import {
  duplicateRuleText,
  normalizeRange,
  PORT_MAX,
  ruleText,
  type Names,
  type Range,
} from '../policy/rules.ts';
import { checkRuleDescription } from '../policy/texts.ts';
import { get, type Mapping, type Node } from '../source/yaml.ts';
import { looksLikeDnsName, readDnsPeer, readTlsName, type PeerAt } from './config-dns-names.ts';
import type { Directory } from './config-names.ts';
import {
  accept,
  fail,
  lineText,
  originOf,
  placeOf,
  readBoolean,
  readItems,
  readOneOrMore,
  readText,
  readTextOrNumber,
  report,
  take,
  type Reader,
} from './config-reader.ts';

export interface RuleContext {
  readonly reader: Reader;
  readonly groups: Directory;
  readonly prefixLists: Directory;
  /** For the text of rules in messages. */
  readonly names: Names;
}

/** What most rules have. */
const PLAIN_PORT = /^(?:0|[1-9]\d*)$/;

const PEER_KEYS = { ingress: 'from', egress: 'to' } as const;

/** The rules of one direction of a group, and those that only audit (policy/audit.ts). */
export interface WrittenRules {
  readonly rules: readonly Rule[];
  readonly audited: readonly Rule[];
}

/** Reads the rules of one direction of a group. Mistakes are reported and left out, and so are repetitions. */
export function readRules(
  context: RuleContext,
  node: Node,
  direction: Direction,
  groupId: GroupId,
): WrittenRules {
  const { reader } = context;
  const written: UnnamedRule[] = [];
  const audited: UnnamedRule[] = [];
  for (const item of readItems(reader, node)) {
    // The schema check reports a single value in place of a mapping.
    if (item.kind !== 'mapping') reader.misses.push({ node: item, expected: 'a mapping' });
    else {
      const isAudited = readBoolean(reader, item, 'audit', false);
      readRule(context, item, direction, groupId, isAudited ? audited : written);
      if (isAudited && audited.at(-1)?.peer.kind === 'dns') refuseAuditOfName(reader, item);
    }
  }
  const once = (rules: readonly UnnamedRule[]): Separated<UnnamedRule>['fresh'] => {
    const { fresh, repeated } = separateRepeated(rules);
    for (const { rule, first } of repeated) warnOfRepeated(context, rule, first.origin);
    return fresh;
  };
  return {
    rules: giveIds(once(written), (key) => ruleIdOfKey(groupId, direction, key)),
    audited: giveIds(once(audited), (key) => auditRuleId(groupId, direction, key)).map((rule) => ({
      ...rule,
      audit: true,
    })),
  };
}

/** What is learnt of a name is learnt for the gate's own rules. */
function refuseAuditOfName(reader: Reader, item: Mapping): void {
  const hint = 'put the group or the interface in audit mode, or give addresses';
  fail(reader, item, 'audit-of-name', 'a rule with a DNS name as its peer can not audit', hint);
}

function warnOfRepeated(context: RuleContext, rule: UnnamedRule, first: Origin): void {
  const { reader, names } = context;
  const place = placeOf(rule.origin);
  const where = first === rule.origin ? 'in this rule' : `on ${lineText(first, place.at)}`;
  const message = `the rule '${ruleText(rule, names)}' is given already ${where}`;
  const hint = `remove it; AWS refuses it: ${duplicateRuleText(rule)}`;
  report(reader, 'warning', place, 'duplicate-rule', message, hint);
}

/** @param written gets the rules */
function readRule(
  context: RuleContext,
  item: Mapping,
  direction: Direction,
  groupId: GroupId,
  written: UnnamedRule[],
): void {
  const { reader } = context;
  const protocol = readProtocol(reader, item);
  const ranges = readRanges(reader, item, protocol);
  const given = readPeers(context, item, direction, groupId);
  const description = readRuleDescription(reader, get(item, 'description'));
  if (protocol === undefined) return;
  const peers = direction === 'egress' ? readTlsName(reader, item, protocol, given) : given;
  for (const { peer, node } of peers) warnOfFamily(reader, node, protocol, peer);
  const origin = originOf(item);
  for (const { fromPort, toPort } of ranges)
    for (const { peer } of peers)
      written.push({ direction, protocol, fromPort, toPort, peer, description, origin });
}

function readProtocol(reader: Reader, item: Mapping): number | undefined {
  const node = get(item, 'protocol');
  const text = readTextOrNumber(reader, node);
  return text === undefined ? undefined : take(reader, node!, 'bad-protocol', parseProtocol(text));
}

/** The description of a rule or of a prefix list's entry. Empty if it is absent or wrong. */
export function readRuleDescription(reader: Reader, node: Node | undefined): string {
  const text = readText(reader, node) ?? '';
  if (node === undefined) return '';
  return accept(reader, node, 'bad-description', checkRuleDescription(text)) ? text : '';
}

function readRanges(reader: Reader, item: Mapping, protocol: number | undefined): readonly Range[] {
  const ports = get(item, 'ports');
  const type = get(item, 'type');
  const code = get(item, 'code');
  if (protocol === undefined || hasPorts(protocol)) {
    if (protocol !== undefined) refuseIcmpKeys(reader, type, code, protocol);
    if (ports !== undefined) return readPorts(reader, ports, protocol ?? PROTOCOL_TCP);
    if (protocol !== undefined) {
      fail(
        reader,
        item,
        'missing-ports',
        `a ${protocolName(protocol)} rule needs ports`,
        'write ports: 443, ports: 8000-8010, or ports: all',
      );
    }
    return [];
  }
  if (hasIcmpType(protocol)) {
    if (ports !== undefined) {
      const hint = 'write type, and code if need be: type: 8 is echo request (128 for icmpv6)';
      fail(reader, ports, 'ports-without-use', `${protocolName(protocol)} has no ports`, hint);
      return [];
    }
    return readIcmp(reader, item, protocol, type, code);
  }
  if (ports !== undefined) {
    const what = protocol === PROTOCOL_ALL ? "protocol 'all'" : `protocol ${protocol}`;
    const hint = 'such a rule admits all of it, as in AWS: remove ports, or name tcp or udp';
    fail(reader, ports, 'ports-without-use', `ports have no effect with ${what}`, hint);
  }
  refuseIcmpKeys(reader, type, code, protocol);
  return [{ fromPort: ANY, toPort: ANY }];
}

function refuseIcmpKeys(
  reader: Reader,
  type: Node | undefined,
  code: Node | undefined,
  protocol: number,
): void {
  if (type === undefined && code === undefined) return;
  const hint = hasPorts(protocol)
    ? 'write ports; types and codes are for icmp and icmpv6'
    : 'types and codes are for icmp and icmpv6';
  for (const [key, node] of [
    ['type', type],
    ['code', code],
  ] as const) {
    if (node !== undefined)
      fail(
        reader,
        node,
        'type-without-use',
        `a rule for ${protocolName(protocol)} has no ICMP ${key}`,
        hint,
      );
  }
}

function readPorts(reader: Reader, node: Node, protocol: number): Range[] {
  const items = readOneOrMore(node);
  if (items.length === 0)
    fail(
      reader,
      node,
      'missing-ports',
      'the list of ports is empty',
      'write ports: all for all of them',
    );
  return items.length === 1
    ? asList(readPort(reader, items[0], protocol))
    : items.flatMap((item) => readPort(reader, item, protocol) ?? []);
}

function readPort(reader: Reader, item: Node, protocol: number): Range | undefined {
  const text = readTextOrNumber(reader, item);
  if (text === undefined) return undefined;
  const bounds = take(reader, item, 'bad-port', parsePorts(text));
  if (bounds === undefined) return undefined;
  const range = normalizeRange(protocol, bounds.fromPort, bounds.toPort);
  return take(reader, item, 'bad-port', range);
}

function asList<T>(value: T | undefined): T[] {
  return value === undefined ? [] : [value];
}

/** Reads `443`, `8000-8010` or `all`. The limits of the numbers are checked later. */
function parsePorts(text: string): Parsed<Range> {
  if (text === 'all') return { ok: true, value: { fromPort: 0, toPort: PORT_MAX } };
  if (PLAIN_PORT.test(text)) {
    const port = Number(text);
    return { ok: true, value: { fromPort: port, toPort: port } };
  }
  const match = /^(-?\d+)(?:\s*-\s*(\d+))?$/.exec(text.trim());
  const numbers = match === null ? [] : [match[1], match[2] ?? match[1]];
  if (numbers.length > 0 && numbers.every((number) => /^(0|-?[1-9]\d*)$/.test(number))) {
    return { ok: true, value: { fromPort: Number(numbers[0]), toPort: Number(numbers[1]) } };
  }
  return refuse(`'${text}' is not a port or a range of ports`, portsHint(text, numbers));
}

function portsHint(text: string, numbers: readonly string[]): string {
  if (numbers.length > 0) return 'write numbers without leading zeros';
  const range = /^(\d+)\s*(?::|\.\.+|–|to)\s*(\d+)$/.exec(text);
  if (range !== null) return `write ${range[1]}-${range[2]}`;
  if (/^\d+(\s*[, ]\s*\d+)+$/.test(text))
    return `write a list: [${text.split(/[, ]+/).join(', ')}]`;
  return 'write a number, as 443, a range, as 8000-8010, or all';
}

function readIcmp(
  reader: Reader,
  item: Mapping,
  protocol: number,
  type: Node | undefined,
  code: Node | undefined,
): Range[] {
  if (type === undefined) {
    if (code !== undefined) {
      fail(
        reader,
        code,
        'code-without-type',
        'an ICMP code is given without a type',
        'write type as well',
      );
      return [];
    }
    if (protocol === PROTOCOL_ICMPV6) return [{ fromPort: ANY, toPort: ANY }];
    fail(
      reader,
      item,
      'missing-type',
      'an icmp rule needs a type',
      'type: 8 is echo request; type: all admits every type',
    );
    return [];
  }
  const typeNumber = readIcmpNumber(reader, type, 'type');
  const codeNumber = code === undefined ? ANY : readIcmpNumber(reader, code, 'code');
  if (typeNumber === undefined || codeNumber === undefined) return [];
  const range = normalizeRange(protocol, typeNumber, codeNumber);
  // If the type alone is valid, the problem is about the code.
  const typeIsGood = normalizeRange(protocol, typeNumber, ANY).ok;
  const taken = take(reader, typeIsGood && code !== undefined ? code : type, 'bad-icmp', range);
  return taken === undefined ? [] : [taken];
}

function readIcmpNumber(reader: Reader, node: Node, key: 'type' | 'code'): number | undefined {
  const text = readTextOrNumber(reader, node);
  if (text === undefined) return undefined;
  if (text === 'all') return ANY;
  if (/^(0|-?[1-9]\d*)$/.test(text)) return Number(text);
  return fail(
    reader,
    node,
    'bad-icmp',
    `'${text}' is not an ICMP ${key}`,
    'write a number from 0 to 255, or all',
  );
}

function readPeers(
  context: RuleContext,
  item: Mapping,
  direction: Direction,
  groupId: GroupId,
): readonly PeerAt[] {
  const { reader } = context;
  const rightKey = PEER_KEYS[direction];
  const wrongKey = PEER_KEYS[direction === 'ingress' ? 'egress' : 'ingress'];
  const wrong = get(item, wrongKey);
  if (wrong !== undefined) {
    const message = `an ${direction} rule has no '${wrongKey}'`;
    fail(
      reader,
      wrong,
      'wrong-direction',
      message,
      `the other side of ${direction} is named with '${rightKey}'`,
    );
  }
  const node = get(item, rightKey);
  if (node === undefined) return [];
  const items = readOneOrMore(node);
  if (items.length === 0) {
    fail(
      reader,
      node,
      'missing-peer',
      `the list '${rightKey}' is empty`,
      'name at least one block, prefix list or group',
    );
  }
  // Most rules have one.
  return items.length === 1
    ? asList(readPeerAt(context, items[0], direction, groupId))
    : items.flatMap((one) => readPeerAt(context, one, direction, groupId) ?? []);
}

function readPeerAt(
  context: RuleContext,
  node: Node,
  direction: Direction,
  groupId: GroupId,
): PeerAt | undefined {
  const peer = readPeer(context, node, direction, groupId);
  return peer === undefined ? undefined : { peer, node };
}

function readPeer(
  context: RuleContext,
  node: Node,
  direction: Direction,
  groupId: GroupId,
): Peer | undefined {
  const { reader, groups, prefixLists } = context;
  const text = readText(reader, node);
  if (text === undefined) return undefined;
  if (text.startsWith(DNS_PREFIX)) return readDnsPeer(reader, node, text, direction);
  if (text === 'self') return { kind: 'group', groupId };
  if (text.startsWith('sg:') || isId('sg', text)) {
    const id = take(
      reader,
      node,
      groups.unknownCode,
      groups.resolve(text.replace(/^sg:/, ''), groups.vpcOf(groupId)),
    );
    return id === undefined ? undefined : { kind: 'group', groupId: id };
  }
  if (text.startsWith('pl:') || isId('pl', text)) {
    const id = take(
      reader,
      node,
      prefixLists.unknownCode,
      prefixLists.resolve(text.replace(/^pl:/, '')),
    );
    return id === undefined ? undefined : { kind: 'prefixList', prefixListId: id };
  }
  const cidr: Parsed<Cidr> = parseCidr(text, 'refuse');
  if (cidr.ok) return { kind: 'cidr', cidr: cidr.value };
  if (looksLikeAddress(text)) return take(reader, node, 'bad-cidr', cidr);
  return fail(
    reader,
    node,
    'bad-peer',
    `'${text}' is not a CIDR block, a group or a prefix list`,
    peerHint(context, text, direction),
  );
}

function looksLikeAddress(text: string): boolean {
  return /^[\d.]+(\/.*)?$/.test(text) || /^[0-9a-fA-F]*:[0-9a-fA-F:.]*(%.*)?(\/.*)?$/.test(text);
}

function peerHint(
  { groups, prefixLists }: RuleContext,
  text: string,
  direction: Direction,
): string {
  if (groups.has(text)) return `for the group write sg:${text}`;
  if (prefixLists.has(text)) return `for the prefix list write pl:${text}`;
  if (/^(any|anywhere|all|\*)$/i.test(text)) return 'for everywhere write ["0.0.0.0/0", "::/0"]';
  if (direction === 'egress' && looksLikeDnsName(text))
    return `for the addresses that the instance learns of the DNS name write dns:${text}`;
  return 'write a block as 10.0.0.0/8, sg:NAME, pl:NAME, or self; host names are not looked up';
}

/** AWS accepts an ICMP rule for the other family, although it never matches. */
function warnOfFamily(reader: Reader, node: Node, protocol: number, peer: Peer): void {
  if (peer.kind !== 'cidr') return;
  const { family } = peer.cidr;
  if (
    !(protocol === PROTOCOL_ICMP && family === 6) &&
    !(protocol === PROTOCOL_ICMPV6 && family === 4)
  )
    return;
  const message = `an ${protocolName(protocol)} rule for ${formatCidr(peer.cidr)} never matches`;
  report(
    reader,
    'warning',
    node,
    'family-mismatch',
    message,
    `for IPv${family} write protocol: ${family === 6 ? 'icmpv6' : 'icmp'}`,
  );
}
