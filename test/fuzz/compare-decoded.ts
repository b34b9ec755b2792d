/** Whether what was decoded of a packet is what the twin has read in it. */
import {
  FRAGMENT_FIRST,
  FRAGMENT_LATER,
  FRAGMENT_NONE,
  type Packet,
} from '../../src/wire/packet.ts';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../../src/wire/fields.ts';
import type { TwinMessage, TwinPacket, TwinSegment } from './twin-decode.ts';

const FRAGMENTS = { none: FRAGMENT_NONE, first: FRAGMENT_FIRST, later: FRAGMENT_LATER };
/** ICMP_OTHER, ICMP_QUERY, ICMP_REPLY, ICMP_ERROR. */
const KINDS = ['other', 'query', 'reply', 'error'];

/** @param offset where the packet starts in the engine's view  @returns what differs, or undefined */
export function compareDecoded(
  packet: Packet,
  plain: TwinPacket,
  offset: number,
): string | undefined {
  const { tcp, icmp } = plain;
  if (packet.family !== plain.family) return differ('family', packet.family, plain.family);
  if (packet.protocol !== plain.protocol)
    return differ('protocol', packet.protocol, plain.protocol);
  if (packet.endOffset !== offset + plain.end) return differ('end', packet.endOffset, plain.end);
  if (packet.fragment !== FRAGMENTS[plain.fragment])
    return differ('fragment', packet.fragment, plain.fragment);
  if (!isAddress(plain.src, packet.src0, packet.src1, packet.src2, packet.src3))
    return 'the source is decoded otherwise';
  if (!isAddress(plain.dst, packet.dst0, packet.dst1, packet.dst2, packet.dst3))
    return 'the destination is decoded otherwise';
  if (plain.fragment !== 'none') {
    if ((packet.fragmentId | 0) !== (plain.fragmentId | 0))
      return differ('fragment id', packet.fragmentId, plain.fragmentId);
    if (packet.fragmentOffset !== plain.fragmentOffset)
      return differ('fragment offset', packet.fragmentOffset, plain.fragmentOffset);
    if (packet.fragmentEnd !== plain.fragmentEnd)
      return differ('fragment end', packet.fragmentEnd, plain.fragmentEnd);
  }
  if (icmp !== undefined) return compareMessage(packet, icmp);
  if (packet.srcPort !== plain.srcPort) return differ('port', packet.srcPort, plain.srcPort);
  if (packet.dstPort !== plain.dstPort) return differ('port', packet.dstPort, plain.dstPort);
  return tcp === undefined ? undefined : compareSegment(packet, tcp);
}

function compareSegment(packet: Packet, tcp: TwinSegment): string | undefined {
  const { tcpFlags } = packet;
  const flags =
    ((tcpFlags & TCP_FIN) === 0 ? '' : 'F') +
    ((tcpFlags & TCP_SYN) === 0 ? '' : 'S') +
    ((tcpFlags & TCP_RST) === 0 ? '' : 'R') +
    ((tcpFlags & TCP_ACK) === 0 ? '' : 'A');
  if (flags !== tcp.flags) return differ('flags', flags, tcp.flags);
  if (((tcpFlags & TCP_URG) !== 0) !== tcp.isUrgent) return differ('flags', tcpFlags, tcp.flags);
  if (packet.tcpSequence !== (tcp.seq | 0)) return differ('seq', packet.tcpSequence, tcp.seq);
  if (packet.tcpAcknowledgment !== (tcp.ack | 0))
    return differ('ack', packet.tcpAcknowledgment, tcp.ack);
  if (packet.tcpWindow !== tcp.window) return differ('window', packet.tcpWindow, tcp.window);
  if (packet.tcpPayloadBytes !== tcp.payloadBytes)
    return differ('payload', packet.tcpPayloadBytes, tcp.payloadBytes);
  return packet.tcpWindowScale === (tcp.scale ?? -1)
    ? undefined
    : differ('scale', packet.tcpWindowScale, tcp.scale);
}

function compareMessage(packet: Packet, icmp: TwinMessage): string | undefined {
  if (packet.icmpType !== icmp.type) return differ('ICMP type', packet.icmpType, icmp.type);
  if (packet.icmpCode !== icmp.code) return differ('ICMP code', packet.icmpCode, icmp.code);
  if (KINDS[packet.icmpKind] !== icmp.kind)
    return differ('ICMP kind', KINDS[packet.icmpKind], icmp.kind);
  // wire/packet.ts: the identifier stands on the side that asked, the query's type on the other.
  const isQuery = icmp.kind === 'query';
  const isEither = isQuery || icmp.kind === 'reply';
  const asker = isEither ? icmp.id : 0;
  const answerer = isEither ? icmp.query : 0;
  const srcPort = isQuery ? asker : answerer;
  const dstPort = isQuery ? answerer : asker;
  if (packet.srcPort === srcPort && packet.dstPort === dstPort) return undefined;
  return differ('ICMP ports', `${packet.srcPort} ${packet.dstPort}`, `${srcPort} ${dstPort}`);
}

function isAddress(plain: string, a0: number, a1: number, a2: number, a3: number): boolean {
  if (wordOf(plain, 0) !== a0) return false;
  if (plain.length === 4) return a1 === 0 && a2 === 0 && a3 === 0;
  return wordOf(plain, 4) === a1 && wordOf(plain, 8) === a2 && wordOf(plain, 12) === a3;
}

function wordOf(text: string, at: number): number {
  return (
    (text.charCodeAt(at) << 24) |
    (text.charCodeAt(at + 1) << 16) |
    (text.charCodeAt(at + 2) << 8) |
    text.charCodeAt(at + 3)
  );
}

function differ(what: string, engine: unknown, twin: unknown): string {
  return `${what} is decoded as ${String(engine)}, the twin reads ${String(twin)}`;
}
