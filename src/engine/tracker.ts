/**
 * The flows the gates know: found, opened, moved on, given up and forgotten, within their limits.
 *
 * Theory of operation
 *
 * Limits. flow-limits.ts says how many flows there may be, and which gives way to another. Before that, entries
 * past their time-out go, as far as a short look finds them. An established flow is never given up for a
 * new one.
 *
 * Time. A flow past its time-out counts as absent from that moment; the sweep frees it, a bounded number
 * of entries a tick. A TCP connection that was picked up in mid-stream and never answered has the
 * time-out of an opening: otherwise a flood of ACKs would fill the table for five days.
 */
import { FlowAccounts } from '../conntrack/accounts.ts';
import type { TupleHash } from '../conntrack/flow-hash.ts';
import { stateWord } from '../conntrack/half-open.ts';
import {
  OPENED_LOCALLY,
  STATE_COUNT,
  STATE_MASK,
  TCP_REVOKED,
  timeoutState,
} from '../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_META,
  KEY_WORDS_4,
  KEY_WORDS_6,
  NO_FLOW,
  type FlowIndex,
  type FlowTable,
} from '../conntrack/table.ts';
import { takeAdmitted } from '../conntrack/tcp-handshake.ts';
import { advanceFlow, isEnding, judgeUnmoved, openFlow, revokedState } from '../conntrack/track.ts';
import { OPENER_LOCAL, OPENER_UNKNOWN, UdpOpeners } from '../conntrack/udp-openers.ts';
import { FLOW_PASSES } from '../conntrack/verdicts.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { PROTO_UDP } from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import { EGRESS } from './counters.ts';
import {
  ENDED_BY_EVICTION,
  ENDED_BY_REVOCATION,
  ENDED_BY_TIMEOUT,
  EVENT_FLOW_ENDED,
  EVENT_FLOW_OPENED,
  WANT_FLOWS,
  type EventRing,
} from './events.ts';
import { metaOf, writeKey } from './flow-key.ts';
import { FlowLimits, GIVE_UP, ROOM, type LimitOptions } from './flow-limits.ts';
import { GENERATION_MASK, RULE_BITS } from './revocation.ts';

/** Answers of `follow` beside the verdicts of verdicts.ts. */
export const FLOW_IS_UNKNOWN = -1;
export const FLOW_IS_STALE = -2;

/** Entries looked at to make room when a limit is reached, before anything is given up. */
const SWEEP_WHEN_FULL = 16;

/** Flows given up for one at most: for its place, for its place in the budget, and to get back below a limit. */
const GIVE_UP_MOST = 3;

export interface TrackerOptions extends LimitOptions {
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
  /** Drop TCP packets outside the window of their connection. */
  readonly checksWindow: boolean;
  /** Told of flows that open and end. */
  readonly events: EventRing;
  /** accountBytes(capacity) for each table; null: flows are not accounted. */
  readonly accounts4: SharedArrayBuffer | null;
  readonly accounts6: SharedArrayBuffer | null;
}

/**
 * What `follow` found last at gates of one direction, for packets of the tuple that `begin` was told of. As long as
 * the table's `changes` stays, so does the answer.
 */
class Memory {
  flow: FlowIndex = NO_FLOW;
  /** Of the flow's first state word. */
  at = 0;
  changes = 0;
}

export class Tracker {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** Half-open flows that were given up for others, since the start. */
  evictedFlows = 0;
  /** The same, of revoked ones. */
  evictedRevoked = 0;
  /** Flows that were opened since the start. */
  openedFlows = 0;
  readonly accounts4: FlowAccounts | null;
  readonly accounts6: FlowAccounts | null;
  private readonly events: EventRing;
  private readonly options: TrackerOptions;
  private readonly timeoutsMs: Int32Array;
  private readonly limits: FlowLimits;
  private readonly udpOpeners = new UdpOpeners();
  private readonly key4 = new Int32Array(KEY_WORDS_4);
  private readonly key6 = new Int32Array(KEY_WORDS_6);
  /** Hash of the packet's tuple, as begin was told. */
  private hash = 0;
  private readonly atEgress = new Memory();
  private readonly atIngress = new Memory();
  /** The flow that `follow` answered for, and its FLOW_RULE word. */
  followed: FlowIndex = NO_FLOW;
  followedRule = 0;
  /** Of the policy in force, modulo 4096: flows that carry another have to be held against it first. */
  generation = 0;
  /** What `aim` was called for. */
  private table: FlowTable;
  private key: Int32Array;
  private port = 0;

  constructor(options: TrackerOptions) {
    this.options = options;
    this.timeoutsMs = options.timeoutsMs;
    this.flows4 = options.flows4;
    this.flows6 = options.flows6;
    this.table = options.flows4;
    this.key = this.key4;
    this.events = options.events;
    this.accounts4 = options.accounts4 === null ? null : new FlowAccounts(options.accounts4);
    this.accounts6 = options.accounts6 === null ? null : new FlowAccounts(options.accounts6);
    this.limits = new FlowLimits(options);
  }

  /** Flows that are half-open now. */
  get halfOpenFlows(): number {
    return this.limits.halfOpenFlows;
  }

  /** Takes over a policy's ports and generation; flows that carry another generation have to be held against it. */
  setPolicy(policy: CompiledPolicy): void {
    this.generation = policy.generation & GENERATION_MASK;
    this.limits.setPorts(policy.profiles);
  }

  /** Hashes packets for `begin`. */
  get tupleHash(): TupleHash {
    return this.flows4.tupleHash;
  }

  /**
   * Before the gates are asked about a packet.
   * @param hash of its tuple
   * @param isRepeat its tuple is that of the packet before, and so are the gates it passes
   */
  begin(hash: number, isRepeat: boolean): void {
    this.hash = hash;
    if (isRepeat) return;
    this.atEgress.flow = NO_FLOW;
    this.atIngress.flow = NO_FLOW;
  }

  /** The table of the flow that was aimed at, or that `follow` found stale. */
  get aimedTable(): FlowTable {
    return this.table;
  }

  /** Sets the flow that `find` and `open` are about: the packet's, as the interface at `port` sees it. */
  aim(packet: Packet, port: number, fromLocal: boolean): void {
    const isIpv4 = packet.family === 4;
    const key = isIpv4 ? this.key4 : this.key6;
    this.table = isIpv4 ? this.flows4 : this.flows6;
    this.key = key;
    this.port = port;
    writeKey(key, packet, port, fromLocal);
  }

  /**
   * Finds the flow of the packet that `begin` was called for, moves it by the packet, and renews its time if the
   * packet keeps it alive. One past its time-out is freed. `followed` is the flow.
   * @param direction of the gate: EGRESS or INGRESS
   * @param isOdd it may not move a TCP connection
   * @returns a verdict of verdicts.ts; FLOW_IS_STALE if the flow has to be held against the policy first, and
   *   nothing was done; FLOW_IS_UNKNOWN if there is none, and then it is aimed at, so that `open` may be called
   */
  follow(packet: Packet, port: number, direction: number, isOdd: boolean, nowMs: number): number {
    const fromLocal = direction === EGRESS;
    const table = packet.family === 4 ? this.flows4 : this.flows6;
    const { changes, words } = table;
    const memory = fromLocal ? this.atEgress : this.atIngress;
    if (memory.flow === NO_FLOW || memory.changes !== changes) {
      const found = this.look(table, packet, port, fromLocal);
      memory.flow = found;
      if (found === NO_FLOW) {
        this.aim(packet, port, fromLocal);
        return FLOW_IS_UNKNOWN;
      }
      memory.at = found * table.stride + table.keyWords;
      memory.changes = changes;
    }
    const { flow, at } = memory;
    const before = words[at + FLOW_STATE];
    if (this.isPast(before, words[at + FLOW_SEEN], port, nowMs)) {
      this.remove(table, flow, ENDED_BY_TIMEOUT);
      this.aim(packet, port, fromLocal);
      return FLOW_IS_UNKNOWN;
    }
    const rule = words[at + FLOW_RULE];
    this.followed = flow;
    this.followedRule = rule;
    if (rule >>> RULE_BITS !== this.generation) {
      this.table = table;
      return FLOW_IS_STALE;
    }
    if (isOdd) return judgeUnmoved(before);
    const verdict = advanceFlow(words, at, before, packet, fromLocal);
    const after = words[at + FLOW_STATE];
    // A closing connection lives by the moment it closed: packets of the dead don't keep it in the table.
    // A revoked flow is kept for as long as something would bring it back.
    const isMoved = ((before ^ after) & STATE_MASK) !== 0;
    if (
      verdict === FLOW_PASSES ? isMoved || !isEnding(after) : (before & STATE_MASK) === TCP_REVOKED
    )
      words[at + FLOW_SEEN] = nowMs;
    if (before !== after) this.limits.change(table, flow, before);
    return verdict;
  }

  /**
   * Moves the flow that `follow` said FLOW_ASKS_RULES about, now that the rules have admitted the packet.
   * @param rule the FLOW_RULE word of what they admit
   */
  take(packet: Packet, direction: number, rule: number, nowMs: number): void {
    const fromLocal = direction === EGRESS;
    const table = packet.family === 4 ? this.flows4 : this.flows6;
    const { words } = table;
    const { flow, at } = fromLocal ? this.atEgress : this.atIngress;
    const before = words[at + FLOW_STATE];
    if (takeAdmitted(words, at, packet, fromLocal) === FLOW_PASSES) words[at + FLOW_SEEN] = nowMs;
    const after = words[at + FLOW_STATE];
    // A flow goes by the rule that admits its opener's packets.
    if (((after & OPENED_LOCALLY) !== 0) === fromLocal) words[at + FLOW_RULE] = rule;
    if (before !== after) this.limits.change(table, flow, before);
  }

  /** The flow of the packet that `begin` was called for, past its time-out or not; NO_FLOW if there is none. */
  private look(table: FlowTable, packet: Packet, port: number, fromLocal: boolean): FlowIndex {
    if (packet.family === 4) {
      const { src0, dst0, srcPort, dstPort } = packet;
      const meta = metaOf(packet, port, fromLocal);
      return fromLocal
        ? table.findHashed4(meta, (srcPort << 16) | dstPort, src0, dst0, this.hash)
        : table.findHashed4(meta, (dstPort << 16) | srcPort, dst0, src0, this.hash);
    }
    this.aim(packet, port, fromLocal);
    return table.findHashed(this.key, this.hash);
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
    if (!this.limits.hasRoom(this.port, nowMs) && !this.makeRoom(fromLocal, nowMs)) return NO_FLOW;
    const { table, events } = this;
    const flow = table.insertHashed(this.key, this.hash);
    if (flow === NO_FLOW) return NO_FLOW;
    const { words } = table;
    const at = flow * table.stride + table.keyWords;
    openFlow(words, at, packet, fromLocal, this.options.checksWindow);
    words[at + FLOW_SEEN] = nowMs;
    words[at + FLOW_RULE] = rule;
    this.limits.add(table, flow);
    this.openedFlows++;
    if (packet.protocol === PROTO_UDP) this.udpOpeners.forget(this.hash, this.port);
    const accounts = this.accountsOf(table);
    if (accounts !== null) accounts.open(flow, events.interval, nowMs);
    if ((events.wanted & WANT_FLOWS) !== 0)
      events.tellFlow(EVENT_FLOW_OPENED, 0, table, flow, accounts);
    return flow;
  }

  /**
   * Takes down who opened an untracked UDP flow, for the packet that `begin` was called for.
   * @param isNew it opens it anew
   */
  noteUntracked(port: number, fromLocal: boolean, isNew: boolean, nowMs: number): void {
    this.udpOpeners.note(this.hash, port, fromLocal, isNew, this.revokedMs(port), nowMs);
  }

  /** Whether the packet that `begin` was called for answers a UDP flow that was untracked. */
  isAnswer(port: number, fromLocal: boolean, nowMs: number): boolean {
    const opener = this.udpOpeners.ask(this.hash, port, this.revokedMs(port), nowMs);
    return opener !== OPENER_UNKNOWN && (opener === OPENER_LOCAL) !== fromLocal;
  }

  /**
   * Remembers the flow aimed at, which the other side opened while it was untracked, as revoked. It makes nobody give way: where
   * there is no room, what is known of the flow without an entry has to do.
   */
  openRevoked(packet: Packet, rule: number, fromLocal: boolean, nowMs: number): void {
    const { table, limits, port } = this;
    if (!limits.hasRoom(port, nowMs)) this.sweep(SWEEP_WHEN_FULL, nowMs);
    if (!limits.hasRoom(port, nowMs)) return;
    const flow = table.insertHashed(this.key, this.hash);
    if (flow === NO_FLOW) return;
    const at = flow * table.stride + table.keyWords;
    openFlow(table.words, at, packet, !fromLocal, this.options.checksWindow);
    table.words[at + FLOW_STATE] = revokedState(table.words[at + FLOW_STATE]);
    table.words[at + FLOW_SEEN] = nowMs;
    table.words[at + FLOW_RULE] = rule;
    limits.add(table, flow);
    const accounts = this.accountsOf(table);
    if (accounts !== null) accounts.open(flow, this.events.interval, nowMs);
  }

  /** How long revoked flows of a port are remembered. */
  private revokedMs(port: number): number {
    return this.timeoutsMs[port * STATE_COUNT + TCP_REVOKED];
  }

  /** Counts a flow among those tracked that is in its table already: one restored from before a restart. */
  adopt(table: FlowTable, flow: FlowIndex): void {
    this.limits.add(table, flow);
  }

  accountsOf(table: FlowTable): FlowAccounts | null {
    return table === this.flows4 ? this.accounts4 : this.accounts6;
  }

  /** Ends a flow that rules no longer admit. @returns whether its entry is still in use */
  revoke(table: FlowTable, flow: FlowIndex, isPortGone: boolean, nowMs: number): boolean {
    if (isPortGone) {
      this.remove(table, flow, ENDED_BY_REVOCATION);
      return false;
    }
    // It stays in the table as revoked: with its entry gone, the next packet of the side that rules still let out
    // would open it again, and the other side's would pass as answers.
    const at = flow * table.stride + table.keyWords;
    const before = table.words[at + FLOW_STATE];
    table.words[at + FLOW_STATE] = revokedState(before);
    // From now on, not since its last packet: one that was idle for longer would be gone, and come back like that.
    table.words[at + FLOW_SEEN] = nowMs;
    this.limits.change(table, flow, before);
    return true;
  }

  /** @param why ENDED_BY_… of events.ts */
  remove(table: FlowTable, flow: FlowIndex, why: number): void {
    const { events } = this;
    if ((events.wanted & WANT_FLOWS) !== 0)
      events.tellFlow(EVENT_FLOW_ENDED, why, table, flow, this.accountsOf(table));
    this.limits.remove(table, flow);
    table.remove(flow);
  }

  /**
   * Looks at `entries` entries of each table and frees those past their time-out. Bounded work, called every tick.
   * @returns how many were freed
   */
  sweep(entries: number, nowMs: number): number {
    return (
      this.sweepTable(this.flows4, entries, nowMs) + this.sweepTable(this.flows6, entries, nowMs)
    );
  }

  private sweepTable(table: FlowTable, entries: number, nowMs: number): number {
    const looks = entries < table.highWater ? entries : table.highWater;
    let freed = 0;
    for (let i = 0; i < looks; i++) {
      const flow = table.nextToSweep();
      if (flow === NO_FLOW || !this.isExpired(table, flow, nowMs)) continue;
      this.remove(table, flow, ENDED_BY_TIMEOUT);
      freed++;
    }
    return freed;
  }

  private isExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    const { words } = table;
    const base = flow * table.stride;
    const at = base + table.keyWords;
    return this.isPast(
      words[at + FLOW_STATE],
      words[at + FLOW_SEEN],
      words[base + KEY_META] >>> 16,
      nowMs,
    );
  }

  /** Whether a flow of `port` is past its time-out, by its FLOW_STATE and FLOW_SEEN words. */
  private isPast(state: number, seenMs: number, port: number, nowMs: number): boolean {
    return ((nowMs - seenMs) | 0) > this.timeoutsMs[port * STATE_COUNT + timeoutState(state)];
  }

  /** Makes room for the flow aimed at. @returns whether there is some now */
  private makeRoom(fromLocal: boolean, nowMs: number): boolean {
    const { limits, port } = this;
    this.sweep(SWEEP_WHEN_FULL, nowMs);
    if (limits.hasRoom(port, nowMs)) return true;
    for (let given = 0; given < GIVE_UP_MOST; given++) {
      const answer = limits.askFor(port, fromLocal, given > 0, nowMs);
      if (answer !== GIVE_UP) return answer === ROOM;
      const { foundTable, foundFlow } = limits.lines;
      if ((stateWord(foundTable, foundFlow) & STATE_MASK) === TCP_REVOKED) this.evictedRevoked++;
      else this.evictedFlows++;
      this.remove(foundTable, foundFlow, ENDED_BY_EVICTION);
    }
    // The budget may be exceeded by connections that an odd handshake made half-open again: it is got back to in steps.
    return !limits.isPortFull(port);
  }
}
