/**
 * The twin's flow table: a Map, the flows that nobody has answered in a list, and the limits.
 *
 * Sources: docs/conntrack.md, "What is tracked" (time-outs) and "Limits" (what makes room for what);
 * docs/changes.md (what ends with a change of rules); for who gives way to whom, the theory of operation of
 * src/engine/flow-limits.ts.
 *
 * It frees nothing that has expired before there is a limit to be kept: the engine's sweep must not be visible.
 * "Entries past their time-out go first" is exact only where the engine looks at all of them to make room: in
 * worlds whose tables hold 16 flows (its short look), or never fill.
 */
import type { TcpFlow } from './twin-tcp.ts';

export interface TwinFlow {
  readonly key: string;
  readonly port: number;
  readonly kind: 'tcp' | 'udp' | 'icmp' | 'other';
  isOpenedLocally: boolean;
  seenMs: number;
  tcp: TcpFlow | undefined;
  hasReplied: boolean;
  hasAskedAgain: boolean;
  isStream: boolean;
  /** A change of rules ended it. */
  isRevoked: boolean;
}

export interface FlowLimits {
  readonly maxFlows: number;
  readonly maxHalfOpen: number;
  /** How many flows each interface may have; 0: as many as there are. */
  readonly maxFlowsOfPort: number;
  /** How many interfaces share the table. */
  readonly interfaces: number;
}

/** Flows that wait in one line, the oldest first. */
type Line = readonly TwinFlow[];

/** docs/conntrack.md, "What is tracked"; in seconds. */
const IDLE_SEC: Readonly<Record<string, number>> = {
  'syn-sent': 60,
  'syn-received': 60,
  established: 432_000,
  closing: 30,
  closed: 10,
  revoked: 432_000,
  udp: 30,
  'udp-stream': 180,
  icmp: 30,
  other: 600,
};

export class TwinFlows<Flow extends TwinFlow> {
  private readonly flows = new Map<string, Flow>();
  private readonly limits: FlowLimits;
  /** Flows in the order in which each came to the line it is in now. */
  private readonly order = new Set<Flow>();
  /** An even part of a quarter of the table. */
  private readonly reserve: number;

  constructor(limits: FlowLimits) {
    this.limits = limits;
    const even = Math.floor(limits.maxFlows / 4 / limits.interfaces);
    this.reserve = Math.min(even, limits.maxFlowsOfPort || Infinity);
  }

  find(key: string, nowMs: number): Flow | undefined {
    const flow = this.flows.get(key);
    return flow === undefined || isExpired(flow, nowMs) ? undefined : flow;
  }

  forget(key: string): void {
    this.order.delete(this.flows.get(key)!);
    this.flows.delete(key);
  }

  /** Tracks a flow that is not there. @returns whether there is room */
  open(flow: Flow, nowMs: number): boolean {
    // What is there under this key has expired, or it would have been found.
    this.forget(flow.key);
    if (!this.hasRoom(flow.port) && !this.makeRoom(flow, nowMs)) return false;
    this.flows.set(flow.key, flow);
    this.order.add(flow);
    return true;
  }

  /** Remembers a revoked flow that nobody tracked, if nothing has to give way for it. */
  openIfRoom(flow: Flow, nowMs: number): void {
    this.forget(flow.key);
    if (!this.hasRoom(flow.port)) this.forgetExpired(nowMs);
    if (!this.hasRoom(flow.port)) return;
    this.flows.set(flow.key, flow);
    this.order.add(flow);
  }

  private forgetExpired(nowMs: number): void {
    for (const flow of [...this.flows.values()]) if (isExpired(flow, nowMs)) this.forget(flow.key);
  }

  /** Changes a flow; if that puts it into another line, it is the last there. */
  change<T>(flow: Flow, how: () => T): T {
    const was = lineOf(flow);
    const result = how();
    if (lineOf(flow) !== was) {
      this.order.delete(flow);
      this.order.add(flow);
    }
    return result;
  }

  /** Those within their time-outs. */
  live(nowMs: number): Flow[] {
    return [...this.flows.values()].filter((flow) => !isExpired(flow, nowMs));
  }

  private hasRoom(port: number): boolean {
    const { maxFlows, maxHalfOpen, maxFlowsOfPort } = this.limits;
    // Then no part of them can be too many.
    if (this.flows.size < Math.min(maxFlows / 2, maxHalfOpen, maxFlowsOfPort || Infinity))
      return true;
    return !this.isPortFull(port) && this.hasPlace(port) && !this.isBudgetSpent();
  }

  private isPortFull(port: number): boolean {
    const { maxFlowsOfPort } = this.limits;
    return maxFlowsOfPort !== 0 && this.countOf(port) >= maxFlowsOfPort;
  }

  private isBudgetSpent(): boolean {
    return [...this.flows.values()].filter(isHalfOpen).length >= this.limits.maxHalfOpen;
  }

  private countOf(port: number): number {
    return [...this.flows.values()].filter((flow) => flow.port === port).length;
  }

  /** Within its reserve, or more is free than the others have left of theirs. */
  private hasPlace(port: number): boolean {
    const free = this.limits.maxFlows - this.flows.size;
    if (free <= 0) return false;
    if (this.countOf(port) < this.reserve) return true;
    let unused = 0;
    for (let other = 1; other <= this.limits.interfaces; other++)
      unused += Math.max(0, this.reserve - this.countOf(other));
    return free > unused;
  }

  /** "What makes room, in this order", after what has expired. */
  private makeRoom(next: Flow, nowMs: number): boolean {
    this.forgetExpired(nowMs);
    const { port } = next;
    let victim: TwinFlow | undefined;
    if (this.isPortFull(port)) {
      victim = this.ownOf(next);
      if (victim === undefined) return false;
    } else if (!this.hasPlace(port)) {
      const largest = this.largestFor(next);
      const isOther = largest !== undefined && largest.port !== port;
      const isSpared =
        isOther && this.countOf(largest.port) <= this.reserve && this.countOf(port) >= this.reserve;
      victim = this.lineAt(port, 'ended')[0] ?? this.revokedFor(port);
      victim ??= isSpared ? undefined : largest;
      victim ??= this.ownOf(next);
      if (victim === undefined) return false;
    }
    if (victim !== undefined) this.forget(victim.key);
    // An odd handshake makes an established connection half-open again, beyond the budget: three go at most.
    for (let given = victim === undefined ? 0 : 1; given < 3 && this.isBudgetSpent(); given++)
      this.forget(this.largestFor(next)!.key);
    return true;
  }

  private lineAt(port: number, line: string): Line {
    return [...this.order].filter((flow) => flow.port === port && lineOf(flow) === line);
  }

  /** One that has ended, else the oldest of its longer line; of two as long, of that of the new flow. */
  private ownOf(next: Flow): TwinFlow | undefined {
    const { port } = next;
    const own = this.lineAt(port, lineOf(next));
    const other = this.lineAt(port, next.isOpenedLocally ? 'from others' : 'own');
    const revoked = this.lineAt(port, 'revoked')[0];
    const halfOpen = (other.length > own.length ? other : own)[0];
    return (
      this.lineAt(port, 'ended')[0] ??
      (this.hasFewHalfOpen(port) ? (revoked ?? halfOpen) : (halfOpen ?? revoked))
    );
  }

  private hasFewHalfOpen(port: number): boolean {
    const halfOpen = this.lineAt(port, 'own').length + this.lineAt(port, 'from others').length;
    return halfOpen < this.countOf(port) / 4;
  }

  /** The oldest revoked flow of whoever has the most of them, before half-open ones as long as those are few. */
  private revokedFor(port: number): TwinFlow | undefined {
    if (!this.hasFewHalfOpen(port)) return undefined;
    let most = port;
    for (let other = 1; other <= this.limits.interfaces; other++)
      if (this.lineAt(other, 'revoked').length > this.lineAt(most, 'revoked').length) most = other;
    const isSpared =
      most !== port && this.countOf(most) <= this.reserve && this.countOf(port) >= this.reserve;
    return isSpared ? undefined : this.lineAt(most, 'revoked')[0];
  }

  /** The oldest half-open flow of whoever has the most: the new one's line unless another is longer, the first of several. */
  private largestFor(next: Flow): TwinFlow | undefined {
    let longest = this.lineAt(next.port, lineOf(next));
    for (let port = 1; port <= this.limits.interfaces; port++)
      for (const name of ['from others', 'own']) {
        const line = this.lineAt(port, name);
        if (line.length > longest.length) longest = line;
      }
    return longest[0];
  }
}

function lineOf(flow: TwinFlow): string {
  if (flow.isRevoked) return 'revoked';
  if (isHalfOpen(flow)) return flow.isOpenedLocally ? 'own' : 'from others';
  const isOver = flow.tcp?.state === 'closing' || flow.tcp?.state === 'closed';
  return isOver ? 'ended' : 'none';
}

/** "Limits", what half-open is. A revoked connection is kept so that nothing brings it back. */
function isHalfOpen(flow: TwinFlow): boolean {
  if (flow.isRevoked) return false;
  if (flow.tcp === undefined) return !flow.hasReplied;
  return !flow.tcp.hasReplied || flow.tcp.state === 'syn-received';
}

/** The state's name, as the engine's tables have it (conntrack/states.ts). */
export function stateOf(flow: TwinFlow): string {
  if (flow.isRevoked) return 'revoked';
  if (flow.tcp !== undefined) return flow.tcp.state;
  return flow.kind === 'udp' && flow.isStream ? 'udp-stream' : flow.kind;
}

function isExpired(flow: TwinFlow, nowMs: number): boolean {
  const state = stateOf(flow);
  // Picked up in mid-stream, and the other side has not joined: "half-open" too, and no established flow yet.
  const isPickedUp = state === 'established' && !flow.tcp!.hasReplied;
  return nowMs - flow.seenMs > 1000 * (isPickedUp ? IDLE_SEC['syn-sent'] : IDLE_SEC[state]);
}
