/**
 * The control plane's handle on the packet loops. It starts their threads, gives them policies and ports, and reads
 * what they count.
 *
 * Mostly there is one loop. With more (`workers`), each has a queue of every device and its own share of the hosts
 * (steering.ts). What is read here is the sum of all loops.
 *
 * If a thread dies, the daemon must end too: `onFailure` is called, and the owner of the handle ends the process. Its
 * devices close then, so traffic stops and nothing passes unjudged.
 */
import { createAddressView } from '../conntrack/flow-key.ts';
import { Macs } from '../engine/link-memory.ts';
import { randomBytes } from 'node:crypto';
import { setTimeouts, STATE_COUNT, timeoutState, type IdleTimeouts } from '../conntrack/states.ts';
import type { FlowAccounts } from '../conntrack/accounts.ts';
import type { HashKey } from '../conntrack/hash.ts';
import type { FlowRecord } from '../conntrack/flow-record.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { AdoptedFlows } from './adopt-flows.ts';
import type { CaptureReader } from '../engine/capture-ring.ts';
import { counterRow, INGRESS, ROW_CELLS } from '../engine/counters.ts';
import { setFence } from '../engine/fence.ts';
import type { EventReader } from '../engine/events.ts';
import { AUDITED_CELLS } from '../engine/rule-hits.ts';
import type { Native } from '../ports/native.ts';
import type { FastPath } from './fast-path.ts';
import { findFlowsOf, packRecords, type Handed, type Handing } from './handed-flows.ts';
import { preferHugePages } from './huge-pages.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { readLearnt, recallLearnt, type LearntAddress } from './learnt-names.ts';
import { LoopThread, type LoopListeners } from './loop-thread.ts';
import {
  makeLoopMemory,
  makeSharedMemory,
  tableNumber,
  type Assignment,
  type LoopMemory,
  type LoopOrigin,
  type LoopSettings,
  type SharedMemory,
} from './messages.ts';
import { loopOfPair } from './steering.ts';

export interface DataplaneOptions extends Assignment, LoopListeners {
  readonly settings: LoopSettings;
  /** The kernel's fast path; undefined: it forwards nothing. */
  readonly offload?: FastPath | undefined;
  /** Called before the loops begin. It sets limits, and may fill the flow tables (adopt-flows.ts). */
  readonly prepare?: (dataplane: Dataplane) => void;
}

/** Flows that go or come with ports. */
export interface HandedPorts {
  readonly leaving: ReadonlySet<number>;
  readonly arriving: readonly FlowRecord[];
}

/** What passed by audit alone. */
export interface Audited {
  readonly packets: number;
  readonly bytes: number;
}

export class Dataplane {
  /**
   * The flow tables: IPv4 and IPv6 of the first loop, then of the next. The loops write them, this side reads them. A
   * table's number is its index here.
   */
  readonly flows: readonly FlowTable[];
  /** What each flow has carried, by table. Null without accounting. */
  readonly accounts: readonly (FlowAccounts | null)[];
  /** Events of packets and flows, and copies of packets, by loop (engine/events.ts, capture-ring.ts). */
  readonly events: readonly EventReader[];
  readonly captures: readonly CaptureReader[];
  readonly timeScale: number;
  private readonly origin: LoopOrigin;
  private readonly shared: SharedMemory = makeSharedMemory();
  private readonly memories: readonly LoopMemory[];
  private readonly threads: readonly LoopThread[];
  readonly macs = new Macs(this.shared.link);
  private readonly timeoutsMs = new Int32Array(this.shared.timeoutsMs);
  private readonly guests = new Uint8Array(this.shared.guests);
  private readonly maxFlowsByPort = new Int32Array(this.shared.maxFlowsByPort);
  private readonly fence = new Int32Array(this.shared.fence);
  /** The ports that the loops have. */
  private ports: Assignment['ports'] = [];
  /** The policy that the loops begin with, until they begin. */
  private startPolicy: CompiledPolicy | undefined;
  private adoptedFlows: AdoptedFlows = { restored: 0, aged: 0 };

  private constructor(native: Native, settings: LoopSettings, offload: FastPath | undefined) {
    const originMs = Number(process.hrtime.bigint()) / 1e6;
    const hashKey = drawHashKey();
    offload?.begin(originMs, hashKey);
    this.origin = { settings, originMs, hashKey, offload: offload?.input };
    this.timeScale = settings.timeScale;
    this.memories = Array.from({ length: settings.workers }, () => makeLoopMemory(settings));
    this.threads = this.memories.map((memory) => new LoopThread(native, memory, this.origin));
    this.flows = this.threads.flatMap(({ flows }) => flows);
    this.accounts = this.threads.flatMap(({ accounts }) => accounts);
    preferHugePages(native, [...this.flows, ...this.accounts]);
    this.events = this.threads.map(({ events }) => events);
    this.captures = this.threads.map(({ capture }) => capture);
  }

  /** Starts the loops. Resolves when packets flow; rejects if a thread dies before. */
  static async start(native: Native, options: DataplaneOptions): Promise<Dataplane> {
    const dataplane = new Dataplane(native, options.settings, options.offload);
    dataplane.startPolicy = options.policy;
    options.prepare?.(dataplane);
    dataplane.startPolicy = undefined;
    await dataplane.startLoops(options);
    return dataplane;
  }

  private async startLoops(options: DataplaneOptions): Promise<void> {
    const { ports, policy, hasUplink, onFailure, onLost, onGuest } = options;
    this.ports = ports;
    const adopted = await Promise.all(
      this.threads.map((thread, number) =>
        thread.start(
          {
            ...this.origin,
            ports,
            policy,
            hasUplink,
            number,
            shared: this.shared,
            others: this.memories.filter((_, other) => other !== number),
          },
          { onFailure, onLost, onGuest },
        ),
      ),
    );
    this.adoptedFlows = {
      restored: sum(adopted, ({ restored }) => restored),
      aged: sum(adopted, ({ aged }) => aged),
    };
  }

  /** The time on the loops' scaled clock, by which packets are judged now: int32, as flows hold it. */
  get nowMs(): number {
    return (this.uptimeMs * this.timeScale) | 0;
  }

  /** How long a flow of a port may be idle, in ms of the loops' scaled clock. @param word its state word */
  idleTimeoutMs(port: number, word: number): number {
    return this.timeoutsMs[port * STATE_COUNT + timeoutState(word)];
  }

  /** Real milliseconds since a time on the loops' scaled clock, which must be less than 24 scaled days ago. */
  msSince(momentMs: number): number {
    return ((this.nowMs - momentMs) | 0) / this.timeScale;
  }

  /** The loops' clock, not scaled: real milliseconds with a fraction. */
  get uptimeMs(): number {
    return Number(process.hrtime.bigint()) / 1e6 - this.origin.originMs;
  }

  /** Packets passed and dropped so far, in the rows of engine/counters.ts. Don't write to the result. */
  readCounters(): Float64Array {
    const [first, ...others] = this.threads.map(({ counters }) => counters);
    if (others.length === 0) return first;
    const total = first.slice();
    for (const cells of others)
      for (let cell = 0; cell < total.length; cell++) total[cell] += cells[cell];
    return total;
  }

  /** Whether a guest is connected to the stream that a port is. */
  hasGuest(port: number): boolean {
    return this.guests[port] !== 0;
  }

  /** Sums a gauge over the loops. @param gauge GAUGE_… of engine/counters.ts */
  readGauge(gauge: number): number {
    return sum(this.threads, ({ gauges }) => gauges[gauge]);
  }

  /** Reads a gauge of each loop. */
  readGauges(gauge: number): readonly number[] {
    return this.threads.map(({ gauges }) => gauges[gauge]);
  }

  /** The addresses of DNS names that the loops have learnt and that count now. */
  get learntNames(): readonly LearntAddress[] {
    const { nowMs } = this;
    return this.memories.flatMap(({ names }) => readLearnt(names, this.origin.hashKey, nowMs));
  }

  /** Has the loops know names that an earlier process had learnt; before they begin. @returns how many */
  recallNames(learnt: readonly Omit<LearntAddress, 'answers'>[]): number {
    const { origin, nowMs, startPolicy: policy } = this;
    if (policy === undefined) return 0;
    const memories = this.memories.map(({ names }) => names);
    const settings = origin.settings.names;
    return recallLearnt({ memories, key: origin.hashKey, policy, settings, nowMs }, learnt);
  }

  /** How often a rule has admitted something (engine/rule-hits.ts). */
  hitsOf(rule: number): number {
    return sum(this.threads, ({ ruleHits }) => ruleHits.hits[rule]);
  }

  /** Has these rules admitted nothing so far. No policy in force may have one. */
  clearHits(rules: readonly number[]): void {
    for (const { ruleHits } of this.threads)
      for (const rule of rules) {
        ruleHits.hits[rule] = 0;
        ruleHits.lastHitSec[rule] = 0;
        ruleHits.audited.fill(0, AUDITED_CELLS * rule, AUDITED_CELLS * (rule + 1));
      }
  }

  /** What has passed by a rule that only audits. */
  auditedBy(rule: number): Audited {
    const cell = AUDITED_CELLS * rule;
    return {
      packets: sum(this.threads, ({ ruleHits }) => ruleHits.audited[cell]),
      bytes: sum(this.threads, ({ ruleHits }) => ruleHits.audited[cell + 1]),
    };
  }

  /** When a rule last admitted something, in ms since 1970; undefined: never. */
  lastHitAt(rule: number): number | undefined {
    const sec = Math.max(...this.threads.map(({ ruleHits }) => ruleHits.lastHitSec[rule]));
    return sec === 0 ? undefined : Date.now() - (this.uptimeMs - 1000 * (sec - 1));
  }

  /** Flows tracked now, both families. */
  get flowCount(): number {
    return sum(this.flows, ({ count }) => count);
  }

  /** The number of the table that a flow of this key belongs to. */
  tableOf(key: Int32Array): number {
    const pair = createAddressView(key);
    const addressWords = pair.length / 2;
    const loop = loopOfPair(pair, 0, addressWords, this.threads.length);
    return tableNumber(loop, addressWords === 1);
  }

  /** What became of the flows that `prepare` put into the tables. */
  get adopted(): AdoptedFlows {
    return this.adoptedFlows;
  }

  /** A number that changes when every loop has made a round. */
  get pulse(): number {
    return Math.min(...this.threads.map(({ pulse }) => pulse));
  }

  /** Makes every loop run a round, even without packets. */
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
   * @param flows three numbers for each: table, entry, incarnation
   * @returns how many of them were still there
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

  /** How each loop judges packets that nobody sends (probes.ts). One call at a time. @returns the answers, by loop */
  async judge(probes: Int32Array): Promise<readonly Int32Array[]> {
    const judged = this.threads.map((thread) => {
      const report = thread.reported('judged');
      thread.send({ kind: 'judge', probes });
      return report;
    });
    return (await Promise.all(judged)).map(({ answers }) => answers);
  }

  /** Sets up to when packets pass the fence. @param bootMs by CLOCK_BOOTTIME; Infinity: for ever */
  setFence(bootMs: number): void {
    setFence(this.fence, bootMs);
  }

  /** Sets the idle time-outs of a port. They apply at once, also to flows that are already tracked. */
  setTimeouts(port: number, idle: IdleTimeouts): void {
    setTimeouts(this.timeoutsMs, port, idle);
  }

  /** Sets the most flows of a port's interface; 0: no limit of its own. It applies to new flows. */
  setMaxFlows(port: number, maxFlows: number): void {
    this.maxFlowsByPort[port] = maxFlows;
  }

  /** Sets the counters of a port to 0. Only for a port that the loops do not use. */
  clearCounters(port: number): void {
    const start = counterRow(port, INGRESS);
    for (const { counters } of this.threads) counters.fill(0, start, start + 2 * ROW_CELLS);
  }

  /**
   * Gives the loops a policy and its ports. Each loop swaps them between two of its rounds. Resolves when all have:
   * then a device that is no longer among the ports may be closed. Ports that are the same object as last time are not
   * sent again.
   * @param handed flows that go or come with ports
   * @returns what came of those, by loop; and a promise of the number of flows that the policy ended, once all flows
   *   have been checked
   */
  async assign(
    assignment: Assignment,
    handed?: HandedPorts,
  ): Promise<{ readonly rechecked: Promise<number>; readonly handed: readonly Handed[] }> {
    const { generation } = assignment.policy;
    const rechecked = this.threads.map((thread) =>
      thread.reported('rechecked', (report) => report.generation >= generation),
    );
    const assigned = this.threads.map((thread) =>
      thread.reported('assigned', (report) => report.generation === generation),
    );
    const ports = assignment.ports === this.ports ? undefined : assignment.ports;
    this.ports = assignment.ports;
    this.threads.forEach((thread, loop) => {
      const handing = handed === undefined ? undefined : this.handingOf(handed, loop);
      thread.send({ kind: 'assign', ...assignment, ports, handing });
    });
    const reports = await Promise.all(assigned);
    return {
      handed: reports.flatMap((report) => report.handed ?? []),
      rechecked: Promise.all(rechecked).then((reports) => sum(reports, ({ revoked }) => revoked)),
    };
  }

  /** What of flows that go or come is a loop's. */
  private handingOf({ leaving, arriving }: HandedPorts, loop: number): Handing {
    const [flows4, flows6] = this.threads[loop].flows;
    const isOwn = (record: FlowRecord): boolean => this.tableOf(record.key) >>> 1 === loop;
    return {
      ports: [...leaving],
      entries4: findFlowsOf(flows4, leaving),
      entries6: findFlowsOf(flows6, leaving),
      arriving: packRecords(arriving.filter(isOwn)),
    };
  }

  /** Stops the loops. Resolves when their threads have ended. The devices stay open; they belong to the caller. */
  async stop(): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.stop()));
  }
}

function sum<T>(items: readonly T[], amount: (item: T) => number): number {
  return items.reduce((total, item) => total + amount(item), 0);
}

/** Draws a secret for this process, so that senders can't know which flows collide in the tables. */
function drawHashKey(): HashKey {
  const secret = randomBytes(8);
  return { k0: secret.readInt32LE(0), k1: secret.readInt32LE(4) };
}
