/**
 * Reads the fields of a flow log's line, which are bytes, into a FlowRecord.
 *
 * A log has millions of lines, so nothing is made of them but numbers: no text, but for addresses of IPv6 and names of
 * interfaces, which are remembered.
 */
import { parseAddress } from '../addr/address.ts';
import {
  ACTION_ACCEPT,
  ACTION_REJECT,
  ACTION_UNKNOWN,
  FROM_INSTANCE,
  NOT_TOLD,
  STATUS_NO_DATA,
  STATUS_OK,
  STATUS_SKIPPED,
  TOWARDS_INSTANCE,
  type FlowRecord,
} from './flow-record.ts';

/** Fields that are read, by their numbers here. */
export const FIELD_NUMBERS: ReadonlyMap<string, number> = new Map(
  [
    ...['interface-id', 'srcaddr', 'dstaddr', 'pkt-srcaddr', 'pkt-dstaddr', 'srcport', 'dstport'],
    ...['protocol', 'packets', 'bytes', 'start', 'end', 'action', 'log-status', 'tcp-flags'],
    'flow-direction',
  ].map((name, number) => [name, number]),
);

const INTERFACE_ID = 0;
const SRC_ADDRESS = 1;
const DST_ADDRESS = 2;
const PKT_SRC_ADDRESS = 3;
const PKT_DST_ADDRESS = 4;
const SRC_PORT = 5;
const DST_PORT = 6;
const PROTOCOL = 7;
const PACKETS = 8;
const BYTES = 9;
const START = 10;
const END = 11;
const ACTION = 12;
const LOG_STATUS = 13;
const TCP_FLAGS = 14;

const FAMILY_UNKNOWN = 0;
const DASH = 0x2d;
const DOT = 0x2e;
const COLON = 0x3a;
const DIGIT_0 = 0x30;
const ACCEPT = Buffer.from('ACCEPT');
const REJECT = Buffer.from('REJECT');
const LETTER_N = 0x4e;
const LETTER_S = 0x53;
const LETTER_I = 0x69;
/** More digits may not be a whole number of JavaScript's. */
const DIGITS_MAX = 15;
const MS_PER_SECOND = 1000;
const PORT_MAX = 65_535;
const PROTOCOL_MAX = 255;
/** A longer word is neither an address nor a name of an interface. */
const NAME_BYTES_MAX = 256;
/** Texts that are remembered; then all are forgotten. */
const REMEMBERED_MAX = 65_536;

export class FieldReader {
  private readonly record: FlowRecord;
  private readonly names = new Map<string, string>();
  private readonly addresses6 = new Map<string, readonly number[] | undefined>();

  constructor(record: FlowRecord) {
    this.record = record;
  }

  /** Sets what a line need not say. */
  begin(): void {
    const { record } = this;
    record.status = STATUS_OK;
    record.family = FAMILY_UNKNOWN;
    record.interfaceId = '';
    record.action = ACTION_UNKNOWN;
    record.tcpFlags = NOT_TOLD;
    record.direction = NOT_TOLD;
    record.srcPort = 0;
    record.dstPort = 0;
    record.packets = 1;
    record.bytes = 0;
    record.startMs = 0;
    record.endMs = 0;
  }

  /** Reads the field `field` from the bytes [from, to), of which there is at least one. @returns whether it is one */
  read(field: number, bytes: Buffer, from: number, to: number): boolean {
    const { record } = this;
    const first = bytes[from];
    if (first === DASH && to - from === 1) return this.readAbsent(field);
    switch (field) {
      case INTERFACE_ID:
        if (to - from > NAME_BYTES_MAX) return false;
        record.interfaceId = this.nameOf(bytes.toString('latin1', from, to));
        return true;
      case SRC_ADDRESS:
      case PKT_SRC_ADDRESS:
        return this.readAddress(bytes, from, to, true);
      case DST_ADDRESS:
      case PKT_DST_ADDRESS:
        return this.readAddress(bytes, from, to, false);
      case ACTION:
        return this.readAction(bytes, from, to);
      case LOG_STATUS:
        if (first === LETTER_N) record.status = STATUS_NO_DATA;
        else if (first === LETTER_S) record.status = STATUS_SKIPPED;
        return true;
      default:
        return field <= END || field === TCP_FLAGS
          ? this.setNumber(field, readNumber(bytes, from, to))
          : this.readDirection(first);
    }
  }

  /** A dash: this line does not say it. */
  private readAbsent(field: number): boolean {
    const { record } = this;
    const isAddress = field >= SRC_ADDRESS && field <= PKT_DST_ADDRESS;
    if (isAddress && record.status === STATUS_OK) record.status = STATUS_NO_DATA;
    return true;
  }

  private readAction(bytes: Buffer, from: number, to: number): boolean {
    const isAccept = bytes[from] === ACCEPT[0];
    const word = isAccept ? ACCEPT : REJECT;
    if (to - from !== word.length) return false;
    for (let i = 0; i < word.length; i++) if (bytes[from + i] !== word[i]) return false;
    this.record.action = isAccept ? ACTION_ACCEPT : ACTION_REJECT;
    return true;
  }

  private readDirection(first: number): boolean {
    this.record.direction = first === LETTER_I ? TOWARDS_INSTANCE : FROM_INSTANCE;
    return true;
  }

  private setNumber(field: number, value: number): boolean {
    const { record } = this;
    if (value < 0) return false;
    switch (field) {
      case SRC_PORT:
        record.srcPort = value;
        return value <= PORT_MAX;
      case DST_PORT:
        record.dstPort = value;
        return value <= PORT_MAX;
      case PROTOCOL:
        record.protocol = value;
        return value <= PROTOCOL_MAX;
      case PACKETS:
        record.packets = value;
        return true;
      case BYTES:
        record.bytes = value;
        return true;
      case START:
        record.startMs = value * MS_PER_SECOND;
        return true;
      case END:
        record.endMs = value * MS_PER_SECOND;
        return true;
      default:
        record.tcpFlags = value;
        return true;
    }
  }

  private readAddress(bytes: Buffer, from: number, to: number, isSource: boolean): boolean {
    const { record } = this;
    const word = readAddress4(bytes, from, to);
    if (word !== undefined) {
      if (record.family === 6) return false;
      record.family = 4;
      if (isSource) {
        record.src0 = word;
        record.src1 = record.src2 = record.src3 = 0;
      } else {
        record.dst0 = word;
        record.dst1 = record.dst2 = record.dst3 = 0;
      }
      return true;
    }
    if (to - from > NAME_BYTES_MAX) return false;
    const words = this.wordsOf(bytes.toString('latin1', from, to));
    if (words === undefined || record.family === 4) return false;
    record.family = 6;
    if (isSource) [record.src0, record.src1, record.src2, record.src3] = words;
    else [record.dst0, record.dst1, record.dst2, record.dst3] = words;
    return true;
  }

  /** One string for each name, so that lines keep none of the text. */
  private nameOf(text: string): string {
    const known = this.names.get(text);
    if (known !== undefined) return known;
    if (this.names.size === REMEMBERED_MAX) this.names.clear();
    this.names.set(text, text);
    return text;
  }

  private wordsOf(text: string): readonly number[] | undefined {
    const { addresses6 } = this;
    const known = addresses6.get(text);
    if (known !== undefined || addresses6.has(text)) return known;
    if (addresses6.size === REMEMBERED_MAX) addresses6.clear();
    const parsed = parseAddress(text);
    const words = parsed.ok && parsed.value.family === 6 ? parsed.value.words : undefined;
    addresses6.set(text, words);
    return words;
  }
}

/** A whole number from digits alone; negative for anything else. */
function readNumber(bytes: Buffer, from: number, to: number): number {
  if (to - from > DIGITS_MAX) return -1;
  let value = 0;
  for (let i = from; i < to; i++) {
    const digit = bytes[i] - DIGIT_0;
    if (digit < 0 || digit > 9) return -1;
    value = 10 * value + digit;
  }
  return value;
}

/** An IPv4 address as a word; undefined if it is none, such as one of IPv6. */
function readAddress4(bytes: Buffer, from: number, to: number): number | undefined {
  let word = 0;
  let part = 0;
  let digits = 0;
  let dots = 0;
  for (let i = from; i < to; i++) {
    const byte = bytes[i];
    if (byte === DOT) {
      if (digits === 0 || part > 255) return undefined;
      word = (word << 8) | part;
      part = 0;
      digits = 0;
      dots++;
    } else {
      const digit = byte - DIGIT_0;
      // A colon comes first of all that may be here: IPv6.
      if (byte === COLON || digit < 0 || digit > 9 || digits === 3) return undefined;
      part = 10 * part + digit;
      digits++;
    }
  }
  return dots === 3 && digits > 0 && part <= 255 ? (word << 8) | part : undefined;
}
