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
  portOf,
  ruleWordOf,
  seenAt,
  setSeenAt,
  stateWordAt,
  stateWordOf,
  wrapGeneration,
  type FlowIndex,
} from '../conntrack/entry.ts';
import { FLOW_PASSES, FLOW_PASSES_UNCHANGED } from '../conntrack/verdicts.ts';
import { OPENED_LOCALLY, STATE_COUNT, timeoutState } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { raiseSide, readSide, SIDE_WORDS } from '../conntrack/tcp-sides.ts';
import { KernelFlows, NO_ENTRY } from '../offload/kernel-flows.ts';
import { Lingering } from '../offload/lingering.ts';
import {
  CONTROL_LOOPS,
  FLOW_BYTES,
  FLOW_FLAGS,
  FLOW_KIND,
  FLOW_PACKETS,
  FLOW_PLACES,
  FLOW_SEEN_MS,
  FLOW_SIDES,
  FLOW_TIMEOUT_MS,
  FLOW_WORDS,
  LOOP_ALIVE_UNTIL_MS,
  LOOP_FENCED_FROM_MS,
  LOOP_GENERATION,
  LOOP_IS_WATCHED,
  LOOP_WORDS,
  MARK_FLOWS,
  PORT_IFINDEX,
  PORT_IS_PAIR,
  PORT_MAC_HIGH,
  PORT_MAC_LOW,
  PORT_MTU,
  PORT_WORDS,
  type OffloadTables,
} from '../offload/layout.ts';
import { PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import {
  count,
  EGRESS,
  GAUGE_OFFERED,
  GAUGE_OFFLOAD_REFUSED,
  GAUGE_OFFLOADED,
  GAUGE_OFFLOADED_PACKETS,
  INGRESS,
} from './counters.ts';
import { WANT_CAPTURE, WANT_PASSES, type EventRing } from './events.ts';
import type { Fence } from './fence.ts';
import { beginsAnew, isDhcp, isPlainTcp, isPlainUdp, tcpFlags, udpFlags } from './offload-terms.ts';
import { PASS } from './reasons.ts';

/** How long the kernel goes on without a sign of the loop. The loop gives one each round, at most 50 ms apart. */
export const ALIVE_MS = 500;
export interface OffloadParts {
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
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
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
  /** Packets that the kernel forwarded. */
  packets = 0;
  private readonly parts: OffloadParts;
  private readonly kernel: KernelFlows;
  /** Our entries: from `first` to before `end`. */
  private readonly first: number;
  private readonly end: number;
  /** By flow of a table: the kernel's entry plus 1, or 0. */
  private readonly links4: Int32Array;
  private readonly links6: Int32Array;
  /** By entry of ours: the flows at the lower and at the upper end's gate, or NO_FLOW. */
  private readonly owners: Int32Array;
  private readonly lingering: Lingering;
  /** By port: 0 if its interface takes no part; 1 if packets from it can be forwarded; 2 if also those to it. */
  private readonly takesPart: Uint8Array;
  /** The marks of our entries, 4 bytes a word. */
  private readonly marks: Int32Array;
  private readonly control: number;
  private readonly sides = new Int32Array(4 * SIDE_WORDS);
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
    this.movedTable = flows4;
    this.first = loop * capacity;
    this.end = this.first + capacity;
    this.kernel = new KernelFlows(tables, loop, this.first, capacity);
    this.links4 = new Int32Array(flows4.capacity);
    this.links6 = new Int32Array(flows6.capacity);
    this.owners = new Int32Array(2 * capacity).fill(NO_FLOW);
    this.lingering = new Lingering(this.first, capacity);
    this.takesPart = new Uint8Array(parts.ports);
    this.control = CONTROL_LOOPS + loop * LOOP_WORDS;
    const { changed } = tables;
    const at = changed.byteOffset + this.first / MARK_FLOWS;
    this.marks = new Int32Array(changed.buffer, at, capacity / unit);
  }

  /** Has no packet pass in the kernel until its flow is judged by the policy of this generation. */
  setGeneration(generation: number): void {
    this.generation = generation | 0;
    this.setControl(LOOP_GENERATION, this.generation);
  }

  /** Says that the loop turns, and whether somebody wants to see packets: then none may pass unseen in the kernel. */
  beginRound(nowMs: number): void {
    this.nowMs = nowMs;
    const isWatched = (this.parts.events.wanted & (WANT_PASSES | WANT_CAPTURE)) !== 0;
    this.setControl(LOOP_IS_WATCHED, isWatched ? 1 : 0);
    this.setControl(LOOP_FENCED_FROM_MS, this.parts.fence.closesAtMs);
    this.setControl(LOOP_ALIVE_UNTIL_MS, (nowMs + this.parts.aliveMs) | 0);
  }

  /** Whether a flow has an entry in the kernel, also one that lingers. */
  isLinked(table: FlowTable, flow: FlowIndex): boolean {
    return this.linksOf(table)[flow] !== 0;
  }

  /** Takes into a flow what the kernel has seen of it. Call it before a packet of it is judged. */
  pull(table: FlowTable, flow: FlowIndex): void {
    const entry = this.linksOf(table)[flow] - 1;
    const { words } = this.kernel;
    const base = entry * FLOW_WORDS;
    const at = placeOf(table, flow);
    const seenMs = Atomics.load(words, base + FLOW_SEEN_MS);
    if (((seenMs - seenAt(table.words, at)) | 0) > 0) setSeenAt(table.words, at, seenMs);
    if ((words[base + FLOW_KIND] & 0xff) !== PROTO_TCP) return;
    const isLocalOpener = (stateWordAt(table.words, at) & OPENED_LOCALLY) !== 0;
    const local = this.sideOf(entry, flow);
    raiseSide(table.words, at, isLocalOpener, words, base + FLOW_SIDES + local * SIDE_WORDS);
    raiseSide(table.words, at, !isLocalOpener, words, base + FLOW_SIDES + (1 - local) * SIDE_WORDS);
  }

  /** Begins a packet. One before it that moved a flow at the sender's gate alone has left its gates different. */
  begin(): void {
    const { moved } = this;
    this.moved = NO_FLOW;
    if (moved === NO_FLOW || !this.isLinked(this.movedTable, moved)) return;
    this.takeBack(this.linksOf(this.movedTable)[moved] - 1);
  }

  /**
   * Notes what a gate says of a packet of a flow that `pull` was called for. The kernel is told once both have passed
   * it.
   * @param verdict of conntrack/verdicts.ts
   */
  note(table: FlowTable, flow: FlowIndex, fromLocal: boolean, verdict: number): void {
    const passes = verdict === FLOW_PASSES || verdict === FLOW_PASSES_UNCHANGED;
    if (fromLocal) {
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
    const entry = this.linksOf(table)[flow] - 1;
    const base = entry * FLOW_WORDS;
    const at = placeOf(table, flow);
    const state = stateWordAt(table.words, at);
    const isTcp = (this.kernel.words[base + FLOW_KIND] & 0xff) === PROTO_TCP;
    if (isTcp && beginsAnew(state)) {
      this.unlink(table, flow);
      return;
    }
    if (this.lingering.has(entry)) return;
    if (!(isTcp ? isPlainTcp(state) : isPlainUdp(state))) this.takeBack(entry);
    else if (isTcp) {
      const isLocalOpener = (state & OPENED_LOCALLY) !== 0;
      const local = this.sideOf(entry, flow);
      readSide(table.words, at, isLocalOpener, this.sides, local * SIDE_WORDS);
      readSide(table.words, at, !isLocalOpener, this.sides, (1 - local) * SIDE_WORDS);
      this.kernel.raiseSides(entry, this.sides);
    } else {
      // Until a packet has passed both gates they differ, and nothing passes.
      const lower = this.ownerOf(entry, 0);
      const upper = this.ownerOf(entry, 1);
      this.kernel.words[base + FLOW_FLAGS] = this.flagsOf(PROTO_UDP, table, lower, upper);
    }
    this.kernel.raiseSeen(entry, seenAt(table.words, at));
  }

  /** Whether packets between two ports can be forwarded in the kernel, one way at least. */
  joins(from: number, to: number): boolean {
    const { takesPart } = this;
    return takesPart[from] !== 0 && takesPart[to] !== 0 && takesPart[from] + takesPart[to] > 2;
  }

  /**
   * Hands a flow to the kernel, if that can forward its packets. The packet has just passed both gates, between ports
   * that `joins` says yes to.
   * @param hash of its tuple
   * @param sent the flow at the sender's gate, at port `from`
   * @param received the flow at the receiver's gate, at port `to`
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
    const links = this.linksOf(table);
    if (links[sent] !== 0 || links[received] !== 0 || packet.fragment !== FRAGMENT_NONE) return;
    const isLower = isLowerEnd(packet);
    const lower = isLower ? sent : received;
    const upper = isLower ? received : sent;
    const flags = this.flagsOf(packet.protocol, table, lower, upper);
    if (flags === 0 || isDhcp(packet)) return;
    const entry = this.kernel.take();
    if (entry === NO_ENTRY) {
      this.refused++;
      return;
    }
    const places = isLower ? (from << 16) | to : (to << 16) | from;
    this.kernel.fill(entry, packet, isLower, flags, places, this.sides);
    this.kernel.setGeneration(entry, this.generation);
    this.kernel.setSeen(entry, this.nowMs);
    this.owners[2 * (entry - this.first)] = lower;
    this.owners[2 * (entry - this.first) + 1] = upper;
    this.setTimeout(entry, table);
    if (!this.kernel.place(entry, hash)) {
      this.forgetOwners(entry);
      this.kernel.giveBack(entry);
      this.refused++;
      return;
    }
    links[lower] = entry + 1;
    links[upper] = entry + 1;
    this.count++;
    this.offered++;
  }

  /** Takes in what the kernel knows of a flow, for the last time, and takes its entry back. */
  unlink(table: FlowTable, flow: FlowIndex): void {
    const links = this.linksOf(table);
    const entry = links[flow] - 1;
    this.harvest(entry);
    this.takeBack(entry);
    this.owners[2 * (entry - this.first) + this.sideOf(entry, flow)] = NO_FLOW;
    links[flow] = 0;
  }

  /** Lets a flow pass in the kernel again that the policy in force has just admitted at one of its gates. */
  renew(table: FlowTable, flow: FlowIndex): void {
    const entry = this.linksOf(table)[flow] - 1;
    const lower = this.ownerOf(entry, 0);
    const upper = this.ownerOf(entry, 1);
    if (lower === NO_FLOW || upper === NO_FLOW) return;
    const wanted = wrapGeneration(this.generation);
    if (generationIn(ruleWordOf(table, lower)) !== wanted) return;
    if (generationIn(ruleWordOf(table, upper)) !== wanted) return;
    this.setTimeout(entry, table);
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
    this.freeLingering();
    gauges[GAUGE_OFFLOADED] = this.count;
    gauges[GAUGE_OFFERED] = this.offered;
    gauges[GAUGE_OFFLOAD_REFUSED] = this.refused;
    gauges[GAUGE_OFFLOADED_PACKETS] = this.packets;
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
    const { ports } = this.parts.tables;
    const at = port * PORT_WORDS;
    if (this.takesPart[port] !== 0 && ports[at + PORT_IFINDEX] !== ifindex)
      for (let entry = this.first; entry < this.end; entry++)
        if (this.isOfPort(entry, port)) this.takeBack(entry);
    this.takesPart[port] = ifindex === 0 ? 0 : isPair ? 2 : 1;
    ports[at + PORT_IS_PAIR] = isPair ? 1 : 0;
    ports[at + PORT_MTU] = mtu;
    ports[at + PORT_IFINDEX] = ifindex;
  }

  /** Notes the MAC address of a port's instance. Frames from another come to the loop. */
  setMac(port: number, high: number, low: number): void {
    if (this.takesPart[port] === 0) return;
    const { ports } = this.parts.tables;
    ports[port * PORT_WORDS + PORT_MAC_HIGH] = high;
    ports[port * PORT_WORDS + PORT_MAC_LOW] = low;
  }

  private setControl(word: number, value: number): void {
    Atomics.store(this.parts.tables.control, this.control + word, value);
  }

  private linksOf(table: FlowTable): Int32Array {
    return table === this.parts.flows4 ? this.links4 : this.links6;
  }

  private ownerOf(entry: number, side: number): FlowIndex {
    return this.owners[2 * (entry - this.first) + side];
  }

  /** Whose gate a flow of an entry is at: 0 the lower end's, 1 the upper end's. */
  private sideOf(entry: number, flow: FlowIndex): number {
    return this.ownerOf(entry, 0) === flow ? 0 : 1;
  }

  private tableOf(entry: number): FlowTable {
    const family = this.kernel.words[entry * FLOW_WORDS + FLOW_KIND] >>> 8;
    return family === 4 ? this.parts.flows4 : this.parts.flows6;
  }

  private isOfPort(entry: number, port: number): boolean {
    const slot = 2 * (entry - this.first);
    if (this.owners[slot] === NO_FLOW && this.owners[slot + 1] === NO_FLOW) return false;
    const places = this.kernel.words[entry * FLOW_WORDS + FLOW_PLACES];
    return places >>> 16 === port || (places & 0xffff) === port;
  }

  /** Flags of a flow; 0 if it stays with the loop. Leaves what the sides of TCP have said in `sides`. */
  private flagsOf(protocol: number, table: FlowTable, lower: FlowIndex, upper: FlowIndex): number {
    if (lower === NO_FLOW || upper === NO_FLOW) return 0;
    if (protocol === PROTO_TCP) return tcpFlags(table, lower, upper, this.sides);
    return protocol === PROTO_UDP ? udpFlags(table, lower, upper) : 0;
  }

  /** Sets how long a flow may be idle: the shorter time of its two gates. */
  private setTimeout(entry: number, table: FlowTable): void {
    const lower = this.timeoutOf(table, this.ownerOf(entry, 0));
    const upper = this.timeoutOf(table, this.ownerOf(entry, 1));
    this.kernel.words[entry * FLOW_WORDS + FLOW_TIMEOUT_MS] = lower < upper ? lower : upper;
  }

  private timeoutOf(table: FlowTable, flow: FlowIndex): number {
    const state = timeoutState(stateWordOf(table, flow));
    return this.parts.timeoutsMs[portOf(table, flow) * STATE_COUNT + state];
  }

  /** Has the loop get all packets of an entry again. What programs still add to it is taken in until it is freed. */
  private takeBack(entry: number): void {
    if (this.lingering.has(entry)) return;
    this.kernel.displace(entry);
    this.lingering.add(entry, this.nowMs);
    this.count--;
  }

  private freeLingering(): void {
    for (;;) {
      const entry = this.lingering.take(this.nowMs);
      if (entry === NO_ENTRY) return;
      this.harvest(entry);
      this.forgetOwners(entry);
      this.kernel.giveBack(entry);
    }
  }

  private forgetOwners(entry: number): void {
    const links = this.linksOf(this.tableOf(entry));
    for (let side = 0; side < 2; side++) {
      const flow = this.ownerOf(entry, side);
      if (flow !== NO_FLOW) links[flow] = 0;
      this.owners[2 * (entry - this.first) + side] = NO_FLOW;
    }
  }

  /** Takes in what the kernel has seen and counted of an entry. */
  private harvest(entry: number): void {
    const lower = this.ownerOf(entry, 0);
    const upper = this.ownerOf(entry, 1);
    if (lower === NO_FLOW && upper === NO_FLOW) return;
    const table = this.tableOf(entry);
    if (lower !== NO_FLOW) this.pull(table, lower);
    if (upper !== NO_FLOW) this.pull(table, upper);
    if (lower !== NO_FLOW && upper !== NO_FLOW) this.setTimeout(entry, table);
    const places = this.kernel.words[entry * FLOW_WORDS + FLOW_PLACES];
    this.collect(entry, 0, table, lower, places >>> 16, upper, places & 0xffff);
    this.collect(entry, 1, table, upper, places & 0xffff, lower, places >>> 16);
  }

  /** Counts what one side has sent since it was last counted. */
  private collect(
    entry: number,
    side: number,
    table: FlowTable,
    sent: FlowIndex,
    from: number,
    received: FlowIndex,
    to: number,
  ): void {
    const { words } = this.kernel;
    const base = entry * FLOW_WORDS;
    const packets = Atomics.exchange(words, base + FLOW_PACKETS + side, 0) >>> 0;
    if (packets === 0) return;
    const bytes = Atomics.exchange(words, base + FLOW_BYTES + side, 0) >>> 0;
    this.packets += packets;
    const { counters, events, flows4, accounts4, accounts6 } = this.parts;
    count(counters, from, EGRESS, PASS, packets, bytes);
    count(counters, to, INGRESS, PASS, packets, bytes);
    const accounts = table === flows4 ? accounts4 : accounts6;
    if (accounts === null) return;
    const { nowMs } = this;
    const { interval } = events;
    if (sent !== NO_FLOW) accounts.add(sent, true, packets, bytes, 0, interval, nowMs);
    if (received !== NO_FLOW) accounts.add(received, false, packets, bytes, 0, interval, nowMs);
  }
}
