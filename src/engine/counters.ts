/**
 * Counts passed and dropped packets in shared memory. The packet loop adds, others read.
 *
 * Each (port, direction) has a row: packets and bytes passed, packets and bytes dropped, then packets dropped by
 * reason, then what passed by audit alone. LINK_SCOPE drops (router solicitations, multicast reports) count only in
 * their own cell. Hosts send them at any time and they go nowhere by nature; in the total they would hide drops that
 * mean something. Doubles hold integers exactly to 2^53. A 64-bit machine writes them whole, so a reader sees no torn
 * value. A GSO superpacket counts as its segments, which are the packets on the wire.
 */
import { NAME_OUTCOME_COUNT } from './names/outcomes.ts';
import { LINK_SCOPE, PASS, REASON_COUNT, TLS_NAME, TLS_NAMES_FULL } from './reasons.ts';

/** Towards the instance. In the uplink's row: what came in by the uplink. The numbers are those of the gates. */
export const INGRESS = 0;
export const EGRESS = 1;

export const PASSED_PACKETS = 0;
export const PASSED_BYTES = 1;
export const DROPPED_PACKETS = 2;
export const DROPPED_BYTES = 3;
export const DROPPED_BY_REASON = 4;
/** Of those that passed: what passed by audit alone (audit-counts.ts), by the gate that would have refused it. */
export const AUDITED_PACKETS = DROPPED_BY_REASON + REASON_COUNT;
export const AUDITED_BYTES = AUDITED_PACKETS + 1;
/** Of the packets among them, those that a required server name would have dropped: from TLS_NAME to TLS_NAMES_FULL. */
export const AUDITED_BY_NAME = AUDITED_BYTES + 1;
export const ROW_CELLS = AUDITED_BY_NAME + (TLS_NAMES_FULL - TLS_NAME + 1);

export function counterBytes(ports: number): number {
  return 8 * 2 * ports * ROW_CELLS;
}

/** First cell of the row of a port and direction. */
export function counterRow(port: number, direction: number): number {
  return (2 * port + direction) * ROW_CELLS;
}

/** Counts packets as passed (reason PASS) or dropped. @param bytes of all `packets` together */
export function count(
  cells: Float64Array,
  port: number,
  direction: number,
  reason: number,
  packets: number,
  bytes: number,
): void {
  const row = counterRow(port, direction);
  if (reason === PASS) {
    cells[row + PASSED_PACKETS] += packets;
    cells[row + PASSED_BYTES] += bytes;
    return;
  }
  cells[row + DROPPED_BY_REASON + reason] += packets;
  if (reason === LINK_SCOPE) return;
  cells[row + DROPPED_PACKETS] += packets;
  cells[row + DROPPED_BYTES] += bytes;
}

/** How many packets are counted in a row, as passed or dropped. */
export function countedPackets(cells: Float64Array, port: number, direction: number): number {
  const row = counterRow(port, direction);
  const dropped = cells[row + DROPPED_PACKETS] + cells[row + DROPPED_BY_REASON + LINK_SCOPE];
  return cells[row + PASSED_PACKETS] + dropped;
}

/** Turns a count of passed packets into drops, for packets that passed the gates and could not be delivered. */
export function countUndelivered(
  cells: Float64Array,
  port: number,
  direction: number,
  reason: number,
  packets: number,
  bytes: number,
): void {
  count(cells, port, direction, PASS, -packets, -bytes);
  count(cells, port, direction, reason, packets, bytes);
}

/** Gauges: the loop's figures about its flow tables and rounds, in shared memory of their own. Written every tick. */
export const GAUGE_HALF_OPEN = 0;
export const GAUGE_EVICTED = 1;
export const GAUGE_PASSED_TABLE_FULL = 2;
export const GAUGE_PASSED_INVALID = 3;
export const GAUGE_PASSED_FRAGMENT = 4;
/** The last round's time on the loop's clock, not scaled, in ms. */
export const GAUGE_LAST_ROUND_MS = 5;
/** Flows opened since the start. */
export const GAUGE_OPENED = 6;
/** Milliseconds in which the loop did not wait for packets. */
export const GAUGE_BUSY_MS = 7;
export const GAUGE_ROUNDS = 8;
/** Batches read, and packets in them. Here a superpacket counts as one. */
export const GAUGE_READ_BATCHES = 9;
export const GAUGE_READ_PACKETS = 10;
/** Writes to devices, and packets that left in the write of another packet. */
export const GAUGE_WRITES = 11;
export const GAUGE_COALESCED = 12;
/** Revoked flows that were evicted for others. */
export const GAUGE_EVICTED_REVOKED = 13;
/** With a fast path (offloaded-flows.ts): flows in the kernel now, handed over so far, and without room there. */
export const GAUGE_OFFLOADED = 14;
export const GAUGE_OFFERED = 15;
export const GAUGE_OFFLOAD_REFUSED = 16;
/** Packets that the kernel forwarded. */
export const GAUGE_OFFLOADED_PACKETS = 17;
/** Addresses of names that are known now; and what became of answers: a cell for each outcome (names/outcomes.ts). */
export const GAUGE_NAMES = 18;
export const GAUGE_NAME_OUTCOMES = 19;
export const GAUGE_COUNT = GAUGE_NAME_OUTCOMES + NAME_OUTCOME_COUNT;
