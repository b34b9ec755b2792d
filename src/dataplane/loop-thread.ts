/** One packet loop as the control plane sees it: its thread, its memory, and the messages between them. */
import type { Worker } from 'node:worker_threads';
import { FlowAccounts } from '../conntrack/accounts.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { CaptureReader } from '../engine/capture-ring.ts';
import { GAUGE_LAST_ROUND_MS } from '../engine/counters.ts';
import { EventReader } from '../engine/events.ts';
import { RuleHits } from '../engine/rule-hits.ts';
import type { Native } from '../ports/native.ts';
import type { AdoptedFlows } from './adopt-flows.ts';
import { takeThread } from './early-thread.ts';
import {
  openFlowTables,
  type Command,
  type LoopInput,
  type LoopMemory,
  type LoopOrigin,
  type Report,
} from './messages.ts';

export interface LoopListeners {
  /** The thread has died, or ended without being asked to. */
  readonly onFailure: (error: Error) => void;
  /** The device of a port is gone. The loop no longer uses its descriptor. */
  readonly onLost: (port: number) => void;
  /** A guest has connected to a port with that label, or is gone: `why`. */
  readonly onGuest: (label: string, why: string | undefined) => void;
}

export class LoopThread {
  /** Passed and dropped packets, and the loop's gauges (engine/counters.ts). */
  readonly counters: Float64Array;
  readonly gauges: Float64Array;
  /** Its flow tables, IPv4 and IPv6, and what each flow has carried (null without accounting). */
  readonly flows: readonly [FlowTable, FlowTable];
  readonly accounts: readonly [FlowAccounts | null, FlowAccounts | null];
  readonly events: EventReader;
  readonly capture: CaptureReader;
  readonly ruleHits: RuleHits;
  private readonly native: Native;
  private readonly memory: LoopMemory;
  private readonly wakeFd: number;
  private worker: Worker | undefined;
  private exited: Promise<void> = Promise.resolve();
  private readonly waiting = new Set<(report: Report) => void>();
  private isStopping = false;

  constructor(native: Native, memory: LoopMemory, origin: LoopOrigin) {
    this.native = native;
    this.memory = memory;
    this.counters = new Float64Array(memory.counters);
    this.gauges = new Float64Array(memory.gauges);
    const { flows4, flows6 } = openFlowTables(memory, origin);
    this.flows = [flows4, flows6];
    const { accounts4, accounts6 } = memory;
    this.accounts = [
      accounts4 === null ? null : new FlowAccounts(accounts4),
      accounts6 === null ? null : new FlowAccounts(accounts6),
    ];
    this.events = new EventReader(memory.events);
    this.capture = new CaptureReader(memory.capture);
    this.ruleHits = new RuleHits(memory.ruleHits);
    this.wakeFd = native.eventfd();
  }

  /** Flows tracked now, both families. */
  get flowCount(): number {
    return this.flows[0].count + this.flows[1].count;
  }

  /** A number that changes with every round of the loop. */
  get pulse(): number {
    return this.gauges[GAUGE_LAST_ROUND_MS];
  }

  /**
   * Starts the loop. Resolves when its packets flow; rejects if its thread dies before.
   * @returns what became of the flows that were in its tables
   */
  async start(
    input: Omit<LoopInput, 'wakeFd' | 'memory'>,
    listeners: LoopListeners,
  ): Promise<AdoptedFlows> {
    const { wakeFd, memory } = this;
    const worker = takeThread(input.number);
    this.worker = worker;
    this.exited = this.listen(worker, listeners);
    worker.postMessage({ ...input, wakeFd, memory } satisfies LoopInput);
    return new Promise((resolve, reject) => {
      worker.once('error', reject);
      void this.reported('running').then(({ adopted }) => resolve(adopted));
    });
  }

  send(command: Command): void {
    this.worker?.postMessage(command);
    this.nudge();
  }

  /** Makes the loop run a round, even without packets. */
  nudge(): void {
    this.native.signalEventfd(this.wakeFd);
  }

  /** Resolves with the next report of this kind for which `isWanted` is true. */
  reported<Kind extends Report['kind']>(
    kind: Kind,
    isWanted: (report: Extract<Report, { kind: Kind }>) => boolean = () => true,
  ): Promise<Extract<Report, { kind: Kind }>> {
    return new Promise((resolve) => {
      const take = (report: Report): void => {
        if (!isOfKind(report, kind) || !isWanted(report)) return;
        this.waiting.delete(take);
        resolve(report);
      };
      this.waiting.add(take);
    });
  }

  /** Stops the loop. Resolves when its thread has ended. */
  async stop(): Promise<void> {
    this.isStopping = true;
    this.send({ kind: 'stop' });
    await this.exited;
    this.native.closeFd(this.wakeFd);
  }

  /** @returns a promise of the thread's end */
  private listen(worker: Worker, { onFailure, onLost, onGuest }: LoopListeners): Promise<void> {
    worker.on('message', (report: Report) => {
      if (report.kind === 'lost') onLost(report.port);
      if (report.kind === 'guest') onGuest(report.label, report.why);
      for (const take of this.waiting) take(report);
    });
    worker.on('error', onFailure);
    return new Promise((resolve) => {
      worker.on('exit', (code) => {
        if (!this.isStopping) onFailure(new Error(`a packet loop ended unasked (exit ${code})`));
        resolve();
      });
    });
  }
}

function isOfKind<Kind extends Report['kind']>(
  report: Report,
  kind: Kind,
): report is Extract<Report, { kind: Kind }> {
  return report.kind === kind;
}
