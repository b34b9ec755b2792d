/**
 * Makes network namespaces for tests, with unique names, and removes them when the test is over.
 *
 * A namespace is in the file system and outlives its maker. So two things remove it: a hook of the test that made it,
 * and, if that never ran (an interrupt, an uncaught error), the exit of this process. Before that, everything still
 * running inside is killed by its pid: only what the test started can be in there.
 */
import { spawnSync } from 'node:child_process';
import { mustRun, run, signalUnlessEnded, start } from './process.ts';
import type { CommandResult, RunOptions, Running } from './process.ts';
import { findTool } from './require.ts';
import type { Scope } from './scope.ts';
import { until } from './until.ts';

export { requireRoot, requireTools, requireTun } from './require.ts';

export interface Netns {
  readonly name: string;
  /** `/run/netns/NAME`, as the configuration takes it. */
  readonly path: string;
  /** Runs a program inside to its end; its exit code is the caller's affair. */
  run(command: string, args?: readonly string[], options?: RunOptions): Promise<CommandResult>;
  /** Runs a program inside that must succeed; returns its standard output. */
  mustRun(command: string, args?: readonly string[], options?: RunOptions): Promise<string>;
  /** Starts a program inside (a server, a sniffer); it is stopped with the namespace at the latest. */
  start(
    command: string,
    args?: readonly string[],
    options?: Omit<RunOptions, 'timeoutMs'>,
  ): Promise<Running>;
}

const living = new Set<string>();
let count = 0;

process.on('exit', removeAllNow);
for (const [signal, code] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const) {
  process.once(signal, () => process.exit(code)); // Without a handler the exit hook would not run.
}

/**
 * A name for a namespace, an interface or a lab that no other test uses: at most 13 bytes, so that a letter or two
 * can follow (IFNAMSIZ less its zero is 15). It says which process gave it.
 */
export function uniqueName(): string {
  count++;
  return `sgt-${process.pid.toString(36)}-${count.toString(36)}`;
}

/** The process that gave a name by `uniqueName`, also where something follows it; undefined for other names. */
export function ownerOf(name: string): number | undefined {
  const pid = /^sgt-([0-9a-z]+)-[0-9a-z]/.exec(name)?.[1];
  return pid === undefined ? undefined : Number.parseInt(pid, 36);
}

/** Makes a namespace with its loopback up; the end of the test removes it. Needs root. */
export async function makeNetns(scope: Scope): Promise<Netns> {
  const name = uniqueName();
  const ip = ipPath();
  scope.after(() => remove(name));
  living.add(name);
  await mustRun(ip, ['netns', 'add', name]);
  const enter = ['netns', 'exec', name];
  const netns: Netns = {
    name,
    path: `/run/netns/${name}`,
    run: (command, args = [], options = {}) => run(ip, [...enter, command, ...args], options),
    mustRun: (command, args = [], options = {}) =>
      mustRun(ip, [...enter, command, ...args], options),
    start: (command, args = [], options = {}) => start(ip, [...enter, command, ...args], options),
  };
  await mustRun(ip, ['-n', name, 'link', 'set', 'lo', 'up']);
  return netns;
}

/** A namespace that somebody else made, by its file; it is theirs to remove. */
export function netnsAt(path: string): Netns {
  const enter = [`--net=${path}`, '--'];
  return {
    name: path,
    path,
    run: (command, args = [], options = {}) =>
      run('nsenter', [...enter, command, ...args], options),
    mustRun: (command, args = [], options = {}) =>
      mustRun('nsenter', [...enter, command, ...args], options),
    start: (command, args = [], options = {}) =>
      start('nsenter', [...enter, command, ...args], options),
  };
}

/** One end of a link between two namespaces. */
export interface LinkEnd {
  readonly netns: Netns;
  readonly interfaceName: string;
  /** With prefix lengths: `10.0.0.1/24`, `fd00::1/64`. */
  readonly addresses: readonly string[];
}

/**
 * Joins two namespaces with a veth pair. Resolves when packets cross it: the kernel raises the carrier of a
 * new pair some time after both ends are up, a second later on a busy machine, and has no route before.
 */
export async function connect(a: LinkEnd, b: LinkEnd): Promise<void> {
  const ip = ipPath();
  const peer = ['peer', 'name', b.interfaceName, 'netns', b.netns.name];
  await mustRun(ip, [
    'link',
    'add',
    a.interfaceName,
    'netns',
    a.netns.name,
    'type',
    'veth',
    ...peer,
  ]);
  for (const end of [a, b]) {
    for (const address of end.addresses) {
      // nodad: duplicate address detection would hold an IPv6 address back for a second.
      const flags = address.includes(':') ? ['nodad'] : [];
      await mustRun(ip, [
        '-n',
        end.netns.name,
        'address',
        'add',
        address,
        'dev',
        end.interfaceName,
        ...flags,
      ]);
    }
    await mustRun(ip, ['-n', end.netns.name, 'link', 'set', end.interfaceName, 'up']);
  }
  for (const end of [a, b]) await waitUntilUp(end);
}

async function waitUntilUp({ netns, interfaceName }: LinkEnd): Promise<void> {
  const show = ['-n', netns.name, '-oneline', 'link', 'show', 'dev', interfaceName, 'up'];
  let state = '';
  await until(
    () => `a carrier of ${interfaceName} in ${netns.name}: ${state.trim()}`,
    async () => {
      state = await mustRun(ipPath(), show);
      return / state UP /.test(state);
    },
  );
}

async function remove(name: string): Promise<void> {
  if (!living.has(name)) return;
  const ip = ipPath();
  killAll((await run(ip, ['netns', 'pids', name])).stdout);
  const result = await run(ip, ['netns', 'delete', name]);
  living.delete(name);
  if (result.code !== 0 && !result.stderr.includes('No such file')) {
    throw new Error(
      `network namespace ${name} could not be removed: ${result.stderr.trim()}; remove it with 'ip netns delete ${name}'`,
    );
  }
}

function removeAllNow(): void {
  for (const name of living) removeNamespaceNow(name);
}

/** Ends what runs in a namespace, and removes it, without waiting for other things meanwhile. */
export function removeNamespaceNow(name: string): void {
  killAll(spawnSync(ipPath(), ['netns', 'pids', name], { encoding: 'utf8' }).stdout);
  spawnSync(ipPath(), ['netns', 'delete', name]);
}

function killAll(pids: string): void {
  for (const text of pids.split('\n')) {
    const pid = Number(text);
    if (pid > 1 && pid !== process.pid) signalUnlessEnded(pid, 'SIGKILL');
  }
}

function ipPath(): string {
  const path = findTool('ip');
  if (path === undefined)
    throw new Error("no 'ip' command; install iproute2, or call requireTools(t, 'ip') first");
  return path;
}
