/**
 * Reads as much of a DNS message as names need that are peers of rules: the question, and the addresses of the answer.
 * Sources: RFC 1035 section 4, RFC 3596 (AAAA), RFC 2181 section 8 (lifetimes).
 *
 * Addresses count that the asked name has, itself or at the end of a chain of aliases (CNAME) that begins with it. The
 * records of the chain are in its order, as each resolver writes them and as the C library expects it. Records of other
 * names teach nothing: a server may add what it likes (the Kaminsky attack used that).
 *
 * Bounds: RECORDS_MAX records of an answer are read, each name within its length, so a message costs at most 25,000
 * steps. Nothing here throws, whatever the bytes.
 */
import { DnsName, NO_NAME } from './dns-name.ts';

const HEADER_BYTES = 12;
const FLAGS = 2;
const QUESTIONS = 4;
const ANSWERS = 6;
const FLAG_RESPONSE = 0x8000;
const FLAG_TRUNCATED = 0x0200;
const OPCODE_MASK = 0x7800;
const CODE_MASK = 0x000f;

/** Behind the name of a question. */
const QUESTION_BYTES = 4;
/** Behind the name of a record: type, class, lifetime, length. */
const RECORD_BYTES = 10;
const TYPE_A = 1;
const TYPE_CNAME = 5;
const TYPE_AAAA = 28;
const CLASS_IN = 1;

export const RECORDS_MAX = 64;
/** Resolvers follow 8 to 16 aliases themselves. */
const ALIASES_MAX = 16;

// Results of `read`.
/** It is about something else than the addresses of a name, or no DNS. */
export const MESSAGE_OTHER = 0;
export const MESSAGE_MALFORMED = 1;
export const MESSAGE_ASKS = 2;
export const MESSAGE_ANSWERS = 3;

// Results of `next` other than the place of an address.
export const NO_ADDRESS = -1;
export const BAD_RECORD = -2;

export class DnsMessage {
  /** The asked name. */
  readonly name = new DnsName();
  /** What is asked for: 4 or 6. */
  family = 0;
  id = 0;
  /** Of an answer: it says that it does not hold everything. */
  isTruncated = false;
  /** Of an answer: it has more records than are read. */
  isTooLong = false;
  /** Of the address that `next` has found: seconds that the answer is good for, at least 0. */
  lifetimeSec = 0;
  private message = 0;
  private end = 0;
  private at = 0;
  private left = 0;
  private aliases = 0;
  private chainSec = 0;
  /** The name whose addresses count, and that of the record at hand. */
  private readonly wanted = new DnsName();
  private readonly owner = new DnsName();

  /** Reads header and question. @param end of the message @returns MESSAGE_… */
  read(view: DataView, message: number, end: number): number {
    if (end - message < HEADER_BYTES) return MESSAGE_OTHER;
    const flags = view.getUint16(message + FLAGS);
    if ((flags & OPCODE_MASK) !== 0 || view.getUint16(message + QUESTIONS) !== 1)
      return MESSAGE_OTHER;
    const behind = this.name.read(view, message, message + HEADER_BYTES, end);
    if (behind === NO_NAME || behind + QUESTION_BYTES > end) return MESSAGE_MALFORMED;
    const type = view.getUint16(behind);
    if (view.getUint16(behind + 2) !== CLASS_IN || (type !== TYPE_A && type !== TYPE_AAAA))
      return MESSAGE_OTHER;
    this.family = type === TYPE_A ? 4 : 6;
    this.id = view.getUint16(message);
    if ((flags & FLAG_RESPONSE) === 0) return MESSAGE_ASKS;
    const records = (flags & CODE_MASK) === 0 ? view.getUint16(message + ANSWERS) : 0;
    this.isTruncated = (flags & FLAG_TRUNCATED) !== 0;
    this.isTooLong = records > RECORDS_MAX;
    this.left = records > RECORDS_MAX ? RECORDS_MAX : records;
    this.message = message;
    this.end = end;
    this.at = behind + QUESTION_BYTES;
    this.aliases = 0;
    this.chainSec = 0x7fffffff;
    this.wanted.take(this.name);
    return MESSAGE_ANSWERS;
  }

  /** Finds the next address of the answer that was read. @returns where it is in the view; NO_ADDRESS; BAD_RECORD */
  next(view: DataView): number {
    const { message, end, owner, wanted } = this;
    while (this.left > 0) {
      this.left--;
      const behind = owner.read(view, message, this.at, end);
      if (behind === NO_NAME || behind + RECORD_BYTES > end) return BAD_RECORD;
      const type = view.getUint16(behind);
      const size = view.getUint16(behind + 8);
      const data = behind + RECORD_BYTES;
      if (data + size > end) return BAD_RECORD;
      this.at = data + size;
      if (view.getUint16(behind + 2) !== CLASS_IN || !owner.isSameAs(wanted)) continue;
      const seconds = view.getInt32(behind + 4);
      const good = seconds < 0 ? 0 : seconds;
      if (type === TYPE_CNAME) {
        if (++this.aliases > ALIASES_MAX) return BAD_RECORD;
        if (owner.read(view, message, data, end) !== data + size) return BAD_RECORD;
        wanted.take(owner);
        if (good < this.chainSec) this.chainSec = good;
      } else if (type === (this.family === 4 ? TYPE_A : TYPE_AAAA)) {
        if (size !== (this.family === 4 ? 4 : 16)) return BAD_RECORD;
        this.lifetimeSec = good < this.chainSec ? good : this.chainSec;
        return data;
      }
    }
    return NO_ADDRESS;
  }
}
