/**
 * Takes over the flows of the process before this one, which service/snapshot.ts put into the tables before the loop
 * began. The loop's clock had not begun either. So until now the "last seen" word of these flows holds an age, not a
 * time.
 */
import { isHalfOpen } from '../conntrack/half-open.ts';
import { type FlowIndex, seenOf, setSeenOf, stateWordOf } from '../conntrack/entry.ts';
import { forEachFlow, type FlowTable } from '../conntrack/table.ts';
import type { Tracker } from '../engine/tracker.ts';

/** The interval number of a restored account. Its next packet starts a new interval. */
export const NO_INTERVAL = 0;

export interface AdoptedFlows {
  /** Flows that live on. */
  readonly restored: number;
  /** Flows that were past their time-out. */
  readonly aged: number;
}

/** Counts the flows of both tables as tracked, and ends those past their time-out. */
export function adoptFlows(tracker: Tracker, nowMs: number): AdoptedFlows {
  const { flows4, flows6 } = tracker;
  const count = flows4.count + flows6.count;
  // The oldest half-open flow is evicted first, so they are queued by age.
  const halfOpen: [age: number, table: FlowTable, flow: FlowIndex][] = [];
  for (const table of [flows4, flows6]) {
    const accounts = tracker.accountsOf(table);
    forEachFlow(table, (flow) => {
      const age = seenOf(table, flow);
      setSeenOf(table, flow, (nowMs - age) | 0);
      accounts?.open(flow, NO_INTERVAL, nowMs);
      if (isHalfOpen(stateWordOf(table, flow))) halfOpen.push([age, table, flow]);
      else tracker.adopt(table, flow);
    });
  }
  halfOpen.sort(([a], [b]) => b - a);
  for (const [, table, flow] of halfOpen) tracker.adopt(table, flow);
  tracker.sweep(Math.max(flows4.highWater, flows6.highWater), nowMs);
  const restored = flows4.count + flows6.count;
  return { restored, aged: count - restored };
}
