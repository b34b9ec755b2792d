/** These metrics describe the server of EC2's API: its requests, and what came of them. */
import { Counter, type Registry } from 'prom-client';
import { createProcessRegistry } from './metrics-process.ts';

export interface ApiMetricsOptions {
  /** How many requests were answered. Both labels have a bounded set of values. */
  readonly requests: () => Iterable<{
    readonly service: string;
    readonly outcome: string;
    readonly count: number;
  }>;
  readonly version: string;
}

export function createApiRegistry({ requests, version }: ApiMetricsOptions): Registry {
  const registry = createProcessRegistry(version);
  new Counter({
    name: 'secgroupd_api_requests_total',
    help: 'Requests that the API answered, by the service that they were signed for and what came of them.',
    labelNames: ['service', 'outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const { service, outcome, count } of requests()) this.inc({ service, outcome }, count);
    },
  });
  return registry;
}
