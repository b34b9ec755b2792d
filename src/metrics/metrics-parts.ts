/** This file has what the metrics share: where figures come from, and how they are read at a scrape. */
import { Gauge, type Registry } from 'prom-client';
import type { FlowTable } from '../conntrack/table.ts';
import { counterRow, EGRESS, INGRESS } from '../engine/counters.ts';
import type { NumberedRule } from '../policy/rule-numbers.ts';
import type { Observatory, ReloadCounts } from '../telemetry/observatory.ts';
import type { FlowLogCounts } from '../flow-logs/flow-log.ts';

/** The counters of the packet loops. The handle of dataplane/dataplane.ts implements it. */
export interface MetricsSource {
  readonly flowCount: number;
  readonly flows: readonly FlowTable[];
  /** Rows of engine/counters.ts. */
  readCounters(): Float64Array;
  /** @param gauge GAUGE_… of engine/counters.ts */
  readGauge(gauge: number): number;
  /** The same for each loop. */
  readGauges(gauge: number): readonly number[];
  hitsOf(rule: number): number;
  /** Ms since 1970; undefined: never. */
  lastHitAt(rule: number): number | undefined;
  /** What has passed by a rule that only audits. */
  auditedBy(rule: number): { readonly packets: number; readonly bytes: number };
}

/** What of a store is in force. */
export interface StoreFigures {
  readonly revision: number;
  readonly notInForce: number;
  /** For how long it can't be reached; 0: it can. */
  readonly awaySec: number;
  /** Packets of what the store gave this host are dropped (daemon/fencing.ts). */
  readonly isFenced: boolean;
}

export interface MetricsOptions {
  readonly source: MetricsSource;
  /** Ports in use now, with their label: an interface's name, or `uplink`. */
  readonly ports: () => readonly (readonly [port: number, label: string])[];
  /** Labels of ports whose device can't be opened yet. */
  readonly waiting: () => readonly string[];
  /** The rules in force, by number. */
  readonly rules: () => ReadonlyMap<number, NumberedRule>;
  /** The rules that only audit, by number. */
  readonly audits: () => ReadonlyMap<number, NumberedRule>;
  readonly events: () => { readonly taken: number; readonly lost: number };
  readonly flowLogs: () => readonly FlowLogCounts[];
  readonly policy: () => { readonly generation: number; readonly sinceMs: number };
  readonly reloads: ReloadCounts;
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  /** What is in force of the store; undefined: there is no store. */
  readonly store: () => StoreFigures | undefined;
  readonly version: string;
}

/** Collects what can be measured of a daemon. */
export function metricsOf(
  observatory: Observatory,
  rest: Pick<MetricsOptions, 'ports' | 'waiting' | 'flowLogs' | 'store' | 'version'>,
): MetricsOptions {
  const { maxFlows, maxHalfOpen } = observatory.config.conntrack;
  return {
    ...rest,
    source: observatory.dataplane,
    rules: () => observatory.inForce,
    audits: () => observatory.audits,
    events: () => observatory.pump.counts,
    policy: () => observatory.policy,
    reloads: observatory.reloads,
    maxFlows,
    maxHalfOpen,
  };
}

/** Adds a gauge without labels that is read when scraped. */
export function addGauge(registry: Registry, name: string, help: string, read: () => number): void {
  new Gauge({
    name,
    help,
    registers: [registry],
    collect() {
      this.set(read());
    },
  });
}

const DIRECTIONS = [
  ['ingress', INGRESS],
  ['egress', EGRESS],
] as const;

/** Visits the counters of each interface and direction. */
export function forEachRow(
  ports: readonly (readonly [number, string])[],
  visit: (label: string, direction: string, row: number) => void,
): void {
  for (const [port, label] of ports) {
    for (const [name, direction] of DIRECTIONS) visit(label, name, counterRow(port, direction));
  }
}
