/** Network namespaces by their paths, and what a path stands for now. */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { identityOf } from './file-identity.ts';
import { systemError } from './system-error.ts';

/**
 * Tells namespaces apart: a path may stand for another one later.
 * @returns undefined if none is there
 */
export function namespaceAt(path: string): string | undefined {
  return identityOf(statSync(path, { bigint: true, throwIfNoEntry: false }));
}

/** Whether a path leads to the namespace of a process by its number, which may be another process's later. */
export function isProcessPath(path: string | undefined): boolean {
  return path !== undefined && /^\/proc\/\d+\//.test(path);
}

const OWN_NAMESPACE = '/proc/self/ns/net';

/**
 * Does `work` with a namespace that is held open meanwhile, under a path that can stand for no other.
 * @throws Error of the namespace that can't be opened, or is the daemon's own: an instance never lives in the
 * host's, so the name or the process id stands for something else by now
 */
export function inNamespace<T>(path: string, work: (held: string, namespace: string) => T): T {
  let fd: number;
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'EIO';
    throw systemError(code, 'open', `network namespace ${path} can't be opened: ${code}`);
  }
  try {
    const namespace = identityOf(fstatSync(fd, { bigint: true }))!;
    if (namespace === namespaceAt(OWN_NAMESPACE))
      throw systemError(
        'EREMOTE',
        'open',
        `${path} is the daemon's own network namespace, where nothing is made for an instance: name the instance's, or leave 'netns' out`,
      );
    const held = `/proc/self/fd/${fd}`;
    try {
      return work(held, namespace);
    } catch (error) {
      // Nobody but us knows what that path stands for.
      if (error instanceof Error) error.message = error.message.replaceAll(held, path);
      throw error;
    }
  } finally {
    closeSync(fd);
  }
}
