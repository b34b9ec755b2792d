/** `sgctl drops` and `sgctl explain --drop`: what was dropped, how often and why, with the latest examples. */
import { parseAddress, sameAddress, type Address } from '../../addr/address.ts';
import { counterRow, DROPPED_BY_REASON, EGRESS, INGRESS } from '../../engine/counters.ts';
import { REASON_COUNT, REASONS } from '../../engine/reasons.ts';
import { UPLINK_PORT } from '../../policy/compiled.ts';
import { explain } from '../../policy/explain.ts';
import type { Endpoint, Explanation, Question, Service } from '../../policy/explanation.ts';
import type { PolicyModel } from '../../policy/model.ts';
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from '../../policy/protocols.ts';
import type { DropsSeen, SeenDrop } from './drops-seen.ts';
import { networkOf } from './explain.ts';
import type { Observatory } from './observatory.ts';
import type { RuleBook } from './rule-book.ts';
import type { PacketTold } from './told.ts';
import { portOf, readChoice, readNumber, readWords } from './traffic-filter.ts';
import { CHATTER, meaningOf, REASON_NAMES, viewVerdict, type VerdictView } from './verdict-view.ts';

export interface DropsQuestion {
  readonly interfaces?: readonly string[];
  readonly direction?: 'ingress' | 'egress';
  /** None: all but `link-scope`, which is no drop that anybody would ask about. */
  readonly reasons?: readonly string[];
  /** Only examples of the last so many ms; counts are since the start in any case. */
  readonly sinceMs?: number;
}

export interface DropCount {
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  readonly reason: string;
  readonly meaning: string;
  /** Since the interface is in use. */
  readonly packets: number;
  /** The latest few, newest first. */
  readonly examples: readonly DropExample[];
}

export interface DropExample extends VerdictView {
  /** For `sgctl explain --drop`. */
  readonly id: number;
}

export interface DropsAnswer {
  /** Most frequent first. */
  readonly drops: readonly DropCount[];
  /** Records of packets and flows that were lost in a full ring: examples may be missing, counts are not. */
  readonly lost: number;
}

export type DropExplanation =
  /** No drop of that number is kept; `oldest` and `newest` are. */
  | { readonly outcome: 'unknown'; readonly kept: number; readonly newest: number }
  | {
      readonly outcome: 'explained';
      readonly drop: DropExample;
      /** By the rules in force now; absent if it could not be decoded, or the rules have nothing to say of such a packet. */
      readonly explanation?: Explanation;
      readonly service?: Service;
    };

export function listDrops(
  observatory: Observatory,
  book: RuleBook,
  seen: DropsSeen,
  question: DropsQuestion,
): DropsAnswer {
  const asked = readWords(question.interfaces, 'interfaces').map((text) =>
    portOf(text, observatory),
  );
  const direction = readChoice(question.direction, 'direction', ['ingress', 'egress']);
  const reasons = readWords(question.reasons, 'reasons').map((reason) =>
    readChoice(reason, 'reasons', REASON_NAMES)!,
  );
  const sinceMs = readNumber(question.sinceMs, 'sinceMs', {
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    otherwise: Number.MAX_SAFE_INTEGER,
  });
  const names = observatory.portNames();
  const examples = seen.examples();
  const counters = observatory.dataplane.readCounters();
  const drops: DropCount[] = [];
  for (const [port, name] of names) {
    if (asked.length > 0 && !asked.includes(port)) continue;
    for (const [word, row] of [
      ['ingress', INGRESS],
      ['egress', EGRESS],
    ] as const) {
      if (direction !== undefined && word !== direction) continue;
      for (let number = 1; number < REASON_COUNT; number++) {
        const [reason] = REASONS[number];
        if (reasons.length === 0 ? reason === CHATTER : !reasons.includes(reason)) continue;
        const cell = counterRow(port, row) + DROPPED_BY_REASON + number;
        const packets = counters[cell];
        if (packets === 0) continue;
        const own = examples
          .filter(({ told }) => isOf(told, port, word, reason))
          .map((one) => viewDrop(one, observatory, book, names))
          .filter(({ timeMs }) => Date.now() - timeMs <= sinceMs);
        const meaning = meaningOf(reason);
        drops.push({ interface: name, direction: word, reason, meaning, packets, examples: own });
      }
    }
  }
  drops.sort((a, b) => b.packets - a.packets);
  return { drops, lost: observatory.pump.counts.lost };
}

/** What the rules in force say of a drop that was seen. @param id its number; undefined: the latest */
export function explainDrop(
  observatory: Observatory,
  book: RuleBook,
  seen: DropsSeen,
  id: number | undefined,
): DropExplanation {
  const found = seen.find(id);
  if (found === undefined)
    return { outcome: 'unknown', kept: seen.examples().length, newest: seen.total };
  const drop = viewDrop(found, observatory, book, observatory.portNames());
  const question = questionOf(found.told, drop.interface, observatory);
  if (question === undefined) return { outcome: 'explained', drop };
  const explanation = explain(networkOf(observatory.config), question);
  return explanation.answers.length === 0
    ? { outcome: 'explained', drop }
    : { outcome: 'explained', drop, explanation, service: question.service };
}

function isOf(
  told: PacketTold,
  port: number,
  direction: 'ingress' | 'egress',
  reason: string,
): boolean {
  return told.port === port && told.direction === direction && told.reason === reason;
}

function viewDrop(
  { id, told }: SeenDrop,
  observatory: Observatory,
  book: RuleBook,
  names: ReadonlyMap<number, string>,
): DropExample {
  return { id, ...viewVerdict(told, observatory, book, names) };
}

/** The packet as a question: from whom it came, by the port it came in by, to whom. */
function questionOf(told: PacketTold, name: string, { config }: Observatory): Question | undefined {
  const { tuple, direction } = told;
  if (tuple === undefined) return undefined;
  const local = parseAddress(tuple.localAddress);
  const remote = parseAddress(tuple.remoteAddress);
  if (!local.ok || !remote.ok) return undefined;
  const { model } = config;
  const isEgress = direction === 'egress';
  const source = isEgress ? local.value : remote.value;
  const sender = [...model.interfaces.values()].find((one) => one.name === name);
  const from: Endpoint =
    isEgress && sender !== undefined
      ? // Its port, whatever address it sent from: a forged one is told as such.
        { kind: 'interface', interfaceId: sender.id, address: source }
      : told.port === UPLINK_PORT
        ? { kind: 'address', address: source }
        : endpointOf(model, source);
  return {
    from,
    to: endpointOf(model, isEgress ? remote.value : local.value),
    service: serviceOf(told),
    family: tuple.family,
  };
}

function endpointOf({ interfaces }: PolicyModel, address: Address): Endpoint {
  const owner = [...interfaces.values()].find((one) =>
    one.addresses.some((own) => sameAddress(own, address)),
  );
  return owner === undefined
    ? { kind: 'address', address }
    : { kind: 'interface', interfaceId: owner.id, address };
}

function serviceOf({ tuple, direction, icmp }: PacketTold): Service {
  const { protocol, localPort, remotePort } = tuple!;
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
    const isEgress = direction === 'egress';
    const port = isEgress ? remotePort : localPort;
    return { kind: 'ports', protocol, port, sourcePort: isEgress ? localPort : remotePort };
  }
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_ICMPV6)
    return { kind: 'icmp', protocol, type: icmp?.type ?? 0, code: icmp?.code ?? 0 };
  return { kind: 'protocol', protocol };
}
