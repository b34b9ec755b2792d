/**
 * Hands flows that both gates have admitted to the kernel, and takes in what happens to them there.
 *
 * Theory of operation
 *
 * A flow between two interfaces has an entry at each gate. Once a packet of it has passed both and nothing but plain
 * packets is to be expected, it also has an entry in the kernel's table (offload/), and the programs there forward its
 * plain packets. Every other packet of it comes to the loop as ever. So the flow is known in three places, and what TCP
 * has said must be the same in all: before a gate judges a packet of such a flow, its entry takes in what the kernel
 * has seen (`pull`); afterwards the kernel's takes in what the gate has seen (`settle`). All of that only grows, so
 * neither loses anything, whoever comes first.
 *
 * A flow is offered only if both gates know the same of its connection, so one copy can stand for both. It is taken
 * back when a packet has changed its state (FIN, RST, a new SYN), when it ends, and when an interface goes. Its entry
 * then lingers for LINGER_MS without a slot, since a program may be at work on it, and what that program adds must not
 * get lost or come to another flow. Where a SYN has passed, the flow may become another connection with lower sequence
 * numbers, so it takes in nothing more.
 *
 * Rules. An entry has the generation of the policy by which both its flows were last judged (`renew`). The kernel
 * compares it with the loop's. So from the moment a loop has a new policy no packet passes in the kernel by an old one.
 *
 * A gate that lets the flow pass by the rules alone has no entry of it (offload-untracked.ts): then UNTRACKED is in the
 * place of its flow.
 *
 * A flow that passes by audit alone (policy/audit.ts) stays with the loop, which counts each packet of it.
 *
 * Time and counts. Each tick takes what was counted since the last one, of the entries that are marked as changed.
 * Before a flow is held against its time-out, it is pulled. If a time-out is changed, an idle flow that is offloaded
 * keeps its former one until the sweep comes to it.
 */
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { isLowerEnd } from '../conntrack/flow-hash.ts';
import {
  generationIn,
  NO_FLOW,
  placeOf,
  ruleOf,
  ruleWordOf,
  seenAt,
  stateWordAt,
  wrapGeneration,
  type FlowIndex,
} from '../conntrack/entry.ts';
import { FLOW_PASSES, FLOW_PASSES_UNCHANGED } from '../conntrack/verdicts.ts';
import { OPENED_LOCALLY } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { readSide, SIDE_WORDS } from '../conntrack/tcp-sides.ts';
import { KernelFlows, NO_ENTRY } from '../offload/kernel-flows.ts';
import { Lingering } from '../offload/lingering.ts';
import {
  BUCKET_SLOTS,
  CONTROL_LOOPS,
  FLOW_FLAGS,
  FLOW_GENERATION,
  FLOW_KIND,
  FLOW_PLACES,
  FLOW_SEEN_MS,
  FLOW_WORDS,
  LOOP_ALIVE_UNTIL_MS,
  LOOP_FENCED_FROM_MS,
  LOOP_GENERATION,
  LOOP_IS_WATCHED,
  LOOP_WORDS,
  MARK_FLOWS,
  WATCHES_ALL,
  WATCHES_BY_RULES,
  type OffloadTables,
} from '../offload/layout.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import {
  GAUGE_OFFERED,
  GAUGE_OFFLOAD_REFUSED,
  GAUGE_OFFLOADED,
  GAUGE_OFFLOADED_PACKETS,
} from './counters.ts';
import { WANT_CAPTURE, WANT_PASSES, WANT_UNTRACKED, type EventRing } from './events.ts';
import type { Fence } from './fence.ts';
import { OffloadCounts } from './offload-counts.ts';
import { OffloadHarvest } from './offload-harvest.ts';
import { EntryOwners, UNTRACKED } from './offload-owners.ts';
import { OffloadPorts } from './offload-ports.ts';
import {
  beginsAnew,
  beginsUntracked,
  endsUntracked,
  flagsFor,
  isForLoops,
  isPlainTcp,
  isPlainUdp,
} from './offload-terms.ts';
import { UntrackedEntries, type UntrackedParts } from './offload-untracked.ts';
import { isAudit } from './revocation.ts';

/** How long the kernel goes on without a sign of the loop. The loop gives one each round, at most 50 ms apart. */
export const ALIVE_MS = 500;
export interface OffloadParts extends UntrackedParts {
  readonly tables: OffloadTables;
  /** Number of the loop, and how many there are. */
  readonly loop: number;
  readonly loops: number;
  /** Flows that all loops can offload. */
  readonly capacity: number;
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  readonly accounts4: FlowAccounts | null;
  readonly accounts6: FlowAccounts | null;
  readonly counters: Float64Array;
  readonly events: EventRing;
  readonly fence: Fence;
  readonly ports: number;
  /** How long the kernel goes on without a sign of the loop: ALIVE_MS. */
  readonly aliveMs: number;
}

export class OffloadedFlows {
  /** Flows that the kernel forwards now. */
  count = 0;
  /** Since the start: flows handed to the kernel; and those that found no room there. */
  offered = 0;
  refused = 0;
  readonly counts: OffloadCounts;
  readonly untracked: UntrackedEntries;
  private readonly parts: OffloadParts;
  private readonly kernel: KernelFlows;
  /** Our entries: from `first` to before `end`. */
  private readonly first: number;
  private readonly end: number;
  private readonly owners: EntryOwners;
  private readonly harvester: OffloadHarvest;
  private readonly lingering: Lingering;
  private readonly ports: OffloadPorts;
  /** The marks of our entries, 4 bytes a word. */
  private readonly marks: Int32Array;
  private readonly control: number;
  private readonly sides = new Int32Array(4 * SIDE_WORDS);
  private policy: CompiledPolicy | null = null;
  private generation = 0;
  private nowMs = 0;
  /** A flow that the sender's gate has moved by the packet, and the receiver's has not yet; or NO_FLOW. */
  private moved: FlowIndex = NO_FLOW;
  private movedTable: FlowTable;

  constructor(parts: OffloadParts) {
    const { tables, loop, loops, flows4, flows6 } = parts;
    // Marks are bytes of MARK_FLOWS flows, and are read four at a time.
    const unit = 4 * MARK_FLOWS;
    const capacity = Math.floor(parts.capacity / loops / unit) * unit;
    this.parts = parts;
    this.counts = new OffloadCounts(parts.counters, parts.events, parts.ports);
    this.movedTable = flows4;
    this.first = loop * capacity;
    this.end = this.first + capacity;
    this.kernel = new KernelFlows(tables, loop, this.first, capacity);
    this.owners = new EntryOwners(flows4, flows6, this.first, capacity);
    this.lingering = new Lingering(this.first, capacity);
    this.ports = new OffloadPorts(tables.ports, parts.ports);
    const { owners, counts, kernel } = this;
    this.untracked = new UntrackedEntries(parts, this.first, capacity);
    this.harvester = new OffloadHarvest(parts, kernel.words, owners, counts, this.untracked);
    this.control = CONTROL_LOOPS + loop * LOOP_WORDS;
    const { changed } = tables;
    const at = changed.byteOffset + this.first / MARK_FLOWS;
    this.marks = new Int32Array(changed.buffer, at, capacity / unit);
  }

  /** Has no packet pass in the kernel until its flow is judged by this policy. */
  setPolicy(policy: CompiledPolicy): void {
    this.policy = policy;
    this.generation = policy.generation | 0;
    this.setControl(LOOP_GENERATION, this.generation);
  }

  /** Says that the loop turns, and whether somebody wants to see packets: then none may pass unseen in the kernel. */
  beginRound(nowMs: number): void {
    this.nowMs = nowMs;
    const { wanted } = this.parts.events;
    const all = (wanted & (WANT_PASSES | WANT_CAPTURE)) !== 0 ? WATCHES_ALL : 0;
    const byRules = (wanted & WANT_UNTRACKED) !== 0 ? WATCHES_BY_RULES : 0;
    this.setControl(LOOP_IS_WATCHED, all | byRules);
    this.setControl(LOOP_FENCED_FROM_MS, this.parts.fence.closesAtMs);
    this.setControl(LOOP_ALIVE_UNTIL_MS, (nowMs + this.parts.aliveMs) | 0);
  }

  /** Whether a flow has an entry in the kernel, also one that lingers. */
  isLinked(table: FlowTable, flow: FlowIndex): boolean {
    return this.owners.entryOf(table, flow) !== NO_ENTRY;
  }

  /** Takes into a flow what the kernel has seen of it. Call it before a packet of it is judged. */
  pull(table: FlowTable, flow: FlowIndex): void {
    this.harvester.pull(table, flow);
  }

  /** Begins a packet. One before it that moved a flow at the sender's gate alone has left its gates different. */
  begin(): void {
    const { moved } = this;
    this.moved = NO_FLOW;
    this.untracked.begin();
    if (moved === NO_FLOW || !this.isLinked(this.movedTable, moved)) return;
    this.takeBack(this.owners.entryOf(this.movedTable, moved));
  }

  /**
   * Notes what a gate says of a packet of a flow that `pull` was called for. The kernel is told once both have passed
   * it.
   * @param verdict of conntrack/verdicts.ts
   */
  note(table: FlowTable, flow: FlowIndex, fromLocal: boolean, verdict: number): void {
    const passes = verdict === FLOW_PASSES || verdict === FLOW_PASSES_UNCHANGED;
    const entry = this.owners.entryOf(table, flow);
    if (this.owners.ownerOf(entry, 1 - this.owners.sideOf(entry, flow)) === UNTRACKED) {
      if (passes) this.settle(table, flow);
    } else if (fromLocal) {
      this.moved = passes ? flow : NO_FLOW;
      this.movedTable = table;
    } else if (passes) {
      this.moved = NO_FLOW;
      this.settle(table, flow);
    }
  }

  /**
   * Tells the kernel what its gates have seen of a flow, or takes the flow back if more than plain packets are to be
   * expected. Call it after a packet of it has passed both, or when something else has moved it.
   */
  settle(table: FlowTable, flow: FlowIndex): void {
    const entry = this.owners.entryOf(table, flow);
    const base = entry * FLOW_WORDS;
    const at = placeOf(table, flow);
    const state = stateWordAt(table.words, at);
    const isTcp = (this.kernel.words[base + FLOW_KIND] & 0xff) === PROTO_TCP;
    if (isTcp && beginsAnew(state)) {
      this.unlink(table, flow);
      return;
    }
    const isPlain = isTcp ? isPlainTcp(state) : isPlainUdp(state);
    // The kernel is not told when: a revocation moves this gate's flow alone, and must not renew the other gate's.
    if (!isPlain) this.takeBack(entry);
    if (this.lingering.has(entry)) return;
    if (isTcp) {
      const isLocalOpener = (state & OPENED_LOCALLY) !== 0;
      const local = this.owners.sideOf(entry, flow);
      readSide(table.words, at, isLocalOpener, this.sides, local * SIDE_WORDS);
      readSide(table.words, at, !isLocalOpener, this.sides, (1 - local) * SIDE_WORDS);
      this.kernel.raiseSides(entry, this.sides);
    } else {
      // Until a packet has passed both gates they differ, and nothing passes.
      const lower = this.owners.ownerOf(entry, 0);
      const upper = this.owners.ownerOf(entry, 1);
      const flags = this.flagsOf(PROTO_UDP, table, lower, upper);
      this.kernel.words[base + FLOW_FLAGS] = this.untracked.asSeen(entry, flags);
    }
    this.kernel.raiseSeen(entry, seenAt(table.words, at));
  }

  /** Whether packets between two ports can be forwarded in the kernel, one way at least. */
  joins(from: number, to: number): boolean {
    return this.ports.canForward(from, to);
  }

  /**
   * Hands a flow to the kernel, if that can forward its packets. The packet has just passed both gates, between ports
   * that `joins` says yes to.
   * @param hash of its tuple
   * @param sent the flow at the sender's gate, at port `from`, or UNTRACKED
   * @param received the flow at the receiver's gate, at port `to`, or UNTRACKED
   */
  offer(
    packet: Packet,
    hash: number,
    from: number,
    to: number,
    sent: FlowIndex,
    received: FlowIndex,
  ): void {
    const table = packet.family === 4 ? this.parts.flows4 : this.parts.flows6;
    let found = sent < 0 ? NO_ENTRY : this.owners.entryOf(table, sent);
    if (found === NO_ENTRY && received >= 0) found = this.owners.entryOf(table, received);
    // Most packets end here: those of flows that the kernel has.
    if (found !== NO_ENTRY && sent >= 0 && received >= 0 && this.owners.isTracked(found)) return;
    if (packet.fragment !== FRAGMENT_NONE) return;
    const isLower = isLowerEnd(packet);
    const lower = isLower ? sent : received;
    const upper = isLower ? received : sent;
    if (found === NO_ENTRY && this.untracked.loose > 0)
      found = this.kernel.find(packet, isLower, hash);
    if (found !== NO_ENTRY) {
      this.offerAgain(found, table, packet, isLower, lower, upper);
      return;
    }
    const flags = this.flagsOf(packet.protocol, table, lower, upper);
    if (flags === 0 || isForLoops(packet)) return;
    const isLoose = lower === UNTRACKED && upper === UNTRACKED;
    if (isLoose && !beginsUntracked(packet)) return;
    const entry = isLoose && !this.untracked.hasRoom ? NO_ENTRY : this.kernel.take();
    if (entry === NO_ENTRY) {
      this.refused++;
      return;
    }
    this.untracked.forget(entry);
    this.untracked.see(entry, isLower, lower >= 0 && upper >= 0);
    const places = isLower ? (from << 16) | to : (to << 16) | from;
    const seen = this.untracked.asSeen(entry, flags);
    this.kernel.fill(entry, packet, isLower, seen, places, this.sides);
    this.kernel.setGeneration(entry, this.generation);
    this.kernel.setSeen(entry, this.nowMs);
    this.owners.give(entry, table, lower, upper);
    this.harvester.setTimeout(entry, table);
    if (!this.kernel.place(entry, hash)) {
      this.owners.clear(entry, table);
      this.kernel.giveBack(entry);
      this.refused++;
      return;
    }
    if (isLoose) this.untracked.loose++;
    this.count++;
    this.offered++;
  }

  /** Takes in what the kernel has counted of flows with this hash that no gate may know: who opened them is asked. */
  pullUntracked(hash: number): void {
    if (this.count === 0) return;
    for (let i = 0; i < BUCKET_SLOTS; i++) {
      const entry = this.kernel.entryAt(hash, i);
      if (entry >= this.first && entry < this.end && !this.owners.isTracked(entry))
        this.harvest(entry);
    }
  }

  /**
   * Lets an entry pass whose flow a gate lets pass by the rules alone: the policy may be another one since, and this
   * may be the first packet of its direction. If a gate now does otherwise, or an untracked connection ends, the entry
   * is taken back.
   */
  private offerAgain(
    entry: number,
    table: FlowTable,
    packet: Packet,
    isLower: boolean,
    lower: FlowIndex,
    upper: FlowIndex,
  ): void {
    if (this.lingering.has(entry)) return;
    const isOver = this.owners.isLoose(entry) && endsUntracked(packet);
    if (isOver || !this.owners.areOf(entry, lower, upper)) {
      this.takeBack(entry);
      return;
    }
    const { words } = this.kernel;
    const at = entry * FLOW_WORDS;
    const flags = this.flagsOf(packet.protocol, table, lower, upper);
    if (words[at + FLOW_GENERATION] !== this.generation) {
      this.harvest(entry);
      this.untracked.forget(entry);
    }
    this.untracked.see(entry, isLower, lower >= 0 && upper >= 0);
    words[at + FLOW_FLAGS] = this.untracked.asSeen(entry, flags);
    this.harvester.setTimeout(entry, table);
    this.kernel.raiseSeen(entry, this.nowMs);
    this.kernel.setGeneration(entry, this.generation);
  }

  /** Takes in what the kernel knows of a flow, for the last time, and takes its entry back. */
  unlink(table: FlowTable, flow: FlowIndex): void {
    const entry = this.owners.entryOf(table, flow);
    this.harvest(entry);
    this.takeBack(entry);
    this.owners.leave(entry, table, flow);
  }

  /** Lets a flow pass again that the policy in force has just admitted at a gate; offerAgain, if a gate has none. */
  renew(table: FlowTable, flow: FlowIndex): void {
    const entry = this.owners.entryOf(table, flow);
    const lower = this.owners.ownerOf(entry, 0);
    const upper = this.owners.ownerOf(entry, 1);
    if (lower < 0 || upper < 0) return;
    const wanted = wrapGeneration(this.generation);
    if (generationIn(ruleWordOf(table, lower)) !== wanted) return;
    if (generationIn(ruleWordOf(table, upper)) !== wanted) return;
    if (this.isAudited(table, lower) || this.isAudited(table, upper)) {
      this.takeBack(entry);
      return;
    }
    this.harvester.setTimeout(entry, table);
    this.kernel.setGeneration(entry, this.generation);
  }

  /** Takes in what the kernel has counted since the last tick. @param gauges of engine/counters.ts */
  tick(gauges: Float64Array): void {
    const { marks, first } = this;
    for (let word = 0; word < marks.length; word++) {
      if (marks[word] === 0) continue;
      const marked = Atomics.exchange(marks, word, 0);
      for (let byte = 0; byte < 4; byte++) {
        if (((marked >>> (8 * byte)) & 0xff) === 0) continue;
        const start = first + (4 * word + byte) * MARK_FLOWS;
        for (let entry = start; entry < start + MARK_FLOWS; entry++) this.harvest(entry);
      }
    }
    this.sweepLoose();
    this.freeLingering();
    gauges[GAUGE_OFFLOADED] = this.count;
    gauges[GAUGE_OFFERED] = this.offered;
    gauges[GAUGE_OFFLOAD_REFUSED] = this.refused;
    gauges[GAUGE_OFFLOADED_PACKETS] = this.counts.packets;
  }

  /** Takes in all that the kernel knows, so that the flow tables hold it. */
  pullAll(): void {
    for (let entry = this.first; entry < this.end; entry++) this.harvest(entry);
  }

  /** Ends the kernel's forwarding for this loop at once, and takes in all that it knows. */
  stop(): void {
    this.setControl(LOOP_ALIVE_UNTIL_MS, (this.nowMs - 1) | 0);
    this.pullAll();
  }

  /**
   * Says where the interface of a port is. Flows of one that is elsewhere now are taken back.
   * @param ifindex 0: its packets come to the loop
   */
  setPort(port: number, ifindex: number, isPair: boolean, mtu: number): void {
    if (this.ports.isElsewhere(port, ifindex))
      for (let entry = this.first; entry < this.end; entry++)
        if (this.isOfPort(entry, port)) this.takeBack(entry);
    this.ports.set(port, ifindex, isPair, mtu);
  }

  /** Notes the MAC address of a port's instance. Frames from another come to the loop. */
  setMac(port: number, high: number, low: number): void {
    this.ports.setMac(port, high, low);
  }

  private setControl(word: number, value: number): void {
    Atomics.store(this.parts.tables.control, this.control + word, value);
  }

  /** Whether a flow passes by audit alone: the loop counts its packets. */
  private isAudited(table: FlowTable, flow: FlowIndex): boolean {
    return flow >= 0 && this.policy !== null && isAudit(this.policy, ruleOf(table, flow));
  }

  private isOfPort(entry: number, port: number): boolean {
    if (this.owners.isFree(entry)) return false;
    const places = this.kernel.words[entry * FLOW_WORDS + FLOW_PLACES];
    return places >>> 16 === port || (places & 0xffff) === port;
  }

  /** Flags of a flow; 0 if it stays with the loop. Leaves what the sides of TCP have said in `sides`. */
  private flagsOf(protocol: number, table: FlowTable, lower: FlowIndex, upper: FlowIndex): number {
    if (lower === NO_FLOW || upper === NO_FLOW) return 0;
    if (this.isAudited(table, lower) || this.isAudited(table, upper)) return 0;
    return flagsFor(protocol, table, lower, upper, this.sides);
  }

  /** Has the loop get all packets of an entry again. What programs still add to it is taken in until it is freed. */
  private takeBack(entry: number): void {
    if (this.lingering.has(entry)) return;
    if (!this.owners.isTracked(entry)) {
      // Later, its hash may be another flow's, and its rules' numbers others'.
      this.harvest(entry);
      this.untracked.forget(entry);
      if (this.owners.isLoose(entry)) this.untracked.loose--;
    }
    this.kernel.displace(entry);
    this.lingering.add(entry, this.nowMs);
    this.count--;
  }

  /** Takes back entries that belong to no flow and were idle for long. */
  private sweepLoose(): void {
    const { untracked, kernel } = this;
    for (let i = untracked.steps; i > 0; i--) {
      const entry = untracked.nextToSweep();
      if (!this.owners.isLoose(entry) || this.lingering.has(entry)) continue;
      const seenMs = Atomics.load(kernel.words, entry * FLOW_WORDS + FLOW_SEEN_MS);
      if (((this.nowMs - seenMs) | 0) > untracked.idleMs) this.takeBack(entry);
    }
  }

  private freeLingering(): void {
    for (;;) {
      const entry = this.lingering.take(this.nowMs);
      if (entry === NO_ENTRY) return;
      this.harvest(entry);
      this.owners.clear(entry, this.harvester.tableOf(entry));
      this.kernel.giveBack(entry);
    }
  }

  private harvest(entry: number): void {
    this.harvester.harvest(entry, this.nowMs);
  }
}
