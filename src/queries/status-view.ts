/** This file answers `sgctl status` with the state of the daemon, its counters, and the rates of the last second. */
import { stateOf } from '../conntrack/entry.ts';
import { STATE_NAMES } from '../conntrack/states.ts';
import { EGRESS, INGRESS } from '../engine/counters.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { everySecond } from '../telemetry/every-second.ts';
import { scanFlows } from '../telemetry/flow-scan.ts';
import type { AuditStatus } from './audit-view.ts';
import { readTraffic, type Traffic, type WaitingDevice } from './interfaces-view.ts';
import type { Observatory } from '../telemetry/observatory.ts';

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
   * Packets judged at the gates of interfaces, and packets that came in through the uplink and were dropped before
   * any gate. A packet from one interface here to another is judged twice.
   */
  readonly total: Traffic;
  /** Rates per second, measured over the last second. */
  readonly rates: Traffic;
  /** Event records of packets and flows: how many were read, and how many were lost in a full ring. */
  readonly events: { readonly taken: number; readonly lost: number };
  readonly reloads: {
    readonly changed: number;
    readonly unchanged: number;
    readonly refused: number;
    readonly lastSuccessMs: number;
    readonly isLastRefused: boolean;
  };
}

/** What is in force, and the state of the daemon. */
export interface Status extends Overview {
  readonly health: Health;
  /** What is not enforced; absent: everything is. */
  readonly audit?: AuditStatus;
  /** The store of what API calls made; absent: there is none. */
  readonly store?: StoreStatus;
}

export interface StoreStatus {
  readonly file: string;
  /** The name of this host in it. */
  readonly host: string;
  /** The revision in force. */
  readonly revision: number;
  /** A later one that could not be put in force, and why. */
  readonly refused?: { readonly revision: number; readonly message: string };
  /** For how long it can't be reached; absent: it can. */
  readonly awaySec?: number;
  /** It has been away for so long that rules which name groups admit no new flow. Absent: false. */
  readonly areGroupsStale?: boolean;
  /** Whether packets of what it gave flow only while this host's lease lives (--fence). Absent: of a file. */
  readonly fence?: 'none' | 'lease';
  /** Why they are dropped now; absent: they are not. */
  readonly fenced?: string;
  /** What of it is not in force. */
  readonly notInForce: readonly { readonly id: string; readonly reason: string }[];
}

/** What is in force, in a few words. */
export interface Overview {
  readonly version: string;
  readonly pid: number;
  readonly config: string;
  readonly generation: number;
  readonly interfaces: readonly string[];
  /** Interfaces, or the uplink, whose device can't be opened yet. */
  readonly waiting: readonly WaitingDevice[];
  readonly groups: number;
  readonly flows: number;
  /** Whether the kernel forwards packets of flows that are decided. */
  readonly offload: OffloadStatus;
  readonly prefixLists: readonly PrefixListStatus[];
}

export interface OffloadStatus {
  readonly mode: 'off' | 'auto' | 'on';
  /** Interfaces that take part; 0: none does. */
  readonly interfaces: number;
  /** Flows whose packets the kernel forwards now. */
  readonly flows: number;
  /** Why there is no fast path, though it is asked for. */
  readonly why?: string;
}

export interface PrefixListStatus {
  readonly name: string;
  readonly id: string;
  readonly entries: number;
  readonly maxEntries: number;
  /** 1 when the daemon starts; goes up with every change of the entries, as in AWS. */
  readonly version: number;
}

const NOTHING: Traffic = { passedPackets: 0, passedBytes: 0, droppedPackets: 0, droppedBytes: 0 };

/** Measures the rates of the last second. It reads a few counters once a second. */
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

  /** Rates per second. */
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
    const state = STATE_NAMES[stateOf(table, flow)];
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

/** The difference of two totals per second. A counter that was reset in between gives 0. */
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

/** Counts each verdict once. Traffic through the uplink is counted at the interface it is for or comes from. */
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
