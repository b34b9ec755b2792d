/**
 * Says on which terms the kernel may forward a flow's packets: nothing that a plain packet brings may change the flow's
 * state, and both gates must know the same of it.
 *
 * TCP: established, answered, and neither a FIN nor a SYN on its way. Its window must be checked: of a LIBERAL
 * connection a sender chooses any numbers, and among these there is no greatest, so two copies would come apart. And
 * the server name that its rule may require must be known (tls/tls-names.ts).
 * UDP: answered. A packet that would make a UDP flow a stream goes by the loop.
 */
import { placeOf, stateWordAt, stateWordOf, type FlowIndex } from '../conntrack/entry.ts';
import {
  ASKED_AGAIN,
  FIN_FROM_OPENER,
  FIN_FROM_OTHER,
  LIBERAL,
  NAME_MARKS,
  OPENED_LOCALLY,
  REPLIED,
  STATE_MASK,
  SYN_PASSED,
  TCP_ESTABLISHED,
  TCP_SYN_RECEIVED,
  TCP_SYN_SENT,
  UDP_SINGLE,
  UDP_STREAM,
} from '../conntrack/states.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { readSide, SIDE_WORDS } from '../conntrack/tcp-sides.ts';
import { PROTO_TCP, PROTO_UDP, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN } from '../wire/fields.ts';
import type { Packet } from '../wire/packet.ts';
import { BY_RULES, PASSES_FROM_LOWER, PASSES_FROM_UPPER, UNCHECKED } from '../offload/layout.ts';

const TCP_MARKS =
  STATE_MASK | NAME_MARKS | REPLIED | FIN_FROM_OPENER | FIN_FROM_OTHER | SYN_PASSED | LIBERAL;
const TCP_PLAIN = TCP_ESTABLISHED | REPLIED;
const UDP_SHARED = STATE_MASK | REPLIED | ASKED_AGAIN;

/** UDP ports of DHCP, whose packets may be for the link layer (engine/dhcp/). */
const DHCP_PORTS: readonly number[] = [67, 68, 546, 547];
const DNS_PORT = 53;

/** Whether only plain packets are to be expected of the TCP connection with this state word. */
export function isPlainTcp(word: number): boolean {
  return (word & TCP_MARKS) === TCP_PLAIN;
}

/** Whether a segment neither opens nor ends a connection. */
function isPlainSegment(flags: number): boolean {
  return (flags & (TCP_ACK | TCP_SYN | TCP_FIN | TCP_RST)) === TCP_ACK;
}

/** Whether a packet of a flow that no gate tracks shows that more of it is to come (offload-untracked.ts). */
export function beginsUntracked(packet: Packet): boolean {
  if (packet.protocol !== PROTO_TCP) return true;
  return isPlainSegment(packet.tcpFlags) && packet.tcpPayloadBytes > 0;
}

/** Whether a packet opens or ends such a flow: what was known of it is over. */
export function endsUntracked(packet: Packet): boolean {
  return packet.protocol === PROTO_TCP && !isPlainSegment(packet.tcpFlags);
}

/** Whether the TCP connection with this state word may become another one, whose sequence numbers begin anew. */
export function beginsAnew(word: number): boolean {
  const state = word & STATE_MASK;
  return (word & SYN_PASSED) !== 0 || state === TCP_SYN_SENT || state === TCP_SYN_RECEIVED;
}

/** Whether the UDP flow with this state word can have packets that change nothing. */
export function isPlainUdp(word: number): boolean {
  const state = word & STATE_MASK;
  return state === UDP_STREAM || (state === UDP_SINGLE && (word & REPLIED) !== 0);
}

/**
 * The flags of a TCP connection (offload/layout.ts); 0 if it stays with the loop.
 * @param lower the flow at the lower end's gate
 * @param sides gets what the lower end has said, then the upper end; room for four sides
 */
export function tcpFlags(
  table: FlowTable,
  lower: FlowIndex,
  upper: FlowIndex,
  sides: Int32Array,
): number {
  const { words } = table;
  const atLower = placeOf(table, lower);
  const atUpper = placeOf(table, upper);
  const word = stateWordAt(words, atLower);
  const other = stateWordAt(words, atUpper);
  if (!isPlainTcp(word) || ((word ^ other) & TCP_MARKS) !== 0) return 0;
  const isLowerOpener = (word & OPENED_LOCALLY) !== 0;
  // One gate calls the opener local, and the other does not.
  if (isLowerOpener === ((other & OPENED_LOCALLY) !== 0)) return 0;
  readSide(words, atLower, isLowerOpener, sides, 0);
  readSide(words, atLower, !isLowerOpener, sides, SIDE_WORDS);
  readSide(words, atUpper, isLowerOpener, sides, 2 * SIDE_WORDS);
  readSide(words, atUpper, !isLowerOpener, sides, 3 * SIDE_WORDS);
  for (let i = 0; i < 2 * SIDE_WORDS; i++) if (sides[i] !== sides[2 * SIDE_WORDS + i]) return 0;
  return PASSES_FROM_LOWER | PASSES_FROM_UPPER;
}

/**
 * The flags of a TCP connection that one gate tracks, while the other lets it pass by the rules alone.
 * @param side of the gate that tracks: 0 the lower end's
 * @param sides as for tcpFlags
 */
export function tcpFlagsAlone(
  table: FlowTable,
  flow: FlowIndex,
  side: number,
  sides: Int32Array,
): number {
  const { words } = table;
  const at = placeOf(table, flow);
  const word = stateWordAt(words, at);
  if (!isPlainTcp(word)) return 0;
  const isLocalOpener = (word & OPENED_LOCALLY) !== 0;
  readSide(words, at, isLocalOpener, sides, side * SIDE_WORDS);
  readSide(words, at, !isLocalOpener, sides, (1 - side) * SIDE_WORDS);
  return PASSES_FROM_LOWER | PASSES_FROM_UPPER;
}

/** The same of a UDP flow. */
export function udpFlagsAlone(table: FlowTable, flow: FlowIndex, side: number): number {
  const word = stateWordOf(table, flow);
  return udpPasses(word, ((word & OPENED_LOCALLY) !== 0) === (side === 0));
}

/** The flags of a UDP flow: from which ends packets pass without moving its state. 0: from none. */
export function udpFlags(table: FlowTable, lower: FlowIndex, upper: FlowIndex): number {
  const word = stateWordOf(table, lower);
  const other = stateWordOf(table, upper);
  if (((word ^ other) & UDP_SHARED) !== 0 || ((word ^ other) & OPENED_LOCALLY) === 0) return 0;
  return udpPasses(word, (word & OPENED_LOCALLY) !== 0);
}

function udpPasses(word: number, isLowerOpener: boolean): number {
  if (!isPlainUdp(word)) return 0;
  if ((word & STATE_MASK) === UDP_STREAM) return PASSES_FROM_LOWER | PASSES_FROM_UPPER;
  // After an answer the opener's next packet is noted, and those after it change nothing. Before it, the other side's
  // change nothing; after it, they make the flow a stream.
  const passesOpener = (word & ASKED_AGAIN) !== 0;
  return isLowerOpener === passesOpener ? PASSES_FROM_LOWER : PASSES_FROM_UPPER;
}

/**
 * The flags of a flow; 0 if it stays with the loop. A negative owner: that gate lets it pass by the rules alone.
 * @param sides as for tcpFlags
 */
export function flagsFor(
  protocol: number,
  table: FlowTable,
  lower: FlowIndex,
  upper: FlowIndex,
  sides: Int32Array,
): number {
  const isTcp = protocol === PROTO_TCP;
  if (!isTcp && protocol !== PROTO_UDP) return 0;
  if (lower >= 0 && upper >= 0)
    return isTcp ? tcpFlags(table, lower, upper, sides) : udpFlags(table, lower, upper);
  if (lower < 0 && upper < 0) return PASSES_FROM_LOWER | PASSES_FROM_UPPER | BY_RULES | UNCHECKED;
  const side = lower >= 0 ? 0 : 1;
  const flow = lower >= 0 ? lower : upper;
  const flags = isTcp ? tcpFlagsAlone(table, flow, side, sides) : udpFlagsAlone(table, flow, side);
  return flags === 0 ? 0 : flags | BY_RULES;
}

/**
 * Whether the loops have to see all packets of the packet's flow: those of DHCP, whatever the protocol, and those of
 * DNS over UDP, whose answers may say which addresses a name in a rule has (names/names.ts).
 */
export function isForLoops(packet: Packet): boolean {
  const { protocol, srcPort, dstPort } = packet;
  if (protocol === PROTO_UDP && (srcPort === DNS_PORT || dstPort === DNS_PORT)) return true;
  return DHCP_PORTS.includes(srcPort) || DHCP_PORTS.includes(dstPort);
}
