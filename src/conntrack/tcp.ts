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
 * | SYN_SENT     | o: again³, r: SYN_RECEIVED (simultaneous open) | r: SYN_RECEIVED⁴ | by rules⁵ | by rules⁵ | r: CLOSED², o: CLOSED |
 * | SYN_RECEIVED | o: passes³, =  | r: passes, =     | o: ESTABLISHED; r: = | as ESTABLISHED | CLOSED² |
 * | ESTABLISHED  | o: by rules³, = | r: passes, =³   | =              | noted; from both sides: CLOSING | CLOSED² |
 * | CLOSING      | opens anew     | refused          | =              | =              | CLOSED²          |
 * | CLOSED       | opens anew     | as ACK           | of who sent the RST: refused; else passes if it fits, = | as ACK | = if it fits |
 * | REVOKED      | opens anew     | refused          | refused        | refused        | refused          |
 *
 * "Opens anew": the rules judge the SYN as one of a new connection; refused, it changes nothing.
 *
 * ¹ `midstream: accept`; refused as `tcp-midstream` otherwise. A simultaneous open needs the ACK of either side.
 * ² If its sequence number is exactly what the other side acknowledged (RFC 5961 section 3), or where all that was sent
 *   ends. One that is merely in the window passes and changes nothing: the receiver answers it with a challenge ACK,
 *   and the connection lives. One outside is refused.
 * ³ A SYN with the number of the handshake's is the same, sent again. Any other is one of a new connection, and the rules
 *   in force have to admit it, or it drops and changes nothing: an entry keeps the connection that was there, not the
 *   door. A host that lost its connection opens it again on the same ports: its SYN passes, the other side
 *   answers with a challenge ACK, and the RST that draws ends the old connection (RFC 5961 section 4). If the
 *   other side has forgotten it too, its SYN-ACK or RST answers that SYN and is taken (SYN_PASSED).
 * ⁴ It acknowledges the SYN alone, or of the data in it as much as the other side took (RFC 7413). One that acknowledges
 *   an earlier SYN passes and changes nothing: the opener answers it with an RST. One that acknowledges more than was
 *   sent is refused.
 * ⁵ A bare acknowledgment of r passes: it is such a challenge where only we have forgotten the connection. Anything else
 *   follows an answer that was not seen, since the two directions go through different interfaces, or is none of
 *   this connection: with `midstream: accept` the rules decide, and it is picked up in mid-stream; else it is refused.
 *   For the same reason a LIBERAL connection takes SYN and SYN-ACK from the wrong side as well, if the rules admit them.
 *
 * Of a segment in fragments only the first is seen here, so its end is not known: END goes to what the receiver
 * offered, but no further than a datagram reaches.
 *
 * After a simultaneous open (SIMULTANEOUS) nothing but the two SYNs and SYN-ACKs passes until the first SYN-ACK has;
 * from then on o's SYN-ACK may come again. test/oracle holds all of it against nf_conntrack.
 *
 * The rows stand in tcp-handshake.ts (SYN and SYN-ACK), tcp-end.ts (RST, CLOSED) and here; conditions I to IV in
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
  STATE_MASK,
  SYN_PASSED,
  TCP_CLOSED,
  TCP_CLOSING,
  TCP_ESTABLISHED,
  TCP_REVOKED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
} from './states.ts';
import { FLOW_STATE, TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END } from './table.ts';
import { advanceByReset, judgeWhenClosed } from './tcp-end.ts';
import { advanceBySyn, SIMULTANEOUS, startOpener } from './tcp-handshake.ts';
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
 * @returns FLOW_PASSES, FLOW_PASSES_UNCHANGED (it does not keep the connection alive), FLOW_ASKS_RULES, or why not
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
  // Anything else follows an answer that went another way, if it belongs here at all.
  if (fromOpener || !isBare) return FLOW_ASKS_RULES;
  // The RST that answers it has this for its sequence number.
  words[at + TCP_OTHER + TCP_SIDE_ACK] = packet.tcpAcknowledgment;
  return FLOW_PASSES_UNCHANGED;
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
