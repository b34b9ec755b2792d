/**
 * This file answers `sgctl flows`: it lists tracked flows by filter and order, and ends flows on request.
 *
 * Only the flows that are shown become objects. During the scan a candidate is three numbers, and at most twice as
 * many candidates are kept as were asked for. So a scan of a million flows needs no more memory than its answer.
 */
import { createCarried } from '../conntrack/accounts.ts';
import { ACCOUNT_WORDS } from '../conntrack/accounts.ts';
import {
  type FlowIndex,
  idleMsOf,
  localAddressAt,
  localPortOf,
  portOf,
  protocolOf,
  remoteAddressAt,
  remotePortOf,
  ruleOf,
  stateWordOf,
} from '../conntrack/entry.ts';
import { OPENED_LOCALLY, STATE_MASK, TOLD_STATES, toldState } from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { protocolName } from '../policy/protocols.ts';
import { endFlows } from '../telemetry/end-flows.ts';
import { scanFlows } from '../telemetry/flow-scan.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import { tupleOfFlow } from '../telemetry/packet-events.ts';
import {
  CompiledFilter,
  readChoice,
  readNumber,
  readWords,
  RequestError,
  type TrafficFilter,
} from './traffic-filter.ts';

export const FLOW_STATES: readonly string[] = TOLD_STATES.slice(1);
export const FLOW_OPENERS = ['instance', 'remote'] as const;
export const FLOW_ORDERS = ['table', 'bytes', 'packets', 'idle', 'expires'] as const;
export type FlowOrder = (typeof FLOW_ORDERS)[number];

export const FLOWS_SHOWN = 1000;
/** An answer stays within a few megabytes, whoever asks. */
export const FLOWS_SHOWN_MAX = 10_000;

export interface FlowFilter extends TrafficFilter {
  /** FLOW_STATES. */
  readonly states?: readonly string[];
  readonly openedBy?: (typeof FLOW_OPENERS)[number];
  /** Idle for at least so long, in ms. */
  readonly idleMs?: number;
  /** Those that pass by audit alone: enforced, they would be dropped. */
  readonly audit?: boolean;
}

export interface FlowsQuestion extends FlowFilter {
  readonly sort?: FlowOrder;
  /** 0: count only. */
  readonly limit?: number;
}

export interface FlowView {
  readonly interface: string;
  readonly protocol: string;
  readonly localAddress: string;
  /** TCP and UDP: the port. ICMP queries: identifier or type. Else 0. */
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly openedBy: (typeof FLOW_OPENERS)[number];
  readonly state: string;
  /** Absent with conntrack.accounting: off. */
  readonly packetsOut?: number;
  readonly packetsIn?: number;
  readonly bytesOut?: number;
  readonly bytesIn?: number;
  /** By the clock that flows age by: real time, except in a lab with a time scale. */
  readonly idleMs: number;
  readonly expiresInMs: number;
  /** The rule that admitted it. */
  readonly rule?: RuleView;
}

export interface FlowsAnswer {
  /** How many flows match. `flows` has the first of them. */
  readonly matched: number;
  readonly flows: readonly FlowView[];
  /** Packets and bytes are counted (conntrack.accounting). */
  readonly hasAccounts: boolean;
}

/** A flow that matched, and what it is sorted by. */
interface Candidate {
  /** The table's number. */
  readonly table: number;
  readonly flow: FlowIndex;
  readonly key: number;
}

/** The conditions that only flows have, besides those on traffic. */
interface StateFilter {
  /** As toldState has them. */
  readonly states: ReadonlySet<number> | undefined;
  /** undefined: by either. */
  readonly openedLocally: boolean | undefined;
  readonly idleMs: number;
}

export class FlowsView {
  private readonly observatory: Observatory;
  private readonly book: RuleBook;
  private lastEnd: Promise<unknown> = Promise.resolve();

  constructor(observatory: Observatory, book: RuleBook) {
    this.observatory = observatory;
    this.book = book;
  }

  /** @throws RequestError if the question makes no sense */
  async list(question: FlowsQuestion): Promise<FlowsAnswer> {
    const { dataplane } = this.observatory;
    const limit = readNumber(question.limit, 'limit', {
      min: 0,
      max: FLOWS_SHOWN_MAX,
      fallback: FLOWS_SHOWN,
    });
    const order = readChoice(question.sort, 'sort', FLOW_ORDERS) ?? 'table';
    if (dataplane.accounts[0] === null && (order === 'bytes' || order === 'packets'))
      throw new RequestError(`flows have no ${order} with conntrack.accounting: off`);
    const matches = this.matcher(question);
    let candidates: Candidate[] = [];
    let matched = 0;
    await scanFlows(dataplane.flows, dataplane, (table, flow, number) => {
      if (!matches(table, flow)) return;
      matched++;
      if (limit === 0 || (order === 'table' && candidates.length === limit)) return;
      candidates.push({ table: number, flow, key: this.sortKey(order, flow, number) });
      if (candidates.length >= 2 * limit) candidates = best(candidates, limit);
    });
    const names = this.observatory.portNames();
    const flows = best(candidates, limit).flatMap(({ table, flow }) =>
      // Since the scan the flow may have ended, and its entry may hold another flow.
      matches(dataplane.flows[table], flow) ? [this.view(table, flow, names)] : [],
    );
    return { matched, flows, hasAccounts: dataplane.accounts[0] !== null };
  }

  /**
   * Ends the flows that match, a few hundred at a time. Requests run one after the other.
   * @returns how many it ended
   */
  async end(filter: FlowFilter): Promise<number> {
    const ended = this.lastEnd.then(() =>
      endFlows(this.observatory.dataplane, this.matcher(filter)),
    );
    this.lastEnd = ended.catch(() => undefined);
    return ended;
  }

  private matcher(filter: FlowFilter): (table: FlowTable, flow: FlowIndex) => boolean {
    const traffic = new CompiledFilter(filter, this.observatory);
    const { states, openedLocally, idleMs } = readStateFilter(filter);
    const { dataplane, audits } = this.observatory;
    return (table, flow) => {
      const word = stateWordOf(table, flow);
      if ((word & STATE_MASK) === 0) return false;
      if (states !== undefined && !states.has(toldState(word))) return false;
      if (openedLocally !== undefined && ((word & OPENED_LOCALLY) !== 0) !== openedLocally)
        return false;
      if (filter.audit === true && !audits.has(ruleOf(table, flow))) return false;
      if (idleMs > 0 && idleMsOf(table, flow, dataplane.nowMs) < idleMs) return false;
      return traffic.isEmpty || matchesFlow(traffic, table, flow);
    };
  }

  /** The sort key of a flow. Flows with the smallest key come first. */
  private sortKey(order: FlowOrder, flow: FlowIndex, number: number): number {
    const { dataplane } = this.observatory;
    const table = dataplane.flows[number];
    const idleMs = idleMsOf(table, flow, dataplane.nowMs);
    switch (order) {
      case 'table':
        return 0;
      case 'idle':
        return -idleMs;
      case 'expires':
        return dataplane.idleTimeoutMs(portOf(table, flow), stateWordOf(table, flow)) - idleMs;
      case 'bytes':
      case 'packets': {
        const { words, doubles } = dataplane.accounts[number]!;
        const carried = createCarried(words, doubles, flow * ACCOUNT_WORDS);
        return order === 'bytes'
          ? -(carried.bytesOut + carried.bytesIn)
          : -(carried.packetsOut + carried.packetsIn);
      }
      default:
        return order satisfies never;
    }
  }

  /** The flow in an entry that is in use. @param number of its table */
  view(number: number, flow: FlowIndex, names: ReadonlyMap<number, string>): FlowView {
    const { dataplane } = this.observatory;
    const table = dataplane.flows[number];
    const word = stateWordOf(table, flow);
    const port = portOf(table, flow);
    const { protocol, localAddress, localPort, remoteAddress, remotePort } = tupleOfFlow(
      table,
      flow,
    );
    const accounts = dataplane.accounts[number];
    const idleMs = Math.max(0, idleMsOf(table, flow, dataplane.nowMs));
    const rule = this.book.view(ruleOf(table, flow));
    return {
      interface: names.get(port) ?? `port ${port}`,
      protocol: protocolName(protocol),
      localAddress,
      localPort,
      remoteAddress,
      remotePort,
      openedBy: (word & OPENED_LOCALLY) !== 0 ? 'instance' : 'remote',
      state: TOLD_STATES[toldState(word)] ?? 'free',
      ...(accounts === null ? {} : carriedBy(accounts.words, accounts.doubles, flow)),
      idleMs,
      expiresInMs: Math.max(0, dataplane.idleTimeoutMs(port, word) - idleMs),
      ...(rule === undefined ? {} : { rule }),
    };
  }
}

function carriedBy(
  words: Int32Array,
  doubles: Float64Array,
  flow: FlowIndex,
): Pick<Required<FlowView>, 'packetsOut' | 'packetsIn' | 'bytesOut' | 'bytesIn'> {
  const carried = createCarried(words, doubles, flow * ACCOUNT_WORDS);
  const { packetsOut, packetsIn, bytesOut, bytesIn } = carried;
  return { packetsOut, packetsIn, bytesOut, bytesIn };
}

function best(candidates: readonly Candidate[], most: number): Candidate[] {
  return [...candidates].sort((a, b) => a.key - b.key).slice(0, most);
}

function readStateFilter({ states, openedBy, idleMs }: FlowFilter): StateFilter {
  const words = readWords(states, 'states').map((word) => {
    const state = TOLD_STATES.indexOf(readChoice(word, 'states', FLOW_STATES)!);
    return state;
  });
  const opener = readChoice(openedBy, 'openedBy', FLOW_OPENERS);
  return {
    states: words.length === 0 ? undefined : new Set(words),
    openedLocally: opener === undefined ? undefined : opener === 'instance',
    idleMs: readNumber(idleMs, 'idleMs', { min: 0, max: 2 ** 31 - 1, fallback: 0 }),
  };
}

/** Whether a flow that is in use matches. */
function matchesFlow(filter: CompiledFilter, table: FlowTable, flow: FlowIndex): boolean {
  return filter.matches(
    portOf(table, flow),
    protocolOf(table, flow),
    localPortOf(table, flow),
    remotePortOf(table, flow),
    table.family,
    table.words,
    localAddressAt(table, flow),
    remoteAddressAt(table, flow),
    ruleOf(table, flow),
  );
}
