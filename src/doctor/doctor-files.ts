/**
 * This check finds out whether the user of the service may open the files it needs. Most people run the doctor as
 * root, and root may open everything.
 */
import { spawnSync } from 'node:child_process';
import { TUN_DEVICE } from '../config/check-system.ts';
import type { Check, Reader, ServiceView } from './doctor-check.ts';

const ASK_TIMEOUT_MS = 10_000;

/** Prints two lines: the first path that can't be read with its error, and the first that can't be written. */
const ASK = `
const { accessSync, constants } = require('node:fs');
const { read, write } = JSON.parse(process.argv[1]);
const look = (paths, mode) => {
  for (const path of paths)
    try { accessSync(path, mode); }
    catch (error) { console.log(error.code + ' ' + path); }
};
look(read, constants.R_OK);
look(write, constants.R_OK | constants.W_OK);
`;

/**
 * @param files all files of the configuration
 * @returns no check if it can't be known: the caller is not root, or there is no such user
 */
export function checkFiles(
  { user }: ServiceView,
  files: readonly string[],
  { read }: Pick<Reader, 'read'>,
): Check[] {
  if (user === 'root' || process.geteuid?.() !== 0) return [];
  const account = accountOf(user, read('/etc/passwd') ?? '');
  if (account === undefined) return [];
  const question = JSON.stringify({ read: files, write: [TUN_DEVICE] });
  const { status, stdout } = spawnSync(process.execPath, ['-e', ASK, question], {
    ...account,
    encoding: 'utf8',
    timeout: ASK_TIMEOUT_MS,
    cwd: '/',
    env: {},
  });
  if (status !== 0) return [];
  const refused = stdout.split('\n').filter((line) => line !== '');
  if (refused.length === 0)
    return [
      {
        name: 'files',
        status: 'ok',
        found: `the service, as ${user}, can open what it reads, and ${TUN_DEVICE}`,
      },
    ];
  return refused.map((line) => {
    const [code, path] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
    return {
      name: 'files',
      status: 'fail',
      found: `the service, as ${user}, can't open ${path}: ${code}`,
      means:
        path === TUN_DEVICE
          ? 'no device can be opened'
          : 'the service does not start with it; one that runs refuses to reload it',
      mend: `let the user ${user} ${path === TUN_DEVICE ? 'read and write' : 'read'} it, and enter the folders above it`,
    };
  });
}

/** @param passwd lines of passwd(5) */
function accountOf(user: string, passwd: string): { uid: number; gid: number } | undefined {
  for (const line of passwd.split('\n')) {
    const [name, , uid, gid] = line.split(':');
    if (name === user || uid === user) return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}
