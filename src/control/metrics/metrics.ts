/**
 * Counters in shared memory to Prometheus: the only importer of prom-client, and only when scraped.
 *
 * Labels are interfaces (as many as are configured), directions, verdicts and drop reasons: bounded by
 * the configuration, never by traffic. Reasons that never occurred have no line.
 */
import { collectDefaultMetrics, Counter, Gauge, Registry } from 'prom-client';
import {
  counterRow,
  DROPPED_BY_REASON,
  DROPPED_BYTES,
  DROPPED_PACKETS,
  EGRESS,
  GAUGE_EVICTED,
  GAUGE_HALF_OPEN,
  GAUGE_PASSED_FRAGMENT,
  GAUGE_PASSED_INVALID,
  GAUGE_PASSED_TABLE_FULL,
  INGRESS,
  PASSED_BYTES,
  PASSED_PACKETS,
} from '../engine/counters.ts';
import { CONNTRACK_FULL, REASON_COUNT, REASONS } from '../engine/reasons.ts';

export interface MetricsSource {
  /** engine/counters.ts */
  readonly counters: Float64Array;
  readonly flowCount: number;
  /** engine/counters.ts, GAUGE_… */
  readonly gauges: Float64Array;
}

export interface MetricsOptions {
  readonly source: MetricsSource;
  /** Ports in use now, with their label: an interface's name, or `uplink`. */
  readonly ports: () => readonly (readonly [port: number, label: string])[];
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  readonly version: string;
}

const EXCUSED = [
  ['table-full', GAUGE_PASSED_TABLE_FULL],
  ['invalid', GAUGE_PASSED_INVALID],
  ['fragment', GAUGE_PASSED_FRAGMENT],
] as const;

const DIRECTIONS = [
  ['ingress', INGRESS],
  ['egress', EGRESS],
] as const;

/** prom-client's defaults that promtool objects to: gauges named like counters. */
const MISNAMED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

export function createRegistry(options: MetricsOptions): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of MISNAMED_DEFAULTS) registry.removeSingleMetric(name);
  addTraffic(registry, options);
  addConntrack(registry, options);
  new Gauge({
    name: 'secgroupd_build_info',
    help: 'Always 1; the version is the label.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: options.version }, 1);
  return registry;
}

function addTraffic(registry: Registry, { source, ports }: MetricsOptions): void {
  const registers = [registry];
  const labelNames = ['interface', 'direction', 'verdict'] as const;
  const collectBy = (
    counter: Counter<(typeof labelNames)[number]>,
    passed: number,
    dropped: number,
  ): void => {
    counter.reset();
    forEachRow(ports(), (port, direction, row) => {
      counter.inc({ interface: port, direction, verdict: 'pass' }, source.counters[row + passed]);
      counter.inc({ interface: port, direction, verdict: 'drop' }, source.counters[row + dropped]);
    });
  };
  new Counter({
    name: 'secgroupd_packets_total',
    help: 'Packets judged at an interface, by direction (ingress: towards the instance) and verdict. GSO superpackets count as their segments.',
    labelNames,
    registers,
    collect() {
      collectBy(this, PASSED_PACKETS, DROPPED_PACKETS);
    },
  });
  new Counter({
    name: 'secgroupd_bytes_total',
    help: 'Bytes of IP packets judged at an interface, by direction and verdict.',
    labelNames,
    registers,
    collect() {
      collectBy(this, PASSED_BYTES, DROPPED_BYTES);
    },
  });
  new Counter({
    name: 'secgroupd_dropped_packets_total',
    help: 'Packets dropped at an interface, by direction and reason.',
    labelNames: ['interface', 'direction', 'reason'],
    registers,
    collect() {
      this.reset();
      forEachRow(ports(), (port, direction, row) => {
        for (let reason = 1; reason < REASON_COUNT; reason++) {
          const packets = source.counters[row + DROPPED_BY_REASON + reason];
          if (packets > 0)
            this.inc({ interface: port, direction, reason: REASONS[reason][0] }, packets);
        }
      });
    },
  });
}

function addConntrack(registry: Registry, options: MetricsOptions): void {
  const { source, maxFlows, maxHalfOpen } = options;
  const registers = [registry];
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers,
      collect() {
        this.set(read());
      },
    });
  };
  gauge('secgroupd_conntrack_flows', 'Flows tracked now.', () => source.flowCount);
  gauge(
    'secgroupd_conntrack_flows_max',
    'Flows that may be tracked at once (conntrack.maxFlows).',
    () => maxFlows,
  );
  gauge(
    'secgroupd_conntrack_half_open_flows',
    'Tracked flows that nobody has answered yet.',
    () => source.gauges[GAUGE_HALF_OPEN],
  );
  gauge(
    'secgroupd_conntrack_half_open_flows_max',
    'How many may be half-open (conntrack.maxHalfOpen).',
    () => maxHalfOpen,
  );
  gauge(
    'secgroupd_conntrack_warning_level',
    '0: the table has room; 1: it is 80 % full; 2: it is 95 % full.',
    () => warningLevel(source.flowCount, maxFlows),
  );
  new Counter({
    name: 'secgroupd_conntrack_evicted_flows_total',
    help: 'Half-open flows that were given up for others. Established ones never are.',
    registers,
    collect() {
      this.reset();
      this.inc(source.gauges[GAUGE_EVICTED]);
    },
  });
  new Counter({
    name: 'secgroupd_excused_packets_total',
    help: 'Packets that conntrack.exceptions let pass, by exception.',
    labelNames: ['exception'],
    registers,
    collect() {
      this.reset();
      for (const [exception, cell] of EXCUSED) this.inc({ exception }, source.gauges[cell]);
    },
  });
  addAllowance(registry, options);
}

/** How close the table is to full: 0, 1 from 80 %, 2 from 95 %. */
export function warningLevel(flows: number, maxFlows: number): 0 | 1 | 2 {
  if (flows >= 0.95 * maxFlows) return 2;
  return flows >= 0.8 * maxFlows ? 1 : 0;
}

/** What the ENA driver tells of the conntrack allowance, under its names. */
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
      forEachRow(ports(), (port, _direction, row) => {
        const packets = source.counters[row + DROPPED_BY_REASON + CONNTRACK_FULL];
        exceeded.set(port, (exceeded.get(port) ?? 0) + packets);
      });
      for (const [port, packets] of exceeded) this.set({ interface: port }, packets);
    },
  });
}

function forEachRow(
  ports: readonly (readonly [number, string])[],
  visit: (label: string, direction: string, row: number) => void,
): void {
  for (const [port, label] of ports) {
    for (const [name, direction] of DIRECTIONS) visit(label, name, counterRow(port, direction));
  }
}
