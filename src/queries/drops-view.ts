/**
 * This file answers `sgctl drops` and `sgctl explain --drop`: what was dropped, how often and why, with the latest
 * examples.
 */
import { parseAddress, sameAddress, type Address } from '../addr/address.ts';
import {
  AUDITED_BY_NAME,
  AUDITED_PACKETS,
  counterRow,
  DROPPED_BY_REASON,
  EGRESS,
  INGRESS,
} from '../engine/counters.ts';
import {
  EGRESS_RULES,
  INGRESS_RULES,
  REASONS,
  TLS_NAME,
  TLS_NAMES_FULL,
} from '../engine/reasons.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { explain } from '../explain/explain.ts';
import type { Endpoint, Explanation, NearMiss, Question, Service } from '../explain/explanation.ts';
import type { PolicyModel } from '../policy/model.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, PROTOCOL_UDP } from '../policy/protocols.ts';
import type { DropExamples, KeptDrop } from './drop-examples.ts';
import { learntNames } from './names-view.ts';
import { networkOf } from '../explain/question.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook } from './rule-book.ts';
import type { PacketEvent } from '../telemetry/packet-events.ts';
import { portOf, readChoice, readNumber, readWords } from './traffic-filter.ts';
import { CHATTER, meaningOf, REASON_NAMES, viewVerdict, type VerdictView } from './verdict-view.ts';

/** So many kinds of audited traffic get their nearest rule: each reads all rules of a gate. */
const NEAREST_MAX = 50;

export interface DropsQuestion {
  readonly interfaces?: readonly string[];
  readonly direction?: 'ingress' | 'egress';
  /** If empty, all reasons but `link-scope`: nobody asks about those drops. */
  readonly reasons?: readonly string[];
  /** Limits the examples to the last so many ms. Counts always start with the daemon. */
  readonly sinceMs?: number;
  /** What passes by audit alone, in place of what is dropped. Its reason is what would drop it. */
  readonly audit?: boolean;
}

export interface DropCount {
  readonly interface: string;
  readonly direction: 'ingress' | 'egress';
  readonly reason: string;
  readonly meaning: string;
  /** Counted since the interface came into use. */
  readonly packets: number;
  /** The latest few, newest first. */
  readonly examples: readonly DropExample[];
  /** Of what is audited: the rule that nearly admits the latest example. Absent: there is none. */
  readonly nearest?: NearMiss;
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
  /** No drop with that number is kept. `kept` says how many are, `newest` is the highest number. */
  | { readonly outcome: 'unknown'; readonly kept: number; readonly newest: number }
  | {
      readonly outcome: 'explained';
      readonly drop: DropExample;
      /** By the rules in force now. Absent if the packet could not be decoded, or no rule applies to such a packet. */
      readonly explanation?: Explanation;
      readonly service?: Service;
    };

export function listDrops(
  observatory: Observatory,
  book: RuleBook,
  seen: DropExamples,
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
    fallback: Number.MAX_SAFE_INTEGER,
  });
  const names = observatory.portNames();
  const examples = seen.examples();
  const counters = observatory.dataplane.readCounters();
  const isAudit = question.audit === true;
  const drops: DropCount[] = [];
  for (const [port, name] of names) {
    if (asked.length > 0 && !asked.includes(port)) continue;
    for (const [word, row] of [
      ['ingress', INGRESS],
      ['egress', EGRESS],
    ] as const) {
      if (direction !== undefined && word !== direction) continue;
      for (const { reason, packets } of countsOf(isAudit, word, counters, counterRow(port, row))) {
        if (reasons.length === 0 ? reason === CHATTER : !reasons.includes(reason)) continue;
        if (packets === 0) continue;
        const own = examples
          .filter(({ event }) => isOf(event, isAudit, port, word, reason))
          .map((one) => viewDrop(one, observatory, book, names))
          .filter(({ timeMs }) => Date.now() - timeMs <= sinceMs);
        const meaning = meaningOf(reason);
        drops.push({ interface: name, direction: word, reason, meaning, packets, examples: own });
      }
    }
  }
  drops.sort((a, b) => b.packets - a.packets);
  const lost = observatory.pump.counts.lost;
  if (!isAudit) return { drops, lost };
  const near = (drop: DropCount): DropCount => withNearest(drop, observatory, examples);
  return { drops: [...drops.slice(0, NEAREST_MAX).map(near), ...drops.slice(NEAREST_MAX)], lost };
}

/** The counts of a direction, by what they are of. @param row of the port and the direction in the counters */
function countsOf(
  isAudit: boolean,
  direction: 'ingress' | 'egress',
  counters: Float64Array,
  row: number,
): readonly { readonly reason: string; readonly packets: number }[] {
  if (!isAudit)
    return REASONS.slice(1).map(([reason], i) => ({
      reason,
      packets: counters[row + DROPPED_BY_REASON + 1 + i],
    }));
  const byName = REASONS.slice(TLS_NAME, TLS_NAMES_FULL + 1).map(([reason], i) => ({
    reason,
    packets: counters[row + AUDITED_BY_NAME + i],
  }));
  const named = byName.reduce((sum, { packets }) => sum + packets, 0);
  const [reason] = REASONS[direction === 'egress' ? EGRESS_RULES : INGRESS_RULES];
  return [{ reason, packets: counters[row + AUDITED_PACKETS] - named }, ...byName];
}

/** Adds the rule that nearly admits the latest example. */
function withNearest(
  drop: DropCount,
  observatory: Observatory,
  kept: readonly KeptDrop[],
): DropCount {
  const event = kept.find(({ id }) => id === drop.examples.at(0)?.id)?.event;
  const question = event && questionOf(event, drop.interface, observatory);
  if (question === undefined) return drop;
  const { answers } = explain(networkOf(observatory.config), question);
  const gates = answers.flatMap((answer) => answer.gates);
  const gate = gates.find(
    (one) => one.interface.name === drop.interface && one.direction === drop.direction,
  );
  const nearest = gate?.nearMisses.at(0);
  return nearest === undefined ? drop : { ...drop, nearest };
}

/** Explains a kept drop by the rules in force. @param id its number; undefined: the latest */
export function explainDrop(
  observatory: Observatory,
  book: RuleBook,
  seen: DropExamples,
  id: number | undefined,
): DropExplanation {
  const found = seen.find(id);
  if (found === undefined)
    return { outcome: 'unknown', kept: seen.examples().length, newest: seen.total };
  const drop = viewDrop(found, observatory, book, observatory.portNames());
  const question = questionOf(found.event, drop.interface, observatory);
  if (question === undefined) return { outcome: 'explained', drop };
  const explanation = explain(
    { ...networkOf(observatory.config), learntBy: learntNames(observatory) },
    question,
  );
  return explanation.answers.length === 0
    ? { outcome: 'explained', drop }
    : { outcome: 'explained', drop, explanation, service: question.service };
}

/** Of what is audited, the reason says which gate would drop it. */
function isOf(
  event: PacketEvent,
  isAudit: boolean,
  port: number,
  direction: 'ingress' | 'egress',
  reason: string,
): boolean {
  if ((event.kind === 'audited') !== isAudit) return false;
  return (
    event.port === port && event.reason === reason && (isAudit || event.direction === direction)
  );
}

function viewDrop(
  { id, event }: KeptDrop,
  observatory: Observatory,
  book: RuleBook,
  names: ReadonlyMap<number, string>,
): DropExample {
  return { id, ...viewVerdict(event, observatory, book, names) };
}

/** Makes a question of the packet: its sender, judged by the port it came in at, and its receiver. */
function questionOf(
  event: PacketEvent,
  name: string,
  { config }: Observatory,
): Question | undefined {
  const { tuple, direction } = event;
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
      ? // The port decides, whatever source address it used: so a forged address is reported as forged.
        { kind: 'interface', interfaceId: sender.id, address: source }
      : event.port === UPLINK_PORT
        ? { kind: 'address', address: source }
        : endpointOf(model, source);
  return {
    from,
    to: endpointOf(model, isEgress ? remote.value : local.value),
    service: serviceOf(event),
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

function serviceOf({ tuple, direction, icmp }: PacketEvent): Service {
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
