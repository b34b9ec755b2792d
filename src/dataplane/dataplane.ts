/**
 * The control plane's handle on the packet loop: starts its thread, hands it policies and ports, reads
 * what it counts.
 *
 * If the thread dies, the daemon must: `onFailure` is called once, and whoever owns the handle ends the
 * process. Devices close with it, so traffic stops rather than passes unjudged.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { setTimeouts, STATE_COUNT, type IdleTimeouts } from '../conntrack/states.ts';
import { FlowTable, flowTableBytes } from '../conntrack/table.ts';
import { counterBytes, counterRow, GAUGE_COUNT, INGRESS, ROW_CELLS } from '../engine/counters.ts';
import type { ExceptionPasses } from '../engine/gate.ts';
import type { Native } from '../ports/native.ts';
import {
  flowLayout,
  PORTS_MAX,
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
  readonly onFailure: (error: Error) => void;
}

export class Dataplane {
  /** What was passed and dropped (engine/counters.ts); the loop writes, this side reads. */
  readonly counters: Float64Array;
  /** What the loop tells of its flow tables (engine/counters.ts, GAUGE_…). */
  readonly gauges: Float64Array;
  /** The flow tables, IPv4 and IPv6; the loop writes, this side reads. */
  readonly flows: readonly [FlowTable, FlowTable];
  private readonly native: Native;
  private readonly timeoutsMs: Int32Array;
  private readonly maxFlowsByPort: Int32Array;
  private readonly wakeFd: number;
  private readonly worker: Worker;
  private readonly exited: Promise<void>;
  private readonly waiting = new Set<(report: Report) => void>();
  private stopping = false;

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
    } = options;
    const secret = randomBytes(8);
    const hashKey = { k0: secret.readInt32LE(0), k1: secret.readInt32LE(4) };
    const flows4 = new SharedArrayBuffer(flowTableBytes(flowLayout(4, maxFlows)));
    const flows6 = new SharedArrayBuffer(flowTableBytes(flowLayout(6, maxFlows)));
    const counters = new SharedArrayBuffer(counterBytes(PORTS_MAX));
    const timeoutsMs = new SharedArrayBuffer(4 * PORTS_MAX * STATE_COUNT);
    const gauges = new SharedArrayBuffer(8 * GAUGE_COUNT);
    const maxFlowsByPort = new SharedArrayBuffer(4 * PORTS_MAX);
    this.native = native;
    this.timeoutsMs = new Int32Array(timeoutsMs);
    this.maxFlowsByPort = new Int32Array(maxFlowsByPort);
    this.counters = new Float64Array(counters);
    this.gauges = new Float64Array(gauges);
    this.flows = [
      new FlowTable(flowLayout(4, maxFlows), hashKey, flows4),
      new FlowTable(flowLayout(6, maxFlows), hashKey, flows6),
    ];
    this.wakeFd = native.eventfd();
    const shared = {
      flows4,
      flows6,
      counters,
      timeoutsMs,
      maxFlowsByPort,
      gauges,
      wakeFd: this.wakeFd,
    };
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
      ...shared,
    };
    this.worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: input,
      name: 'packet-loop',
    });
    this.worker.on('message', (report: Report) => {
      for (const take of this.waiting) take(report);
    });
    this.worker.on('error', options.onFailure);
    this.exited = new Promise((resolve) => {
      this.worker.on('exit', (code) => {
        if (!this.stopping)
          options.onFailure(new Error(`the packet loop ended unasked (exit ${code})`));
        resolve();
      });
    });
  }

  /** Starts the loop; resolves when packets flow, rejects if its thread dies before. */
  static async start(native: Native, options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(native, options);
    await new Promise<void>((resolve, reject) => {
      dataplane.worker.once('error', reject);
      void dataplane.reported((report) => report.kind === 'running').then(() => resolve());
    });
    return dataplane;
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
