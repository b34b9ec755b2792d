/** Ends TCP connections by an RST, and judges what may pass afterwards (the rows and notes are in tcp.ts). */
import { TCP_ACK, TCP_RST, TCP_SYN } from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import {
  LIBERAL,
  REPLIED,
  RESET_BY_OPENER,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
  TCP_SYN_SENT,
} from './states.ts';
import {
  FLOW_STATE,
  TCP_BEHIND_SYN,
  TCP_OPENER,
  TCP_OTHER,
  TCP_SIDE_ACK,
  TCP_SIDE_END,
} from './entry.ts';
import { ACK_WINDOW_MIN, endOf, fitsReset, takeSegment } from './tcp-window.ts';
import {
  FLOW_IS_CLOSED,
  FLOW_MISFITS_WINDOW,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

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
    // A refusal must acknowledge the SYN, with its data or without (RFC 9293 section 3.10.7.3). The opener's RST
    // gives up or answers a challenge; it has nothing to acknowledge.
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
  // An RST ends the connection if it is exact: at what the receiver has acknowledged, or at the end of what was sent.
  // That includes connections picked up in mid-stream. Otherwise any forged RST could end them after a restart.
  if (
    packet.tcpSequence !== words[receiver + TCP_SIDE_ACK] &&
    packet.tcpSequence !== words[sender + TCP_SIDE_END]
  )
    return FLOW_PASSES_UNCHANGED;
  words[at + FLOW_STATE] = closed;
  return FLOW_PASSES;
}

/** Whether an RST of the opener gives up the SYN that it sent, or answers a challenge (judgeChallenge). */
function fitsGivingUp(words: Int32Array, at: number, packet: Packet): boolean {
  const hasAck = (packet.tcpFlags & TCP_ACK) !== 0 && packet.tcpAcknowledgment !== 0;
  const ahead = (packet.tcpSequence - words[at + TCP_OPENER + TCP_SIDE_END]) | 0;
  const endsSyn = ahead <= 0 && ahead >= -ACK_WINDOW_MIN;
  return !hasAck && (endsSyn || packet.tcpSequence === words[at + TCP_OTHER + TCP_SIDE_ACK]);
}

/**
 * Judges a packet behind an RST.
 *
 * Whoever sent the RST has forgotten the connection: of what it still sends only another RST is of use. The other
 * side may not have got the RST, or not have taken it because data before it was lost. It goes on sending. What it
 * sends draws the RST again (RFC 9293 section 3.10.7.1), or is a challenge that the RST answers (RFC 5961 section
 * 3.2).
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
    // The connection was refused, so there is no sequence number of the other side to compare with. Where the two
    // directions pass different interfaces, a SYN-ACK may be all that this one sees of a new connection.
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
 * Whether an answer in SYN_SENT acknowledges the opener's SYN: alone, or with some or all of its data. The opener
 * sends data again that was not acknowledged (RFC 7413 section 4.2.2).
 */
export function acknowledgesSyn(words: Int32Array, at: number, packet: Packet): boolean {
  const behindSyn = words[at + TCP_BEHIND_SYN];
  const data = (words[at + TCP_OPENER + TCP_SIDE_END] - behindSyn) | 0;
  const acknowledged = (packet.tcpAcknowledgment - behindSyn) | 0;
  return acknowledged >= 0 && acknowledged <= data;
}
