/** This file converts flows between this process's numbering (ports, rule numbers) and the snapshot format. */
import type { Logger } from 'pino';
import { forEachFlow, type FlowTable } from '../conntrack/table.ts';
import { ruleOf } from '../conntrack/entry.ts';
import type { AdoptedFlows } from '../dataplane/adopt-flows.ts';
import type { Dataplane } from '../dataplane/dataplane.ts';
import type { Macs } from '../engine/link-memory.ts';
import type { InterfaceId } from '../policy/model.ts';
import type { RuleNumbers } from '../policy/rule-numbers.ts';
import type { SavedRange, UntrackedPast } from '../policy/untracked-past.ts';
import type { ConntrackConfig } from '../config/config-conntrack.ts';
import { restoreFlows, type Restored, type RestoreOptions } from './restore.ts';
import { restoreNames, saveNames, type SavedNames } from './saved-names.ts';
import type { FlowsContent, SnapshotInterface, SnapshotRule } from './snapshot.ts';
import { TIME_BUDGET_MS, type OpenedSnapshot, type SnapshotStore } from './snapshot-store.ts';
import { count } from '../source/count.ts';

const NO_NAMES: SavedNames = { atMs: 0, learnt: [] };

export interface FlowState extends Pick<FlowsContent, 'releases' | 'owners'> {
  readonly flows: readonly FlowTable[];
  /** Finds the index of the table that a flow with this key belongs to. */
  readonly tableOf: (key: Int32Array) => number;
  readonly interfaces: readonly SnapshotInterface[];
  /** MAC addresses of the instances, by port. */
  readonly macs: Macs;
  readonly ruleNumbers: RuleNumbers;
  /** Generation of the policy in force. */
  readonly generation: number;
  /** Ranges that were untracked under this policy or an earlier one. */
  readonly untracked: readonly SavedRange[];
  /** What the loops have learnt of DNS names, and what they are told of it before they begin. */
  readonly names: Pick<Dataplane, 'learntNames' | 'recallNames'>;
  /** The moment of saving, on the loop's clock. */
  readonly nowMs: number;
}

/** Saves the flows of a loop that has stopped. Never throws. */
export function saveState(snapshots: SnapshotStore, state: FlowState): void {
  if (!snapshots.isEnabled) return;
  const { flows, ruleNumbers, macs, untracked, nowMs, releases, owners = [] } = state;
  const idOf = (port: number): InterfaceId | undefined =>
    state.interfaces.find((one) => one.port === port)?.id;
  const names = saveNames(state.names.learntNames, idOf, nowMs, Date.now());
  const interfaces = state.interfaces.map((entry) => {
    const mac = macs.read(entry.port);
    return mac === undefined ? entry : { ...entry, mac };
  });
  const rules = rulesOf(flows, ruleNumbers);
  snapshots.save({ interfaces, rules, untracked, releases, owners, names }, flows, nowMs);
}

/** Collects the rules that admitted the flows in the tables. */
function rulesOf(flows: readonly FlowTable[], ruleNumbers: RuleNumbers): SnapshotRule[] {
  const used = new Set<number>();
  for (const table of flows) forEachFlow(table, (flow) => used.add(ruleOf(table, flow)));
  return [...used].flatMap((number) => {
    const rule = ruleNumbers.ruleOf(number);
    return rule === undefined
      ? []
      : [{ number, rule, revocation: ruleNumbers.revocationOf(number) }];
  });
}

/** The state that an earlier process saved, before it is put into the tables of this one. */
export class SavedState {
  private readonly snapshots: SnapshotStore;
  private readonly opened: OpenedSnapshot;
  private readonly rules: ReadonlyMap<number, number>;
  private restored: Restored | undefined;
  /** How many addresses of DNS names are known again; undefined: what was saved is none. */
  private names: number | undefined = 0;

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

  /** What was said beside the flows. */
  get content(): FlowsContent {
    return this.opened.snapshot.content;
  }

  /** Puts the flows into tables that no loop uses yet. */
  restore(
    { flows, tableOf, interfaces, macs, generation, names, nowMs }: FlowState,
    { maxFlows, maxHalfOpen }: ConntrackConfig,
    timeScale: number,
    isReleased: RestoreOptions['isReleased'] = () => false,
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
      isReleased,
      elapsedMs: elapsedMs * timeScale,
      generation,
      maxFlows,
      maxHalfOpen,
      timeBudgetMs: TIME_BUDGET_MS,
      onProgress: this.snapshots.progress('restoring flows'),
    });
    const learnt = restoreNames(snapshot.content.names ?? NO_NAMES, {
      ...{ elapsedMs, timeScale, nowMs, wallMs: Date.now() },
      portOf: (id) => ports.get(snapshot.content.interfaces.find((one) => one.id === id)?.port ?? -1), // prettier-ignore
    });
    this.names = learnt === undefined ? undefined : names.recallNames(learnt);
    snapshot.close();
  }

  /** Logs how many flows were restored. Call it when the loop has them. */
  tell(log: Logger, adopted: AdoptedFlows): void {
    if (this.restored === undefined) return;
    const { strangers, left } = this.restored;
    const restored = adopted.restored;
    const aged = adopted.aged + this.restored.aged;
    log.info(
      { restored, aged, strangers, left },
      `restored ${count(restored, 'flow', restored.toLocaleString('en-US'))}, ${aged.toLocaleString('en-US')} aged out`,
    );
    const { names } = this;
    if (names === undefined)
      log.warn('what was saved of DNS names can not be read: new connections by them need another answer'); // prettier-ignore
    else if (names > 0) log.info({ names }, 'addresses of DNS names are known again');
  }
}

/** Opens the state that an earlier process saved, if it fits. Never throws. */
export function openState(
  snapshots: SnapshotStore,
  ruleNumbers: RuleNumbers,
  past: UntrackedPast,
): SavedState | undefined {
  const opened = snapshots.open();
  if (opened === undefined) return undefined;
  // Without this, connections that a restart with other rules has ended could come back.
  past.restore(opened.snapshot.content.untracked ?? [], opened.elapsedMs / 1000);
  return new SavedState(snapshots, opened, ruleNumbers);
}
