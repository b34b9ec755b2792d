/**
 * The observatory is the control plane's read-only view of the packet loop: events, counters, rules with their hits,
 * and the names of ports and rules. Metrics, flow logs and the requests of sgctl all read through it.
 */
import type { Dataplane } from '../dataplane/dataplane.ts';
import { interfaceAudit } from '../policy/audit.ts';
import type { Rule } from '../policy/model.ts';
import type { NumberedRule, RuleNumbers } from '../policy/rule-numbers.ts';
import type { Config } from '../config/config.ts';
import { EventPump } from './event-pump.ts';

/** The part of the packet loop's handle that is read. */
export type LoopView = Pick<Dataplane, keyof Dataplane>;

/** Outcomes of reloads since the start. */
export interface ReloadCounts {
  changed: number;
  unchanged: number;
  refused: number;
  /** Ms since 1970 of the last reload that was not refused; before any reload, of the start. */
  lastSuccessMs: number;
  isLastRefused: boolean;
}

export interface ObservatoryParts {
  readonly dataplane: LoopView;
  readonly ruleNumbers: RuleNumbers;
  /** The configuration in force. */
  readonly config: () => Config;
  readonly generation: () => number;
  /** Ports in use now: an interface's name, or `uplink`. */
  readonly portNames: () => [number, string][];
}

export class Observatory {
  readonly dataplane: LoopView;
  readonly pump: EventPump;
  readonly startedMs = Date.now();
  readonly reloads: ReloadCounts = {
    changed: 0,
    unchanged: 0,
    refused: 0,
    lastSuccessMs: Date.now(),
    isLastRefused: false,
  };
  private readonly parts: ObservatoryParts;
  /** Ms since 1970 when the policy in force came into force. */
  private policySinceMs = Date.now();
  // Two caches, read for every event. They are rebuilt when the configuration changes.
  private numbered: {
    readonly config?: Config;
    readonly rules: ReadonlyMap<number, NumberedRule>;
    readonly audits: ReadonlyMap<number, NumberedRule>;
  } = { rules: new Map(), audits: new Map() };
  private names: { readonly generation: number; readonly byPort: ReadonlyMap<number, string> } = {
    generation: -1,
    byPort: new Map(),
  };

  constructor(parts: ObservatoryParts) {
    this.parts = parts;
    this.dataplane = parts.dataplane;
    this.pump = new EventPump(parts.dataplane.events);
  }

  /** The configuration in force. */
  get config(): Config {
    return this.parts.config();
  }

  /** The rules in force by rule number, in the order of their groups. Flows and hits carry this number. */
  get inForce(): ReadonlyMap<number, NumberedRule> {
    return this.numberRules().rules;
  }

  /** Likewise the rules that only audit (policy/audit.ts). Those of interfaces are of no group (''). */
  get audits(): ReadonlyMap<number, NumberedRule> {
    return this.numberRules().audits;
  }

  private numberRules(): Observatory['numbered'] {
    const { config, parts } = this;
    if (this.numbered.config === config) return this.numbered;
    const { model } = config;
    const byNumber = (
      groups: readonly (readonly [string, readonly Rule[]])[],
    ): Map<number, NumberedRule> =>
      new Map(
        groups.flatMap(([groupId, rules]) =>
          rules.map((rule) => {
            const number = parts.ruleNumbers.numberOf(rule);
            return [number, { number, rule, groupId, direction: rule.direction }] as const;
          }),
        ),
      );
    const groups = [...model.groups.values()];
    this.numbered = {
      config,
      rules: byNumber(groups.map(({ id, ingress, egress }) => [id, [...ingress, ...egress]])),
      audits: byNumber([
        ...groups.map(({ id, audited = [] }) => [id, audited] as const),
        ['', interfaceAudit(model)],
      ]),
    };
    return this.numbered;
  }

  /** The rule with this number. It may no longer be in force. */
  ruleOf(number: number): Rule | undefined {
    return this.parts.ruleNumbers.ruleOf(number);
  }

  /** By port: an interface's name, or `uplink`. */
  portNames(): ReadonlyMap<number, string> {
    const generation = this.parts.generation();
    if (this.names.generation !== generation)
      this.names = { generation, byPort: new Map(this.parts.portNames()) };
    return this.names.byPort;
  }

  /** Converts a moment of the loop's clock to ms since 1970, by the wall clock as it is set now. */
  wallMs(momentMs: number): number {
    return Date.now() - this.dataplane.msSince(momentMs);
  }

  /** Records that another policy came into force. */
  notePolicy(): void {
    this.policySinceMs = Date.now();
  }

  /** Records the outcome of a reload. */
  noteReload(outcome: 'changed' | 'unchanged' | 'refused'): void {
    this.reloads[outcome]++;
    this.reloads.isLastRefused = outcome === 'refused';
    if (outcome !== 'refused') this.reloads.lastSuccessMs = Date.now();
  }

  /** The generation of the policy in force, and when it came into force in ms since 1970. */
  get policy(): { readonly generation: number; readonly sinceMs: number } {
    return { generation: this.parts.generation(), sinceMs: this.policySinceMs };
  }

  /** Call it when the packet loop has stopped. */
  stop(): void {
    this.pump.stop();
  }
}
