/**
 * The control plane's handle on the packet loop: starts its thread, hands it policies and ports, reads
 * what it counts.
 *
 * If the thread dies, the daemon must: `onFailure` is called once, and whoever owns the handle ends the
 * process. Devices close with it, so traffic stops rather than passes unjudged.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { setTimeouts, STATE_COUNT, timeoutState, type IdleTimeouts } from '../conntrack/states.ts';
import { FlowAccounts } from '../conntrack/accounts.ts';
import type { HashKey } from '../conntrack/hash.ts';
import { FlowTable } from '../conntrack/table.ts';
import type { AdoptedFlows } from './adopt-flows.ts';
import { CaptureReader } from '../engine/capture-ring.ts';
import {
  counterRow,
  GAUGE_CLOCK_ORIGIN_MS,
  GAUGE_LAST_ROUND_MS,
  INGRESS,
  ROW_CELLS,
} from '../engine/counters.ts';
import { EventReader } from '../engine/events.ts';
import type { ExceptionPasses } from '../engine/gate.ts';
import { RuleHits } from '../engine/rule-hits.ts';
import type { Native } from '../ports/native.ts';
import {
  flowLayout,
  makeLoopMemory,
  type Assignment,
  type Command,
  type LoopInput,
  type Report,
} from './messages.ts';

export interface DataplaneOptions extends Assignment {
  readonly hasUplink: boolean;
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  readonly timeScale: number;
  readonly acceptsMidstream: boolean;
  readonly checksWindow: boolean;
  readonly passes: ExceptionPasses;
  /** Count packets and bytes of each flow. */
  readonly accounting: boolean;
  readonly onFailure: (error: Error) => void;
  /** The device of a port is gone; its descriptor is used no longer. */
  readonly onLost: (port: number) => void;
  /** Called before the loop begins: sets limits, and may fill the flow tables (adopt-flows.ts). */
  readonly prepare?: (dataplane: Dataplane) => void;
}

export class Dataplane {
  /** What was passed and dropped (engine/counters.ts); the loop writes, this side reads. */
  readonly counters: Float64Array;
  /** What the loop tells of its flow tables (engine/counters.ts, GAUGE_…). */
  readonly gauges: Float64Array;
  /** The flow tables, IPv4 and IPv6; the loop writes, this side reads. */
  readonly flows: readonly [FlowTable, FlowTable];
  /** What the loop tells of packets and flows (engine/events.ts, capture-ring.ts). */
  readonly events: EventReader;
  readonly capture: CaptureReader;
  readonly ruleHits: RuleHits;
  /** What each flow has carried, by family as `flows`; null without accounting. */
  readonly accounts: readonly [FlowAccounts | null, FlowAccounts | null];
  readonly timeScale: number;
  private readonly native: Native;
  private readonly timeoutsMs: Int32Array;
  private readonly maxFlowsByPort: Int32Array;
  private readonly wakeFd: number;
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  private readonly waiting = new Set<(report: Report) => void>();
  private stopping = false;
  private adoptedFlows: AdoptedFlows = { restored: 0, aged: 0 };

  private constructor(native: Native, options: DataplaneOptions) {
    const {
      maxFlows,
      maxHalfOpen,
      timeScale,
      ports,
      policy,
      hasUplink,
      acceptsMidstream,
      checksWindow,
      passes,
      accounting,
    } = options;
    const hashKey = drawHashKey();
    const memory = makeLoopMemory(maxFlows, accounting);
    const { observed } = memory;
    this.events = new EventReader(observed.events);
    this.capture = new CaptureReader(observed.capture);
    this.ruleHits = new RuleHits(observed.ruleHits);
    this.accounts = [
      observed.accounts4 === null ? null : new FlowAccounts(observed.accounts4),
      observed.accounts6 === null ? null : new FlowAccounts(observed.accounts6),
    ];
    this.timeScale = timeScale;
    this.native = native;
    this.timeoutsMs = new Int32Array(memory.timeoutsMs);
    this.maxFlowsByPort = new Int32Array(memory.maxFlowsByPort);
    this.counters = new Float64Array(memory.counters);
    this.gauges = new Float64Array(memory.gauges);
    this.flows = [
      new FlowTable(flowLayout(4, maxFlows), hashKey, memory.flows4),
      new FlowTable(flowLayout(6, maxFlows), hashKey, memory.flows6),
    ];
    this.wakeFd = native.eventfd();
    const input: LoopInput = {
      ports,
      policy,
      hasUplink,
      maxFlows,
      maxHalfOpen,
      timeScale,
      acceptsMidstream,
      checksWindow,
      passes,
      hashKey,
      wakeFd: this.wakeFd,
      ...memory,
    };
    options.prepare?.(this);
    this.worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: input,
      name: 'packet-loop',
      // It makes no garbage but at its start, and would keep the room for it: 6 MB.
      resourceLimits: { maxYoungGenerationSizeMb: 1 },
    });
    this.exited = this.listen(options);
  }

  /** @returns a promise of the thread's end */
  private listen({ onFailure, onLost }: DataplaneOptions): Promise<void> {
    this.worker.on('message', (report: Report) => {
      if (report.kind === 'lost') onLost(report.port);
      for (const take of this.waiting) take(report);
    });
    this.worker.on('error', onFailure);
    return new Promise((resolve) => {
      this.worker.on('exit', (code) => {
        if (!this.stopping) onFailure(new Error(`the packet loop ended unasked (exit ${code})`));
        resolve();
      });
    });
  }

  /** Starts the loop; resolves when packets flow, rejects if its thread dies before. */
  static async start(native: Native, options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(native, options);
    await new Promise<void>((resolve, reject) => {
      dataplane.worker.once('error', reject);
      void dataplane
        .reported((report) => report.kind === 'running')
        .then((report) => {
          if (report.kind === 'running') dataplane.adoptedFlows = report.adopted;
          resolve();
        });
    });
    return dataplane;
  }

  /** The moment on the loop's clock, scaled, as packets would be judged at now: int32, as flows carry it. */
  get nowMs(): number {
    return (this.clockMs * this.timeScale) | 0;
  }

  /** How long a flow of a port may be idle, in ms of the loop's scaled clock. @param word its FLOW_STATE */
  idleTimeoutMs(port: number, word: number): number {
    return this.timeoutsMs[port * STATE_COUNT + timeoutState(word)];
  }

  /** Real milliseconds since a moment of the loop's scaled clock, which must be less than 24 scaled days ago. */
  msSince(momentMs: number): number {
    return ((this.nowMs - momentMs) | 0) / this.timeScale;
  }

  /** When a rule last admitted something, in ms since 1970; undefined: never. */
  lastHitAt(rule: number): number | undefined {
    const sec = this.ruleHits.lastHitSec[rule];
    return sec === 0 ? undefined : Date.now() - (this.clockMs - 1000 * (sec - 1));
  }

  private get clockMs(): number {
    return Number(process.hrtime.bigint()) / 1e6 - this.gauges[GAUGE_CLOCK_ORIGIN_MS];
  }

  /** Ends flows (messages.ts, end-flows); one command at a time. @returns how many were still there */
  async endFlows(flows: Int32Array): Promise<number> {
    const ended = this.reported((report) => report.kind === 'ended-flows');
    this.send({ kind: 'end-flows', flows });
    const report = await ended;
    return report.kind === 'ended-flows' ? report.ended : 0;
  }

  /** What became of the flows that `prepare` put into the tables. */
  get adopted(): AdoptedFlows {
    return this.adoptedFlows;
  }

  /** Changes with every round of the loop. */
  get pulse(): number {
    return this.gauges[GAUGE_LAST_ROUND_MS];
  }

  /** Makes the loop go a round, also if it has nothing to do. */
  nudge(): void {
    this.native.signalEventfd(this.wakeFd);
  }

  /** Flows tracked now, both families. */
  get flowCount(): number {
    return this.flows[0].count + this.flows[1].count;
  }

  /** Sets the idle time-outs of a port; in force at once, also for flows tracked already. */
  setTimeouts(port: number, idle: IdleTimeouts): void {
    setTimeouts(this.timeoutsMs, port, idle);
  }

  /** Sets how many flows the interface of a port may have; 0: as many as there are. In force for new flows. */
  setMaxFlows(port: number, maxFlows: number): void {
    this.maxFlowsByPort[port] = maxFlows;
  }

  /** Sets the counters of a port to zero. Only for a port the loop does not use. */
  clearCounters(port: number): void {
    const start = counterRow(port, INGRESS);
    this.counters.fill(0, start, start + 2 * ROW_CELLS);
  }

  /**
   * Hands the loop a policy and its ports; it swaps between two rounds. Resolves when that is done: a
   * device that is no longer among the ports may be closed then.
   * @returns a promise of the number of flows it ended, once all have been held against it
   */
  async assign(assignment: Assignment): Promise<{ readonly rechecked: Promise<number> }> {
    const { generation } = assignment.policy;
    const rechecked = this.reported(
      (report) => report.kind === 'rechecked' && report.generation >= generation,
    ).then((report) => (report.kind === 'rechecked' ? report.revoked : 0));
    const assigned = this.reported(
      (report) => report.kind === 'assigned' && report.generation === generation,
    );
    this.send({ kind: 'assign', ports: assignment.ports, policy: assignment.policy });
    await assigned;
    return { rechecked };
  }

  /** Stops the loop; resolves when its thread has ended. Devices stay open: they are the caller's. */
  async stop(): Promise<void> {
    this.stopping = true;
    this.send({ kind: 'stop' });
    await this.exited;
    this.native.closeFd(this.wakeFd);
  }

  private send(command: Command): void {
    this.worker.postMessage(command);
    this.native.signalEventfd(this.wakeFd);
  }

  private reported(wanted: (report: Report) => boolean): Promise<Report> {
    return new Promise((resolve) => {
      const take = (report: Report): void => {
        if (!wanted(report)) return;
        this.waiting.delete(take);
        resolve(report);
      };
      this.waiting.add(take);
    });
  }
}

/** A secret of this process: who sends can't know which flows meet in the tables. */
function drawHashKey(): HashKey {
  const secret = randomBytes(8);
  return { k0: secret.readInt32LE(0), k1: secret.readInt32LE(4) };
}
