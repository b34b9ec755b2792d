/**
 * The twin's flow table: a Map, the flows that nobody has answered in a list, and the limits.
 *
 * Sources: docs/conntrack.md, "What is tracked" (time-outs) and "Limits" (what makes room for what);
 * docs/changes.md (what ends with a change of rules); for what a full list of half-open flows does, the theory
 * of operation of src/conntrack/half-open.ts.
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
}

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
  /** Flows in the order in which they became half-open; those that no longer are stay until their turn comes. */
  private readonly waiting: Flow[] = [];
  private readonly waitingMax: number;

  constructor(limits: FlowLimits) {
    this.limits = limits;
    // half-open.ts, "Limits": the list holds twice the budget (and never less than 16).
    this.waitingMax = Math.max(16, 2 * limits.maxHalfOpen);
  }

  find(key: string, nowMs: number): Flow | undefined {
    const flow = this.flows.get(key);
    return flow === undefined || isExpired(flow, nowMs) ? undefined : flow;
  }

  forget(key: string): void {
    this.flows.delete(key);
  }

  /** Tracks a flow that is not there. @returns whether there is room */
  open(flow: Flow, nowMs: number): boolean {
    // What is there under this key has expired, or it would have been found.
    this.flows.delete(flow.key);
    if (!this.hasRoom(flow.port)) this.makeRoom(flow.port, nowMs);
    if (!this.hasRoom(flow.port)) return false;
    this.flows.set(flow.key, flow);
    this.wait(flow);
    return true;
  }

  /** Changes a flow, and lines it up if that makes it half-open (again). */
  change<T>(flow: Flow, how: () => T): T {
    const was = isHalfOpen(flow);
    const result = how();
    if (isHalfOpen(flow) && !was) this.wait(flow);
    return result;
  }

  /** Those within their time-outs. */
  live(nowMs: number): Flow[] {
    return [...this.flows.values()].filter((flow) => !isExpired(flow, nowMs));
  }

  private hasRoom(port: number): boolean {
    const { maxFlows, maxHalfOpen, maxFlowsOfPort } = this.limits;
    const all = this.flows.size;
    // Then no part of them can be too many.
    if (all < Math.min(maxFlows, maxHalfOpen, maxFlowsOfPort || Infinity)) return true;
    return all < maxFlows && this.countHalfOpen() < maxHalfOpen && !this.isPortFull(port);
  }

  private isPortFull(port: number): boolean {
    const { maxFlowsOfPort } = this.limits;
    if (maxFlowsOfPort === 0) return false;
    return [...this.flows.values()].filter((flow) => flow.port === port).length >= maxFlowsOfPort;
  }

  private countHalfOpen(): number {
    return [...this.flows.values()].filter(isHalfOpen).length;
  }

  /** "Limits": what has expired goes first, then the oldest half-open flow; of an interface at its limit, its own. */
  private makeRoom(port: number, nowMs: number): void {
    const { maxFlows, maxHalfOpen } = this.limits;
    for (const flow of [...this.flows.values()])
      if (isExpired(flow, nowMs)) this.flows.delete(flow.key);
    if (this.isPortFull(port)) {
      const own = this.waiting.find((flow) => flow.port === port && this.isWaiting(flow));
      if (own !== undefined) this.flows.delete(own.key);
    }
    if (this.flows.size < maxFlows && this.countHalfOpen() < maxHalfOpen) return;
    while (this.waiting.length > 0) {
      const flow = this.waiting.shift()!;
      if (!this.isWaiting(flow)) continue;
      this.flows.delete(flow.key);
      return;
    }
  }

  private wait(flow: Flow): void {
    // half-open.ts, "Limits": when it is full the oldest goes, live or not.
    if (this.waiting.length === this.waitingMax) {
      const oldest = this.waiting.shift()!;
      if (this.isWaiting(oldest)) this.flows.delete(oldest.key);
    }
    this.waiting.push(flow);
  }

  private isWaiting(flow: Flow): boolean {
    return this.flows.get(flow.key) === flow && isHalfOpen(flow);
  }
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
