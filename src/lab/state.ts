/**
 * Stores what is known about a lab on disk.
 *
 * Theory of operation. It must be possible to remove a lab however its maker ended. So every namespace, device and
 * process is written down BEFORE it is made: the file may name things that don't exist, but everything that exists is
 * named. An exclusive mkdir makes the lab's directory, which is also the lock between two `up` of the same name. A
 * rename replaces the file, so it is never half-written. Each boot has an id. A file from another boot names nothing
 * that still exists, and only its directory is removed.
 *
 * Place. The machine's root uses /run/secgroupd-labs. (It can't be /run/secgroupd, which belongs to the service:
 * systemd makes it for the service's user and removes it with all its contents when the service stops.) Other users
 * use a directory below $XDG_RUNTIME_DIR, or else /tmp/secgroupd-UID. Anybody may create files in /tmp, so that last
 * one is used only if it is a real directory, ours, and writable by nobody else. Otherwise a stranger could plant
 * state files that make us end processes or delete namespaces.
 */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { LabError, messageOf } from './errors.ts';
import type { ProcessIdentity } from './processes.ts';

/** `named`: namespaces by `ip netns`. `held`: a namespace lives as long as a process inside it. */
export type LabMode = 'named' | 'held';

export interface LabNamespace {
  readonly name: string;
  /** Device and inode of the namespace; undefined until it is made. */
  readonly id?: string;
  /** The process that keeps it open, in mode `held`. */
  readonly holder?: ProcessIdentity;
}

/** A persistent device that the daemon makes in a namespace outside the lab. It outlives the daemon. */
export interface LabLink {
  readonly name: string;
  /** Path of the namespace; undefined: the one that `up` ran in. */
  readonly netnsPath?: string;
}

export interface LabInstance {
  readonly netns: string | undefined;
  readonly device: string;
  readonly name: string;
  /** The name of its VPC, where there are several. */
  readonly vpc?: string;
  readonly addresses: readonly string[];
  /** Group names. Empty for the uplink, which is no instance. */
  readonly groups: readonly string[];
}

export interface LabState {
  readonly version: 1;
  readonly name: string;
  /** Random. It marks the lab's processes, in their environment. */
  readonly id: string;
  readonly bootId: string;
  readonly configFile: string;
  readonly mode: LabMode;
  readonly createdAt: string;
  readonly phase: 'making' | 'up';
  readonly maker: ProcessIdentity;
  readonly namespaces: readonly LabNamespace[];
  readonly links: readonly LabLink[];
  readonly instances: readonly LabInstance[];
  readonly daemon?: ProcessIdentity;
  /** The server of EC2's API, if the lab has one, and where it listens. */
  readonly api?: { readonly process: ProcessIdentity; readonly url: string };
}

/** A lab's directory. `state` is undefined if `up` was killed before it first wrote one. */
export interface StoredLab {
  readonly name: string;
  readonly directory: string;
  readonly state: LabState | undefined;
}

const HOST_ROOT_LABS = '/run/secgroupd-labs/labs';
const OTHERS_MAY_WRITE = 0o022;
const STATE_FILE = 'state.json';

/** Name of the daemon's control socket in the lab's directory. */
export const CONTROL_SOCKET = 'control.sock';

/** Whether we are root of the machine, or of a container with all ids; not merely root inside `unshare -Ur`. */
export function isHostRoot(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    const count = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/)[2];
    return count === '4294967295';
  } catch {
    return true;
  }
}

/** The user id outside a user namespace: 1000 even where `unshare -Ur` shows 0. */
function outerUid(): number {
  const inner = process.getuid?.() ?? 0;
  try {
    for (const line of readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n')) {
      const [from = 0, to = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      if (inner >= from && inner < from + count) return to + (inner - from);
    }
  } catch {
    // This kernel has no user namespaces: the id is the same outside.
  }
  return inner;
}

/** The directories that may hold labs of this user. New labs go into the first. */
export function labRoots(): readonly string[] {
  const own = join('/tmp', `secgroupd-${outerUid()}`, 'labs');
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const roots =
    runtime !== undefined && isAbsolute(runtime) && isOurs(runtime)
      ? [join(runtime, 'secgroupd', 'labs'), own]
      : [own];
  // Root also looks into the other directories: it may have made a lab inside `unshare -Urn`.
  return isHostRoot() ? [HOST_ROOT_LABS, ...roots] : roots;
}

/** Whether it is a directory, no symlink, that belongs to this user and that nobody else may write to. */
export function isOurs(directory: string): boolean {
  try {
    const stat = lstatSync(directory);
    return (
      stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & OTHERS_MAY_WRITE) === 0
    );
  } catch {
    return false;
  }
}

/** Makes the lab's directory, which must not exist yet. Throws LabError. */
export function createLabDirectory(name: string): string {
  const root = labRoots()[0];
  makeOwnDirectory(dirname(root));
  makeOwnDirectory(root);
  const directory = join(root, name);
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') {
      throw new LabError(`cannot make ${directory}: ${messageOf(thrown)}`);
    }
    throw new LabError(
      `there is already a lab called ${name}`,
      `remove it with: sgctl lab down ${name}; or give this one another name with --name`,
    );
  }
  return directory;
}

/** Makes a directory that is this user's alone, unless it is there. Throws LabError. */
export function makeOwnDirectory(path: string): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw new LabError(`cannot make ${path}: ${messageOf(thrown)}`);
  }
  if (!isOurs(path)) {
    throw new LabError(
      `${path} belongs to another user, or others may write in it`,
      'remove it, or set XDG_RUNTIME_DIR to a directory of your own',
    );
  }
}

export function writeState(directory: string, state: { readonly version: 1 }): void {
  const file = join(directory, STATE_FILE);
  writeFileSync(`${file}.new`, `${JSON.stringify(state, undefined, 2)}\n`, { mode: 0o600 });
  renameSync(`${file}.new`, file);
}

/** All labs of this user, by name. */
export function listStoredLabs(): readonly StoredLab[] {
  const labs: StoredLab[] = [];
  for (const root of labRoots()) {
    if (!isOurs(dirname(root)) || !isOurs(root)) continue;
    for (const name of readdirSync(root).sort()) {
      const directory = join(root, name);
      labs.push({ name, directory, state: readState<LabState>(directory) });
    }
  }
  return labs;
}

/** What `writeState` wrote; undefined: nothing. Throws LabError. */
export function readState<State extends { readonly version: 1 }>(
  directory: string,
): State | undefined {
  const file = join(directory, STATE_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const state = JSON.parse(text) as State;
    if (state.version === 1) return state;
  } catch {
    // Throw below, as for an unknown version: what an unreadable file names can't be removed.
  }
  throw new LabError(
    `${file} is not a state file of this version of sgctl`,
    `remove what it tells of by hand, and then the directory ${directory}`,
  );
}

export function removeLabDirectory(directory: string): void {
  // `held` labs keep symlinks to /proc here. rmSync removes the links, not their targets.
  rmSync(directory, { recursive: true, force: true });
}

export function makePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  chmodSync(path, 0o700);
}

/** The kernel's id of this boot. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
}
