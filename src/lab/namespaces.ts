/**
 * Makes and removes network namespaces for a lab, in one of two ways.
 *
 * - `named`: `ip netns add` binds the namespace to a file in /run/netns. It needs the right to mount.
 * - `held`: a process started by `unshare --net` keeps the namespace open, and a symlink in the lab's directory names
 *   it. This works for everybody inside `unshare -Urn`, where nothing may be mounted. The namespace disappears when
 *   nothing runs in it.
 *
 * Only a try shows which way is possible: capabilities, user namespaces and security modules all have a say, and only
 * the kernel knows the result.
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, openSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LabError } from './errors.ts';
import { LAB_MARK, identify, namespaceId } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import type { LabMode } from './state.ts';
import { missingTool, runTool, tryTool } from './tools.ts';

/** The directory in which `ip netns` keeps its namespaces. */
export const NAMED_DIRECTORY = '/run/netns';

const HOLDER_TIMEOUT_MS = 5000;
const HOLDER_POLL_MS = 5;

/** The directory with the names of a lab's namespaces. The daemon gets it as --netns-dir. */
export function namespaceDirectory(mode: LabMode, labDirectory: string): string {
  return mode === 'named' ? NAMED_DIRECTORY : join(labDirectory, 'netns');
}

/** The names that `ip netns` already has. */
export function findTaken(names: readonly string[]): readonly string[] {
  return names.filter((name) => existsSync(join(NAMED_DIRECTORY, name)));
}

/** Runs `ip netns add`. Returns false and the reason if the kernel refuses. */
export function addNamed(name: string): ReturnType<typeof tryTool> {
  return tryTool('ip', ['netns', 'add', name]);
}

export async function bringLoopbackUp(netnsPath: string): Promise<void> {
  await runTool('nsenter', [`--net=${netnsPath}`, 'ip', 'link', 'set', 'lo', 'up']);
}

export interface Holder {
  readonly process: ProcessIdentity;
  readonly namespaceId: string;
}

/**
 * Starts the process that holds a new namespace open. Returns when the process is inside. Throws LabError with the
 * output of `unshare`.
 * @param started gets the process as soon as it exists
 */
export async function startHolder(
  labId: string,
  logFile: string,
  started: (holder: ProcessIdentity) => void,
): Promise<Holder> {
  const log = openSync(logFile, 'w', 0o600);
  // It gets a session of its own. Ctrl-C in the terminal of `up` must not end it: `up` decides.
  const child = spawn('unshare', ['--net', 'sleep', 'infinity'], {
    cwd: '/',
    detached: true,
    env: { ...process.env, [LAB_MARK]: labId },
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  let spawnError: NodeJS.ErrnoException | undefined;
  child.once('error', (error) => (spawnError = error));
  child.unref();
  const who = child.pid === undefined ? undefined : identify(child.pid);
  if (who !== undefined) started(who);
  const outside = namespaceId('/proc/self/ns/net');
  const until = performance.now() + HOLDER_TIMEOUT_MS;
  while (performance.now() < until) {
    await sleep(HOLDER_POLL_MS);
    if (spawnError?.code === 'ENOENT') throw missingTool('unshare');
    if (who === undefined || child.exitCode !== null || child.signalCode !== null) break;
    const id = namespaceId(`/proc/${who.pid}/ns/net`);
    if (id !== undefined && id !== outside) return { process: who, namespaceId: id };
  }
  const said = readFileSync(logFile, 'utf8').trim();
  throw new LabError(said === '' ? 'unshare --net made no namespace' : said);
}

/** Gives a held namespace its name. */
export function nameHeld(directory: string, name: string, holder: ProcessIdentity): void {
  symlinkSync(`/proc/${holder.pid}/ns/net`, join(directory, name));
}

/**
 * Removes a named namespace that a lab made.
 * @param id its id when it was made; undefined if `up` was killed at that very moment
 * @returns false if another namespace has the name now; it is left alone
 */
export async function removeNamed(name: string, id: string | undefined): Promise<boolean> {
  const path = join(NAMED_DIRECTORY, name);
  if (!existsSync(path)) return true;
  if (id !== undefined && isMounted(path) && namespaceId(path) !== id) return false;
  await runTool('ip', ['netns', 'delete', name]);
  return true;
}

/** Whether a namespace can be entered by this path. */
export function namespaceExists(path: string): boolean {
  return existsSync(path) && isMounted(path);
}

/** Whether a namespace is bound to the file. Otherwise only the bare file is left. */
function isMounted(path: string): boolean {
  return statSync(path).dev === statSync('/proc/self/ns/net').dev;
}

/** Removes a persistent device. It is fine if the device is already gone. */
export async function removeLink(name: string, netnsPath: string | undefined): Promise<void> {
  const enter = netnsPath === undefined ? [] : ['nsenter', `--net=${netnsPath}`];
  if (!(await hasLink(name, netnsPath))) return;
  const [command = 'ip', ...args] = [...enter, 'ip', 'link', 'delete', 'dev', name];
  await runTool(command, args);
}

export async function hasLink(name: string, netnsPath: string | undefined): Promise<boolean> {
  if (netnsPath !== undefined && !existsSync(netnsPath)) return false;
  const enter = netnsPath === undefined ? [] : ['nsenter', `--net=${netnsPath}`];
  const [command = 'ip', ...args] = [...enter, 'ip', 'link', 'show', 'dev', name];
  return (await tryTool(command, args)).ok;
}
