/**
 * Removes a lab: daemon, namespaces with what still runs in them, persistent devices, files.
 *
 * May be called at any time and any number of times: for a lab that is up, half-made, whose
 * daemon was killed, or that a reboot has already taken away. The state file goes last, so that a
 * removal that was itself interrupted can be repeated.
 */
import { LabError, messageOf } from './errors.ts';
import { removeLink, removeNamed } from './namespaces.ts';
import { endProcesses, findInside, findMarked, isRunning } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import { readBootId, removeLabDirectory } from './state.ts';
import type { LabState, StoredLab } from './state.ts';

const DAEMON_GRACE_MS = 3000;
const OTHERS_GRACE_MS = 1000;

/**
 * Refuses to remove a lab that another process is just making. Throws LabError.
 */
export function checkNotBeingMade({ name, state }: StoredLab): void {
  if (state?.phase !== 'making' || state.maker.pid === process.pid || !isRunning(state.maker))
    return;
  throw new LabError(
    `the lab ${name} is just being made, by process ${state.maker.pid}`,
    'wait until it is up, or stop that process with Ctrl-C: it removes what it has made',
  );
}

/**
 * Removes everything the lab made.
 * @returns what could not be removed, a sentence each; the state file stays then, so that it can be tried again
 */
export async function removeLab({ directory, state }: StoredLab): Promise<readonly string[]> {
  const left: string[] = [];
  // After a reboot the names may be somebody else's, and nothing of the lab is left but its files.
  if (state !== undefined && state.bootId === readBootId()) {
    await removeProcesses(state, left);
    await removeNamespaces(state, left);
    await removeLinks(state, left);
  }
  if (left.length === 0) removeLabDirectory(directory);
  return left;
}

async function removeProcesses(state: LabState, left: string[]): Promise<void> {
  const holders = state.namespaces.flatMap(({ holder }) => (holder === undefined ? [] : [holder]));
  const holderPids = new Set(holders.map(({ pid }) => pid));
  const inside = new Set(state.namespaces.flatMap(({ id }) => (id === undefined ? [] : [id])));
  const daemon = state.daemon === undefined ? [] : [state.daemon];
  // First the daemon alone: it closes its devices while their namespaces are still there.
  const marked = findMarked(state.id).filter(({ pid }) => !holderPids.has(pid));
  await end('the daemon', [...daemon, ...marked], DAEMON_GRACE_MS, left);
  await end('in its namespaces', findInside(inside), OTHERS_GRACE_MS, left);
  await end('holding its namespaces', [...holders, ...findMarked(state.id)], OTHERS_GRACE_MS, left);
}

async function end(
  what: string,
  processes: readonly ProcessIdentity[],
  graceMs: number,
  left: string[],
): Promise<void> {
  for (const { pid } of await endProcesses(processes, graceMs)) {
    left.push(`process ${pid} (${what}) can't be ended`);
  }
}

async function removeNamespaces(state: LabState, left: string[]): Promise<void> {
  // Held namespaces went with their holders.
  for (const { name, id } of state.mode === 'named' ? state.namespaces : []) {
    try {
      // False: the name is another namespace's by now, so ours is gone.
      await removeNamed(name, id);
    } catch (thrown) {
      left.push(`namespace ${name}: ${messageOf(thrown)}`);
    }
  }
}

async function removeLinks(state: LabState, left: string[]): Promise<void> {
  for (const { name, netnsPath } of state.links) {
    try {
      await removeLink(name, netnsPath);
    } catch (thrown) {
      left.push(`device ${name}: ${messageOf(thrown)}`);
    }
  }
}
