/**
 * The flow log writer appends lines to a file that is rotated, or to standard output.
 *
 * Nothing ever waits for a disk. Lines are lost if the disk is full or too slow. The caller is told how many were
 * lost, and the log says so in its next interval (SKIPDATA). A line counts as written when the kernel has taken it.
 * If the disk fills up, the file has the first lines of a batch.
 *
 * The file is checked before each batch. If another file is open than the one with the name (log rotation moved it,
 * somebody removed it), the name is opened again. The same happens after a failure and after `reopen`. Only a regular
 * file is opened, because a pipe could block the writer.
 */
import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import type { Rotation } from '../config/flow-log-format.ts';
import { describeKind } from '../source/read-text.ts';

export interface LineWriter {
  /** Opens the file before there are lines, so that trouble with it is told at once. */
  open(): void;
  /**
   * Takes lines, each without its newline.
   * @param done called with the number of lines that were written; the others are lost
   */
  write(lines: readonly string[], done: (written: number) => void): void;
  /** Opens the file by its name again before the next lines. */
  reopen(): void;
  close(): Promise<void>;
}

/** Most bytes that wait for a slow disk. */
export const WAITING_MAX = 64 * 1024 * 1024;
const FILE_MODE = 0o640;
const CLOSE_TIMEOUT_MS = 3000;
const NEWLINE = 0x0a;

/** @param onTrouble called with a description of each failure */
export function openFileWriter(
  file: string,
  rotation: Rotation,
  onTrouble: (message: string) => void,
): LineWriter {
  return new FileWriter(file, rotation, onTrouble);
}

class FileWriter implements LineWriter {
  private readonly file: string;
  private readonly rotation: Rotation;
  private readonly onTrouble: (message: string) => void;
  private opened: OpenFile | undefined;
  private wantsReopen = false;
  private waitingBytes = 0;
  private last: Promise<void> = Promise.resolve();

  constructor(file: string, rotation: Rotation, onTrouble: (message: string) => void) {
    this.file = file;
    this.rotation = rotation;
    this.onTrouble = onTrouble;
  }

  open(): void {
    this.last = this.last.then(async () => {
      await this.append(textOf([]));
    });
  }

  write(lines: readonly string[], done: (written: number) => void): void {
    const text = textOf(lines);
    if (this.waitingBytes + text.length > WAITING_MAX) {
      done(0);
      return;
    }
    this.waitingBytes += text.length;
    this.last = this.last.then(async () => {
      const written = await this.append(text);
      this.waitingBytes -= text.length;
      done(written);
    });
  }

  reopen(): void {
    this.wantsReopen = true;
  }

  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    });
    await Promise.race([this.last.then(() => this.opened?.close()), late]);
    clearTimeout(timer);
  }

  /** @returns how many lines were written; never rejects */
  private async append(text: Buffer): Promise<number> {
    try {
      const opened = await this.ready();
      return await opened.append(text);
    } catch (error) {
      this.opened = undefined;
      this.onTrouble(error instanceof Error ? error.message : String(error));
      return error instanceof CutShort ? error.written : 0;
    }
  }

  private async ready(): Promise<OpenFile> {
    if (this.opened !== undefined) {
      if (!this.wantsReopen && (await this.opened.isInPlace())) return this.opened;
      await this.opened.close();
    }
    this.opened = undefined;
    this.wantsReopen = false;
    this.opened = await OpenFile.open(this.file, this.rotation, this.onTrouble);
    return this.opened;
  }
}

/** The file did not take all lines. The error says how many it took. */
class CutShort extends Error {
  readonly written: number;

  constructor(message: string, written: number) {
    super(message);
    this.written = written;
  }
}

/** Wraps the library's stream and adds what it does not report: how much of a write was stored, and where. */
class OpenFile {
  private readonly file: string;
  private readonly stream: RotatingFileStream;
  /** Lines that the kernel has accepted. */
  private lines = 0;

  private constructor(file: string, stream: RotatingFileStream) {
    this.file = file;
    this.stream = stream;
    stream.on('open', () => this.writeWholly());
  }

  static async open(
    file: string,
    rotation: Rotation,
    onWarning: (message: string) => void,
  ): Promise<OpenFile> {
    const isCut = await endsInsideLine(file);
    const stream = createStream(basename(file), {
      path: dirname(file),
      size: `${rotation.sizeMb}M`,
      rotate: rotation.keep,
      mode: FILE_MODE,
      ...(rotation.gzip ? { compress: 'gzip' } : {}),
    });
    const opened = new OpenFile(file, stream);
    stream.on('warning', (error) => onWarning(error.message));
    await new Promise<void>((resolve, reject) => {
      // Every failure is reported to the caller who opens or writes.
      stream.on('error', reject);
      stream.once('open', () => resolve());
    });
    if (isCut) await opened.append(Buffer.from('\n'));
    return opened;
  }

  /** Appends lines. @returns the number of lines written  @throws CutShort */
  append(text: Buffer): Promise<number> {
    const before = this.lines;
    return new Promise((resolve, reject) => {
      this.stream.write(text, (error) => {
        const written = this.lines - before;
        if (error === null || error === undefined) resolve(written);
        else {
          this.stream.destroy();
          reject(new CutShort(error.message, written));
        }
      });
    });
  }

  /** Checks whether the open file is still the one with this name. */
  async isInPlace(): Promise<boolean> {
    try {
      const [named, ours] = await Promise.all([stat(this.file), this.handle.stat()]);
      return named.ino === ours.ino && named.dev === ours.dev;
    } catch {
      return false;
    }
  }

  close(): Promise<void> {
    return new Promise((resolve) => {
      this.stream.once('error', () => resolve());
      this.stream.end(resolve);
    });
  }

  private get handle(): FileHandle {
    return (this.stream as unknown as { readonly file: FileHandle }).file;
  }

  /**
   * Repeats write(2) until all is written: a disk that fills up takes a part first, and the library does not notice.
   */
  private writeWholly(): void {
    const { handle } = this;
    const write = handle.write.bind(handle) as (
      chunk: Uint8Array,
      offset: number,
    ) => Promise<{ readonly bytesWritten: number }>;
    Object.assign(handle, {
      write: async (chunk: Uint8Array) => {
        let at = 0;
        while (at < chunk.length) {
          const { bytesWritten } = await write(chunk, at);
          this.lines += countLines(chunk.subarray(at, at + bytesWritten));
          at += bytesWritten;
        }
        return { bytesWritten: at, buffer: chunk };
      },
    });
  }
}

function countLines(text: Uint8Array): number {
  let lines = 0;
  for (let at = text.indexOf(NEWLINE); at >= 0; at = text.indexOf(NEWLINE, at + 1)) lines++;
  return lines;
}

/**
 * Checks whether a full disk cut the file's last line short. Then the next line must begin on a new line.
 * @throws Error if it is no regular file, or can't be read
 */
async function endsInsideLine(file: string): Promise<boolean> {
  let handle: FileHandle;
  try {
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw new Error(`${file} is ${describeKind(found)}, not a file`);
    const last = Buffer.alloc(1);
    if (found.size === 0) return false;
    const { bytesRead } = await handle.read(last, 0, 1, found.size - 1);
    return bytesRead === 1 && last[0] !== NEWLINE;
  } finally {
    await handle.close();
  }
}

export function openStdoutWriter(stdout: Writable): LineWriter {
  let isBroken = false;
  stdout.on('error', () => (isBroken = true));
  return {
    open: () => undefined,
    write(lines, done) {
      const text = textOf(lines);
      if (isBroken || stdout.writableLength + text.length > WAITING_MAX) {
        done(0);
        return;
      }
      stdout.write(text, (error) => done(error === null || error === undefined ? lines.length : 0));
    },
    reopen: () => undefined,
    close: () => Promise.resolve(),
  };
}

function textOf(lines: readonly string[]): Buffer {
  return Buffer.from(lines.map((line) => `${line}\n`).join(''));
}
