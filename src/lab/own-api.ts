/**
 * The server of EC2's API that `sgctl api up` starts, one for each user of a host.
 *
 * As with labs (state.ts), what is about to be started is written down before, and its process bears a mark. So it can
 * be ended however `up` ended. Root's server runs as another user, if there is one for it: it parses what strangers
 * send.
 */
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chownSync, existsSync, mkdirSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { apiEnvironment, ensureKey, startApi, type ApiEnvironment, type LabApi } from './api.ts';
import { LabError } from './errors.ts';
import {
  endProcesses,
  findMarked,
  identify,
  isRunning,
  waitGone,
  type ProcessIdentity,
} from './processes.ts';
import {
  isHostRoot,
  isOurs,
  labRoots,
  makeOwnDirectory,
  readBootId,
  readState,
  removeLabDirectory,
  writeState,
} from './state.ts';

/** The user of the unit secgroup-api.service. */
const SERVICE_USER = 'secgroup-api';
const KEY_NAME = 'local';
const START_TIMEOUT_MS = 30_000;
const GRACE_MS = 8000;
const GONE_WAIT_MS = 10_000;

export interface OwnApiOptions {
  readonly keys: string;
  readonly store: string;
  readonly listen: string;
  /** As whom it runs; undefined: as the caller. */
  readonly user: SystemUser | undefined;
}

export interface OwnApi {
  readonly version: 1;
  /** Random. It marks the process, in its environment. */
  readonly id: string;
  readonly bootId: string;
  readonly maker: ProcessIdentity;
  readonly startedMs: number;
  readonly keys: string;
  readonly store: string;
  /** The name of the user it runs as. */
  readonly user: string;
  /** Absent: `up` is at work, or was killed. */
  readonly api?: LabApi;
}

export type RunningApi = OwnApi & { readonly api: LabApi };

export interface SystemUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/** For its state and its logs. */
export function ownApiDirectory(): string {
  return join(dirname(labRoots()[0]), 'api');
}

/** What was started; undefined: nothing, or before the last boot. It may have ended. Throws LabError. */
function findStarted(): OwnApi | undefined {
  const directory = ownApiDirectory();
  // A stranger's file could name processes of ours.
  if (!isOurs(dirname(directory)) || !isOurs(directory)) return undefined;
  const started = readState<OwnApi>(directory);
  return started?.bootId === readBootId() ? started : undefined;
}

/** The server that runs. Throws LabError if another `up` is just starting it. */
export function findOwnApi(): RunningApi | undefined {
  const started = findStarted();
  if (started === undefined) return undefined;
  const { api, maker } = started;
  if (api === undefined && isRunning(maker))
    throw new LabError(`the server is just being started, by process ${maker.pid}`);
  return api !== undefined && isRunning(api.process) ? { ...started, api } : undefined;
}

/**
 * Who root's server is to be.
 * @param wanted a user's name; undefined: the service's user, if there is one
 * @returns undefined: it runs as the caller
 */
export function chooseUser(wanted: string | undefined): SystemUser | undefined {
  if (!isHostRoot()) {
    if (wanted === undefined) return undefined;
    throw new LabError('only root can start it as another user', 'leave --user out');
  }
  const name = wanted ?? SERVICE_USER;
  const [uid, gid] = ['-u', '-g'].map((flag) => {
    const { status, stdout } = spawnSync('id', [flag, '--', name], { encoding: 'utf8' });
    return status === 0 ? Number(stdout) : undefined;
  });
  if (uid !== undefined && gid !== undefined) return uid === 0 ? undefined : { name, uid, gid };
  if (wanted === undefined) return undefined;
  throw new LabError(`there is no user ${name} here`, 'leave --user out, or name another');
}

/** Starts it, where none runs, and returns when it answers. Throws LabError; then nothing of it is left. */
export async function upOwnApi(options: OwnApiOptions): Promise<RunningApi> {
  await downOwnApi();
  const { keys, store, listen, user } = options;
  makeKeys(keys, user);
  const maker = identify(process.pid);
  if (maker === undefined) throw new LabError('cannot read /proc');
  const directory = ownApiDirectory();
  makeOwnDirectory(dirname(directory));
  makeOwnDirectory(directory);
  const state: OwnApi = {
    version: 1,
    id: randomUUID(),
    bootId: readBootId(),
    maker,
    startedMs: Date.now(),
    keys,
    store,
    user: user?.name ?? userInfo().username,
  };
  writeState(directory, state);
  try {
    const api = await startApi({
      directory,
      labId: state.id,
      keys,
      store,
      listen,
      user,
      timeoutMs: START_TIMEOUT_MS,
      signal: new AbortController().signal,
    });
    const up = { ...state, api };
    writeState(directory, up);
    return up;
  } catch (thrown) {
    await downOwnApi();
    if (!(thrown instanceof LabError) || user === undefined) throw thrown;
    const hint = `it runs as ${user.name}, which must be able to read the keys and write the store; --user names another`;
    throw new LabError(thrown.message, hint);
  }
}

/** Ends it, and removes what is left of one. @returns false if there was none. Throws LabError */
export async function downOwnApi(): Promise<boolean> {
  const started = findStarted();
  const processes = started === undefined ? [] : findMarked(started.id);
  const killed = await endProcesses(processes, GRACE_MS);
  const [left] = await waitGone(killed, GONE_WAIT_MS);
  if (left !== undefined) throw new LabError(`process ${left.pid} can't be ended`);
  const directory = ownApiDirectory();
  if (isOurs(dirname(directory)) && isOurs(directory)) removeLabDirectory(directory);
  return processes.length > 0;
}

export function ownApiEnvironment({ keys, api }: RunningApi): ApiEnvironment {
  return apiEnvironment(keys, KEY_NAME, api.url);
}

/** A key, and a folder for it that the server's user can enter. */
function makeKeys(file: string, user: SystemUser | undefined): void {
  const folder = dirname(file);
  if (user !== undefined && !existsSync(folder)) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    chownSync(folder, user.uid, user.gid);
  }
  ensureKey(file, KEY_NAME);
}
