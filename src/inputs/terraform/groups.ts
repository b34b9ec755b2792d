/**
 * Reads the groups and rules of a plan or state into a draft, in each of the ways that Terraform has for rules.
 *
 * A group of Terraform has no rules but those that are written: the provider removes the one that AWS adds, which
 * CloudFormation keeps. A rule whose group, peer or ports the plan leaves open is no rule, and what it may be is noted.
 */
import type { Direction } from '../../policy/model.ts';
import type { PeerText, PermissionText } from '../../policy/permissions.ts';
import { objectsOf, own, textOf, textsOf } from '../../source/json-values.ts';
import type { DraftGroup, DraftRule } from '../draft-parts.ts';
import type { Instance } from './resource.ts';
import { idOf, isUnknown, type Link } from './links.ts';
import { auditOf } from './networks.ts';
import type { Reading } from './reading.ts';
import { plainGroupId, serviceOf } from './rule-texts.ts';

/** The group that has the rule: no id of AWS's is so. */
const SELF = 'self';

const DIRECTIONS = ['ingress', 'egress'] as const;

/** Enters a group without its rules. */
export function enterGroup(reading: Reading, one: Instance): void {
  const { values, isData, type, address } = one;
  const vpcId = reading.one(reading.links.of(one, 'vpc_id', 'vpc'));
  const own_ = idOf(one, 'group');
  const id = type === 'aws_default_security_group' ? reading.defaultGroupId(vpcId, own_) : own_;
  if (id !== own_) reading.aliases.set(own_, id);
  const why = `it is only looked up: its rules are not in ${reading.draft.what}`;
  const gaps = isData ? [why] : [];
  const isDefault = type === 'aws_default_security_group';
  reading.draft.groups.set(id, {
    ...{ id, vpcId, rules: [], memberGaps: isData ? [`${address} is only looked up`] : [] },
    name: textOf(own(values, 'name')) ?? (isDefault ? 'default' : address),
    description: textOf(own(values, 'description')) ?? '',
    origin: reading.originOf(one),
    gaps: { ingress: [...gaps], egress: [...gaps] },
    ...auditOf(one),
  });
}

/** Adds the rules that are written in a group. */
export function readInlineRules(reading: Reading, one: Instance): void {
  if (one.isData) return;
  const group = reading.draft.groups.get(reading.real(idOf(one, 'group')))!;
  for (const direction of DIRECTIONS) {
    const blocks = own(one.values, direction);
    const unknown = own(one.unknown, direction);
    const isWritten = reading.isWritten(one, direction);
    if (unknown === true && isWritten)
      group.gaps[direction].push(`the plan does not know the ${direction} rules of ${one.address}`);
    const expression = own(reading.links.expressionsOf(one), direction);
    objectsOf(blocks).forEach((block, i) => {
      const part = Array.isArray(unknown) ? (unknown[i] as unknown) : undefined;
      const found = readBlock(reading, one, { block, unknown: part, expression });
      addRule(reading, { ...found, direction, owner: certain(group) }, one);
    });
    // What nobody wrote was read from AWS before: a rule that the plan removes is still among it.
    if (!isWritten) reading.dropRemoved(group, direction);
  }
}

interface Owner {
  readonly groups: readonly DraftGroup[];
  /** Why it is not certain that it is theirs; undefined: it is. */
  readonly why: string | undefined;
  /** It may be of a group that is not among them. */
  readonly isOpen: boolean;
}

function certain(group: DraftGroup): Owner {
  return { groups: [group], why: undefined, isOpen: false };
}

interface FoundRule {
  readonly text: Omit<PermissionText, 'peers'>;
  readonly peers: readonly PeerText[];
  /** Peers that it may have, with why. */
  readonly possible: readonly { readonly peer: PeerText; readonly why: string }[];
  /** Why it may admit something else, as clauses. */
  readonly gaps: readonly string[];
  readonly id?: string;
}

/** A rule with as many peers as it has: a block of a group, or `aws_security_group_rule`. */
function readBlock(
  reading: Reading,
  one: Instance,
  { block, unknown, expression }: { block: object; unknown: unknown; expression: unknown },
  source = 'security_groups',
): FoundRule {
  const isShared = expression !== undefined;
  const description = textOf(own(block, 'description'));
  const link = (attribute: string, kind: 'group' | 'list'): Link => {
    const at = { value: own(block, attribute), unknown: own(unknown, attribute) };
    const own_ = own(reading.links.expressionsOf(one), attribute);
    const isList = attribute.endsWith('s');
    return reading.links.at(one, { ...at, expression: expression ?? own_, isShared, isList }, kind);
  };
  const links = [
    { link: link(source, 'group'), kind: 'group' as const },
    { link: link('prefix_list_ids', 'list'), kind: 'prefixList' as const },
  ];
  const blocks = (attribute: string, kind: 'cidrIpv4' | 'cidrIpv6'): readonly PeerText[] =>
    textsOf(own(block, attribute)).map((text) => ({ kind, text, description }));
  const isSelf = own(block, 'self') === true;
  return {
    text: serviceOf(block, 'protocol'),
    peers: [
      ...blocks('cidr_blocks', 'cidrIpv4'),
      ...blocks('ipv6_cidr_blocks', 'cidrIpv6'),
      ...links.flatMap((each) =>
        each.link.ids.map((text) => peerOf(reading, each.kind, text, description)),
      ),
      ...(isSelf ? [{ kind: 'group', text: SELF, description } as const] : []),
    ],
    possible: links.flatMap((each) => possiblePeers(reading, each, description)),
    gaps: [
      ...links.flatMap((each) => each.link.opaque),
      ...['cidr_blocks', 'ipv6_cidr_blocks', 'from_port', 'to_port', 'protocol', 'self']
        .filter((attribute) => isUnknown(own(unknown, attribute)))
        .map((attribute) => `${attribute} is not known`),
    ],
  };
}

function possiblePeers(
  reading: Reading,
  { link, kind }: { readonly link: Link; readonly kind: 'group' | 'prefixList' },
  description: string | undefined,
): FoundRule['possible'] {
  return link.candidates.map((text) => ({
    peer: peerOf(reading, kind, text, description),
    why: link.why,
  }));
}

function peerOf(
  reading: Reading,
  kind: PeerText['kind'],
  text: string,
  description: string | undefined,
): PeerText {
  return { kind, text: kind === 'group' ? reading.real(plainGroupId(text)) : text, description };
}

/** Reads `aws_security_group_rule`. */
export function readRule(reading: Reading, one: Instance): void {
  const direction = own(one.values, 'type') === 'egress' ? 'egress' : 'ingress';
  const { values: block, unknown } = one;
  const found = readBlock(
    reading,
    one,
    { block, unknown, expression: undefined },
    'source_security_group_id',
  );
  addRule(reading, { ...found, direction, owner: ownerOf(reading, one) }, one);
}

/** Reads `aws_vpc_security_group_ingress_rule` and `…_egress_rule`. */
export function readVpcRule(reading: Reading, one: Instance): void {
  const { values, unknown } = one;
  const direction = one.type.includes('egress') ? 'egress' : 'ingress';
  const description = textOf(own(values, 'description'));
  const links = [
    {
      link: reading.links.of(one, 'referenced_security_group_id', 'group'),
      kind: 'group' as const,
    },
    { link: reading.links.of(one, 'prefix_list_id', 'list'), kind: 'prefixList' as const },
  ];
  const block = (attribute: string, kind: 'cidrIpv4' | 'cidrIpv6'): readonly PeerText[] => {
    const text = textOf(own(values, attribute));
    return text === undefined ? [] : [{ kind, text, description }];
  };
  const id = textOf(own(values, 'security_group_rule_id')) ?? textOf(own(values, 'id'));
  const found: FoundRule = {
    text: serviceOf(values, 'ip_protocol'),
    peers: [
      ...block('cidr_ipv4', 'cidrIpv4'),
      ...block('cidr_ipv6', 'cidrIpv6'),
      ...links.flatMap((each) =>
        each.link.ids.map((text) => peerOf(reading, each.kind, text, description)),
      ),
    ],
    possible: links.flatMap((each) => possiblePeers(reading, each, description)),
    gaps: [
      ...links.flatMap((each) => each.link.opaque),
      ...['cidr_ipv4', 'cidr_ipv6', 'from_port', 'to_port', 'ip_protocol']
        .filter(
          (attribute) => isUnknown(own(unknown, attribute)) && reading.isWritten(one, attribute),
        )
        .map((attribute) => `${attribute} is not known`),
    ],
    ...(id?.startsWith('sgr-') === true ? { id } : {}),
  };
  addRule(reading, { ...found, direction, owner: ownerOf(reading, one) }, one);
}

function ownerOf(reading: Reading, one: Instance): Owner {
  const link = reading.links.of(one, 'security_group_id', 'group');
  const origin = reading.originOf(one);
  const groupsOf = (ids: readonly string[]): readonly DraftGroup[] =>
    [...new Set(ids.map((id) => reading.real(id)))].map((id) => reading.draft.group(id, origin));
  if (link.ids.length > 0) return { groups: groupsOf(link.ids), why: undefined, isOpen: false };
  return { groups: groupsOf(link.candidates), why: link.why, isOpen: link.opaque.length > 0 };
}

/** Adds what was found of a rule to the groups that it is, or may be, a rule of. */
function addRule(
  reading: Reading,
  found: FoundRule & { readonly direction: Direction; readonly owner: Owner },
  one: Instance,
): void {
  const { text, peers, possible, gaps, direction, owner, id } = found;
  const origin = reading.originOf(one);
  const make = (group: DraftGroup, peer: PeerText, why: string | undefined): DraftRule => ({
    ...{ direction, origin },
    text: { ...text, peers: [peer.text === SELF ? { ...peer, text: group.id } : peer] },
    ...(why === undefined ? {} : { possible: `${one.address}: ${why}` }),
    ...(id === undefined ? {} : { id }),
  });
  const hasService = text.protocol !== undefined && !gaps.some((gap) => /port|protocol/.test(gap));
  const all = owner.isOpen ? [...reading.draft.groups.values()] : owner.groups;
  for (const group of all) {
    const isCertain = owner.why === undefined;
    if (hasService) {
      for (const peer of peers) group.rules.push(make(group, peer, owner.why));
      for (const { peer, why } of possible) group.rules.push(make(group, peer, owner.why ?? why));
    }
    for (const gap of gaps)
      group.gaps[direction].push(`${one.address}: ${isCertain ? gap : `${owner.why}, and ${gap}`}`);
  }
}
