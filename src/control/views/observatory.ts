/**
 * Where the control plane looks at what the packet loop does: events, rules with their hits, names for
 * ports and rule numbers. Metrics, flow logs and sgctl's questions all come by here.
 */
import type { Dataplane } from '../../dataplane/dataplane.ts';
import type { Logger } from 'pino';
import type { Rule, SecurityGroup } from '../../policy/model.ts';
import type { RuleNumbers } from '../../policy/rule-numbers.ts';
import type { Config } from '../config/config.ts';
import { EventPump } from './event-pump.ts';
import type { FlowLogCounts } from '../flow-logs/flow-log.ts';
import { FlowLogs } from '../flow-logs/flow-logs.ts';
import type { MetricsOptions, NumberedRule, ReloadCounts } from '../metrics/metrics-parts.ts';

/** What of the packet loop's handle is looked at. */
export type LoopView = Pick<Dataplane, keyof Dataplane>;

export interface ObservatoryParts {
  readonly dataplane: LoopView;
  readonly ruleNumbers: RuleNumbers;
  /** What is in force now. */
  readonly config: () => Config;
  readonly generation: () => number;
  /** Ports in use now: an interface's name, or `uplink`. */
  readonly portNames: () => [number, string][];
  /** Interfaces, and the uplink, whose device can't be had yet. */
  readonly waiting: () => readonly { readonly name: string }[];
  readonly log: Logger;
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
  private flowLogs: FlowLogs | undefined;
  private flowLogsText = '[]';
  private readonly parts: ObservatoryParts;
  /** Ms since 1970 when the policy in force came into force. */
  private policySinceMs = Date.now();
  // Looked up for every record that is told, and made anew when they change.
  private numbered: {
    readonly config?: Config;
    readonly rules: ReadonlyMap<number, NumberedRule>;
  } = {
    rules: new Map(),
  };
  private names: { readonly generation: number; readonly byPort: ReadonlyMap<number, string> } = {
    generation: -1,
    byPort: new Map(),
  };

  constructor(parts: ObservatoryParts) {
    this.parts = parts;
    this.dataplane = parts.dataplane;
    this.pump = new EventPump(parts.dataplane.events);
    this.applyFlowLogs();
  }

  /** What is in force now. */
  get config(): Config {
    return this.parts.config();
  }

  /** The rules in force, group by group, by the number their flows and hits carry. */
  get inForce(): ReadonlyMap<number, NumberedRule> {
    const { config } = this;
    if (this.numbered.config !== config)
      this.numbered = {
        config,
        rules: new Map(this.numberRules().map((one) => [one.number, one])),
      };
    return this.numbered.rules;
  }

  private numberRules(): NumberedRule[] {
    const { ruleNumbers } = this.parts;
    const numbered = (
      group: SecurityGroup,
      rules: readonly Rule[],
      direction: NumberedRule['direction'],
    ): NumberedRule[] =>
      rules.map((rule) => ({
        number: ruleNumbers.numberOf(rule),
        rule,
        groupId: group.id,
        direction,
      }));
    return [...this.config.model.groups.values()].flatMap((group) => [
      ...numbered(group, group.ingress, 'ingress'),
      ...numbered(group, group.egress, 'egress'),
    ]);
  }

  /** The rule of that number, though it may no longer be in force. */
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

  /** When a moment of the loop's clock was, in ms since 1970, whatever the wall clock did meanwhile. */
  wallMs(momentMs: number): number {
    return Date.now() - this.dataplane.msSince(momentMs);
  }

  /** Another policy is in force. */
  notePolicy(): void {
    this.policySinceMs = Date.now();
    this.noteConfig();
  }

  /** Another configuration is in force, perhaps with the same policy. */
  noteConfig(): void {
    this.applyFlowLogs();
  }

  reopenFlowLogs(): void {
    this.flowLogs?.reopen();
  }

  get flowLogCounts(): readonly FlowLogCounts[] {
    return this.flowLogs?.counts ?? [];
  }

  /** A change of the configuration was asked for, with this outcome. */
  noteReload(outcome: 'changed' | 'unchanged' | 'refused'): void {
    this.reloads[outcome]++;
    this.reloads.isLastRefused = outcome === 'refused';
    if (outcome !== 'refused') this.reloads.lastSuccessMs = Date.now();
  }

  /** The policy in force: its number, and when it came into force in ms since 1970. */
  get policy(): { readonly generation: number; readonly sinceMs: number } {
    return { generation: this.parts.generation(), sinceMs: this.policySinceMs };
  }

  metrics(version: string): MetricsOptions {
    const { maxFlows, maxHalfOpen } = this.config.conntrack;
    return {
      source: this.dataplane,
      ports: this.parts.portNames,
      waiting: () => this.parts.waiting().map(({ name }) => name),
      rules: () => this.inForce,
      events: () => this.pump.counts,
      flowLogs: () => this.flowLogCounts,
      policy: () => this.policy,
      reloads: this.reloads,
      maxFlows,
      maxHalfOpen,
      version,
    };
  }

  /** Writes what flow logs have; call it when the packet loop has stopped. */
  async stop(): Promise<void> {
    await this.flowLogs?.stop();
    this.pump.stop();
  }

  /** Starts, ends or replaces the flow logs, if the configuration in force has others. */
  private applyFlowLogs(): void {
    const { flowLogs: configs } = this.config;
    const text = JSON.stringify(configs, (_key, value: unknown) =>
      value instanceof Map ? [...(value as Map<unknown, unknown>)] : value,
    );
    if (text === this.flowLogsText) return;
    this.flowLogsText = text;
    const { log } = this.parts;
    const before = this.flowLogs;
    this.flowLogs = undefined;
    const start = (): void => {
      if (configs.length === 0 || this.flowLogsText !== text) return;
      this.flowLogs = new FlowLogs({
        observatory: this,
        configs,
        onTrouble: (name, message) => log.warn({ flowLog: name }, `flow log: ${message}`),
        stdout: process.stdout,
      });
    };
    // The files of those that end may be those of the ones that begin.
    if (before === undefined) start();
    else void before.stop().then(start);
  }
}
