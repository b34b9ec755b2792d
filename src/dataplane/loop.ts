/**
 * The packet loop: wait, read a batch from each port that has packets, judge it, write it; again.
 *
 * It owns its thread and blocks in poll(2). The clock is read once a round. An eventfd wakes it for
 * commands, which it takes between two rounds, so that a policy is swapped between batches and never
 * within one. Each port gets one batch a round: a port under load can't starve the others.
 *
 * Nothing here allocates per packet. A device that is gone, or a broken invariant, throws: the process
 * ends, its devices close, and traffic stops (fail closed).
 */
import { FragmentTable } from '../conntrack/fragments.ts';
import { FlowTable } from '../conntrack/table.ts';
import { Batch } from '../engine/batch.ts';
import { Engine } from '../engine/evaluate.ts';
import { LinkLayer } from '../engine/link.ts';
import { DEVICE_TAP, DEVICE_TUN, type Native } from '../ports/native.ts';
import { flowLayout, type Command, type LoopInput } from './messages.ts';

/** Room for a batch: a few GSO superpackets, or BATCH_PACKETS_MAX small ones. */
const ARENA_BYTES = 1 << 20;
const BATCH_PACKETS_MAX = 256;

/** How often, and how many entries at a time, the loop looks for flows past their time-out. */
const SWEEP_INTERVAL_MS = 100;
const SWEEP_ENTRIES = 2048;

const FOREVER_MS = -1;
const READABLE = 1;
const BROKEN = 2;

export class Loop {
  private readonly native: Native;
  private readonly input: LoopInput;
  private readonly takeCommand: () => Command | undefined;
  private readonly engine: Engine;
  private readonly link: LinkLayer;
  private readonly flows: readonly [FlowTable, FlowTable];
  private readonly arena = new Uint8Array(ARENA_BYTES);
  private readonly batch = new Batch(this.arena, BATCH_PACKETS_MAX);
  private readonly isTap: Uint8Array;
  /** Descriptors by port; the wake eventfd behind them. */
  private readonly fds: Int32Array;
  private readonly ready: Uint8Array;
  private lastSweepMs = 0;
  private stopped = false;

  /** @param takeCommand next command, or undefined; asked only after the eventfd was signalled */
  constructor(native: Native, input: LoopInput, takeCommand: () => Command | undefined) {
    const { ports, maxFlows, hashKey } = input;
    this.native = native;
    this.input = input;
    this.takeCommand = takeCommand;
    this.flows = [
      new FlowTable(flowLayout(4, maxFlows), hashKey, input.flows4),
      new FlowTable(flowLayout(6, maxFlows), hashKey, input.flows6),
    ];
    this.engine = new Engine({
      policy: input.policy,
      conntrack: {
        flows4: this.flows[0],
        flows6: this.flows[1],
        fragments: new FragmentTable(hashKey),
        timeoutsMs: input.timeoutsMs,
        maxFlows,
        acceptsMidstream: input.acceptsMidstream,
      },
      counters: new Float64Array(input.counters),
      hasUplink: input.hasUplink,
    });
    this.link = new LinkLayer(input.policy, ports.length);
    this.isTap = Uint8Array.from(ports, (port) => (port.isTap ? 1 : 0));
    this.fds = Int32Array.from([...ports.map((port) => port.fd), input.wakeFd]);
    this.ready = new Uint8Array(this.fds.length);
  }

  /** Runs until a `stop` command. Throws if a device is lost. */
  run(): void {
    const { native, fds, ready } = this;
    const wake = fds.length - 1;
    while (!this.stopped) {
      const hasFlows = this.flows[0].count + this.flows[1].count > 0;
      native.poll(fds, fds.length, ready, hasFlows ? SWEEP_INTERVAL_MS : FOREVER_MS);
      // Monotonic, and cut to int32 on purpose: ages are wrapped differences.
      const nowMs = performance.now() | 0;
      if (ready[wake] !== 0) this.takeCommands(fds[wake]);
      for (let port = 0; port < wake; port++) {
        if (ready[port] === READABLE) this.forwardFrom(port, nowMs);
        else if (ready[port] === BROKEN)
          throw new Error(`device ${this.input.ports[port].label} is gone`);
      }
      if (((nowMs - this.lastSweepMs) | 0) >= SWEEP_INTERVAL_MS) {
        this.engine.gates.sweep(SWEEP_ENTRIES, nowMs);
        this.lastSweepMs = nowMs;
      }
    }
  }

  private forwardFrom(port: number, nowMs: number): void {
    const { native, arena, batch, engine, fds } = this;
    const count = native.readBatch(
      fds[port],
      arena,
      0,
      batch.slots,
      this.isTap[port] === 1 ? DEVICE_TAP : DEVICE_TUN,
    );
    if (count === 0) return;
    const sent = batch.process(engine, this.link, this.isTap, port, count, nowMs);
    if (sent > 0 && native.writeBatch(arena, batch.slots, count, fds) < sent)
      batch.countFailures(engine, count);
  }

  private takeCommands(wakeFd: number): void {
    this.native.drainEventfd(wakeFd);
    for (let command = this.takeCommand(); command !== undefined; command = this.takeCommand()) {
      switch (command.kind) {
        case 'policy':
          this.engine.setPolicy(command.policy);
          this.link.setPolicy(command.policy);
          break;
        case 'stop':
          this.stopped = true;
          break;
        default:
          command satisfies never;
      }
    }
  }
}
