/** Says where programs are looked for: /usr/sbin holds ip and nft, and is not on every user's PATH. */
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

const SBIN = ['/usr/local/sbin', '/usr/sbin', '/sbin'];

export function systemPath(): string {
  return [process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin', ...SBIN].join(delimiter);
}

/** The path of a program; undefined if it is not installed. */
export function findProgram(program: string): string | undefined {
  return systemPath()
    .split(delimiter)
    .filter((folder) => folder !== '')
    .map((folder) => join(folder, program))
    .find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
