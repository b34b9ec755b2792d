/**
 * This file answers `sgctl names`: which addresses interfaces have learnt of the DNS names of their rules, until when
 * they count, and what became of answers.
 */
import { formatAddress, type Address } from '../addr/address.ts';
import { GAUGE_NAME_OUTCOMES } from '../engine/counters.ts';
import { NAME_OUTCOMES } from '../engine/names/outcomes.ts';
import type { LearntName } from '../explain/explanation.ts';
import { nameIdentity } from '../policy/dns-names.ts';
import type { InterfaceId, NetworkInterface, PolicyModel } from '../policy/model.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { portOf, readNumber, readWords } from './traffic-filter.ts';

type LearntAddress = Observatory['dataplane']['learntNames'][number];

/** The most rows of an answer. */
export const NAME_ROWS_MAX = 10_000;
const NAME_ROWS = 1000;

export interface NamesQuestion {
  /** Empty: all. */
  readonly interfaces?: readonly string[];
  readonly limit?: number;
}

/** A name of an interface's rules with one of its addresses. */
export interface NameView {
  readonly interface: string;
  /** As the rule has it. */
  readonly name: string;
  /** Absent: no answer for it has been seen, or all that were are over. */
  readonly address?: string;
  /** Ms since 1970 until which it counts. */
  readonly untilMs?: number;
  /** How many answers have had it. */
  readonly answers: number;
}

export interface NamesAnswer {
  /** In the order of interfaces and of their names. */
  readonly names: readonly NameView[];
  /** Rows beyond the limit. */
  readonly leftOut: number;
  /** What became of answers since the daemon started; outcomes that never were are left out. */
  readonly outcomes: readonly {
    readonly outcome: string;
    readonly meaning: string;
    readonly count: number;
  }[];
}

export function listNames(observatory: Observatory, question: NamesQuestion): NamesAnswer {
  const asked = readWords(question.interfaces, 'interfaces').map((text) =>
    portOf(text, observatory),
  );
  const limits = { min: 1, max: NAME_ROWS_MAX, fallback: NAME_ROWS };
  const limit = readNumber(question.limit, 'limit', limits);
  const { dataplane, config } = observatory;
  const learnt = dataplane.learntNames;
  const byName = new Map([...config.model.interfaces.values()].map((one) => [one.name, one]));
  const rows: NameView[] = [];
  for (const [port, name] of observatory.portNames()) {
    const one = byName.get(name);
    if (one === undefined || (asked.length > 0 && !asked.includes(port))) continue;
    for (const dnsName of namesOf(one, config.model)) {
      const own = ofName(learnt, port, dnsName);
      if (own.length === 0) rows.push({ interface: name, name: dnsName, answers: 0 });
      for (const { untilMs, answers, ...found } of own) {
        const address = formatAddress(addressOf(found));
        const until = Math.round(observatory.wallMs(untilMs));
        rows.push({ interface: name, name: dnsName, address, untilMs: until, answers });
      }
    }
  }
  const outcomes = NAME_OUTCOMES.map(([outcome, meaning], i) => ({
    outcome,
    meaning,
    count: dataplane.readGauge(GAUGE_NAME_OUTCOMES + i),
  }));
  return {
    names: rows.slice(0, limit),
    leftOut: Math.max(0, rows.length - limit),
    outcomes: outcomes.filter(({ count }) => count > 0),
  };
}

/** What interfaces have learnt, for explanations. */
export function learntNames(observatory: Observatory): (id: InterfaceId) => readonly LearntName[] {
  const { model } = observatory.config;
  return (id) => {
    const one = model.interfaces.get(id);
    const [port] = [...observatory.portNames()].find(([, name]) => name === one?.name) ?? [];
    if (one === undefined || port === undefined) return [];
    const names = namesOf(one, model);
    if (names.length === 0) return [];
    const learnt = observatory.dataplane.learntNames;
    return names.flatMap((name) =>
      ofName(learnt, port, name).map((found) => ({
        name,
        address: addressOf(found),
        untilMs: Math.round(observatory.wallMs(found.untilMs)),
      })),
    );
  };
}

/** The DNS names that the rules of an interface have, each once. */
function namesOf({ groupIds }: NetworkInterface, { groups }: PolicyModel): readonly string[] {
  const rules = groupIds.flatMap((id) => groups.get(id)?.egress ?? []);
  return [...new Set(rules.flatMap(({ peer }) => (peer.kind === 'dns' ? [peer.name] : [])))];
}

/** Two loops may have learnt the same address: the later end counts. */
function ofName(
  learnt: readonly LearntAddress[],
  port: number,
  name: string,
): readonly LearntAddress[] {
  const [first, second] = nameIdentity(name);
  const found = new Map<string, LearntAddress>();
  for (const one of learnt) {
    if (one.port !== port || one.identity[0] !== first || one.identity[1] !== second) continue;
    const key = one.words.join();
    const known = found.get(key);
    if (known === undefined) found.set(key, one);
    else {
      const later = ((one.untilMs - known.untilMs) | 0) > 0 ? one : known;
      found.set(key, { ...later, answers: one.answers + known.answers });
    }
  }
  return [...found.values()];
}

function addressOf({ family, words }: Pick<LearntAddress, 'family' | 'words'>): Address {
  return { family, words };
}
