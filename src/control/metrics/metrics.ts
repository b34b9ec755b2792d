/**
 * Counters in shared memory to Prometheus: the files of this folder are the only importers of prom-client, and work only
 * when scraped.
 *
 * Labels are interfaces and rules (as many as are configured, rules at most 1,000), directions, verdicts,
 * drop reasons and states: bounded by the configuration, never by traffic. Reasons that never occurred
 * have no line.
 */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { addConntrack } from './metrics-conntrack.ts';
import { addLoop } from './metrics-loop.ts';
import type { MetricsOptions } from './metrics-parts.ts';
import { addPolicy } from './metrics-policy.ts';
import { addTraffic, addWaiting } from './metrics-traffic.ts';

/** prom-client's defaults that promtool objects to: gauges named like counters. */
const MISNAMED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

const LAG_PRECISION_MS = 1000;

export function createRegistry(options: MetricsOptions): Registry {
  const registry = new Registry();
  // Its event-loop lag is measured by a timer: once a second is enough, and wakes nobody up a hundred times.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS });
  for (const name of MISNAMED_DEFAULTS) registry.removeSingleMetric(name);
  addTraffic(registry, options);
  addWaiting(registry, options);
  addConntrack(registry, options);
  addPolicy(registry, options);
  addLoop(registry, options);
  new Gauge({
    name: 'secgroupd_build_info',
    help: 'Always 1; the version is the label.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version: options.version }, 1);
  return registry;
}
