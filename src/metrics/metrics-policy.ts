/** These metrics describe rules and what they admitted, the policy in force, and reloads. */
import { Counter, Gauge, type Registry } from 'prom-client';
import { addGauge, type MetricsOptions, type StoreFigures } from './metrics-parts.ts';
import type { NumberedRule } from '../policy/rule-numbers.ts';

/** Most rules that get lines of their own, so that a scrape stays small. */
export const RULE_LINES_MAX = 1000;

const RULE_LABELS = ['rule', 'group', 'direction'] as const;

export function addPolicy(registry: Registry, options: MetricsOptions): void {
  addRules(registry, options);
  addAudits(registry, options);
  addStore(registry, options);
  const { policy, reloads } = options;
  addGauge(
    registry,
    'secgroupd_policy_generation',
    'Number of the policy in force: goes up by one with every change of what decides about packets, and when a device comes or goes.',
    () => policy().generation,
  );
  addGauge(
    registry,
    'secgroupd_policy_loaded_timestamp_seconds',
    'When the policy in force came into force.',
    () => policy().sinceMs / 1000,
  );
  new Counter({
    name: 'secgroupd_config_reloads_total',
    help: 'Changes of the configuration that were asked for, by outcome.',
    labelNames: ['outcome'],
    registers: [registry],
    collect() {
      this.reset();
      for (const outcome of ['changed', 'unchanged', 'refused'] as const)
        this.inc({ outcome }, reloads[outcome]);
    },
  });
  addGauge(
    registry,
    'secgroupd_config_last_reload_successful',
    '1 if the last change that was asked for was not refused, or none was asked for.',
    () => (reloads.isLastRefused ? 0 : 1),
  );
  addGauge(
    registry,
    'secgroupd_config_last_reload_success_timestamp_seconds',
    'When the configuration was last read without an error.',
    () => reloads.lastSuccessMs / 1000,
  );
}

/** Without a store there are no lines. */
function addStore(registry: Registry, { store }: MetricsOptions): void {
  const figures = [
    [
      'revision',
      'Revision of the store that is in force here. No line: the daemon has no store.',
      (now: StoreFigures) => now.revision,
    ],
    [
      'not_in_force',
      'Groups, interfaces and the like of the store that are not in force here: sgctl status says which, and why.',
      (now: StoreFigures) => now.notInForce,
    ],
    [
      'age_seconds',
      'For how long the store can not be reached. What was known then is in force. 0: it can be reached.',
      (now: StoreFigures) => now.awaySec,
    ],
    [
      'fenced',
      'Whether packets of interfaces that the store gave this host are dropped, since the store may hold that the host is gone (--fence lease). 0: they are not.',
      (now: StoreFigures) => Number(now.isFenced),
    ],
  ] as const;
  for (const [name, help, read] of figures)
    new Gauge({
      name: `secgroupd_store_${name}`,
      help,
      registers: [registry],
      collect() {
        const now = store();
        this.remove();
        if (now !== undefined) this.set(read(now));
      },
    });
}

function addRules(registry: Registry, { source, rules }: MetricsOptions): void {
  const registers = [registry];
  // Rules in use come first. A rule without a line has never admitted anything.
  const told = (): readonly NumberedRule[] => {
    const all = [...rules().values()];
    if (all.length <= RULE_LINES_MAX) return all;
    const hits = new Map(all.map((rule) => [rule, source.hitsOf(rule.number)]));
    return all.sort((a, b) => hits.get(b)! - hits.get(a)!).slice(0, RULE_LINES_MAX);
  };
  new Counter({
    name: 'secgroupd_rule_hits_total',
    help: 'Flows, and packets of untracked flows, that a rule admitted. The most used rules, at most 1,000.',
    labelNames: RULE_LABELS,
    registers,
    collect() {
      this.reset();
      for (const rule of told()) this.inc(labelsOf(rule), source.hitsOf(rule.number));
    },
  });
  new Gauge({
    name: 'secgroupd_rule_last_hit_timestamp_seconds',
    help: 'When a rule last admitted a flow or a packet of an untracked one. No line: never since the start.',
    labelNames: RULE_LABELS,
    registers,
    collect() {
      this.reset();
      for (const rule of told()) {
        const at = source.lastHitAt(rule.number);
        if (at !== undefined) this.set(labelsOf(rule), Math.round(at / 1000));
      }
    },
  });
  addGauge(registry, 'secgroupd_rules', 'Rules in force.', () => rules().size);
}

function addAudits(registry: Registry, { source, audits }: MetricsOptions): void {
  addGauge(
    registry,
    'secgroupd_audit_rules',
    'Rules that only audit, with those by which groups and interfaces in audit mode pass everything. 0: everything is enforced.',
    () => audits().size,
  );
  new Counter({
    name: 'secgroupd_audit_rule_packets_total',
    help: 'Packets of flows that passed by a rule that only audits, both ways: enforced, they would be dropped. An empty group: the interface is in audit mode. The most used rules, at most 1,000.',
    labelNames: RULE_LABELS,
    registers: [registry],
    collect() {
      this.reset();
      const used = [...audits().values()]
        .map((one) => [source.auditedBy(one.number).packets, one] as const)
        .filter(([packets]) => packets > 0)
        .sort(([a], [b]) => b - a);
      for (const [packets, rule] of used.slice(0, RULE_LINES_MAX))
        this.inc(labelsOf(rule), packets);
    },
  });
}

function labelsOf({
  rule,
  groupId,
  direction,
}: NumberedRule): Record<(typeof RULE_LABELS)[number], string> {
  return { rule: rule.id, group: groupId, direction };
}
