/**
 * This file reads tracked connections from the flow tables and describes them for people.
 *
 * The packet loop may change a flow while it is read. Then the flow may be shown as it was a moment ago. No decision
 * depends on it.
 */
import { OPENED_LOCALLY, STATE_MASK, STATE_NAMES } from '../conntrack/states.ts';
import {
  isUsed,
  localPortOf,
  portOf,
  protocolOf,
  remotePortOf,
  stateWordOf,
  type FlowIndex,
} from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { protocolName } from '../policy/protocols.ts';
import { scanEntries } from '../telemetry/flow-scan.ts';
import { tupleOfFlow } from '../telemetry/packet-events.ts';

export interface Connection {
  readonly interface: string;
  readonly openedBy: 'instance' | 'remote';
  readonly protocol: string;
  readonly localAddress: string;
  /** 0 where the protocol has none; for ICMP the identifier and the query's type. */
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly state: string;
}

/** `10.0.0.1:80`, `[fd00::1]:80`; the address alone where the protocol has no ports. */
export function endText(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Selects connections: those that a packet from one address to another belongs to, at either gate. */
export interface ConnectionFilter {
  /** As formatAddress writes them. */
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  /** Destination port; undefined where there is none. */
  readonly port: number | undefined;
}

/** Most connections listed with an explanation, for each filter (one filter for each IP family). */
const LISTED_MAX = 20;

/** Finds, for each filter, the first connections that such packets would belong to, at most LISTED_MAX. */
export async function findConnections(
  tables: readonly FlowTable[],
  names: ReadonlyMap<number, string>,
  filters: readonly ConnectionFilter[],
): Promise<Connection[][]> {
  const found = filters.map((): Connection[] => []);
  await scanEntries(tables, (number, from, end) => {
    const table = tables[number];
    for (let flow = from; flow < end; flow++) {
      for (const [i, filter] of filters.entries()) {
        if (found[i].length === LISTED_MAX || !mayMatch(table, flow, filter)) continue;
        const connection = readConnection(table, flow, names);
        const { localAddress, remoteAddress, openedBy } = connection;
        const [opener, other] =
          openedBy === 'instance' ? [localAddress, remoteAddress] : [remoteAddress, localAddress];
        if (opener === filter.from && other === filter.to) found[i].push(connection);
      }
    }
  });
  return found;
}

/** Checks whether a flow is in use and has the protocol and the port. This is cheaper than reading its addresses. */
function mayMatch(
  table: FlowTable,
  flow: FlowIndex,
  { protocol, port }: ConnectionFilter,
): boolean {
  if (!isUsed(table, flow) || protocolOf(table, flow) !== protocol) return false;
  const isLocal = (stateWordOf(table, flow) & OPENED_LOCALLY) !== 0;
  return (
    port === undefined || (isLocal ? remotePortOf(table, flow) : localPortOf(table, flow)) === port
  );
}

/** Reads the flow in an entry. The entry must be in use. */
export function readConnection(
  table: FlowTable,
  flow: number,
  names: ReadonlyMap<number, string>,
): Connection {
  const port = portOf(table, flow);
  const state = stateWordOf(table, flow);
  const tuple = tupleOfFlow(table, flow);
  const { localAddress, localPort, remoteAddress, remotePort } = tuple;
  return {
    interface: names.get(port) ?? `port ${port}`,
    openedBy: (state & OPENED_LOCALLY) !== 0 ? 'instance' : 'remote',
    protocol: protocolName(tuple.protocol),
    localAddress,
    localPort,
    remoteAddress,
    remotePort,
    state: STATE_NAMES[state & STATE_MASK],
  };
}
