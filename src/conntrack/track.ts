/**
 * Moves a flow by the packets that belong to it: UDP, ICMP and other protocols here, TCP in tcp.ts.
 *
 * This file never decides who may talk to whom. It says whether a packet fits its flow, whether it keeps the flow
 * alive, and whether it closed or reopened the flow.
 */
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from '../wire/fields.ts';
import { ICMP_QUERY, ICMP_REPLY, type Packet } from '../wire/packet.ts';
import {
  ASKED_AGAIN,
  ICMP_QUERY_FLOW,
  LIBERAL,
  OPENED_LOCALLY,
  OTHER,
  REPLIED,
  STATE_MASK,
  TCP_CLOSED,
  TCP_CLOSING,
  REVOKED_FLOW,
  UDP_SINGLE,
  UDP_STREAM,
} from './states.ts';
import { FLOW_STATE } from './entry.ts';
import { advanceTcp, openTcp } from './tcp.ts';
import {
  FLOW_IS_CLOSED,
  FLOW_IS_REVOKED,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

/**
 * Writes the state words of a new flow, fresh from `insert`, for its first packet.
 * @param at the entry's first state word
 * @param checksWindow false: take TCP packets whatever their sequence numbers
 */
export function openFlow(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromLocal: boolean,
  checksWindow: boolean,
): void {
  const opener = fromLocal ? OPENED_LOCALLY : 0;
  switch (packet.protocol) {
    case PROTO_TCP:
      openTcp(words, at, packet, fromLocal);
      if (!checksWindow) words[at + FLOW_STATE] |= LIBERAL;
      return;
    case PROTO_UDP:
      words[at + FLOW_STATE] |= opener | UDP_SINGLE;
      return;
    case PROTO_ICMP:
    case PROTO_ICMPV6:
      words[at + FLOW_STATE] |= opener | ICMP_QUERY_FLOW;
      return;
    default:
      words[at + FLOW_STATE] |= opener | OTHER;
  }
}

/**
 * Moves a flow by a packet that belongs to it.
 * @param word its FLOW_STATE word
 * @returns a verdict of verdicts.ts
 */
export function advanceFlow(
  words: Int32Array,
  at: number,
  word: number,
  packet: Packet,
  fromLocal: boolean,
): number {
  if (packet.protocol === PROTO_TCP) return advanceTcp(words, at, word, packet, fromLocal);
  const fromOpener = (word & OPENED_LOCALLY) !== 0 ? fromLocal : !fromLocal;
  const state = word & STATE_MASK;
  // A revoked flow and a new one on the same ports differ only in who begins: the opener may begin a new one.
  if (state === REVOKED_FLOW) return fromOpener ? FLOW_REOPENS : FLOW_IS_REVOKED;
  if (state === UDP_SINGLE) words[at + FLOW_STATE] = advanceUdp(word, fromOpener);
  else if (!fromOpener) words[at + FLOW_STATE] = word | REPLIED;
  return FLOW_PASSES;
}

/** The FLOW_STATE word of a flow after a change of rules has ended it. */
export function revokedState(word: number): number {
  return (word & ~STATE_MASK) | REVOKED_FLOW;
}

/** Whether to track a flow for this packet. An ICMP message that is neither query nor reply gets no answer. */
export function isTrackable(packet: Packet): boolean {
  const isIcmp = packet.protocol === PROTO_ICMP || packet.protocol === PROTO_ICMPV6;
  return !isIcmp || packet.icmpKind === ICMP_QUERY || packet.icmpKind === ICMP_REPLY;
}

/** A stream is more than one request and response: ask, answer, ask again, answer again. */
function advanceUdp(word: number, fromOpener: boolean): number {
  if (fromOpener) return (word & REPLIED) !== 0 ? word | ASKED_AGAIN : word;
  if ((word & ASKED_AGAIN) !== 0) return (word & ~STATE_MASK) | UDP_STREAM;
  return word | REPLIED;
}

/** Whether the flow with this FLOW_STATE word has ended and waits to be forgotten. */
export function isEnding(word: number): boolean {
  const state = word & STATE_MASK;
  return state === TCP_CLOSING || state === TCP_CLOSED;
}

/** Judges a packet that must not move its TCP connection, by the FLOW_STATE word. @returns a verdict of verdicts.ts */
export function judgeUnmoved(word: number): number {
  const state = word & STATE_MASK;
  if (state === TCP_CLOSED) return FLOW_IS_CLOSED;
  return state === REVOKED_FLOW ? FLOW_IS_REVOKED : FLOW_PASSES_UNCHANGED;
}
