/**
 * TCP connections: what each packet may do to one, by its flags, its sequence numbers and its window.
 *
 * Theory of operation
 *
 * Problem. Whoever can send from the right addresses and ports (a spoofer outside, an old duplicate, a host
 * that has forgotten the connection) must not be able to move a connection's state: not to close it, not
 * to keep it alive, not to have data taken for its own. So every packet has to fit the part of the
 * sequence space that both ends agreed on, as "Real Stateful TCP Packet Filtering in IP Filter" (van
 * Rooij, 2001) derives it and nf_conntrack does it.
 *
 * What is known of each side: END, the highest sequence number it sent, plus one; MAX_END, the highest it
 * may send, by what the other side acknowledged and offered; ACK, the highest it acknowledged; and the
 * largest window it offered, in units of its scale. A packet of a side fits if
 *
 *   I    its first byte is below the side's MAX_END: the receiver offered room for it;
 *   II   its end is not further behind than the receiver's largest window: it is no ancient duplicate;
 *   III  it acknowledges nothing that the other side has not sent;
 *   IV   it acknowledges nothing older than a window (at least 66,000 bytes) before that.
 *
 * A connection picked up in mid-stream (`midstream: accept`) was not seen to agree on a window scale, so
 * its windows can't be judged: LIBERAL. The same goes for nobody else.
 *
 * The states, and what is legal in each (o: from the opener, r: from the other side; = stays as it is):
 *
 * | in           | SYN            | SYN-ACK          | ACK, data      | FIN            | RST              |
 * |--------------|----------------|------------------|----------------|----------------|------------------|
 * | (no entry)   | SYN_SENT       | by rules¹        | by rules¹      | by rules¹      | by rules, no entry lives |
 * | SYN_SENT     | o: again, r: SYN_RECEIVED (simultaneous open) | r: SYN_RECEIVED⁴ | refused⁵ | refused | r: CLOSED², o: CLOSED |
 * | SYN_RECEIVED | o: passes, =   | r: passes, =     | o: ESTABLISHED; r: = | as ESTABLISHED | CLOSED² |
 * | ESTABLISHED  | o: passes, =³  | r: passes, =³    | =              | noted; from both sides: CLOSING | CLOSED² |
 * | CLOSING      | opens anew     | refused          | =              | =              | CLOSED²          |
 * | CLOSED       | opens anew     | refused          | refused        | refused        | = if it fits     |
 * | REVOKED      | opens anew     | refused          | refused        | refused        | refused          |
 *
 * ¹ `midstream: accept`; refused as `tcp-midstream` otherwise. A simultaneous open needs the ACK of either side.
 * ² If its sequence number is exactly what the other side acknowledged (RFC 5961 section 3). One that is
 *   merely in the window passes and changes nothing: the receiver answers it with a challenge ACK, and the
 *   connection lives. One outside is refused.
 * ³ A host that lost its connection opens it again on the same ports: its SYN passes, the other side
 *   answers with a challenge ACK, and the RST that draws ends the old connection (RFC 5961 section 4). If the
 *   other side has forgotten it too, its SYN-ACK or RST answers that SYN and is taken (SYN_PASSED).
 * ⁴ One that acknowledges an earlier SYN passes and changes nothing: the opener answers it with an RST. One that
 *   acknowledges more than was sent is refused.
 * ⁵ But for a bare acknowledgment of r, which is such a challenge where only we have forgotten the connection.
 *
 * Of a segment in fragments only the first is seen here, so its end is not known: END goes to what the receiver
 * offered, but no further than a datagram reaches.
 *
 * After a simultaneous open (SIMULTANEOUS) nothing but the two SYNs and SYN-ACKs passes until the first SYN-ACK has;
 * from then on o's SYN-ACK may come again. test/oracle holds all of it against nf_conntrack.
 */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import {
  ASKED_AGAIN,
  FIN_FROM_OPENER,
  FIN_FROM_OTHER,
  LIBERAL,
  OPENED_LOCALLY,
  OPENER_SCALE_SHIFT,
  OPENER_SCALES,
  OTHER_SCALE_SHIFT,
  REPLIED,
  SCALES_MASK,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_REVOKED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from './states.ts';
import {
  FLOW_STATE,
  TCP_OPENER,
  TCP_OTHER,
  TCP_SIDE_ACK,
  TCP_SIDE_END,
  TCP_SIDE_MAX_END,
  TCP_WINDOWS,
} from './table.ts';
import {
  FLOW_IS_CLOSED,
  FLOW_IS_REVOKED,
  FLOW_MISFITS_STATE,
  FLOW_MISFITS_WINDOW,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

/** Least distance an acknowledgment may lie behind (van Rooij: the largest unscaled window and a bit). */
const ACK_WINDOW_MIN = 66_000;
const WINDOW_UNITS_MAX = 0xffff;
const DATAGRAM_BYTES_MAX = 0xffff;
const SCALE_MASK = 0x0f;

/** Both sides have sent a SYN, neither a SYN-ACK yet (in SYN_RECEIVED). The bit is one that only UDP uses. */
const SIMULTANEOUS = ASKED_AGAIN;

const KIND_FLAGS = TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST;

/** Whether the packet opens a connection: SYN, and neither ACK, FIN nor RST. */
export function isOpeningSyn(flags: number): boolean {
  return (flags & KIND_FLAGS) === TCP_SYN;
}

/**
 * Whether a combination of flags is one that TCP has: SYN, SYN-ACK, RST, RST-ACK, ACK or FIN-ACK, with any
 * of PSH, ECE and CWR, and URG where there can be data. Null, Xmas, SYN-FIN and lone FIN are how scanners
 * look past filters.
 */
export function areFlagsLegal(flags: number): boolean {
  const kind = flags & KIND_FLAGS;
  if (kind === TCP_ACK || kind === TCP_SYN || kind === (TCP_FIN | TCP_ACK)) return true;
  if ((flags & TCP_URG) !== 0) return false;
  return kind === (TCP_SYN | TCP_ACK) || kind === TCP_RST || kind === (TCP_RST | TCP_ACK);
}

/**
 * Writes the state words of a new connection for its first packet. `at` is the entry's first state word.
 */
export function openTcp(words: Int32Array, at: number, packet: Packet, fromLocal: boolean): void {
  const opener = fromLocal ? OPENED_LOCALLY : 0;
  const flags = packet.tcpFlags;
  const end = endOf(packet);
  if (isOpeningSyn(flags)) {
    words[at + FLOW_STATE] |= opener | TCP_SYN_SENT;
    startOpener(words, at, packet);
    return;
  }
  let state = opener | LIBERAL;
  if ((flags & TCP_RST) !== 0) state |= TCP_CLOSED;
  else state |= TCP_ESTABLISHED | ((flags & TCP_FIN) !== 0 ? FIN_FROM_OPENER : 0);
  words[at + FLOW_STATE] |= state;
  words[at + TCP_OPENER + TCP_SIDE_END] = end;
  words[at + TCP_OPENER + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  words[at + TCP_OTHER + TCP_SIDE_END] = packet.tcpAcknowledgment;
  words[at + TCP_OTHER + TCP_SIDE_ACK] = packet.tcpSequence;
}

/**
 * Moves a connection by a packet with legal flags.
 * @param word its FLOW_STATE word
 * @returns FLOW_PASSES, FLOW_PASSES_UNCHANGED (it does not keep the connection alive), or why not
 */
export function advanceTcp(
  words: Int32Array,
  at: number,
  word: number,
  packet: Packet,
  fromLocal: boolean,
): number {
  const flags = packet.tcpFlags;
  const state = word & STATE_MASK;
  const fromOpener = (word & OPENED_LOCALLY) !== 0 ? fromLocal : !fromLocal;
  // Nearly all packets: what else there is need not be asked about them.
  if (state !== TCP_ESTABLISHED || (flags & (TCP_RST | TCP_SYN)) !== 0) {
    if (state >= TCP_CLOSING) {
      if (isOpeningSyn(flags)) return FLOW_REOPENS;
      if (state === TCP_REVOKED) return FLOW_IS_REVOKED;
    }
    if (state === TCP_CLOSED) return judgeWhenClosed(words, at, packet, fromOpener);
    if ((flags & TCP_RST) !== 0) return advanceByReset(words, at, packet, fromOpener);
    if ((flags & TCP_SYN) !== 0) return advanceBySyn(words, at, packet, fromOpener);
    if (state === TCP_SYN_SENT) return judgeChallenge(words, at, packet, fromOpener);
    if (state === TCP_SYN_RECEIVED && (word & SIMULTANEOUS) !== 0) return FLOW_MISFITS_STATE;
  }
  if (!takeSegment(words, at, word, packet, fromOpener)) return FLOW_MISFITS_WINDOW;
  const next = nextState(word, flags, fromOpener);
  if (next !== word) words[at + FLOW_STATE] = next;
  return FLOW_PASSES;
}

/**
 * An acknowledgment from the other side while a SYN is unanswered: it still has an older connection on these
 * ports, which the opener's RST will end (RFC 5961 section 4). Without it a host that restarts could not connect
 * again until the other side gives up. It can bring no data: nothing but the bare acknowledgment passes.
 */
function judgeChallenge(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const isBare =
    (packet.tcpFlags & TCP_FIN) === 0 &&
    packet.tcpPayloadBytes === 0 &&
    packet.fragment === FRAGMENT_NONE; // A first fragment may end before the data.
  if (fromOpener || !isBare) return FLOW_MISFITS_STATE;
  // The RST that answers it has this for its sequence number.
  words[at + TCP_OTHER + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  return FLOW_PASSES_UNCHANGED;
}

/** Only an RST has business there, again or from the other side, if it fits where the connection ended. */
function judgeWhenClosed(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  if ((packet.tcpFlags & TCP_RST) === 0) return FLOW_IS_CLOSED;
  const word = words[at + FLOW_STATE];
  // A connection that was refused: the other side never had a sequence number to judge by.
  if ((word & REPLIED) === 0) return FLOW_IS_CLOSED;
  if ((word & LIBERAL) !== 0) return FLOW_PASSES_UNCHANGED;
  return fitsReset(words, at, packet, fromOpener) ? FLOW_PASSES_UNCHANGED : FLOW_MISFITS_WINDOW;
}

/** After ACK, data or FIN that fits. */
function nextState(word: number, flags: number, fromOpener: boolean): number {
  let next = (fromOpener ? word : word | REPLIED) & ~SYN_PASSED;
  if ((next & STATE_MASK) === TCP_SYN_RECEIVED && (fromOpener || (flags & TCP_FIN) !== 0)) {
    next = (next & ~STATE_MASK) | TCP_ESTABLISHED;
  }
  if ((flags & TCP_FIN) === 0) return next;
  next |= fromOpener ? FIN_FROM_OPENER : FIN_FROM_OTHER;
  const bothFinished = (next & FIN_FROM_OPENER) !== 0 && (next & FIN_FROM_OTHER) !== 0;
  return bothFinished ? (next & ~STATE_MASK) | TCP_CLOSING : next;
}

function advanceBySyn(words: Int32Array, at: number, packet: Packet, fromOpener: boolean): number {
  const word = words[at + FLOW_STATE];
  const state = word & STATE_MASK;
  const acknowledges = (packet.tcpFlags & TCP_ACK) !== 0;
  if (state === TCP_SYN_SENT) {
    if (fromOpener) {
      if (acknowledges) return FLOW_MISFITS_STATE;
      // Sent again, perhaps with another initial sequence number.
      startOpener(words, at, packet);
      return FLOW_PASSES;
    }
    if (acknowledges && packet.tcpAcknowledgment !== words[at + TCP_OPENER + TCP_SIDE_END]) {
      // An old SYN-ACK acknowledges a SYN of another time: the opener answers with RST and goes on waiting.
      const ahead = (packet.tcpAcknowledgment - words[at + TCP_OPENER + TCP_SIDE_END] - 1) | 0;
      return ahead < 0 ? FLOW_PASSES_UNCHANGED : FLOW_MISFITS_WINDOW;
    }
    acceptAnswer(words, at, packet);
    return FLOW_PASSES;
  }
  if (state === TCP_CLOSING) return FLOW_MISFITS_STATE;
  if (state === TCP_SYN_RECEIVED && !fitsHandshake(words, at, packet, fromOpener))
    return FLOW_MISFITS_STATE;
  if (state === TCP_ESTABLISHED && acknowledges === fromOpener) return FLOW_MISFITS_STATE;
  if (acknowledges && !fromOpener && (word & SYN_PASSED) !== 0) {
    // Both ends have started afresh with the SYN that passed: so do we.
    words[at + TCP_OPENER + TCP_SIDE_END] = packet.tcpAcknowledgment;
    words[at + TCP_OPENER + TCP_SIDE_MAX_END] = packet.tcpAcknowledgment;
    words[at + FLOW_STATE] = word | LIBERAL;
    acceptAnswer(words, at, packet);
    return FLOW_PASSES;
  }
  if (!acknowledges && fromOpener && state === TCP_ESTABLISHED)
    words[at + FLOW_STATE] = word | SYN_PASSED;
  return FLOW_PASSES_UNCHANGED;
}

/**
 * A SYN or SYN-ACK while the handshake is on. What its sender has sent may come again. The opener's SYN-ACK and
 * the other side's SYN belong to a simultaneous open, where every number is known; the latter is over with the
 * first SYN-ACK.
 */
function fitsHandshake(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): boolean {
  const word = words[at + FLOW_STATE];
  const isSimultaneous = (word & SIMULTANEOUS) !== 0;
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const isAgain = endOf(packet) === words[sender + TCP_SIDE_END];
  if ((packet.tcpFlags & TCP_ACK) === 0) return isSimultaneous ? isAgain : fromOpener;
  if (!isSimultaneous && !fromOpener) return true;
  if (!isAgain || packet.tcpAcknowledgment !== words[receiver + TCP_SIDE_END]) return false;
  words[at + FLOW_STATE] = word & ~SIMULTANEOUS;
  return true;
}

/** The other side's SYN-ACK, or its SYN in a simultaneous open: it has spoken. */
function acceptAnswer(words: Int32Array, at: number, packet: Packet): void {
  const word = words[at + FLOW_STATE];
  const offered = words[at + TCP_OTHER + TCP_SIDE_MAX_END];
  startSide(words, at, TCP_OTHER, packet);
  let next =
    (words[at + FLOW_STATE] & ~(STATE_MASK | SYN_PASSED | FIN_FROM_OPENER | FIN_FROM_OTHER)) |
    REPLIED |
    TCP_SYN_RECEIVED;
  // Windows are scaled only if both sides say so (RFC 7323 section 2.2): else they count in bytes from here on.
  if ((word & OPENER_SCALES) === 0 || packet.tcpWindowScale < 0) {
    next &= ~SCALES_MASK;
    const opener = (word & STATE_MASK) === TCP_SYN_SENT ? offered : WINDOW_UNITS_MAX;
    words[at + TCP_WINDOWS] = (opener << 16) | unscaled(packet.tcpWindow);
  }
  const acknowledges = (packet.tcpFlags & TCP_ACK) !== 0;
  next = acknowledges ? next & ~SIMULTANEOUS : next | SIMULTANEOUS;
  words[at + FLOW_STATE] = next;
  const openerEnd = words[at + TCP_OPENER + TCP_SIDE_END];
  words[at + TCP_OTHER + TCP_SIDE_ACK] = acknowledges ? packet.tcpAcknowledgment : openerEnd;
  // The opener has acknowledged nothing yet; what it will is no less than the SYN.
  words[at + TCP_OPENER + TCP_SIDE_ACK] = (packet.tcpSequence + 1) | 0;
  raiseMaxEnd(words, at + TCP_OPENER, openerEnd + unscaled(packet.tcpWindow));
  // An answer in TCP Fast Open does not wait for the handshake to be done: the SYN offered room for it.
  if ((word & STATE_MASK) === TCP_SYN_SENT)
    raiseMaxEnd(words, at + TCP_OTHER, words[at + TCP_OTHER + TCP_SIDE_END] + offered);
}

function advanceByReset(
  words: Int32Array,
  at: number,
  packet: Packet,
  fromOpener: boolean,
): number {
  const word = words[at + FLOW_STATE];
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const closed = (word & ~(STATE_MASK | SYN_PASSED)) | TCP_CLOSED;
  const isAnswer = (packet.tcpFlags & TCP_ACK) !== 0 && !fromOpener;
  if ((word & STATE_MASK) === TCP_SYN_SENT) {
    // A refusal has to acknowledge the SYN (RFC 9293 section 3.10.7.3). The opener may give up, or answer a
    // challenge; it has nothing to acknowledge.
    const isFitting = fromOpener
      ? fitsGivingUp(words, at, packet)
      : isAnswer && packet.tcpAcknowledgment === words[receiver + TCP_SIDE_END];
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
 * Not behind what the receiver has acknowledged, not beyond the room it has offered, and its own acknowledgment
 * within bounds III and IV (0 is what some set there who have none).
 */
function fitsReset(words: Int32Array, at: number, packet: Packet, fromOpener: boolean): boolean {
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const acknowledged = words[receiver + TCP_SIDE_ACK];
  const ahead = (packet.tcpSequence - acknowledged) | 0;
  if (ahead < 0 || ahead > ((words[sender + TCP_SIDE_MAX_END] - acknowledged) | 0)) return false;
  const hasAck = (packet.tcpFlags & TCP_ACK) !== 0 && packet.tcpAcknowledgment !== 0;
  return (
    !hasAck ||
    fitsAcknowledgment(
      (packet.tcpAcknowledgment - words[receiver + TCP_SIDE_END]) | 0,
      maxWindow(words, at, fromOpener),
    )
  );
}

/** Bounds III and IV. @param ahead of the receiver's END  @param window the largest that the sender offered */
function fitsAcknowledgment(ahead: number, window: number): boolean {
  return ahead <= 0 && ahead >= -(window > ACK_WINDOW_MIN ? window : ACK_WINDOW_MIN);
}

/**
 * Holds a segment without SYN against bounds I to IV, and notes what it says of the window. What differs between the
 * sides is chosen once: asked each time, it would be half of what a segment costs.
 * @param word the FLOW_STATE word
 * @returns whether the segment fits; if not, nothing was noted
 */
function takeSegment(
  words: Int32Array,
  at: number,
  word: number,
  packet: Packet,
  fromOpener: boolean,
): boolean {
  const windows = words[at + TCP_WINDOWS];
  let sender = at + TCP_OPENER;
  let receiver = at + TCP_OTHER;
  let units = windows >>> 16;
  let scale = (word >>> OPENER_SCALE_SHIFT) & SCALE_MASK;
  let receiverWindow = (windows & WINDOW_UNITS_MAX) << ((word >>> OTHER_SCALE_SHIFT) & SCALE_MASK);
  if (!fromOpener) {
    sender = at + TCP_OTHER;
    receiver = at + TCP_OPENER;
    receiverWindow = units << scale;
    units = windows & WINDOW_UNITS_MAX;
    scale = (word >>> OTHER_SCALE_SHIFT) & SCALE_MASK;
  }
  const { tcpSequence, tcpAcknowledgment, tcpWindow, fragment } = packet;
  const knownEnd = words[sender + TCP_SIDE_END];
  const maxEnd = words[sender + TCP_SIDE_MAX_END];
  let end = (tcpSequence + packet.tcpPayloadBytes + (packet.tcpFlags & TCP_FIN)) | 0;
  if ((word & LIBERAL) === 0) {
    // All as distances: held against MAX_END by itself, a number half the sequence space away would fit where
    // data reached beyond the room, and move END to where nobody is.
    const room = (maxEnd - knownEnd) | 0;
    const start = (tcpSequence - knownEnd) | 0;
    let reach = (end - knownEnd) | 0;
    // The rest of a segment in fragments has no ports and does not come by here: it may be as long as a datagram.
    if (fragment !== FRAGMENT_NONE) reach = (reach + DATAGRAM_BYTES_MAX) | 0;
    const ahead = (tcpAcknowledgment - words[receiver + TCP_SIDE_END]) | 0;
    if (start > room) return false; // I
    if (reach < -unscaled(receiverWindow)) return false; // II
    if (!fitsAcknowledgment(ahead, units << scale)) return false;
  }
  if (fragment !== FRAGMENT_NONE) {
    // The rest may fill the room that was offered: else its acknowledgment would not pass.
    const left = (maxEnd - end) | 0;
    if (left > 0) end = (end + Math.min(left, DATAGRAM_BYTES_MAX)) | 0;
  }
  if (tcpWindow > units) setWindow(words, at, fromOpener, tcpWindow);
  if (((end - knownEnd) | 0) > 0) words[sender + TCP_SIDE_END] = end;
  if (((tcpAcknowledgment - words[sender + TCP_SIDE_ACK]) | 0) > 0)
    words[sender + TCP_SIDE_ACK] = tcpAcknowledgment;
  // A window of 0 is probed with one byte.
  raiseMaxEnd(words, receiver, (tcpAcknowledgment + unscaled(tcpWindow << scale)) | 0);
  return true;
}

/** Starts the opener's side with its SYN, and keeps the window it offers where its answer will look for it. */
function startOpener(words: Int32Array, at: number, packet: Packet): void {
  startSide(words, at, TCP_OPENER, packet);
  words[at + TCP_OTHER + TCP_SIDE_MAX_END] = unscaled(packet.tcpWindow);
}

/** Starts a side with its SYN or SYN-ACK: the window in those is never scaled. */
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

/** Notes the largest window a side offered, in units of its scale. */
function setWindow(words: Int32Array, at: number, isOpener: boolean, units: number): void {
  const windows = words[at + TCP_WINDOWS];
  words[at + TCP_WINDOWS] = isOpener
    ? (units << 16) | (windows & WINDOW_UNITS_MAX)
    : (windows & ~WINDOW_UNITS_MAX) | units;
}

function raiseMaxEnd(words: Int32Array, side: number, maxEnd: number): void {
  if (((maxEnd - words[side + TCP_SIDE_MAX_END]) | 0) > 0)
    words[side + TCP_SIDE_MAX_END] = maxEnd | 0;
}

/** Largest window the side offered, in bytes. */
function maxWindow(words: Int32Array, at: number, isOpener: boolean): number {
  const windows = words[at + TCP_WINDOWS];
  const units = isOpener ? windows >>> 16 : windows & WINDOW_UNITS_MAX;
  const shift = isOpener ? OPENER_SCALE_SHIFT : OTHER_SCALE_SHIFT;
  return units << ((words[at + FLOW_STATE] >>> shift) & SCALE_MASK);
}

function unscaled(window: number): number {
  return window === 0 ? 1 : window;
}

/** Sequence number behind the packet: its data, and one each for SYN and FIN. */
function endOf(packet: Packet): number {
  const flags = packet.tcpFlags;
  return (
    (packet.tcpSequence + packet.tcpPayloadBytes + ((flags & TCP_SYN) >>> 1) + (flags & TCP_FIN)) |
    0
  );
}
