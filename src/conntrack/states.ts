/**
 * Names the states of a flow entry, and how long a flow may be idle in each.
 *
 * | state            | means                                                 | idle time-out                  |
 * |------------------|-------------------------------------------------------|--------------------------------|
 * | TCP_SYN_SENT     | SYN from the opener                                   | tcpOpening, 60 s               |
 * | TCP_SYN_RECEIVED | SYN-ACK from the other side                           | tcpOpening, 60 s               |
 * | TCP_ESTABLISHED  | ACK from the opener, or picked up in mid-stream       | tcpEstablished, 432,000 s      |
 * | TCP_CLOSING      | FIN from both sides: the last ACKs may pass           | tcpClosing, 30 s               |
 * | TCP_CLOSED       | RST seen: the notes of tcp.ts say what still passes   | tcpReset, 10 s                 |
 * | REVOKED_FLOW     | ended by a change of rules, any protocol              | tcpEstablished, at least 300 s |
 * | UDP_SINGLE       | one direction, or a single request and response       | udp, 30 s                      |
 * | UDP_STREAM       | more than one request and response                    | udpStream, 180 s               |
 * | ICMP_QUERY_FLOW  | an ICMP query, by its identifier                      | icmp, 30 s                     |
 * | OTHER            | any other protocol, by its addresses                  | other, 600 s                   |
 *
 * AWS documents tcpEstablished, udp, udpStream and other ("Amazon EC2 security group connection tracking"). We chose
 * the rest, and docs/conntrack.md documents it.
 */
export const TCP_SYN_SENT = 1;
export const TCP_SYN_RECEIVED = 2;
export const TCP_ESTABLISHED = 3;
export const TCP_CLOSING = 4;
export const TCP_CLOSED = 5;
export const REVOKED_FLOW = 6;
export const UDP_SINGLE = 7;
export const UDP_STREAM = 8;
export const ICMP_QUERY_FLOW = 9;
export const OTHER = 10;
export const STATE_COUNT = 11;

export const STATE_MASK = 0x1f;

// Marks of a TCP connection whose rule requires the server name of TLS (engine/tls/tls-names.ts), in bits 5–7.
/** The opener's ClientHello has not been judged yet. No data passes but parts of it. */
export const NAME_AWAITED = 1 << 7;
/** Parts of the ClientHello are kept. Without NAME_AWAITED: it was good, and the other side has not acknowledged it. */
export const NAME_BEGUN = 1 << 6;
/** The connection was closed since it has not named what its rule requires (in CLOSED). */
export const NAME_REFUSED = 1 << 5;
export const NAME_MARKS = NAME_AWAITED | NAME_BEGUN | NAME_REFUSED;

// Flags in the FLOW_STATE word.
/** The instance's side sent the first packet. */
export const OPENED_LOCALLY = 1 << 8;
/** The side that did not open has answered. */
export const REPLIED = 1 << 9;
// Bit 10 has three names. Protocol and state differ, so no flow needs two of them.
const BY_PROTOCOL_AND_STATE = 1 << 10;
/** The opener has sent again after an answer (UDP). */
export const ASKED_AGAIN = BY_PROTOCOL_AND_STATE;
/** Both sides have sent a SYN, and neither a SYN-ACK yet (TCP, in SYN_RECEIVED). */
export const SIMULTANEOUS = BY_PROTOCOL_AND_STATE;
/** The opener sent the RST (TCP, in CLOSED). */
export const RESET_BY_OPENER = BY_PROTOCOL_AND_STATE;
/** The side that opened has sent a FIN; the other side has (TCP). */
export const FIN_FROM_OPENER = 1 << 11;
export const FIN_FROM_OTHER = 1 << 12;
/** A SYN of the opener passed while the connection was open (TCP). */
export const SYN_PASSED = 1 << 13;
/** Windows are not checked: see tcp.ts. */
export const LIBERAL = 1 << 14;
/** The opener's SYN offered to scale windows (TCP). */
export const OPENER_SCALES = 1 << 15;
/** Window scales, 4 bits each (TCP). */
export const OPENER_SCALE_SHIFT = 16;
export const OTHER_SCALE_SHIFT = 20;
export const SCALES_MASK = 0xff << OPENER_SCALE_SHIFT;

/**
 * The state whose time-out applies. A connection picked up in mid-stream has TCP_SYN_SENT's until it is answered, and
 * one whose server name is awaited until that is known.
 */
export function timeoutState(word: number): number {
  const state = word & STATE_MASK;
  const isOpen = (word & (REPLIED | NAME_AWAITED)) === REPLIED;
  return state === TCP_ESTABLISHED && !isOpen ? TCP_SYN_SENT : state;
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

/** The states as people are told them, by the numbers of `toldState`: two more say of a server name where it stands. */
export const TOLD_STATES: readonly string[] = [
  ...STATE_NAMES,
  'tls-name-awaited',
  'tls-name-refused',
];

/** The number in TOLD_STATES: a connection whose server name is awaited is not told as established yet. */
export function toldState(word: number): number {
  const state = word & STATE_MASK;
  if (state === TCP_ESTABLISHED && (word & NAME_AWAITED) !== 0) return STATE_COUNT;
  if (state === TCP_CLOSED && (word & NAME_REFUSED) !== 0) return STATE_COUNT + 1;
  return state;
}

/** Idle time-outs in seconds that differ between interfaces. */
export interface IdleTimeouts {
  readonly tcpEstablishedSec: number;
  readonly udpSec: number;
  readonly udpStreamSec: number;
}

/** Idle time-outs in seconds that are the same for all interfaces. */
export const TCP_OPENING_SEC = 60;
const TCP_CLOSING_SEC = 30;
const TCP_RESET_SEC = 10;
/** Least time to remember a revoked flow: longer than a retransmission waits (RFC 6298: 60 s; Linux: 120 s). */
const REVOKED_SEC_MIN = 300;
export const ICMP_SEC = 30;
export const OTHER_SEC = 600;

/** Writes the time-outs of one interface, in ms by state, from timeoutsMs[interfaceIndex * STATE_COUNT] on. */
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
  timeoutsMs[at + REVOKED_FLOW] = Math.max(idle.tcpEstablishedSec, REVOKED_SEC_MIN) * 1000;
  timeoutsMs[at + UDP_SINGLE] = idle.udpSec * 1000;
  timeoutsMs[at + UDP_STREAM] = idle.udpStreamSec * 1000;
  timeoutsMs[at + ICMP_QUERY_FLOW] = ICMP_SEC * 1000;
  timeoutsMs[at + OTHER] = OTHER_SEC * 1000;
}
