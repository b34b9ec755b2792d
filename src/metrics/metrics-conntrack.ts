/**
 * These metrics describe tracked flows: their number, their states, evictions, and the allowance under AWS's names.
 */
import { Counter, Gauge, type Registry } from 'prom-client';
import { TOLD_STATES, toldState } from '../conntrack/states.ts';
import { stateWordOf } from '../conntrack/entry.ts';
import { forEachFlow, type FlowTable } from '../conntrack/table.ts';
import {
  DROPPED_BY_REASON,
  GAUGE_EVICTED,
  GAUGE_EVICTED_REVOKED,
  GAUGE_HALF_OPEN,
  GAUGE_OPENED,
  GAUGE_PASSED_FRAGMENT,
  GAUGE_PASSED_INVALID,
  GAUGE_PASSED_TABLE_FULL,
} from '../engine/counters.ts';
import { CONNTRACK_FULL } from '../engine/reasons.ts';
import { warningLevel } from '../telemetry/table-warning.ts';
import { addGauge, forEachRow, type MetricsOptions } from './metrics-parts.ts';

const EXCUSED = [
  ['table-full', GAUGE_PASSED_TABLE_FULL],
  ['invalid', GAUGE_PASSED_INVALID],
  ['fragment', GAUGE_PASSED_FRAGMENT],
] as const;

export function addConntrack(registry: Registry, options: MetricsOptions): void {
  const { source, maxFlows, maxHalfOpen } = options;
  const registers = [registry];
  addGauge(registry, 'secgroupd_conntrack_flows', 'Flows tracked now.', () => source.flowCount);
  addGauge(
    registry,
    'secgroupd_conntrack_flows_max',
    'Flows that may be tracked at once (conntrack.maxFlows).',
    () => maxFlows,
  );
  addGauge(
    registry,
    'secgroupd_conntrack_half_open_flows',
    'Tracked flows that nobody has answered yet.',
    () => source.readGauge(GAUGE_HALF_OPEN),
  );
  addGauge(
    registry,
    'secgroupd_conntrack_half_open_flows_max',
    'How many may be half-open (conntrack.maxHalfOpen).',
    () => maxHalfOpen,
  );
  addGauge(
    registry,
    'secgroupd_conntrack_warning_level',
    '0: the table has room; 1: it is 80 % full; 2: it is 95 % full.',
    () => warningLevel(source.flowCount, maxFlows),
  );
  new Gauge({
    name: 'secgroupd_conntrack_flows_by_state',
    help: 'Flows tracked now, by state; those past their time-out and not yet swept included.',
    labelNames: ['state'],
    registers,
    collect() {
      const byState = countByState(source.flows);
      for (let state = 1; state < TOLD_STATES.length; state++)
        this.set({ state: TOLD_STATES[state] }, byState[state]);
    },
  });
  addOpenedAndEvicted(registry, options);
  new Counter({
    name: 'secgroupd_excused_packets_total',
    help: 'Packets that conntrack.exceptions let pass, by exception.',
    labelNames: ['exception'],
    registers,
    collect() {
      this.reset();
      for (const [exception, cell] of EXCUSED) this.inc({ exception }, source.readGauge(cell));
    },
  });
  addAllowance(registry, options);
}

function addOpenedAndEvicted(registry: Registry, { source }: MetricsOptions): void {
  const registers = [registry];
  new Counter({
    name: 'secgroupd_conntrack_opened_flows_total',
    help: 'Flows that were opened.',
    registers,
    collect() {
      this.reset();
      this.inc(source.readGauge(GAUGE_OPENED));
    },
  });
  new Counter({
    name: 'secgroupd_conntrack_evicted_flows_total',
    help: 'Half-open or ended flows that were given up for others. Established ones never are.',
    registers,
    collect() {
      this.reset();
      this.inc(source.readGauge(GAUGE_EVICTED));
    },
  });
  new Counter({
    name: 'secgroupd_conntrack_evicted_revoked_flows_total',
    help: 'Flows that a change of rules had ended and that were forgotten before their time, since the table, or an interface at its limit, had no room.',
    registers,
    collect() {
      this.reset();
      this.inc(source.readGauge(GAUGE_EVICTED_REVOKED));
    },
  });
}

/** Adds the conntrack allowance under the names that the ENA driver uses. */
function addAllowance(registry: Registry, { source, ports, maxFlows }: MetricsOptions): void {
  const registers = [registry];
  new Gauge({
    name: 'conntrack_allowance_available',
    help: 'Flows that may still be tracked, under the name the ENA driver gives it.',
    registers,
    collect() {
      this.set(Math.max(0, maxFlows - source.flowCount));
    },
  });
  new Gauge({
    name: 'conntrack_allowance_exceeded',
    help: 'Packets dropped since the start because a flow could not be tracked, under the name the ENA driver gives it. It only grows.',
    labelNames: ['interface'],
    registers,
    collect() {
      this.reset();
      const exceeded = new Map<string, number>();
      const counters = source.readCounters();
      forEachRow(ports(), (port, _direction, row) => {
        const packets = counters[row + DROPPED_BY_REASON + CONNTRACK_FULL];
        exceeded.set(port, (exceeded.get(port) ?? 0) + packets);
      });
      for (const [port, packets] of exceeded) this.set({ interface: port }, packets);
    },
  });
}

function countByState(tables: readonly FlowTable[]): Float64Array {
  const byState = new Float64Array(TOLD_STATES.length);
  for (const table of tables)
    forEachFlow(table, (flow) => void byState[toldState(stateWordOf(table, flow))]++);
  return byState;
}
