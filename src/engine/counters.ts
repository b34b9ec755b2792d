/**
 * What was let through and what was dropped, in shared memory: the packet loop adds, others read.
 *
 * A row a (port, direction): packets and bytes passed, packets and bytes dropped, then packets dropped
 * by reason. What ends at the link (LINK_SCOPE: router solicitations, reports of groups) has its own cell alone:
 * hosts send it when they please, it goes nowhere by nature, and as a drop it would hide those that mean something.
 * Doubles hold integers exactly to 2^53 and are written whole on 64-bit machines, so a reader
 * sees no torn value. Packets are what was on the wire: a GSO superpacket counts as its segments.
 */
import { LINK_SCOPE, PASS, REASON_COUNT } from './reasons.ts';

/** Towards the instance; for the uplink row: what came in through it. Same numbers as gates. */
export const INGRESS = 0;
export const EGRESS = 1;

export const PASSED_PACKETS = 0;
export const PASSED_BYTES = 1;
export const DROPPED_PACKETS = 2;
export const DROPPED_BYTES = 3;
export const DROPPED_BY_REASON = 4;
export const ROW_CELLS = DROPPED_BY_REASON + REASON_COUNT;

export function counterBytes(ports: number): number {
  return 8 * 2 * ports * ROW_CELLS;
}

/** First cell of a row. */
export function counterRow(port: number, direction: number): number {
  return (2 * port + direction) * ROW_CELLS;
}

/** Counts `packets` of `bytes` in all as passed (reason PASS) or dropped. */
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

/** Takes back a count as passed and makes it a drop: a packet that was let through and then could not be written. */
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

/** What the loop tells of its flow tables, in shared memory of their own; written every tick. */
export const GAUGE_HALF_OPEN = 0;
export const GAUGE_EVICTED = 1;
export const GAUGE_PASSED_TABLE_FULL = 2;
export const GAUGE_PASSED_INVALID = 3;
export const GAUGE_PASSED_FRAGMENT = 4;
/** The last round's moment on the loop's clock, not scaled, in ms. */
export const GAUGE_LAST_ROUND_MS = 5;
/** Flows opened since the start. */
export const GAUGE_OPENED = 6;
/** Milliseconds the loop did not wait in poll. */
export const GAUGE_BUSY_MS = 7;
export const GAUGE_ROUNDS = 8;
/** Batches read, and packets in them; a superpacket counts as one. */
export const GAUGE_READ_BATCHES = 9;
export const GAUGE_READ_PACKETS = 10;
/** Writes to devices, and packets that went out as part of another's write. */
export const GAUGE_WRITES = 11;
export const GAUGE_COALESCED = 12;
/** Revoked flows that were given up for others. */
export const GAUGE_EVICTED_REVOKED = 13;
export const GAUGE_COUNT = 14;
