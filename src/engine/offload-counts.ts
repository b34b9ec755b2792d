/**
 * Counts what the kernel has forwarded: for the interfaces, and in the accounts of the flows.
 *
 * That happens at a tick, and whenever an entry is taken back, so also in the middle of a batch. A batch holds its
 * packets against what was counted meanwhile (batch.ts), and the kernel's are none of them. So they are also counted by
 * themselves.
 */
import type { FlowAccounts } from '../conntrack/accounts.ts';
import { NO_FLOW, type FlowIndex } from '../conntrack/entry.ts';
import { count, EGRESS, INGRESS } from './counters.ts';
import type { EventRing } from './events.ts';
import { PASS } from './reasons.ts';

export class OffloadCounts {
  /** Packets that the kernel has forwarded. */
  packets = 0;
  /** The same by the port that they came in by. */
  readonly packetsFrom: Float64Array;
  private readonly counters: Float64Array;
  private readonly events: EventRing;

  constructor(counters: Float64Array, events: EventRing, ports: number) {
    this.packetsFrom = new Float64Array(ports);
    this.counters = counters;
    this.events = events;
  }

  /** Adds packets that came in by port `from` and went out by port `to`. */
  add(from: number, to: number, packets: number, bytes: number): void {
    this.packets += packets;
    this.packetsFrom[from] += packets;
    count(this.counters, from, EGRESS, PASS, packets, bytes);
    count(this.counters, to, INGRESS, PASS, packets, bytes);
  }

  /** Adds them to the accounts of their flow at the sender's and at the receiver's gate. NO_FLOW: it has ended. */
  account(
    accounts: FlowAccounts | null,
    sent: FlowIndex,
    received: FlowIndex,
    packets: number,
    bytes: number,
    nowMs: number,
  ): void {
    if (accounts === null) return;
    const { interval } = this.events;
    if (sent !== NO_FLOW) accounts.add(sent, true, packets, bytes, 0, interval, nowMs);
    if (received !== NO_FLOW) accounts.add(received, false, packets, bytes, 0, interval, nowMs);
  }
}
