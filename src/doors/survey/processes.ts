/**
 * Looks at all processes: which network namespace each is in, and of which container it is.
 *
 * A thread may be in another namespace than its process, so each thread is asked. A process that ends meanwhile is as
 * one that was never there. One that may not be looked at is counted: what it is in is not known.
 *
 * Threads of the kernel are left out. They are in the machine's first namespace, which would seem to be theirs where
 * this is asked in another one.
 */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { containerOf } from './owner.ts';
import type { Holder, Owner, Unread } from './facts.ts';

export interface SeenProcess {
  readonly pid: number;
  readonly owner: Owner;
  /** The inode of its network namespace. */
  readonly netns: number;
  /** Another namespace in which one of its threads is: the path, and the inode. */
  readonly threads: readonly { readonly path: string; readonly netns: number }[];
}

export interface SeenProcesses {
  readonly processes: readonly SeenProcess[];
  readonly unread: readonly Unread[];
}

/** Source: linux/sched.h. */
const PF_KTHREAD = 0x0020_0000;
const FLAGS_FIELD = 6;
/** What /proc calls a descriptor of /dev/net/tun, wherever the device is. */
const TUN_FILE = /^\/.*tun/;
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH']);
const COMMAND_BYTES_MAX = 64 * 1024;

/** @param proc a directory as /proc */
export function lookAtProcesses(proc = '/proc'): SeenProcesses {
  const processes: SeenProcess[] = [];
  const refused = new Map<string, number>();
  for (const entry of readdirSync(proc)) {
    if (!/^\d+$/.test(entry) || isOfKernel(`${proc}/${entry}`)) continue;
    try {
      processes.push(lookAt(`${proc}/${entry}`, Number(entry)));
    } catch (error) {
      const code = codeOf(error);
      if (GONE.has(code)) continue;
      refused.set(code, (refused.get(code) ?? 0) + 1);
    }
  }
  const unread = [...refused].map(([code, count]) => ({
    what: `the network namespaces of ${count} ${count === 1 ? 'process' : 'processes'}`,
    reason:
      process.geteuid?.() === 0 ? `${code}: this root has not all rights` : `${code}: ask as root`,
  }));
  return { processes, unread };
}

function lookAt(path: string, pid: number): SeenProcess {
  const netns = statSync(`${path}/ns/net`).ino;
  const owner = containerOf(readText(`${path}/cgroup`)) ?? {
    kind: 'process',
    name: `${readText(`${path}/comm`).trimEnd()} (pid ${pid})`,
  };
  const tasks = readdirSync(`${path}/task`);
  const threads = tasks.length === 1 ? [] : tasks.flatMap((task) => threadIn(path, task, netns));
  return { pid, owner, netns, threads };
}

function threadIn(
  path: string,
  task: string,
  netns: number,
): readonly { path: string; netns: number }[] {
  const own = `${path}/task/${task}/ns/net`;
  try {
    const { ino } = statSync(own);
    return ino === netns ? [] : [{ path: own, netns: ino }];
  } catch {
    return []; // It has ended: the process itself could be looked at.
  }
}

/**
 * Finds who holds the file side of TUNs and TAPs. The kernel tells the name of a device and not its namespace. Those
 * whose descriptors may not be read are left out: that a device has a carrier says that somebody holds it.
 */
export function findHolders(processes: readonly SeenProcess[], proc = '/proc'): Holder[] {
  return processes.flatMap(({ pid, owner, netns }) => {
    const path = `${proc}/${pid}`;
    const names = new Set(namesIn(`${path}/fd`).flatMap((fd) => deviceOf(path, fd)));
    if (names.size === 0) return [];
    const isDaemon = isSecgroupd(commandOf(pid, proc));
    return [...names].map((device) => ({ device, owner, netns, isDaemon }));
  });
}

function deviceOf(path: string, fd: string): readonly string[] {
  try {
    if (!TUN_FILE.test(readlinkSync(`${path}/fd/${fd}`))) return [];
    const name = /^iff:\s*(\S+)/m.exec(readText(`${path}/fdinfo/${fd}`))?.[1];
    return name === undefined ? [] : [name];
  } catch {
    return []; // It was closed meanwhile.
  }
}

function isSecgroupd(command: readonly string[]): boolean {
  return command.slice(0, 4).some((word) => /(?:^|\/)(?:secgroupd|main\.js)$/.test(word));
}

/** The command line of a process, as it tells it; empty if it can't be read. */
export function commandOf(pid: number, proc = '/proc'): readonly string[] {
  return readText(`${proc}/${pid}/cmdline`).slice(0, COMMAND_BYTES_MAX).split('\0');
}

function isOfKernel(path: string): boolean {
  const stat = readText(`${path}/stat`);
  const flags = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[FLAGS_FIELD]);
  return (flags & PF_KTHREAD) !== 0;
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

export function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? String(error);
}
