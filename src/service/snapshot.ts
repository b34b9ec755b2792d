/**
 * This file writes the flow table to a file when the daemon stops and reads it when it starts. So a restart keeps
 * every tracked connection with its state.
 *
 * Theory of operation
 *
 * Contents. Magic, version, a JSON header, blocks of records, and a SHA-256 over all of that. A record has the key
 * and state words of an entry, and its age in place of the moment it was last seen. Ports and rule numbers have a
 * meaning only within a process, so the header describes them: a port by its interface and device, a rule by its
 * text. The next process gives them its own numbers. Flows of an interface that was removed, or has another device,
 * are left out.
 *
 * Trust. A snapshot is used as a whole or not at all: magic, version, layout of the entries, boot and checksum must
 * fit. A file from another boot has connections whose instances have ended. Time is CLOCK_BOOTTIME. It goes on while
 * the machine sleeps, and setting the clock does not change it. So flows age by the time that has passed.
 *
 * A snapshot is used once: the file is deleted before packets flow. A second process that read it after a crash would
 * judge TCP by old windows, and cut connections that `midstream: accept` keeps.
 *
 * Order. Answered flows come first, half-open ones last. So if the new table is smaller, the answered ones stay.
 *
 * There is no fsync: after a power failure the file would be from another boot anyway. The file is renamed into place
 * only when it is complete, and the checksum finds any damage.
 *
 * Limits. There are as many records as the table has flows (60 bytes each, 84 for IPv6). Writing has a time budget.
 * Flows that do not fit into it are left out, and their connections go on by `midstream: accept`.
 */
import {
  FlowRecord,
  RECORD_LAYOUT,
  familyOfMark,
  recordMark,
  recordWords,
  writeRecord,
} from '../conntrack/flow-record.ts';
import { createHash, type Hash } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fstatSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { endianness } from 'node:os';
import { isHalfOpen } from '../conntrack/half-open.ts';
import { type FlowFamily, isUsed, stateWordOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import type { InterfaceId, Revocation, Rule, VpcId } from '../policy/model.ts';
import type { SavedNames } from './saved-names.ts';
import type { SavedRange } from '../policy/untracked-past.ts';
import { count } from '../source/count.ts';

export const SNAPSHOT_VERSION = 1;

const MAGIC = 'SGFLOWS\n';
const PREFIX_BYTES = 16;
const DIGEST_BYTES = 32;
const BLOCK_HEADER_BYTES = 8;
const BLOCK_RECORDS = 4096;
/** Stands in place of a family after the last block. */
const END_MARK = 0;
const READ_BYTES = 1 << 20;
/** The header has a line for each interface and each rule in use. */
const HEADER_BYTES_MAX = 64 << 20;
const FILE_MODE = 0o600;

/** Names every number that the words of an entry depend on. Another version of the program may have others. */
const LAYOUT = JSON.stringify([endianness(), ...RECORD_LAYOUT]);

/** When and where a snapshot in a file was made. */
export interface SnapshotContent extends FlowsContent {
  /** From /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** CLOCK_BOOTTIME when the packet loops had stopped. */
  readonly boottimeMs: number;
}

/** The header: it explains the numbers in the records. */
export interface FlowsContent {
  readonly interfaces: readonly SnapshotInterface[];
  readonly rules: readonly SnapshotRule[];
  /** Ranges that were untracked (policy/untracked-past.ts). Earlier versions did not save them. */
  readonly untracked?: readonly SavedRange[];
  /** Up to where flows with released addresses have been ended; absent: nobody knows, or there is no store. */
  readonly releases?: SavedReleases | undefined;
  /** Interfaces of the file, and their addresses. Earlier versions did not save them. */
  readonly owners?: readonly SavedOwner[];
  /** What was learnt of DNS names (saved-names.ts). Earlier versions did not save it. */
  readonly names?: SavedNames;
}

export interface SavedReleases {
  /** As it is named to the daemon. */
  readonly store: string;
  readonly revision: number;
}

export type SavedOwner = readonly [id: InterfaceId, vpcId: VpcId, address: string];

export interface SnapshotInterface {
  readonly port: number;
  readonly id: InterfaceId;
  /** MAC address of the instance on a TAP, if it was known (engine/link.ts, Macs). */
  readonly mac?: string;
  /** The stored name of its device (service/fd-store.ts, storedName). */
  readonly device: string;
}

export interface SnapshotRule {
  readonly number: number;
  readonly rule: Rule;
  readonly revocation: Revocation;
}

export interface WriteOptions {
  readonly content: SnapshotContent;
  readonly tables: readonly FlowTable[];
  /** The present on the loop's clock. No packet is judged any more. */
  readonly nowMs: number;
  readonly timeBudgetMs: number;
  /** Called between blocks with the number of flows. */
  readonly onProgress: (flows: number) => void;
}

export interface Written {
  readonly flows: number;
  /** Flows that were left out because time had run out. */
  readonly left: number;
  readonly bytes: number;
}

/**
 * Writes a snapshot beside `file` and renames it into place.
 * @throws Error with `code` (ENOSPC, EACCES, …). Then no new file is left, and an older `file` stays.
 */
export function writeSnapshot(file: string, options: WriteOptions): Written {
  const temporary = `${file}.tmp`;
  rmSync(temporary, { force: true });
  const fd = openSync(
    temporary,
    constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW,
    FILE_MODE,
  );
  try {
    const written = new Writer((bytes) => writeFully(fd, bytes)).write(options);
    fchmodSync(fd, FILE_MODE);
    renameSync(temporary, file);
    return written;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  } finally {
    closeSync(fd);
  }
}

/**
 * Packs flows as a snapshot that goes elsewhere than to a file.
 * @param records whole records, one behind the other
 */
export function packFlows(
  content: FlowsContent,
  records: readonly { readonly family: FlowFamily; readonly words: Int32Array }[],
): Buffer {
  const parts: Uint8Array[] = [];
  // The writer uses its blocks again.
  const writer = new Writer((bytes) => parts.push(bytes.slice()));
  writer.begin(content);
  for (const { family, words } of records) {
    const size = BLOCK_RECORDS * recordWords(family);
    for (let at = 0; at < words.length; at += size)
      writer.writeBlock(family, words.subarray(at, at + size));
  }
  writer.end();
  return Buffer.concat(parts);
}

class Writer {
  private readonly sink: (bytes: Uint8Array) => void;
  private readonly hash: Hash = createHash('sha256');
  private bytes = 0;
  private flows = 0;

  constructor(sink: (bytes: Uint8Array) => void) {
    this.sink = sink;
  }

  write({ content, tables, nowMs, timeBudgetMs, onProgress }: WriteOptions): Written {
    this.begin(content);
    const deadline = performance.now() + timeBudgetMs;
    for (const wanted of [false, true])
      for (const table of tables) this.writeTable(table, wanted, nowMs, deadline, onProgress);
    this.end();
    const count = tables.reduce((flows, table) => flows + table.count, 0);
    return { flows: this.flows, left: count - this.flows, bytes: this.bytes };
  }

  begin(content: FlowsContent): void {
    const header = Buffer.from(JSON.stringify({ ...content, layout: LAYOUT }));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.write(MAGIC);
    prefix.writeUInt32LE(SNAPSHOT_VERSION, 8);
    prefix.writeUInt32LE(header.length, 12);
    this.append(prefix);
    this.append(header);
  }

  /** @param words at most BLOCK_RECORDS whole records */
  writeBlock(family: FlowFamily, words: Int32Array): void {
    const records = words.length / recordWords(family);
    this.append(blockHeader(recordMark(family), records));
    this.append(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    this.flows += records;
  }

  end(): void {
    this.append(blockHeader(END_MARK, this.flows));
    this.append(this.hash.copy().digest());
  }

  /** Writes the half-open flows of a table, or all the others. */
  private writeTable(
    table: FlowTable,
    halfOpen: boolean,
    nowMs: number,
    deadline: number,
    onProgress: (flows: number) => void,
  ): void {
    const { family, highWater } = table;
    const size = recordWords(family);
    const block = new Int32Array(BLOCK_RECORDS * size);
    let records = 0;
    const flush = (): void => {
      if (records === 0) return;
      this.writeBlock(family, block.subarray(0, records * size));
      records = 0;
      onProgress(this.flows);
    };
    for (let flow = 0; flow < highWater; flow++) {
      if (!isUsed(table, flow) || isHalfOpen(stateWordOf(table, flow)) !== halfOpen) continue;
      writeRecord(table, flow, nowMs, block, records * size);
      records++;
      if (records < BLOCK_RECORDS) continue;
      flush();
      if (performance.now() > deadline) return;
    }
    flush();
  }

  private append(bytes: Uint8Array): void {
    this.hash.update(bytes);
    this.bytes += bytes.length;
    this.sink(bytes);
  }
}

/** @param mark the family of the records, or END_MARK after the last block */
function blockHeader(mark: number, records: number): Buffer {
  const header = Buffer.alloc(BLOCK_HEADER_BYTES);
  header.writeUInt32LE(mark, 0);
  header.writeUInt32LE(records, 4);
  return header;
}

/** Writes all bytes. write(2) may take only a part, for example when the disk becomes full. */
function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}

/** A snapshot can't be used. The message is for the log. */
export class SnapshotRefusal extends Error {}

/** Takes a record. The record is valid only until this returns. @returns false to stop */
export type RecordTaker = (record: FlowRecord) => boolean;

/** Where the bytes of a snapshot are. */
interface Source {
  readonly size: number;
  /** @throws SnapshotRefusal if there are not so many */
  readonly read: (position: number, bytes: number) => Buffer;
}

/** The flows of a snapshot that has been checked. */
export class SnapshotFlows {
  /** Whoever wrote the snapshot has chosen it: of another host it proves nothing. */
  readonly header: object;
  private readonly source: Source;
  private readonly recordsAt: number;

  /** @throws SnapshotRefusal if it doesn't fit or is damaged */
  constructor(source: Source, onProgress: () => void) {
    [this.header, this.recordsAt] = check(source, onProgress);
    this.source = source;
  }

  /** What `packFlows` made. @throws SnapshotRefusal if it doesn't fit or is damaged */
  static of(bytes: Buffer): SnapshotFlows {
    return new SnapshotFlows({ size: bytes.length, read: (at, length) => cut(bytes, at, length) }, () => undefined); // prettier-ignore
  }

  /** Hands over the records, in their order. */
  forEach(take: RecordTaker): void {
    let at = this.recordsAt;
    for (;;) {
      const { family, records } = readBlockHeader(this.source, at);
      if (family === undefined) return;
      const size = recordWords(family);
      const block = this.source.read(at + BLOCK_HEADER_BYTES, 4 * records * size);
      const words = new Int32Array(block.buffer, block.byteOffset, records * size);
      for (let i = 0; i < records; i++)
        if (!take(new FlowRecord(words.subarray(i * size, (i + 1) * size)))) return;
      at += BLOCK_HEADER_BYTES + block.length;
    }
  }
}

/** A snapshot in a file, which has been checked and is held open. */
export class Snapshot extends SnapshotFlows {
  private readonly fd: number;

  private constructor(fd: number, onProgress: () => void) {
    const read = (at: number, bytes: number): Buffer => readAt(fd, at, bytes);
    super({ size: fstatSync(fd).size, read }, onProgress);
    this.fd = fd;
  }

  get content(): SnapshotContent {
    return this.header as SnapshotContent;
  }

  /**
   * Opens a snapshot; undefined if there is none.
   * @throws SnapshotRefusal if it doesn't fit or is damaged; Error with `code` if it can't be read
   */
  static open(file: string, onProgress: () => void): Snapshot | undefined {
    let fd: number;
    try {
      fd = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
    try {
      return new Snapshot(fd, onProgress);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Checks the whole file. @returns its header, and the offset of the records */
function check(source: Source, onProgress: () => void): [header: object, recordsAt: number] {
  const { size } = source;
  if (size < PREFIX_BYTES + BLOCK_HEADER_BYTES + DIGEST_BYTES)
    throw new SnapshotRefusal(`it is cut short: ${count(size, 'byte')}`);
  const prefix = source.read(0, PREFIX_BYTES);
  if (prefix.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new SnapshotRefusal('it is no snapshot of flows');
  const version = prefix.readUInt32LE(8);
  if (version !== SNAPSHOT_VERSION)
    throw new SnapshotRefusal(
      `it has version ${version}, and this program reads ${SNAPSHOT_VERSION}`,
    );
  checkDigest(source, size - DIGEST_BYTES, onProgress);
  // The checksum is right. What does not fit from here on is from another version, not damage.
  const headerBytes = prefix.readUInt32LE(12);
  if (headerBytes > Math.min(size, HEADER_BYTES_MAX))
    throw new SnapshotRefusal(`its header claims ${count(headerBytes, 'byte')}`);
  const header = parseHeader(source.read(PREFIX_BYTES, headerBytes).toString());
  if (header.layout !== LAYOUT)
    throw new SnapshotRefusal('its entries are laid out otherwise: it is of another version');
  const recordsAt = PREFIX_BYTES + headerBytes;
  checkBlocks(source, recordsAt, size - DIGEST_BYTES);
  return [header, recordsAt];
}

function checkDigest(source: Source, end: number, onProgress: () => void): void {
  const hash = createHash('sha256');
  for (let at = 0; at < end; at += READ_BYTES) {
    hash.update(source.read(at, Math.min(READ_BYTES, end - at)));
    onProgress();
  }
  if (!hash.digest().equals(source.read(end, DIGEST_BYTES)))
    throw new SnapshotRefusal('its checksum is wrong: it is damaged or cut short');
}

function checkBlocks(source: Source, start: number, end: number): void {
  let flows = 0;
  for (let at = start; at <= end - BLOCK_HEADER_BYTES;) {
    const { mark, family, records } = readBlockHeader(source, at);
    at += BLOCK_HEADER_BYTES;
    if (mark === END_MARK && records === flows && at === end) return;
    if (family === undefined || records > BLOCK_RECORDS) break;
    flows += records;
    at += 4 * records * recordWords(family);
  }
  throw new SnapshotRefusal('its blocks do not fit together');
}

interface BlockHeader {
  readonly mark: number;
  /** The family of the records; undefined after the last block, or if the mark is unknown. */
  readonly family: FlowFamily | undefined;
  readonly records: number;
}

function readBlockHeader(source: Source, at: number): BlockHeader {
  const header = source.read(at, BLOCK_HEADER_BYTES);
  const mark = header.readUInt32LE(0);
  return { mark, family: familyOfMark(mark), records: header.readUInt32LE(4) };
}

/** Another host may have written it. */
function parseHeader(text: string): { readonly layout?: unknown } {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // It is refused below.
  }
  throw new SnapshotRefusal('its header is no JSON object');
}

function cut(bytes: Buffer, position: number, length: number): Buffer {
  if (position + length > bytes.length)
    throw new SnapshotRefusal(`it is cut short at ${count(bytes.length, 'byte')}`);
  // A copy: the words of records must be aligned, and who takes a record may change it.
  const part = Buffer.from(new ArrayBuffer(length));
  bytes.copy(part, 0, position, position + length);
  return part;
}

function readAt(fd: number, position: number, bytes: number): Buffer {
  // Not from Buffer's pool: the words of records must be aligned.
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes;) {
    const read = readSync(fd, buffer, at, bytes - at, position + at);
    if (read === 0) throw new SnapshotRefusal(`it is cut short at ${count(position + at, 'byte')}`);
    at += read;
  }
  return buffer;
}
