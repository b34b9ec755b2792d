/** Lets a group connect to a stream's socket, for hypervisors that run as another user than the daemon. */
import { chmodSync, lchownSync, readFileSync } from 'node:fs';
import { systemError } from './system-error.ts';

const GROUPS = '/etc/group';
const NUMBER_OF_GROUP = 2;
const OWNER_AND_GROUP = 0o660;

/**
 * Only the folder's owner can put something else in the place of the socket (native/stream.c refuses other folders).
 * @param group a name of /etc/group, or a number
 * @throws Error that says why not; the socket is the daemon's alone then
 */
export function shareSocket(path: string, group: string): void {
  const gid = /^\d+$/.test(group) ? Number(group) : findGroup(group);
  try {
    lchownSync(path, -1, gid);
    // Not before: until then the group is that of the daemon.
    chmodSync(path, OWNER_AND_GROUP);
  } catch (error) {
    const { code = 'EIO' } = error as NodeJS.ErrnoException;
    const why =
      code === 'EPERM' ? 'the daemon is not root, and its user is not in that group' : code;
    throw failure(path, group, code, why);
  }

  function findGroup(name: string): number {
    const line = readFileSync(GROUPS, 'utf8')
      .split('\n')
      .find((one) => one.startsWith(`${name}:`));
    const found = Number(line?.split(':')[NUMBER_OF_GROUP] || NaN);
    if (Number.isInteger(found)) return found;
    throw failure(path, group, 'ENOENT', `${GROUPS} has no such group`);
  }
}

function failure(path: string, group: string, code: string, why: string): Error {
  return systemError(code, 'chown', `the group ${group} can't be let in at ${path}: ${why}`);
}
