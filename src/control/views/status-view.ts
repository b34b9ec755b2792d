/** `sgctl status`: how the daemon is, in figures; and the rates of the last second, which a counter alone does not tell. */
import { FLOW_STATE } from '../../conntrack/table.ts';
import { STATE_MASK, STATE_NAMES } from '../../conntrack/states.ts';
import { EGRESS, INGRESS } from '../../engine/counters.ts';
import { UPLINK_PORT } from '../../policy/compiled.ts';
import { everySecond } from '../every-second.ts';
import { scanFlows } from './flow-scan.ts';
import { readTraffic, type Traffic } from './interfaces-view.ts';
import type { Observatory } from './observatory.ts';

export interface Health {
  /** Ms since 1970. */
  readonly startedMs: number;
  readonly uptimeMs: number;
  /** When the policy in force came into force: ms since 1970. */
  readonly policySinceMs: number;
  /** Packet loops (`workers`). */
  readonly workers: number;
  readonly maxFlows: number;
  /** By conntrack state; states without flows are left out. */
  readonly flowsByState: Readonly<Record<string, number>>;
  /**
   * Judged at the gates of interfaces, and what came in through the uplink and was dropped before any. A packet
   * from one interface here to another is judged twice.
   */
  readonly total: Traffic;
  /** A second, over the last second. */
  readonly rates: Traffic;
  /** What the packet loop told of packets and flows: records taken, and records lost in a full ring. */
  readonly events: { readonly taken: number; readonly lost: number };
  readonly reloads: {
    readonly changed: number;
    readonly unchanged: number;
    readonly refused: number;
    readonly lastSuccessMs: number;
    readonly isLastRefused: boolean;
  };
}

const NOTHING: Traffic = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

/** Knows the rates of the last second: looks once a second at a few counters. */
export class RateMeter {
  private readonly observatory: Observatory;
  readonly stop: () => void;
  private total: Traffic;
  private atMs = performance.now();
  private last: Traffic = NOTHING;

  constructor(observatory: Observatory) {
    this.observatory = observatory;
    this.total = totalTraffic(observatory);
    this.stop = everySecond(() => this.look());
  }

  /** A second. */
  get rates(): Traffic {
    return this.last;
  }

  private look(): void {
    const nowMs = performance.now();
    const total = totalTraffic(this.observatory);
    this.last = ratesOf(this.total, total, (nowMs - this.atMs) / 1000);
    this.total = total;
    this.atMs = nowMs;
  }
}

export async function readHealth(observatory: Observatory, meter: RateMeter): Promise<Health> {
  const { dataplane, startedMs, policy, pump, reloads, config } = observatory;
  const byState = new Map<string, number>();
  await scanFlows(dataplane.flows, dataplane, (table, flow) => {
    const word = table.words[flow * table.stride + table.keyWords + FLOW_STATE];
    const state = STATE_NAMES[word & STATE_MASK];
    byState.set(state, (byState.get(state) ?? 0) + 1);
  });
  return {
    startedMs,
    uptimeMs: Date.now() - startedMs,
    policySinceMs: policy.sinceMs,
    workers: config.workers,
    maxFlows: config.conntrack.maxFlows,
    flowsByState: Object.fromEntries(byState),
    total: totalTraffic(observatory),
    rates: meter.rates,
    events: pump.counts,
    reloads: { ...reloads },
  };
}

/** Differences of two totals a second; a counter that was reset in between counts as still. */
export function ratesOf(before: Traffic, after: Traffic, seconds: number): Traffic {
  const rate = (key: keyof Traffic): number =>
    Math.max(0, Math.round((after[key] - before[key]) / seconds));
  return {
    passedPackets: rate('passedPackets'),
    passedBytes: rate('passedBytes'),
    droppedPackets: rate('droppedPackets'),
    droppedBytes: rate('droppedBytes'),
  };
}

/** Each judgement once: what passes through the uplink is counted at the interface it is for, or comes from. */
function totalTraffic(observatory: Observatory): Traffic {
  const counters = observatory.dataplane.readCounters();
  const total = { ...NOTHING };
  for (const port of observatory.portNames().keys()) {
    for (const direction of [INGRESS, EGRESS]) {
      const traffic = readTraffic(counters, port, direction);
      total.droppedPackets += traffic.droppedPackets;
      total.droppedBytes += traffic.droppedBytes;
      if (port === UPLINK_PORT) continue;
      total.passedPackets += traffic.passedPackets;
      total.passedBytes += traffic.passedBytes;
    }
  }
  return total;
}
