/** This file turns event records of the packet loop into objects that people and JSON can read. */
import { formatAddress, type Family } from '../addr/address.ts';
import { createCarried, type Carried } from '../conntrack/accounts.ts';
import { tableNumber } from '../dataplane/messages.ts';
import { TOLD_STATES, toldState } from '../conntrack/states.ts';
import {
  type FlowIndex,
  localAddressAt,
  localPortOf,
  protocolOf,
  remoteAddressAt,
  remotePortOf,
  ruleIn,
} from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import {
  ENDED_NAMES,
  EVENT_ACCOUNT,
  EVENT_AUDIT,
  EVENT_BYTES,
  EVENT_DIRECTION_BIT,
  EVENT_DROP,
  EVENT_FLOW,
  EVENT_FLAGS_SHIFT,
  EVENT_FLOW_ENDED,
  EVENT_FLOW_OPENED,
  EVENT_HAS_TARGET,
  EVENT_HAS_TUPLE,
  EVENT_IS_ARP,
  EVENT_IS_IPV6,
  EVENT_KIND,
  EVENT_LOCAL,
  EVENT_META,
  EVENT_NO_RULE,
  EVENT_PACKETS,
  EVENT_PORTS,
  EVENT_REASON_SHIFT,
  EVENT_REMOTE,
  EVENT_RULE,
  EVENT_SEEN,
  EVENT_STATE,
  EVENT_TARGET,
  EVENT_TIME,
} from '../engine/events.ts';
import { REASONS } from '../engine/reasons.ts';
import { hasIcmpType } from '../policy/protocols.ts';

/** The two ends of a packet or a flow, from an instance's point of view. */
export interface Tuple {
  readonly family: Family;
  /** IANA number. */
  readonly protocol: number;
  readonly localAddress: string;
  readonly remoteAddress: string;
  /** TCP and UDP: the port. ICMP queries: the identifier on the side that asks, the type on the other. Else 0. */
  readonly localPort: number;
  readonly remotePort: number;
}

interface EventCommon {
  /** Port number of the interface. */
  readonly port: number;
  /** Moment on the loop's clock. */
  readonly timeMs: number;
  /** Number of the rule that admitted it; undefined: none. */
  readonly rule: number | undefined;
}

export interface PacketEvent extends EventCommon {
  /** `audited`: a packet that passes by audit alone, and opens a flow or is untracked. */
  readonly kind: 'dropped' | 'passed' | 'audited';
  readonly direction: 'ingress' | 'egress';
  /** Name of the drop reason, of one that is audited what it would be; undefined if it passed. */
  readonly reason: string | undefined;
  /** undefined: it could not be decoded, or is no IP packet. */
  readonly tuple: Tuple | undefined;
  readonly tcpFlags: number;
  readonly icmp: { readonly type: number; readonly code: number } | undefined;
  /** Of an ARP message, or a neighbour solicitation or advertisement that the link layer refused. */
  readonly neighbour: NeighbourMessage | undefined;
  readonly packets: number;
  readonly bytes: number;
  readonly isTracked: boolean;
}

export interface NeighbourMessage {
  readonly protocol: 'arp' | 'nd';
  /** ARP's operation (RFC 826), or the ICMPv6 type. */
  readonly operation: number;
  readonly sender: string;
  /** The IP address whose MAC address is asked for or announced. */
  readonly target: string;
}

export interface FlowEvent extends EventCommon {
  readonly kind: 'opened' | 'ended';
  readonly tuple: Tuple;
  /** Its table (dataplane/dataplane.ts, flows), and its entry there. */
  readonly table: number;
  readonly flow: number;
  /** State, flags and incarnation (conntrack/entry.ts). */
  readonly stateWord: number;
  readonly state: string;
  readonly lastSeenMs: number;
  /** Why it ended; undefined for a flow that opened. */
  readonly endedBy: string | undefined;
  /** Zeros without accounting. */
  readonly carried: Carried;
}

/** Reads the record at `at` (telemetry/event-pump.ts). @param loop the packet loop that wrote it */
export function readEvent(
  words: Int32Array,
  doubles: Float64Array,
  at: number,
  loop: number,
): PacketEvent | FlowEvent {
  const head = words[at + EVENT_KIND];
  const kind = head & 0xff;
  const rule = words[at + EVENT_RULE];
  const common: EventCommon = {
    port: words[at + EVENT_META] >>> 16,
    timeMs: words[at + EVENT_TIME],
    rule: rule === EVENT_NO_RULE ? undefined : ruleIn(rule),
  };
  const number = (head >>> EVENT_REASON_SHIFT) & 0xff;
  if (kind === EVENT_FLOW_OPENED || kind === EVENT_FLOW_ENDED) {
    const stateWord = words[at + EVENT_STATE];
    return {
      ...common,
      kind: kind === EVENT_FLOW_OPENED ? 'opened' : 'ended',
      tuple: readTuple(words, at),
      table: tableNumber(loop, (head & EVENT_IS_IPV6) === 0),
      flow: words[at + EVENT_FLOW],
      stateWord,
      state: TOLD_STATES[toldState(stateWord)],
      lastSeenMs: words[at + EVENT_SEEN],
      endedBy: number === 0 ? undefined : ENDED_NAMES[number],
      carried: createCarried(words, doubles, at + EVENT_ACCOUNT),
    };
  }
  const tuple = (head & EVENT_HAS_TUPLE) === 0 ? undefined : readTuple(words, at);
  const isIcmp = tuple !== undefined && hasIcmpType(tuple.protocol);
  const icmp = words[at + EVENT_ACCOUNT];
  return {
    ...common,
    kind: kind === EVENT_DROP ? 'dropped' : kind === EVENT_AUDIT ? 'audited' : 'passed',
    direction: (head & EVENT_DIRECTION_BIT) === 0 ? 'ingress' : 'egress',
    reason: kind === EVENT_DROP || kind === EVENT_AUDIT ? REASONS[number][0] : undefined,
    tuple,
    tcpFlags: head >>> EVENT_FLAGS_SHIFT,
    icmp: isIcmp ? { type: icmp >>> 8, code: icmp & 0xff } : undefined,
    neighbour: readNeighbour(words, at),
    packets: words[at + EVENT_PACKETS],
    bytes: words[at + EVENT_BYTES],
    isTracked: words[at + EVENT_FLOW] >= 0,
  };
}

/** The two ends of a tracked flow. The entry must be in use. */
export function tupleOfFlow(table: FlowTable, flow: FlowIndex): Tuple {
  const { words, family } = table;
  return {
    family,
    protocol: protocolOf(table, flow),
    localAddress: addressAt(words, family, localAddressAt(table, flow)),
    remoteAddress: addressAt(words, family, remoteAddressAt(table, flow)),
    localPort: localPortOf(table, flow),
    remotePort: remotePortOf(table, flow),
  };
}

function readNeighbour(words: Int32Array, at: number): NeighbourMessage | undefined {
  const head = words[at + EVENT_KIND];
  const operation = words[at + EVENT_ACCOUNT];
  if ((head & EVENT_IS_ARP) !== 0) {
    const sender = addressAt(words, 4, at + EVENT_LOCAL);
    return { protocol: 'arp', operation, sender, target: addressAt(words, 4, at + EVENT_REMOTE) };
  }
  if ((head & EVENT_HAS_TARGET) === 0) return undefined;
  const isLocal = (head & EVENT_DIRECTION_BIT) !== 0;
  return {
    protocol: 'nd',
    operation: operation >>> 8,
    sender: addressAt(words, 6, at + (isLocal ? EVENT_LOCAL : EVENT_REMOTE)),
    target: addressAt(words, 6, at + EVENT_TARGET),
  };
}

function readTuple(words: Int32Array, at: number): Tuple {
  const family: Family = (words[at + EVENT_KIND] & EVENT_IS_IPV6) === 0 ? 4 : 6;
  const ports = words[at + EVENT_PORTS];
  return {
    family,
    protocol: words[at + EVENT_META] & 0xff,
    localAddress: addressAt(words, family, at + EVENT_LOCAL),
    remoteAddress: addressAt(words, family, at + EVENT_REMOTE),
    localPort: ports >>> 16,
    remotePort: ports & 0xffff,
  };
}

function addressWords(family: Family): number {
  return family === 4 ? 1 : 4;
}

function addressAt(words: Int32Array, family: Family, from: number): string {
  return formatAddress({
    family,
    words: [...words.subarray(from, from + addressWords(family))],
  });
}
