/**
 * What a flow entry can be, and how long it may be idle in each state.
 *
 * | state            | means                                                  | idle time-out               |
 * |------------------|--------------------------------------------------------|-----------------------------|
 * | TCP_SYN_SENT     | SYN from the opener                                    | tcpOpening, 60 s            |
 * | TCP_SYN_RECEIVED | SYN-ACK from the other side                            | tcpOpening, 60 s            |
 * | TCP_ESTABLISHED  | ACK from the opener, or picked up in mid-stream        | tcpEstablished, 432,000 s   |
 * | TCP_CLOSING      | FIN from both sides: the last ACKs may pass            | tcpClosing, 30 s            |
 * | TCP_CLOSED       | RST: nothing passes but RST and a SYN that opens anew  | tcpReset, 10 s              |
 * | TCP_REVOKED      | a change of rules ended it, of whatever protocol       | tcpEstablished, 300 s at least |
 * | UDP_SINGLE       | one direction, or a single request and response        | udp, 30 s                   |
 * | UDP_STREAM       | more than one request and response                     | udpStream, 180 s            |
 * | ICMP_QUERY_FLOW  | a query by its identifier                              | icmp, 30 s                  |
 * | OTHER            | any other protocol by its addresses                    | other, 600 s                |
 *
 * AWS documents tcpEstablished, udp, udpStream and other ("Amazon EC2 security group connection
 * tracking"); the rest is our decision, written down in docs/conntrack.md.
 */
export const TCP_SYN_SENT = 1;
export const TCP_SYN_RECEIVED = 2;
export const TCP_ESTABLISHED = 3;
export const TCP_CLOSING = 4;
export const TCP_CLOSED = 5;
export const TCP_REVOKED = 6;
export const UDP_SINGLE = 7;
export const UDP_STREAM = 8;
export const ICMP_QUERY_FLOW = 9;
export const OTHER = 10;
export const STATE_COUNT = 11;

export const STATE_MASK = 0xff;

// Flags in the FLOW_STATE word.
/** The instance's side sent the first packet. */
export const OPENED_LOCALLY = 1 << 8;
/** The side that did not open has answered. */
export const REPLIED = 1 << 9;
/** The opener has sent again after an answer (UDP). */
export const ASKED_AGAIN = 1 << 10;
/** FIN seen from the side that opened, from the other side (TCP). */
export const FIN_FROM_OPENER = 1 << 11;
export const FIN_FROM_OTHER = 1 << 12;
/** A SYN of the opener passed a connection that is still open (TCP). */
export const SYN_PASSED = 1 << 13;
/** Windows are not judged: picked up in mid-stream, or by setting (TCP). */
export const LIBERAL = 1 << 14;
/** The opener's SYN offered to scale windows (TCP). */
export const OPENER_SCALES = 1 << 15;
/** Window scales, 4 bits each (TCP). */
export const OPENER_SCALE_SHIFT = 16;
export const OTHER_SCALE_SHIFT = 20;
export const SCALES_MASK = 0xff << OPENER_SCALE_SHIFT;

/** The state whose time-out a flow has: one picked up in mid-stream has that of opening until it is answered. */
export function timeoutState(word: number): number {
  const state = word & STATE_MASK;
  return state === TCP_ESTABLISHED && (word & REPLIED) === 0 ? TCP_SYN_SENT : state;
}

export const STATE_NAMES: readonly string[] = [
  'free',
  'syn-sent',
  'syn-received',
  'established',
  'closing',
  'closed',
  'revoked',
  'udp',
  'udp-stream',
  'icmp',
  'other',
];

/** Idle time-outs in seconds that differ between interfaces. */
export interface IdleTimeouts {
  readonly tcpEstablishedSec: number;
  readonly udpSec: number;
  readonly udpStreamSec: number;
}

const TCP_OPENING_SEC = 60;
const TCP_CLOSING_SEC = 30;
const TCP_RESET_SEC = 10;
/** A revoked flow is remembered so long at least: longer than a retransmission waits (RFC 6298: 60 s; Linux: 120 s). */
const REVOKED_SEC_MIN = 300;
const ICMP_SEC = 30;
const OTHER_SEC = 600;

/** Writes the time-outs of one interface, in milliseconds by state, at timeoutsMs[interface * STATE_COUNT]. */
export function setTimeouts(
  timeoutsMs: Int32Array,
  interfaceIndex: number,
  idle: IdleTimeouts,
): void {
  const at = interfaceIndex * STATE_COUNT;
  timeoutsMs[at + TCP_SYN_SENT] = TCP_OPENING_SEC * 1000;
  timeoutsMs[at + TCP_SYN_RECEIVED] = TCP_OPENING_SEC * 1000;
  timeoutsMs[at + TCP_ESTABLISHED] = idle.tcpEstablishedSec * 1000;
  timeoutsMs[at + TCP_CLOSING] = TCP_CLOSING_SEC * 1000;
  timeoutsMs[at + TCP_CLOSED] = TCP_RESET_SEC * 1000;
  timeoutsMs[at + TCP_REVOKED] = Math.max(idle.tcpEstablishedSec, REVOKED_SEC_MIN) * 1000;
  timeoutsMs[at + UDP_SINGLE] = idle.udpSec * 1000;
  timeoutsMs[at + UDP_STREAM] = idle.udpStreamSec * 1000;
  timeoutsMs[at + ICMP_QUERY_FLOW] = ICMP_SEC * 1000;
  timeoutsMs[at + OTHER] = OTHER_SEC * 1000;
}
