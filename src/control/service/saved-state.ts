/** What of a daemon's flows outlives it: between its own terms (ports, rule numbers) and a snapshot's. */
import type { Logger } from 'pino';
import type { FlowTable } from '../../conntrack/table.ts';
import { FLOW_RULE, FLOW_STATE } from '../../conntrack/table.ts';
import type { AdoptedFlows } from '../../dataplane/adopt-flows.ts';
import type { Macs } from '../../engine/link-memory.ts';
import { RULE_MASK } from '../../engine/revocation.ts';
import type { RuleNumbers } from '../../policy/rule-numbers.ts';
import type { SavedRange, UntrackedPast } from '../../policy/untracked-past.ts';
import type { ConntrackConfig } from '../config/config.ts';
import { restoreFlows, type Restored } from './restore.ts';
import type { SnapshotInterface, SnapshotRule } from './snapshot.ts';
import { TIME_BUDGET_MS, type OpenedSnapshot, type SnapshotStore } from './snapshot-store.ts';

export interface FlowState {
  readonly flows: readonly FlowTable[];
  /** The place among them of the table that a flow of this key belongs to. */
  readonly tableOf: (key: Int32Array) => number;
  readonly interfaces: readonly SnapshotInterface[];
  /** Of the instances, by port. */
  readonly macs: Macs;
  readonly ruleNumbers: RuleNumbers;
  /** Of the policy in force. */
  readonly generation: number;
  /** What was untracked, under this policy or one before. */
  readonly untracked: readonly SavedRange[];
  /** On the loop's clock. */
  readonly nowMs: number;
}

/** Saves the flows of a loop that has stopped. Never throws. */
export function saveState(snapshots: SnapshotStore, state: FlowState): void {
  if (!snapshots.isEnabled) return;
  const { flows, ruleNumbers, macs, untracked, nowMs } = state;
  const interfaces = state.interfaces.map((entry) => {
    const mac = macs.read(entry.port);
    return mac === undefined ? entry : { ...entry, mac };
  });
  snapshots.save({ interfaces, rules: rulesOf(flows, ruleNumbers), untracked }, flows, nowMs);
}

/** The rules that admitted a flow that is there. */
function rulesOf(flows: readonly FlowTable[], ruleNumbers: RuleNumbers): SnapshotRule[] {
  const used = new Set<number>();
  for (const { words, stride, keyWords, highWater } of flows)
    for (let at = keyWords; at < highWater * stride; at += stride)
      if (words[at + FLOW_STATE] !== 0) used.add(words[at + FLOW_RULE] & RULE_MASK);
  return [...used].flatMap((number) => {
    const rule = ruleNumbers.ruleOf(number);
    return rule === undefined
      ? []
      : [{ number, rule, revocation: ruleNumbers.revocationOf(number) }];
  });
}

/** What an earlier process saved, on its way into the tables of this one. */
export class SavedState {
  private readonly snapshots: SnapshotStore;
  private readonly opened: OpenedSnapshot;
  private readonly rules: ReadonlyMap<number, number>;
  private restored: Restored | undefined;

  /** Numbers the saved rules, so that the policy compiled next knows them. */
  constructor(snapshots: SnapshotStore, opened: OpenedSnapshot, ruleNumbers: RuleNumbers) {
    this.snapshots = snapshots;
    this.opened = opened;
    this.rules = new Map(
      opened.snapshot.content.rules.map(({ number, rule, revocation }) => [
        number,
        ruleNumbers.restore(rule, revocation),
      ]),
    );
  }

  /** Puts the flows into tables that no loop has yet. */
  restore(
    { flows, tableOf, interfaces, macs, generation }: FlowState,
    { maxFlows, maxHalfOpen }: ConntrackConfig,
    timeScale: number,
  ): void {
    const { snapshot, elapsedMs } = this.opened;
    const ports = new Map(
      snapshot.content.interfaces.flatMap(({ port, id, device, mac }) => {
        const now = interfaces.find((entry) => entry.id === id && entry.device === device);
        if (now === undefined) return [];
        macs.write(now.port, mac);
        return [[port, now.port] as const];
      }),
    );
    this.restored = restoreFlows(snapshot, {
      tables: flows,
      tableOf,
      ports,
      rules: this.rules,
      elapsedMs: elapsedMs * timeScale,
      generation,
      maxFlows,
      maxHalfOpen,
      timeBudgetMs: TIME_BUDGET_MS,
      onProgress: this.snapshots.progress('restoring flows'),
    });
    snapshot.close();
  }

  /** Logs what became of the flows, once the loop has them. */
  tell(log: Logger, adopted: AdoptedFlows): void {
    if (this.restored === undefined) return;
    const { strangers, left } = this.restored;
    const restored = adopted.restored;
    const aged = adopted.aged + this.restored.aged;
    const count = (flows: number): string => flows.toLocaleString('en-US');
    log.info(
      { restored, aged, strangers, left },
      `restored ${count(restored)} flows, ${count(aged)} aged out`,
    );
  }
}

/** What an earlier process saved, if it fits. Never throws. */
export function openState(
  snapshots: SnapshotStore,
  ruleNumbers: RuleNumbers,
  past: UntrackedPast,
): SavedState | undefined {
  const opened = snapshots.open();
  if (opened === undefined) return undefined;
  // Connections that a restart with other rules ends don't come back either.
  past.restore(opened.snapshot.content.untracked ?? [], opened.elapsedMs / 1000);
  return new SavedState(snapshots, opened, ruleNumbers);
}
