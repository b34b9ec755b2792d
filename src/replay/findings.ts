/**
 * Collects what is found in recorded traffic, in groups: what was dropped at the same gate for the same reason, with
 * the same service and the same interface, or anybody outside, at the other end.
 *
 * A scan has as many groups as ports, and a flood as many peers as it likes. So both are bounded, and what is beyond is
 * counted together.
 */
import type { Address, Family } from '../addr/address.ts';
import { INGRESS } from '../engine/counters.ts';
import { EGRESS_RULES, INGRESS_RULES, STALE_GROUPS } from '../engine/reasons.ts';
import { rulePort } from '../engine/scope.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { hasPorts } from '../policy/protocols.ts';
import { EPHEMERAL_START } from '../recorded/opener.ts';
import type { Packet } from '../wire/packet.ts';
import { NETWORK_ACL, ROUTE } from './judge-subnets.ts';

const GROUPS_MAX = 10_000;
/** Peers that are told apart in a group; then it is "or more". */
const PEERS_MAX = 1000;

/** What became of the traffic. */
export const FINDING_KINDS = [
  /** It would be dropped. */
  'dropped',
  /** It was refused when it was recorded, and would pass. */
  'passed',
  /** The rules before let it pass, the other ones drop it. */
  'newly-dropped',
  /** The rules before drop it, the other ones let it pass. */
  'newly-passed',
] as const;
export type FindingKind = (typeof FINDING_KINDS)[number];

/** A gate, and why it drops. */
export interface Place {
  /** Which of the worlds drops, 0 or 1. */
  readonly world: number;
  readonly port: number;
  /** INGRESS or EGRESS. */
  readonly direction: number;
  /** A drop reason, or NETWORK_ACL or ROUTE. */
  readonly reason: number;
}

/** One of the packets or flows of a group, to tell by. */
export interface Example {
  readonly from: Address;
  readonly to: Address;
  readonly protocol: number;
  readonly sourcePort: number;
  readonly port: number;
  readonly icmpType: number;
  readonly icmpCode: number;
  /** Ports from the world's point of view: UPLINK_PORT for an end outside. */
  readonly fromPort: number;
  readonly toPort: number;
}

/** How much there was of something. */
export interface Amount {
  /** Packets of a capture, or those that records tell of. */
  packets: number;
  bytes: number;
  /** Records of a flow log; 0 in a capture. */
  records: number;
}

export interface Group extends Place {
  readonly kind: FindingKind;
  /** Its far end: the port of an interface, or UPLINK_PORT. */
  readonly peerPort: number;
  readonly protocol: number;
  /** Port, or type << 8 | code of ICMP; 0 where there is neither. */
  readonly service: number;
  /** The service's port is where it comes from: an answer whose question is not known. */
  readonly isAnswer: boolean;
  readonly example: Example;
  /** What the gate's own interface has seen of it, and what the other end's has. */
  readonly own: Amount;
  readonly others: Amount;
  firstMs: number;
  lastMs: number;
  /** Addresses at the far end, up to a bound. */
  readonly peers: Set<number | string>;
  hasMorePeers: boolean;
}

/** What is added to a group. */
export interface Sight extends Readonly<Amount> {
  readonly packet: Packet;
  readonly fromPort: number;
  readonly toPort: number;
  /** Whoever saw it is the gate's own interface, or the only one who can have. */
  readonly isOwn: boolean;
  readonly firstMs: number;
  readonly lastMs: number;
}

export class Findings {
  /** What found no room in a group. */
  readonly beyond: Amount = { packets: 0, bytes: 0, records: 0 };
  private readonly groups = new Map<number, Map<number, Group>>();
  private count = 0;

  add(kind: FindingKind, place: Place, sight: Sight): void {
    const { packet, fromPort, toPort } = sight;
    const isAnswer =
      hasPorts(packet.protocol) &&
      packet.srcPort < EPHEMERAL_START &&
      packet.dstPort >= EPHEMERAL_START;
    // The port as rules name it; the port that answers, if it looks like an answer.
    const service = isAnswer ? packet.srcPort : rulePort(packet);
    const peerPort = place.direction === INGRESS ? fromPort : toPort;
    const group = this.find(kind, place, peerPort, service, isAnswer, sight);
    if (group === undefined) {
      addTo(this.beyond, sight);
      return;
    }
    addTo(sight.isOwn ? group.own : group.others, sight);
    if (sight.firstMs < group.firstMs) group.firstMs = sight.firstMs;
    if (sight.lastMs > group.lastMs) group.lastMs = sight.lastMs;
    if (peerPort === UPLINK_PORT) notePeer(group, packet, place.direction === INGRESS);
  }

  /** Those with the most packets first. */
  get all(): readonly Group[] {
    const all = [...this.groups.values()].flatMap((some) => [...some.values()]);
    return all.sort((a, b) => amountOf(b).packets - amountOf(a).packets || a.firstMs - b.firstMs);
  }

  private find(
    kind: FindingKind,
    { world, port, direction, reason }: Place,
    peerPort: number,
    service: number,
    isAnswer: boolean,
    { packet, fromPort, toPort, firstMs, lastMs }: Sight,
  ): Group | undefined {
    const { protocol } = packet;
    // Numbers below 2^53, since making a text of each packet that is dropped would cost more than judging it.
    const gate =
      (((FINDING_KINDS.indexOf(kind) * 2 + world) * 65_536 + port) * 2 + direction) * 256 + reason;
    const traffic = ((peerPort * 256 + protocol) * 65_536 + service) * 2 + (isAnswer ? 1 : 0);
    let some = this.groups.get(gate);
    const known = some?.get(traffic);
    if (known !== undefined) return known;
    if (this.count === GROUPS_MAX) return undefined;
    this.count++;
    const group: Group = {
      ...{ kind, world, port, direction, reason, peerPort, protocol, service, isAnswer },
      example: exampleOf(packet, fromPort, toPort),
      own: { packets: 0, bytes: 0, records: 0 },
      others: { packets: 0, bytes: 0, records: 0 },
      ...{ firstMs, lastMs },
      ...{ peers: new Set(), hasMorePeers: false },
    };
    if (some === undefined) {
      some = new Map();
      this.groups.set(gate, some);
    }
    some.set(traffic, group);
    return group;
  }
}

/** Whether what the input has decided: groups, network ACLs or routes. */
export function isByInput(reason: number): boolean {
  return isByRules(reason) || reason === NETWORK_ACL || reason === ROUTE;
}

/** Whether the groups decided, for a drop reason, and not the tracking of connections or something else. */
export function isByRules(reason: number): boolean {
  return reason === EGRESS_RULES || reason === INGRESS_RULES || reason === STALE_GROUPS;
}

/** How much there was of it: what both ends have seen counts once. */
export function amountOf({ own, others }: Group): Readonly<Amount> {
  return own.packets > 0 ? own : others;
}

function addTo(amount: Amount, { packets, bytes, records }: Readonly<Amount>): void {
  amount.packets += packets;
  amount.bytes += bytes;
  amount.records += records;
}

function notePeer(group: Group, packet: Packet, isSource: boolean): void {
  const { peers } = group;
  const { family, src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
  let key: number | string = isSource ? src0 : dst0;
  if (family === 6)
    key = isSource ? `${src0} ${src1} ${src2} ${src3}` : `${dst0} ${dst1} ${dst2} ${dst3}`;
  if (peers.size < PEERS_MAX) peers.add(key);
  else if (!group.hasMorePeers) group.hasMorePeers = !peers.has(key);
}

function exampleOf(packet: Packet, fromPort: number, toPort: number): Example {
  const { protocol, srcPort, dstPort, icmpType, icmpCode } = packet;
  const { src0, src1, src2, src3, dst0, dst1, dst2, dst3 } = packet;
  const family = packet.family as Family;
  return {
    from: { family, words: family === 4 ? [src0] : [src0, src1, src2, src3] },
    to: { family, words: family === 4 ? [dst0] : [dst0, dst1, dst2, dst3] },
    ...{ protocol, sourcePort: srcPort, port: dstPort, icmpType, icmpCode, fromPort, toPort },
  };
}
