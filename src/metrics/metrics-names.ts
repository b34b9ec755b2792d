/** These metrics describe what packet loops learn of the DNS names that rules have. */
import { Counter, type Registry } from 'prom-client';
import { GAUGE_NAME_OUTCOMES, GAUGE_NAMES } from '../engine/counters.ts';
import { NAME_OUTCOMES } from '../engine/names/outcomes.ts';
import { addGauge, type MetricsOptions } from './metrics-parts.ts';

export function addNames(registry: Registry, { source }: MetricsOptions): void {
  addGauge(
    registry,
    'secgroupd_names_addresses',
    'Addresses of DNS names that interfaces have learnt and that count now; those past their time and not yet swept included.',
    () => source.readGauge(GAUGE_NAMES),
  );
  new Counter({
    name: 'secgroupd_names_answers_total',
    help: 'What became of answers of DNS that were read for the names in rules: addresses learnt or renewed, and what was refused, by reason.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      NAME_OUTCOMES.forEach(([outcome], i) => {
        this.inc({ outcome }, source.readGauge(GAUGE_NAME_OUTCOMES + i));
      });
    },
  });
}
