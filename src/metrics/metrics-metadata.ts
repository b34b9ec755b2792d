/** These metrics describe secgroup-metadata: what instances asked of it, and what became of that. */
import { Counter, type Registry } from 'prom-client';
import { createProcessRegistry } from './metrics-process.ts';

export interface MetadataMetricsOptions {
  /** Questions of DNS by what became of each. */
  readonly dns: () => Iterable<readonly [outcome: string, count: number]>;
  /** Requests for metadata by the status that they were answered with. */
  readonly requests: () => Iterable<readonly [status: number, count: number]>;
  readonly version: string;
}

export function createMetadataRegistry(options: MetadataMetricsOptions): Registry {
  const { dns, requests, version } = options;
  const registry = createProcessRegistry(version);
  new Counter({
    name: 'secgroupd_dns_questions_total',
    help: 'Questions of instances to DNS, by what became of them: answered, failed (no resolver answered), limited, malformed, ignored.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [outcome, count] of dns()) this.inc({ outcome }, count);
    },
  });
  new Counter({
    name: 'secgroupd_metadata_requests_total',
    help: 'Requests of instances for metadata and tokens, by the HTTP status of the answer.',
    labelNames: ['status'],
    registers: [registry],
    collect() {
      this.reset();
      for (const [status, count] of requests()) this.inc({ status }, count);
    },
  });
  return registry;
}
