/**
 * The control plane's handle on the packet loops: starts their threads, hands them policies and ports, reads
 * what they count.
 *
 * Mostly there is one loop. With more (`workers`), each has a queue of every device and its own share of the
 * hosts (steering.ts); what is read here is all of them together.
 *
 * If a thread dies, the daemon must: `onFailure` is called, and whoever owns the handle ends the process.
 * Devices close with it, so traffic stops rather than passes unjudged.
 */
import { Macs } from '../engine/link-memory.ts';
import { randomBytes } from 'node:crypto';
import { setTimeouts, STATE_COUNT, timeoutState, type IdleTimeouts } from '../conntrack/states.ts';
import type { FlowAccounts } from '../conntrack/accounts.ts';
import type { HashKey } from '../conntrack/hash.ts';
import { KEY_ADDRESSES, KEY_WORDS_4, type FlowTable } from '../conntrack/table.ts';
import type { AdoptedFlows } from './adopt-flows.ts';
import type { CaptureReader } from '../engine/capture-ring.ts';
import { counterRow, INGRESS, ROW_CELLS } from '../engine/counters.ts';
import type { EventReader } from '../engine/events.ts';
import type { Native } from '../ports/native.ts';
import { preferHugePages } from './huge-pages.ts';
import { LoopThread, type LoopListeners } from './loop-thread.ts';
import {
  makeLoopMemory,
  makeSharedMemory,
  tableNumber,
  type Assignment,
  type LoopMemory,
  type LoopSettings,
  type SharedMemory,
} from './messages.ts';
import { loopOfPair } from './steering.ts';

export interface DataplaneOptions
  extends Assignment, LoopListeners, Omit<LoopSettings, 'originMs' | 'hashKey' | 'maxHalfOpen'> {
  /** Packet loops, each on a thread of its own; a device has a queue for each. */
  readonly workers: number;
  /** Of all flows, how many may be half-open; each loop has its part of them. */
  readonly maxHalfOpen: number;
  /** Count packets and bytes of each flow. */
  readonly accounting: boolean;
  /** Called before the loops begin: sets limits, and may fill the flow tables (adopt-flows.ts). */
  readonly prepare?: (dataplane: Dataplane) => void;
}

export class Dataplane {
  /**
   * The flow tables: IPv4 and IPv6 of the first loop, then of the next. The loops write, this side reads.
   * A table's number is its place here.
   */
  readonly flows: readonly FlowTable[];
  /** What each flow has carried, by table; null without accounting. */
  readonly accounts: readonly (FlowAccounts | null)[];
  /** What the loops tell of packets and flows (engine/events.ts, capture-ring.ts), by loop. */
  readonly events: readonly EventReader[];
  readonly captures: readonly CaptureReader[];
  readonly timeScale: number;
  private readonly settings: LoopSettings;
  private readonly shared: SharedMemory = makeSharedMemory();
  private readonly memories: readonly LoopMemory[];
  private readonly threads: readonly LoopThread[];
  readonly macs = new Macs(this.shared.link);
  private readonly timeoutsMs = new Int32Array(this.shared.timeoutsMs);
  private readonly maxFlowsByPort = new Int32Array(this.shared.maxFlowsByPort);
  private adoptedFlows: AdoptedFlows = { restored: 0, aged: 0 };

  private constructor(native: Native, options: DataplaneOptions) {
    const { workers, maxFlows, accounting } = options;
    this.settings = readSettings(options);
    this.timeScale = options.timeScale;
    this.memories = Array.from({ length: workers }, () => makeLoopMemory(maxFlows, accounting));
    this.threads = this.memories.map((memory) => new LoopThread(native, memory, this.settings));
    this.flows = this.threads.flatMap(({ flows }) => flows);
    this.accounts = this.threads.flatMap(({ accounts }) => accounts);
    preferHugePages(native, [...this.flows, ...this.accounts]);
    this.events = this.threads.map(({ events }) => events);
    this.captures = this.threads.map(({ capture }) => capture);
  }

  /** Starts the loops; resolves when packets flow, rejects if a thread dies before. */
  static async start(native: Native, options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(native, options);
    options.prepare?.(dataplane);
    await dataplane.startLoops(options);
    return dataplane;
  }

  private async startLoops(options: DataplaneOptions): Promise<void> {
    const { ports, policy, hasUplink, onFailure, onLost } = options;
    const adopted = await Promise.all(
      this.threads.map((thread, number) =>
        thread.start(
          {
            ...this.settings,
            ports,
            policy,
            hasUplink,
            number,
            shared: this.shared,
            others: this.memories.filter((_, other) => other !== number),
          },
          { onFailure, onLost },
        ),
      ),
    );
    this.adoptedFlows = {
      restored: sum(adopted, ({ restored }) => restored),
      aged: sum(adopted, ({ aged }) => aged),
    };
  }

  /** The moment on the loops' clock, scaled, as packets would be judged at now: int32, as flows carry it. */
  get nowMs(): number {
    return (this.clockMs * this.timeScale) | 0;
  }

  /** How long a flow of a port may be idle, in ms of the loops' scaled clock. @param word its FLOW_STATE */
  idleTimeoutMs(port: number, word: number): number {
    return this.timeoutsMs[port * STATE_COUNT + timeoutState(word)];
  }

  /** Real milliseconds since a moment of the loops' scaled clock, which must be less than 24 scaled days ago. */
  msSince(momentMs: number): number {
    return ((this.nowMs - momentMs) | 0) / this.timeScale;
  }

  private get clockMs(): number {
    return Number(process.hrtime.bigint()) / 1e6 - this.settings.originMs;
  }

  /** What was passed and dropped until now, in the rows of engine/counters.ts; not to be written. */
  readCounters(): Float64Array {
    const [first, ...others] = this.threads.map(({ counters }) => counters);
    if (others.length === 0) return first;
    const total = first.slice();
    for (const cells of others)
      for (let cell = 0; cell < total.length; cell++) total[cell] += cells[cell];
    return total;
  }

  /** What the loops tell of themselves: a GAUGE_… of engine/counters.ts that adds up. */
  readGauge(gauge: number): number {
    return sum(this.threads, ({ gauges }) => gauges[gauge]);
  }

  /** A gauge by loop. */
  readGauges(gauge: number): readonly number[] {
    return this.threads.map(({ gauges }) => gauges[gauge]);
  }

  /** How often a rule has admitted something (engine/rule-hits.ts). */
  hitsOf(rule: number): number {
    return sum(this.threads, ({ ruleHits }) => ruleHits.hits[rule]);
  }

  /** When a rule last admitted something, in ms since 1970; undefined: never. */
  lastHitAt(rule: number): number | undefined {
    const sec = Math.max(...this.threads.map(({ ruleHits }) => ruleHits.lastHitSec[rule]));
    return sec === 0 ? undefined : Date.now() - (this.clockMs - 1000 * (sec - 1));
  }

  /** Flows tracked now, both families. */
  get flowCount(): number {
    return sum(this.flows, ({ count }) => count);
  }

  /** The number of the table that a flow of this key belongs to. */
  tableOf(key: Int32Array): number {
    const isIpv4 = key.length === KEY_WORDS_4;
    const loop = loopOfPair(key, KEY_ADDRESSES, isIpv4 ? 1 : 4, this.threads.length);
    return tableNumber(loop, isIpv4);
  }

  /** What became of the flows that `prepare` put into the tables. */
  get adopted(): AdoptedFlows {
    return this.adoptedFlows;
  }

  /** Changes when every loop has gone a round. */
  get pulse(): number {
    return Math.min(...this.threads.map(({ pulse }) => pulse));
  }

  /** Makes the loops go a round, also if they have nothing to do. */
  nudge(): void {
    for (const thread of this.threads) thread.nudge();
  }

  /** Starts a new aggregation interval (engine/events.ts). @returns its number modulo 256 */
  nextInterval(): number {
    const [interval] = this.events.map((reader) => reader.nextInterval());
    return interval;
  }

  /**
   * Ends flows.
   * @param flows each (table, entry, FLOW_STATE's incarnation bits): three numbers after each other
   * @returns how many were still there
   */
  async endFlows(flows: readonly number[]): Promise<number> {
    const ended = this.threads.map(async (thread, loop) => {
      const own: number[] = [];
      for (let at = 0; at < flows.length; at += 3) {
        for (const family of [4, 6])
          if (flows[at] === tableNumber(loop, family === 4))
            own.push(family, flows[at + 1], flows[at + 2]);
      }
      if (own.length === 0) return 0;
      const report = thread.reported('ended-flows');
      thread.send({ kind: 'end-flows', flows: Int32Array.from(own) });
      return (await report).ended;
    });
    return sum(await Promise.all(ended), (count) => count);
  }

  /** Sets the idle time-outs of a port; in force at once, also for flows tracked already. */
  setTimeouts(port: number, idle: IdleTimeouts): void {
    setTimeouts(this.timeoutsMs, port, idle);
  }

  /** Sets how many flows the interface of a port may have; 0: as many as there are. In force for new flows. */
  setMaxFlows(port: number, maxFlows: number): void {
    this.maxFlowsByPort[port] = maxFlows;
  }

  /** Sets the counters of a port to zero. Only for a port the loops do not use. */
  clearCounters(port: number): void {
    const start = counterRow(port, INGRESS);
    for (const { counters } of this.threads) counters.fill(0, start, start + 2 * ROW_CELLS);
  }

  /**
   * Hands the loops a policy and its ports; each swaps between two of its rounds. Resolves when all have: a
   * device that is no longer among the ports may be closed then.
   * @returns a promise of the number of flows they ended, once all have been held against it
   */
  async assign(assignment: Assignment): Promise<{ readonly rechecked: Promise<number> }> {
    const { generation } = assignment.policy;
    const rechecked = this.threads.map((thread) =>
      thread.reported('rechecked', (report) => report.generation >= generation),
    );
    const assigned = this.threads.map((thread) =>
      thread.reported('assigned', (report) => report.generation === generation),
    );
    for (const thread of this.threads) thread.send({ kind: 'assign', ...assignment });
    await Promise.all(assigned);
    return {
      rechecked: Promise.all(rechecked).then((reports) => sum(reports, ({ revoked }) => revoked)),
    };
  }

  /** Stops the loops; resolves when their threads have ended. Devices stay open: they are the caller's. */
  async stop(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.stop()));
  }
}

function readSettings(options: DataplaneOptions): LoopSettings {
  const { maxFlows, maxHalfOpen, workers, timeScale } = options;
  const { acceptsMidstream, checksWindow, passes } = options;
  return {
    maxFlows,
    // To each its part: a flood that comes to one loop leaves the others theirs, and what is given up for a new
    // flow is always a loop's own.
    maxHalfOpen: Math.ceil(maxHalfOpen / workers),
    timeScale,
    originMs: Number(process.hrtime.bigint()) / 1e6,
    acceptsMidstream,
    checksWindow,
    passes,
    hashKey: drawHashKey(),
  };
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}

/** A secret of this process: who sends can't know which flows meet in the tables. */
function drawHashKey(): HashKey {
  const secret = randomBytes(8);
  return { k0: secret.readInt32LE(0), k1: secret.readInt32LE(4) };
}
