/**
 * Looks through the flow tables without keeping anybody waiting.
 *
 * A million flows take a tenth of a second and more: too long for whatever else the control plane has to do
 * (metrics, flow logs, other requests), so it is done in slices of SLICE_MS, with a turn for the others
 * between them. The packet loop writes meanwhile and never waits: a flow that comes or goes during the
 * look may be seen or not, and one that changes is seen as it was at some moment.
 */
import { setImmediate } from 'node:timers/promises';
import { STATE_MASK } from '../../conntrack/states.ts';
import {
  FLOW_SEEN,
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  FLOW_RULE,
  type FlowIndex,
  type FlowTable,
} from '../../conntrack/table.ts';
import { RULE_MASK } from '../../engine/revocation.ts';
import type { CompiledFilter } from './traffic-filter.ts';

const SLICE_MS = 3;
/** Entries between two looks at the clock. */
const SLICE_ENTRIES = 2048;

/** The clock flows are held against, and how long they may be idle; dataplane/dataplane.ts has both. */
export interface FlowClock {
  readonly nowMs: number;
  /** @param word FLOW_STATE */
  idleTimeoutMs(port: number, word: number): number;
}

/** Calls `visit` with runs of entries, `from` to `end`, of each table in turn: all that may be in use. */
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

/** Calls `visit` with each flow that is in use and not past its time-out. `number` is the table's place. */
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

/** Whether a flow that is in use matches. */
export function matchesFlow(filter: CompiledFilter, table: FlowTable, flow: FlowIndex): boolean {
  const { words, stride, keyWords } = table;
  const key = flow * stride;
  const meta = words[key + KEY_META];
  const ports = words[key + KEY_PORTS];
  const isIpv4 = keyWords === KEY_WORDS_4;
  const local = key + KEY_ADDRESSES;
  return filter.matches(
    meta >>> 16,
    meta & 0xff,
    ports >>> 16,
    ports & 0xffff,
    isIpv4 ? 4 : 6,
    words,
    local,
    local + (isIpv4 ? 1 : 4),
    words[key + keyWords + FLOW_RULE] & RULE_MASK,
  );
}

function isLiving(table: FlowTable, flow: FlowIndex, clock: FlowClock, nowMs: number): boolean {
  const key = flow * table.stride;
  const at = key + table.keyWords;
  const word = table.words[at + FLOW_STATE];
  if ((word & STATE_MASK) === 0) return false;
  const idleMs = (nowMs - table.words[at + FLOW_SEEN]) | 0;
  return idleMs <= clock.idleTimeoutMs(table.words[key + KEY_META] >>> 16, word);
}
