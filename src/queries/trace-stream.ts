/**
 * This file answers `sgctl trace`: it sends verdicts as they happen.
 *
 * By default it sends what people want to see of a network: each drop, and the first packet of each flow. Packets of
 * untracked flows have no mark for the first one, so a bounded number of recent untracked flows is remembered.
 *
 * A record is compared with the filter as numbers. Only matching records become objects, at most EVENTS_PER_POLL for
 * each poll of the event ring (20 a second). The rest counts as missed.
 */
import { ruleIn } from '../conntrack/entry.ts';
import { LRUCache } from 'lru-cache';
import {
  EVENT_DIRECTION_BIT,
  EVENT_AUDIT,
  EVENT_DROP,
  EVENT_FLOW_OPENED,
  EVENT_HAS_TUPLE,
  EVENT_IS_IPV6,
  EVENT_KIND,
  EVENT_LOCAL,
  EVENT_META,
  EVENT_PASS,
  EVENT_PORTS,
  EVENT_REASON_SHIFT,
  EVENT_REMOTE,
  EVENT_RULE,
  EVENT_STATE,
  WANT_DROPS,
  WANT_FLOWS,
  WANT_PASSES,
  WANT_AUDITS,
  WANT_UNTRACKED,
} from '../engine/events.ts';
import { OPENED_LOCALLY } from '../conntrack/states.ts';
import { REASONS } from '../engine/reasons.ts';
import { LoopClock } from '../telemetry/loop-clock.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook } from './rule-book.ts';
import type { Sink } from './stream.ts';
import { readEvent } from '../telemetry/packet-events.ts';
import { LiveFilter, readChoice, readWords, type TrafficFilter } from './traffic-filter.ts';
import { REASON_NAMES, viewVerdict, type VerdictView } from './verdict-view.ts';

export const VERDICTS = ['passed', 'dropped'] as const;
/** Audited packets pass as well. They are shown as such to those who ask for nothing else. */
export const TRACE_VERDICTS = [...VERDICTS, 'audited'] as const;
export const DIRECTIONS = ['ingress', 'egress'] as const;

export interface TraceQuestion extends TrafficFilter {
  /** Every packet, not only drops and the first of each flow. */
  readonly all?: boolean;
  /** Of an untracked flow the first packet each way, and not only the first. */
  readonly eachWay?: boolean;
  readonly verdict?: (typeof TRACE_VERDICTS)[number];
  readonly direction?: (typeof DIRECTIONS)[number];
  readonly reasons?: readonly string[];
}

export interface TraceAnswer {
  /** In the order of the packets. */
  readonly verdicts: readonly VerdictView[];
  /** Records lost in the event ring since the answer before. It is not known whether they would have matched. */
  readonly lost: number;
}

const EVENTS_PER_POLL = 1000;
const UNTRACKED_REMEMBERED = 8192;
const UNTRACKED_TTL_MS = 30_000;

/** Conditions on a record, besides those on traffic. */
interface Wanted {
  readonly kinds: ReadonlySet<number>;
  readonly direction: (typeof DIRECTIONS)[number] | undefined;
  readonly reasons: ReadonlySet<number> | undefined;
}

/** Follows verdicts for one client. @returns a function that ends it */
export function followVerdicts(
  observatory: Observatory,
  book: RuleBook,
  question: TraceQuestion,
  sink: Sink<TraceAnswer>,
): () => void {
  const filter = new LiveFilter(question, observatory);
  const { wanted, wants } = readWanted(question);
  const isAll = question.all === true;
  const untracked = new LRUCache<string, true>({
    max: UNTRACKED_REMEMBERED,
    ttl: UNTRACKED_TTL_MS,
  });
  const clock = new LoopClock(observatory);
  let pending: VerdictView[] = [];
  let missed = 0;
  const isFirst = (words: Int32Array, at: number): boolean => {
    const key = words.subarray(at + EVENT_META, at + EVENT_PORTS + 1).join();
    const way = question.eachWay === true ? words[at + EVENT_KIND] & EVENT_DIRECTION_BIT : 0;
    const flow = `${key},${words.subarray(at + EVENT_LOCAL, at + EVENT_REMOTE + 4).join()},${way}`;
    if (untracked.has(flow)) return false;
    untracked.set(flow, true);
    return true;
  };
  return observatory.pump.listen({
    wants,
    take: (words, doubles, at, loop) => {
      if (!isWanted(wanted, words, at) || !matchesEvent(filter, words, at)) return;
      if (!isAll && (words[at + EVENT_KIND] & 0xff) === EVENT_PASS && !isFirst(words, at)) return;
      if (pending.length >= EVENTS_PER_POLL) {
        missed++;
        return;
      }
      const event = readEvent(words, doubles, at, loop);
      pending.push(viewVerdict(event, clock, book, observatory.portNames()));
    },
    settle: (lost) => {
      if (missed > 0) sink.miss(missed);
      missed = 0;
      if (pending.length === 0 && lost === 0) return;
      sink.send({ verdicts: pending, lost }, pending.length);
      pending = [];
    },
  });
}

function readWanted(question: TraceQuestion): { readonly wanted: Wanted; readonly wants: number } {
  const verdict = readChoice(question.verdict, 'verdict', TRACE_VERDICTS);
  const direction = readChoice(question.direction, 'direction', DIRECTIONS);
  const reasons = readWords(question.reasons, 'reasons').map((word) => {
    const reason = readChoice(word, 'reasons', REASON_NAMES)!;
    return REASONS.findIndex(([name]) => name === reason);
  });
  const kinds = new Set<number>();
  let wants = 0;
  if (verdict === 'audited') {
    kinds.add(EVENT_AUDIT);
    wants |= WANT_AUDITS;
  }
  if (verdict === undefined || verdict === 'dropped') {
    kinds.add(EVENT_DROP);
    wants |= WANT_DROPS;
  }
  // Of what passes nothing has a reason.
  if ((verdict === undefined || verdict === 'passed') && reasons.length === 0) {
    kinds.add(EVENT_PASS);
    if (question.all !== true) kinds.add(EVENT_FLOW_OPENED);
    wants |= question.all === true ? WANT_PASSES : WANT_FLOWS | WANT_UNTRACKED;
  }
  return {
    wanted: { kinds, direction, reasons: reasons.length === 0 ? undefined : new Set(reasons) },
    wants,
  };
}

function isWanted({ kinds, direction, reasons }: Wanted, words: Int32Array, at: number): boolean {
  const head = words[at + EVENT_KIND];
  const kind = head & 0xff;
  if (!kinds.has(kind)) return false;
  if (reasons !== undefined && !reasons.has((head >>> EVENT_REASON_SHIFT) & 0xff)) return false;
  if (direction === undefined) return true;
  const isEgress =
    kind === EVENT_FLOW_OPENED
      ? (words[at + EVENT_STATE] & OPENED_LOCALLY) !== 0
      : (head & EVENT_DIRECTION_BIT) !== 0;
  return isEgress === (direction === 'egress');
}

function matchesEvent({ current }: LiveFilter, words: Int32Array, at: number): boolean {
  if (current === undefined) return false;
  if (current.isEmpty) return true;
  const head = words[at + EVENT_KIND];
  const meta = words[at + EVENT_META];
  if ((head & EVENT_HAS_TUPLE) === 0) return current.matchesUndecoded(meta >>> 16);
  const ports = words[at + EVENT_PORTS];
  const rule = words[at + EVENT_RULE];
  return current.matches(
    meta >>> 16,
    meta & 0xff,
    ports >>> 16,
    ports & 0xffff,
    (head & EVENT_IS_IPV6) === 0 ? 4 : 6,
    words,
    at + EVENT_LOCAL,
    at + EVENT_REMOTE,
    rule < 0 && rule >= -1 ? -1 : ruleIn(rule),
  );
}
