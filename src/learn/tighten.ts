/**
 * Says of existing rules what of them was used: which never were, which only by traffic that is set apart, which could
 * go because others admit the same, and which could be narrower.
 *
 * It says what was seen, and nothing of what was not: a rule for a failover is unused until the failover.
 */
import { cidrContains, formatCidr, type Address, type Cidr } from '../addr/address.ts';
import type {
  Direction,
  InterfaceId,
  Peer,
  PolicyModel,
  Rule,
  SecurityGroup,
} from '../policy/model.ts';
import { admitsProtocol, type Probe } from '../policy/reference.ts';
import { hasPorts } from '../policy/protocols.ts';
import { peerText, ruleText, serviceText } from '../policy/rules.ts';
import { sizeOf, summarize } from './blocks.ts';
import { addressKey, rangeOf, type Conversation, type Words } from './conversation.ts';
import type { PortRange, PortRanges } from './dynamic-ports.ts';
import { evidenceOf, type Evidence } from './evidence.ts';
import type { Learnt } from './learn.ts';

export type RuleUse =
  /** No conversation that was seen needs it. */
  | 'never-used'
  /** It was used, by what is set apart alone. */
  | 'set-apart-only'
  /** All that it admitted other rules of the same interfaces admit too. */
  | 'redundant'
  /** It admits much more than was seen. */
  | 'could-be-narrower'
  | 'used'
  /** Its peer is a DNS name, and nobody knows which addresses that had then. */
  | 'not-known';

export interface RuleFinding {
  readonly group: SecurityGroup;
  readonly rule: Rule;
  /** `tcp 443 from 0.0.0.0/0` */
  readonly text: string;
  readonly use: RuleUse;
  /** What it was seen to admit, without what is set apart; undefined: nothing. */
  readonly evidence: Evidence | undefined;
  /** Rules that would do, as texts. Empty unless it could be narrower. */
  readonly narrower: readonly string[];
  /** Rules of the same interfaces that admit all of it, as texts. Empty unless it is redundant. */
  readonly others: readonly string[];
}

/** What a rule was seen to admit. */
interface Use {
  readonly kept: Set<Conversation>;
  apart: number;
  /** Rules that have admitted all of it as well. Undefined: it has admitted nothing yet. */
  others: Set<Rule> | undefined;
}

/** @param factor how many times as much as was seen a narrower rule may admit */
export function findUses(
  learnt: Learnt,
  model: PolicyModel,
  factor: number,
): readonly RuleFinding[] {
  const uses = new Map<Rule, Use>();
  const matcher = new UseMatcher(model);
  const see = (conversation: Conversation, isKept: boolean): void => {
    const { owners } = learnt;
    const { opener, target } = conversation;
    const note = (at: number, direction: Direction, remote: Words): void => {
      if (at < 0) return;
      const rules = matcher.rulesFor(owners.all[at].id, direction, conversation, remote);
      for (const rule of rules) noteUse(uses, rule, rules, conversation, isKept);
    };
    note(owners.of(target), 'ingress', opener);
    note(owners.of(opener), 'egress', target);
  };
  for (const conversation of learnt.kept) see(conversation, true);
  for (const { conversation } of learnt.apart) see(conversation, false);
  const used = new Set([...model.interfaces.values()].flatMap(({ groupIds }) => groupIds));
  return [...model.groups.values()]
    .filter(({ id }) => used.has(id))
    .flatMap((group) =>
      [...group.ingress, ...group.egress].map((rule) =>
        findingOf(group, rule, uses.get(rule), learnt.ranges, model, factor),
      ),
    );
}

function noteUse(
  uses: Map<Rule, Use>,
  rule: Rule,
  all: readonly Rule[],
  conversation: Conversation,
  isKept: boolean,
): void {
  const use: Use = uses.get(rule) ?? { kept: new Set(), apart: 0, others: undefined };
  uses.set(rule, use);
  if (!isKept) {
    use.apart++;
    return;
  }
  use.kept.add(conversation);
  const others = all.filter((other) => other !== rule && (use.others?.has(other) ?? true));
  use.others = new Set(others);
}

function findingOf(
  group: SecurityGroup,
  rule: Rule,
  use: Use | undefined,
  ranges: PortRanges,
  model: PolicyModel,
  factor: number,
): RuleFinding {
  const text = ruleText(rule, model);
  const none = { group, rule, text, evidence: undefined, narrower: [], others: [] };
  if (rule.peer.kind === 'dns') return { ...none, use: 'not-known' };
  if (use === undefined) return { ...none, use: 'never-used' };
  if (use.kept.size === 0) return { ...none, use: 'set-apart-only' };
  const evidence = evidenceOf([...use.kept]);
  const found = { ...none, evidence };
  if (use.others!.size > 0) {
    const others = [...use.others!].map((other) => ruleText(other, model));
    return { ...found, use: 'redundant', others };
  }
  const narrower = narrowerRules(rule, [...use.kept], ranges, model, factor);
  return narrower.length > 0
    ? { ...found, use: 'could-be-narrower', narrower }
    : { ...found, use: 'used' };
}

/** The rules that would have admitted the same; empty if they are not narrower, or one of them is the rule itself. */
function narrowerRules(
  rule: Rule,
  conversations: readonly Conversation[],
  ranges: PortRanges,
  model: PolicyModel,
  factor: number,
): readonly string[] {
  const services = new Map<string, Conversation[]>();
  for (const one of conversations) {
    const key = serviceText({ protocol: one.protocol, ...portsOf(rule, one, ranges.get(one)) });
    services.set(key, [...(services.get(key) ?? []), one]);
  }
  const word = rule.direction === 'ingress' ? 'from' : 'to';
  const texts = [...services].flatMap(([service, own]) =>
    peersOf(rule, own, model, factor).map((peer) => `${service} ${word} ${peer}`),
  );
  return texts.includes(ruleText(rule, model)) ? [] : texts.sort();
}

/** The ports of a narrower rule for a conversation: a range that is wider than the rule ends where the rule does. */
function portsOf(
  { fromPort, toPort, protocol }: Rule,
  one: Conversation,
  range: PortRange | undefined,
): Pick<Rule, 'fromPort' | 'toPort'> {
  if (range === undefined) return rangeOf(one.protocol, one.service);
  if (!hasPorts(protocol)) return range;
  return {
    fromPort: Math.max(fromPort, range.fromPort),
    toPort: Math.min(toPort, range.toPort),
  };
}

/** Who was at the other end, as rules would name them. */
function peersOf(
  { peer, direction }: Rule,
  conversations: readonly Conversation[],
  model: PolicyModel,
  factor: number,
): readonly string[] {
  if (peer.kind !== 'cidr') return [peerText(peer, model)];
  const remote = new Map<string, Words>();
  for (const { opener, target } of conversations) {
    const words = direction === 'ingress' ? opener : target;
    remote.set(addressKey(words), words);
  }
  const room = BigInt(Math.floor(factor * remote.size));
  const blocks = summarize(peer.cidr.family, [...remote.values()], room);
  const isWide = sizeOf(peer.cidr) <= sizeOfAll(blocks);
  return isWide ? [formatCidr(peer.cidr)] : blocks.map(formatCidr);
}

function sizeOfAll(blocks: readonly Cidr[]): bigint {
  return blocks.reduce((sum, block) => sum + sizeOf(block), 0n);
}

/** Finds all rules that admit something, as policy/reference.ts does, with the members of groups looked up once. */
class UseMatcher {
  private readonly model: PolicyModel;
  private readonly members = new Map<string, Set<string>>();

  constructor(model: PolicyModel) {
    this.model = model;
    for (const { groupIds, addresses } of model.interfaces.values())
      for (const id of groupIds) this.addMember(id, addresses);
    for (const [id, remote] of model.remoteMembers ?? [])
      for (const { addresses } of remote) this.addMember(id, addresses);
  }

  private addMember(id: string, addresses: readonly Address[]): void {
    const members = this.members.get(id) ?? new Set();
    this.members.set(id, members);
    for (const { words } of addresses) members.add(addressKey(words));
  }

  rulesFor(
    id: InterfaceId,
    direction: Direction,
    { family, protocol, service }: Conversation,
    remote: Words,
  ): readonly Rule[] {
    const own = this.model.interfaces.get(id);
    if (own === undefined) return [];
    const probe: Probe = {
      ...{ protocol, port: service, icmpType: service >> 8, icmpCode: service & 0xff },
      remote: { family, words: remote },
    };
    return own.groupIds
      .flatMap((groupId) => this.model.groups.get(groupId)?.[direction] ?? [])
      .filter((rule) => admitsProtocol(rule, probe) && this.includes(rule.peer, probe.remote));
  }

  private includes(peer: Peer, remote: Probe['remote']): boolean {
    switch (peer.kind) {
      case 'cidr':
        return cidrContains(peer.cidr, remote);
      case 'prefixList':
        return (this.model.prefixLists.get(peer.prefixListId)?.entries ?? []).some(({ cidr }) =>
          cidrContains(cidr, remote),
        );
      case 'group':
        return this.members.get(peer.groupId)?.has(addressKey(remote.words)) === true;
      case 'dns':
        return false;
      default:
        return peer satisfies never;
    }
  }
}
