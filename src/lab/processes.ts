/**
 * Processes by identity, not by number alone.
 *
 * A pid is reused. A state file can be hours old, and a lab is removed as root: signalling a
 * remembered pid without a check could end a stranger's process. So a process is remembered with the time
 * it started (proc(5), /proc/PID/stat field 22), and signalled only while both still agree.
 */
import { readFileSync, readdirSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, as the kernel prints them. */
  readonly startTicks: string;
}

/** Environment variable that marks the processes a lab starts; its value is the lab's id. */
export const LAB_MARK = 'SECGROUPD_LAB';

const POLL_MS = 10;
/** A process that was killed is gone at once, unless the kernel still has much to take away for it. */
const KILLED_WAIT_MS = 300;

/** Fields of /proc/PID/stat after the command name, which may itself hold spaces and brackets. */
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

/** Who `pid` is now; undefined if there is no such process. */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTicks = readStat(pid)?.[START_TICKS];
  return startTicks === undefined ? undefined : { pid, startTicks };
}

/** Whether this very process still runs. A zombie does not: it holds no device and no namespace. */
export function isRunning(process: ProcessIdentity): boolean {
  const stat = readStat(process.pid);
  if (stat === undefined || stat[START_TICKS] !== process.startTicks) return false;
  return stat[STATE] !== 'Z' && stat[STATE] !== 'X';
}

/**
 * Ends processes: SIGTERM, and SIGKILL to those that are still there after `graceMs`.
 * @returns those that were killed and are not gone yet; see `waitGone`
 */
export async function endProcesses(
  processes: readonly ProcessIdentity[],
  graceMs: number,
): Promise<readonly ProcessIdentity[]> {
  processes.forEach((one) => signal(one, 'SIGTERM'));
  const stubborn = await waitGone(processes, graceMs);
  stubborn.forEach((one) => signal(one, 'SIGKILL'));
  return waitGone(stubborn, KILLED_WAIT_MS);
}

/**
 * Waits until processes are gone.
 * @param waiting called again and again while there are any
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
    // Gone in between, or not ours: the caller sees by isRunning whether it is still there.
  }
}

/**
 * Processes that carry the mark of this lab, whether or not the state file knows their pid:
 * `up` may have been killed between starting one and writing its pid down.
 */
export function findMarked(labId: string): readonly ProcessIdentity[] {
  const mark = `${LAB_MARK}=${labId}`;
  return findProcesses((pid) =>
    readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0').includes(mark),
  );
}

/**
 * Processes inside the namespaces with these ids (see `namespaceId`), but for the calling process
 * and its ancestors: a shell inside the lab may be where `down` was typed.
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

/** What tells one network namespace from every other while it exists: device and inode of its file. */
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
      // Ended while we looked, or another user's: neither is ours to end.
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
