/**
 * Proposes the least groups for what was seen: conversations become needs of interfaces, interfaces become classes, the
 * peers of a class become groups, blocks or prefix lists, and each rule says what it rests on.
 */
import { formatCidr, type Cidr, type Family } from '../addr/address.ts';
import { stableId } from '../policy/ids.ts';
import type { Direction, Origin, Peer, PrefixList, Rule, SecurityGroup } from '../policy/model.ts';
import { peerKey, ruleKey } from '../policy/rules.ts';
import { sizeOf, summarize } from './blocks.ts';
import { classify } from './classes.ts';
import { addressKey, rangeOf, textOfService, type Conversation } from './conversation.ts';
import type { PortRanges } from './dynamic-ports.ts';
import { evidenceOf, evidenceText, joinEvidence, type Evidence } from './evidence.ts';
import { GroupNames } from './group-names.ts';
import { needsOf, type Need, type OpenService } from './needs.ts';
import { isIn, type Owner, type Owners } from './owners.ts';

/** A service with more blocks than these outside gets a prefix list. */
const BLOCKS_IN_RULES_MAX = 5;
const DIRECTIONS = ['ingress', 'egress'] as const;

export interface ProposalOptions {
  /** How many times as many pairs as were seen a rule may admit; at least 1. */
  readonly factor: number;
  readonly open: readonly OpenService[];
  /** Ports that are taken anew each time, by conversation. */
  readonly ranges: PortRanges;
}

export interface ProposedRule {
  readonly rule: Rule;
  readonly evidence: Evidence;
}

export interface ProposedGroup {
  readonly group: SecurityGroup;
  readonly members: readonly Owner[];
  readonly rules: readonly ProposedRule[];
}

export interface Proposed {
  readonly groups: readonly ProposedGroup[];
  readonly lists: readonly PrefixList[];
}

/** A rule before it has a group. */
interface Draft {
  readonly direction: Direction;
  readonly protocol: number;
  readonly fromPort: number;
  readonly toPort: number;
  readonly peer: Peer;
  readonly evidence: Evidence;
}

export function propose(
  kept: readonly Conversation[],
  owners: Owners,
  options: ProposalOptions,
): Proposed {
  const needs = needsOf(kept, owners, options.open, options.ranges);
  const byOwner: Need[][] = owners.all.map(() => []);
  for (const need of needs) byOwner[need.owner].push(need);
  const apart = owners.all.map(({ vpc }) => vpc?.id ?? '');
  const classes = classify(byOwner, apart, options);
  return new Proposer(owners, byOwner, classes, options).propose();
}

class Proposer {
  private readonly owners: Owners;
  private readonly byOwner: readonly (readonly Need[])[];
  private readonly classes: readonly number[];
  private readonly factor: number;
  private readonly members: Owner[][] = [];
  private readonly names: string[] = [];
  private readonly lists = new Map<string, PrefixList>();

  constructor(
    owners: Owners,
    byOwner: readonly (readonly Need[])[],
    classes: readonly number[],
    { factor }: ProposalOptions,
  ) {
    this.owners = owners;
    this.byOwner = byOwner;
    this.classes = classes;
    this.factor = factor;
  }

  propose(): Proposed {
    const { owners, classes, members } = this;
    const needs: Need[][] = [];
    owners.all.forEach((owner, i) => {
      (members[classes[i]] ??= []).push(owner);
      (needs[classes[i]] ??= []).push(...this.byOwner[i]);
    });
    const names = new GroupNames();
    needs.forEach((own, i) => {
      const offered = own.filter(({ direction }) => direction === 'ingress');
      const [first] = [...(offered.length > 0 ? offered : own)].sort(compareNeeds);
      const service = own.length === 0 ? undefined : textOfService(first.protocol, first.number);
      this.names.push(names.next(members[i], service, offered.length > 0));
    });
    const groups = needs.map((own, i) => this.groupOf(i, own));
    return { groups, lists: [...this.lists.values()] };
  }

  private groupOf(number: number, needs: readonly Need[]): ProposedGroup {
    const name = this.names[number];
    const { members } = this;
    const id = this.idOf(number);
    const drafts = joinPorts(this.draftsOf(number, needs)).sort(compareDrafts);
    const rules = drafts.map(({ evidence, ...draft }, i): ProposedRule => {
      const path = `securityGroups.${name}.${draft.direction}[${i}]`;
      const rule: Rule = {
        ...draft,
        id: stableId('sgr', id, ruleKey(draft)),
        description: evidenceText(evidence),
        origin: originOf(path),
      };
      return { rule, evidence };
    });
    const of = (direction: Direction): readonly Rule[] =>
      rules.flatMap(({ rule }) => (rule.direction === direction ? [rule] : []));
    const { vpc } = members[number][0];
    const group: SecurityGroup = {
      ...{ id, name, description: descriptionOf(members[number], needs.length === 0) },
      ...(vpc === undefined ? {} : { vpc }),
      ...{
        ingress: of('ingress'),
        egress: of('egress'),
        origin: originOf(`securityGroups.${name}`),
      },
    };
    return { group, members: members[number], rules };
  }

  private idOf(number: number): string {
    const { vpc } = this.members[number][0];
    return stableId('sg', 'learnt', vpc?.id ?? '', this.names[number]);
  }

  private draftsOf(number: number, needs: readonly Need[]): readonly Draft[] {
    const services = new Map<string, Need[]>();
    for (const need of needs) {
      const { direction, service, peer, address, family } = need;
      const where =
        peer >= 0 ? `class ${this.classes[peer]}` : `${address === '' ? 'all' : 'some'} ${family}`;
      const key = `${direction} ${service} ${where}`;
      const list = services.get(key);
      if (list === undefined) services.set(key, [need]);
      else list.push(need);
    }
    return [...services.values()].flatMap((list) => {
      const [{ peer, address }] = list;
      if (peer >= 0) return [this.draftOfGroup(number, list)];
      return address === '' ? [draftForAll(list)] : this.draftsOfBlocks(number, list);
    });
  }

  private draftOfGroup(number: number, needs: readonly Need[]): Draft {
    const { classes, members } = this;
    const other = classes[needs[0].peer];
    const size = members[number].length;
    const admitted = size * (other === number ? size - 1 : members[other].length);
    const evidence = evidenceOfNeeds(needs, ({ peer }) => `${peer}`, BigInt(admitted));
    return { ...serviceOf(needs[0]), peer: { kind: 'group', groupId: this.idOf(other) }, evidence };
  }

  private draftsOfBlocks(number: number, needs: readonly Need[]): readonly Draft[] {
    const size = this.members[number].length;
    const pairs = new Set(needs.map(({ owner, address }) => `${owner} ${address}`)).size;
    const addresses = new Map(needs.map(({ address, remote }) => [address, remote]));
    const room = BigInt(Math.max(addresses.size, Math.floor((this.factor * pairs) / size)));
    const [{ family }] = needs;
    const blocks = summarize(family, [...addresses.values()], room);
    const service = serviceOf(needs[0]);
    if (blocks.length > BLOCKS_IN_RULES_MAX) {
      const list = this.listOf(number, needs[0], blocks);
      const peer: Peer = { kind: 'prefixList', prefixListId: list.id };
      return [{ ...service, peer, evidence: evidenceOfBlocks(needs, blocks, size) }];
    }
    return blocks.map((cidr) => {
      const own = needs.filter(({ remote }) => isIn([cidr], remote));
      const evidence = evidenceOfBlocks(own, [cidr], size);
      return { ...service, peer: { kind: 'cidr', cidr }, evidence };
    });
  }

  /** The list of the blocks: the same one for all services that have the same. */
  private listOf(number: number, need: Need, blocks: readonly Cidr[]): PrefixList {
    const texts = blocks.map(formatCidr);
    const key = texts.join(' ');
    const known = this.lists.get(key);
    if (known !== undefined) return known;
    const { family, direction, protocol, number: service } = need;
    const what = textOfService(protocol, service).replace(/[^a-z0-9]+/g, '-');
    const side = direction === 'ingress' ? 'from' : 'to';
    const name = `${this.names[number]}-${what}-${side}${family === 6 ? '-v6' : ''}`;
    const made: PrefixList = {
      ...{ id: stableId('pl', 'learnt', name, key), name, family, maxEntries: blocks.length },
      entries: blocks.map((cidr) => ({ cidr, description: '' })),
      origin: originOf(`prefixLists.${name}`),
    };
    this.lists.set(key, made);
    return made;
  }
}

function serviceOf({ direction, protocol, number, range }: Need): Omit<Draft, 'peer' | 'evidence'> {
  const { fromPort, toPort } = range ?? rangeOf(protocol, number);
  return { direction, protocol, fromPort, toPort };
}

/**
 * What a rule for one service, or for one range of ports, rests on.
 * @param otherOf who is at the other end, as a text
 * @param admitted pairs that it admits, each with all of its ports; undefined: everybody
 */
function evidenceOfNeeds(
  needs: readonly Need[],
  otherOf: (need: Need) => string,
  admitted: bigint | undefined,
): Evidence {
  const evidence = evidenceOf(needs.map(({ conversation }) => conversation));
  const [{ range }] = needs;
  evidence.seen = new Set(
    needs.map((need) => `${need.owner} ${otherOf(need)} ${need.number}`),
  ).size;
  const ports = range === undefined ? 1 : range.toPort - range.fromPort + 1;
  evidence.admitted = admitted === undefined ? undefined : admitted * BigInt(ports);
  if (range !== undefined)
    evidence.ports = { seen: new Set(needs.map(({ number }) => number)).size, all: ports };
  return evidence;
}

/** A rule for everybody, because somebody said so. */
function draftForAll(needs: readonly Need[]): Draft {
  const [{ family }] = needs;
  const evidence = evidenceOfNeeds(needs, ({ remote }) => addressKey(remote), undefined);
  return { ...serviceOf(needs[0]), peer: { kind: 'cidr', cidr: everywhere(family) }, evidence };
}

function everywhere(family: Family): Cidr {
  return { family, words: family === 4 ? [0] : [0, 0, 0, 0], length: 0 };
}

function evidenceOfBlocks(
  needs: readonly Need[],
  blocks: readonly Cidr[],
  members: number,
): Evidence {
  const size = blocks.reduce((sum, block) => sum + sizeOf(block), 0n);
  return evidenceOfNeeds(needs, ({ address }) => address, size * BigInt(members));
}

/** Makes one rule of those for neighbouring ports that are otherwise the same. That admits nothing more. */
function joinPorts(drafts: readonly Draft[]): Draft[] {
  const joined: Draft[] = [];
  for (const draft of [...drafts].sort(compareForJoining)) {
    const before = joined.at(-1);
    const isNext =
      before !== undefined &&
      (draft.protocol === 6 || draft.protocol === 17) &&
      joinKey(before) === joinKey(draft) &&
      before.evidence.ports === undefined &&
      draft.evidence.ports === undefined &&
      draft.fromPort === before.toPort + 1;
    if (!isNext) joined.push(draft);
    else
      joined[joined.length - 1] = {
        ...before,
        toPort: draft.toPort,
        evidence: joinEvidence(before.evidence, draft.evidence),
      };
  }
  return joined;
}

function joinKey({ direction, protocol, peer }: Draft): string {
  return `${direction} ${protocol} ${peerKey(peer)}`;
}

function compareForJoining(a: Draft, b: Draft): number {
  return compareTexts(joinKey(a), joinKey(b)) || a.fromPort - b.fromPort;
}

function compareDrafts(a: Draft, b: Draft): number {
  return (
    DIRECTIONS.indexOf(a.direction) - DIRECTIONS.indexOf(b.direction) ||
    a.protocol - b.protocol ||
    a.fromPort - b.fromPort ||
    a.toPort - b.toPort ||
    compareTexts(peerKey(a.peer), peerKey(b.peer))
  );
}

function compareNeeds(a: Need, b: Need): number {
  return a.protocol - b.protocol || a.number - b.number;
}

function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function descriptionOf(members: readonly Owner[], isIdle: boolean): string {
  if (isIdle)
    return 'Nothing was seen of these that rules could be proposed for: it admits nothing';
  return `Proposed from traffic that was seen at ${members.length === 1 ? '1 interface' : `${members.length} interfaces`}`;
}

function originOf(path: string): Origin {
  return { file: '(proposal)', line: 1, column: 1, path };
}
