/** Tells files apart that have one path after the other: namespaces, and the sockets of streams. */
import { lstatSync, unlinkSync } from 'node:fs';

/** @returns undefined if there is no file */
export function identityOf(
  stat: { readonly dev: bigint; readonly ino: bigint } | undefined,
): string | undefined {
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

export function socketAt(path: string): string | undefined {
  return identityOf(lstatSync(path, { bigint: true, throwIfNoEntry: false }));
}

/** Removes a stream's socket, unless another process has put its own there. */
export function removeSocket(path: string, socket: string): void {
  try {
    if (socketAt(path) === socket) unlinkSync(path);
  } catch {
    // It stays without anybody behind it, and whoever opens it next replaces it.
  }
}
