/**
 * This file keeps the rates of an hour, so that a page that was just opened shows what was before.
 *
 * The looks of a second (`top`) are averaged over steps of STEP_MS. A step without a look is a gap: the daemon was
 * away. Memory is bounded by the number of steps and by what is kept of each: its interfaces with the most bytes and
 * its most frequent reasons of drops. An interface that was not among those in a full step is told as unknown there,
 * and not as silent.
 */
import type { Traffic } from '../queries/interfaces-view.ts';
import type { Column, RateHistory, RateSample, TopAnswer, TrafficColumns } from './contract.ts';

export const STEP_MS = 5000;
const HOUR_MS = 3_600_000;
/** Interfaces and reasons that are kept of a step. */
const KEPT_MAX = 20;
const INTERFACES_SHOWN = 10;

const NOTHING: Traffic = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };
const FIELDS = Object.keys(NOTHING) as readonly (keyof Traffic)[];

export class RateKeeper {
  private readonly stepMs: number;
  private readonly samplesMax: number;
  private readonly samples: RateSample[] = [];
  private looks: TopAnswer[] = [];

  constructor(stepMs = STEP_MS, spanMs = HOUR_MS) {
    this.stepMs = stepMs;
    this.samplesMax = Math.ceil(spanMs / stepMs);
  }

  /** Takes a look of about a second. */
  take(answer: TopAnswer): void {
    this.looks.push(answer);
  }

  /** Ends a step. @param nowMs ms since 1970  @returns what is kept of it */
  endStep(nowMs: number): RateSample {
    const sample = sampleOf(this.looks, nowMs);
    this.looks = [];
    this.samples.push(sample);
    if (this.samples.length > this.samplesMax) this.samples.shift();
    return sample;
  }

  history(): RateHistory {
    const { samples, stepMs } = this;
    const reasons = rank(
      samples.flatMap(({ drops }) =>
        drops.map(({ reason, packets }) => [reason, packets] as const),
      ),
    );
    const names = rank(
      samples.flatMap(({ interfaces }) =>
        interfaces.map((one) => [one.name, bytesOf(one)] as const),
      ),
    ).slice(0, INTERFACES_SHOWN);
    return {
      stepMs,
      timesMs: samples.map(({ timeMs }) => timeMs),
      total: columnsOf(samples.map(({ total }) => total)),
      drops: reasons.map((reason) => ({
        reason,
        packets: samples.map(
          ({ total, drops }) =>
            drops.find((one) => one.reason === reason)?.packets ?? missing(total, drops),
        ),
      })),
      interfaces: names.map((name) => ({
        name,
        ...columnsOf(
          samples.map(({ total, interfaces }) => {
            const found = interfaces.find((one) => one.name === name);
            return found ?? (missing(total, interfaces) === null ? null : NOTHING);
          }),
        ),
      })),
    };
  }
}

/** What is told of something that is not in a step: nothing, or that nobody knows. */
function missing(total: Traffic | null, kept: readonly unknown[]): 0 | null {
  return total === null || kept.length >= KEPT_MAX ? null : 0;
}

/** The traffic of all interfaces in a look. */
export function totalOf({ interfaces }: Pick<TopAnswer, 'interfaces'>): Traffic {
  return interfaces.flatMap(({ ingress, egress }) => [ingress, egress]).reduce(add, NOTHING);
}

function sampleOf(looks: readonly TopAnswer[], timeMs: number): RateSample {
  if (looks.length === 0) return { timeMs, total: null, drops: [], interfaces: [] };
  const byName = new Map<string, Traffic>();
  const byReason = new Map<string, number>();
  for (const { interfaces, topDrops } of looks) {
    for (const { name, ingress, egress } of interfaces)
      byName.set(name, add(add(byName.get(name) ?? NOTHING, ingress), egress));
    for (const { reason, packetsRate } of topDrops)
      byReason.set(reason, (byReason.get(reason) ?? 0) + packetsRate);
  }
  const average = (traffic: Traffic): Traffic => mapFields((key) => traffic[key] / looks.length);
  const interfaces = [...byName]
    .map(([name, traffic]) => ({ name, ...average(traffic) }))
    .filter((one) => one.passedPackets + one.droppedPackets > 0)
    .sort((a, b) => bytesOf(b) - bytesOf(a))
    .slice(0, KEPT_MAX);
  return {
    timeMs,
    total: average([...byName.values()].reduce(add, NOTHING)),
    drops: [...byReason]
      .map(([reason, packets]) => ({ reason, packets: packets / looks.length }))
      .filter(({ packets }) => packets > 0)
      .sort((a, b) => b.packets - a.packets)
      .slice(0, KEPT_MAX),
    interfaces,
  };
}

function bytesOf({ passedBytes, droppedBytes }: Traffic): number {
  return passedBytes + droppedBytes;
}

function add(one: Traffic, other: Traffic): Traffic {
  return mapFields((key) => one[key] + other[key]);
}

function mapFields(valueOf: (key: keyof Traffic) => number): Traffic {
  const [passedPackets, passedBytes] = [valueOf('passedPackets'), valueOf('passedBytes')];
  const [droppedPackets, droppedBytes] = [valueOf('droppedPackets'), valueOf('droppedBytes')];
  return { passedPackets, passedBytes, droppedPackets, droppedBytes };
}

function columnsOf(traffic: readonly (Traffic | null)[]): TrafficColumns {
  const columns = FIELDS.map((key): [keyof Traffic, Column] => [
    key,
    traffic.map((one) => one?.[key] ?? null),
  ]);
  return Object.fromEntries(columns) as Record<keyof Traffic, Column>;
}

/** Words by the sum of their amounts, the largest first. */
function rank(amounts: readonly (readonly [string, number])[]): readonly string[] {
  const sums = new Map<string, number>();
  for (const [word, amount] of amounts) sums.set(word, (sums.get(word) ?? 0) + amount);
  return [...sums].sort(([, a], [, b]) => b - a).map(([word]) => word);
}
