/**
 * Counts what each tracked flow has carried: packets, bytes and TCP flags.
 *
 * Theory of operation
 *
 * Problem. Flow logs, `sgctl flows` and `sgctl top` need packets and bytes of each direction of a flow, and the TCP
 * flags seen lately. In the flow entries, these numbers would make every lookup touch more memory, also for users who
 * never ask for them. So they have a slab of their own in shared memory, 32 bytes an entry, with the numbers of the
 * flow entries. With `conntrack.accounting: off` there is no slab.
 *
 * Intervals. A flow log reports an aggregation interval: when its first packet came and which flags were seen. The
 * reader raises the interval's number (events.ts) and then reads the accounts. A flow with an older number starts its
 * flags and its first-packet time again with its next packet. It keeps the flags of the interval before, for a reader
 * that comes a moment late. Packets and bytes are never reset: a reader takes differences.
 *
 * Limits. Packets count to 2^36 a direction (19 hours at a million a second), then start at 0 again. Differences stay
 * right. Bytes are doubles, exact to 2^53.
 *
 * Only the packet loop writes. A reader on another thread may see a packet counted before its bytes.
 */
import type { FlowIndex } from './entry.ts';

/** int32 words of an entry. */
export const ACCOUNT_WORDS = 8;
/** Packets from the instance and to it, the low 32 bits. */
export const ACCOUNT_PACKETS_OUT = 0;
export const ACCOUNT_PACKETS_IN = 1;
/** Bytes from the instance and to it: doubles, in words 2–3 and 4–5. */
export const ACCOUNT_BYTES_OUT = 2;
export const ACCOUNT_BYTES_IN = 4;
/** When the first packet of the interval came (nowMs). */
export const ACCOUNT_FIRST_SEEN = 6;
/**
 * Bits 0–3: SEEN_… bits from the instance in this interval; 4–7: those to it. 8–11 and 12–15: the same for the
 * interval before. 16–23: the interval's number. 24–27: bits 32–35 of the packets from the instance; 28–31: of those
 * to it.
 */
export const ACCOUNT_MARKS = 7;

/** The TCP flags that are kept: FIN, SYN and RST at their own bits, and whether SYN and ACK came together. */
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

  /** Reads both ends of an account to fetch its cache lines. @returns a number without meaning */
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
    // An unsigned counter has wrapped when its sign bit falls.
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

/** What a flow has carried, as createCarried reads it: from its account, or from the event of its end. */
export interface Carried {
  readonly packetsOut: number;
  readonly packetsIn: number;
  readonly bytesOut: number;
  readonly bytesIn: number;
  /** When the first packet of the interval came: loop clock, ms. */
  readonly firstSeenMs: number;
  /** Number of the interval that firstSeenMs and the flags belong to, modulo 256. */
  readonly interval: number;
  /** SEEN_… bits. */
  readonly flagsOut: number;
  readonly flagsIn: number;
  /** The flags of the interval before. */
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
