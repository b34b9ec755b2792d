/**
 * Reads a file that a person named, within bounds, for the daemon and for sgctl.
 *
 * Whoever may write a template may put anything in its place. So only regular files are read, and at most `maxBytes`
 * of one, whatever size it claims. The file is opened without waiting: opening a pipe without a writer would wait for
 * ever, and /dev/zero has no end.
 */
import { closeSync, constants, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import type { Position, Problem } from './problem.ts';

const CHUNK_BYTES = 64 * 1024;

const OPEN_HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    'check the name; a path inside a configuration file counts from the directory of that file',
  EACCES: 'let the user that runs this read the file, and enter its directories',
  EISDIR: 'name a file, not a directory',
  ENOTDIR: 'a part of the path is a file, not a directory',
  ENXIO: 'name a regular file',
};

/** The content of a file, or why it was not read. */
export type BytesRead =
  | { readonly kind: 'read'; readonly bytes: Buffer }
  | { readonly kind: 'too-large'; readonly bytes: number | undefined }
  /** What it is, in words: `a directory`. */
  | { readonly kind: 'no-file'; readonly what: string }
  | { readonly kind: 'failed'; readonly error: NodeJS.ErrnoException };

/** Reads a regular file of at most `maxBytes`. It never waits and never throws. */
export function readBytes(file: string, maxBytes: number): BytesRead {
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) return { kind: 'no-file', what: describeKind(stat) };
    if (stat.size > maxBytes) return { kind: 'too-large', bytes: stat.size };
    const bytes = readUpTo(descriptor, stat.size, maxBytes + 1);
    return bytes.length > maxBytes
      ? { kind: 'too-large', bytes: undefined }
      : { kind: 'read', bytes };
  } catch (error) {
    return { kind: 'failed', error: error as NodeJS.ErrnoException };
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}

/** What a thing that is no regular file is, in words: `a directory`. */
export function describeKind(stat: Stats): string {
  if (stat.isDirectory()) return 'a directory';
  if (stat.isFIFO()) return 'a pipe';
  if (stat.isSocket()) return 'a socket';
  return stat.isFile() ? 'a file' : 'a device';
}

/** Reads at most `maxBytes`. A file may grow while it is read, or claim to be empty when it is not. */
function readUpTo(descriptor: number, expected: number, maxBytes: number): Buffer {
  let bytes = Buffer.alloc(Math.min(expected + 1, maxBytes));
  let length = 0;
  for (;;) {
    if (length === bytes.length) {
      if (length === maxBytes) return bytes;
      const grown = Buffer.alloc(Math.min(maxBytes, 2 * length + CHUNK_BYTES));
      bytes.copy(grown);
      bytes = grown;
    }
    const read = readSync(descriptor, bytes, length, bytes.length - length, null);
    if (read === 0) return bytes.subarray(0, length);
    length += read;
  }
}

/** More text than `readingAtMost` allows. */
class TooMuchText extends Error {}

let bytesLeft = Number.POSITIVE_INFINITY;

/**
 * Runs what reads files by `readText`, without a promise, and gives up at the first file with which they have more than
 * `bytes` together, before it is read.
 * @returns undefined if they have more
 */
export function readingAtMost<T>(bytes: number, read: () => T): T | undefined {
  const before = bytesLeft;
  bytesLeft = bytes;
  try {
    return read();
  } catch (error) {
    if (error instanceof TooMuchText) return undefined;
    throw error;
  } finally {
    bytesLeft = before;
  }
}

/**
 * Reads the text of a UTF-8 file. If it can't, it returns undefined and adds an error that says what to do.
 * @param maxBytes a larger file is refused, if possible before it is read
 */
export function readText(file: string, problems: Problem[], maxBytes: number): string | undefined {
  const at: Position = { file, line: 0, column: 0 };
  const refuse = (code: string, message: string, hint: string): undefined => {
    problems.push({ severity: 'error', code, at, path: '', message, hint });
    return undefined;
  };
  const found = readBytes(file, Math.min(maxBytes, bytesLeft));
  if (found.kind === 'too-large' && bytesLeft < maxBytes) throw new TooMuchText();
  switch (found.kind) {
    case 'too-large':
      return found.bytes === undefined
        ? refuse(
            'file-too-large',
            `the file has more than ${maxBytes} bytes`,
            'check that it is the right file',
          )
        : refuse(
            'file-too-large',
            `the file has ${found.bytes} bytes; at most ${maxBytes} are read`,
            'split it, or check that it is the right file',
          );
    case 'no-file':
      return refuse(
        'file-unreadable',
        `the file can't be read: it is ${found.what}`,
        found.what === 'a directory'
          ? OPEN_HINTS['EISDIR']
          : 'only regular files are read; write what comes out of it to one',
      );
    case 'failed': {
      const { code, message } = found.error;
      return refuse(
        'file-unreadable',
        `the file can't be read: ${code ?? message}`,
        OPEN_HINTS[code ?? ''] ?? 'check the path and its permissions',
      );
    }
    case 'read':
      bytesLeft -= found.bytes.length;
      try {
        return new TextDecoder('utf-8', { fatal: true }).decode(found.bytes);
      } catch {
        return refuse('file-encoding', 'the file is not UTF-8 text', 'save it as UTF-8');
      }
    default:
      return found satisfies never;
  }
}
