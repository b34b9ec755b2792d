/**
 * Checks whether a connection can have sent the TCP segment that an ICMP error quotes.
 *
 * Somebody who sees nothing of a connection can guess its addresses and ports, but hardly a sequence number within
 * its window. So an ICMP error that passes without a rule must quote a sequence number that was sent and not
 * acknowledged long ago. RFC 5927 section 4.1 asks receivers for the same check; nf_conntrack leaves it to them. Some
 * room behind what was acknowledged lets late errors pass.
 */
import { LIBERAL, OPENED_LOCALLY, REPLIED } from './states.ts';
import { FLOW_STATE, TCP_OPENER, TCP_OTHER, TCP_SIDE_ACK, TCP_SIDE_END } from './entry.ts';

/** An acknowledgment itself may lie this far behind (tcp.ts). */
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
