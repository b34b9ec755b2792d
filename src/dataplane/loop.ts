/**
 * The packet loop waits, then reads a batch from each port that has packets, judges it and writes it.
 *
 * The loop owns its thread and blocks in epoll_wait(2), so that a round costs what is ready, not what exists: poll(2)
 * took 60 µs a round with a thousand interfaces. It reads the clock once a round, and that of the fence once a batch.
 * An eventfd wakes it for commands. It takes them between two rounds, so policy and ports never change within a batch.
 * Each port gets one batch a round: a port under load can't starve the others.
 *
 * Nothing here allocates per packet. When a device is gone, the loop drops it, reports it, and goes on with the
 * others. A broken invariant throws: the process ends, its devices close, and traffic stops (conntrack/invariant.ts).
 */
import { FragmentTable } from '../conntrack/fragments.ts';
import { incarnationIn, isUsed, stateWordOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { adoptFlows, type AdoptedFlows } from './adopt-flows.ts';
import { BusyPoll } from './busy-poll.ts';
import { copyFlows, takeFlows } from './handed-flows.ts';
import { judgeProbes } from './probes.ts';
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
import { ADVERTISE_MS } from '../engine/dhcp/router-advertisements.ts';
import { EventRing } from '../engine/events.ts';
import { Engine } from '../engine/evaluate.ts';
import { Fence } from '../engine/fence.ts';
import type { OffloadedFlows } from '../engine/offloaded-flows.ts';
import { LinkLayer } from '../engine/link.ts';
import { Names } from '../engine/names/names.ts';
import { RuleHits } from '../engine/rule-hits.ts';
import { MTU_UNKNOWN } from '../engine/too-big.ts';
import { PORTS_MAX, type CompiledPolicy } from '../policy/compiled.ts';
import type { Native } from '../ports/native.ts';
import { PortIo, READABLE } from '../ports/port-io.ts';
import {
  openFlowTables,
  type AssignCommand,
  type Command,
  type LoopInput,
  type PortSpec,
  type Report,
} from './messages.ts';
import { openOffload } from './open-offload.ts';
import { Scheduling } from './scheduling.ts';

/** Room for a batch: a few GSO superpackets, or BATCH_PACKETS_MAX small packets. */
const ARENA_BYTES = 1 << 20;
const BATCH_PACKETS_MAX = 256;

/** How often the loop looks for expired flows, and at how many entries of each table: under 1 ms. */
const SWEEP_INTERVAL_MS = 50;
const SWEEP_ENTRIES = 512;

/**
 * The same when it is quiet: no packet since the sweep has seen the whole table, and no expired flow found. Expired
 * flows count as absent anyway; only their report in gauges and flow logs is later.
 */
const QUIET_INTERVAL_MS = 1000;
const QUIET_SWEEP_ENTRIES = 4096;

/** Entries of each table checked against a new policy in a round: about 0.1 ms. */
const RECHECK_ENTRIES = 512;

/** How soon the loop looks again whether a neighbour has answered. */
const WAITING_INTERVAL_MS = 10;

/** Guests of streams that are gone are told of no more often. */
const GUEST_INTERVAL_MS = 100;

const BROADCAST_MAC = new Uint8Array(6).fill(0xff);

const FOREVER_MS = -1;
const NEVER_MS = Infinity;
/** An MTU that instances are not told, since it is not known. */
const MTU_UNTOLD = 0;
/** The most ports served in a round. The others come first in the next round. */
const PORTS_IN_ROUND = 64;
/** The number under which the wake eventfd is watched. Ports have the numbers from 0 on. */
const WAKE = -1;

export class Loop {
  private readonly native: Native;
  private readonly takeCommand: () => Command | undefined;
  private readonly report: (report: Report) => void;
  private readonly engine: Engine;
  private readonly link: LinkLayer;
  private readonly fence: Fence;
  /** Flows that the kernel forwards; null: none. */
  private readonly offload: OffloadedFlows | null;
  /** What is learnt of DNS names that rules have. */
  private readonly names: Names;
  private readonly flows: readonly [FlowTable, FlowTable];
  private readonly arena = new Uint8Array(ARENA_BYTES);
  private readonly batch = new Batch(this.arena, BATCH_PACKETS_MAX, PORTS_MAX);
  private readonly coalescer = new Coalescer(BATCH_PACKETS_MAX);
  private readonly wakeFd: number;
  /** GAUGE_… of engine/counters.ts */
  private readonly gauges: Float64Array;
  private readonly guests: Uint8Array;
  /** How many times faster than real time flows age. 1, except in a lab that sets it. */
  private readonly timeScale: number;
  /** Number of this loop. It is also the number of its queue of each device. */
  private readonly number: number;
  /** How far performance.now() of this thread is ahead of the clock that all loops share. */
  private readonly clockAheadMs: number;
  private readonly ports: PortIo;
  private readonly busyPoll: BusyPoll;
  /** What is ready, in pairs: a port or WAKE, and READABLE or not. */
  private readonly events = new Int32Array(2 * PORTS_IN_ROUND);
  private specs: readonly PortSpec[] = [];
  /** When a guest's end was last told of. */
  private guestToldMs = -Infinity;
  private generation: number;
  /** When instances are told of their router next, on the clock that is not scaled. */
  private advertiseAtMs = NEVER_MS;
  private isRechecking = false;
  private lastSweepMs = 0;
  /** Whether packets came since the last tick. */
  private isBusy = false;
  /** Entries of each table swept since the last packet or the last expired flow. */
  private quietEntries = 0;
  private stopped = false;
  private readonly hasBegun: boolean = false;
  private readonly scheduling: Scheduling;
  /** What became of the flows that were in the tables before the loop began. */
  readonly adopted: AdoptedFlows;

  /** @param takeCommand returns the next command, or undefined. It is called only after the eventfd was signalled. */
  constructor(
    native: Native,
    input: LoopInput,
    takeCommand: () => Command | undefined,
    report: (report: Report) => void,
  ) {
    const { memory, settings, shared } = input;
    this.native = native;
    this.takeCommand = takeCommand;
    this.report = report;
    this.number = input.number;
    const own = openFlowTables(memory, input);
    this.fence = new Fence(shared.fence, PORTS_MAX, () => native.bootMs());
    const events = new EventRing(memory.events);
    this.flows = [own.flows4, own.flows6];
    this.engine = new Engine({
      policy: input.policy,
      conntrack: {
        settings,
        ...own,
        others: input.others.map((other) => openFlowTables(other, input)),
        fragments: new FragmentTable(input.hashKey, PORTS_MAX),
        timeoutsMs: new Int32Array(shared.timeoutsMs),
        maxFlowsByPort: new Int32Array(shared.maxFlowsByPort),
        events,
        ruleHits: new RuleHits(memory.ruleHits),
        fence: this.fence,
        accounts4: memory.accounts4,
        accounts6: memory.accounts6,
      },
      counters: new Float64Array(memory.counters),
      capture: new CaptureRing(memory.capture),
      hasUplink: input.hasUplink,
    });
    this.offload = openOffload(input, this.engine, events, this.fence);
    this.link = new LinkLayer(input.policy, shared.link, this.fence);
    this.wakeFd = input.wakeFd;
    this.gauges = new Float64Array(memory.gauges);
    this.names = new Names({
      settings: settings.names,
      key: input.hashKey,
      memory: memory.names,
      others: input.others.map(({ names }) => names),
      ports: PORTS_MAX,
      gauges: this.gauges,
    });
    this.setNames(input.policy);
    this.guests = new Uint8Array(shared.guests);
    this.clockAheadMs =
      performance.now() - (Number(process.hrtime.bigint()) / 1e6 - input.originMs);
    this.timeScale = settings.timeScale;
    this.generation = input.policy.generation;
    this.scheduling = new Scheduling(native);
    this.ports = new PortIo(native, PORTS_MAX, (port, why) => this.meetGuest(port, why));
    this.busyPoll = new BusyPoll(this.ports, settings.busyPollUs, () => performance.now());
    this.ports.watch(this.wakeFd, WAKE);
    this.setPorts(input.ports);
    this.hasBegun = true;
    this.adopted = adoptFlows(this.engine.gates.tracker, (this.clockMs() * this.timeScale) | 0);
    // The policy of an earlier process admitted them.
    this.isRechecking = this.adopted.restored > 0;
  }

  /**
   * Runs until a `stop` command. Throws if an invariant is broken, or a system call fails that should not. It does
   * not throw when a device is lost.
   */
  run(): void {
    const { ports, busyPoll, events } = this;
    while (!this.stopped) {
      const found = busyPoll.wait(events, this.timeoutMs());
      // Monotonic, and cut to int32 on purpose: ages are wrapped differences.
      const clockMs = this.clockMs();
      const nowMs = (clockMs * this.timeScale) | 0;
      this.gauges[GAUGE_LAST_ROUND_MS] = clockMs;
      const uptimeSec = (clockMs / 1000) | 0;
      this.fence.look();
      this.engine.beginRound(nowMs, uptimeSec, (1000 * (clockMs - 1000 * uptimeSec)) | 0);
      if (this.offload !== null) this.offload.beginRound(nowMs);
      let isWoken = false;
      for (let i = 0; i < found; i++) {
        const port = events[2 * i];
        if (port === WAKE) isWoken = true;
        else if (events[2 * i + 1] === READABLE) this.forwardFrom(port, nowMs);
        else this.giveUp(port);
      }
      if (((nowMs - this.lastSweepMs) | 0) >= SWEEP_INTERVAL_MS) {
        if (this.isBusy) this.scheduling.review(clockMs);
        this.tick(nowMs);
      }
      if (clockMs >= this.advertiseAtMs) this.advertise(clockMs);
      if (this.isRechecking) this.recheckFlows(nowMs);
      if (isWoken) this.takeCommands(nowMs);
      if (this.link.waiting.isBusy) this.writeWaiting(nowMs);
      this.gauges[GAUGE_ROUNDS]++;
      this.gauges[GAUGE_BUSY_MS] += this.clockMs() - clockMs;
    }
    this.offload?.stop();
    ports.close();
  }

  private clockMs(): number {
    return performance.now() - this.clockAheadMs;
  }

  private timeoutMs(): number {
    if (this.isRechecking) return 0;
    // The answer may come to another loop.
    if (this.link.waiting.isBusy) return WAITING_INTERVAL_MS;
    if (this.isBusy || (this.offload !== null && this.offload.count > 0)) return SWEEP_INTERVAL_MS;
    const kept = this.flows[0].count + this.flows[1].count + this.names.learnt.count;
    if (kept === 0) return this.idleMs();
    // In a lab with faster time, flows end sooner.
    return this.isQuiet() ? Math.ceil(QUIET_INTERVAL_MS / this.timeScale) : SWEEP_INTERVAL_MS;
  }

  /** How long to wait where there are neither packets nor flows. */
  private idleMs(): number {
    if (this.advertiseAtMs === NEVER_MS) return FOREVER_MS;
    return Math.max(0, Math.ceil(this.advertiseAtMs - this.clockMs()));
  }

  private isQuiet(): boolean {
    const [flows4, flows6] = this.flows;
    return this.quietEntries >= Math.max(flows4.highWater, flows6.highWater);
  }

  private tick(nowMs: number): void {
    const [flows4, flows6] = this.flows;
    const { tracker } = this.engine.gates;
    if (this.offload !== null) this.offload.tick(this.gauges);
    const before = flows4.count + flows6.count;
    const entries = !this.isBusy && this.isQuiet() ? QUIET_SWEEP_ENTRIES : SWEEP_ENTRIES;
    tracker.sweep(entries, nowMs);
    tracker.assertCounts();
    this.names.sweep(entries, nowMs);
    this.engine.gates.writeGauges(this.gauges);
    const isChanged = this.isBusy || flows4.count + flows6.count !== before;
    if (isChanged) this.quietEntries = 0;
    else if (!this.isQuiet()) this.quietEntries += entries;
    this.isBusy = false;
    this.lastSweepMs = nowMs;
  }

  /** Drops a port whose device was deleted. Only its own interface is cut off. */
  private giveUp(port: number): void {
    this.ports.giveUp(port);
    this.report({ kind: 'lost', port });
  }

  private forwardFrom(port: number, nowMs: number): void {
    const { ports, batch, engine, gauges } = this;
    const count = ports.read(port, this.arena, batch.slots);
    if (count === 0) return;
    this.isBusy = true;
    gauges[GAUGE_READ_BATCHES]++;
    gauges[GAUGE_READ_PACKETS] += count;
    let sent = batch.process(engine, this.link, ports.hasEthernet, port, count, nowMs);
    // The thread may have stood still since the start of the round.
    if (this.fence.look()) sent -= batch.withhold(engine.counters, this.fence, port, count);
    if (sent > 0) this.write(count, sent);
    if (batch.tooBig.count > 0) this.writeBehind(nowMs);
    if (this.link.leases.answers.count > 0) this.writeAnswers();
    if (this.link.waiting.isBusy) this.writeWaiting(nowMs);
  }

  /** Writes a batch that has been judged. @param sent how many of its packets go on */
  private write(count: number, sent: number): void {
    const { ports, batch, coalescer, engine, gauges } = this;
    const { joined } = coalescer;
    const { hasEthernet, takesUso, isCutHere } = ports;
    coalescer.join(batch.view, batch.slots, count, hasEthernet, takesUso, isCutHere);
    gauges[GAUGE_COALESCED] = coalescer.joined;
    gauges[GAUGE_WRITES] += sent - (coalescer.joined - joined);
    if (ports.write(this.arena, batch.slots, count, coalescer.next) < sent)
      batch.countFailures(engine, count, coalescer.head);
  }

  /** Writes fragments of packets that were too long for a device, and errors about such packets. */
  private writeBehind(nowMs: number): void {
    const { ports, engine } = this;
    const { tooBig } = this.batch;
    tooBig.wrap(this.link, ports.hasEthernet, nowMs);
    const { arena, slots, count } = tooBig;
    if (ports.write(arena, slots, count) < count) tooBig.countFailures(engine.counters);
    tooBig.clear();
  }

  /** Writes packets whose neighbour has answered, and questions about others. */
  private writeWaiting(nowMs: number): void {
    const { ports, engine, link } = this;
    const { waiting } = link;
    link.settle(engine.counters, nowMs);
    const { arena, slots, ready } = waiting;
    if (ready > 0 && ports.write(arena, slots, ready) < ready)
      waiting.countFailures(engine.counters);
  }

  /** Writes answers to questions about interfaces, each to the port it came from. */
  private writeAnswers(): void {
    const { arena, slots, count } = this.link.leases.answers;
    this.ports.write(arena, slots, count);
    this.link.leases.answers.clear();
    if (this.advertiseAtMs === NEVER_MS && this.link.leases.advertises)
      this.advertiseAtMs = this.clockMs() + ADVERTISE_MS;
  }

  /** Tells the instances of their router, also those that have been silent for long. */
  private advertise(clockMs: number): void {
    this.advertiseAtMs = clockMs + ADVERTISE_MS;
    for (let port = 0; port >= 0;) {
      port = this.link.leases.advertiseFrom(port);
      this.writeAnswers();
    }
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
        case 'judge':
          this.judge(command.probes);
          break;
        case 'stop':
          this.stopped = true;
          break;
        default:
          command satisfies never;
      }
    }
  }

  private assign({ ports, policy, hasUplink, handing }: AssignCommand, nowMs: number): void {
    const { gates } = this.engine;
    if (handing !== undefined) this.offload?.pullAll();
    const left = handing === undefined ? undefined : copyFlows(gates, handing, nowMs);
    this.engine.setPolicy(policy);
    this.setNames(policy);
    this.engine.setUplink(hasUplink);
    this.link.setPolicy(policy);
    this.writeWaiting(nowMs);
    const taken = handing === undefined ? undefined : takeFlows(gates, handing.arriving, nowMs);
    if (ports !== undefined) this.setPorts(ports);
    this.generation = policy.generation;
    this.isRechecking = true;
    const handed = left === undefined || taken === undefined ? undefined : { left, taken };
    this.report({ kind: 'assigned', generation: policy.generation, handed });
  }

  /** Has the engine show packets to what learns names, if a rule has one. */
  private setNames(policy: CompiledPolicy): void {
    this.names.setPolicy(policy);
    this.engine.gates.rules.names = this.names.isWanted ? this.names : null;
  }

  private judge(probes: Int32Array): void {
    const { policy, matcher } = this.engine.gates;
    this.report({ kind: 'judged', answers: judgeProbes(policy, matcher, probes) });
  }

  private endFlows(flows: Int32Array, nowMs: number): void {
    const { tracker } = this.engine.gates;
    let ended = 0;
    for (let i = 0; i < flows.length; i += 3) {
      const table = flows[i] === 4 ? tracker.flows4 : tracker.flows6;
      const entry = flows[i + 1];
      if (entry < 0 || entry >= table.highWater) continue;
      // Another flow may have this entry now.
      const incarnation = incarnationIn(stateWordOf(table, entry));
      if (!isUsed(table, entry) || incarnation !== flows[i + 2]) continue;
      tracker.revoke(table, entry, false, nowMs);
      ended++;
    }
    this.report({ kind: 'ended-flows', ended });
  }

  /** Takes over ports. The loop no longer uses the devices that are not among them; their owner closes them. */
  private setPorts(ports: readonly PortSpec[]): void {
    const before = this.specs;
    this.specs = ports;
    const isNew = this.ports.assign(
      ports.map(({ kind, takesUso, fds }) => ({ kind, takesUso, fd: fds[this.number] ?? -1 })),
    );
    ports.forEach((port, number) => {
      this.batch.tooBig.mtu[number] = port.mtu ?? MTU_UNKNOWN;
      this.fence.ports[number] = port.isFenced === true ? 1 : 0;
      if (port.nextHops !== undefined) this.link.setNextHops(port.nextHops);
      if (isNew[number] && this.number === 0) this.startPort(number, port);
      this.noteGuest(number);
      const mac = macOf(port);
      this.link.fixMac(number, port.isMacFixed === true, mac.getUint16(0), mac.getInt32(2));
      this.placeForKernel(number, port);
    });
    for (let number = ports.length; number < before.length; number++)
      this.placeForKernel(number, undefined);
    this.setLeases(ports);
  }

  /** Tells the kernel's programs where a port's device is, if they take part there. */
  private placeForKernel(number: number, spec: PortSpec | undefined): void {
    const place = spec?.offload;
    const mtu = spec?.mtu ?? MTU_UNKNOWN;
    this.offload?.setPort(number, place?.ifindex ?? 0, place?.isPair === true, mtu);
  }

  private setLeases(ports: readonly PortSpec[]): void {
    const { leases } = this.link;
    for (let number = 0; number < PORTS_MAX; number++) {
      const { lease, mtu } = ports[number] ?? {};
      leases.set(number, lease ?? null, mtu ?? MTU_UNTOLD);
    }
  }

  /** A guest has come to a port, or is gone. The next one may have another MAC address. */
  private meetGuest(port: number, why: string | undefined): void {
    const spec = this.specs[port];
    this.noteGuest(port);
    if (why === undefined) this.learnAnew(port, spec);
    const clockMs = this.clockMs();
    // Who comes and goes all the time is told of now and then.
    if (clockMs - this.guestToldMs < GUEST_INTERVAL_MS) return;
    if (why !== undefined) this.guestToldMs = clockMs;
    this.report({ kind: 'guest', port, label: spec.label, ...(why === undefined ? {} : { why }) });
  }

  private noteGuest(port: number): void {
    this.guests[port] = this.ports.hasGuest(port) ? 1 : 0;
  }

  private startPort(number: number, port: PortSpec): void {
    // Memory may hold what an earlier process learned. Keep that.
    if (!this.hasBegun && this.link.knows(number)) return;
    this.learnAnew(number, port);
  }

  private learnAnew(number: number, port: PortSpec): void {
    const mac = macOf(port);
    const nowMs = (this.clockMs() * this.timeScale) | 0;
    this.link.startPort(number, mac.getUint16(0), mac.getInt32(2), nowMs);
  }
}

function macOf({ macAddress = BROADCAST_MAC }: PortSpec): DataView {
  return new DataView(macAddress.buffer, macAddress.byteOffset, macAddress.byteLength);
}
