/**
 * Folders that are made as a whole from inputs: whoever looks finds the old one complete, the new one complete, or none.
 *
 * A folder is written under another name beside its place and renamed when it is done. It keeps the hash of what it was
 * made from, and stays as it is while that is the same.
 */
import { createHash, type Hash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';

/** In each folder: the hash of its inputs. Its time says when they were last found to be so (src/main.ts reads it). */
export const INPUTS_FILE = 'inputs.sha256';

/** A hash over names and contents of files, and of all that is in folders. */
export function hashInputs(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) addTo(hash, path, '');
  return hash.digest('hex');
}

function addTo(hash: Hash, path: string, name: string): void {
  if (!statSync(path).isDirectory()) {
    const content = readFileSync(path);
    hash.update(`${name}\0${content.length}\0`).update(content);
    return;
  }
  for (const entry of readdirSync(path).sort()) addTo(hash, join(path, entry), `${name}/${entry}`);
}

/** The hash a folder was made from; undefined where there is no such folder. */
export function publishedInputs(folder: string): string | undefined {
  const path = join(folder, INPUTS_FILE);
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined;
}

/**
 * Sees to it that `folder` is what `write` makes of these inputs. Only one process may do so at a time.
 * @param write fills the folder that it is given, a sibling of `folder` which is empty
 */
export async function publish(
  folder: string,
  inputs: string,
  write: (folder: string) => void | Promise<void>,
): Promise<void> {
  const next = `${folder}.new`;
  const last = `${folder}.old`;
  // What an interrupted build left.
  for (const path of [next, last]) rmSync(path, { recursive: true, force: true });
  if (publishedInputs(folder) === inputs) {
    const now = new Date();
    utimesSync(join(folder, INPUTS_FILE), now, now);
    return;
  }
  mkdirSync(next, { recursive: true });
  await write(next);
  writeFileSync(join(next, INPUTS_FILE), inputs);
  // A folder with something in it can't be replaced by one call: in between there is none.
  if (existsSync(folder)) renameSync(folder, last);
  renameSync(next, folder);
  rmSync(last, { recursive: true, force: true });
}
