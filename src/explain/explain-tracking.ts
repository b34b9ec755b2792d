/**
 * This file says whether an admitted flow is tracked, why, and how long it may be idle.
 *
 * The condition is that of isUntrackedFlow (reference.ts), seen from the packet. "Forward" is a rule for everywhere
 * that admits the packet. A flow is untracked in two cases. In the first, forward admits the packet and the gate's
 * other direction admits every answer to everywhere. In the second, forward admits all ports and some rule of the
 * other direction admits the answer's port, which is the packet's source port. If the question has no source port and
 * the result depends on it, the answer says so.
 */
import { ICMP_SEC, OTHER_SEC, TCP_OPENING_SEC } from '../conntrack/states.ts';
import type { Family } from '../addr/address.ts';
import type { IdleTimeout, RuleRef, Service, Tracking } from './explanation.ts';
import {
  ANY,
  PROTOCOL_ALL,
  type Direction,
  type NetworkInterface,
  type PolicyModel,
  type Rule,
  type SecurityGroup,
} from '../policy/model.ts';
import { refer } from './near-miss.ts';
import { PROTOCOL_ICMP, PROTOCOL_TCP, protocolName } from '../policy/protocols.ts';
import { PORT_MAX } from '../policy/rules.ts';

/** Queries with an identifier, and their replies (RFC 792, RFC 950, RFC 4443). Other messages expect no answer. */
const TRACKED_TYPES = { 1: [0, 8, 13, 14, 15, 16, 17, 18], 58: [128, 129] } as const;

interface AnywhereRule {
  readonly rule: Rule;
  readonly group: SecurityGroup;
}

export interface TrackingQuestion {
  readonly network: NetworkInterface;
  /** The direction of the gate that admits the packet. */
  readonly direction: Direction;
  readonly family: Family;
  readonly service: Service;
  readonly groups: readonly SecurityGroup[];
  /** The packet goes to an exempt service of the platform, so no rule admitted it. */
  readonly isPlatform: boolean;
}

export function explainTracking(model: PolicyModel, question: TrackingQuestion): Tracking {
  const { service, isPlatform, network } = question;
  const idle = idleTimeouts(network, service);
  if (service.kind === 'icmp') {
    const types: readonly number[] = TRACKED_TYPES[service.protocol];
    return types.includes(service.type)
      ? { kind: 'tracked', why: 'ICMP always is', idle }
      : { kind: 'none', why: 'an ICMP message that neither asks nor answers makes no flow' };
  }
  if (isPlatform)
    return { kind: 'tracked', why: 'the answer has no rule to live by but its flow', idle };
  if (service.kind === 'protocol')
    return { kind: 'tracked', why: 'only TCP and UDP are ever untracked', idle };
  if (network.alwaysTracked === true)
    return {
      kind: 'tracked',
      why: 'every flow of the interface is (connectionTracking.always)',
      idle,
    };
  return explainPorts(model, question, service, idle);
}

function explainPorts(
  model: PolicyModel,
  question: TrackingQuestion,
  service: Extract<Service, { kind: 'ports' }>,
  idle: readonly IdleTimeout[],
): Tracking {
  const { direction, family } = question;
  const { port, sourcePort } = service;
  const backward: Direction = direction === 'ingress' ? 'egress' : 'ingress';
  const forward = anywhereRules(question, direction).filter(({ rule }) => covers(rule, port));
  const answers = anywhereRules(question, backward);
  const anywhere = family === 4 ? '0.0.0.0/0' : '::/0';
  const point = (one: AnywhereRule): RuleRef => refer(one.rule, one.group, model);
  const untracked = (first: AnywhereRule, second: AnywhereRule): Tracking => ({
    kind: 'untracked',
    why: `a rule for ${anywhere} admits it, and another one every answer`,
    rules: [point(first), point(second)],
  });

  if (forward.length === 0) {
    const why = `no ${direction} rule for ${anywhere} admits ${protocolName(service.protocol)} ${port}`;
    return { kind: 'tracked', why, idle };
  }
  const answersAll = answers.find(({ rule }) => coversAll(rule));
  if (answersAll !== undefined) return untracked(forward[0], answersAll);

  const all = protocolName(service.protocol);
  const lacksAll = `no ${backward} rule for ${anywhere} admits all of ${all}`;
  const forwardAll = forward.find(({ rule }) => coversAll(rule));
  if (forwardAll === undefined || answers.length === 0)
    return { kind: 'tracked', why: lacksAll, idle };
  if (sourcePort === undefined) {
    return {
      kind: 'depends',
      why: lacksAll,
      untrackedSourcePorts: mergeRanges(answers.map(({ rule }) => [rule.fromPort, rule.toPort])),
      rules: [forwardAll, ...answers].map(point),
      idle,
    };
  }
  const answer = answers.find(({ rule }) => covers(rule, sourcePort));
  return answer === undefined
    ? { kind: 'tracked', why: `${lacksAll}, or port ${sourcePort}`, idle }
    : untracked(forwardAll, answer);
}

/** Finds the gate's rules for the literal 0.0.0.0/0 or ::/0 and the packet's protocol. */
function anywhereRules(question: TrackingQuestion, direction: Direction): AnywhereRule[] {
  const { groups, family, service } = question;
  return groups.flatMap((group) =>
    group[direction]
      .filter(
        ({ peer, protocol }) =>
          peer.kind === 'cidr' &&
          peer.cidr.length === 0 &&
          peer.cidr.family === family &&
          (protocol === PROTOCOL_ALL || protocol === service.protocol),
      )
      .map((rule) => ({ rule, group })),
  );
}

function covers({ fromPort, toPort }: Rule, port: number): boolean {
  return fromPort === ANY || (fromPort <= port && port <= toPort);
}

function coversAll({ fromPort, toPort }: Rule): boolean {
  return fromPort === ANY || (fromPort === 0 && toPort === PORT_MAX);
}

/** Sorts ranges and merges those that touch. */
function mergeRanges(ranges: readonly (readonly [number, number])[]): [number, number][] {
  const merged: [number, number][] = [];
  for (const [from, to] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && from <= last[1] + 1) last[1] = Math.max(last[1], to);
    else merged.push([from, to]);
  }
  return merged;
}

function idleTimeouts({ connectionTracking }: NetworkInterface, service: Service): IdleTimeout[] {
  const { tcpEstablishedTimeoutSec, udpTimeoutSec, udpStreamTimeoutSec } = connectionTracking;
  switch (service.kind) {
    case 'icmp':
      return [{ when: 'idle', seconds: ICMP_SEC }];
    case 'protocol':
      return [{ when: 'idle', seconds: OTHER_SEC }];
    case 'ports':
      return service.protocol === PROTOCOL_TCP
        ? [
            { when: 'until established', seconds: TCP_OPENING_SEC },
            { when: 'established', seconds: tcpEstablishedTimeoutSec },
          ]
        : [
            { when: 'idle', seconds: udpTimeoutSec },
            { when: 'as a stream', seconds: udpStreamTimeoutSec },
          ];
    default:
      return service satisfies never;
  }
}

/** Makes a note about the ICMP message itself; undefined if there is none. */
export function noteOnIcmp(service: Service): string | undefined {
  if (service.kind !== 'icmp') return undefined;
  const { protocol, type } = service;
  const isIcmp = protocol === PROTOCOL_ICMP;
  if (isIcmp ? [3, 4, 5, 11, 12].includes(type) : type >= 1 && type <= 4)
    return 'an ICMP error about a flow that a gate knows passes that gate without a rule';
  if (isIcmp ? [0, 14, 16, 18].includes(type) : type === 129)
    return 'the reply to a query that a gate has let through passes that gate without a rule';
  return undefined;
}
