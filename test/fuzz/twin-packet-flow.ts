/**
 * A flow of the plain twin, and what a packet by itself says of it: whether its flags are legal, which flow it is of,
 * how it moves the flow. Sources: docs/conntrack.md, "What is tracked"; docs/drop-reasons.md.
 */
import type { TwinPacket, TwinSegment } from './twin-decode.ts';
import type { TwinFlow } from './twin-flows.ts';
import type { Question } from './twin-rules.ts';
import { advanceTcpPlainly } from './twin-tcp.ts';

export type Gate = 'ingress' | 'egress';

export interface Flow extends TwinFlow {
  /** What is asked of new rules; undefined: it goes to the platform, which no rule is asked about. */
  opened: Opened | undefined;
  /** The change of rules it was last held against, by number. */
  heldAgainst: number;
  /** The gate whose refusal audit passes over for it; undefined: rules have admitted it. */
  auditedAt: Gate | undefined;
  readonly ports: readonly [local: number, remote: number];
}

/** A flow as if it were opened again. */
export interface Opened {
  readonly gate: Gate;
  readonly question: Question;
  readonly remote: string;
  /** Ids of all rules that admitted it. */
  readonly rules: readonly string[];
}

/** docs/drop-reasons.md, `tcp-flags`; with URG only where there can be data. */
const LEGAL_FLAGS: readonly string[] = ['S', 'SA', 'A', 'FA', 'R', 'RA'];
const LEGAL_URGENT_FLAGS: readonly string[] = ['S', 'A', 'FA'];

/** The port of a flow of TCP or UDP that the rules of a gate name: of the side that did not open through it. */
export function portsOfFlow(
  { kind, ports: [local, remote] }: Flow,
  gate: Gate,
): { readonly dstPort?: number } {
  if (kind !== 'tcp' && kind !== 'udp') return {};
  return { dstPort: gate === 'egress' ? remote : local };
}

/** Moves the flow. @returns undefined if the packet passes, `reopens`, or the reason why not */
export function advance(
  flow: Flow,
  packet: TwinPacket,
  isLocal: boolean,
  nowMs: number,
): string | undefined {
  const isFromOpener = flow.isOpenedLocally === isLocal;
  if (flow.isRevoked) {
    // "What is tracked": so long since it ended, or its last packet since.
    flow.seenMs = nowMs;
    // Without TCP nothing tells an opening but who sends it.
    const opens = packet.tcp === undefined ? isFromOpener : packet.tcp.flags === 'S';
    return opens ? 'reopens' : 'revoked';
  }
  if (flow.tcp !== undefined) {
    const before = flow.tcp.state;
    const verdict = advanceTcpPlainly(flow.tcp, packet.tcp!, isFromOpener);
    const { state } = flow.tcp;
    if (verdict === 'unchanged') return undefined;
    if (verdict !== 'passes') return verdict;
    // "What is tracked": a connection lives 30 s after FIN, 10 s after RST, whatever still comes.
    if (state !== before || (state !== 'closing' && state !== 'closed')) flow.seenMs = nowMs;
    return undefined;
  }
  flow.seenMs = nowMs;
  // "What is tracked": a stream has more than one request and response.
  if (!isFromOpener) {
    if (flow.hasAskedAgain) flow.isStream = true;
    flow.hasReplied = true;
  } else if (flow.hasReplied) flow.hasAskedAgain = true;
  return undefined;
}

export function areLegal({ flags, isUrgent }: TwinSegment): boolean {
  return (isUrgent ? LEGAL_URGENT_FLAGS : LEGAL_FLAGS).includes(flags);
}

export function kindOf({ protocol }: TwinPacket): Flow['kind'] {
  if (protocol === 6) return 'tcp';
  if (protocol === 17) return 'udp';
  return protocol === 1 || protocol === 58 ? 'icmp' : 'other';
}

/** The flow as the interface sees it: its own side first, whoever sends ("What is tracked", "tracked by"). */
export function flowKey(packet: TwinPacket, port: number, isLocal: boolean): string {
  const { icmp } = packet;
  const addresses = isLocal ? packet.src + packet.dst : packet.dst + packet.src;
  let what: string;
  if (icmp === undefined) {
    what = isLocal ? `${packet.srcPort} ${packet.dstPort}` : `${packet.dstPort} ${packet.srcPort}`;
  } else if (icmp.kind === 'query' || icmp.kind === 'reply') {
    const isAskedLocally = (icmp.kind === 'query') === isLocal;
    what = `${isAskedLocally ? 'we ask' : 'they ask'} ${icmp.query} ${icmp.id}`;
  } else what = 'asks nothing';
  return `${port} ${packet.protocol} ${what} ${addresses}`;
}
