/**
 * Where the lines of a flow log go: a file that is rotated, or standard output.
 *
 * Nobody waits for a disk. What can't be written, because it is full or too slow, is lost, and told by the number of lines to whoever gave
 * them; the log says so in its next interval (SKIPDATA). Lines count as written when the kernel has taken them: of a
 * disk that fills up the file has the first of a batch.
 *
 * The file is looked at before each batch: if it is another than the one that is open (log rotation moved it away, somebody
 * removed it) it is opened by its name, and so it is after a failure or when `reopen` was called. Only a regular file is
 * opened: a pipe would keep us waiting.
 */
import { constants } from 'node:fs';
import { open, stat, type FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';
import { describeKind } from '../../source/read-text.ts';

export interface Rotation {
  /** Megabytes at which a file is put aside. */
  readonly sizeMb: number;
  /** How many of those put aside are kept. */
  readonly keep: number;
  readonly gzip: boolean;
}

export interface LineWriter {
  /**
   * Takes lines, each without its newline.
   * @param done told how many of them were written, once that is known; the others are lost
   */
  write(lines: readonly string[], done: (written: number) => void): void;
  /** Has the file opened by its name before the next lines. */
  reopen(): void;
  close(): Promise<void>;
}

/** Bytes that may wait for a slow disk. */
export const WAITING_MAX = 64 * 1024 * 1024;
const FILE_MODE = 0o640;
const CLOSE_TIMEOUT_MS = 3000;
const NEWLINE = 0x0a;

/** @param onTrouble told of each failure, in words */
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

/** Lines that the file did not take, and how many it took before. */
class CutShort extends Error {
  readonly written: number;

  constructor(message: string, written: number) {
    super(message);
    this.written = written;
  }
}

/** The library's stream, and what it does not tell: how much of a write has landed, and where. */
class OpenFile {
  private readonly file: string;
  private readonly stream: RotatingFileStream;
  /** Lines that the kernel has taken. */
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
      // Every failure is told where it matters: to who opens, or who writes.
      stream.on('error', reject);
      stream.once('open', () => resolve());
    });
    if (isCut) await opened.append(Buffer.from('\n'));
    return opened;
  }

  /** @returns lines written  @throws CutShort */
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

  /** Whether the file of that name is still the one that is open. */
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

  /** The library takes one write(2) for the whole, and a disk that fills up takes a part of it and says so only then. */
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
 * Whether a full disk cut the file's last line short: what comes next stays a line of its own then.
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
