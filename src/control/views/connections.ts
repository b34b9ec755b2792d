/**
 * Tracked connections as people read them, from the flow tables that the packet loop writes.
 *
 * A flow that changes while it is read may be shown as it was a moment ago; nothing is decided by it.
 */
import { formatAddress, type Address, type Family } from '../../addr/address.ts';
import { OPENED_LOCALLY, STATE_MASK, STATE_NAMES } from '../../conntrack/states.ts';
import {
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  type FlowTable,
} from '../../conntrack/table.ts';
import { protocolName } from '../../policy/protocols.ts';

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

/** The first `most` connections that such packets would belong to. */
export function findConnections(
  tables: readonly FlowTable[],
  names: ReadonlyMap<number, string>,
  filter: ConnectionFilter,
  most: number,
): Connection[] {
  const { from, to, port } = filter;
  const protocol = protocolName(filter.protocol);
  const found: Connection[] = [];
  for (const table of tables) {
    for (let flow = 0; flow < table.highWater && found.length < most; flow++) {
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
  const meta = words[key + KEY_META];
  const ports = words[key + KEY_PORTS];
  const state = words[key + keyWords + FLOW_STATE];
  const addressWords = keyWords === KEY_WORDS_4 ? 1 : 4;
  const family: Family = keyWords === KEY_WORDS_4 ? 4 : 6;
  const addressAt = (at: number): Address => ({
    family,
    words: [...words.subarray(at, at + addressWords)],
  });
  return {
    interface: names.get(meta >>> 16) ?? `port ${meta >>> 16}`,
    openedBy: (state & OPENED_LOCALLY) !== 0 ? 'instance' : 'remote',
    protocol: protocolName(meta & 0xff),
    localAddress: formatAddress(addressAt(key + KEY_ADDRESSES)),
    localPort: ports >>> 16,
    remoteAddress: formatAddress(addressAt(key + KEY_ADDRESSES + addressWords)),
    remotePort: ports & 0xffff,
    state: STATE_NAMES[state & STATE_MASK],
  };
}
