/**
 * How TCP connections end by an RST, and what may pass behind it (the rows and notes of tcp.ts).
 */
import { TCP_ACK, TCP_RST, TCP_SYN } from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import {
  ASKED_AGAIN,
  LIBERAL,
  REPLIED,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
  TCP_SYN_SENT,
} from './states.ts';
import { FLOW_STATE, TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END } from './table.ts';
import { ACK_WINDOW_MIN, endOf, fitsReset, takeSegment } from './tcp-window.ts';
import {
  FLOW_IS_CLOSED,
  FLOW_MISFITS_WINDOW,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

/** The opener sent the RST (in CLOSED). The bit is one that only UDP, and a handshake, uses. */
const RESET_BY_OPENER = ASKED_AGAIN;

export function advanceByReset(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const word = words[at + FLOW_STATE];
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const closed =
    (word & ~(STATE_MASK | SYN_PASSED | RESET_BY_OPENER)) |
    TCP_CLOSED |
    (fromOpener ? RESET_BY_OPENER : 0);
  const isAnswer = (packet.tcpFlags & TCP_ACK) !== 0 && !fromOpener;
  if ((word & STATE_MASK) === TCP_SYN_SENT) {
    // A refusal has to acknowledge the SYN (RFC 9293 section 3.10.7.3), with its data or without. The opener may give up, or answer a
    // challenge; it has nothing to acknowledge.
    const isFitting = fromOpener
      ? fitsGivingUp(words, at, packet)
      : isAnswer && acknowledgesSyn(words, at, packet);
    if (!isFitting) return FLOW_MISFITS_WINDOW;
    words[at + FLOW_STATE] = closed;
    return FLOW_PASSES;
  }
  if (isAnswer && (word & SYN_PASSED) !== 0) {
    words[at + FLOW_STATE] = closed;
    return FLOW_PASSES;
  }
  if ((word & LIBERAL) === 0 && !fitsReset(words, at, packet, fromOpener))
    return FLOW_MISFITS_WINDOW;
  // Behind data that the receiver has not acknowledged yet it is exact as well: the end of what was sent. That
  // goes for connections picked up in mid-stream too, or any forged RST would end them after a restart.
  if (
    packet.tcpSequence !== words[receiver + TCP_SIDE_ACK] &&
    packet.tcpSequence !== words[sender + TCP_SIDE_END]
  )
    return FLOW_PASSES_UNCHANGED;
  words[at + FLOW_STATE] = closed;
  return FLOW_PASSES;
}

/** Whether an RST of the opener ends the SYN it sent before, or answers a challenge (judgeChallenge). */
function fitsGivingUp(words: Int32Array, at: number, packet: Packet): boolean {
  const hasAck = (packet.tcpFlags & TCP_ACK) !== 0 && packet.tcpAcknowledgment !== 0;
  const ahead = (packet.tcpSequence - words[at + TCP_OPENER + TCP_SIDE_END]) | 0;
  const endsSyn = ahead <= 0 && ahead >= -ACK_WINDOW_MIN;
  return !hasAck && (endsSyn || packet.tcpSequence === words[at + TCP_OTHER + TCP_SIDE_ACK]);
}

/**
 * Behind an RST. Whoever sent it is gone, and what it still sends but an RST is of no use to anybody. The other side may
 * not have had it, or not have taken it, since data in front of it was lost: it goes on, and what it sends draws the
 * RST again (RFC 9293 section 3.10.7.1), or is a challenge that the RST answers (RFC 5961 section 3.2).
 */
export function judgeWhenClosed(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const flags = packet.tcpFlags;
  const word = words[at + FLOW_STATE];
  if ((word & REPLIED) === 0) {
    // Of a connection that was refused the other side never had a sequence number to judge by. Where the two
    // directions go through different interfaces, a SYN-ACK may be all that is seen of a new one.
    const isAnswer = (flags & (TCP_SYN | TCP_ACK)) === (TCP_SYN | TCP_ACK);
    return isAnswer && (word & LIBERAL) !== 0 ? FLOW_REOPENS : FLOW_IS_CLOSED;
  }
  if ((flags & TCP_RST) !== 0) {
    if ((word & LIBERAL) !== 0) return FLOW_PASSES_UNCHANGED;
    return fitsReset(words, at, packet, fromOpener) ? FLOW_PASSES_UNCHANGED : FLOW_MISFITS_WINDOW;
  }
  if (((word & RESET_BY_OPENER) !== 0) === fromOpener) return FLOW_IS_CLOSED;
  if ((flags & TCP_SYN) !== 0) {
    const isAgain = !fromOpener && endOf(packet) === words[at + TCP_OTHER + TCP_SIDE_END];
    return isAgain ? FLOW_PASSES_UNCHANGED : FLOW_IS_CLOSED;
  }
  return takeSegment(words, at, word, packet, fromOpener)
    ? FLOW_PASSES_UNCHANGED
    : FLOW_MISFITS_WINDOW;
}

/**
 * Whether an answer in SYN_SENT acknowledges the opener's SYN: alone, or with some of its data or all (RFC 7413 section
 * 4.2.2: what was not acknowledged is sent again).
 */
export function acknowledgesSyn(words: Int32Array, at: number, packet: Packet): boolean {
  const behindSyn = words[at + TCP_OPENER + TCP_SIDE_ACK];
  const data = (words[at + TCP_OPENER + TCP_SIDE_END] - behindSyn) | 0;
  const acknowledged = (packet.tcpAcknowledgment - behindSyn) | 0;
  return acknowledged >= 0 && acknowledged <= data;
}
