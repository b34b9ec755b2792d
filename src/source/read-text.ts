/** Bounded reading of a text file that a person named. */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import type { Position, Problem } from './problem.ts';

const OPEN_HINTS: Readonly<Record<string, string>> = {
  ENOENT:
    'check the name; a path inside a configuration file counts from the directory of that file',
  EACCES: 'let the user that runs this read the file, and enter its directories',
  EISDIR: 'name a file, not a directory',
  ENOTDIR: 'a part of the path is a file, not a directory',
};

export /**
 * The text of a UTF-8 file, or undefined and an error in `problems` that says what to do.
 * @param maxBytes a larger file is refused, before it is read if its size can be told
 */
function readText(file: string, problems: Problem[], maxBytes: number): string | undefined {
  const at: Position = { file, line: 0, column: 0 };
  const refuse = (code: string, message: string, hint: string): undefined => {
    problems.push({ severity: 'error', code, at, path: '', message, hint });
    return undefined;
  };
  let descriptor: number | undefined;
  try {
    descriptor = openSync(file, 'r');
    const stat = fstatSync(descriptor);
    if (stat.isDirectory())
      return refuse(
        'file-unreadable',
        "the file can't be read: it is a directory (EISDIR)",
        OPEN_HINTS['EISDIR'],
      );
    if (stat.size > maxBytes) {
      return refuse(
        'file-too-large',
        `the file has ${stat.size} bytes; at most ${maxBytes} are read`,
        'split it, or check that it is the right file',
      );
    }
    const bytes = readFileSync(descriptor);
    // A pipe or a growing file has no size that could have been asked before.
    if (bytes.length > maxBytes)
      return refuse(
        'file-too-large',
        `the file has more than ${maxBytes} bytes`,
        'check that it is the right file',
      );
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      return refuse('file-encoding', 'the file is not UTF-8 text', 'save it as UTF-8');
    return refuse(
      'file-unreadable',
      `the file can't be read: ${code ?? message}`,
      OPEN_HINTS[code ?? ''] ?? 'check the path and its permissions',
    );
  } finally {
    if (descriptor !== undefined) closeSync(descriptor);
  }
}
