/**
 * Reads flow logs as text: AWS's default format, any other that a header line or a person names, and our own.
 *
 * One line is one record. A line that can't be read is told with its number and why, and the next one is read. Lines
 * have a bound; what is behind it is passed over.
 */
import { FIELD_NAMES, parseFormat, DEFAULT_FORMAT } from '../config/flow-log-format.ts';
import type { ByteSource } from './byte-source.ts';
import { ByteWindow } from './byte-window.ts';
import { READ_END, READ_MORE, READ_ONE, type Damage } from './captured-packet.ts';
import { FIELD_NUMBERS, FieldReader } from './flow-log-fields.ts';
import { FlowRecord, STATUS_OK } from './flow-record.ts';

/** A longer line is none of a flow log: AWS's longest format has some hundred bytes. */
const LINE_BYTES_MAX = 16_384;
/** Lines that are told; more are counted. */
const TOLD_MAX = 5;
/** Of a line that is told. */
const SHOWN_BYTES = 60;
const NEWLINE = 0x0a;
const RETURN = 0x0d;
const BLANK = 0x20;
const NOT_READ = -1;
/** Fields without which nothing can be judged, each with another that will do. */
const NEEDED = [
  ['srcaddr', 'pkt-srcaddr'],
  ['dstaddr', 'pkt-dstaddr'],
  ['srcport', 'srcport'],
  ['dstport', 'dstport'],
  ['protocol', 'protocol'],
] as const;

/** A line that could not be read. */
export interface BadLine {
  readonly line: number;
  /** Without a full stop. */
  readonly message: string;
  /** The beginning of the line, as it is. */
  readonly text: string;
}

/** @returns the names in a format; or what is wrong, without a full stop */
export function readFormat(text: string): readonly string[] | string {
  const format = parseFormat(text);
  return format.ok ? (lackOf(format.value.names) ?? format.value.names) : format.message;
}

const DEFAULT_NAMES = readFormat(DEFAULT_FORMAT) as readonly string[];

export class FlowLogReader {
  readonly source: ByteSource;
  readonly record = new FlowRecord();
  /** Lines read so far, with those that could not be. */
  lines = 0;
  badLines = 0;
  /** The first of them. */
  readonly told: BadLine[] = [];
  private readonly window = new ByteWindow();
  private readonly fields = new FieldReader(this.record);
  /** By column: the number of its field, or NOT_READ. */
  private columns: Int8Array;
  /** Passing over the rest of a line that is too long. */
  private isInLongLine = false;

  /** @param names of the fields, unless a header line names others; undefined: AWS's default format */
  constructor(source: ByteSource, names: readonly string[] = DEFAULT_NAMES) {
    this.source = source;
    this.columns = columnsOf(names);
  }

  /** Waits for further bytes of the file. */
  async feed(): Promise<void> {
    this.window.feed(await this.source.next());
  }

  /** Why the file could not be read to its end. */
  get damage(): Damage | undefined {
    const { failure } = this.source;
    return failure === undefined ? undefined : { at: this.window.position, message: failure };
  }

  /** Takes the next record out of what is here. @returns READ_… */
  step(): number {
    const { window } = this;
    for (;;) {
      const { bytes, at } = window;
      const newline = bytes.indexOf(NEWLINE, at);
      if (newline < 0 && !window.isLast) {
        if (window.rest > LINE_BYTES_MAX) this.passOver();
        return READ_MORE;
      }
      if (newline < 0 && window.rest === 0) return READ_END;
      const end = newline < 0 ? bytes.length : newline;
      window.at = newline < 0 ? end : end + 1;
      this.lines++;
      if (this.readLine(bytes, at, bytes[end - 1] === RETURN && end > at ? end - 1 : end))
        return READ_ONE;
    }
  }

  /** Gives up the beginning of a line that is too long. */
  private passOver(): void {
    const { window } = this;
    if (!this.isInLongLine)
      this.tell('longer than any line of a flow log', window.at, window.at + SHOWN_BYTES, 1);
    this.isInLongLine = true;
    window.at += window.rest;
  }

  /** @returns whether it is a record */
  private readLine(bytes: Buffer, from: number, to: number): boolean {
    if (this.isInLongLine) {
      this.isInLongLine = false;
      return false;
    }
    if (from === to) return false;
    if (this.readHeader(bytes, from, to)) return false;
    const { columns, fields, record } = this;
    fields.begin();
    let column = 0;
    let at = from;
    for (; at < to && column < columns.length; column++) {
      let end = at;
      while (end < to && bytes[end] !== BLANK) end++;
      if (end === at) break;
      const field = columns[column];
      if (field !== NOT_READ && !fields.read(field, bytes, at, end)) {
        if (record.status !== STATUS_OK) return true;
        this.tell(`field ${column + 1} is not what its name says`, from, to, 0);
        return false;
      }
      at = end + 1;
    }
    if (column === columns.length && at >= to) return true;
    const found = countFields(bytes, from, to);
    this.tell(`${found} fields, and the format has ${columns.length}`, from, to, 0);
    return false;
  }

  /** Whether the line names fields: then those behind it have these. */
  private readHeader(bytes: Buffer, from: number, to: number): boolean {
    // A record has digits in front, or a word that is no field's name. Only words are looked at more closely.
    const first = bytes[from];
    if (first < 0x61 || first > 0x7a || to - from > LINE_BYTES_MAX) return false;
    const words = bytes
      .toString('latin1', from, to)
      .trim()
      .split(/[\s,]+/);
    // Parquet and Athena have underscores.
    const names = words.map((word) => word.replaceAll('_', '-'));
    if (!names.every((name) => FIELD_NAMES.includes(name))) return false;
    const lack = lackOf(names);
    if (lack === undefined) this.columns = columnsOf(names);
    else this.tell(lack, from, to, 0);
    return true;
  }

  private tell(message: string, from: number, to: number, ahead: number): void {
    this.badLines++;
    if (this.told.length === TOLD_MAX) return;
    const text = this.window.bytes.toString('latin1', from, Math.min(to, from + SHOWN_BYTES));
    this.told.push({ line: this.lines + ahead, message, text });
  }
}

/** What a format lacks that nothing can be judged without. */
function lackOf(names: readonly string[]): string | undefined {
  const lacking = NEEDED.filter((names_) => !names_.some((name) => names.includes(name)));
  if (lacking.length === 0) return undefined;
  return `the format lacks ${lacking.map(([name]) => name).join(', ')}, and nothing can be judged without`;
}

/** By column: which field is read. Addresses that the packet bore are read in place of the interface's. */
function columnsOf(names: readonly string[]): Int8Array {
  return Int8Array.from(names, (name) =>
    names.includes(`pkt-${name}`) ? NOT_READ : (FIELD_NUMBERS.get(name) ?? NOT_READ),
  );
}

function countFields(bytes: Buffer, from: number, to: number): number {
  let fields = 1;
  for (let i = from; i < to; i++) if (bytes[i] === BLANK) fields++;
  return fields;
}
