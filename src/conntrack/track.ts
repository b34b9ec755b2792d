/**
 * What a packet does to the flow it belongs to: UDP, ICMP and other protocols here, TCP in tcp.ts.
 *
 * A transition never decides who may talk to whom; it says whether a packet fits the flow, keeps it
 * alive, and whether it closed or reopened.
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
  TCP_REVOKED,
  UDP_SINGLE,
  UDP_STREAM,
} from './states.ts';
import { FLOW_STATE } from './table.ts';
import { advanceTcp, openTcp } from './tcp.ts';
import {
  FLOW_IS_CLOSED,
  FLOW_IS_REVOKED,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

/**
 * Writes the state words of a new flow, as insert left them, for its first packet. `at` is the entry's first
 * state word.
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
 * Moves the flow by a packet that belongs to it.
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
  // Nothing tells a new flow on these ports from the one that ended, but who begins: whoever opened that one.
  if (state === TCP_REVOKED) return fromOpener ? FLOW_REOPENS : FLOW_IS_REVOKED;
  if (state === UDP_SINGLE) words[at + FLOW_STATE] = advanceUdp(word, fromOpener);
  else if (!fromOpener) words[at + FLOW_STATE] = word | REPLIED;
  return FLOW_PASSES;
}

/** FLOW_STATE of a flow that a change of rules has ended. */
export function revokedState(word: number): number {
  return (word & ~STATE_MASK) | TCP_REVOKED;
}

/** Whether a flow entry makes sense for this packet: an ICMP message that asks nothing gets no answer to wait for. */
export function isTrackable(packet: Packet): boolean {
  const isIcmp = packet.protocol === PROTO_ICMP || packet.protocol === PROTO_ICMPV6;
  return !isIcmp || packet.icmpKind === ICMP_QUERY || packet.icmpKind === ICMP_REPLY;
}

/** More than one request and response makes a stream: ask, answer, ask again, answer again. */
function advanceUdp(word: number, fromOpener: boolean): number {
  if (fromOpener) return (word & REPLIED) !== 0 ? word | ASKED_AGAIN : word;
  if ((word & ASKED_AGAIN) !== 0) return (word & ~STATE_MASK) | UDP_STREAM;
  return word | REPLIED;
}

/** Whether the flow of this FLOW_STATE word has ended, and waits to be forgotten. */
export function isEnding(word: number): boolean {
  const state = word & STATE_MASK;
  return state === TCP_CLOSING || state === TCP_CLOSED;
}

/** What a packet that may not move a TCP connection gets from it, by its FLOW_STATE word. @returns the verdict */
export function judgeUnmoved(word: number): number {
  const state = word & STATE_MASK;
  if (state === TCP_CLOSED) return FLOW_IS_CLOSED;
  return state === TCP_REVOKED ? FLOW_IS_REVOKED : FLOW_PASSES_UNCHANGED;
}
