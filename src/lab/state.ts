/**
 * What is remembered of a lab, on disk.
 *
 * Theory of operation. A lab must be removable whatever ended the process that made it, so every
 * namespace, device and process is written down BEFORE it is made: the file may name things that
 * don't exist, never the other way round. The lab's directory is made with an exclusive mkdir,
 * which is also the lock between two `up` of one name; the file is replaced by rename, so that it is never
 * half-written. Each boot has an id: a file from another boot names nothing that still
 * exists, and only its directory is removed.
 *
 * Where: /run/secgroupd-labs for the machine's root, since /run/secgroupd is the service's, which has it made for
 * its user and removed with everything in it when it stops; otherwise below $XDG_RUNTIME_DIR, or
 * /tmp/secgroupd-UID. That last one is in a directory where anybody may make files, so it is used only if
 * it is a real directory, ours, and writable by nobody else (a stranger could otherwise plant state files
 * that make us end processes or delete namespaces).
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

/** `named`: namespaces by `ip netns`. `held`: each namespace lives as long as a process inside it. */
export type LabMode = 'named' | 'held';

export interface LabNamespace {
  readonly name: string;
  /** Device and inode of the namespace; undefined until it has been made. */
  readonly id?: string;
  /** The process that keeps it open, in mode `held`. */
  readonly holder?: ProcessIdentity;
}

/** A persistent device that the daemon makes in a namespace that is not the lab's: it outlives the daemon. */
export interface LabLink {
  readonly name: string;
  /** Path of the namespace; undefined: the one `up` ran in. */
  readonly netnsPath?: string;
}

export interface LabInstance {
  readonly netns: string | undefined;
  readonly device: string;
  readonly name: string;
  readonly addresses: readonly string[];
  /** Group names; empty for the uplink, which is no instance and has none. */
  readonly groups: readonly string[];
}

export interface LabState {
  readonly version: 1;
  readonly name: string;
  /** Random; the mark in the environment of the lab's processes. */
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
}

/** A lab's directory; `state` is undefined if `up` was killed before it wrote the first one. */
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

/** Root of the machine, or of a container with all ids: not root by name only inside `unshare -Ur`. */
export function isHostRoot(): boolean {
  if (process.getuid?.() !== 0) return false;
  try {
    const count = readFileSync('/proc/self/uid_map', 'latin1').trim().split(/\s+/)[2];
    return count === '4294967295';
  } catch {
    return true;
  }
}

/** The user id outside a user namespace: 1000 also where `unshare -Ur` shows 0. */
function outerUid(): number {
  const inner = process.getuid?.() ?? 0;
  try {
    for (const line of readFileSync('/proc/self/uid_map', 'latin1').trim().split('\n')) {
      const [from = 0, to = 0, count = 0] = line.trim().split(/\s+/).map(Number);
      if (inner >= from && inner < from + count) return to + (inner - from);
    }
  } catch {
    // No user namespaces in this kernel: inside and outside are the same.
  }
  return inner;
}

/** Directories that may hold labs of this user, the one for new labs first. */
export function labRoots(): readonly string[] {
  const own = join('/tmp', `secgroupd-${outerUid()}`, 'labs');
  const runtime = process.env['XDG_RUNTIME_DIR'];
  const roots =
    runtime !== undefined && isAbsolute(runtime) && isOurs(runtime)
      ? [join(runtime, 'secgroupd', 'labs'), own]
      : [own];
  // Root also looks into the others: it may have made a lab inside `unshare -Urn`.
  return isHostRoot() ? [HOST_ROOT_LABS, ...roots] : roots;
}

/** A directory, no symlink, of this user and writable by this user alone. */
function isOurs(directory: string): boolean {
  try {
    const stat = lstatSync(directory);
    return (
      stat.isDirectory() && stat.uid === process.getuid?.() && (stat.mode & OTHERS_MAY_WRITE) === 0
    );
  } catch {
    return false;
  }
}

/** Makes the lab's directory, which must not be there. Throws LabError. */
export function createLabDirectory(name: string): string {
  const root = labRoots()[0];
  const base = dirname(root);
  try {
    mkdirSync(base, { recursive: true, mode: 0o700 });
    mkdirSync(root, { recursive: true, mode: 0o700 });
  } catch (thrown) {
    throw new LabError(`cannot make ${root}: ${messageOf(thrown)}`);
  }
  if (!isOurs(base) || !isOurs(root)) {
    throw new LabError(
      `${base} belongs to another user, or others may write in it`,
      'remove it, or set XDG_RUNTIME_DIR to a directory of your own',
    );
  }
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

export function writeState(directory: string, state: LabState): void {
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
      labs.push({ name, directory, state: readState(directory) });
    }
  }
  return labs;
}

function readState(directory: string): LabState | undefined {
  const file = join(directory, STATE_FILE);
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  try {
    const state = JSON.parse(text) as LabState;
    if (state.version === 1) return state;
  } catch {
    // Told below, as for an unknown version: what it names can't be removed unread.
  }
  throw new LabError(
    `${file} is not a state file of this version of sgctl`,
    `remove what the lab made by hand, and then the directory ${directory}`,
  );
}

export function removeLabDirectory(directory: string): void {
  // `held` labs keep symlinks to /proc in here; rm removes the links, not what they point to.
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
