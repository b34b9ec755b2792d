/**
 * Judges what each packet may do to a TCP connection, by its flags, its sequence numbers and its window.
 *
 * Theory of operation
 *
 * Problem. Somebody who can send from the right addresses and ports (a spoofer outside, an old duplicate, a host that
 * has forgotten the connection) must not move a connection's state. He must not close it, keep it alive, or have his
 * data taken for the connection's. So every packet has to fit the part of the sequence space that both ends agreed
 * on. "Real Stateful TCP Packet Filtering in IP Filter" (van Rooij, 2001) derives the conditions; nf_conntrack uses
 * them too.
 *
 * The entry knows for each side: END, the highest sequence number it sent, plus one; MAX_END, the highest it may
 * send, by what the other side acknowledged and offered; ACK, the highest it acknowledged; and the largest window it
 * offered, in units of its scale. A packet of a side fits if
 *
 *   I    its first byte is below the side's MAX_END: the receiver offered room for it;
 *   II   its end is not further behind than the receiver's largest window: it is no ancient duplicate;
 *   III  it acknowledges nothing that the other side has not sent;
 *   IV   it acknowledges nothing older than a window (at least 66,000 bytes) before that.
 *
 * A LIBERAL connection is not held to them. A connection picked up in mid-stream (`midstream: accept`) is LIBERAL:
 * nobody saw its window scales. So is one that both ends began anew behind our back (SYN_PASSED), and every one with
 * `tcpWindow` not set to check.
 *
 * The states, and what is legal in each (o: from the opener, r: from the other side; = stays as it is):
 *
 * | in           | from  | SYN          | SYN-ACK       | ACK, data    | FIN          | RST                      |
 * |--------------|-------|--------------|---------------|--------------|--------------|--------------------------|
 * | (no entry)   | any   | SYN_SENT     | by rules¹     | by rules¹    | by rules¹    | by rules, no entry stays |
 * | SYN_SENT     | o     | =³           | refused       | by rules⁵    | by rules⁵    | CLOSED                   |
 * | SYN_SENT     | r     | SYN_RECEIVED | SYN_RECEIVED⁴ | by rules⁵    | by rules⁵    | CLOSED²                  |
 * | SYN_RECEIVED | o     | =³           | =⁶            | ESTABLISHED  | ESTABLISHED⁷ | CLOSED²                  |
 * | SYN_RECEIVED | r     | =⁶           | =             | =            | ESTABLISHED⁷ | CLOSED²                  |
 * | ESTABLISHED  | o     | by rules³    | refused⁵      | =            | =⁷           | CLOSED²                  |
 * | ESTABLISHED  | r     | refused⁵     | =³            | =            | =⁷           | CLOSED²                  |
 * | CLOSING      | any   | opens anew   | refused       | =            | =            | CLOSED²                  |
 * | CLOSED       | reset | opens anew   | refused       | refused      | refused      | = if it fits             |
 * | CLOSED       | other | opens anew   | = if repeated | = if it fits | = if it fits | = if it fits             |
 * | REVOKED      | any   | opens anew   | refused       | refused      | refused      | refused                  |
 *
 * "Opens anew": the rules judge the SYN as that of a new connection. If they refuse it, nothing changes. In CLOSED,
 * "reset" is the side that sent the RST.
 *
 * ¹ With `midstream: accept`; otherwise refused as `tcp-midstream`.
 * ² If its sequence number is exactly what the other side acknowledged (RFC 5961 section 3), or the end of all that
 *   was sent. In SYN_SENT it must acknowledge the SYN. An RST that is merely in the window passes and changes
 *   nothing: the receiver answers it with a challenge ACK, and the connection lives. An RST outside the window is
 *   refused.
 * ³ A SYN with the number of the handshake's SYN is that SYN, sent again. Any other SYN belongs to a new connection.
 *   The rules in force must admit it, or it is dropped and changes nothing: the entry lets the known connection
 *   through, not new ones. A host that lost its connection opens it again on the same ports. Its SYN passes, the
 *   other side answers with a challenge ACK, and the RST that follows ends the old connection (RFC 5961 section 4).
 *   If the other side has forgotten the connection too, its SYN-ACK or RST answers that SYN and is taken
 *   (SYN_PASSED).
 * ⁴ It acknowledges the SYN, and as much of the SYN's data as the other side took (RFC 7413). A SYN-ACK that
 *   acknowledges an earlier SYN passes and changes nothing: the opener answers it with an RST. One that acknowledges
 *   more than was sent is refused.
 * ⁵ A bare acknowledgment of r passes: it is such a challenge ACK, if only we have forgotten the connection. Anything
 *   else follows an answer that we did not see because the two directions pass different interfaces, or is not of
 *   this connection. With `midstream: accept` the rules decide, and the connection is picked up in mid-stream;
 *   otherwise it is refused. For the same reason a LIBERAL connection takes SYN and SYN-ACK from the wrong side too,
 *   if the rules admit it.
 * ⁶ Only in a simultaneous open, which a SYN of r in SYN_SENT begins. A SYN must be r's own, sent again. A SYN-ACK of
 *   o must have the numbers of the handshake: that of its own SYN, and an acknowledgment of at least r's SYN and at
 *   most what r has sent. Any other is refused. The first SYN-ACK of either side ends SIMULTANEOUS. The other side's
 *   SYN-ACK may still be on its way, or come again, so it passes too.
 * ⁷ The FIN is noted. When both sides have sent one, the state is CLOSING.
 *
 * If a segment is in fragments, only the first is seen here, and the segment's end is not known. END then moves to
 * what the receiver offered, but no further than a datagram reaches.
 *
 * In a simultaneous open (SIMULTANEOUS) only the two SYNs and the SYN-ACKs pass until the first SYN-ACK has passed.
 * test/oracle compares all of this with nf_conntrack.
 *
 * The rows are in tcp-handshake.ts (SYN and SYN-ACK), tcp-end.ts (RST, CLOSED) and here. Conditions I to IV are in
 * tcp-window.ts.
 */
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, TCP_URG } from '../wire/fields.ts';
import { FRAGMENT_NONE, type Packet } from '../wire/packet.ts';
import {
  FIN_FROM_OPENER,
  FIN_FROM_OTHER,
  LIBERAL,
  OPENED_LOCALLY,
  REPLIED,
  SIMULTANEOUS,
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  REVOKED_FLOW,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from './states.ts';
import { FLOW_STATE, TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END } from './entry.ts';
import { advanceByReset, judgeWhenClosed } from './tcp-end.ts';
import { advanceBySyn, startOpener } from './tcp-handshake.ts';
import { endOf, takeSegment } from './tcp-window.ts';
import {
  FLOW_ASKS_RULES,
  FLOW_IS_REVOKED,
  FLOW_MISFITS_STATE,
  FLOW_MISFITS_WINDOW,
  FLOW_PASSES,
  FLOW_PASSES_UNCHANGED,
  FLOW_REOPENS,
} from './verdicts.ts';

const KIND_FLAGS = TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST;

/** Whether the packet opens a connection: SYN, and neither ACK, FIN nor RST. */
export function isOpeningSyn(flags: number): boolean {
  return (flags & KIND_FLAGS) === TCP_SYN;
}

/**
 * Whether TCP has this combination of flags: SYN, SYN-ACK, RST, RST-ACK, ACK or FIN-ACK, each with any of PSH, ECE
 * and CWR, and with URG where there can be data. Scanners use others (null, Xmas, SYN-FIN, lone FIN) to look past
 * filters.
 */
export function areFlagsLegal(flags: number): boolean {
  const kind = flags & KIND_FLAGS;
  if (kind === TCP_ACK || kind === TCP_SYN || kind === (TCP_FIN | TCP_ACK)) return true;
  if ((flags & TCP_URG) !== 0) return false;
  return kind === (TCP_SYN | TCP_ACK) || kind === TCP_RST || kind === (TCP_RST | TCP_ACK);
}

/**
 * Writes the state words of a new connection from its first packet.
 * @param at the entry's first state word
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
 * @returns FLOW_PASSES; FLOW_PASSES_UNCHANGED: it passes but does not keep the connection alive; FLOW_ASKS_RULES; or
 *   why it is refused
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
  // Nearly all packets skip this block.
  if (state !== TCP_ESTABLISHED || (flags & (TCP_RST | TCP_SYN)) !== 0) {
    if (state >= TCP_CLOSING) {
      if (isOpeningSyn(flags)) return FLOW_REOPENS;
      if (state === REVOKED_FLOW) return FLOW_IS_REVOKED;
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
 * Judges an acknowledgment of the other side while a SYN is unanswered. The other side still has an older connection
 * on these ports, and the opener's RST will end it (RFC 5961 section 4). Without this packet a host that restarts
 * could not connect again until the other side gives up. The packet can bring no data: only a bare acknowledgment
 * passes.
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
  // Anything else follows an answer that took another way, or belongs to another connection.
  if (fromOpener || !isBare) return FLOW_ASKS_RULES;
  // The RST that answers it has this sequence number.
  words[at + TCP_OTHER + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  return FLOW_PASSES_UNCHANGED;
}

/** The state word after an ACK, data or a FIN that fits. */
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
