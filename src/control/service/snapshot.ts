/**
 * The flow table in a file: written when the daemon stops, read when it starts, so that a restart keeps
 * every tracked connection with its state.
 *
 * Theory of operation
 *
 * What is in it. Magic, version, a JSON header, blocks of records, a SHA-256 over all of that. A record is an
 * entry's key and state words, with its age in place of the moment it was last seen. Numbers that mean
 * something only within a process are explained by the header: ports by the interface and device that
 * had them, rules by their text. The next process gives them its own numbers; flows of an interface that
 * is gone, or has another device, are left out.
 *
 * When it is believed. As a whole, or not at all: magic, version, the entries' layout, boot and checksum must
 * fit. A file from another boot is of connections whose instances have ended. Time is CLOCK_BOOTTIME, which
 * runs on while a machine sleeps and no clock setting moves: flows age by what passed meanwhile.
 *
 * It is used once: the file is gone before packets flow. A second process that read it after a crash
 * would judge TCP by windows of long ago, and cut what `midstream: accept` keeps.
 *
 * Order. Answered flows first, half-open ones after them: if the new table is smaller, the former stay.
 *
 * No fsync: after a power failure the file would be of another boot. It is renamed into place only when
 * it is whole, and the checksum finds what was damaged all the same.
 *
 * Limits. As many records as the table has flows (60 bytes each, 84 in IPv6); a time budget for writing,
 * after which the rest is left out: those connections go on by `midstream: accept`.
 */
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
import { isHalfOpen } from '../../conntrack/half-open.ts';
import { STATE_MASK, STATE_NAMES } from '../../conntrack/states.ts';
import * as layout from '../../conntrack/table.ts';
import { FLOW_SEEN, FLOW_STATE, type FlowTable } from '../../conntrack/table.ts';
import type { InterfaceId, Revocation, Rule } from '../../policy/model.ts';
import type { SavedRange } from '../../policy/untracked-past.ts';

export const SNAPSHOT_VERSION = 1;

const MAGIC = 'SGFLOWS\n';
const PREFIX_BYTES = 16;
const DIGEST_BYTES = 32;
const BLOCK_HEADER_BYTES = 8;
const BLOCK_RECORDS = 4096;
const READ_BYTES = 1 << 20;
/** A header has a line an interface and a rule in use. */
const HEADER_BYTES_MAX = 64 << 20;
const FILE_MODE = 0o600;

/** Names every number that the words of an entry depend on: another program version may have others. */
const LAYOUT = JSON.stringify([
  endianness(),
  layout.KEY_WORDS_4,
  layout.KEY_WORDS_6,
  layout.STATE_WORDS,
  [layout.KEY_META, layout.KEY_PORTS, layout.KEY_ADDRESSES],
  [FLOW_SEEN, FLOW_STATE, layout.FLOW_RULE, layout.TCP_OPENER, layout.TCP_OTHER],
  [layout.TCP_SIDE_END, layout.TCP_SIDE_MAX_END, layout.TCP_SIDE_ACK, layout.TCP_WINDOWS],
  STATE_NAMES,
]);

/** What the numbers in the records mean. */
export interface SnapshotContent {
  /** Of /proc/sys/kernel/random/boot_id. */
  readonly bootId: string;
  /** CLOCK_BOOTTIME when the flows stood still. */
  readonly boottimeMs: number;
  readonly interfaces: readonly SnapshotInterface[];
  readonly rules: readonly SnapshotRule[];
  /** What was untracked (policy/untracked-past.ts); earlier versions did not save it. */
  readonly untracked?: readonly SavedRange[];
}

export interface SnapshotInterface {
  readonly port: number;
  readonly id: InterfaceId;
  /** MAC address that the instance on a TAP has, as far as it was known (engine/link.ts, Macs). */
  readonly mac?: string;
  /** Names its device (control/service/fd-store.ts, storedName). */
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
  /** On the loop's clock; no packet is being judged any more. */
  readonly nowMs: number;
  readonly timeBudgetMs: number;
  /** Told between blocks. */
  readonly onProgress: (flows: number) => void;
}

export interface Written {
  readonly flows: number;
  /** Flows that were left out, since time had run out. */
  readonly left: number;
  readonly bytes: number;
}

/**
 * Writes a snapshot beside `file` and renames it into place.
 * @throws Error with `code` (ENOSPC, EACCES, …); nothing is left then, and what was at `file` stays
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
    const written = new Writer(fd).write(options);
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

class Writer {
  private readonly fd: number;
  private readonly hash: Hash = createHash('sha256');
  private bytes = 0;
  private flows = 0;

  constructor(fd: number) {
    this.fd = fd;
  }

  write({ content, tables, nowMs, timeBudgetMs, onProgress }: WriteOptions): Written {
    const header = Buffer.from(JSON.stringify({ ...content, layout: LAYOUT }));
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.write(MAGIC);
    prefix.writeUInt32LE(SNAPSHOT_VERSION, 8);
    prefix.writeUInt32LE(header.length, 12);
    this.append(prefix);
    this.append(header);
    const deadline = performance.now() + timeBudgetMs;
    for (const wanted of [false, true])
      for (const table of tables) this.writeTable(table, wanted, nowMs, deadline, onProgress);
    this.append(blockHeader(0, this.flows));
    const digest = this.hash.digest();
    writeFully(this.fd, digest);
    const count = tables.reduce((flows, table) => flows + table.count, 0);
    return { flows: this.flows, left: count - this.flows, bytes: this.bytes + digest.length };
  }

  /** Those flows of a table that are half-open, or those that are not. */
  private writeTable(
    table: FlowTable,
    halfOpen: boolean,
    nowMs: number,
    deadline: number,
    onProgress: (flows: number) => void,
  ): void {
    const { stride, keyWords, words, highWater } = table;
    const block = new Int32Array(BLOCK_RECORDS * stride);
    let records = 0;
    const flush = (): void => {
      if (records === 0) return;
      this.append(blockHeader(keyWords, records));
      this.append(new Uint8Array(block.buffer, 0, 4 * records * stride));
      this.flows += records;
      records = 0;
      onProgress(this.flows);
    };
    for (let flow = 0; flow < highWater; flow++) {
      const base = flow * stride;
      const word = words[base + keyWords + FLOW_STATE];
      if ((word & STATE_MASK) === 0 || isHalfOpen(word) !== halfOpen) continue;
      const to = records * stride;
      block.set(words.subarray(base, base + stride), to);
      const seen = to + keyWords + FLOW_SEEN;
      block[seen] = (nowMs - block[seen]) | 0;
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
    writeFully(this.fd, bytes);
  }
}

function blockHeader(keyWords: number, records: number): Buffer {
  const header = Buffer.alloc(BLOCK_HEADER_BYTES);
  header.writeUInt32LE(keyWords, 0);
  header.writeUInt32LE(records, 4);
  return header;
}

/** write(2) may take a part only, as when the disk becomes full. */
function writeFully(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
}

/** Why a snapshot is not used; `message` is for the log. */
export class SnapshotRefusal extends Error {}

/** Takes a record: `words` is valid until it returns. @returns false to stop */
export type RecordTaker = (words: Int32Array, keyWords: number) => boolean;

/** A snapshot that has been found whole; it is held open. */
export class Snapshot {
  readonly content: SnapshotContent;
  private readonly fd: number;
  private readonly recordsAt: number;

  private constructor(fd: number, content: SnapshotContent, recordsAt: number) {
    this.fd = fd;
    this.content = content;
    this.recordsAt = recordsAt;
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
      const [content, recordsAt] = check(fd, onProgress);
      return new Snapshot(fd, content, recordsAt);
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  /** Hands over the records, in their order. */
  forEach(take: RecordTaker): void {
    let at = this.recordsAt;
    for (;;) {
      const [keyWords, records] = readBlockHeader(this.fd, at);
      if (keyWords === 0) return;
      const stride = keyWords + layout.STATE_WORDS;
      const block = readAt(this.fd, at + BLOCK_HEADER_BYTES, 4 * records * stride);
      const words = new Int32Array(block.buffer, block.byteOffset, records * stride);
      for (let i = 0; i < records; i++)
        if (!take(words.subarray(i * stride, (i + 1) * stride), keyWords)) return;
      at += BLOCK_HEADER_BYTES + block.length;
    }
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** Finds the whole file right. @returns what its header says, and where the records begin */
function check(fd: number, onProgress: () => void): [SnapshotContent, number] {
  const { size } = fstatSync(fd);
  if (size < PREFIX_BYTES + BLOCK_HEADER_BYTES + DIGEST_BYTES)
    throw new SnapshotRefusal(`it is cut short: ${size} bytes`);
  const prefix = readAt(fd, 0, PREFIX_BYTES);
  if (prefix.toString('latin1', 0, MAGIC.length) !== MAGIC)
    throw new SnapshotRefusal('it is no snapshot of flows');
  const version = prefix.readUInt32LE(8);
  if (version !== SNAPSHOT_VERSION)
    throw new SnapshotRefusal(
      `it has version ${version}, and this program reads ${SNAPSHOT_VERSION}`,
    );
  checkDigest(fd, size - DIGEST_BYTES, onProgress);
  // From here on it is as it was written: what does not fit is another program's, not damage.
  const headerBytes = prefix.readUInt32LE(12);
  if (headerBytes > Math.min(size, HEADER_BYTES_MAX))
    throw new SnapshotRefusal(`its header claims ${headerBytes} bytes`);
  const header = JSON.parse(readAt(fd, PREFIX_BYTES, headerBytes).toString()) as SnapshotContent & {
    readonly layout: string;
  };
  if (header.layout !== LAYOUT)
    throw new SnapshotRefusal('its entries are laid out otherwise: it is of another version');
  const recordsAt = PREFIX_BYTES + headerBytes;
  checkBlocks(fd, recordsAt, size - DIGEST_BYTES);
  return [header, recordsAt];
}

function checkDigest(fd: number, end: number, onProgress: () => void): void {
  const hash = createHash('sha256');
  for (let at = 0; at < end; at += READ_BYTES) {
    hash.update(readAt(fd, at, Math.min(READ_BYTES, end - at)));
    onProgress();
  }
  if (!hash.digest().equals(readAt(fd, end, DIGEST_BYTES)))
    throw new SnapshotRefusal('its checksum is wrong: it is damaged or cut short');
}

function checkBlocks(fd: number, start: number, end: number): void {
  let flows = 0;
  for (let at = start; at <= end - BLOCK_HEADER_BYTES;) {
    const [keyWords, records] = readBlockHeader(fd, at);
    at += BLOCK_HEADER_BYTES;
    if (keyWords === 0 && records === flows && at === end) return;
    const isFamily = keyWords === layout.KEY_WORDS_4 || keyWords === layout.KEY_WORDS_6;
    if (!isFamily || records > BLOCK_RECORDS) break;
    flows += records;
    at += 4 * records * (keyWords + layout.STATE_WORDS);
  }
  throw new SnapshotRefusal('its blocks do not fit together');
}

function readBlockHeader(fd: number, at: number): [keyWords: number, records: number] {
  const header = readAt(fd, at, BLOCK_HEADER_BYTES);
  return [header.readUInt32LE(0), header.readUInt32LE(4)];
}

function readAt(fd: number, position: number, bytes: number): Buffer {
  // Not from Buffer's pool: the words of records must be aligned.
  const buffer = Buffer.from(new ArrayBuffer(bytes));
  for (let at = 0; at < bytes;) {
    const read = readSync(fd, buffer, at, bytes - at, position + at);
    if (read === 0) throw new SnapshotRefusal(`it is cut short at ${position + at} bytes`);
    at += read;
  }
  return buffer;
}
