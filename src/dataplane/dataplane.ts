/**
 * The control plane's handle on the packet loop: starts its thread, hands it policies, reads what it counts.
 *
 * If the thread dies, the daemon must: `onFailure` is called once, and whoever owns the handle ends the
 * process. Devices close with it, so traffic stops rather than passes unjudged.
 */
import { randomBytes } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import { setTimeouts, STATE_COUNT, type IdleTimeouts } from '../conntrack/states.ts';
import { FlowTable, flowTableBytes } from '../conntrack/table.ts';
import { counterBytes } from '../engine/counters.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import type { Native } from '../ports/native.ts';
import {
  flowLayout,
  type Command,
  type LoopInput,
  type PortSpec,
  type Report,
} from './messages.ts';

export interface DataplaneOptions {
  /** Interfaces in the order of their indexes, then the uplink if there is one. */
  readonly ports: readonly PortSpec[];
  readonly hasUplink: boolean;
  readonly policy: CompiledPolicy;
  /** By interface index. */
  readonly idleTimeouts: readonly IdleTimeouts[];
  readonly maxFlows: number;
  readonly acceptsMidstream: boolean;
  readonly onFailure: (error: Error) => void;
}

export class Dataplane {
  /** What was passed and dropped (engine/counters.ts); the loop writes, this side reads. */
  readonly counters: Float64Array;
  private readonly native: Native;
  private readonly wakeFd: number;
  private readonly worker: Worker;
  private readonly flows: readonly FlowTable[];
  private readonly exited: Promise<void>;
  private stopping = false;

  private constructor(native: Native, options: DataplaneOptions) {
    const { maxFlows } = options;
    const secret = randomBytes(8);
    const hashKey = { k0: secret.readInt32LE(0), k1: secret.readInt32LE(4) };
    const flows4 = new SharedArrayBuffer(flowTableBytes(flowLayout(4, maxFlows)));
    const flows6 = new SharedArrayBuffer(flowTableBytes(flowLayout(6, maxFlows)));
    const counters = new SharedArrayBuffer(counterBytes(options.ports.length));
    const timeoutsMs = new Int32Array(options.idleTimeouts.length * STATE_COUNT);
    options.idleTimeouts.forEach((idle, index) => setTimeouts(timeoutsMs, index, idle));
    this.native = native;
    this.counters = new Float64Array(counters);
    this.flows = [
      new FlowTable(flowLayout(4, maxFlows), hashKey, flows4),
      new FlowTable(flowLayout(6, maxFlows), hashKey, flows6),
    ];
    this.wakeFd = native.eventfd();
    const input: LoopInput = {
      ports: options.ports,
      hasUplink: options.hasUplink,
      policy: options.policy,
      timeoutsMs,
      maxFlows,
      acceptsMidstream: options.acceptsMidstream,
      hashKey,
      flows4,
      flows6,
      counters,
      wakeFd: this.wakeFd,
    };
    this.worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: input,
      name: 'packet-loop',
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
      dataplane.worker.on('message', (report: Report) => {
        if (report.kind === 'running') resolve();
      });
      dataplane.worker.once('error', reject);
    });
    return dataplane;
  }

  /** Flows tracked now, both families. */
  get flowCount(): number {
    return this.flows.reduce((sum, table) => sum + table.count, 0);
  }

  /** Hands the loop a policy; it swaps between two batches. */
  setPolicy(policy: CompiledPolicy): void {
    this.send({ kind: 'policy', policy });
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
}
