/**
 * Keeps the first bytes of TCP connections until they are a whole ClientHello, and until the other side has
 * acknowledged it.
 *
 * Theory of operation
 *
 * A ClientHello may be cut over several records of TLS and several segments of TCP: those of browsers are longer than a
 * segment since they offer post-quantum keys. Each connection that has begun one has a slot: the bytes in order, as
 * they are on the wire. A segment is taken where the slot ends. What is sent again is compared with what was sent
 * before, and must be the same: a sender could send a good name in a segment that does not reach the server (its TTL
 * too small, its checksum wrong), and another name in the same place. So bytes are kept until they are acknowledged;
 * from then on the server takes no others.
 *
 * Bounds: SLOTS of HELLO_BYTES_MAX each, SLOTS_OF_PORT of them for an interface. Where there is none, the packet is
 * dropped, and the sender comes again. A slot is free again when its connection has ended or was silent for IDLE_MS.
 * A record is looked at once, so a byte costs the same however it is cut.
 */
import { incarnationIn, stateWordOf, type FlowIndex } from '../../conntrack/entry.ts';
import { NAME_BEGUN } from '../../conntrack/states.ts';
import type { FlowTable } from '../../conntrack/table.ts';
import { CLIENT_HELLO, MESSAGE_HEADER_BYTES, VERSION_MAJOR } from './client-hello.ts';

/** Those of browsers have 2,000, with session tickets 4,000. */
export const HELLO_BYTES_MAX = 8192;
export const SLOTS = 256;
export const SLOTS_OF_PORT = 64;
/** A client whose segments are lost comes again in less, five times. */
export const IDLE_MS = 20_000;

/** RFC 8446 section 5.1: type, version, length. */
const RECORD_HEADER_BYTES = 5;
const RECORD_HANDSHAKE = 22;
const RECORD_BYTES_MAX = 1 << 14;
const LENGTH_MASK = 0xffffff;

const SLOT_WORDS = 9;
const PORT = 0;
const INCARNATION = 1;
/** The sequence number of the first byte. */
const START = 2;
/** Bytes that are kept. */
const RECEIVED = 3;
/** Where the first record begins that is not here as a whole. */
const RECORD = 4;
/** Bytes of the message in the records before it, and the first four of them. */
const BODY = 5;
const HEAD = 6;
const SEEN_MS = 7;
const IS_IPV6 = 8;

export const NO_SLOT = -1;

// Results of `take`.
export const PARTS_MORE = 0;
/** The ClientHello is complete: `gather` gives it. */
export const PARTS_WHOLE = 1;
/** It is no ClientHello, or a longer one than is kept. */
export const PARTS_WRONG = 2;

export class HelloParts {
  /** The handshake message that `gather` has put together. */
  readonly message = new Uint8Array(HELLO_BYTES_MAX);
  private readonly flows4: FlowTable;
  private readonly flows6: FlowTable;
  private readonly bytes = new Uint8Array(SLOTS * HELLO_BYTES_MAX);
  private readonly words = new Int32Array(SLOTS * SLOT_WORDS);
  /** By slot: the flow plus 1; 0: it is free. */
  private readonly owners = new Int32Array(SLOTS);
  private readonly slotsOfPort: Int32Array;
  private reclaimedAtMs = 0;

  /** @param ports number of ports */
  constructor(flows4: FlowTable, flows6: FlowTable, ports: number) {
    this.flows4 = flows4;
    this.flows6 = flows6;
    this.slotsOfPort = new Int32Array(ports);
  }

  /** The slot of a flow, or NO_SLOT. */
  find(table: FlowTable, flow: FlowIndex): number {
    const slot = this.slotOf(table, flow);
    if (slot === NO_SLOT) return NO_SLOT;
    const incarnation = incarnationIn(stateWordOf(table, flow));
    return this.words[slot * SLOT_WORDS + INCARNATION] === incarnation ? slot : NO_SLOT;
  }

  /** The slot of a flow, or of an earlier one that had the same entry. */
  private slotOf(table: FlowTable, flow: FlowIndex): number {
    const { owners, words } = this;
    const isIpv6 = table.family === 6 ? 1 : 0;
    for (let slot = 0; slot < SLOTS; slot++)
      if (owners[slot] === flow + 1 && words[slot * SLOT_WORDS + IS_IPV6] === isIpv6) return slot;
    return NO_SLOT;
  }

  /** Takes a slot for a flow that has none. @param start sequence number of its first byte @returns it, or NO_SLOT */
  open(table: FlowTable, flow: FlowIndex, port: number, start: number, nowMs: number): number {
    // Incarnations come round: a slot that an earlier flow has left must not be taken for this one's.
    const left = this.slotOf(table, flow);
    if (left !== NO_SLOT) this.release(left);
    const slot = this.place(port, nowMs);
    if (slot === NO_SLOT) return NO_SLOT;
    const { words } = this;
    const at = slot * SLOT_WORDS;
    words[at + PORT] = port;
    words[at + INCARNATION] = incarnationIn(stateWordOf(table, flow));
    words[at + START] = start;
    words[at + RECEIVED] = 0;
    words[at + RECORD] = 0;
    words[at + BODY] = 0;
    words[at + HEAD] = 0;
    words[at + SEEN_MS] = nowMs;
    words[at + IS_IPV6] = table.family === 6 ? 1 : 0;
    this.owners[slot] = flow + 1;
    this.slotsOfPort[port]++;
    return slot;
  }

  /** How far a sequence number is behind the first byte of a slot. */
  offsetOf(slot: number, sequence: number): number {
    return (sequence - this.words[slot * SLOT_WORDS + START]) | 0;
  }

  /** Bytes of a slot. */
  receivedOf(slot: number): number {
    return this.words[slot * SLOT_WORDS + RECEIVED];
  }

  /** Notes that the flow of a slot lives. */
  renew(slot: number, nowMs: number): void {
    this.words[slot * SLOT_WORDS + SEEN_MS] = nowMs;
  }

  /** Whether the data at `start` of the view is what the slot has from `offset` on, as far as it has any. */
  isSame(slot: number, view: DataView, start: number, length: number, offset: number): boolean {
    const { bytes } = this;
    const received = this.receivedOf(slot);
    const known = length < received - offset ? length : received - offset;
    const from = slot * HELLO_BYTES_MAX + offset;
    for (let i = 0; i < known; i++) if (bytes[from + i] !== view.getUint8(start + i)) return false;
    return true;
  }

  /** Takes the bytes at `start` of the view, which follow those of the slot. @returns PARTS_… */
  take(slot: number, view: DataView, start: number, length: number): number {
    const { bytes, words } = this;
    const at = slot * SLOT_WORDS;
    const received = words[at + RECEIVED];
    const room = HELLO_BYTES_MAX - received;
    const taken = length < room ? length : room;
    const to = slot * HELLO_BYTES_MAX + received;
    for (let i = 0; i < taken; i++) bytes[to + i] = view.getUint8(start + i);
    words[at + RECEIVED] = received + taken;
    const result = this.readRecords(slot);
    // Nothing passes that is not kept.
    return result === PARTS_MORE && taken < length ? PARTS_WRONG : result;
  }

  /** Reads the records that are here as a whole, and as much of the next one as says that it is wrong. */
  private readRecords(slot: number): number {
    const { bytes, words } = this;
    const at = slot * SLOT_WORDS;
    const base = slot * HELLO_BYTES_MAX;
    const received = words[at + RECEIVED];
    while (words[at + RECORD] < received) {
      const offset = words[at + RECORD];
      const record = base + offset;
      const left = received - offset;
      if (bytes[record] !== RECORD_HANDSHAKE) return PARTS_WRONG;
      if (left > 1 && bytes[record + 1] !== VERSION_MAJOR) return PARTS_WRONG;
      if (left < RECORD_HEADER_BYTES) return PARTS_MORE;
      const size = (bytes[record + 3] << 8) | bytes[record + 4];
      const next = offset + RECORD_HEADER_BYTES + size;
      if (size === 0 || size > RECORD_BYTES_MAX || next > HELLO_BYTES_MAX) return PARTS_WRONG;
      const isFirst = offset === 0;
      if (
        isFirst &&
        left > RECORD_HEADER_BYTES &&
        bytes[RECORD_HEADER_BYTES + base] !== CLIENT_HELLO
      )
        return PARTS_WRONG;
      if (next > received) return PARTS_MORE;
      const body = words[at + BODY];
      let head = words[at + HEAD];
      for (let i = 0; i < size && body + i < MESSAGE_HEADER_BYTES; i++)
        head = (head << 8) | bytes[record + RECORD_HEADER_BYTES + i];
      words[at + HEAD] = head;
      words[at + BODY] = body + size;
      words[at + RECORD] = next;
      if (body + size < MESSAGE_HEADER_BYTES) continue;
      const whole = MESSAGE_HEADER_BYTES + (head & LENGTH_MASK);
      // Another message in the same record: whoever sends TLS begins with one ClientHello, and waits.
      if (body + size > whole) return PARTS_WRONG;
      if (body + size === whole) {
        words[at + RECEIVED] = next;
        return PARTS_WHOLE;
      }
    }
    return PARTS_MORE;
  }

  /** Puts the message of a slot together, which is whole. @returns its length */
  gather(slot: number): number {
    const { bytes, message } = this;
    const base = slot * HELLO_BYTES_MAX;
    const end = base + this.receivedOf(slot);
    let length = 0;
    for (let record = base; record < end;) {
      const data = record + RECORD_HEADER_BYTES;
      const next = data + ((bytes[record + 3] << 8) | bytes[record + 4]);
      for (let i = data; i < next; i++) message[length++] = bytes[i];
      record = next;
    }
    return length;
  }

  release(slot: number): void {
    this.owners[slot] = 0;
    this.slotsOfPort[this.words[slot * SLOT_WORDS + PORT]]--;
  }

  private place(port: number, nowMs: number): number {
    let slot = this.free(port);
    // Once a round is enough, whoever asks how often.
    if (slot === NO_SLOT && nowMs !== this.reclaimedAtMs) {
      this.reclaimedAtMs = nowMs;
      this.reclaim(nowMs);
      slot = this.free(port);
    }
    return slot;
  }

  private free(port: number): number {
    return this.slotsOfPort[port] < SLOTS_OF_PORT ? this.owners.indexOf(0) : NO_SLOT;
  }

  /** Releases the slots of flows that have ended, have another state, or have been silent. */
  private reclaim(nowMs: number): void {
    const { owners, words } = this;
    for (let slot = 0; slot < SLOTS; slot++) {
      if (owners[slot] === 0) continue;
      const at = slot * SLOT_WORDS;
      const table = words[at + IS_IPV6] === 1 ? this.flows6 : this.flows4;
      const word = stateWordOf(table, owners[slot] - 1);
      const isLive =
        (word & NAME_BEGUN) !== 0 &&
        words[at + INCARNATION] === incarnationIn(word) &&
        ((nowMs - words[at + SEEN_MS]) | 0) <= IDLE_MS;
      if (!isLive) this.release(slot);
    }
  }
}
