/** One verdict on one packet, as people and JSON read it: what `trace`, `drops` and `explain --drop` show. */
import { OPENED_LOCALLY } from '../../conntrack/states.ts';
import { LINK_SCOPE, REASONS } from '../../engine/reasons.ts';
import {
  PROTOCOL_ICMP,
  PROTOCOL_ICMPV6,
  PROTOCOL_TCP,
  protocolName,
} from '../../policy/protocols.ts';
import type { Observatory } from './observatory.ts';
import type { RuleBook, RuleView } from './rule-book.ts';
import type { FlowTold, NeighbourTold, PacketTold, Tuple } from './told.ts';

export interface VerdictView {
  /** Ms since 1970. */
  readonly timeMs: number;
  readonly interface: string;
  /** Towards the instance: ingress. Of the uplink: what came in through it. */
  readonly direction: 'ingress' | 'egress';
  readonly verdict: 'passed' | 'dropped';
  /** If dropped: a name of docs/drop-reasons.md and what it means. */
  readonly reason?: string;
  readonly meaning?: string;
  /** It opened a flow that is tracked from now on. */
  readonly opensFlow: boolean;
  readonly isTracked: boolean;
  /** Absent: it could not be decoded, or is no IP packet. */
  readonly packet?: PacketView;
  /** Of an ARP message, or a neighbour solicitation or advertisement, that the link layer refused. */
  readonly neighbour?: NeighbourView;
  /** The rule that admitted it, or its flow. */
  readonly rule?: RuleView;
  /** Packets on the wire and their bytes: a GSO superpacket is several. Of a flow that was opened: not told. */
  readonly packets?: number;
  readonly bytes?: number;
}

export interface NeighbourView {
  readonly protocol: 'arp' | 'nd';
  /** `request`, `reply`, `solicitation`, `advertisement`; a number where it is another. */
  readonly operation: string;
  readonly sender: string;
  /** Whose MAC address is asked for, or told. */
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

/** The name of the drop reason of what ends at the link: counted, and shown to who asks for it. */
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
  // As tcpdump has them: the dot for ACK stands last.
  const letters = FLAG_LETTERS.filter(
    (letter, bit) => letter !== '.' && (flags & (1 << bit)) !== 0,
  );
  const text = letters.join('') + ((flags & 0x10) === 0 ? '' : '.');
  return text === '' ? 'none' : text;
}

/** @param clock what makes wall time of the loop's; an observatory, or a LoopClock for what comes in order */
export function viewVerdict(
  told: PacketTold | FlowTold,
  clock: Pick<Observatory, 'wallMs'>,
  book: RuleBook,
  names: ReadonlyMap<number, string>,
): VerdictView {
  const rule = told.rule === undefined ? undefined : book.view(told.rule);
  const common = {
    timeMs: Math.round(clock.wallMs(told.timeMs)),
    interface: names.get(told.port) ?? `port ${told.port}`,
    ...(rule === undefined ? {} : { rule }),
  };
  if ('stateWord' in told) {
    const isLocal = (told.stateWord & OPENED_LOCALLY) !== 0;
    const { tuple } = told;
    // Of a query, the side that answers has its type in place of a port (wire/packet.ts).
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
  const { direction, reason, tuple, tcpFlags, icmp, neighbour, packets, bytes, isTracked } = told;
  return {
    ...common,
    direction,
    verdict: told.kind,
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

function viewNeighbour({ protocol, operation, sender, target }: NeighbourTold): NeighbourView {
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
