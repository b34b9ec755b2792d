/** What files and directories need to survive a loss of power. */
import { closeSync, fsyncSync, openSync } from 'node:fs';

/**
 * Waits until a file, or the names in a directory, are on the disk.
 * @param path not of a file that this process has open as a database (sqlite.ts)
 */
export function syncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
