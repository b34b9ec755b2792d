/**
 * Where the lines of a flow log go: a file that is rotated, or standard output.
 *
 * Nobody waits for a disk. What can't be written, because it is full or too slow, is lost and counted; the
 * log says so in its next interval (SKIPDATA). A file that failed is opened again with the next lines.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { createStream, type RotatingFileStream } from 'rotating-file-stream';

export interface Rotation {
  /** Megabytes at which a file is put aside. */
  readonly sizeMb: number;
  /** How many of those put aside are kept. */
  readonly keep: number;
  readonly gzip: boolean;
}

export interface LineWriter {
  /** Takes lines, each without its newline. @returns false if they are lost */
  write(lines: readonly string[]): boolean;
  close(): Promise<void>;
}

/** Bytes that may wait for a slow disk. */
const WAITING_MAX = 64 * 1024 * 1024;
const FILE_MODE = 0o640;
const CLOSE_TIMEOUT_MS = 3000;
const NEWLINE = 0x0a;

/** @param onTrouble told of each failure, in words */
export function openFileWriter(
  file: string,
  rotation: Rotation,
  onTrouble: (message: string) => void,
): LineWriter {
  let stream: RotatingFileStream | undefined;
  const open = (): RotatingFileStream => {
    const opened = createStream(basename(file), {
      path: dirname(file),
      size: `${rotation.sizeMb}M`,
      rotate: rotation.keep,
      mode: FILE_MODE,
      ...(rotation.gzip ? { compress: 'gzip' } : {}),
    });
    opened.on('open', () => writeWholly((opened as unknown as { readonly file: FileHandle }).file));
    opened.on('error', (error) => {
      onTrouble(error.message);
      if (stream === opened) stream = undefined;
      opened.destroy();
    });
    opened.on('warning', (error) => onTrouble(error.message));
    return opened;
  };
  return {
    write(lines) {
      if (stream !== undefined) return writeLines(stream, lines);
      // What a full disk cut short stays a line of its own.
      const isCut = !endsInNewline(file);
      stream = open();
      return writeLines(stream, isCut ? ['', ...lines] : lines);
    },
    close: () => close(stream),
  };
}

function endsInNewline(file: string): boolean {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch {
    return true; // Not there yet, or whatever the stream will say.
  }
  try {
    const { size } = fstatSync(fd);
    const last = Buffer.alloc(1);
    return size === 0 || readSync(fd, last, 0, 1, size - 1) === 0 || last[0] === NEWLINE;
  } finally {
    closeSync(fd);
  }
}

/** The library takes one write(2) for the whole, and a disk that fills up takes a part of it and says so only then. */
function writeWholly(handle: FileHandle): void {
  const write = handle.write.bind(handle) as (
    chunk: Uint8Array,
    offset: number,
  ) => Promise<{ readonly bytesWritten: number }>;
  Object.assign(handle, {
    async write(chunk: Uint8Array) {
      let at = 0;
      while (at < chunk.length) at += (await write(chunk, at)).bytesWritten;
      return { bytesWritten: at, buffer: chunk };
    },
  });
}

export function openStdoutWriter(stdout: Writable): LineWriter {
  let isBroken = false;
  stdout.on('error', () => (isBroken = true));
  return {
    write: (lines) => !isBroken && writeLines(stdout, lines),
    close: () => Promise.resolve(),
  };
}

function writeLines(stream: Writable, lines: readonly string[]): boolean {
  if (lines.length === 0) return true;
  if (stream.writableLength > WAITING_MAX) return false;
  stream.write(`${lines.join('\n')}\n`);
  return true;
}

function close(stream: Writable | undefined): Promise<void> {
  if (stream === undefined) return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, CLOSE_TIMEOUT_MS);
    const done = (): void => {
      clearTimeout(timer);
      resolve();
    };
    stream.once('error', done);
    stream.end(done);
  });
}
