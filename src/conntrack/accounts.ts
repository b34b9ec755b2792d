/**
 * What each tracked flow has carried, beside the flow table in shared memory of its own.
 *
 * Theory of operation
 *
 * Problem. Flow logs, `sgctl flows` and `sgctl top` want packets and bytes of each direction of a flow,
 * and what TCP flags went by lately. Kept in the flow entries they would make every lookup touch more
 * memory, for those who never ask. So they stand in a slab of their own, 32 bytes an entry, found by the
 * entry's number; with `conntrack.accounting: off` there is none.
 *
 * Intervals. Flow logs tell of aggregation intervals: when the first packet in one came and which flags
 * were seen in it. The log's side raises the interval number (events.ts) and then reads what was; a flow
 * that carries an older number starts its flags and its first-packet time anew with its next packet, and
 * keeps the flags of the interval before, for a reader that comes a moment later. Packets and bytes are
 * never reset: a reader takes differences.
 *
 * Limits. Packets count to 2^36 a direction (19 hours at a million a second), then start at 0 again: a
 * reader that takes differences is not misled. Bytes are doubles, exact to 2^53.
 *
 * One writer (the packet loop). A reader on another thread may see a packet counted whose bytes are not.
 */
import type { FlowIndex } from './table.ts';

/** int32 words of an entry. */
export const ACCOUNT_WORDS = 8;
/** Packets from the instance and to it, the low 32 bits. */
export const ACCOUNT_PACKETS_OUT = 0;
export const ACCOUNT_PACKETS_IN = 1;
/** Bytes from the instance and to it: doubles, in words 2–3 and 4–5. */
export const ACCOUNT_BYTES_OUT = 2;
export const ACCOUNT_BYTES_IN = 4;
/** nowMs of the first packet in the interval. */
export const ACCOUNT_FIRST_SEEN = 6;
/**
 * SEEN_… bits of the interval from the instance (bits 0–3) and to it (4–7), those of the interval before
 * (8–11, 12–15), the interval's number (16–23), bits 32–35 of the packets from the instance (24–27) and to
 * it (28–31).
 */
export const ACCOUNT_MARKS = 7;

/** TCP flags worth remembering: FIN, SYN and RST by their bits, and that SYN and ACK came together. */
export const SEEN_FIN = 1;
export const SEEN_SYN = 2;
export const SEEN_RST = 4;
export const SEEN_SYN_ACK = 8;
const SEEN_BITS = 0xf;
const SYN_ACK = 0x12;

const MARKS_IN_SHIFT = 4;
const MARKS_BEFORE_SHIFT = 8;
const MARKS_NOW = 0xff;
const MARKS_INTERVAL_SHIFT = 16;
const MARKS_CARRY_OUT = 1 << 24;
const MARKS_CARRY_IN = 1 << 28;
const INTERVAL_BITS = 0xff << MARKS_INTERVAL_SHIFT;
const FLAGS_AND_INTERVAL = 0xffffff;
const WORD_RANGE = 2 ** 32;

/** Bytes of shared memory for the accounts of a flow table. */
export function accountBytes(capacity: number): number {
  return 4 * ACCOUNT_WORDS * capacity;
}

export class FlowAccounts {
  readonly words: Int32Array;
  readonly doubles: Float64Array;

  /** @param buffer accountBytes(capacity of the flow table) */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.doubles = new Float64Array(buffer);
  }

  /** Starts the account of a new flow at nothing. */
  open(flow: FlowIndex, interval: number, nowMs: number): void {
    const { words } = this;
    const at = flow * ACCOUNT_WORDS;
    for (let i = 0; i < ACCOUNT_FIRST_SEEN; i++) words[at + i] = 0;
    words[at + ACCOUNT_FIRST_SEEN] = nowMs;
    words[at + ACCOUNT_MARKS] = (interval & 0xff) << MARKS_INTERVAL_SHIFT;
  }

  /** Reads both ends of an account, so that its cache lines are on their way. @returns nothing of meaning */
  touch(flow: FlowIndex): number {
    const at = flow * ACCOUNT_WORDS;
    return this.words[at] ^ this.words[at + ACCOUNT_WORDS - 1];
  }

  /** Adds packets that passed. */
  add(
    flow: FlowIndex,
    fromLocal: boolean,
    packets: number,
    bytes: number,
    tcpFlags: number,
    interval: number,
    nowMs: number,
  ): void {
    const { words, doubles } = this;
    const at = flow * ACCOUNT_WORDS;
    let marks = words[at + ACCOUNT_MARKS];
    const wanted = (interval & 0xff) << MARKS_INTERVAL_SHIFT;
    if ((marks & INTERVAL_BITS) !== wanted) {
      const isNext = ((marks + (1 << MARKS_INTERVAL_SHIFT)) & INTERVAL_BITS) === wanted;
      const before = isNext ? (marks & MARKS_NOW) << MARKS_BEFORE_SHIFT : 0;
      marks = (marks & ~FLAGS_AND_INTERVAL) | wanted | before;
      words[at + ACCOUNT_MARKS] = marks;
      words[at + ACCOUNT_FIRST_SEEN] = nowMs;
    }
    const counter = at + (fromLocal ? ACCOUNT_PACKETS_OUT : ACCOUNT_PACKETS_IN);
    const before = words[counter];
    const after = (before + packets) | 0;
    words[counter] = after;
    // From the highest 32-bit number to a low one: the sign bit of an unsigned counter falls.
    if (before < 0 && after >= 0) {
      marks = (marks + (fromLocal ? MARKS_CARRY_OUT : MARKS_CARRY_IN)) | 0;
      words[at + ACCOUNT_MARKS] = marks;
    }
    let seen = tcpFlags & (SEEN_FIN | SEEN_SYN | SEEN_RST);
    if (seen !== 0) {
      if ((tcpFlags & SYN_ACK) === SYN_ACK) seen |= SEEN_SYN_ACK;
      words[at + ACCOUNT_MARKS] = marks | (fromLocal ? seen : seen << MARKS_IN_SHIFT);
    }
    doubles[(at + (fromLocal ? ACCOUNT_BYTES_OUT : ACCOUNT_BYTES_IN)) >> 1] += bytes;
  }
}

/** What a flow has carried, as a reader takes it out of the words at `at`: accounts or an event of a flow's end. */
export interface Carried {
  readonly packetsOut: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** Loop clock, ms: first packet of the interval. */
  readonly firstSeenMs: number;
  /** Number of the interval modulo 256 that firstSeenMs and the flags are of. */
  readonly interval: number;
  /** SEEN_… bits. */
  readonly flagsOut: number;
  readonly flagsIn: number;
  /** Those of the interval before. */
  readonly flagsOutBefore: number;
  readonly flagsInBefore: number;
}

export function createCarried(words: Int32Array, doubles: Float64Array, at: number): Carried {
  const marks = words[at + ACCOUNT_MARKS];
  return {
    packetsOut: (words[at + ACCOUNT_PACKETS_OUT] >>> 0) + ((marks >>> 24) & 0xf) * WORD_RANGE,
    packetsIn: (words[at + ACCOUNT_PACKETS_IN] >>> 0) + (marks >>> 28) * WORD_RANGE,
    bytesOut: doubles[(at + ACCOUNT_BYTES_OUT) >> 1],
    bytesIn: doubles[(at + ACCOUNT_BYTES_IN) >> 1],
    firstSeenMs: words[at + ACCOUNT_FIRST_SEEN],
    interval: (marks >>> MARKS_INTERVAL_SHIFT) & 0xff,
    flagsOut: marks & SEEN_BITS,
    flagsIn: (marks >>> MARKS_IN_SHIFT) & SEEN_BITS,
    flagsOutBefore: (marks >>> MARKS_BEFORE_SHIFT) & SEEN_BITS,
    flagsInBefore: (marks >>> (MARKS_BEFORE_SHIFT + MARKS_IN_SHIFT)) & SEEN_BITS,
  };
}
