/**
 * What tracked flows have carried since they were last looked at.
 *
 * Theory of operation
 *
 * The packet loop counts in accounts that it never resets (conntrack/accounts.ts), so what a flow carried in
 * an interval is the difference to what was seen at the end of the interval before: four doubles an entry,
 * kept here. A flow that ends is told by an event with its account, since its entry may be another flow's
 * by the time anybody looks. Entries are told apart by their incarnation: an entry whose flow is not the one
 * that the last event was about is left alone until that event has come.
 *
 * Lost events leave entries whose flows are not known; `resync` takes them as they are, and the interval
 * is one of those of which the log says that data was skipped.
 */
import {
  ACCOUNT_WORDS,
  createCarried,
  type Carried,
  type FlowAccounts,
} from '../../conntrack/accounts.ts';
import { INCARNATION_MASK } from '../../conntrack/half-open.ts';
import { STATE_MASK } from '../../conntrack/states.ts';
import {
  FLOW_RULE,
  FLOW_SEEN,
  FLOW_STATE,
  KEY_META,
  type FlowIndex,
  type FlowTable,
} from '../../conntrack/table.ts';
import { RULE_MASK } from '../../engine/revocation.ts';
import { scanEntries } from '../views/flow-scan.ts';
import { tupleOfFlow, type FlowTold, type Tuple } from '../views/told.ts';

/** One direction of what a flow carried. */
export interface CarriedOneWay {
  readonly packets: number;
  readonly bytes: number;
  /** SEEN_… bits. */
  readonly tcpFlags: number;
}

export interface Harvest {
  readonly port: number;
  readonly rule: number;
  readonly tuple: Tuple;
  readonly out: CarriedOneWay;
  readonly in: CarriedOneWay;
  /** On the loop's clock: first packet, if it is known to be of this interval; last one. */
  readonly firstSeenMs: number | undefined;
  readonly lastSeenMs: number;
}

const CELLS = 4;
const UNKNOWN = 0;
const INCARNATION_SHIFT = 24;

/** What is remembered of a table. */
interface Memory {
  readonly table: FlowTable;
  readonly accounts: FlowAccounts;
  /** By entry: incarnation plus one of the flow that `before` is about; UNKNOWN: none. */
  readonly known: Uint8Array;
  /** By entry: packets out, packets in, bytes out, bytes in, when last looked at. */
  readonly before: Float64Array;
}

export class FlowHarvester {
  private readonly memories: readonly Memory[];

  /** The tables with their accounts. Flows that are in them already count from now on. */
  constructor(tables: readonly (readonly [FlowTable, FlowAccounts])[]) {
    this.memories = tables.map(([table, accounts]) => ({
      table,
      accounts,
      known: new Uint8Array(table.capacity),
      before: new Float64Array(table.capacity * CELLS),
    }));
    for (const memory of this.memories) {
      for (let flow = 0; flow < memory.table.highWater; flow++) {
        if (isUsed(memory.table, flow)) remember(memory, flow, carriedBy(memory, flow));
      }
    }
  }

  noteOpened({ table, flow, stateWord }: FlowTold): void {
    const memory = this.memories[table];
    memory.known[flow] = incarnationOf(stateWord) + 1;
    memory.before.fill(0, flow * CELLS, (flow + 1) * CELLS);
  }

  /** @returns what it carried since it was last looked at; undefined: nothing */
  noteEnded(told: FlowTold, interval: number): Harvest | undefined {
    const { tuple, flow, stateWord, carried, port, rule } = told;
    const memory = this.memories[told.table];
    const isKnown = memory.known[flow] === incarnationOf(stateWord) + 1;
    const before = isKnown ? memory.before.subarray(flow * CELLS, (flow + 1) * CELLS) : undefined;
    const harvest = difference(carried, before, interval);
    if (isKnown) memory.known[flow] = UNKNOWN;
    if (harvest === undefined) return undefined;
    return { ...harvest, port, rule: rule ?? -1, tuple, lastSeenMs: told.lastSeenMs };
  }

  /** After lost events: takes the flows there are as they are. */
  resync(): void {
    for (const memory of this.memories) {
      const { table, known, before } = memory;
      for (let flow = 0; flow < table.highWater; flow++) {
        if (!isUsed(table, flow)) continue;
        const incarnation = incarnationOf(stateWordOf(table, flow)) + 1;
        if (known[flow] === incarnation) continue;
        known[flow] = incarnation;
        before.fill(0, flow * CELLS, (flow + 1) * CELLS);
      }
    }
  }

  /** What every flow carried in the interval, which is over; in slices, so that others get their turn. */
  async harvest(interval: number, take: (harvest: Harvest) => void): Promise<void> {
    const tables = this.memories.map(({ table }) => table);
    await scanEntries(tables, (number, from, end) => {
      for (let flow = from; flow < end; flow++) {
        const harvest = this.look(this.memories[number], flow, interval);
        if (harvest !== undefined) take(harvest);
      }
    });
  }

  private look(memory: Memory, flow: FlowIndex, interval: number): Harvest | undefined {
    const { table, known, before } = memory;
    if (!isUsed(table, flow)) return undefined;
    if (known[flow] !== incarnationOf(stateWordOf(table, flow)) + 1) return undefined;
    const carried = carriedBy(memory, flow);
    const harvest = difference(
      carried,
      before.subarray(flow * CELLS, (flow + 1) * CELLS),
      interval,
    );
    if (harvest === undefined) return undefined;
    const base = flow * table.stride;
    const result: Harvest = {
      ...harvest,
      port: table.words[base + KEY_META] >>> 16,
      rule: table.words[base + table.keyWords + FLOW_RULE] & RULE_MASK,
      tuple: tupleOfFlow(table, flow),
      lastSeenMs: table.words[base + table.keyWords + FLOW_SEEN],
    };
    // Recycled while it was read: the event of its end tells what it carried.
    if (known[flow] !== incarnationOf(stateWordOf(table, flow)) + 1) return undefined;
    remember(memory, flow, carried);
    return result;
  }
}

function isUsed(table: FlowTable, flow: FlowIndex): boolean {
  return (stateWordOf(table, flow) & STATE_MASK) !== 0;
}

function stateWordOf({ words, stride, keyWords }: FlowTable, flow: FlowIndex): number {
  return words[flow * stride + keyWords + FLOW_STATE];
}

function incarnationOf(stateWord: number): number {
  return (stateWord & INCARNATION_MASK) >>> INCARNATION_SHIFT;
}

function carriedBy({ accounts }: Memory, flow: FlowIndex): Carried {
  return createCarried(accounts.words, accounts.doubles, flow * ACCOUNT_WORDS);
}

function remember({ table, known, before }: Memory, flow: FlowIndex, carried: Carried): void {
  known[flow] = incarnationOf(stateWordOf(table, flow)) + 1;
  const { packetsOut, packetsIn, bytesOut, bytesIn } = carried;
  before.set([packetsOut, packetsIn, bytesOut, bytesIn], flow * CELLS);
}

function difference(
  carried: Carried,
  before: Float64Array | undefined,
  interval: number,
): Pick<Harvest, 'out' | 'in' | 'firstSeenMs'> | undefined {
  const [packetsOut, packetsIn, bytesOut, bytesIn] = before ?? [0, 0, 0, 0];
  const out = carried.packetsOut - packetsOut;
  const into = carried.packetsIn - packetsIn;
  if (out === 0 && into === 0) return undefined;
  const isOfIt = carried.interval === interval;
  // A packet of the next interval has come already: what is asked for has become the one before.
  const isPast = carried.interval === ((interval + 1) & 0xff);
  const flags = (now: number, past: number): number => (isOfIt ? now : isPast ? past : 0);
  return {
    out: {
      packets: out,
      bytes: carried.bytesOut - bytesOut,
      tcpFlags: flags(carried.flagsOut, carried.flagsOutBefore),
    },
    in: {
      packets: into,
      bytes: carried.bytesIn - bytesIn,
      tcpFlags: flags(carried.flagsIn, carried.flagsInBefore),
    },
    firstSeenMs: isOfIt ? carried.firstSeenMs : undefined,
  };
}
