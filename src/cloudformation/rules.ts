/**
 * This file turns a rule of a template into rules of the model.
 *
 * There are three outcomes. A mistake is an error. Something that only AWS could know is a warning, and the rule is
 * left out; groups only allow, so a missing rule denies. Otherwise each peer makes a rule. AWS wants exactly one peer;
 * several are read as the author surely meant them, with a warning.
 */
import { addressBits, formatCidr, type Cidr } from '../addr/address.ts';
import { giveIds } from '../policy/group-rules.ts';
import { stableId } from '../policy/ids.ts';
import type { Direction, GroupId, Origin, Peer, Rule } from '../policy/model.ts';
import { malformedBlockText, parseBlock, SEVERAL_PEERS_TEXT } from '../policy/permissions.ts';
import { hasIcmpType, hasPorts, parseAwsProtocol } from '../policy/protocols.ts';
import { normalizeRange, ruleKey, type Range } from '../policy/rules.ts';
import { checkRuleDescription } from '../policy/texts.ts';
import type { Mapping } from '../source/yaml.ts';
import { readText, warnOfUnknown } from './properties.ts';
import { explainStranger, resolveGroup, resolvePrefixList, type Directory } from './references.ts';
import { fail, report } from './reporting.ts';
import type { Scope } from './scope.ts';
import { abbreviate, type TextValue, type UnknownValue, type Where } from './values.ts';

/** A rule as it is written in the template: inline, or as a resource of its own. */
export interface WrittenRule extends Where {
  readonly direction: Direction;
  readonly properties: Mapping;
  readonly logicalId: string;
}

const PEER_PROPERTIES: Readonly<Record<Direction, readonly string[]>> = {
  ingress: [
    'CidrIp',
    'CidrIpv6',
    'SourcePrefixListId',
    'SourceSecurityGroupId',
    'SourceSecurityGroupName',
  ],
  egress: ['CidrIp', 'CidrIpv6', 'DestinationPrefixListId', 'DestinationSecurityGroupId'],
};

const LEFT_OUT = 'the rule is left out';

/** The rules that `written` makes for a group, one a peer. None if something is wrong or unknown, which is reported. */
export function readRules(
  scope: Scope,
  directory: Directory,
  groupId: GroupId,
  written: WrittenRule,
): readonly Rule[] {
  const protocol = readProtocol(scope, written);
  const range = protocol === undefined ? undefined : readRange(scope, written, protocol);
  const peers = readPeers(scope, directory, groupId, written);
  const description = readDescription(scope, written);
  if (protocol === undefined || range === undefined || description === undefined) return [];
  const { direction } = written;
  const { file, line, column } = written.at;
  const origin: Origin = { file, line, column, path: written.path, logicalId: written.logicalId };
  const unnamed = peers.map((peer) => {
    const rule = { direction, protocol, ...range, peer, description, origin };
    return { key: ruleKey(rule), rule };
  });
  return giveIds(unnamed, (key) => stableId('sgr', groupId, key));
}

function readProtocol(scope: Scope, written: WrittenRule): number | undefined {
  const value = readText(scope, written.properties, 'IpProtocol');
  if (value === undefined) {
    const hint =
      'VPC security group rules must specify protocols explicitly: tcp, udp, icmp, icmpv6, a number, or -1 for all';
    fail(scope, 'missing-property', written, 'the rule has no IpProtocol', hint);
    return undefined;
  }
  if (!isText(scope, written, 'IpProtocol', value)) return undefined;
  const protocol = parseAwsProtocol(value.text);
  if (protocol.ok) return protocol.value;
  fail(scope, 'bad-protocol', value, protocol.message.replace(/\.$/, ''), protocol.hint);
  return undefined;
}

function readRange(scope: Scope, written: WrittenRule, protocol: number): Range | undefined {
  const from = readPort(scope, written, 'FromPort');
  const to = readPort(scope, written, 'ToPort');
  if (from === 'unusable' || to === 'unusable') return undefined;
  const range = normalizeRange(protocol, from?.number, to?.number);
  const where = from ?? to ?? written;
  if (!range.ok) {
    fail(
      scope,
      'bad-ports',
      { at: where.at, path: where.path },
      range.message.replace(/\.$/, ''),
      range.hint,
    );
    return undefined;
  }
  if (!hasPorts(protocol) && !hasIcmpType(protocol) && !coversAll(from?.number, to?.number)) {
    const message = `the ports ${from?.number ?? 'none'} to ${to?.number ?? 'none'} mean nothing with protocol ${protocol}: the rule allows all of it`;
    report(
      scope.problems,
      'warning',
      'ports-ignored',
      where,
      message,
      'only tcp, udp, icmp and icmpv6 have ports or types; name the protocol, or leave the ports out',
    );
  }
  return range.value;
}

/** Whether the ports mean "all", in one of the ways that people write that for a protocol without ports. */
function coversAll(from: number | undefined, to: number | undefined): boolean {
  return (from ?? 0) <= 0 && [undefined, -1, 0, 65535].includes(to);
}

function readPort(
  scope: Scope,
  written: WrittenRule,
  name: string,
): (Where & { readonly number: number }) | 'unusable' | undefined {
  const value = readText(scope, written.properties, name);
  if (value === undefined) return undefined;
  if (!isText(scope, written, name, value)) return 'unusable';
  // '0443' is refused, since YAML 1.1, which AWS uses, reads it as 291.
  if (/^-?(0|[1-9]\d{0,8})$/.test(value.text))
    return { number: Number(value.text), at: value.at, path: value.path };
  fail(
    scope,
    'bad-ports',
    value,
    `${name} '${abbreviate(value.text)}' is not a number`,
    'write a port, as 443',
  );
  return 'unusable';
}

function readDescription(scope: Scope, written: WrittenRule): string | undefined {
  const value = readText(scope, written.properties, 'Description');
  if (value === undefined || value.kind === 'unusable') return '';
  if (value.kind === 'unknown') {
    warnOfUnknown(scope, 'Description', value, value.path, 'it is left empty');
    return '';
  }
  const refusal = checkRuleDescription(value.text);
  if (refusal === undefined) return value.text;
  fail(scope, 'bad-description', value, refusal.message, refusal.hint);
  return undefined;
}

function readPeers(
  scope: Scope,
  directory: Directory,
  ownId: GroupId,
  written: WrittenRule,
): Peer[] {
  const names = PEER_PROPERTIES[written.direction];
  const given: { name: string; value: NonNullable<ReturnType<typeof readText>> }[] = [];
  for (const name of names) {
    const value = readText(scope, written.properties, name);
    if (value !== undefined) given.push({ name, value });
  }
  const side = written.direction === 'ingress' ? 'source' : 'destination';
  if (given.length === 0) {
    fail(
      scope,
      'missing-peer',
      written,
      `the rule names no ${side}`,
      `give exactly one of ${names.join(', ')}`,
    );
    return [];
  }
  if (given.length > 1)
    warnOfSeveralPeers(
      scope,
      written,
      side,
      given.map(({ name }) => name),
    );
  const peers: Peer[] = [];
  for (const { name, value } of given) {
    if (!isText(scope, written, name, value)) continue;
    const peer = readPeer(scope, directory, ownId, written, name, value);
    if (peer?.kind === 'unknown') warnOfUnknown(scope, name, peer, peer.path, LEFT_OUT);
    else if (peer !== undefined) peers.push(peer);
  }
  return peers;
}

function warnOfSeveralPeers(
  scope: Scope,
  written: WrittenRule,
  side: string,
  names: readonly string[],
): void {
  const second = written.properties.entries.filter((entry) => names.includes(entry.key))[1];
  const where: Where =
    second === undefined ? written : { at: second.keyAt, path: second.value.path };
  const message = `the rule names ${names.length} ${side}s (${names.join(', ')}); it is taken as one rule for each`;
  const hint = `AWS refuses it: ${SEVERAL_PEERS_TEXT}; write one rule for each`;
  report(scope.problems, 'warning', 'several-peers', where, message, hint);
}

function readPeer(
  scope: Scope,
  directory: Directory,
  ownId: GroupId,
  written: WrittenRule,
  name: string,
  value: TextValue,
): Peer | UnknownValue | undefined {
  if (name === 'CidrIp') return readCidr(scope, value, 4, 'an IPv6 block goes into CidrIpv6');
  if (name === 'CidrIpv6') return readCidr(scope, value, 6, 'an IPv4 block goes into CidrIp');
  if (name.endsWith('PrefixListId')) {
    const prefixListId = resolvePrefixList(directory, value.text);
    if (prefixListId !== undefined) return { kind: 'prefixList', prefixListId };
    return explainStranger(scope, directory, 'prefix list', value.text, value);
  }
  const reference = addOwner(scope, written, name, value);
  if (typeof reference !== 'string') return reference;
  const groupId = resolveGroup(scope, directory, name, reference, value, ownId);
  if (groupId !== undefined) return { kind: 'group', groupId };
  return explainStranger(scope, directory, 'group', reference, value);
}

/** Adds the owner to a group of another account, `123456789012/sg-…`, as the console writes it. */
function addOwner(
  scope: Scope,
  written: WrittenRule,
  name: string,
  value: TextValue,
): string | UnknownValue | undefined {
  if (!name.startsWith('Source')) return value.text;
  const owner = readText(scope, written.properties, 'SourceSecurityGroupOwnerId');
  if (owner === undefined) return value.text;
  if (owner.kind === 'unusable') return undefined;
  if (owner.kind === 'unknown') return owner;
  return owner.text === scope.inputs.account.accountId ? value.text : `${owner.text}/${value.text}`;
}

/**
 * Reads a block as AWS does. Host bits are cut off, with a warning. A block of the other family is malformed.
 * @param elsewhere where a block of the other family belongs, for the hint
 */
export function readCidr(
  scope: Scope,
  value: TextValue,
  family: 4 | 6,
  elsewhere: string,
): { readonly kind: 'cidr'; readonly cidr: Cidr } | undefined {
  const parsed = parseBlock(value.text, family, elsewhere);
  if (!parsed.ok) {
    fail(scope, 'bad-cidr', value, malformedBlockText(abbreviate(value.text)), parsed.hint);
    return undefined;
  }
  const { block, isExact } = parsed.value;
  if (!isExact) {
    const message = `CIDR block ${abbreviate(value.text)} has bits set beyond its prefix; AWS stores ${formatCidr(block)}, and so do we`;
    const hint = `write ${formatCidr(block)}, or /${addressBits(family)} for the one host`;
    report(scope.problems, 'warning', 'host-bits', value, message, hint);
  }
  return { kind: 'cidr', cidr: block };
}

/** Whether the value is a text. An unknown value is reported. */
function isText(
  scope: Scope,
  written: WrittenRule,
  name: string,
  value: NonNullable<ReturnType<typeof readText>>,
): value is TextValue {
  if (value.kind === 'unknown')
    warnOfUnknown(scope, name, value, value.path || written.path, LEFT_OUT);
  return value.kind === 'text';
}
