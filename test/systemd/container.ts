/**
 * A container with a real systemd as its init, for tests of the service. Nothing of it is left afterwards:
 * its root is a copy in a temporary directory, its network its own.
 */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { mustRun, run, signalUnlessEnded, start } from '../support/process.ts';
import type { CommandResult, RunOptions, Running } from '../support/process.ts';
import { findTool } from '../support/require.ts';
import { until } from '../support/until.ts';
import { prepareRootFilesystem, requireContainers } from './root-filesystem.ts';

/** By cgroup: what must go with this process, however it ends. */
const living = new Map<string, string>();

process.on('exit', () => {
  for (const [cgroup, root] of living) {
    killCgroup(cgroup);
    rmSync(root, { recursive: true, force: true });
  }
});
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code)); // Without a handler the exit hook would not run.
}

const HALT_TIMEOUT_MS = 15_000;
const POLL_MS = 50;
const REMOVE_TRIES = 40;

export class Container {
  /** Its root directory, seen from outside. */
  readonly root: string;
  private readonly init: number;
  private readonly running: Running[] = [];

  constructor(root: string, init: number) {
    this.root = root;
    this.init = init;
  }

  /** Runs a program inside to its end, as root. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<CommandResult> {
    return run('nsenter', this.enter(command, args), options);
  }

  /** Runs a program inside that must succeed; returns what it printed. */
  mustRun(command: string, args: readonly string[], options?: RunOptions): Promise<string> {
    return mustRun('nsenter', this.enter(command, args), options);
  }

  /** A line for a shell inside, that must succeed. */
  sh(line: string, options?: RunOptions): Promise<string> {
    return this.mustRun('/bin/sh', ['-ec', line], options);
  }

  /** Starts a program inside, which ends with the container at the latest. */
  async start(command: string, args: readonly string[]): Promise<Running> {
    const running = await start('nsenter', this.enter(command, args));
    this.running.push(running);
    return running;
  }

  /** Ends what was started. Before the container halts: its init stops processes first, and a stopped nsenter stays. */
  async endAll(): Promise<void> {
    for (const running of this.running) await running.stop('SIGKILL');
  }

  /** Copies a file to an absolute path inside. */
  copyIn(file: string, path: string): void {
    copyFileSync(file, join(this.root, path));
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.root, path), text);
  }

  /** A property of the unit, as `systemctl show` has it. */
  async property(name: string): Promise<string> {
    const shown = await this.mustRun('systemctl', ['show', '--value', '-p', name, 'secgroupd']);
    return shown.trim();
  }

  /** What the unit has written to the journal. */
  journal(): Promise<string> {
    return this.mustRun('journalctl', ['-u', 'secgroupd', '--no-pager', '-o', 'cat']);
  }

  private enter(command: string, args: readonly string[]): string[] {
    return [
      `--target=${this.init}`,
      '--mount',
      '--uts',
      '--ipc',
      '--net',
      '--pid',
      '--cgroup',
      '--',
      '/usr/bin/env',
      '-i',
      'PATH=/usr/sbin:/usr/bin:/sbin:/bin',
      'HOME=/root',
      'LC_ALL=C.UTF-8',
      command,
      ...args,
    ];
  }
}

/** What a container may do beyond what nspawn lets any do, and CAP_NET_ADMIN. */
export interface MoreRights {
  /** As `CAP_BPF`. */
  readonly capability?: string;
  readonly systemCall?: string;
}

/**
 * Boots a container; the end of the test stops and removes it.
 * @returns undefined, with the test skipped, if this machine can't
 */
export async function bootContainer(
  t: TestContext,
  rights: MoreRights = {},
): Promise<Container | undefined> {
  if (!requireContainers(t)) return undefined;
  const kept = await prepareRootFilesystem(t);
  if (kept === undefined) return undefined;
  const root = mkdtempSync(join(tmpdir(), 'sgt-container-'));
  const cgroup = makeCgroup(basename(root));
  living.set(cgroup, root);
  const started: Running[] = [];
  const booted: Container[] = [];
  // One hook: they would run in the order of their making, and this order matters.
  t.after(async () => {
    for (const container of booted) await container.endAll();
    for (const nspawn of started) await stopContainer(nspawn);
    killCgroup(cgroup);
    rmSync(root, { recursive: true, force: true });
    removeCgroup(cgroup);
    living.delete(cgroup);
  });
  await mustRun('cp', ['-a', '--reflink=auto', `${kept}/.`, root]);
  const nspawn = await start('/bin/sh', nspawnArguments(root, cgroup, rights), {
    env: { ...process.env, SYSTEMD_NSPAWN_UNIFIED_HIERARCHY: '1' },
  });
  started.push(nspawn);
  const init = await findInit(nspawn);
  if (init === undefined) {
    const { stdout, stderr } = await nspawn.stop();
    t.skip(`systemd-nspawn can't boot here: ${(stdout + stderr).trim().split('\n').at(-1)}`);
    return undefined;
  }
  const container = new Container(root, init);
  booted.push(container);
  await waitUntilBooted(container);
  // As udev would; the host's own node may be for root alone.
  await container.sh('mkdir -p /dev/net; rm -f /dev/net/tun; mknod -m 666 /dev/net/tun c 10 200');
  return container;
}

async function stopContainer(nspawn: Running): Promise<void> {
  // To nspawn this is an orderly power-off of what it runs.
  signalUnlessEnded(nspawn.pid, 'SIGTERM');
  const halted = await Promise.race([
    nspawn.ended.then(() => true),
    sleep(HALT_TIMEOUT_MS, false, { ref: false }),
  ]);
  if (!halted) await nspawn.stop('SIGKILL');
}

/** The shell, and what it turns into: nspawn in that cgroup. */
function nspawnArguments(root: string, cgroup: string, rights: MoreRights): string[] {
  const { capability, systemCall } = rights;
  const options = [
    `--directory=${root}`,
    '--boot',
    // Neither machined nor a unit of the host has to know of it.
    '--register=no',
    '--keep-unit',
    '--private-network',
    `--capability=${['CAP_NET_ADMIN', ...(capability === undefined ? [] : [capability])].join(',')}`,
    ...(systemCall === undefined ? [] : [`--system-call-filter=${systemCall}`]),
    '--link-journal=no',
    '--resolv-conf=off',
    '--timezone=off',
    '--console=pipe',
  ];
  const enter = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"';
  return ['-c', enter, 'sh', cgroup, findTool('systemd-nspawn')!, ...options];
}

/**
 * A cgroup below our own. nspawn puts its payload into a child of the cgroup it was started in: two containers
 * started in one would mistake each other's units for their own.
 */
function makeCgroup(name: string): string {
  const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
  const mountPoint = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2');
  if (mountPoint === undefined) throw new Error('there is no cgroup2 file system');
  const own = /^0::(.*)$/m.exec(readFileSync('/proc/self/cgroup', 'utf8'))?.[1] ?? '/';
  const path = join(mountPoint[1], own, name);
  mkdirSync(path);
  return path;
}

/** Ends what is still in it: the init does not end with its nspawn when that is killed. */
function killCgroup(path: string): void {
  writeFileSync(join(path, 'cgroup.kill'), '1');
}

/** The container's systemd has made more below it; they are empty, since it has ended. */
function removeCgroup(path: string): void {
  for (const entry of readdirSync(path, { withFileTypes: true }))
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  for (let tries = REMOVE_TRIES; ; tries--) {
    try {
      rmdirSync(path);
      return;
    } catch (error) {
      // What was killed is gone a moment later.
      if ((error as NodeJS.ErrnoException).code !== 'EBUSY' || tries === 0) throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, POLL_MS);
    }
  }
}

/** The pid, outside, of the container's init; undefined if nspawn ends before it has one. */
async function findInit(nspawn: Running): Promise<number | undefined> {
  let isOver = false;
  void nspawn.ended.then(() => (isOver = true));
  let init: number | undefined;
  await until('an init in the container', () => {
    if (isOver) return true;
    init = childrenOf(nspawn.pid).find((child) => commandOf(child) === 'systemd');
    return init !== undefined;
  });
  return init;
}

function childrenOf(pid: number): number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8');
  return children.split(' ').filter(Boolean).map(Number);
}

function commandOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return undefined; // It has ended meanwhile.
  }
}

async function waitUntilBooted(container: Container): Promise<void> {
  let state = '';
  await until(
    () => `the container has booted: ${state}`,
    async () => {
      const { stdout } = await container.run('systemctl', ['is-system-running']);
      state = stdout.trim();
      // Degraded: some unit of Debian's own can't work in a container; ours isn't installed yet.
      return state === 'running' || state === 'degraded';
    },
  );
}
