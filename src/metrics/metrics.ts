/**
 * The files of this folder turn counters in shared memory into Prometheus metrics. Only they import prom-client, and
 * they work only when scraped.
 *
 * Labels are interfaces, rules (at most 1,000), directions, verdicts, drop reasons and states. So the configuration
 * bounds the number of lines, never the traffic. Drop reasons that never occurred have no line.
 */
import type { Registry } from 'prom-client';
import { addConntrack } from './metrics-conntrack.ts';
import { addLoop } from './metrics-loop.ts';
import type { MetricsOptions } from './metrics-parts.ts';
export { metricsOf } from './metrics-parts.ts';
import { addNames } from './metrics-names.ts';
import { addPolicy } from './metrics-policy.ts';
import { createProcessRegistry } from './metrics-process.ts';
import { addAudited, addTraffic, addWaiting } from './metrics-traffic.ts';

export function createRegistry(options: MetricsOptions): Registry {
  const registry = createProcessRegistry(options.version);
  addTraffic(registry, options);
  addAudited(registry, options);
  addWaiting(registry, options);
  addConntrack(registry, options);
  addNames(registry, options);
  addPolicy(registry, options);
  addLoop(registry, options);
  return registry;
}
