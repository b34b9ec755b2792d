/** This file makes a registry with what every process of ours tells: Node.js's own figures, and the version. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client';

/** prom-client's defaults that promtool objects to: gauges named like counters. */
const MISNAMED_DEFAULTS = [
  'nodejs_active_handles_total',
  'nodejs_active_requests_total',
  'nodejs_active_resources_total',
];

const LAG_PRECISION_MS = 1000;

export function createProcessRegistry(version: string): Registry {
  const registry = new Registry();
  // A timer measures the event-loop lag. Once a second is enough; the default wakes the process 100 times a second.
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_PRECISION_MS });
  for (const name of MISNAMED_DEFAULTS) registry.removeSingleMetric(name);
  new Gauge({
    name: 'secgroupd_build_info',
    help: 'Always 1; the version is the label.',
    labelNames: ['version'],
    registers: [registry],
  }).set({ version }, 1);
  return registry;
}
