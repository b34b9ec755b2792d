/**
 * This file describes one verdict on one packet for people and JSON: `trace`, `drops` and `explain --drop` show it.
 */
import { OPENED_LOCALLY } from '../conntrack/states.ts';
import { LINK_SCOPE, REASONS } from '../engine/reasons.ts';
import { PROTOCOL_ICMP, PROTOCOL_ICMPV6, PROTOCOL_TCP, protocolName } from '../policy/protocols.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import type {
  FlowEvent,
  NeighbourMessage,
  PacketEvent,
  Tuple,
} from '../telemetry/packet-events.ts';

export interface VerdictView {
  /** Ms since 1970. */
  readonly timeMs: number;
  readonly interface: string;
  /** Ingress is towards the instance. On the uplink, ingress is what came in through it. */
  readonly direction: 'ingress' | 'egress';
  /** `audited`: it passes by audit alone. */
  readonly verdict: 'passed' | 'dropped' | 'audited';
  /** For a drop, or what would be one, the reason's name from docs/drop-reasons.md and its meaning. */
  readonly reason?: string;
  readonly meaning?: string;
  /** The packet opened a flow that is now tracked. */
  readonly opensFlow: boolean;
  readonly isTracked: boolean;
  /** Absent if the packet could not be decoded, or is no IP packet. */
  readonly packet?: PacketView;
  /** Present if this is an ARP message, a neighbour solicitation or an advertisement that the link layer refused. */
  readonly neighbour?: NeighbourView;
  /** The rule that admitted the packet or its flow. */
  readonly rule?: RuleView;
  /** Packets on the wire (a GSO superpacket counts as several). Absent when a flow was opened. */
  readonly packets?: number;
  readonly bytes?: number;
}

export interface NeighbourView {
  readonly protocol: 'arp' | 'nd';
  /** `request`, `reply`, `solicitation`, `advertisement`, or the number of another operation. */
  readonly operation: string;
  readonly sender: string;
  /** The IP address whose MAC address is asked for or announced. */
  readonly target: string;
}

export interface PacketView {
  readonly family: 4 | 6;
  readonly protocol: string;
  readonly localAddress: string;
  /** TCP and UDP: the port. ICMP queries: identifier or type. Else 0. */
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** As tcpdump writes them: `S`, `S.`, `F.`, `R`. */
  readonly tcpFlags?: string;
  readonly icmp?: { readonly type: number; readonly code: number };
}

const NEIGHBOUR_OPERATIONS: Readonly<Record<string, string>> = {
  'arp 1': 'request',
  'arp 2': 'reply',
  'nd 135': 'solicitation',
  'nd 136': 'advertisement',
};

/** The drop reason of link-local noise. It is counted, and shown only on request. */
export const CHATTER = REASONS[LINK_SCOPE][0];

const MEANINGS: ReadonlyMap<string, string> = new Map(REASONS.slice(1));

/** Names of drop reasons. */
export const REASON_NAMES: readonly string[] = REASONS.slice(1).map(([name]) => name);

export function meaningOf(reason: string): string {
  return MEANINGS.get(reason) ?? reason;
}

const FLAG_LETTERS = ['F', 'S', 'R', 'P', '.', 'U', 'E', 'W'] as const;

/** `S.` for SYN and ACK, `none` for no flags. */
export function tcpFlagsText(flags: number): string {
  // As in tcpdump: the dot for ACK comes last.
  const letters = FLAG_LETTERS.filter(
    (letter, bit) => letter !== '.' && (flags & (1 << bit)) !== 0,
  );
  const text = letters.join('') + ((flags & 0x10) === 0 ? '' : '.');
  return text === '' ? 'none' : text;
}

/**
 * Describes an event.
 * @param clock converts loop time to wall time: an observatory, or a LoopClock for events in order
 */
export function viewVerdict(
  event: PacketEvent | FlowEvent,
  clock: Pick<Observatory, 'wallMs'>,
  book: RuleBook,
  names: ReadonlyMap<number, string>,
): VerdictView {
  const rule = event.rule === undefined ? undefined : book.view(event.rule);
  const common = {
    timeMs: Math.round(clock.wallMs(event.timeMs)),
    interface: names.get(event.port) ?? `port ${event.port}`,
    ...(rule === undefined ? {} : { rule }),
  };
  if ('stateWord' in event) {
    const isLocal = (event.stateWord & OPENED_LOCALLY) !== 0;
    const { tuple } = event;
    // For an ICMP query, the port field of the answering side holds the type (wire/packet.ts).
    const type = isLocal ? tuple.remotePort : tuple.localPort;
    const isIcmp = tuple.protocol === PROTOCOL_ICMP || tuple.protocol === PROTOCOL_ICMPV6;
    return {
      ...common,
      direction: isLocal ? 'egress' : 'ingress',
      verdict: 'passed',
      opensFlow: true,
      isTracked: true,
      packet: { ...viewTuple(tuple), ...(isIcmp ? { icmp: { type, code: 0 } } : {}) },
    };
  }
  const { direction, reason, tuple, tcpFlags, icmp, neighbour, packets, bytes, isTracked } = event;
  return {
    ...common,
    direction,
    verdict: event.kind,
    ...(reason === undefined ? {} : { reason, meaning: meaningOf(reason) }),
    opensFlow: false,
    isTracked,
    ...(tuple === undefined
      ? {}
      : {
          packet: {
            ...viewTuple(tuple),
            ...(tuple.protocol === PROTOCOL_TCP ? { tcpFlags: tcpFlagsText(tcpFlags) } : {}),
            ...(icmp === undefined ? {} : { icmp }),
          },
        }),
    ...(neighbour === undefined ? {} : { neighbour: viewNeighbour(neighbour) }),
    packets,
    bytes,
  };
}

function viewNeighbour({ protocol, operation, sender, target }: NeighbourMessage): NeighbourView {
  const name = NEIGHBOUR_OPERATIONS[`${protocol} ${operation}`] ?? `operation ${operation}`;
  return { protocol, operation: name, sender, target };
}

function viewTuple(tuple: Tuple): PacketView {
  const { family, protocol, localAddress, localPort, remoteAddress, remotePort } = tuple;
  return {
    family,
    protocol: protocolName(protocol),
    localAddress,
    localPort,
    remoteAddress,
    remotePort,
  };
}
