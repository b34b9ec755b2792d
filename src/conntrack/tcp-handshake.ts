/**
 * Opens TCP connections: judges SYN and SYN-ACK in every state (the table is in tcp.ts).
 *
 * While a SYN is unanswered, two words of the entry have another meaning: TCP_BEHIND_SYN and TCP_SYN_WINDOW
 * (entry.ts).
 */
import { TCP_ACK, TCP_FIN, TCP_SYN } from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import {
  FIN_FROM_OPENER,
  FIN_FROM_OTHER,
  LIBERAL,
  OPENED_LOCALLY,
  OPENER_SCALE_SHIFT,
  OPENER_SCALES,
  OTHER_SCALE_SHIFT,
  REPLIED,
  SCALES_MASK,
  SIMULTANEOUS,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from './states.ts';
import {
  FLOW_STATE,
  TCP_BEHIND_SYN,
  TCP_OPENER,
  TCP_OTHER,
  TCP_SIDE_ACK,
  TCP_SIDE_END,
  TCP_SIDE_MAX_END,
  TCP_SYN_WINDOW,
  TCP_WINDOWS,
} from './entry.ts';
import { acknowledgesSyn } from './tcp-end.ts';
import {
  DATAGRAM_BYTES_MAX,
  endOf,
  raiseMaxEnd,
  SCALE_MASK,
  setWindow,
  unscaled,
  WINDOW_UNITS_MAX,
} from './tcp-window.ts';
import {
  FLOW_ASKS_RULES,
  FLOW_MISFITS_STATE,
  FLOW_MISFITS_WINDOW,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
} from './verdicts.ts';

export function advanceBySyn(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const word = words[at + FLOW_STATE];
  const acknowledges = (packet.tcpFlags & TCP_ACK) !== 0;
  switch (word & STATE_MASK) {
    case TCP_SYN_SENT:
      return fromOpener
        ? judgeSynAgain(words, at, packet, acknowledges)
        : judgeAnswer(words, at, packet, acknowledges);
    case TCP_SYN_RECEIVED:
      return judgeHandshake(words, at, packet, fromOpener);
    case TCP_CLOSING:
      return FLOW_MISFITS_STATE;
    default:
      return judgeWhenOpen(words, at, packet, fromOpener);
  }
}

/** Judges a SYN of the opener before the answer. One with another sequence number belongs to another connection. */
function judgeSynAgain(
  words: Int32Array,
  at: number,
  packet: Packet,
  acknowledges: boolean,
): number {
  if (acknowledges) return FLOW_MISFITS_STATE;
  if (((packet.tcpSequence + 1) | 0) !== words[at + TCP_BEHIND_SYN]) return FLOW_ASKS_RULES;
  // This SYN may leave out data that the first one had, and the answer may still acknowledge that data.
  const end = words[at + TCP_OPENER + TCP_SIDE_END];
  startOpener(words, at, packet);
  raiseEnd(words, at + TCP_OPENER, end);
  return FLOW_PASSES;
}

/** Judges a SYN or SYN-ACK of the other side before it has answered. */
function judgeAnswer(words: Int32Array, at: number, packet: Packet, acknowledges: boolean): number {
  if (acknowledges && !acknowledgesSyn(words, at, packet)) {
    // An old SYN-ACK acknowledges an earlier SYN. The opener answers it with an RST and goes on waiting.
    const ahead = (packet.tcpAcknowledgment - words[at + TCP_OPENER + TCP_SIDE_END] - 1) | 0;
    return ahead < 0 ? FLOW_PASSES_UNCHANGED : FLOW_MISFITS_WINDOW;
  }
  acceptAnswer(words, at, packet);
  return FLOW_PASSES;
}

/**
 * Judges SYN and SYN-ACK while the connection is open. For the rules, a SYN of the opener opens a new connection,
 * whatever the receiver makes of it. From the wrong side both misfit, unless the connection was picked up in
 * mid-stream and nobody knows who opened it: then the rules decide.
 */
function judgeWhenOpen(words: Int32Array, at: number, packet: Packet, fromOpener: boolean): number {
  const word = words[at + FLOW_STATE];
  const acknowledges = (packet.tcpFlags & TCP_ACK) !== 0;
  if (acknowledges === fromOpener)
    return (word & LIBERAL) !== 0 ? FLOW_ASKS_RULES : FLOW_MISFITS_STATE;
  if (!acknowledges) return FLOW_ASKS_RULES;
  if ((word & SYN_PASSED) === 0) return FLOW_PASSES_UNCHANGED;
  // Both ends have started again with the SYN that passed, so the entry does too.
  words[at + TCP_OPENER + TCP_SIDE_END] = packet.tcpAcknowledgment;
  words[at + TCP_OPENER + TCP_SIDE_MAX_END] = packet.tcpAcknowledgment;
  words[at + FLOW_STATE] = word | LIBERAL;
  acceptAnswer(words, at, packet);
  return FLOW_PASSES;
}

/**
 * Judges SYN and SYN-ACK during the handshake. A side may repeat what it has sent. A SYN-ACK of the opener and a SYN
 * of the other side belong to a simultaneous open, where every number is known. The first SYN-ACK ends that.
 */
function judgeHandshake(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const word = words[at + FLOW_STATE];
  const isSimultaneous = (word & SIMULTANEOUS) !== 0;
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const behindSyn = (packet.tcpSequence + 1) | 0;
  const isAgain = behindSyn === words[receiver + TCP_SIDE_ACK];
  if ((packet.tcpFlags & TCP_ACK) === 0) {
    if (isSimultaneous) return isAgain ? FLOW_PASSES_UNCHANGED : FLOW_MISFITS_STATE;
    if (!fromOpener) return FLOW_MISFITS_STATE;
    // The answer may have acknowledged data of the SYN. Then only the end of that data is known.
    const before = (words[sender + TCP_SIDE_END] - behindSyn) | 0;
    return before >= 0 && before <= DATAGRAM_BYTES_MAX ? FLOW_PASSES_UNCHANGED : FLOW_ASKS_RULES;
  }
  if (!isSimultaneous && !fromOpener) return FLOW_PASSES_UNCHANGED;
  // It acknowledges the other's SYN, with its data or without.
  const least = words[sender + TCP_SIDE_ACK];
  const acknowledged = (packet.tcpAcknowledgment - least) | 0;
  if (!isAgain || acknowledged < 0 || acknowledged > ((words[receiver + TCP_SIDE_END] - least) | 0))
    return FLOW_MISFITS_STATE;
  words[at + FLOW_STATE] = word & ~SIMULTANEOUS;
  return FLOW_PASSES_UNCHANGED;
}

/**
 * Moves a connection by a packet for which advanceTcp asked the rules (FLOW_ASKS_RULES). The rules have admitted it.
 * @returns FLOW_PASSES or FLOW_PASSES_UNCHANGED
 */
export function takeAdmitted(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromLocal: boolean,
): number {
  const word = words[at + FLOW_STATE];
  const fromOpener = (word & OPENED_LOCALLY) !== 0 ? fromLocal : !fromLocal;
  const flags = packet.tcpFlags;
  const state = word & STATE_MASK;
  if ((flags & TCP_SYN) === 0) {
    joinMidstream(words, at, packet, fromOpener);
    return FLOW_PASSES;
  }
  if (state === TCP_SYN_SENT) {
    startOpener(words, at, packet);
    return FLOW_PASSES;
  }
  if (state === TCP_ESTABLISHED && (flags & TCP_ACK) === 0) {
    if (!fromOpener) turnAround(words, at);
    words[at + FLOW_STATE] |= SYN_PASSED;
  }
  return FLOW_PASSES_UNCHANGED;
}

/** Picks the connection up in mid-stream, like an unknown one: the packet follows a SYN whose answer was not seen. */
function joinMidstream(words: Int32Array, at: number, packet: Packet, fromOpener: boolean): void {
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  let next = (words[at + FLOW_STATE] & ~STATE_MASK) | TCP_ESTABLISHED | LIBERAL;
  if (!fromOpener) next |= REPLIED;
  if ((packet.tcpFlags & TCP_FIN) !== 0) next |= fromOpener ? FIN_FROM_OPENER : FIN_FROM_OTHER;
  words[at + FLOW_STATE] = next;
  words[sender + TCP_SIDE_END] = endOf(packet);
  words[sender + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  words[receiver + TCP_SIDE_END] = packet.tcpAcknowledgment;
  words[receiver + TCP_SIDE_ACK] = packet.tcpSequence;
}

/** Swaps the two sides: the side that was taken for the opener is the other one. */
function turnAround(words: Int32Array, at: number): void {
  for (let i = 0; i < TCP_OTHER - TCP_OPENER; i++) {
    const opener = words[at + TCP_OPENER + i];
    words[at + TCP_OPENER + i] = words[at + TCP_OTHER + i];
    words[at + TCP_OTHER + i] = opener;
  }
  const windows = words[at + TCP_WINDOWS];
  words[at + TCP_WINDOWS] = (windows << 16) | (windows >>> 16);
  const word = words[at + FLOW_STATE];
  const openerScale = (word >>> OPENER_SCALE_SHIFT) & SCALE_MASK;
  const otherScale = (word >>> OTHER_SCALE_SHIFT) & SCALE_MASK;
  let next = word & ~(SCALES_MASK | FIN_FROM_OPENER | FIN_FROM_OTHER);
  next |= (otherScale << OPENER_SCALE_SHIFT) | (openerScale << OTHER_SCALE_SHIFT);
  if ((word & FIN_FROM_OPENER) !== 0) next |= FIN_FROM_OTHER;
  if ((word & FIN_FROM_OTHER) !== 0) next |= FIN_FROM_OPENER;
  words[at + FLOW_STATE] = next ^ OPENED_LOCALLY;
}

/** Takes the other side's answer: its SYN-ACK, or its SYN in a simultaneous open. */
function acceptAnswer(words: Int32Array, at: number, packet: Packet): void {
  const word = words[at + FLOW_STATE];
  const offered = words[at + TCP_SYN_WINDOW];
  startSide(words, at, TCP_OTHER, packet);
  let next =
    (words[at + FLOW_STATE] & ~(STATE_MASK | SYN_PASSED | FIN_FROM_OPENER | FIN_FROM_OTHER)) |
    REPLIED |
    TCP_SYN_RECEIVED;
  // Windows are scaled only if both sides say so (RFC 7323 section 2.2). Otherwise they count in bytes from here on.
  if ((word & OPENER_SCALES) === 0 || packet.tcpWindowScale < 0) {
    next &= ~SCALES_MASK;
    const opener = (word & STATE_MASK) === TCP_SYN_SENT ? offered : WINDOW_UNITS_MAX;
    words[at + TCP_WINDOWS] = (opener << 16) | unscaled(packet.tcpWindow);
  }
  const acknowledges = (packet.tcpFlags & TCP_ACK) !== 0;
  next = acknowledges ? next & ~SIMULTANEOUS : next | SIMULTANEOUS;
  words[at + FLOW_STATE] = next;
  const behindSyn = words[at + TCP_BEHIND_SYN];
  const openerAck = acknowledges ? packet.tcpAcknowledgment : behindSyn;
  words[at + TCP_OTHER + TCP_SIDE_ACK] = openerAck;
  // The opener has acknowledged nothing yet. It will acknowledge at least this SYN.
  words[at + TCP_OPENER + TCP_SIDE_ACK] = (packet.tcpSequence + 1) | 0;
  raiseMaxEnd(words, at + TCP_OPENER, openerAck + unscaled(packet.tcpWindow));
  // An answer in TCP Fast Open does not wait for the end of the handshake: the SYN offered room for it.
  if ((word & STATE_MASK) === TCP_SYN_SENT)
    raiseMaxEnd(words, at + TCP_OTHER, words[at + TCP_OTHER + TCP_SIDE_END] + offered);
}

/** Starts the opener's side with its SYN, and keeps the window that the SYN offers until the answer comes. */
export function startOpener(words: Int32Array, at: number, packet: Packet): void {
  startSide(words, at, TCP_OPENER, packet);
  words[at + TCP_BEHIND_SYN] = (packet.tcpSequence + 1) | 0;
  words[at + TCP_SYN_WINDOW] = unscaled(packet.tcpWindow);
}

/** Starts a side with its SYN or SYN-ACK. The window in these is never scaled. */
function startSide(words: Int32Array, at: number, side: number, packet: Packet): void {
  const end = endOf(packet);
  const isOpener = side === TCP_OPENER;
  words[at + side + TCP_SIDE_END] = end;
  words[at + side + TCP_SIDE_MAX_END] = end;
  words[at + side + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  const shift = isOpener ? OPENER_SCALE_SHIFT : OTHER_SCALE_SHIFT;
  const scale = packet.tcpWindowScale;
  let word = words[at + FLOW_STATE] & ~(SCALE_MASK << shift);
  if (isOpener) word &= ~OPENER_SCALES;
  if (scale >= 0) word |= (scale << shift) | (isOpener ? OPENER_SCALES : 0);
  words[at + FLOW_STATE] = word;
  const units =
    scale > 0 ? (packet.tcpWindow + (1 << scale) - 1) >>> scale : unscaled(packet.tcpWindow);
  setWindow(words, at, isOpener, units);
}

/** Raises END of a side: it has already sent up to `end`. */
function raiseEnd(words: Int32Array, side: number, end: number): void {
  if (((end - words[side + TCP_SIDE_END]) | 0) <= 0) return;
  words[side + TCP_SIDE_END] = end;
  raiseMaxEnd(words, side, end);
}
