/**
 * How many flows there may be, and whose make room for others.
 *
 * Theory of operation
 *
 * Three limits: of the table (`maxFlows`, both families), of an interface that has one of its own, and of
 * half-open flows. The first two hold for all packet loops together, and each counts what the others have;
 * the third is each loop's own.
 *
 * Fair shares. In AWS every interface has its own allowance; here they share a table, and none may shut out
 * another. An established flow is never given up, so a part of the table is kept: each interface has an even
 * part of a quarter of it for itself (its reserve), and the rest is whoever's comes first. An interface beyond its
 * reserve may open a flow as long as what is free is more than what the others have not used of theirs. Half-open
 * flows need no reserve, since they can be given up: those of the interface that has the most go
 * first, and what an instance opens and what others open towards it count as two.
 *
 * What makes room, in this order: for an interface at its own limit, one of its flows; for one beyond its
 * reserve, one of its own that has ended, else the oldest revoked of whoever has the most of those, else the oldest
 * half-open of whoever has the most, if that one is beyond its reserve as well, else of its own; for the budget of
 * half-open flows, the oldest of whoever has the most. If there is none, the flow is refused.
 *
 * Revoked flows go before half-open ones, or in a table full of them no handshake would come to its end. But where
 * a quarter of an interface's flows is half-open, those go first: else who was shut out would only have to send
 * SYNs until his own connection is forgotten, and could be picked up.
 *
 * Several loops. How much of the reserves is unused changes with what other loops do. Each keeps it by what it does
 * itself and counts anew once a millisecond in which it matters, so loops may take a few flows of a reserve
 * that they would have left alone had they known.
 */
import {
  FlowLines,
  isHalfOpen,
  LINE_ENDED,
  LINE_OPENED_LOCALLY,
  LINE_OPENED_REMOTELY,
  LINE_BITS,
  LINE_REVOKED,
  lineOf,
  NO_LINE,
  stateWord,
} from '../conntrack/half-open.ts';
import { Shares } from '../conntrack/shares.ts';
import { KEY_META, type FlowIndex, type FlowTable } from '../conntrack/table.ts';

/** Where a packet loop has its flows. */
export interface FlowTables {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** How many of them are of each port. */
  readonly flowsByPort: Int32Array;
}

export interface LimitOptions extends FlowTables {
  /** Of the other packet loops: what they track counts towards the limits, and is theirs to change. */
  readonly others: readonly FlowTables[];
  /** Flows of both families together that may be tracked at once. */
  readonly maxFlows: number;
  /** How many of this loop's may be half-open. */
  readonly maxHalfOpen: number;
  /** By port: how many of them its interface may have; 0: as many as there are. */
  readonly maxFlowsByPort: Int32Array;
}

/** The part of the table that is kept for interfaces, evenly: one in so many. */
const RESERVED_PART = 4;

// What has to make room.
export const ROOM = 0;
export const NO_ROOM = 1;
export const GIVE_UP = 2;

export class FlowLimits {
  /** Flows that are half-open now. */
  halfOpenFlows = 0;
  /** Whose flow `askFor` says is to be given up: its `foundTable` and `foundFlow`. */
  readonly lines: FlowLines;
  private readonly options: LimitOptions;
  private readonly flowsByPort: Int32Array;
  /** Half-open flows by line. */
  private readonly shares: Shares;
  /** Revoked flows by port. */
  private readonly revoked: Shares;
  /** Flows kept for each port, and for all. */
  private readonly reserves: Int32Array;
  private reserved = 0;
  /** Behind the last one of those. */
  private ports = 0;
  /** How many of those kept are not there. */
  private unused = 0;
  private unusedAtMs = 0;

  constructor(options: LimitOptions) {
    const ports = options.flowsByPort.length;
    this.options = options;
    this.flowsByPort = options.flowsByPort;
    this.lines = new FlowLines(options.flows4, options.flows6, ports << LINE_BITS);
    this.shares = new Shares(ports << LINE_BITS);
    this.revoked = new Shares(ports);
    this.reserves = new Int32Array(ports);
  }

  /** Shares the table out among the ports that have an interface: those whose profile is none of -1. */
  setPorts(profiles: Int32Array): void {
    const { reserves } = this;
    const { maxFlows, maxFlowsByPort } = this.options;
    let interfaces = 0;
    for (let port = 1; port < profiles.length; port++) if (profiles[port] >= 0) interfaces++;
    const even = Math.floor(maxFlows / RESERVED_PART / Math.max(1, interfaces));
    const end = Math.max(this.ports, profiles.length);
    this.reserved = 0;
    this.ports = profiles.length;
    for (let port = 1; port < end; port++) {
      const most = maxFlowsByPort[port] === 0 ? even : Math.min(even, maxFlowsByPort[port]);
      reserves[port] = port < profiles.length && profiles[port] >= 0 ? most : 0;
      this.reserved += reserves[port];
    }
    this.countUnused();
  }

  /** Counts a flow that has come. */
  add(table: FlowTable, flow: FlowIndex): void {
    const port = portOf(table, flow);
    if (this.flowsOf(port) < this.reserves[port]) this.unused--;
    this.flowsByPort[port]++;
    this.join(table, flow);
  }

  /** Counts one that is about to go. */
  remove(table: FlowTable, flow: FlowIndex): void {
    const port = portOf(table, flow);
    this.leave(table, flow, stateWord(table, flow));
    if (this.flowsOf(port) <= this.reserves[port]) this.unused++;
    this.flowsByPort[port]--;
  }

  /** After a flow has changed. @param before its FLOW_STATE word then */
  change(table: FlowTable, flow: FlowIndex, before: number): void {
    if (lineOf(before) === lineOf(stateWord(table, flow))) return;
    this.leave(table, flow, before);
    this.join(table, flow);
  }

  /**
   * Whether there is room for a flow of `port`. Loops that open one at the same moment may exceed a limit by
   * one each.
   */
  hasRoom(port: number, nowMs: number): boolean {
    return (
      this.halfOpenFlows < this.options.maxHalfOpen &&
      !this.isPortFull(port) &&
      this.hasTableRoom(port, nowMs)
    );
  }

  /**
   * Looks for a flow to be given up for one of `port`, where `hasRoom` said no.
   * @param hasPlace one was given up for it already, so it takes that one's place in the table
   * @returns ROOM if none has to be; GIVE_UP if `lines` has found one; NO_ROOM
   */
  askFor(port: number, fromLocal: boolean, hasPlace: boolean, nowMs: number): number {
    const line = (port << LINE_BITS) | (fromLocal ? LINE_OPENED_LOCALLY : LINE_OPENED_REMOTELY);
    if (this.isPortFull(port)) return this.findOwn(port, line) ? GIVE_UP : NO_ROOM;
    const largest = this.shares.largestFor(line);
    if (!hasPlace && !this.hasTableRoom(port, nowMs)) {
      const { lines } = this;
      if (lines.findOldest((port << LINE_BITS) | LINE_ENDED)) return GIVE_UP;
      if (this.findRevoked(port)) return GIVE_UP;
      // Either way neither what is free nor what is unused of the reserves changes by the exchange.
      if (this.mayTakeFrom(largest >> LINE_BITS, port) && lines.findOldest(largest)) return GIVE_UP;
      return this.findOwn(port, line) ? GIVE_UP : NO_ROOM;
    }
    if (this.halfOpenFlows < this.options.maxHalfOpen) return ROOM;
    return this.lines.findOldest(largest) ? GIVE_UP : NO_ROOM;
  }

  /** Whether a flow of the port `other` makes room in the table for one of `port`. */
  private mayTakeFrom(other: number, port: number): boolean {
    const { reserves } = this;
    return (
      other === port || this.flowsOf(other) > reserves[other] || this.flowsOf(port) < reserves[port]
    );
  }

  /** The oldest revoked flow of whoever has the most, if those of `port` have to go before its half-open ones. */
  private findRevoked(port: number): boolean {
    if (!this.hasFewHalfOpen(port)) return false;
    const largest = this.revoked.largestFor(port);
    return (
      this.mayTakeFrom(largest, port) &&
      this.lines.findOldest((largest << LINE_BITS) | LINE_REVOKED)
    );
  }

  /** Less than a quarter of a port's flows. */
  private hasFewHalfOpen(port: number): boolean {
    const { shares } = this;
    const line = port << LINE_BITS;
    const halfOpen = shares.of(line | LINE_OPENED_REMOTELY) + shares.of(line | LINE_OPENED_LOCALLY);
    return 4 * halfOpen < this.flowsByPort[port];
  }

  /**
   * A flow of `port` that has ended, else one that was revoked, else the oldest of its longer line of half-open ones, of two
   * as long, of `line`; the latter two the other way round where many are half-open.
   */
  private findOwn(port: number, line: number): boolean {
    const { lines, shares } = this;
    if (lines.findOldest((port << LINE_BITS) | LINE_ENDED)) return true;
    const revoked = (port << LINE_BITS) | LINE_REVOKED;
    if (this.hasFewHalfOpen(port) && lines.findOldest(revoked)) return true;
    const other = line ^ (LINE_OPENED_LOCALLY ^ LINE_OPENED_REMOTELY);
    const longer = shares.of(other) > shares.of(line) ? other : line;
    return lines.findOldest(longer) || lines.findOldest(revoked);
  }

  private hasTableRoom(port: number, nowMs: number): boolean {
    const free = this.options.maxFlows - this.trackedFlows();
    if (free <= 0) return false;
    if (free > this.reserved || this.flowsOf(port) < this.reserves[port]) return true;
    if (this.options.others.length > 0 && nowMs !== this.unusedAtMs) {
      this.unusedAtMs = nowMs;
      this.countUnused();
    }
    return free > this.unused;
  }

  private countUnused(): void {
    const { reserves } = this;
    this.unused = 0;
    for (let port = 1; port < this.ports; port++) {
      if (reserves[port] === 0) continue;
      const left = reserves[port] - this.flowsOf(port);
      if (left > 0) this.unused += left;
    }
  }

  /** By all loops. */
  private trackedFlows(): number {
    const { flows4, flows6, others } = this.options;
    let flows = flows4.count + flows6.count;
    for (let i = 0; i < others.length; i++)
      flows += others[i].flows4.count + others[i].flows6.count;
    return flows;
  }

  /** Of a port, by all loops. */
  private flowsOf(port: number): number {
    const { others } = this.options;
    let flows = this.flowsByPort[port];
    for (let i = 0; i < others.length; i++) flows += others[i].flowsByPort[port];
    return flows;
  }

  /** Whether the interface of `port` is at its own limit, if it has one. */
  isPortFull(port: number): boolean {
    const most = this.options.maxFlowsByPort[port];
    return most !== 0 && this.flowsOf(port) >= most;
  }

  private join(table: FlowTable, flow: FlowIndex): void {
    const word = stateWord(table, flow);
    const line = lineOf(word);
    if (line === NO_LINE) return;
    const at = (portOf(table, flow) << LINE_BITS) | line;
    this.lines.join(at, table, flow);
    if (line === LINE_REVOKED) this.revoked.grow(at >> LINE_BITS);
    if (!isHalfOpen(word)) return;
    this.shares.grow(at);
    this.halfOpenFlows++;
  }

  private leave(table: FlowTable, flow: FlowIndex, word: number): void {
    const line = lineOf(word);
    if (line === NO_LINE) return;
    const at = (portOf(table, flow) << LINE_BITS) | line;
    this.lines.leave(at, table, flow);
    if (line === LINE_REVOKED) this.revoked.shrink(at >> LINE_BITS);
    if (!isHalfOpen(word)) return;
    this.shares.shrink(at);
    this.halfOpenFlows--;
  }
}

function portOf(table: FlowTable, flow: FlowIndex): number {
  return table.words[flow * table.stride + KEY_META] >>> 16;
}
