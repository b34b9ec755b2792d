/** Makes of findings what people and programs read: names for ports, the nearest rule, and what would admit it. */
import { formatAddress } from '../addr/address.ts';
import { EGRESS } from '../engine/counters.ts';
import { REASONS } from '../engine/reasons.ts';
import { explain } from '../explain/explain.ts';
import type { AdmittingRule, GateAnswer, NearMiss, Service } from '../explain/explanation.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import {
  hasIcmpType,
  hasPorts,
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  protocolName,
} from '../policy/protocols.ts';
import { Packet } from '../wire/packet.ts';
import { DECODE_OK, DECODE_STATUS_COUNT } from '../wire/status.ts';
import {
  amountOf,
  isByRules,
  type Amount,
  type Example,
  type FindingKind,
  type Group,
} from './findings.ts';
import { NETWORK_ACL, ROUTE } from './judge-subnets.ts';
import type { World } from './world.ts';

/** A group of findings. */
export interface Finding extends Readonly<Amount> {
  readonly kind: FindingKind;
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  /** `tcp 443`, `icmp type 8 code 0`, `protocol 47`; `tcp from port 443` for what looks like an answer. */
  readonly service: string;
  /** The name of the interface at the other end; undefined: it is outside. */
  readonly peer: string | undefined;
  /** One of the addresses at the other end. */
  readonly address: string;
  /** How many there are outside, at least. 1 for an interface. */
  readonly addresses: number;
  readonly hasMoreAddresses: boolean;
  /** Name of the drop reason, `network-acl` or `route`; `passed` for what passes. */
  readonly reason: string;
  readonly meaning: string;
  /** The rules refuse it, and not the tracking of connections or something else. */
  readonly isByRules: boolean;
  /** The input does not decide it: what it depends on, or what may refuse it. */
  readonly dependsOn: readonly string[];
  readonly nearest: NearMiss | undefined;
  /** The rule that lets it pass, in the other configuration or in this one. */
  readonly admittedBy: AdmittingRule | undefined;
  readonly isAnswer: boolean;
  readonly firstMs: number;
  readonly lastMs: number;
}

/** @param worlds that were asked: one, or the one before and the other one */
export function describeGroup(group: Group, worlds: readonly World[]): Finding {
  const { kind, port, direction, reason, peerPort, example, isAnswer, peers } = group;
  const world = worlds[group.world];
  const isEgress = direction === EGRESS;
  const asks = isByRules(reason) || kind === 'passed';
  const gate = asks ? gateOf(world, group, example) : undefined;
  const other = worlds.length === 1 ? world : worlds[1 - group.world];
  const admitting = kind === 'dropped' ? undefined : gateOfOther(other, world, group);
  const refusal = isOfSubnet(reason) ? refusalOf(world, group) : undefined;
  return {
    kind,
    interface: nameOf(world, port),
    direction: isEgress ? 'egress' : 'ingress',
    service: serviceText(group),
    peer: peerPort === UPLINK_PORT ? undefined : nameOf(world, peerPort),
    address: formatAddress(isEgress ? example.to : example.from),
    addresses: Math.max(1, peers.size),
    hasMoreAddresses: group.hasMorePeers,
    ...(refusal ?? { reason: REASONS[reason][0], meaning: REASONS[reason][1] }),
    isByRules: isByRules(reason),
    dependsOn: refusal?.dependsOn ?? gate?.dependsOn ?? [],
    nearest: kind === 'passed' ? undefined : gate?.nearMisses.at(0),
    admittedBy: admitting?.decidedBy,
    isAnswer,
    firstMs: group.firstMs,
    lastMs: group.lastMs,
    ...amountOf(group),
  };
}

function nameOf({ interfaces }: World, port: number): string {
  return interfaces[port]?.name ?? 'uplink';
}

function isOfSubnet(reason: number): boolean {
  return reason === NETWORK_ACL || reason === ROUTE;
}

/** What an ACL or a route says to the example. */
function refusalOf(
  { subnets }: World,
  { reason, example }: Group,
): Pick<Finding, 'reason' | 'meaning' | 'dependsOn'> {
  const packet = packetOf(example);
  // Of a capture's packet it is not known here who opened its flow. Only routes ask for it.
  for (const opens of [true, false]) {
    subnets!.tell(packet, example.fromPort, example.toPort, opens);
    if (subnets!.reason === reason) break;
  }
  const { text, isCertain } = subnets!.refusal!;
  return {
    reason: reason === ROUTE ? 'route' : 'network-acl',
    meaning: text,
    dependsOn: isCertain ? [] : [`it may be refused by ${text}`],
  };
}

function packetOf({ from, to, protocol, sourcePort, port, icmpType, icmpCode }: Example): Packet {
  const [src0, src1 = 0, src2 = 0, src3 = 0] = from.words;
  const [dst0, dst1 = 0, dst2 = 0, dst3 = 0] = to.words;
  return Object.assign(new Packet(), {
    ...{ family: from.family, protocol, srcPort: sourcePort, dstPort: port, icmpType, icmpCode },
    ...{ src0, src1, src2, src3, dst0, dst1, dst2, dst3 },
  });
}

/** What `explain` says of the gate that decided. */
function gateOf(
  world: World,
  { port, direction }: Group,
  example: Example,
): GateAnswer | undefined {
  const { fromPort, from, to } = example;
  const source = world.interfaces[fromPort];
  const { answers } = explain(world.network, {
    from:
      source === undefined
        ? { kind: 'address', address: from }
        : { kind: 'interface', interfaceId: source.id, address: from },
    to: { kind: 'address', address: to },
    service: serviceOf(example),
    family: from.family,
  });
  const id = world.interfaces[port]?.id;
  const wanted = direction === EGRESS ? 'egress' : 'ingress';
  return answers
    .flatMap(({ gates }) => gates)
    .find((gate) => gate.direction === wanted && gate.interface.id === id);
}

/** The same gate in the other world, where the interface has another number. */
function gateOfOther(other: World, world: World, group: Group): GateAnswer | undefined {
  if (other === world) return gateOf(world, group, group.example);
  const move = (port: number): number => {
    const name = world.interfaces[port]?.name;
    return name === undefined
      ? UPLINK_PORT
      : other.interfaces.findIndex((one) => one?.name === name);
  };
  const { example } = group;
  const [fromPort, toPort] = [move(example.fromPort), move(example.toPort)];
  return gateOf(other, { ...group, port: move(group.port) }, { ...example, fromPort, toPort });
}

function serviceOf({ protocol, port, sourcePort, icmpType, icmpCode }: Example): Service {
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP)
    return { kind: 'ports', protocol, port, sourcePort };
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6)
    return { kind: 'icmp', protocol, type: icmpType, code: icmpCode };
  return { kind: 'protocol', protocol };
}

function serviceText({ protocol, service, isAnswer, reason }: Group): string {
  if (reason > DECODE_OK && reason < DECODE_STATUS_COUNT) return 'a malformed packet';
  const name = protocolName(protocol);
  if (hasIcmpType(protocol)) return `${name} type ${service >>> 8} code ${service & 0xff}`;
  if (!hasPorts(protocol)) return name;
  return isAnswer ? `${name} from port ${service}` : `${name} ${service}`;
}
