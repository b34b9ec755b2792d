/**
 * Removes a lab: its daemon, its namespaces with the processes in them, persistent devices, and files.
 *
 * It may be called at any time and any number of times: for a lab that is up or half-made, whose daemon was killed,
 * or that a reboot has already removed. The state file is removed last, so that an interrupted removal can be
 * repeated.
 */
import { LabError, messageOf } from './errors.ts';
import { removeLink, removeNamed } from './namespaces.ts';
import { endProcesses, findInside, findMarked, isRunning, waitGone } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';
import { NO_PROGRESS, type Progress } from './progress.ts';
import { readBootId, removeLabDirectory } from './state.ts';
import type { LabState, StoredLab } from './state.ts';
import { inChunks } from './tools.ts';
import { count } from '../source/count.ts';

/** A daemon that is killed loses the last interval of its flow logs. On a busy machine it takes its time to end. */
const DAEMON_GRACE_MS = 30_000;
const OTHERS_GRACE_MS = 1000;
/** The longest wait for killed processes: the kernel needs many seconds to remove thousands of devices. */
const GONE_WAIT_MS = 120_000;

/** Refuses to remove a lab that another process is still making. Throws LabError. */
export function checkNotBeingMade({ name, state }: StoredLab): void {
  if (state?.phase !== 'making' || state.maker.pid === process.pid || !isRunning(state.maker))
    return;
  throw new LabError(
    `the lab ${name} is just being made, by process ${state.maker.pid}`,
    'wait until it is up, or stop that process with Ctrl-C: it removes what it has made',
  );
}

/**
 * Removes everything that the lab made.
 * @returns what could not be removed, a sentence each; then the state file stays, so that the removal can be repeated
 */
export async function removeLab(
  { directory, state }: StoredLab,
  progress: Progress = NO_PROGRESS,
): Promise<readonly string[]> {
  const left: string[] = [];
  // After a reboot the names may belong to somebody else, and only the lab's files are left.
  if (state !== undefined && state.bootId === readBootId()) {
    const killed = await endAll(state, progress);
    // When the namespaces go, the kernel removes all their devices at once. A killed daemon gives them back one by
    // one, 20 ms each. So wait for it last.
    await removeNamespaces(state, left, progress);
    await removeLinks(state, left);
    const waiting = (): void =>
      progress(`the kernel takes ${count(state.instances.length, 'device')} away`);
    for (const { pid } of await waitGone(killed, GONE_WAIT_MS, waiting))
      left.push(`process ${pid} can't be ended`);
  }
  if (left.length === 0) removeLabDirectory(directory);
  return left;
}

/** @returns the processes that were killed and are not gone yet */
async function endAll(state: LabState, progress: Progress): Promise<readonly ProcessIdentity[]> {
  const holders = state.namespaces.flatMap(({ holder }) => (holder === undefined ? [] : [holder]));
  const holderPids = new Set(holders.map(({ pid }) => pid));
  const inside = new Set(state.namespaces.flatMap(({ id }) => (id === undefined ? [] : [id])));
  const daemon = state.daemon === undefined ? [] : [state.daemon];
  // End the daemon first, alone: it closes its devices while their namespaces still exist.
  const known = new Set([...holderPids, ...daemon.map(({ pid }) => pid)]);
  const marked = findMarked(state.id).filter(({ pid }) => !known.has(pid));
  const killed = [
    ...(await endProcesses([...daemon, ...marked], DAEMON_GRACE_MS, () =>
      progress('the daemon writes what it has and ends'),
    )),
    ...(await endProcesses(findInside(inside), OTHERS_GRACE_MS)),
    ...(await endProcesses([...holders, ...findMarked(state.id)], OTHERS_GRACE_MS)),
  ];
  // A process may be known both by its pid and by its mark.
  return [...new Map(killed.map((one) => [one.pid, one])).values()];
}

async function removeNamespaces(
  state: LabState,
  left: string[],
  progress: Progress,
): Promise<void> {
  // Held namespaces disappeared with their holders.
  const namespaces = state.mode === 'named' ? state.namespaces : [];
  let gone = 0;
  for (const chunk of inChunks(namespaces)) {
    await Promise.all(
      chunk.map(async ({ name, id }) => {
        try {
          // False means that another namespace has the name now, so ours is gone.
          await removeNamed(name, id);
        } catch (thrown) {
          left.push(`namespace ${name}: ${messageOf(thrown)}`);
        }
      }),
    );
    gone += chunk.length;
    progress(`${gone} of ${count(namespaces.length, 'namespace')} removed`);
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
