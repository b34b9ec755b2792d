/**
 * Tracked connections as people read them, from the flow tables that the packet loop writes.
 *
 * A flow that changes while it is read may be shown as it was a moment ago; nothing is decided by it.
 */
import { OPENED_LOCALLY, STATE_MASK, STATE_NAMES } from '../../conntrack/states.ts';
import { FLOW_STATE, KEY_META, type FlowTable } from '../../conntrack/table.ts';
import { protocolName } from '../../policy/protocols.ts';
import { tupleOfFlow } from './told.ts';

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

/** What connections are asked for: those at either gate of a packet from one address to another. */
export interface ConnectionFilter {
  /** As formatAddress writes them. */
  readonly from: string;
  readonly to: string;
  readonly protocol: number;
  /** Destination port; undefined where there is none. */
  readonly port: number | undefined;
}

/** Connections told with an explanation, a family. */
const TOLD_MAX = 20;

/** The first connections that such packets would belong to, at most TOLD_MAX. */
export function findConnections(
  tables: readonly FlowTable[],
  names: ReadonlyMap<number, string>,
  filter: ConnectionFilter,
): Connection[] {
  const { from, to, port } = filter;
  const protocol = protocolName(filter.protocol);
  const found: Connection[] = [];
  for (const table of tables) {
    for (let flow = 0; flow < table.highWater && found.length < TOLD_MAX; flow++) {
      if (table.words[flow * table.stride + table.keyWords + FLOW_STATE] === 0) continue;
      const connection = readConnection(table, flow, names);
      const { localAddress, remoteAddress, openedBy } = connection;
      const [opener, other] =
        openedBy === 'instance' ? [localAddress, remoteAddress] : [remoteAddress, localAddress];
      const asked = openedBy === 'instance' ? connection.remotePort : connection.localPort;
      if (opener !== from || other !== to || connection.protocol !== protocol) continue;
      if (port === undefined || asked === port) found.push(connection);
    }
  }
  return found;
}

/** The flow in that entry, which must be in use. */
export function readConnection(
  table: FlowTable,
  flow: number,
  names: ReadonlyMap<number, string>,
): Connection {
  const { words, stride, keyWords } = table;
  const key = flow * stride;
  const port = words[key + KEY_META] >>> 16;
  const state = words[key + keyWords + FLOW_STATE];
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
