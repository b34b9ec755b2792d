/**
 * The packet loop: wait, read a batch from each port that has packets, judge it, write it; again.
 *
 * It owns its thread and blocks in epoll_wait(2), so that a round costs what is ready, not what there is:
 * poll(2) took 60 µs a round with a thousand interfaces. The clock is read once a round. An eventfd wakes it for
 * commands, which it takes between two rounds, so that policy and ports change between batches and never
 * within one. Each port gets one batch a round: a port under load can't starve the others.
 *
 * Nothing here allocates per packet. A device that is gone is given up and told, and the others go on. A
 * broken invariant throws: the process ends, its devices close, and traffic stops (fail closed).
 */
import { FragmentTable } from '../conntrack/fragments.ts';
import { INCARNATION_MASK } from '../conntrack/half-open.ts';
import { STATE_MASK } from '../conntrack/states.ts';
import { FLOW_STATE, type FlowTable } from '../conntrack/table.ts';
import { adoptFlows, type AdoptedFlows } from './adopt-flows.ts';
import { Batch } from '../engine/batch.ts';
import { CaptureRing } from '../engine/capture-ring.ts';
import { Coalescer } from '../engine/coalesce.ts';
import {
  GAUGE_BUSY_MS,
  GAUGE_COALESCED,
  GAUGE_LAST_ROUND_MS,
  GAUGE_READ_BATCHES,
  GAUGE_READ_PACKETS,
  GAUGE_ROUNDS,
  GAUGE_WRITES,
} from '../engine/counters.ts';
import { EventRing } from '../engine/events.ts';
import { Engine } from '../engine/evaluate.ts';
import { LinkLayer } from '../engine/link.ts';
import { RuleHits } from '../engine/rule-hits.ts';
import { MTU_UNKNOWN } from '../engine/too-big.ts';
import { DEVICE_TAP, DEVICE_TUN, type Native } from '../ports/native.ts';
import {
  openFlowTables,
  PORTS_MAX,
  type Assignment,
  type Command,
  type LoopInput,
  type PortSpec,
  type Report,
} from './messages.ts';
import { Turns } from './turns.ts';

/** Room for a batch: a few GSO superpackets, or BATCH_PACKETS_MAX small ones. */
const ARENA_BYTES = 1 << 20;
const BATCH_PACKETS_MAX = 256;

/** How often, and how many entries of each table at a time, the loop looks for flows past their time-out: under 1 ms. */
const SWEEP_INTERVAL_MS = 50;
const SWEEP_ENTRIES = 512;

/**
 * The same when it is quiet: no packet since the whole table was looked through, and nothing found. Flows past
 * their time-out count as absent all the same; what waits is their closing, in gauges and flow logs.
 */
const QUIET_INTERVAL_MS = 1000;
const QUIET_SWEEP_ENTRIES = 4096;

/** Entries a round held against a new policy: about 0.1 ms. */
const RECHECK_ENTRIES = 512;

/** How soon it looks again whether a neighbour has answered. */
const WAITING_INTERVAL_MS = 10;

const BROADCAST_MAC = new Uint8Array(6).fill(0xff);

const FOREVER_MS = -1;
/** Ports that a round serves at most; the others' turn comes first in the next. */
const PORTS_IN_ROUND = 64;
const READABLE = 1;
/** What the wake eventfd is watched as; ports have the numbers from 0 on. */
const WAKE = -1;

export class Loop {
  private readonly native: Native;
  private readonly takeCommand: () => Command | undefined;
  private readonly report: (report: Report) => void;
  private readonly engine: Engine;
  private readonly link: LinkLayer;
  private readonly flows: readonly [FlowTable, FlowTable];
  private readonly arena = new Uint8Array(ARENA_BYTES);
  private readonly batch = new Batch(this.arena, BATCH_PACKETS_MAX, PORTS_MAX);
  private readonly coalescer = new Coalescer(BATCH_PACKETS_MAX);
  private readonly wakeFd: number;
  /** engine/counters.ts GAUGE_… */
  private readonly gauges: Float64Array;
  /** How many times faster than real time flows age: 1, but in a lab that wants it otherwise. */
  private readonly timeScale: number;
  /** Of this loop among all: which queue of each device is its own. */
  private readonly number: number;
  /** What performance.now() of this thread is ahead of the clock that all loops share. */
  private readonly clockAheadMs: number;
  private readonly isTap = new Uint8Array(PORTS_MAX);
  private readonly takesUso = new Uint8Array(PORTS_MAX);
  private readonly poller: number;
  /** What is ready, in pairs: a port or WAKE, and READABLE or not. */
  private readonly events = new Int32Array(2 * PORTS_IN_ROUND);
  /** Descriptors by port, and watched; -1: none. */
  private fds = new Int32Array(0);
  private generation: number;
  private isRechecking = false;
  private lastSweepMs = 0;
  /** Packets came since the last tick. */
  private isBusy = false;
  /** Entries of each table swept since a packet came, or a flow was found to be past its time-out. */
  private quietEntries = 0;
  private stopped = false;
  private readonly hasBegun: boolean = false;
  private readonly turns: Turns;
  /** Flows that were in the tables before the loop began. */
  readonly adopted: AdoptedFlows;

  /** @param takeCommand next command, or undefined; asked only after the eventfd was signalled */
  constructor(
    native: Native,
    input: LoopInput,
    takeCommand: () => Command | undefined,
    report: (report: Report) => void,
  ) {
    const { maxFlows, memory, shared } = input;
    this.native = native;
    this.takeCommand = takeCommand;
    this.report = report;
    this.number = input.number;
    const own = openFlowTables(memory, input);
    this.flows = [own.flows4, own.flows6];
    this.engine = new Engine({
      policy: input.policy,
      conntrack: {
        ...own,
        others: input.others.map((other) => openFlowTables(other, input)),
        fragments: new FragmentTable(input.hashKey, PORTS_MAX),
        timeoutsMs: new Int32Array(shared.timeoutsMs),
        maxFlows,
        maxHalfOpen: input.maxHalfOpen,
        maxFlowsByPort: new Int32Array(shared.maxFlowsByPort),
        acceptsMidstream: input.acceptsMidstream,
        checksWindow: input.checksWindow,
        passes: input.passes,
        events: new EventRing(memory.events),
        ruleHits: new RuleHits(memory.ruleHits),
        accounts4: memory.accounts4,
        accounts6: memory.accounts6,
      },
      counters: new Float64Array(memory.counters),
      capture: new CaptureRing(memory.capture),
      hasUplink: input.hasUplink,
    });
    this.link = new LinkLayer(input.policy, shared.link);
    this.wakeFd = input.wakeFd;
    this.gauges = new Float64Array(memory.gauges);
    this.clockAheadMs =
      performance.now() - (Number(process.hrtime.bigint()) / 1e6 - input.originMs);
    this.timeScale = input.timeScale;
    this.generation = input.policy.generation;
    this.turns = new Turns(native);
    this.poller = native.createPoller();
    native.watch(this.poller, this.wakeFd, WAKE);
    this.setPorts(input.ports);
    this.hasBegun = true;
    this.adopted = adoptFlows(this.engine.gates.tracker, (this.clockMs() * this.timeScale) | 0);
    // They were admitted by the policy of an earlier process.
    this.isRechecking = this.adopted.restored > 0;
  }

  /** Runs until a `stop` command. Throws if a device is lost. */
  run(): void {
    const { native } = this;
    while (!this.stopped) {
      const { poller, events } = this;
      const found = native.wait(poller, events, this.timeoutMs());
      // Monotonic, and cut to int32 on purpose: ages are wrapped differences.
      const clockMs = this.clockMs();
      const nowMs = (clockMs * this.timeScale) | 0;
      this.gauges[GAUGE_LAST_ROUND_MS] = clockMs;
      this.engine.beginRound(nowMs, (clockMs / 1000) | 0);
      let isWoken = false;
      for (let i = 0; i < found; i++) {
        const port = events[2 * i];
        if (port === WAKE) isWoken = true;
        else if (events[2 * i + 1] === READABLE) this.forwardFrom(port, nowMs);
        else this.giveUp(port);
      }
      if (((nowMs - this.lastSweepMs) | 0) >= SWEEP_INTERVAL_MS) {
        if (this.isBusy) this.turns.review(clockMs);
        this.tick(nowMs);
      }
      if (this.isRechecking) this.recheckFlows(nowMs);
      if (isWoken) this.takeCommands(nowMs);
      if (this.link.waiting.isBusy) this.writeWaiting(nowMs);
      this.gauges[GAUGE_ROUNDS]++;
      this.gauges[GAUGE_BUSY_MS] += this.clockMs() - clockMs;
    }
    native.closeFd(this.poller);
  }

  private clockMs(): number {
    return performance.now() - this.clockAheadMs;
  }

  private timeoutMs(): number {
    if (this.isRechecking) return 0;
    // Another loop may be the one that hears the answer.
    if (this.link.waiting.isBusy) return WAITING_INTERVAL_MS;
    if (this.isBusy) return SWEEP_INTERVAL_MS;
    if (this.flows[0].count + this.flows[1].count === 0) return FOREVER_MS;
    // In a lab whose time runs faster, flows end sooner.
    return this.isQuiet() ? Math.ceil(QUIET_INTERVAL_MS / this.timeScale) : SWEEP_INTERVAL_MS;
  }

  private isQuiet(): boolean {
    const [flows4, flows6] = this.flows;
    return this.quietEntries >= Math.max(flows4.highWater, flows6.highWater);
  }

  private tick(nowMs: number): void {
    const [flows4, flows6] = this.flows;
    const { tracker } = this.engine.gates;
    const before = flows4.count + flows6.count;
    const entries = !this.isBusy && this.isQuiet() ? QUIET_SWEEP_ENTRIES : SWEEP_ENTRIES;
    tracker.sweep(entries, nowMs);
    this.engine.gates.writeGauges(this.gauges);
    const isChanged = this.isBusy || flows4.count + flows6.count !== before;
    if (isChanged) this.quietEntries = 0;
    else if (!this.isQuiet()) this.quietEntries += entries;
    this.isBusy = false;
    this.lastSweepMs = nowMs;
  }

  /** A device that was deleted cuts off its own interface, and nobody else. */
  private giveUp(port: number): void {
    this.native.unwatch(this.poller, this.fds[port]);
    this.fds[port] = -1;
    this.report({ kind: 'lost', port });
  }

  private forwardFrom(port: number, nowMs: number): void {
    const { native, arena, batch, engine, fds, gauges } = this;
    const kind = this.isTap[port] === 1 ? DEVICE_TAP : DEVICE_TUN;
    const count = native.readBatch(fds[port], arena, 0, batch.slots, kind);
    if (count === 0) return;
    this.isBusy = true;
    gauges[GAUGE_READ_BATCHES]++;
    gauges[GAUGE_READ_PACKETS] += count;
    const sent = batch.process(engine, this.link, this.isTap, port, count, nowMs);
    if (sent > 0) this.write(count, sent);
    if (batch.tooBig.count > 0) this.writeBehind(nowMs);
    if (this.link.waiting.isBusy) this.writeWaiting(nowMs);
  }

  /** Writes a batch that has been judged. @param sent how many of its packets go on */
  private write(count: number, sent: number): void {
    const { native, arena, batch, coalescer, engine, fds, gauges } = this;
    const { joined } = coalescer;
    coalescer.join(batch.view, batch.slots, count, this.isTap, this.takesUso);
    gauges[GAUGE_COALESCED] = coalescer.joined;
    gauges[GAUGE_WRITES] += sent - (coalescer.joined - joined);
    if (native.writeBatch(arena, batch.slots, count, fds, coalescer.next) < sent)
      batch.countFailures(engine, count, coalescer.head);
  }

  /** Writes fragments of packets that were too long for a device, and errors about such packets. */
  private writeBehind(nowMs: number): void {
    const { native, fds, engine } = this;
    const { tooBig } = this.batch;
    tooBig.wrap(this.link, this.isTap, nowMs);
    const { arena, slots, count } = tooBig;
    if (native.writeBatch(arena, slots, count, fds) < count) tooBig.countFailures(engine.counters);
    tooBig.clear();
  }

  /** Writes packets whose neighbour has answered, and questions about others. */
  private writeWaiting(nowMs: number): void {
    const { native, fds, engine, link } = this;
    const { waiting } = link;
    link.settle(engine.counters, nowMs);
    const { arena, slots, ready } = waiting;
    if (ready > 0 && native.writeBatch(arena, slots, ready, fds) < ready)
      waiting.countFailures(engine.counters);
  }

  private recheckFlows(nowMs: number): void {
    const { gates } = this.engine;
    if (gates.recheckFlows(RECHECK_ENTRIES, nowMs)) return;
    this.isRechecking = false;
    this.report({ kind: 'rechecked', generation: this.generation, revoked: gates.revokedFlows });
  }

  private takeCommands(nowMs: number): void {
    this.native.drainEventfd(this.wakeFd);
    for (let command = this.takeCommand(); command !== undefined; command = this.takeCommand()) {
      switch (command.kind) {
        case 'assign':
          this.assign(command, nowMs);
          break;
        case 'end-flows':
          this.endFlows(command.flows, nowMs);
          break;
        case 'stop':
          this.stopped = true;
          break;
        default:
          command satisfies never;
      }
    }
  }

  private assign({ ports, policy, hasUplink }: Assignment, nowMs: number): void {
    this.engine.setPolicy(policy);
    this.engine.setUplink(hasUplink);
    this.link.setPolicy(policy);
    this.writeWaiting(nowMs);
    this.setPorts(ports);
    this.generation = policy.generation;
    this.isRechecking = true;
    this.report({ kind: 'assigned', generation: policy.generation });
  }

  private endFlows(flows: Int32Array, nowMs: number): void {
    const { tracker } = this.engine.gates;
    let ended = 0;
    for (let i = 0; i < flows.length; i += 3) {
      const table = flows[i] === 4 ? tracker.flows4 : tracker.flows6;
      const entry = flows[i + 1];
      if (entry < 0 || entry >= table.highWater) continue;
      const word = table.words[entry * table.stride + table.keyWords + FLOW_STATE];
      // Another flow may have the entry by now.
      if ((word & STATE_MASK) === 0 || (word & INCARNATION_MASK) !== flows[i + 2]) continue;
      tracker.revoke(table, entry, false, nowMs);
      ended++;
    }
    this.report({ kind: 'ended-flows', ended });
  }

  /** Devices that are no longer among the ports are not used from here on; their owner closes them. */
  private setPorts(ports: readonly PortSpec[]): void {
    const { native, poller, fds } = this;
    const next = Int32Array.from(ports, (port) => port.fds[this.number] ?? -1);
    // All go before any comes: a descriptor may have moved from one port to another.
    fds.forEach((fd, number) => {
      if (fd >= 0 && fd !== next[number]) native.unwatch(poller, fd);
    });
    ports.forEach((port, number) => {
      this.isTap[number] = port.isTap ? 1 : 0;
      this.takesUso[number] = port.takesUso ? 1 : 0;
      this.batch.tooBig.mtu[number] = port.mtu ?? MTU_UNKNOWN;
      if (port.nextHops !== undefined) this.link.setNextHops(port.nextHops);
      const fd = next[number];
      if (fd === fds[number]) return;
      if (this.number === 0) this.startPort(number, port);
      if (fd >= 0) native.watch(poller, fd, number);
    });
    this.fds = next;
  }

  private startPort(number: number, { macAddress = BROADCAST_MAC }: PortSpec): void {
    const mac = new DataView(macAddress.buffer, macAddress.byteOffset, macAddress.byteLength);
    // What an earlier process learned is in the memory before the loop begins.
    if (!this.hasBegun && this.link.knows(number)) return;
    const nowMs = (this.clockMs() * this.timeScale) | 0;
    this.link.startPort(number, mac.getUint16(0), mac.getInt32(2), nowMs);
  }
}
