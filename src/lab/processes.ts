/**
 * Identifies processes by more than their pid.
 *
 * Pids are reused. A state file can be hours old, and a lab is removed as root. To signal a remembered pid without a
 * check could end a stranger's process. So a process is remembered with its start time (proc(5), /proc/PID/stat field
 * 22), and signalled only while both still match.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, as the kernel prints them. */
  readonly startTicks: string;
}

/** The environment variable that marks processes of a lab. Its value is the lab's id. */
export const LAB_MARK = 'SECGROUPD_LAB';

const POLL_MS = 10;
/** A killed process is gone at once, unless the kernel has much to clean up for it. */
const KILLED_WAIT_MS = 300;

/** Returns the fields of /proc/PID/stat behind the command name, which may itself contain spaces and brackets. */
function readStat(pid: number): readonly string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return text.slice(text.lastIndexOf(')') + 2).split(' ');
  } catch {
    return undefined;
  }
}

const STATE = 0; //       field 3
const PARENT = 1; //      field 4
const START_TICKS = 19; // field 22

/** The identity of the process that has `pid` now; undefined if there is none. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTicks = readStat(pid)?.[START_TICKS];
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Whether this very process still runs. A zombie does not count: it holds no device and no namespace. */
export function isRunning(process: ProcessIdentity): boolean {
  const stat = readStat(process.pid);
  if (stat === undefined || stat[START_TICKS] !== process.startTicks) return false;
  return stat[STATE] !== 'Z' && stat[STATE] !== 'X';
}

/**
 * Ends processes by SIGTERM, and by SIGKILL those that are still there after `graceMs`.
 * @returns the killed processes that are not gone yet; see `waitGone`
 */
export async function endProcesses(
  processes: readonly ProcessIdentity[],
  graceMs: number,
  waiting?: () => void,
): Promise<readonly ProcessIdentity[]> {
  processes.forEach((one) => signal(one, 'SIGTERM'));
  const stubborn = await waitGone(processes, graceMs, waiting);
  stubborn.forEach((one) => signal(one, 'SIGKILL'));
  return waitGone(stubborn, KILLED_WAIT_MS);
}

/**
 * Waits until processes are gone.
 * @param waiting called repeatedly until then
 * @returns those that are still there after `limitMs` (no permission to end them, or stuck in the kernel)
 */
export async function waitGone(
  processes: readonly ProcessIdentity[],
  limitMs: number,
  waiting: () => void = () => undefined,
): Promise<readonly ProcessIdentity[]> {
  const until = performance.now() + limitMs;
  let left = processes.filter(isRunning);
  while (left.length > 0 && performance.now() < until) {
    await sleep(POLL_MS);
    waiting();
    left = left.filter(isRunning);
  }
  return left;
}

function signal(target: ProcessIdentity, name: 'SIGTERM' | 'SIGKILL'): void {
  if (!isRunning(target)) return;
  try {
    process.kill(target.pid, name);
  } catch {
    // It is gone already, or not ours. The caller uses isRunning to see which.
  }
}

/**
 * Finds the processes with the mark of this lab, whether or not the state file has their pid. `up` may have been
 * killed between starting a process and writing its pid down.
 */
export function findMarked(labId: string): readonly ProcessIdentity[] {
  const mark = `${LAB_MARK}=${labId}`;
  return findProcesses((pid) =>
    readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark),
  );
}

/**
 * Finds the processes inside the namespaces with these ids (see `namespaceId`). It leaves out the calling process and
 * its ancestors, since `down` may have been typed in a shell inside the lab.
 */
export function findInside(namespaceIds: ReadonlySet<string>): readonly ProcessIdentity[] {
  if (namespaceIds.size === 0) return [];
  const spared = ancestors();
  return findProcesses((pid) => {
    if (spared.has(pid)) return false;
    const id = namespaceId(`/proc/${pid}/ns/net`);
    return id !== undefined && namespaceIds.has(id);
  });
}

/** A network namespace's identity while it exists: device and inode of its file. */
export function namespaceId(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}

function findProcesses(matches: (pid: number) => boolean): readonly ProcessIdentity[] {
  const found: ProcessIdentity[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) continue;
    try {
      const who = identify(pid);
      if (who !== undefined && matches(pid) && isRunning(who)) found.push(who);
    } catch {
      // It ended meanwhile, or belongs to another user. Either way it is not ours to end.
    }
  }
  return found;
}

function ancestors(): ReadonlySet<number> {
  const seen = new Set<number>();
  for (
    let pid = process.pid;
    pid > 0 && !seen.has(pid);
    pid = Number(readStat(pid)?.[PARENT] ?? 0)
  ) {
    seen.add(pid);
  }
  return seen;
}
