/**
 * Reads the rules of a request: turns protocol, ports and peers from text and numbers into the model's form. It
 * accepts nothing that EC2 would refuse.
 *
 * As EC2 does, it cuts host bits off blocks (`10.0.0.5/8` becomes `10.0.0.0/8`), turns protocol names into numbers,
 * and drops the ports of protocols that have none.
 *
 * Source: EC2 API Reference, IpPermission, SecurityGroupRuleRequest.
 */
import { parseCidr, refuse, type Cidr, type Family, type Parsed } from '../addr/address.ts';
import { isId, type IdPrefix } from './ids.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type GroupId,
  type Peer,
  type PrefixListId,
  type Rule,
  type SecurityGroup,
} from './model.ts';
import { parseAwsProtocol } from './protocols.ts';
import type { PrefixListSource } from './quotas.ts';
import {
  collect,
  makeRefusal,
  takeParsed,
  unlessRefused,
  type Checked,
  type Refusal,
} from './refusals.ts';
import { normalizeRange, type Range } from './rules.ts';
import { checkRuleDescription } from './texts.ts';
import { DIFFERENT_NETWORKS_TEXT, isSameVpc } from './vpcs.ts';

/** A rule without its id, direction and origin. */
export interface Permission extends Pick<Rule, 'protocol' | 'fromPort' | 'toPort' | 'peer'> {
  /** Undefined: none was given. When a rule is looked for, that differs from an empty one. */
  readonly description?: string;
}

/** A protocol and its ports, or its ICMP type and code, as given. */
export interface ServiceText {
  readonly protocol: string | number | undefined;
  readonly fromPort?: number | undefined;
  readonly toPort?: number | undefined;
}

/** A peer as given. `cidrIpv4` is `CidrIp` of an IpPermission. */
export interface PeerText {
  readonly kind: 'cidrIpv4' | 'cidrIpv6' | 'prefixList' | 'group';
  readonly text: string;
  readonly description?: string | undefined;
}

/** An IpPermission of the API: one service and any number of peers. Each peer becomes a rule. */
export interface PermissionText extends ServiceText {
  readonly peers: readonly PeerText[];
}

/** A SecurityGroupRuleRequest of the API. Exactly one of its four peers must be set. */
export interface RuleText extends ServiceText {
  readonly cidrIpv4?: string | undefined;
  readonly cidrIpv6?: string | undefined;
  readonly prefixListId?: string | undefined;
  readonly referencedGroupId?: string | undefined;
  readonly description?: string | undefined;
}

/** Finds groups and prefix lists by id. A whole PolicyModel is a PeerSource. */
export interface PeerSource extends PrefixListSource {
  readonly groups: { get(id: GroupId): Pick<SecurityGroup, 'id' | 'vpc'> | undefined };
}

/** AWS's answer to a rule with several peers. */
export const SEVERAL_PEERS_TEXT =
  'Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified';

const NO_PEER_TEXT =
  'The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId';

const NO_PROTOCOL_TEXT =
  "Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.";

const PORTS_OF_ALL_TEXT =
  'You may not specify all protocols and specific ports. Please specify each protocol and port range combination individually, or all protocols and no port range.';

/**
 * Reads an IpPermission into one permission for each peer, in their order.
 * @param own the group they are for: its rules may only name groups of its VPC
 */
export function readPermission(
  given: PermissionText,
  own: Pick<SecurityGroup, 'vpc'>,
  source: PeerSource,
): Checked<readonly Permission[]> {
  const refusals: Refusal[] = [];
  const service = readService(given, refusals);
  if (given.peers.length === 0) {
    // AWS does not document a permission without peers. It would change nothing, so it is surely a mistake.
    refusals.push(makeRefusal('MissingParameter', NO_PEER_TEXT));
  }
  const permissions = given.peers.flatMap((peerText) => {
    const peer = readPeer(peerText, own, source, refusals);
    const { description } = peerText;
    refusals.push(...checkDescription(description));
    if (service === undefined || peer === undefined) return [];
    return [{ ...service, peer, ...(description === undefined ? {} : { description }) }];
  });
  return unlessRefused(permissions, refusals);
}

/** Reads the new content of a rule, for ModifySecurityGroupRules, which takes no ports together with all protocols. */
export function readRule(
  given: RuleText,
  own: Pick<SecurityGroup, 'vpc'>,
  source: PeerSource,
): Checked<Permission> {
  const refusals: Refusal[] = [];
  const service = readService(given, refusals);
  const namesPorts = [given.fromPort, given.toPort].some((port) => (port ?? ANY) !== ANY);
  if (service?.protocol === PROTOCOL_ALL && namesPorts)
    refusals.push(makeRefusal('InvalidParameterValue', PORTS_OF_ALL_TEXT));
  const peers = peersOf(given);
  if (peers.length === 0) refusals.push(makeRefusal('MissingParameter', NO_PEER_TEXT));
  if (peers.length > 1)
    refusals.push(makeRefusal('InvalidParameterCombination', SEVERAL_PEERS_TEXT));
  const [peer] = peers.map((text) => readPeer(text, own, source, refusals));
  const { description } = given;
  refusals.push(...checkDescription(description));
  if (refusals.length > 0 || service === undefined || peer === undefined)
    return { ok: false, refusals };
  const permission = { ...service, peer, ...(description === undefined ? {} : { description }) };
  return { ok: true, value: permission };
}

/** A block, and whether it was written without host bits. */
export interface ParsedBlock {
  readonly block: Cidr;
  readonly isExact: boolean;
}

/**
 * Reads a block as EC2 does: host bits are cut off, and a block of the other family is malformed.
 * @param elsewhere the hint for a block of the other family
 */
export function parseBlock(text: string, family: Family, elsewhere: string): Parsed<ParsedBlock> {
  const exact = parseCidr(text, 'refuse');
  // Nearly every block has no host bits.
  const parsed = exact.ok ? exact : parseCidr(text, 'mask');
  if (!parsed.ok) return refuse(malformedBlockText(text), explainBadBlock(text, parsed));
  if (parsed.value.family !== family) return refuse(malformedBlockText(text), elsewhere);
  return { ok: true, value: { block: parsed.value, isExact: exact.ok } };
}

/**
 * Says what is wrong with a block. Blanks around it, such as the line break of YAML's `>`, can't be seen in a
 * message.
 */
function explainBadBlock(
  text: string,
  { message, hint }: { readonly message: string; readonly hint: string },
): string {
  const trimmed = text.trim();
  return trimmed !== text && parseCidr(trimmed, 'mask').ok
    ? `there are blanks or line breaks around it; write ${trimmed} (in YAML >- and |- leave no line break)`
    : `${message}; ${hint}`;
}

/** EC2's answer to a text that is no block of the wanted family. */
export function malformedBlockText(text: string): string {
  return `CIDR block ${text} is malformed`;
}

/** EC2's answer if no group has that id. */
export function unknownGroupText(id: GroupId): string {
  return `The security group '${id}' does not exist`;
}

/** EC2's answer if no prefix list has that id. */
export function unknownPrefixListText(id: PrefixListId): string {
  return `The prefix list ID '${id}' does not exist`;
}

/** EC2's answer to an id that is none of its kind. */
export function malformedIdText(prefix: IdPrefix, text: string): string {
  return `Invalid id: "${text}" (expecting "${prefix}-...")`;
}

function readService(
  { protocol: text, fromPort, toPort }: ServiceText,
  refusals: Refusal[],
): ({ readonly protocol: number } & Range) | undefined {
  if (text === undefined) {
    const hint = 'name tcp, udp, icmp, icmpv6 or a number, or -1 for every protocol';
    refusals.push(makeRefusal('InvalidParameterValue', NO_PROTOCOL_TEXT, hint));
    return undefined;
  }
  const protocol = takeParsed(parseAwsProtocol(text), refusals);
  if (protocol === undefined) return undefined;
  const range = takeParsed(normalizeRange(protocol, fromPort, toPort), refusals);
  return range === undefined ? undefined : { protocol, ...range };
}

function peersOf(given: RuleText): readonly PeerText[] {
  const { cidrIpv4, cidrIpv6, prefixListId, referencedGroupId } = given;
  return [
    ...(cidrIpv4 === undefined ? [] : [{ kind: 'cidrIpv4', text: cidrIpv4 } as const]),
    ...(cidrIpv6 === undefined ? [] : [{ kind: 'cidrIpv6', text: cidrIpv6 } as const]),
    ...(prefixListId === undefined ? [] : [{ kind: 'prefixList', text: prefixListId } as const]),
    ...(referencedGroupId === undefined
      ? []
      : [{ kind: 'group', text: referencedGroupId } as const]),
  ];
}

function readPeer(
  { kind, text }: PeerText,
  own: Pick<SecurityGroup, 'vpc'>,
  source: PeerSource,
  refusals: Refusal[],
): Peer | undefined {
  switch (kind) {
    case 'cidrIpv4':
    case 'cidrIpv6': {
      const block =
        kind === 'cidrIpv4'
          ? parseBlock(text, 4, 'an IPv6 block goes into CidrIpv6')
          : parseBlock(text, 6, 'an IPv4 block goes into CidrIp');
      const parsed = takeParsed(block, refusals);
      return parsed === undefined ? undefined : { kind: 'cidr', cidr: parsed.block };
    }
    case 'prefixList':
      if (source.prefixLists.get(text) !== undefined) return { kind, prefixListId: text };
      refusals.push(
        isId('pl', text)
          ? makeRefusal('InvalidPrefixListID.NotFound', unknownPrefixListText(text))
          : makeRefusal('InvalidPrefixListId.Malformed', malformedIdText('pl', text)),
      );
      return undefined;
    case 'group': {
      const refusal = checkGroup(text, own, source);
      if (refusal === undefined) return { kind, groupId: text };
      refusals.push(refusal);
      return undefined;
    }
    default:
      return kind satisfies never;
  }
}

function checkGroup(
  id: GroupId,
  own: Pick<SecurityGroup, 'vpc'>,
  source: PeerSource,
): Refusal | undefined {
  const group = source.groups.get(id);
  if (group !== undefined) {
    if (isSameVpc(own, group)) return undefined;
    const hint = 'name the addresses of the other side, as a CIDR block';
    return makeRefusal('InvalidGroup.NotFound', `${DIFFERENT_NETWORKS_TEXT}.`, hint);
  }
  return isId('sg', id)
    ? makeRefusal('InvalidGroup.NotFound', unknownGroupText(id))
    : makeRefusal('InvalidGroupId.Malformed', malformedIdText('sg', id));
}

function checkDescription(text: string | undefined): readonly Refusal[] {
  return text === undefined ? [] : collect(checkRuleDescription(text));
}
