/**
 * Finds, opens, moves and ends the flows that the gates know, within their limits.
 *
 * Theory of operation
 *
 * Limits. flow-limits.ts says how many flows there may be, and which one makes room for another. Before that, a short
 * sweep frees entries past their time-out. An established flow is never evicted for a new one.
 *
 * Time. A flow past its time-out counts as absent from that moment. The sweep frees it later, a bounded number of
 * entries a tick. A TCP connection that was picked up in mid-stream and never answered has the time-out of an
 * opening. Otherwise a flood of ACKs would fill the table for five days.
 */
import { createKey, metaOf, writeKey } from '../conntrack/flow-key.ts';
import { FlowAccounts } from '../conntrack/accounts.ts';
import type { TupleHash } from '../conntrack/flow-hash.ts';
import {
  type FlowIndex,
  NO_FLOW,
  generationIn,
  idleMsOf,
  isUsed,
  placeOf,
  portOf,
  ruleWordAt,
  seenAt,
  setRuleWordAt,
  setRuleWordOf,
  setSeenAt,
  setSeenOf,
  setStateWordOf,
  stateOf,
  stateWordAt,
  stateWordOf,
  wrapGeneration,
} from '../conntrack/entry.ts';
import {
  NAME_MARKS,
  OPENED_LOCALLY,
  STATE_COUNT,
  STATE_MASK,
  REVOKED_FLOW,
  timeoutState,
} from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
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
import { Memory } from './tracker-memory.ts';
import type { OffloadedFlows } from './offloaded-flows.ts';
import { UNTRACKED } from './offload-owners.ts';
import { NO_RULE_HERE } from './offload-untracked.ts';
import { assertSound, FlowLimits, GIVE_UP, ROOM } from './flow-limits.ts';
import type { LimitOptions, LimitSettings } from './flow-limits.ts';

/** Results of `follow` in addition to the verdicts of verdicts.ts. */
export const FLOW_IS_UNKNOWN = -1;
export const FLOW_IS_STALE = -2;
export const FLOW_IS_MARKED = -3;

/** Entries that a sweep looks at when a limit is reached, before any flow is evicted. */
const SWEEP_WHEN_FULL = 16;

/** The most flows evicted for one: for its place, for the budget of half-open flows, and to get back below a limit. */
const GIVE_UP_MOST = 3;

export interface TrackerSettings extends LimitSettings {
  /** Drop TCP packets outside the window of their connection. */
  readonly checksWindow: boolean;
}

export interface TrackerOptions extends LimitOptions {
  readonly settings: TrackerSettings;
  /** Idle time-outs: timeoutsMs[port * STATE_COUNT + state]. */
  readonly timeoutsMs: Int32Array;
  /** Records flows that open and end. */
  readonly events: EventRing;
  /** accountBytes(capacity) for each table; null without accounting. */
  readonly accounts4: SharedArrayBuffer | null;
  readonly accounts6: SharedArrayBuffer | null;
}

export class Tracker {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** Flows that were evicted for others since the start, other than revoked ones. */
  evictedFlows = 0;
  /** Revoked flows that were evicted for others since the start. */
  evictedRevoked = 0;
  /** Flows opened since the start. */
  openedFlows = 0;
  readonly accounts4: FlowAccounts | null;
  readonly accounts6: FlowAccounts | null;
  private readonly events: EventRing;
  private readonly checksWindow: boolean;
  private readonly timeoutsMs: Int32Array;
  private readonly limits: FlowLimits;
  readonly udpOpeners = new UdpOpeners();
  /** Flows whose plain packets the kernel forwards; null: none. */
  offload: OffloadedFlows | null = null;
  private readonly key4 = createKey(4);
  private readonly key6 = createKey(6);
  /** Hash of the packet's tuple, from `begin`. */
  private hash = 0;
  private readonly atEgress = new Memory();
  private readonly atIngress = new Memory();
  /** The flow that `follow` found, and its rule word. */
  followed: FlowIndex = NO_FLOW;
  followedRule = 0;
  /**
   * Generation of the policy in force, modulo 4096. A flow with another one must be checked against the policy first.
   */
  generation = 0;
  /** `follow` is called for a packet that tls/tls-names.ts has let pass. */
  isNameJudged = false;
  /** What `aim` was called for. */
  private table: FlowTable;
  private key: Int32Array;
  private port = 0;

  constructor(options: TrackerOptions) {
    this.checksWindow = options.settings.checksWindow;
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

  /** Takes over a policy's ports and generation. A flow with another generation must be checked against the policy. */
  setPolicy(policy: CompiledPolicy): void {
    this.generation = wrapGeneration(policy.generation);
    this.limits.setPorts(policy.profiles);
    if (this.offload !== null) this.offload.setPolicy(policy);
  }

  /** Computes the hash for `begin`. */
  get tupleHash(): TupleHash {
    return this.flows4.tupleHash;
  }

  /**
   * Begins a packet. Call it before its gates.
   * @param hash of its tuple
   * @param isRepeat whether it has the tuple of the packet before, and so passes the same gates
   */
  begin(hash: number, isRepeat: boolean): void {
    this.hash = hash;
    if (this.offload !== null) this.offload.begin();
    if (isRepeat) return;
    this.atEgress.flow = NO_FLOW;
    this.atIngress.flow = NO_FLOW;
  }

  /** The table of the flow that `aim` chose, or that `follow` found stale. */
  get aimedTable(): FlowTable {
    return this.table;
  }

  /** Chooses the flow for `find` and `open`: that of the packet, as the interface at `port` sees it. */
  aim(packet: Packet, port: number, fromLocal: boolean): void {
    const isIpv4 = packet.family === 4;
    const key = isIpv4 ? this.key4 : this.key6;
    this.table = isIpv4 ? this.flows4 : this.flows6;
    this.key = key;
    this.port = port;
    writeKey(key, packet, port, fromLocal);
  }

  /**
   * Finds the flow of the packet that `begin` was called for, and moves it. Renews its time if the packet keeps it
   * alive. Frees it if it is past its time-out. Sets `followed`.
   * @param direction of the gate: EGRESS or INGRESS
   * @param hasIllegalFlags the packet has illegal TCP flags, which are excused: it may not move its connection
   * @returns a verdict of verdicts.ts; FLOW_IS_STALE if the flow must be checked against the policy first, or
   *   FLOW_IS_MARKED if the server name must be judged first: nothing was done; FLOW_IS_UNKNOWN if there is none; then
   *   it is aimed at, so that `open` may be called
   */
  follow(
    packet: Packet,
    port: number,
    direction: number,
    hasIllegalFlags: boolean,
    nowMs: number,
  ): number {
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
      memory.at = placeOf(table, found);
      memory.changes = changes;
    }
    const { flow, at } = memory;
    const offload = this.offloadOf(table, flow);
    if (offload !== null) offload.pull(table, flow);
    const before = stateWordAt(words, at);
    if (this.isPast(before, (nowMs - seenAt(words, at)) | 0, port)) {
      this.remove(table, flow, ENDED_BY_TIMEOUT);
      this.aim(packet, port, fromLocal);
      return FLOW_IS_UNKNOWN;
    }
    const rule = ruleWordAt(words, at);
    this.followed = flow;
    this.followedRule = rule;
    if (generationIn(rule) !== this.generation) {
      this.table = table;
      return FLOW_IS_STALE;
    }
    if ((before & NAME_MARKS) !== 0 && !this.isNameJudged) return FLOW_IS_MARKED;
    if (hasIllegalFlags) return judgeUnmoved(before);
    const verdict = advanceFlow(words, at, before, packet, fromLocal);
    const after = stateWordAt(words, at);
    // A closing connection keeps the time at which it closed: late packets don't keep it in the table. A revoked flow
    // stays as long as packets come that would bring it back.
    const isMoved = ((before ^ after) & STATE_MASK) !== 0;
    if (
      verdict === FLOW_PASSES ? isMoved || !isEnding(after) : (before & STATE_MASK) === REVOKED_FLOW
    )
      setSeenAt(words, at, nowMs);
    if (before !== after) this.limits.change(table, flow, before);
    if (offload !== null) offload.note(table, flow, fromLocal, verdict);
    return verdict;
  }

  /** Has the kernel forward further packets of a flow, if it can. Both gates have passed the packet of `begin`. */
  offer(offload: OffloadedFlows, packet: Packet, from: number, to: number): void {
    const { changes } = packet.family === 4 ? this.flows4 : this.flows6;
    const { ruleAtEgress, ruleAtIngress } = offload.untracked;
    const sent = ruleAtEgress === NO_RULE_HERE ? this.atEgress.flowIf(changes) : UNTRACKED;
    const received = ruleAtIngress === NO_RULE_HERE ? this.atIngress.flowIf(changes) : UNTRACKED;
    if (sent !== NO_FLOW && received !== NO_FLOW)
      offload.offer(packet, this.hash, from, to, sent, received);
  }

  /** Tells the fast path that a gate lets the packet of `begin` pass by the rules alone. */
  passUntracked(direction: number, rule: number): void {
    if (this.offload === null) return;
    if (direction === EGRESS) this.offload.untracked.ruleAtEgress = rule;
    else this.offload.untracked.ruleAtIngress = rule;
  }

  /** Lets a flow pass in the kernel again, after the policy in force has admitted it. @returns true */
  renew(table: FlowTable, flow: FlowIndex): boolean {
    this.offloadOf(table, flow)?.renew(table, flow);
    return true;
  }

  /** `offload`, if it has the flow; else null. */
  private offloadOf(table: FlowTable, flow: FlowIndex): OffloadedFlows | null {
    const { offload } = this;
    return offload !== null && offload.isLinked(table, flow) ? offload : null;
  }

  /**
   * Moves the flow for which `follow` returned FLOW_ASKS_RULES. The rules have admitted the packet.
   * @param rule the rule word of the rule that admitted it
   */
  take(packet: Packet, direction: number, rule: number, nowMs: number): void {
    const fromLocal = direction === EGRESS;
    const table = packet.family === 4 ? this.flows4 : this.flows6;
    const { words } = table;
    const { flow, at } = fromLocal ? this.atEgress : this.atIngress;
    const before = stateWordAt(words, at);
    if (takeAdmitted(words, at, packet, fromLocal) === FLOW_PASSES) setSeenAt(words, at, nowMs);
    const after = stateWordAt(words, at);
    // A flow keeps the rule that admits its opener's packets.
    if (((after & OPENED_LOCALLY) !== 0) === fromLocal) setRuleWordAt(words, at, rule);
    if (before !== after) this.limits.change(table, flow, before);
    this.offloadOf(table, flow)?.settle(table, flow);
  }

  /** The flow of the packet that `begin` was called for, even past its time-out; NO_FLOW if there is none. */
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

  /** The flow aimed at, or NO_FLOW. Frees one past its time-out. */
  find(nowMs: number): FlowIndex {
    const flow = this.table.find(this.key);
    if (flow === NO_FLOW || !this.isExpired(this.table, flow, nowMs)) return flow;
    this.remove(this.table, flow, ENDED_BY_TIMEOUT);
    return NO_FLOW;
  }

  /** Frees an entry in use that is past its time-out. @returns whether it did */
  freeExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    if (!isUsed(table, flow) || !this.isExpired(table, flow, nowMs)) return false;
    this.remove(table, flow, ENDED_BY_TIMEOUT);
    return true;
  }

  /**
   * Starts tracking the flow aimed at, from its first packet. It must not be tracked yet.
   * @param rule the rule word
   * @returns the flow, or NO_FLOW if there was no room
   */
  open(packet: Packet, rule: number, fromLocal: boolean, nowMs: number): FlowIndex {
    if (!this.limits.hasRoom(this.port, nowMs) && !this.makeRoom(fromLocal, nowMs)) return NO_FLOW;
    const { table, events } = this;
    const flow = table.insertHashed(this.key, this.hash);
    if (flow === NO_FLOW) return NO_FLOW;
    const at = placeOf(table, flow);
    openFlow(table.words, at, packet, fromLocal, this.checksWindow);
    setSeenAt(table.words, at, nowMs);
    setRuleWordAt(table.words, at, rule);
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
   * Notes a packet of an untracked UDP flow, to know who opened it: the packet that `begin` was called for.
   * @param isNew it opens the flow again
   */
  noteUntracked(port: number, fromLocal: boolean, isNew: boolean, nowMs: number): void {
    this.offload?.pullUntracked(this.hash);
    this.udpOpeners.note(this.hash, port, fromLocal, isNew, this.revokedMs(port), nowMs);
  }

  /** Whether the packet that `begin` was called for answers a UDP flow that was untracked. */
  isAnswer(port: number, fromLocal: boolean, nowMs: number): boolean {
    this.offload?.pullUntracked(this.hash);
    const opener = this.udpOpeners.ask(this.hash, port, this.revokedMs(port), nowMs);
    return opener !== OPENER_UNKNOWN && (opener === OPENER_LOCAL) !== fromLocal;
  }

  /**
   * Keeps the flow aimed at as revoked. The other side opened it while it was untracked. No flow is evicted for it:
   * without room, the table of UDP openers must do.
   */
  openRevoked(packet: Packet, rule: number, fromLocal: boolean, nowMs: number): void {
    const { table, limits, port } = this;
    if (!limits.hasRoom(port, nowMs)) this.sweep(SWEEP_WHEN_FULL, nowMs);
    if (!limits.hasRoom(port, nowMs)) return;
    const flow = table.insertHashed(this.key, this.hash);
    if (flow === NO_FLOW) return;
    openFlow(table.words, placeOf(table, flow), packet, !fromLocal, this.checksWindow);
    setStateWordOf(table, flow, revokedState(stateWordOf(table, flow)));
    setSeenOf(table, flow, nowMs);
    setRuleWordOf(table, flow, rule);
    limits.add(table, flow);
    const accounts = this.accountsOf(table);
    if (accounts !== null) accounts.open(flow, this.events.interval, nowMs);
  }

  /** How long revoked flows of a port are remembered, in ms. */
  private revokedMs(port: number): number {
    return this.timeoutsMs[port * STATE_COUNT + REVOKED_FLOW];
  }

  /** Counts a flow that is already in its table: one restored after a restart. */
  adopt(table: FlowTable, flow: FlowIndex): void {
    this.limits.add(table, flow);
  }

  /** Whether an interface may have one flow more without another's being evicted. */
  hasRoom(port: number, nowMs: number): boolean {
    return this.limits.hasRoom(port, nowMs);
  }

  accountsOf(table: FlowTable): FlowAccounts | null {
    return table === this.flows4 ? this.accounts4 : this.accounts6;
  }

  /** Ends a flow that the rules no longer admit. @returns whether its entry is still in use */
  revoke(table: FlowTable, flow: FlowIndex, isPortGone: boolean, nowMs: number): boolean {
    if (isPortGone) {
      this.remove(table, flow, ENDED_BY_REVOCATION);
      return false;
    }
    // The entry stays, as revoked. If it were gone, the next packet of the side that the rules still let out would
    // open the flow again, and the other side's packets would pass as answers.
    this.end(table, flow, revokedState(stateWordOf(table, flow)), nowMs);
    return true;
  }

  /** Gives a flow the state word of one that has ended. Its entry stays for the time-out of that state. */
  end(table: FlowTable, flow: FlowIndex, word: number, nowMs: number): void {
    const before = stateWordOf(table, flow);
    setStateWordOf(table, flow, word);
    // Its time starts now, not at its last packet. Otherwise one that was idle for long would be freed at once, and
    // come back.
    setSeenOf(table, flow, nowMs);
    this.limits.change(table, flow, before);
    this.offloadOf(table, flow)?.settle(table, flow);
  }

  /** Removes a flow. @param why ENDED_BY_… of events.ts */
  remove(table: FlowTable, flow: FlowIndex, why: number): void {
    const { events } = this;
    this.offloadOf(table, flow)?.unlink(table, flow);
    if ((events.wanted & WANT_FLOWS) !== 0)
      events.tellFlow(EVENT_FLOW_ENDED, why, table, flow, this.accountsOf(table));
    this.limits.remove(table, flow);
    table.remove(flow);
  }

  /**
   * Looks at the next `entries` entries of each table and frees those past their time-out. Called every tick.
   * @returns how many it freed
   */
  sweep(entries: number, nowMs: number): number {
    return (
      this.sweepTable(this.flows4, entries, nowMs) + this.sweepTable(this.flows6, entries, nowMs)
    );
  }

  private sweepTable(table: FlowTable, entries: number, nowMs: number): number {
    const looks = entries < table.highWater ? entries : table.highWater;
    let freed = 0;
    let isFirst = true;
    for (let i = 0; i < looks; i++) {
      const flow = table.nextToSweep();
      if (flow === NO_FLOW) continue;
      assertSound(table, flow, this.timeoutsMs.length / STATE_COUNT);
      // Only one entry is checked: the check costs a cache miss.
      if (isFirst) table.assertIndexed(flow);
      isFirst = false;
      if (!this.isExpired(table, flow, nowMs)) continue;
      this.remove(table, flow, ENDED_BY_TIMEOUT);
      freed++;
    }
    return freed;
  }

  /** Checks that the counts of flows agree with each other. */
  assertCounts(): void {
    this.limits.assertCounts();
  }

  private isExpired(table: FlowTable, flow: FlowIndex, nowMs: number): boolean {
    this.offloadOf(table, flow)?.pull(table, flow);
    const idleMs = idleMsOf(table, flow, nowMs);
    return this.isPast(stateWordOf(table, flow), idleMs, portOf(table, flow));
  }

  /** Whether a flow of `port` is past its time-out. @param state its state word */
  private isPast(state: number, idleMs: number, port: number): boolean {
    return idleMs > this.timeoutsMs[port * STATE_COUNT + timeoutState(state)];
  }

  /** Makes room for the flow aimed at. @returns whether there is room now */
  private makeRoom(fromLocal: boolean, nowMs: number): boolean {
    const { limits, port } = this;
    this.sweep(SWEEP_WHEN_FULL, nowMs);
    if (limits.hasRoom(port, nowMs)) return true;
    for (let given = 0; given < GIVE_UP_MOST; given++) {
      const answer = limits.askFor(port, fromLocal, given > 0, nowMs);
      if (answer !== GIVE_UP) return answer === ROOM;
      const { foundTable, foundFlow } = limits.lines;
      if (stateOf(foundTable, foundFlow) === REVOKED_FLOW) this.evictedRevoked++;
      else this.evictedFlows++;
      this.remove(foundTable, foundFlow, ENDED_BY_EVICTION);
    }
    // Odd handshakes can make connections half-open again, so their budget may be exceeded. It recovers step by step.
    return !limits.isPortFull(port);
  }
}
