/**
 * Whether the TCP segment that an ICMP error quotes is one that its connection can have sent.
 *
 * Addresses and ports can be guessed by somebody who sees nothing of a connection; the 32 bits of a
 * sequence number, within a window, hardly. So an error that is to pass without a rule has to quote a
 * number that was sent and not acknowledged long ago (RFC 5927 section 4.1 asks receivers for the same;
 * nf_conntrack leaves it to them). Behind what was acknowledged there is some room, for errors that
 * come late.
 */
import { LIBERAL, OPENED_LOCALLY, REPLIED } from './states.ts';
import { FLOW_STATE, TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END } from './table.ts';

/** As far as an acknowledgment itself may lie behind (tcp.ts). */
const BEHIND_MAX = 66_000;

/**
 * @param at the connection's first state word
 * @param fromLocal whether the quoted segment was sent by the local side
 */
export function isSegmentOf(
  words: Int32Array,
  at: number,
  sequence: number,
  fromLocal: boolean,
): boolean {
  const word = words[at + FLOW_STATE];
  if ((word & LIBERAL) !== 0) return true;
  const fromOpener = ((word & OPENED_LOCALLY) !== 0) === fromLocal;
  const sender = at + (fromOpener ? TCP_OPENER : TCP_OTHER);
  const receiver = at + (fromOpener ? TCP_OTHER : TCP_OPENER);
  const end = words[sender + TCP_SIDE_END];
  const acknowledged = (word & REPLIED) !== 0 ? words[receiver + TCP_SIDE_ACK] : end;
  return ((sequence - end) | 0) <= 0 && ((sequence - acknowledged) | 0) >= -BEHIND_MAX;
}
