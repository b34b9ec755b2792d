/**
 * This file answers `sgctl top`: what moved in the last second. All clients share one scan.
 *
 * Theory of operation. Counters only grow, so a rate needs two readings. For interfaces, rules and reasons that is
 * little. For flows it needs the bytes and packets of each flow one second ago: 36 bytes for each entry of the flow
 * table that was ever in use, for as long as some client follows. A new flow in an entry is recognised by its
 * incarnation. A scan goes through the tables in slices (flow-scan.ts). With millions of flows on a slow machine it
 * may take longer than a second. Then the next scan begins when it is done, and rates are computed over the time that
 * has really passed.
 */
import { ACCOUNT_WORDS, createCarried } from '../conntrack/accounts.ts';
import { type FlowIndex, incarnationIn, stateWordOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import {
  counterRow,
  DROPPED_BY_REASON,
  EGRESS,
  GAUGE_OPENED,
  INGRESS,
} from '../engine/counters.ts';
import { LINK_SCOPE, REASON_COUNT, REASONS } from '../engine/reasons.ts';
import { scanFlows } from '../telemetry/flow-scan.ts';
import type { FlowsView, FlowView } from './flows-view.ts';
import { readTraffic, type Traffic } from './interfaces-view.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import { ratesOf } from './status-view.ts';
import type { Sink } from './stream.ts';
import { readChoice, readNumber } from './traffic-filter.ts';
import { meaningOf } from './verdict-view.ts';

export const TOP_ORDERS = ['bytes', 'packets'] as const;
export const TOP_FLOWS_MAX = 200;
const TOP_FLOWS = 50;
const OTHERS_SHOWN = 20;
const INTERVAL_MS = 1000;

export interface TopQuestion {
  readonly sort?: (typeof TOP_ORDERS)[number];
  /** Most flows in an answer. */
  readonly limit?: number;
}

export interface TopFlow extends FlowView {
  /** Rates per second. */
  readonly bytesOutRate: number;
  readonly bytesInRate: number;
  readonly packetsOutRate: number;
  readonly packetsInRate: number;
}

export interface TopAnswer {
  readonly timeMs: number;
  /** The time over which the rates were measured. */
  readonly intervalMs: number;
  /** Flows tracked now, and the limit. */
  readonly flows: number;
  readonly maxFlows: number;
  /** Rates per second. */
  readonly flowsOpenedRate: number;
  readonly hasAccounts: boolean;
  /** Rates per second, also of interfaces without traffic. */
  readonly interfaces: readonly {
    readonly name: string;
    readonly ingress: Traffic;
    readonly egress: Traffic;
  }[];
  /** Flows with traffic, the fastest first. */
  readonly topFlows: readonly TopFlow[];
  /** Rules that admitted something, the most used first. */
  readonly topRules: readonly (RuleView & { readonly hits: number; readonly hitsRate: number })[];
  /** Reasons of drops, the most frequent first. */
  readonly topDrops: readonly {
    readonly interface: string;
    readonly direction: 'ingress' | 'egress';
    readonly reason: string;
    readonly meaning: string;
    readonly packets: number;
    readonly packetsRate: number;
  }[];
}

interface Client {
  readonly order: (typeof TOP_ORDERS)[number];
  readonly limit: number;
  readonly sink: Sink<TopAnswer>;
}

interface Mover {
  /** The table's number. */
  readonly table: number;
  readonly flow: FlowIndex;
  readonly bytesOut: number;
  readonly bytesIn: number;
  readonly packetsOut: number;
  readonly packetsIn: number;
}

export class TopSampler {
  private readonly observatory: Observatory;
  private readonly book: RuleBook;
  private readonly view: FlowsView;
  private readonly onError: (error: unknown) => void;
  private readonly clients = new Set<Client>();
  /** By table. */
  private readonly before: FlowMemory[] = [];
  private counters = new Float64Array(0);
  private hits: ReadonlyMap<number, number> = new Map();
  private opened = 0;
  private atMs = 0;
  private timer: NodeJS.Timeout | undefined;
  private isRunning = false;

  constructor(
    observatory: Observatory,
    book: RuleBook,
    view: FlowsView,
    onError: (error: unknown) => void,
  ) {
    this.observatory = observatory;
    this.book = book;
    this.view = view;
    this.onError = onError;
  }

  /** Starts to answer a client. @returns a function that ends it  @throws RequestError */
  follow(question: TopQuestion, sink: Sink<TopAnswer>): () => void {
    const client: Client = {
      order: readChoice(question.sort, 'sort', TOP_ORDERS) ?? 'bytes',
      limit: readNumber(question.limit, 'limit', {
        min: 0,
        max: TOP_FLOWS_MAX,
        fallback: TOP_FLOWS,
      }),
      sink,
    };
    this.clients.add(client);
    if (!this.isRunning) this.run().catch(this.onError);
    return () => this.clients.delete(client);
  }

  stop(): void {
    this.clients.clear();
    clearTimeout(this.timer);
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    try {
      await this.look();
      while (this.clients.size > 0) {
        const waitMs = Math.max(0, INTERVAL_MS - (performance.now() - this.atMs));
        await new Promise((resolve) => {
          this.timer = setTimeout(resolve, waitMs).unref();
        });
        const { clients } = this;
        const moved = await this.look();
        for (const client of clients) client.sink.send(this.answer(client, moved), 1);
      }
    } finally {
      // After a failed scan, the next client starts the scans again, for all.
      this.isRunning = false;
      for (const memory of this.before) memory.forget();
    }
  }

  /** Reads what the answers of all clients are made of. The next scan compares with this one. */
  private async look(): Promise<
    Omit<TopAnswer, 'topFlows'> & { readonly movers: readonly Mover[] }
  > {
    const { observatory } = this;
    const { dataplane } = observatory;
    const startMs = performance.now();
    const seconds = this.atMs === 0 ? 1 : (startMs - this.atMs) / 1000;
    this.atMs = startMs;
    const movers = await this.findMovers();
    const counters = dataplane.readCounters().slice();
    const before = this.counters.length === 0 ? counters : this.counters;
    const opened = dataplane.readGauge(GAUGE_OPENED);
    const openedBefore = this.opened;
    this.counters = counters;
    this.opened = opened;
    const perSecond = (mover: Mover): Mover => ({
      ...mover,
      bytesOut: Math.round(mover.bytesOut / seconds),
      bytesIn: Math.round(mover.bytesIn / seconds),
      packetsOut: Math.round(mover.packetsOut / seconds),
      packetsIn: Math.round(mover.packetsIn / seconds),
    });
    const names = [...observatory.portNames()];
    return {
      timeMs: Date.now(),
      intervalMs: Math.round(seconds * 1000),
      flows: dataplane.flowCount,
      maxFlows: observatory.config.conntrack.maxFlows,
      flowsOpenedRate: Math.max(0, Math.round((opened - openedBefore) / seconds)),
      hasAccounts: dataplane.accounts[0] !== null,
      interfaces: names.map(([port, name]) => ({
        name,
        ingress: ratesAt(before, counters, port, INGRESS, seconds),
        egress: ratesAt(before, counters, port, EGRESS, seconds),
      })),
      topRules: this.topRules(seconds),
      topDrops: topDrops(before, counters, names, seconds),
      movers: movers.map(perSecond),
    };
  }

  private answer(
    { order, limit }: Client,
    { movers, ...common }: Awaited<ReturnType<TopSampler['look']>>,
  ): TopAnswer {
    const names = this.observatory.portNames();
    const amount = (mover: Mover): number =>
      order === 'bytes' ? mover.bytesOut + mover.bytesIn : mover.packetsOut + mover.packetsIn;
    const sorted = [...movers].sort((a, b) => amount(b) - amount(a)).slice(0, limit);
    const topFlows = sorted.map((mover) => ({
      ...this.view.view(mover.table, mover.flow, names),
      bytesOutRate: mover.bytesOut,
      bytesInRate: mover.bytesIn,
      packetsOutRate: mover.packetsOut,
      packetsInRate: mover.packetsIn,
    }));
    return { ...common, topFlows };
  }

  /** Finds the flows with the most bytes and those with the most packets since the last scan: TOP_FLOWS_MAX of each. */
  private async findMovers(): Promise<readonly Mover[]> {
    const { dataplane } = this.observatory;
    if (dataplane.accounts[0] === null) return [];
    let byBytes: Mover[] = [];
    let byPackets: Mover[] = [];
    await scanFlows(dataplane.flows, dataplane, (table, flow, number) => {
      const mover = this.moved(table, flow, number);
      if (mover === undefined) return;
      byBytes.push(mover);
      byPackets.push(mover);
      if (byBytes.length >= 2 * TOP_FLOWS_MAX) {
        byBytes = most(byBytes, (one) => one.bytesOut + one.bytesIn);
        byPackets = most(byPackets, (one) => one.packetsOut + one.packetsIn);
      }
    });
    return [...new Set([...byBytes, ...byPackets])];
  }

  private moved(table: FlowTable, flow: FlowIndex, number: number): Mover | undefined {
    const { words, doubles } = this.observatory.dataplane.accounts[number]!;
    const carried = createCarried(words, doubles, flow * ACCOUNT_WORDS);
    const memory = (this.before[number] ??= new FlowMemory());
    memory.makeRoom(table.highWater);
    const { bytesOut, bytesIn, packetsOut, packetsIn } = carried;
    memory.exchange(flow, incarnationIn(stateWordOf(table, flow)), carried);
    const mover = {
      table: number,
      flow,
      bytesOut: Math.max(0, bytesOut - memory.bytesOut),
      bytesIn: Math.max(0, bytesIn - memory.bytesIn),
      packetsOut: Math.max(0, packetsOut - memory.packetsOut),
      packetsIn: Math.max(0, packetsIn - memory.packetsIn),
    };
    return mover.packetsOut + mover.packetsIn === 0 ? undefined : mover;
  }

  private topRules(seconds: number): TopAnswer['topRules'] {
    const { dataplane } = this.observatory;
    const before = this.hits;
    const hits = new Map(
      [...this.book.rules].map(({ number }) => [number, dataplane.hitsOf(number)]),
    );
    this.hits = hits;
    return [...hits]
      .map(([number, count]) => ({ number, count, grown: count - (before.get(number) ?? count) }))
      .filter(({ grown }) => grown > 0)
      .sort((a, b) => b.grown - a.grown)
      .slice(0, OTHERS_SHOWN)
      .map(({ number, count, grown }) => ({
        ...this.book.view(number)!,
        hits: count,
        hitsRate: Math.round(grown / seconds),
      }));
  }
}

function most(movers: readonly Mover[], amount: (mover: Mover) => number): Mover[] {
  return [...movers].sort((a, b) => amount(b) - amount(a)).slice(0, TOP_FLOWS_MAX);
}

function ratesAt(
  before: Float64Array,
  after: Float64Array,
  port: number,
  direction: number,
  seconds: number,
): Traffic {
  return ratesOf(
    readTraffic(before, port, direction),
    readTraffic(after, port, direction),
    seconds,
  );
}

function topDrops(
  before: Float64Array,
  after: Float64Array,
  names: readonly (readonly [number, string])[],
  seconds: number,
): TopAnswer['topDrops'] {
  const found: {
    -readonly [Key in keyof TopAnswer['topDrops'][number]]: TopAnswer['topDrops'][number][Key];
  }[] = [];
  for (const [port, name] of names) {
    for (const [word, direction] of [
      ['ingress', INGRESS],
      ['egress', EGRESS],
    ] as const) {
      const row = counterRow(port, direction) + DROPPED_BY_REASON;
      for (let number = 1; number < REASON_COUNT; number++) {
        const packets = after[row + number];
        const grown = packets - before[row + number];
        if (grown <= 0 || number === LINK_SCOPE) continue;
        const [reason] = REASONS[number];
        found.push({
          interface: name,
          direction: word,
          reason,
          meaning: meaningOf(reason),
          packets,
          packetsRate: Math.round(grown / seconds),
        });
      }
    }
  }
  return found.sort((a, b) => b.packetsRate - a.packetsRate).slice(0, OTHERS_SHOWN);
}

/** Remembers what each flow of a table had carried at the last scan. */
class FlowMemory {
  private values = new Float64Array(0);
  private incarnations = new Int32Array(0);
  /** The result of `exchange`. */
  bytesOut = 0;
  bytesIn = 0;
  packetsOut = 0;
  packetsIn = 0;

  makeRoom(flows: number): void {
    if (flows <= this.incarnations.length) return;
    const room = Math.max(1024, 2 ** Math.ceil(Math.log2(flows)));
    const values = new Float64Array(4 * room);
    const incarnations = new Int32Array(room).fill(-1);
    values.set(this.values);
    incarnations.set(this.incarnations);
    this.values = values;
    this.incarnations = incarnations;
  }

  /** Gives what a flow had carried at the last scan (zeros for a new flow), and remembers what it has carried now. */
  exchange(
    flow: FlowIndex,
    incarnation: number,
    now: {
      readonly bytesOut: number;
      readonly bytesIn: number;
      readonly packetsOut: number;
      readonly packetsIn: number;
    },
  ): void {
    const { values } = this;
    const at = 4 * flow;
    const isKnown = this.incarnations[flow] === incarnation;
    this.bytesOut = isKnown ? values[at] : 0;
    this.bytesIn = isKnown ? values[at + 1] : 0;
    this.packetsOut = isKnown ? values[at + 2] : 0;
    this.packetsIn = isKnown ? values[at + 3] : 0;
    this.incarnations[flow] = incarnation;
    values[at] = now.bytesOut;
    values[at + 1] = now.bytesIn;
    values[at + 2] = now.packetsOut;
    values[at + 3] = now.packetsIn;
  }

  forget(): void {
    this.values = new Float64Array(0);
    this.incarnations = new Int32Array(0);
  }
}
