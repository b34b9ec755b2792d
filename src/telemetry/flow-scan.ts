/**
 * These functions scan the flow tables in slices, so that nothing else has to wait.
 *
 * A scan of a million flows takes a tenth of a second or more. That is too long for the other work of the control
 * plane (metrics, flow logs, requests). So a scan runs for SLICE_MS at a time and lets other work run between slices.
 * The packet loop goes on writing and never waits. A flow that opens or ends during the scan may be seen or missed. A
 * flow that changes is seen as it was at some moment of the scan.
 */
import { setImmediate } from 'node:timers/promises';
import { type FlowIndex, idleMsOf, isUsed, portOf, stateWordOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';

const SLICE_MS = 3;
/** Entries scanned between two readings of the clock. */
const SLICE_ENTRIES = 2048;

/** The clock that flows age by, and their idle time-outs. The handle of dataplane/dataplane.ts has both. */
export interface FlowClock {
  readonly nowMs: number;
  /** @param word state, flags and incarnation (conntrack/entry.ts) */
  idleTimeoutMs(port: number, word: number): number;
}

/**
 * Calls `visit` with ranges of entries [from, end) of each table in turn. They cover every entry that may be in use.
 */
export async function scanEntries(
  tables: readonly FlowTable[],
  visit: (number: number, from: FlowIndex, end: FlowIndex) => void,
): Promise<void> {
  let sliceEndMs = performance.now() + SLICE_MS;
  for (const [number, table] of tables.entries()) {
    for (let from = 0; from < table.highWater; from += SLICE_ENTRIES) {
      visit(number, from, Math.min(from + SLICE_ENTRIES, table.highWater));
      if (performance.now() < sliceEndMs) continue;
      await setImmediate();
      sliceEndMs = performance.now() + SLICE_MS;
    }
  }
}

/** Calls `visit` with each flow in use that is not past its time-out. `number` is the index of its table. */
export async function scanFlows(
  tables: readonly FlowTable[],
  clock: FlowClock,
  visit: (table: FlowTable, flow: FlowIndex, number: number) => void,
): Promise<void> {
  await scanEntries(tables, (number, from, end) => {
    const table = tables[number];
    const { nowMs } = clock;
    for (let flow = from; flow < end; flow++)
      if (isLiving(table, flow, clock, nowMs)) visit(table, flow, number);
  });
}

function isLiving(table: FlowTable, flow: FlowIndex, clock: FlowClock, nowMs: number): boolean {
  if (!isUsed(table, flow)) return false;
  const timeoutMs = clock.idleTimeoutMs(portOf(table, flow), stateWordOf(table, flow));
  return idleMsOf(table, flow, nowMs) <= timeoutMs;
}
