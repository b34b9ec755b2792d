/** What the parts of the metrics share: where figures come from, and how they are read at a scrape. */
import { Gauge, type Registry } from 'prom-client';
import type { FlowTable } from '../../conntrack/table.ts';
import { counterRow, EGRESS, INGRESS } from '../../engine/counters.ts';
import type { Rule } from '../../policy/model.ts';

import type { FlowLogCounts } from '../flow-logs/flow-log.ts';

/** What the packet loops count; dataplane/dataplane.ts is one. */
export interface MetricsSource {
  readonly flowCount: number;
  readonly flows: readonly FlowTable[];
  /** Rows of engine/counters.ts. */
  readCounters(): Float64Array;
  /** @param gauge GAUGE_… of engine/counters.ts */
  readGauge(gauge: number): number;
  /** The same by loop. */
  readGauges(gauge: number): readonly number[];
  hitsOf(rule: number): number;
  /** Ms since 1970; undefined: never. */
  lastHitAt(rule: number): number | undefined;
}

/** A rule in force, with the number its hits are counted by. */
export interface NumberedRule {
  readonly number: number;
  readonly rule: Rule;
  readonly groupId: string;
  readonly direction: 'ingress' | 'egress';
}

/** How changes of the configuration have gone since the start. */
export interface ReloadCounts {
  changed: number;
  unchanged: number;
  refused: number;
  /** Ms since 1970 of the last one that was not refused; of the start, before any. */
  lastSuccessMs: number;
  isLastRefused: boolean;
}

export interface MetricsOptions {
  readonly source: MetricsSource;
  /** Ports in use now, with their label: an interface's name, or `uplink`. */
  readonly ports: () => readonly (readonly [port: number, label: string])[];
  /** Labels of ports whose device can't be had yet. */
  readonly waiting: () => readonly string[];
  /** Those in force, by number. */
  readonly rules: () => ReadonlyMap<number, NumberedRule>;
  readonly events: () => { readonly taken: number; readonly lost: number };
  readonly flowLogs: () => readonly FlowLogCounts[];
  readonly policy: () => { readonly generation: number; readonly sinceMs: number };
  readonly reloads: ReloadCounts;
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  readonly version: string;
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
