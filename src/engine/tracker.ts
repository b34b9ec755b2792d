/**
 * The flows the gates know: found, opened, moved on, given up and forgotten, within their limits.
 *
 * Theory of operation
 *
 * Limits. `maxFlows` for both families together, a limit for each interface where one is set, and a
 * budget for flows that nobody has answered (conntrack/half-open.ts). What does not fit makes room for
 * itself in this order: entries past their time-out, as far as a short look finds them; the oldest
 * half-open flow (of that interface, if its limit is what is reached). If that is not enough, the flow is
 * refused. An established flow is never given up for a new one.
 *
 * Time. A flow past its time-out counts as absent from that moment; the sweep frees it, a bounded number
 * of entries a tick. A TCP connection that was picked up in mid-stream and never answered has the
 * time-out of an opening: otherwise a flood of ACKs would fill the table for five days.
 */
import { FlowAccounts } from '../conntrack/accounts.ts';
import { HalfOpenQueue, isHalfOpen } from '../conntrack/half-open.ts';
import {
  REPLIED,
  STATE_COUNT,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_SYN_SENT,
} from '../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  KEY_WORDS_6,
  NO_FLOW,
  type FlowIndex,
  type FlowTable,
} from '../conntrack/table.ts';
import { advanceFlow, openFlow, revokedState } from '../conntrack/track.ts';
import { FLOW_IS_REVOKED, FLOW_PASSES } from '../conntrack/verdicts.ts';
import { PROTO_TCP } from '../wire/fields.ts';
import { ICMP_QUERY, ICMP_REPLY, type Packet } from '../wire/packet.ts';
import {
  ENDED_BY_EVICTION,
  ENDED_BY_REVOCATION,
  ENDED_BY_TIMEOUT,
  EVENT_FLOW_ENDED,
  EVENT_FLOW_OPENED,
  WANT_FLOWS,
  type EventRing,
} from './events.ts';

/** Entries looked at to make room when a limit is reached, before anything is given up. */
const SWEEP_WHEN_FULL = 16;

/** Half-open flows looked at to find one of an interface that is at its own limit. */
const LOOK_FOR_OWN = 64;

export interface TrackerOptions {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
  /** Flows of both families together that may be tracked at once. */
  readonly maxFlows: number;
  /** How many of them may be half-open. */
  readonly maxHalfOpen: number;
  /** By port: how many of them its interface may have; 0: as many as there are. */
  readonly maxFlowsByPort: Int32Array;
  /** Drop TCP packets outside the window of their connection. */
  readonly checksWindow: boolean;
  /** Told of flows that open and end. */
  readonly events: EventRing;
  /** accountBytes(capacity) for each table; null: flows are not accounted. */
  readonly accounts4: SharedArrayBuffer | null;
  readonly accounts6: SharedArrayBuffer | null;
}

export class Tracker {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** Half-open flows that were given up for others, since the start. */
  evictedFlows = 0;
  /** Flows that are half-open now. */
  halfOpenFlows = 0;
  readonly accounts4: FlowAccounts | null;
  readonly accounts6: FlowAccounts | null;
  private readonly events: EventRing;
  private readonly flowsByPort: Int32Array;
  private readonly options: TrackerOptions;
  private readonly halfOpen: HalfOpenQueue;
  private readonly key4 = new Int32Array(KEY_WORDS_4);
  private readonly key6 = new Int32Array(KEY_WORDS_6);
  /** What `aim` was called for. */
  private table: FlowTable;
  private key: Int32Array;
  private port = 0;

  constructor(options: TrackerOptions) {
    this.options = options;
    this.flows4 = options.flows4;
    this.flows6 = options.flows6;
    this.table = options.flows4;
    this.key = this.key4;
    this.events = options.events;
    this.accounts4 = options.accounts4 === null ? null : new FlowAccounts(options.accounts4);
    this.accounts6 = options.accounts6 === null ? null : new FlowAccounts(options.accounts6);
    this.flowsByPort = new Int32Array(options.maxFlowsByPort.length);
    this.halfOpen = new HalfOpenQueue(options.flows4, options.flows6, options.maxHalfOpen);
  }

  /** The table of the flow that was aimed at. */
  get aimedTable(): FlowTable {
    return this.table;
  }

  /** Sets the flow that `find` and `open` are about: the packet's, as the interface at `port` sees it. */
  aim(packet: Packet, port: number, fromLocal: boolean): void {
    const localPort = fromLocal ? packet.srcPort : packet.dstPort;
    const remotePort = fromLocal ? packet.dstPort : packet.srcPort;
    const role = asksFromLocal(packet, fromLocal) ? 1 << 8 : 0;
    const isIpv4 = packet.family === 4;
    const key = isIpv4 ? this.key4 : this.key6;
    this.table = isIpv4 ? this.flows4 : this.flows6;
    this.key = key;
    this.port = port;
    key[KEY_META] = (port << 16) | role | packet.protocol;
    key[KEY_PORTS] = (localPort << 16) | remotePort;
    if (isIpv4) {
      key[KEY_ADDRESSES] = fromLocal ? packet.src0 : packet.dst0;
      key[KEY_ADDRESSES + 1] = fromLocal ? packet.dst0 : packet.src0;
      return;
    }
    const source = fromLocal ? KEY_ADDRESSES : KEY_ADDRESSES + 4;
    const destination = fromLocal ? KEY_ADDRESSES + 4 : KEY_ADDRESSES;
    key[source] = packet.src0;
    key[source + 1] = packet.src1;
    key[source + 2] = packet.src2;
    key[source + 3] = packet.src3;
    key[destination] = packet.dst0;
    key[destination + 1] = packet.dst1;
    key[destination + 2] = packet.dst2;
    key[destination + 3] = packet.dst3;
  }

  /** The flow aimed at, or NO_FLOW; one past its time-out is freed. */
  find(nowMs: number): FlowIndex {
    const flow = this.table.find(this.key);
    if (flow === NO_FLOW || !this.isExpired(this.table, flow, nowMs)) return flow;
    this.remove(this.table, flow, ENDED_BY_TIMEOUT);
    return NO_FLOW;
  }

  /** Frees an entry that is in use and past its time-out. @returns whether it was */
  freeExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    const state = table.words[flow * table.stride + table.keyWords + FLOW_STATE] & STATE_MASK;
    if (state === 0 || !this.isExpired(table, flow, nowMs)) return false;
    this.remove(table, flow, ENDED_BY_TIMEOUT);
    return true;
  }

  /**
   * Tracks the flow aimed at, which must not be tracked yet, from its first packet on.
   * @param rule the FLOW_RULE word
   * @returns the flow, or NO_FLOW if there was no room
   */
  open(packet: Packet, rule: number, fromLocal: boolean, nowMs: number): FlowIndex {
    if (!this.hasRoom() && !this.makeRoom(nowMs)) return NO_FLOW;
    const { table, events } = this;
    const flow = table.insert(this.key);
    if (flow === NO_FLOW) return NO_FLOW;
    const { words } = table;
    const at = flow * table.stride + table.keyWords;
    openFlow(words, at, packet, fromLocal, this.options.checksWindow);
    words[at + FLOW_SEEN] = nowMs;
    words[at + FLOW_RULE] = rule;
    this.flowsByPort[this.port]++;
    const accounts = this.accountsOf(table);
    if (accounts !== null) accounts.open(flow, events.interval, nowMs);
    if ((events.wanted & WANT_FLOWS) !== 0)
      events.tellFlow(EVENT_FLOW_OPENED, 0, table, flow, accounts);
    this.noteHalfOpen(table, flow);
    return flow;
  }

  /** Counts a flow among those tracked that is in its table already: one restored from before a restart. */
  adopt(table: FlowTable, flow: FlowIndex): void {
    const base = flow * table.stride;
    this.flowsByPort[table.words[base + KEY_META] >>> 16]++;
    if (isHalfOpen(table.words[base + table.keyWords + FLOW_STATE])) this.noteHalfOpen(table, flow);
  }

  accountsOf(table: FlowTable): FlowAccounts | null {
    return table === this.flows4 ? this.accounts4 : this.accounts6;
  }

  /** Moves a flow of the table aimed at by a packet, and renews its time if the packet keeps it alive. @returns the verdict */
  advance(flow: FlowIndex, packet: Packet, fromLocal: boolean, nowMs: number): number {
    const { table } = this;
    const { words } = table;
    const at = flow * table.stride + table.keyWords;
    const before = words[at + FLOW_STATE];
    const verdict = advanceFlow(words, at, packet, fromLocal);
    const after = words[at + FLOW_STATE];
    const state = after & STATE_MASK;
    // A closing connection lives by the moment it closed: packets of the dead don't keep it in the table.
    // A revoked one is kept for as long as something would bring it back.
    const isEnding = state === TCP_CLOSING || state === TCP_CLOSED;
    const isMoved = (before & STATE_MASK) !== state;
    if (verdict === FLOW_IS_REVOKED || (verdict === FLOW_PASSES && (isMoved || !isEnding))) {
      words[at + FLOW_SEEN] = nowMs;
    }
    if (before !== after) this.noteChange(table, flow, before);
    return verdict;
  }

  /** Ends a flow that rules no longer admit. @returns whether its entry is still in use */
  revoke(table: FlowTable, flow: FlowIndex, isPortGone: boolean): boolean {
    if (isPortGone || (table.words[flow * table.stride + KEY_META] & 0xff) !== PROTO_TCP) {
      this.remove(table, flow, ENDED_BY_REVOCATION);
      return false;
    }
    // A TCP connection stays in the table as revoked: with its entry gone, the next packet of the side
    // that rules still let out would bring it back as one picked up in mid-stream.
    const at = flow * table.stride + table.keyWords;
    const before = table.words[at + FLOW_STATE];
    table.words[at + FLOW_STATE] = revokedState(before);
    this.noteChange(table, flow, before);
    return true;
  }

  /** @param why ENDED_BY_… of events.ts */
  remove(table: FlowTable, flow: FlowIndex, why: number): void {
    const { events } = this;
    if ((events.wanted & WANT_FLOWS) !== 0)
      events.tellFlow(EVENT_FLOW_ENDED, why, table, flow, this.accountsOf(table));
    const base = flow * table.stride;
    if (isHalfOpen(table.words[base + table.keyWords + FLOW_STATE])) this.halfOpenFlows--;
    this.flowsByPort[table.words[base + KEY_META] >>> 16]--;
    table.remove(flow);
  }

  /** Looks at `entries` entries of each table and frees those past their time-out. Bounded work, called every tick. */
  sweep(entries: number, nowMs: number): void {
    this.sweepTable(this.flows4, entries, nowMs);
    this.sweepTable(this.flows6, entries, nowMs);
  }

  private sweepTable(table: FlowTable, entries: number, nowMs: number): void {
    const looks = entries < table.highWater ? entries : table.highWater;
    for (let i = 0; i < looks; i++) {
      const flow = table.nextToSweep();
      if (flow !== NO_FLOW && this.isExpired(table, flow, nowMs))
        this.remove(table, flow, ENDED_BY_TIMEOUT);
    }
  }

  private isExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    const { words } = table;
    const base = flow * table.stride;
    const at = base + table.keyWords;
    const word = words[at + FLOW_STATE];
    const state = word & STATE_MASK;
    const isPickedUp = state === TCP_ESTABLISHED && (word & REPLIED) === 0;
    const timeout =
      (words[base + KEY_META] >>> 16) * STATE_COUNT + (isPickedUp ? TCP_SYN_SENT : state);
    return ((nowMs - words[at + FLOW_SEEN]) | 0) > this.options.timeoutsMs[timeout];
  }

  private hasRoom(): boolean {
    const { maxFlows, maxHalfOpen, maxFlowsByPort } = this.options;
    const ofPort = maxFlowsByPort[this.port];
    return (
      this.flows4.count + this.flows6.count < maxFlows &&
      this.halfOpenFlows < maxHalfOpen &&
      (ofPort === 0 || this.flowsByPort[this.port] < ofPort)
    );
  }

  private makeRoom(nowMs: number): boolean {
    this.sweep(SWEEP_WHEN_FULL, nowMs);
    const { maxFlows, maxHalfOpen, maxFlowsByPort } = this.options;
    const ofPort = maxFlowsByPort[this.port];
    if (
      ofPort !== 0 &&
      this.flowsByPort[this.port] >= ofPort &&
      this.halfOpen.findOf(this.port, LOOK_FOR_OWN)
    ) {
      this.evict();
    }
    if (this.halfOpenFlows >= maxHalfOpen || this.flows4.count + this.flows6.count >= maxFlows)
      this.evictOldest();
    return this.hasRoom();
  }

  private evictOldest(): void {
    const queue = this.halfOpen;
    while (!queue.isEmpty) {
      if (!queue.shift()) continue;
      this.evict();
      return;
    }
  }

  /** Gives up the flow that the queue found. */
  private evict(): void {
    this.remove(this.halfOpen.foundTable, this.halfOpen.foundFlow, ENDED_BY_EVICTION);
    this.evictedFlows++;
  }

  /** Counts a flow that has become half-open, and queues it. */
  private noteHalfOpen(table: FlowTable, flow: FlowIndex): void {
    const queue = this.halfOpen;
    this.halfOpenFlows++;
    if (queue.isFull && queue.shift()) this.evict();
    queue.push(table, flow);
  }

  private noteChange(table: FlowTable, flow: FlowIndex, before: number): void {
    const after = table.words[flow * table.stride + table.keyWords + FLOW_STATE];
    const was = isHalfOpen(before);
    const is = isHalfOpen(after);
    if (was && !is) this.halfOpenFlows--;
    if (is && !was) this.noteHalfOpen(table, flow);
  }
}

/** The role bit of an ICMP flow: whether the local side asks. Two hosts may ask each other under one identifier. */
function asksFromLocal(packet: Packet, fromLocal: boolean): boolean {
  if (packet.icmpKind === ICMP_QUERY) return fromLocal;
  return packet.icmpKind === ICMP_REPLY && !fromLocal;
}
