/**
 * Limits how many flows there are, and decides which flows make room for others.
 *
 * Theory of operation
 *
 * There are three limits: of the table (`maxFlows`, both families together), of an interface that has one of its own,
 * and of half-open flows. The first two hold for all packet loops together, and each loop counts the flows of the
 * others. The third holds for each loop by itself.
 *
 * Fair shares. In AWS every interface has an allowance of its own. Here interfaces share a table, and none may shut
 * out another. An established flow is never evicted. So a quarter of the table is reserved: each interface has an
 * even part of it (its reserve). The rest goes to whoever comes first. An interface beyond its reserve may open a
 * flow only while there are more free places than the others have unused in their reserves. Half-open flows need no
 * reserve, since they can be evicted: the oldest of the interface with the most goes first. For this, the flows that
 * an instance opens and the flows that others open towards it count as two owners.
 *
 * Who makes room, in this order. For an interface at its own limit: one of its own flows. For an interface beyond its
 * reserve: one of its own flows that has ended; else the oldest revoked flow of the interface with the most of them;
 * else the oldest half-open flow of the owner with the most, if that one is beyond its reserve too; else one of its
 * own flows. For the budget of half-open flows: the oldest of the owner with the most. If none is found, the flow is
 * refused.
 *
 * Revoked flows go before half-open ones. Otherwise no handshake could finish in a table full of revoked flows. But
 * where a quarter of an interface's flows is half-open, those go first. Otherwise somebody who was shut out could
 * send SYNs until his revoked connection is forgotten, and then pick it up again.
 *
 * Several loops. What is unused of the reserves depends on what other loops do. Each loop updates its own number by
 * what it does itself, and counts again at most once a millisecond, when it matters. So within a millisecond, loops
 * may take a few flows out of a reserve without knowing it.
 */
import { failInvariant } from '../conntrack/invariant.ts';
import { type FlowIndex, portOf, stateOf, stateWordOf } from '../conntrack/entry.ts';
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
} from '../conntrack/half-open.ts';
import { Shares } from '../conntrack/shares.ts';
import { STATE_COUNT } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';

/** The flows of a packet loop. */
export interface FlowTables {
  readonly flows4: FlowTable;
  readonly flows6: FlowTable;
  /** Flows by port. */
  readonly flowsByPort: Int32Array;
}

/** The configured limits. */
export interface LimitSettings {
  /** The most flows of both families that may be tracked, by all loops together. */
  readonly maxFlows: number;
  /** The most half-open flows of one loop. */
  readonly maxHalfOpen: number;
}

export interface LimitOptions extends FlowTables {
  readonly settings: LimitSettings;
  /** The flows of the other packet loops. They count towards the limits; only their loop may change them. */
  readonly others: readonly FlowTables[];
  /** By port: the most flows of its interface; 0: no limit of its own. */
  readonly maxFlowsByPort: Int32Array;
}

/** One part in this many of the table is reserved for interfaces, evenly. */
const RESERVED_PART = 4;

// What askFor returns.
export const ROOM = 0;
export const NO_ROOM = 1;
export const GIVE_UP = 2;

export class FlowLimits {
  /** Flows that are half-open now. */
  halfOpenFlows = 0;
  /** Holds the flow to evict after `askFor` returned GIVE_UP: `foundTable` and `foundFlow`. */
  readonly lines: FlowLines;
  private readonly options: LimitOptions;
  private readonly maxFlows: number;
  private readonly maxHalfOpen: number;
  private readonly flowsByPort: Int32Array;
  /** Half-open flows by line. */
  private readonly shares: Shares;
  /** Revoked flows by port. */
  private readonly revoked: Shares;
  /** Reserved flows by port, and for all ports. */
  private readonly reserves: Int32Array;
  private reserved = 0;
  /** The port behind the last one that may have a reserve. */
  private ports = 0;
  /** Unused places in all reserves together, and when they were counted. */
  private unused = 0;
  private unusedAtMs = 0;

  constructor(options: LimitOptions) {
    const ports = options.flowsByPort.length;
    this.options = options;
    this.maxFlows = options.settings.maxFlows;
    this.maxHalfOpen = options.settings.maxHalfOpen;
    this.flowsByPort = options.flowsByPort;
    this.lines = new FlowLines(options.flows4, options.flows6, ports << LINE_BITS);
    this.shares = new Shares(ports << LINE_BITS);
    this.revoked = new Shares(ports);
    this.reserves = new Int32Array(ports);
  }

  /** Divides the reserved part among the ports that have an interface: those whose profile is not -1. */
  setPorts(profiles: Int32Array): void {
    const { reserves, maxFlows } = this;
    const { maxFlowsByPort } = this.options;
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

  /** Counts a flow that was added. */
  add(table: FlowTable, flow: FlowIndex): void {
    const port = portOf(table, flow);
    if (port >= this.flowsByPort.length) failInvariant('a flow is of a port that does not exist');
    if (this.flowsOf(port) < this.reserves[port]) this.unused--;
    this.flowsByPort[port]++;
    this.join(table, flow);
  }

  /** Counts a flow that is about to be removed. */
  remove(table: FlowTable, flow: FlowIndex): void {
    const port = portOf(table, flow);
    if (!(this.flowsByPort[port] > 0)) failInvariant('a flow goes whose port has none');
    this.leave(table, flow, stateWordOf(table, flow));
    if (this.flowsOf(port) <= this.reserves[port]) this.unused++;
    this.flowsByPort[port]--;
  }

  /** Checks that the counts by port agree with the tables. It reads all ports, so call it only now and then. */
  assertCounts(): void {
    const { flowsByPort } = this;
    const { flows4, flows6 } = this.options;
    let flows = 0;
    for (let port = 0; port < flowsByPort.length; port++) flows += flowsByPort[port];
    if (flows !== flows4.count + flows6.count)
      failInvariant('the flows of all ports are not those of the tables');
    if (this.halfOpenFlows < 0 || this.halfOpenFlows > flows)
      failInvariant('more flows are half-open than there are');
  }

  /** Updates the lines after a flow's state has changed. @param before its state word before the change */
  change(table: FlowTable, flow: FlowIndex, before: number): void {
    if (lineOf(before) === lineOf(stateWordOf(table, flow))) return;
    this.leave(table, flow, before);
    this.join(table, flow);
  }

  /**
   * Whether there is room for a flow of `port`. Loops that open flows at the same moment may exceed a limit by one
   * each.
   */
  hasRoom(port: number, nowMs: number): boolean {
    return (
      this.halfOpenFlows < this.maxHalfOpen &&
      !this.isPortFull(port) &&
      this.hasTableRoom(port, nowMs)
    );
  }

  /**
   * Finds a flow to evict for a new one of `port`, after `hasRoom` returned false.
   * @param hasPlace a flow was already evicted, so the new one has a place in the table
   * @returns ROOM if none must be evicted; GIVE_UP if `lines` holds the one to evict; NO_ROOM
   */
  askFor(port: number, fromLocal: boolean, hasPlace: boolean, nowMs: number): number {
    const line = (port << LINE_BITS) | (fromLocal ? LINE_OPENED_LOCALLY : LINE_OPENED_REMOTELY);
    if (this.isPortFull(port)) return this.findOwn(port, line) ? GIVE_UP : NO_ROOM;
    const largest = this.shares.largestFor(line);
    if (!hasPlace && !this.hasTableRoom(port, nowMs)) {
      const { lines } = this;
      if (lines.findOldest((port << LINE_BITS) | LINE_ENDED)) return GIVE_UP;
      if (this.findRevoked(port)) return GIVE_UP;
      // The exchange changes neither what is free nor what is unused of the reserves.
      if (this.mayTakeFrom(largest >> LINE_BITS, port) && lines.findOldest(largest)) return GIVE_UP;
      return this.findOwn(port, line) ? GIVE_UP : NO_ROOM;
    }
    if (this.halfOpenFlows < this.maxHalfOpen) return ROOM;
    return this.lines.findOldest(largest) ? GIVE_UP : NO_ROOM;
  }

  /** Whether a flow of the port `other` may be evicted for one of `port`. */
  private mayTakeFrom(other: number, port: number): boolean {
    const { reserves } = this;
    return (
      other === port || this.flowsOf(other) > reserves[other] || this.flowsOf(port) < reserves[port]
    );
  }

  /** Finds the oldest revoked flow of the interface with the most, unless many flows of `port` are half-open. */
  private findRevoked(port: number): boolean {
    if (!this.hasFewHalfOpen(port)) return false;
    const largest = this.revoked.largestFor(port);
    return (
      this.mayTakeFrom(largest, port) &&
      this.lines.findOldest((largest << LINE_BITS) | LINE_REVOKED)
    );
  }

  /** Whether less than a quarter of a port's flows is half-open. */
  private hasFewHalfOpen(port: number): boolean {
    const { shares } = this;
    const line = port << LINE_BITS;
    const halfOpen = shares.of(line | LINE_OPENED_REMOTELY) + shares.of(line | LINE_OPENED_LOCALLY);
    return 4 * halfOpen < this.flowsByPort[port];
  }

  /**
   * Finds a flow of `port` to evict: one that has ended, else the oldest revoked, else the oldest of its longer line
   * of half-open flows (of `line` if both are equally long). Where many are half-open, those go before the revoked
   * ones.
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
    const free = this.maxFlows - this.trackedFlows();
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

  /** Flows of all loops. */
  private trackedFlows(): number {
    const { flows4, flows6, others } = this.options;
    let flows = flows4.count + flows6.count;
    for (let i = 0; i < others.length; i++)
      flows += others[i].flows4.count + others[i].flows6.count;
    return flows;
  }

  /** Flows of a port in all loops. */
  private flowsOf(port: number): number {
    const { others } = this.options;
    let flows = this.flowsByPort[port];
    for (let i = 0; i < others.length; i++) flows += others[i].flowsByPort[port];
    return flows;
  }

  /** Whether the interface of `port` has a limit of its own and is at it. */
  isPortFull(port: number): boolean {
    const most = this.options.maxFlowsByPort[port];
    return most !== 0 && this.flowsOf(port) >= most;
  }

  private join(table: FlowTable, flow: FlowIndex): void {
    const word = stateWordOf(table, flow);
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

/** Checks that a flow's state and port exist: its time-out is found by them. @param ports number of ports */
export function assertSound(table: FlowTable, flow: FlowIndex, ports: number): void {
  if (stateOf(table, flow) >= STATE_COUNT)
    failInvariant('a flow is in a state that does not exist');
  const port = portOf(table, flow);
  if (port === UPLINK_PORT || port >= ports)
    failInvariant('a flow is of a port that does not exist');
}
