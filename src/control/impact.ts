/**
 * What a policy that is not in force yet would do to the connections there are (`sgctl reload --dry-run`).
 *
 * Reads the flow tables that the packet loop writes; a flow that changes meanwhile may be counted as it
 * was a moment ago. It changes nothing.
 */
import { formatAddress, type Address, type Family } from '../addr/address.ts';
import { OPENED_LOCALLY, STATE_MASK, STATE_NAMES } from '../conntrack/states.ts';
import {
  FLOW_STATE,
  KEY_ADDRESSES,
  KEY_META,
  KEY_PORTS,
  KEY_WORDS_4,
  type FlowTable,
} from '../conntrack/table.ts';
import { flowOutlives, isAdmitted } from '../engine/revocation.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { protocolName } from '../policy/protocols.ts';

/** Connections told one by one; beyond that they are only counted. */
const LISTED_MAX = 100;

export interface Connection {
  readonly interface: string;
  readonly openedBy: 'instance' | 'remote';
  readonly protocol: string;
  readonly local: string;
  readonly remote: string;
  readonly state: string;
}

export interface Impact {
  readonly kept: number;
  readonly cut: number;
  /** Of those kept: how many could not be opened anew. */
  readonly keptButRefusedAnew: number;
  /** The first of those that would be cut, and of those that could not be opened anew. */
  readonly cutConnections: readonly Connection[];
  readonly refusedAnewConnections: readonly Connection[];
}

/**
 * @param policy the next one, compiled with the ports and rule numbers that are in use
 * @param names of interfaces by port
 */
export function assessImpact(
  tables: readonly FlowTable[],
  policy: CompiledPolicy,
  names: ReadonlyMap<number, string>,
): Impact {
  const matcher = new Matcher(policy);
  let kept = 0;
  let cut = 0;
  let keptButRefusedAnew = 0;
  const cutConnections: Connection[] = [];
  const refusedAnewConnections: Connection[] = [];
  for (const table of tables) {
    for (let flow = 0; flow < table.highWater; flow++) {
      if (table.words[flow * table.stride + table.keyWords + FLOW_STATE] === 0) continue;
      if (!flowOutlives(table, flow, policy, matcher)) {
        cut++;
        if (cutConnections.length < LISTED_MAX)
          cutConnections.push(connectionAt(table, flow, names));
        continue;
      }
      kept++;
      if (isAdmitted(table, flow, policy, matcher, NO_RULE)) continue;
      keptButRefusedAnew++;
      if (refusedAnewConnections.length < LISTED_MAX)
        refusedAnewConnections.push(connectionAt(table, flow, names));
    }
  }
  return { kept, cut, keptButRefusedAnew, cutConnections, refusedAnewConnections };
}

function connectionAt(
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
  const endpoint = (address: Address, port: number): string => {
    const text = formatAddress(address);
    if (port === 0) return text;
    return family === 4 ? `${text}:${port}` : `[${text}]:${port}`;
  };
  return {
    interface: names.get(meta >>> 16) ?? `port ${meta >>> 16}`,
    openedBy: (state & OPENED_LOCALLY) !== 0 ? 'instance' : 'remote',
    protocol: protocolName(meta & 0xff),
    local: endpoint(addressAt(key + KEY_ADDRESSES), ports >>> 16),
    remote: endpoint(addressAt(key + KEY_ADDRESSES + addressWords), ports & 0xffff),
    state: STATE_NAMES[state & STATE_MASK],
  };
}
