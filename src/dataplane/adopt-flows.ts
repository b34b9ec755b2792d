/**
 * Taking over flows that were put into the tables before the loop began: those of the process before
 * this one (control/service/snapshot.ts). Until then their FLOW_SEEN is an age, since the loop's clock has not
 * begun when they are put there.
 */
import { isHalfOpen } from '../conntrack/half-open.ts';
import { STATE_MASK } from '../conntrack/states.ts';
import { FLOW_SEEN, FLOW_STATE, type FlowIndex, type FlowTable } from '../conntrack/table.ts';
import type { Tracker } from '../engine/tracker.ts';

/** An account's interval starts anew with its next packet. */
const NO_INTERVAL = 0;

export interface AdoptedFlows {
  /** Flows that live on. */
  readonly restored: number;
  /** Flows that were past their time-out. */
  readonly aged: number;
}

/** Counts the flows of both tables among those tracked, and ends those past their time-out. */
export function adoptFlows(tracker: Tracker, nowMs: number): AdoptedFlows {
  const { flows4, flows6 } = tracker;
  const count = flows4.count + flows6.count;
  // Who is oldest among the half-open is given up first, so they are queued by age.
  const halfOpen: [age: number, table: FlowTable, flow: FlowIndex][] = [];
  for (const table of [flows4, flows6]) {
    const accounts = tracker.accountsOf(table);
    for (let flow = 0; flow < table.highWater; flow++) {
      const at = flow * table.stride + table.keyWords;
      const word = table.words[at + FLOW_STATE];
      if ((word & STATE_MASK) === 0) continue;
      const age = table.words[at + FLOW_SEEN];
      table.words[at + FLOW_SEEN] = (nowMs - age) | 0;
      accounts?.open(flow, NO_INTERVAL, nowMs);
      if (isHalfOpen(word)) halfOpen.push([age, table, flow]);
      else tracker.adopt(table, flow);
    }
  }
  halfOpen.sort(([a], [b]) => b - a);
  for (const [, table, flow] of halfOpen) tracker.adopt(table, flow);
  tracker.sweep(Math.max(flows4.highWater, flows6.highWater), nowMs);
  const restored = flows4.count + flows6.count;
  return { restored, aged: count - restored };
}
