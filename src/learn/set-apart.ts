/**
 * Tells what rules are proposed for from what is set apart: what was refused or never answered, scanners, and what came
 * once. Nothing is left out silently: each conversation that no rule is proposed for has a reason, and each reason its
 * threshold.
 */
import { addressKey, daysOf, type Conversation } from './conversation.ts';
import type { Conversations } from './conversations.ts';
import { findRanges, type PortRange, type PortRanges } from './dynamic-ports.ts';
import { PROTOCOL_TCP } from '../policy/protocols.ts';
import type { Owners } from './owners.ts';

/** In the order in which they are asked. */
export const APART_REASONS = ['scanner', 'refused', 'unanswered', 'one-off', 'few-days'] as const;
export type ApartReason = (typeof APART_REASONS)[number];

export interface Thresholds {
  /** A service that had fewer flows, of all who asked for it together, is a one-off. */
  readonly minFlows: number;
  /** A service that was asked for on fewer days. */
  readonly minDays: number;
  /** Whoever asked at so many places (an address, a protocol and a port each) is a scanner, if few answered. */
  readonly scanPlaces: number;
  /** Few: a smaller part of the places than this. */
  readonly scanAnswered: number;
  /** Whether rules are proposed also for what nobody has answered. */
  readonly keepsUnanswered: boolean;
  /** So many ports at one place that are taken anew each time are a service (dynamic-ports.ts); 0: none are. */
  readonly dynamicPorts: number;
}

export const THRESHOLDS: Thresholds = {
  ...{ minFlows: 2, minDays: 1, scanPlaces: 20, scanAnswered: 0.25, keepsUnanswered: false },
  dynamicPorts: 8,
};

export interface Apart {
  readonly conversation: Conversation;
  readonly reason: ApartReason;
}

/** Who scanned, and how many places answered. */
export interface Scanner {
  readonly opener: Conversation['opener'];
  readonly places: number;
  readonly answered: number;
}

export interface Sorted {
  /** Rules are proposed for these. */
  readonly kept: readonly Conversation[];
  readonly apart: readonly Apart[];
  readonly scanners: readonly Scanner[];
  readonly ranges: PortRanges;
}

/** @param seen those with an interface at an end, and not the same one at both */
export function setApart(
  seen: readonly Conversation[],
  memory: Pick<Conversations, 'forgottenOf'>,
  owners: Owners,
  thresholds: Thresholds,
): Sorted {
  const scanners = findScanners(seen, memory, thresholds);
  const apart = new Map<Conversation, ApartReason>();
  for (const conversation of seen) {
    const reason = scanners.has(addressKey(conversation.opener))
      ? 'scanner'
      : reasonOf(conversation, thresholds);
    if (reason !== undefined) apart.set(conversation, reason);
  }
  const open = seen.filter((conversation) => !apart.has(conversation));
  const ranges = findRanges(open, owners, thresholds.dynamicPorts);
  const services = new Map<
    string,
    { flows: number; dayMask: number; readonly all: Conversation[] }
  >();
  for (const conversation of open) {
    const key = serviceKey(conversation, owners, ranges.get(conversation));
    const sum = services.get(key) ?? { flows: 0, dayMask: 0, all: [] };
    sum.flows += conversation.flows;
    sum.dayMask |= conversation.dayMask;
    sum.all.push(conversation);
    services.set(key, sum);
  }
  for (const { flows, dayMask, all } of services.values()) {
    const reason =
      flows < thresholds.minFlows
        ? 'one-off'
        : daysOf(dayMask) < thresholds.minDays
          ? 'few-days'
          : undefined;
    if (reason !== undefined) for (const conversation of all) apart.set(conversation, reason);
  }
  return {
    kept: seen.filter((conversation) => !apart.has(conversation)),
    apart: [...apart].map(([conversation, reason]) => ({ conversation, reason })),
    scanners: [...scanners.values()],
    ranges,
  };
}

function reasonOf(
  { isAccepted, isAnswered, protocol }: Conversation,
  { keepsUnanswered }: Thresholds,
): ApartReason | undefined {
  if (!isAccepted) return 'refused';
  // A port of TCP that does not answer is closed. Much of UDP is never answered (logs, statistics).
  return protocol === PROTOCOL_TCP && !isAnswered && !keepsUnanswered ? 'unanswered' : undefined;
}

function findScanners(
  seen: readonly Conversation[],
  memory: Pick<Conversations, 'forgottenOf'>,
  { scanPlaces, scanAnswered }: Thresholds,
): ReadonlyMap<string, Scanner> {
  const openers = new Map<
    string,
    { opener: Conversation['opener']; places: number; answered: number }
  >();
  for (const { opener, isAnswered } of seen) {
    const key = addressKey(opener);
    const sum = openers.get(key) ?? { opener, places: memory.forgottenOf(opener), answered: 0 };
    sum.places++;
    if (isAnswered) sum.answered++;
    openers.set(key, sum);
  }
  return new Map(
    [...openers].filter(
      ([, { places, answered }]) => places >= scanPlaces && answered < places * scanAnswered,
    ),
  );
}

/** What a service is, for one-offs: at an interface, or outside, what one interface asks for wherever it is. */
function serviceKey(
  { opener, target, protocol, service }: Conversation,
  owners: Owners,
  range: PortRange | undefined,
): string {
  const at = owners.of(target);
  return `${at >= 0 ? at : `out ${owners.of(opener)}`} ${protocol} ${range?.fromPort ?? service}`;
}
