/**
 * What a packet does to the flow it belongs to: the transitions of the table in states.ts.
 *
 * A transition never decides who may talk to whom; it says whether a packet fits the flow, keeps it
 * alive, and whether it closed or reopened. Sequence numbers are not judged here.
 */
import {
  PROTO_ICMP,
  PROTO_ICMPV6,
  PROTO_TCP,
  PROTO_UDP,
  TCP_ACK,
  TCP_FIN,
  TCP_RST,
  TCP_SYN,
} from '../wire/fields.ts';
import { ICMP_QUERY, ICMP_REPLY, type Packet } from '../wire/packet.ts';
import {
  ASKED_AGAIN,
  FIN_FROM_OPENER,
  FIN_FROM_OTHER,
  ICMP_QUERY_FLOW,
  OPENED_LOCALLY,
  OTHER,
  REPLIED,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_REVOKED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
  UDP_SINGLE,
  UDP_STREAM,
} from './states.ts';

// What `advance` answers beside a new FLOW_STATE word: negative, since state words never are.
/** The connection is over: drop the packet. */
export const FLOW_IS_CLOSED = -1;
/** A change of rules ended the connection: drop the packet. */
export const FLOW_IS_REVOKED = -3;
/** A SYN for a connection that is over: forget the entry and judge the packet as a new flow. */
export const FLOW_REOPENS = -2;

/** Whether a packet without an entry opens a connection as TCP means it: SYN, and neither ACK, FIN nor RST. */
export function isOpeningSyn(packet: Packet): boolean {
  return (packet.tcpFlags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) === TCP_SYN;
}

/**
 * FLOW_STATE for the first packet of a flow.
 * A TCP packet that is no SYN was let in by `midstream: accept`: the connection is taken as established.
 */
export function openState(packet: Packet, fromLocal: boolean): number {
  const opener = fromLocal ? OPENED_LOCALLY : 0;
  switch (packet.protocol) {
    case PROTO_TCP:
      if (isOpeningSyn(packet)) return opener | TCP_SYN_SENT;
      if ((packet.tcpFlags & TCP_RST) !== 0) return opener | TCP_CLOSED;
      return opener | TCP_ESTABLISHED | ((packet.tcpFlags & TCP_FIN) !== 0 ? FIN_FROM_OPENER : 0);
    case PROTO_UDP:
      return opener | UDP_SINGLE;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
      return opener | ICMP_QUERY_FLOW;
    default:
      return opener | OTHER;
  }
}

/** FLOW_STATE of a TCP connection that a change of rules has ended. */
export function revokedState(word: number): number {
  return (word & ~STATE_MASK) | TCP_REVOKED;
}

/** Whether a flow entry makes sense for this packet: an ICMP message that asks nothing gets no answer to wait for. */
export function isTrackable(packet: Packet): boolean {
  const isIcmp = packet.protocol === PROTO_ICMP || packet.protocol === PROTO_ICMPV6;
  return !isIcmp || packet.icmpKind === ICMP_QUERY || packet.icmpKind === ICMP_REPLY;
}

/** The FLOW_STATE word after this packet, or FLOW_IS_CLOSED, or FLOW_REOPENS. */
export function advance(word: number, packet: Packet, fromLocal: boolean): number {
  const fromOpener = ((word & OPENED_LOCALLY) !== 0) === fromLocal;
  switch (word & STATE_MASK) {
    case TCP_ESTABLISHED:
    case TCP_SYN_SENT:
    case TCP_SYN_RECEIVED:
    case TCP_CLOSING:
    case TCP_CLOSED:
      return advanceTcp(word, packet.tcpFlags, fromOpener);
    case TCP_REVOKED:
      // Anything but a new opening would pick the connection up again in mid-stream, from either side.
      return isOpeningSyn(packet) ? FLOW_REOPENS : FLOW_IS_REVOKED;
    case UDP_SINGLE:
      return advanceUdp(word, fromOpener);
    default:
      return fromOpener ? word : word | REPLIED;
  }
}

/** More than one request and response makes a stream: ask, answer, ask again, answer again. */
function advanceUdp(word: number, fromOpener: boolean): number {
  if (fromOpener) return (word & REPLIED) !== 0 ? word | ASKED_AGAIN : word;
  if ((word & ASKED_AGAIN) !== 0) return (word & ~STATE_MASK) | UDP_STREAM;
  return word | REPLIED;
}

function advanceTcp(word: number, flags: number, fromOpener: boolean): number {
  const state = word & STATE_MASK;
  const opensAnew = (flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST)) === TCP_SYN;
  if (state === TCP_CLOSED || state === TCP_CLOSING) {
    if (opensAnew) return FLOW_REOPENS;
    if (state === TCP_CLOSED && (flags & TCP_RST) === 0) return FLOW_IS_CLOSED;
  }
  let next = fromOpener ? word : word | REPLIED;
  if ((flags & TCP_RST) !== 0) return (next & ~STATE_MASK) | TCP_CLOSED;
  if ((flags & TCP_FIN) !== 0) {
    next |= fromOpener ? FIN_FROM_OPENER : FIN_FROM_OTHER;
    if ((next & FIN_FROM_OPENER) !== 0 && (next & FIN_FROM_OTHER) !== 0)
      return (next & ~STATE_MASK) | TCP_CLOSING;
  }
  if (state === TCP_SYN_SENT && !fromOpener && (flags & TCP_SYN) !== 0) {
    // SYN-ACK, or the SYN of a simultaneous open (RFC 9293 section 3.5): either way the other side has spoken.
    return (next & ~STATE_MASK) | TCP_SYN_RECEIVED;
  }
  if (state === TCP_SYN_RECEIVED && (flags & TCP_SYN) === 0 && (flags & TCP_ACK) !== 0) {
    return (next & ~STATE_MASK) | TCP_ESTABLISHED;
  }
  return next;
}
