/**
 * Copies packets for `sgctl capture` into a ring of bytes in shared memory.
 *
 * The packet loop writes and the control plane reads. HEAD and TAIL are byte counts modulo 2^32. A record never
 * wraps: a record of kind SKIP fills the rest at the end of the ring. When the ring is full, the copy is lost and
 * counted. The loop copies only if the reader asks for it (WANT_CAPTURE), and at most `snapLength` bytes of a packet.
 */
const HEAD = 0;
const LOST = 1;
const TAIL = 16;
const SNAP_LENGTH = 17;
const HEADER_BYTES = 128;

export const CAPTURE_BYTES = 1 << 22;
export const SNAP_LENGTH_MAX = 65535;

/** int32 words of a record's header; the packet's bytes follow, padded to 4. */
export const CAPTURE_WORDS = 7;
/** Bytes of the whole record. */
export const CAPTURE_RECORD_BYTES = 0;
/** Bytes of the packet in the record, and bytes of the whole packet. */
export const CAPTURE_COPIED = 1;
export const CAPTURE_LENGTH = 2;
/**
 * port << 16 | direction << 8 | drop reason (0: passed). SKIP: no packet, the next record is at the start of the
 * ring.
 */
export const CAPTURE_META = 3;
export const CAPTURE_RULE = 4;
/** The round's time on the loop's clock, not scaled: whole seconds, and microseconds within the second. */
export const CAPTURE_SEC = 5;
export const CAPTURE_USEC = 6;

const SKIP = -1;

export function captureRingBytes(): number {
  return HEADER_BYTES + CAPTURE_BYTES;
}

/** The packet loop's side. */
export class CaptureRing {
  private readonly words: Int32Array;
  private readonly bytes: Uint8Array;
  // The time of this round.
  private sec = 0;
  private usec = 0;

  /** @param buffer captureRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  /**
   * Sets the time of a round, before its packets.
   * @param sec seconds of the loop's clock
   * @param usec microseconds within the second
   */
  beginRound(sec: number, usec: number): void {
    this.sec = sec;
    this.usec = usec;
  }

  /**
   * Copies a packet.
   * @param reason drop reason, 0 if it passed
   * @param rule number of the rule, -1 for none
   */
  copy(
    view: DataView,
    offset: number,
    length: number,
    port: number,
    direction: number,
    reason: number,
    rule: number,
  ): void {
    const { words, bytes } = this;
    const snapLength = words[SNAP_LENGTH];
    const copied = length < snapLength ? length : snapLength;
    const size = (4 * CAPTURE_WORDS + copied + 3) & ~3;
    let head = words[HEAD];
    const rest = CAPTURE_BYTES - (head & (CAPTURE_BYTES - 1));
    const needed = size <= rest ? size : rest + size;
    if (((head - Atomics.load(words, TAIL)) | 0) + needed > CAPTURE_BYTES) {
      words[LOST] = (words[LOST] + 1) | 0;
      return;
    }
    if (size > rest) {
      const skip = (HEADER_BYTES + (head & (CAPTURE_BYTES - 1))) >> 2;
      words[skip + CAPTURE_RECORD_BYTES] = rest;
      if (rest > 4 * CAPTURE_META) words[skip + CAPTURE_META] = SKIP;
      head = (head + rest) | 0;
    }
    const start = HEADER_BYTES + (head & (CAPTURE_BYTES - 1));
    const at = start >> 2;
    words[at + CAPTURE_RECORD_BYTES] = size;
    words[at + CAPTURE_COPIED] = copied;
    words[at + CAPTURE_LENGTH] = length;
    words[at + CAPTURE_META] = (port << 16) | (direction << 8) | reason;
    words[at + CAPTURE_RULE] = rule;
    words[at + CAPTURE_SEC] = this.sec;
    words[at + CAPTURE_USEC] = this.usec;
    const data = start + 4 * CAPTURE_WORDS;
    for (let i = 0; i < copied; i++) bytes[data + i] = view.getUint8(offset + i);
    Atomics.store(words, HEAD, (head + size) | 0);
  }
}

/** The control plane's side. */
export class CaptureReader {
  readonly words: Int32Array;
  readonly bytes: Uint8Array;

  /** @param buffer captureRingBytes() */
  constructor(buffer: SharedArrayBuffer) {
    this.words = new Int32Array(buffer);
    this.bytes = new Uint8Array(buffer);
  }

  /** The most bytes of a packet that are copied: 1 to SNAP_LENGTH_MAX. */
  set snapLength(bytes: number) {
    this.words[SNAP_LENGTH] = bytes;
  }

  /** Copies lost since the start, modulo 2^32. */
  get lost(): number {
    return this.words[LOST] >>> 0;
  }

  /** Discards all records in the ring. */
  clear(): void {
    Atomics.store(this.words, TAIL, Atomics.load(this.words, HEAD));
  }

  /** Time of the oldest record: microseconds of the loop's clock, modulo 2^32. Undefined if the ring is empty. */
  nextMoment(): number | undefined {
    const { words } = this;
    const head = Atomics.load(words, HEAD);
    for (let tail = words[TAIL]; tail !== head;) {
      const position = tail & (CAPTURE_BYTES - 1);
      const at = (HEADER_BYTES + position) >> 2;
      const size = words[at + CAPTURE_RECORD_BYTES];
      if (position + size !== CAPTURE_BYTES || !isSkipAt(words, at, size))
        return (Math.imul(words[at + CAPTURE_SEC], 1_000_000) + words[at + CAPTURE_USEC]) | 0;
      tail = (tail + size) | 0;
    }
    return undefined;
  }

  /**
   * Calls `take` for at most `most` records, with the first word of the record and the first byte of its packet.
   * @returns how many records it took
   */
  drain(take: (at: number, data: number) => void, most: number): number {
    const { words } = this;
    const head = Atomics.load(words, HEAD);
    let tail = words[TAIL];
    let taken = 0;
    while (taken < most && tail !== head) {
      const position = tail & (CAPTURE_BYTES - 1);
      const start = HEADER_BYTES + position;
      const at = start >> 2;
      const size = words[at + CAPTURE_RECORD_BYTES];
      const isSkip = position + size === CAPTURE_BYTES && isSkipAt(words, at, size);
      if (!isSkip) {
        take(at, start + 4 * CAPTURE_WORDS);
        taken++;
      }
      tail = (tail + size) | 0;
      Atomics.store(words, TAIL, tail);
    }
    return taken;
  }
}

/** Whether the record at `at` is the unused rest of the ring: too short for a record, or marked with SKIP. */
function isSkipAt(words: Int32Array, at: number, size: number): boolean {
  return size < 4 * CAPTURE_WORDS || words[at + CAPTURE_META] === SKIP;
}
