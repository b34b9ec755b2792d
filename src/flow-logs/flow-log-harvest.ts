/**
 * The harvester finds what tracked flows have carried since they were last read.
 *
 * Theory of operation
 *
 * The packet loop counts in accounts that it never resets (conntrack/accounts.ts). So what a flow carried in an
 * interval is the difference to its account at the end of the interval before. The harvester keeps that older
 * account: four doubles for each entry. When a flow ends, its event carries the account, because the entry may hold
 * another flow before anybody reads it. Flows of the same entry are distinguished by their incarnation. If an entry
 * holds another flow than the last event was about, it is left alone until the event of its own flow arrives.
 *
 * Lost events leave entries whose flows are not known. `resync` accepts them as they are, and the log marks that
 * interval as one with skipped data.
 */
import {
  ACCOUNT_WORDS,
  createCarried,
  type Carried,
  type FlowAccounts,
} from '../conntrack/accounts.ts';
import {
  type FlowIndex,
  incarnationIn,
  isUsed,
  portOf,
  ruleOf,
  seenOf,
  stateWordOf,
} from '../conntrack/entry.ts';
import { forEachFlow, type FlowTable } from '../conntrack/table.ts';
import { scanEntries } from '../telemetry/flow-scan.ts';
import { tupleOfFlow, type FlowEvent, type Tuple } from '../telemetry/packet-events.ts';

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
  /** On the loop's clock: the first packet, if it is known to be in this interval, and the last one. */
  readonly firstSeenMs: number | undefined;
  readonly lastSeenMs: number;
}

const CELLS = 4;
const UNKNOWN = 0;

/** The memory for one table. */
interface Memory {
  readonly table: FlowTable;
  readonly accounts: FlowAccounts;
  /** By entry: the incarnation plus one of the flow that `before` is about, or UNKNOWN. */
  readonly known: Uint8Array;
  /** By entry: packets out, packets in, bytes out and bytes in at the last reading. */
  readonly before: Float64Array;
}

export class FlowHarvester {
  private readonly memories: readonly Memory[];

  /** @param tables with their accounts. Flows that are already in them count from now on. */
  constructor(tables: readonly (readonly [FlowTable, FlowAccounts])[]) {
    this.memories = tables.map(([table, accounts]) => ({
      table,
      accounts,
      known: new Uint8Array(table.capacity),
      before: new Float64Array(table.capacity * CELLS),
    }));
    for (const memory of this.memories) {
      forEachFlow(memory.table, (flow) => remember(memory, flow, carriedBy(memory, flow)));
    }
  }

  noteOpened({ table, flow, stateWord }: FlowEvent): void {
    const memory = this.memories[table];
    memory.known[flow] = incarnationIn(stateWord) + 1;
    memory.before.fill(0, flow * CELLS, (flow + 1) * CELLS);
  }

  /** Takes the event of a flow's end. @returns what it carried since the last reading; undefined: nothing */
  noteEnded(event: FlowEvent, interval: number): Harvest | undefined {
    const { tuple, flow, stateWord, carried, port, rule } = event;
    const memory = this.memories[event.table];
    const isKnown = memory.known[flow] === incarnationIn(stateWord) + 1;
    const before = isKnown ? memory.before.subarray(flow * CELLS, (flow + 1) * CELLS) : undefined;
    const harvest = difference(carried, before, interval);
    if (isKnown) memory.known[flow] = UNKNOWN;
    if (harvest === undefined) return undefined;
    return { ...harvest, port, rule: rule ?? -1, tuple, lastSeenMs: event.lastSeenMs };
  }

  /** After lost events, accepts the flows in the tables as they are. */
  resync(): void {
    for (const memory of this.memories) {
      const { table, known, before } = memory;
      forEachFlow(table, (flow) => {
        const incarnation = incarnationOf(table, flow) + 1;
        if (known[flow] === incarnation) return;
        known[flow] = incarnation;
        before.fill(0, flow * CELLS, (flow + 1) * CELLS);
      });
    }
  }

  /**
   * Reads what every flow carried in an interval that is over. It works in slices, so that other work gets its turn.
   */
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
    if (known[flow] !== incarnationOf(table, flow) + 1) return undefined;
    const carried = carriedBy(memory, flow);
    const harvest = difference(
      carried,
      before.subarray(flow * CELLS, (flow + 1) * CELLS),
      interval,
    );
    if (harvest === undefined) return undefined;
    const result: Harvest = {
      ...harvest,
      port: portOf(table, flow),
      rule: ruleOf(table, flow),
      tuple: tupleOfFlow(table, flow),
      lastSeenMs: seenOf(table, flow),
    };
    // The entry was reused while it was read. The event of the old flow's end says what it carried.
    if (known[flow] !== incarnationOf(table, flow) + 1) return undefined;
    remember(memory, flow, carried);
    return result;
  }
}

function incarnationOf(table: FlowTable, flow: FlowIndex): number {
  return incarnationIn(stateWordOf(table, flow));
}

function carriedBy({ accounts }: Memory, flow: FlowIndex): Carried {
  return createCarried(accounts.words, accounts.doubles, flow * ACCOUNT_WORDS);
}

function remember({ table, known, before }: Memory, flow: FlowIndex, carried: Carried): void {
  known[flow] = incarnationOf(table, flow) + 1;
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
  // A packet of the next interval has already arrived, so the wanted interval is now the one before.
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
