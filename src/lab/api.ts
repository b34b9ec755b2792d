/**
 * Starts the server of EC2's API on this host: for a lab, with a store and a key of the lab's own, or by itself
 * (own-api.ts).
 *
 * It is a process like a lab's daemon: it bears a mark, so a removal finds it however `up` ended. It gets nothing of
 * the caller's environment but PATH, which may hold keys that are none of its business.
 */
import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { changeKeys, createKey, readKeys, type ApiKey } from '../api/keys.ts';
import { DEFAULT_ACCOUNT_ID } from '../cloudformation/account.ts';
import { readLogTail } from './daemon.ts';
import { LabError, LabInterrupted } from './errors.ts';
import { identify, isRunning, LAB_MARK, type ProcessIdentity } from './processes.ts';

export interface ApiOptions {
  /** Its logs go there. */
  readonly directory: string;
  /** The lab's, or the like: marks the process. */
  readonly labId: string;
  readonly keys: string;
  readonly store: string;
  /** `127.0.0.1:0` */
  readonly listen: string;
  /** As whom it runs, with the groups of that user; undefined: as the caller. Only root can ask for it. */
  readonly user: { readonly uid: number; readonly gid: number } | undefined;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
}

export interface LabApi {
  readonly process: ProcessIdentity;
  /** `http://127.0.0.1:40123` */
  readonly url: string;
}

/** What clients are told, in the environment variables that AWS's tools read. */
export type ApiEnvironment = Readonly<Record<string, string>>;

const REGION = 'us-east-1';
const LAB_KEY_NAME = 'lab';
const LOOK_MS = 20;
/** It would refuse every request. */
const NO_KEY = '"no key is accepted: ';

/** The store of a lab with an API. */
export function labStore(directory: string): string {
  return join(directory, 'store', 'store.db');
}

/** Of a lab with an API. */
function labKeys(directory: string): string {
  return join(directory, 'api', 'keys.json');
}

/** Starts that of a lab, as `startApi`, on a port that is free. */
export function startLabApi(
  options: Pick<ApiOptions, 'directory' | 'labId' | 'timeoutMs' | 'signal'>,
): Promise<LabApi> {
  const { directory } = options;
  const keys = labKeys(directory);
  ensureKey(keys, LAB_KEY_NAME);
  const own = { keys, store: labStore(directory), listen: '127.0.0.1:0', user: undefined };
  return startApi({ ...options, ...own });
}

/** Returns when it listens. Throws LabError; the process may still run then, and bears the mark. */
export async function startApi(options: ApiOptions): Promise<LabApi> {
  const { directory, labId, keys, store, listen, user, timeoutMs, signal } = options;
  const logFile = join(directory, 'api.log');
  const [access, log] = [join(directory, 'access.log'), logFile].map((file) =>
    openSync(file, 'w', 0o600),
  );
  const [command, ...args] = [
    ...(user === undefined ? [] : asUser(user)),
    ...[process.execPath, fileURLToPath(new URL('../api/secgroup-api.js', import.meta.url))],
    ...['--listen', listen, '--keys', keys, '--store', store, '--region', REGION],
  ];
  const child = spawn(command, args, {
    cwd: '/',
    detached: true,
    env: { PATH: process.env['PATH'], [LAB_MARK]: labId },
    stdio: ['ignore', access, log],
  });
  closeSync(access);
  closeSync(log);
  child.on('error', () => undefined);
  child.unref();
  const who = child.pid === undefined ? undefined : identify(child.pid);
  const deadlineMs = performance.now() + timeoutMs;
  while (who !== undefined && isRunning(who) && performance.now() < deadlineMs) {
    if (signal.aborted) throw new LabInterrupted();
    const said = readFileSync(logFile, 'utf8');
    if (said.includes(NO_KEY)) break;
    const url = /"url":"(http:[^"]+)"/.exec(said)?.[1];
    if (url !== undefined) return { process: who, url };
    await sleep(LOOK_MS);
  }
  throw new LabError(`the API's server did not start; it said:\n${readLogTail(logFile)}`);
}

/** setpriv(1): with the user's further groups, which spawn's `uid` and `gid` would take away. */
function asUser({ uid, gid }: NonNullable<ApiOptions['user']>): readonly string[] {
  const who = [`--reuid=${uid}`, `--regid=${gid}`, '--init-groups'];
  return ['setpriv', ...who, '--inh-caps=-all', '--no-new-privs', '--'];
}

/** Makes a key of this name that may write, unless there is one. */
export function ensureKey(file: string, name: string): void {
  if (findKey(file, name) === undefined)
    changeKeys(file, (keys) => [...keys, createKey(name, DEFAULT_ACCOUNT_ID, 'write')]);
}

export function findKey(file: string, name: string): ApiKey | undefined {
  return readKeys(file).find((key) => key.name === name && key.policy === 'write');
}

/** How AWS's tools reach the API of a lab. */
export function labEnvironment(directory: string, url: string): ApiEnvironment {
  return apiEnvironment(labKeys(directory), LAB_KEY_NAME, url);
}

/** @throws LabError if there is no such key any more */
export function apiEnvironment(file: string, name: string, url: string): ApiEnvironment {
  const key = findKey(file, name);
  if (key === undefined) throw new LabError(`${file} has no key called ${name} that may write`);
  return {
    AWS_ENDPOINT_URL: url,
    AWS_DEFAULT_REGION: REGION,
    AWS_ACCESS_KEY_ID: key.accessKeyId,
    AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
    // Else some of them ask 169.254.169.254 for another key.
    AWS_EC2_METADATA_DISABLED: 'true',
  };
}
