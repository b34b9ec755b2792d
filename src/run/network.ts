/**
 * Makes the network of `sgctl run`, inside a user namespace in which it is root:
 *
 *   command: eth0 ── daemon ── sgup :router: pasta's device ── pasta's sockets, in the caller's network
 *
 * All three network namespaces but the caller's belong to this user namespace. The command is in one below it
 * (run-command.ts), so it can enter none of them, nor change its own.
 *
 * pasta answers for the whole world, so what it must not do is said: `--no-map-gw`, or the gateway's address would be
 * the host's loopback, and no ports either way (`-T` would offer the host's loopback inside as well).
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  realpathSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { readLogTail, startDaemon } from '../lab/daemon.ts';
import { LabError, LabInterrupted } from '../lab/errors.ts';
import { bringLoopbackUp } from '../lab/namespaces.ts';
import type { ProcessIdentity } from '../lab/processes.ts';
import { runTool } from '../lab/tools.ts';
import { COMMAND, DNS4, DNS6, familiesHere, ROUTER, UPLINK_DEVICE, type RunPlan } from './plan.ts';
import { say } from './say.ts';

export interface RunNetwork {
  readonly directory: string;
  /** Of the namespaces, by name. */
  readonly netnsDirectory: string;
  readonly controlSocket: string;
  readonly daemonLog: string;
  /** Where /etc/resolv.conf is, followed to its end; undefined if there is none. */
  readonly resolvConf: string | undefined;
}

const RESOLV_CONF = '/etc/resolv.conf';
/** Generous: it only bounds a machine that hangs. */
const READY_TIMEOUT_MS = 120_000;
const LOOK_MS = 10;

/** The router forwards what comes from the daemon, and answers to that; nothing else. */
const RULES = `table inet way-out {
  chain forward {
    type filter hook forward priority 0; policy drop;
    iifname "${UPLINK_DEVICE}" accept
    oifname "${UPLINK_DEVICE}" ct state established,related accept
  }
  chain postrouting {
    type nat hook postrouting priority 100;
    oifname != "${UPLINK_DEVICE}" masquerade
  }
}
`;

/** @throws LabError, and LabInterrupted when `signal` is aborted */
export async function makeNetwork(
  plan: RunPlan,
  uid: number,
  signal: AbortSignal,
): Promise<RunNetwork> {
  const resolvConf = hideRun();
  const directory = '/run/secgroupd';
  // Debian's AppArmor profile lets pasta read a namespace by this path and few others.
  const netnsDirectory = `/run/user/${uid}/netns`;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  mkdirSync(netnsDirectory, { recursive: true });
  for (const name of [ROUTER, COMMAND]) await makeNamespace(join(netnsDirectory, name));
  const [router, command] = [ROUTER, COMMAND].map((name) => join(netnsDirectory, name));
  const configFile = join(directory, 'run.json');
  writeFileSync(configFile, plan.config);
  const network: RunNetwork = {
    ...{ directory, netnsDirectory, resolvConf },
    controlSocket: join(directory, 'control.sock'),
    daemonLog: join(directory, 'daemon.log'),
  };
  await setUpRouter(router, directory);
  // So that ping works without a capability. The group is the caller's, which is 0 in this user namespace.
  await writeInside(command, '/proc/sys/net/ipv4/ping_group_range', '0 0');
  const pasta = startPasta(router, join(directory, 'pasta.log'));
  let daemon: ProcessIdentity | undefined;
  await startDaemon({
    through: ['nsenter', `--net=${router}`, '--'],
    ...{ configFile, netnsDirectory, controlSocket: network.controlSocket },
    logFile: network.daemonLog,
    labId: 'run',
    timeoutMs: READY_TIMEOUT_MS,
    timeScale: 1,
    more: [],
    signal,
    started: (who) => (daemon = who),
    waiting: () => undefined,
  });
  await waitForWayOut(plan, pasta, daemon!, signal);
  pasta.child.on('exit', () =>
    say(`pasta has ended: there is no way out any more\n${readLogTail(pasta.log)}`),
  );
  return network;
}

/**
 * Puts an empty file system over /run: nothing of what is made is seen outside. pasta still reads which resolvers the
 * host has.
 * @returns where /etc/resolv.conf is
 */
function hideRun(): string | undefined {
  let path: string | undefined;
  let text = '';
  try {
    path = realpathSync(RESOLV_CONF);
    text = readFileSync(path, 'utf8');
  } catch {
    // There is none: names are not resolved outside either.
  }
  mountEmpty('/run');
  // Usually a link to /run.
  if (lstatSync('/var/run', { throwIfNoEntry: false })?.isDirectory()) mountEmpty('/var/run');
  if (path !== undefined && /^(?:\/var)?\/run\//.test(path)) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return path;
}

function mountEmpty(path: string): void {
  const { status, stderr, error } = spawnSync(
    'mount',
    ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', path],
    { encoding: 'utf8' },
  );
  if (status !== 0) throw new LabError(`cannot hide ${path}: ${error?.message ?? stderr.trim()}`);
}

async function makeNamespace(path: string): Promise<void> {
  writeFileSync(path, '');
  await runTool('unshare', ['--net', 'mount', '--bind', '/proc/self/ns/net', path]);
  await bringLoopbackUp(path);
}

async function setUpRouter(router: string, directory: string): Promise<void> {
  const file = join(directory, 'way-out.nft');
  writeFileSync(file, RULES);
  await runTool('nsenter', [`--net=${router}`, 'nft', '-f', file]);
  await writeInside(router, '/proc/sys/net/ipv4/ip_forward', '1');
  await writeInside(router, '/proc/sys/net/ipv6/conf/all/forwarding', '1', true);
}

/** @param isOptional the file need not be there: a kernel without IPv6 */
async function writeInside(
  netns: string,
  file: string,
  text: string,
  isOptional = false,
): Promise<void> {
  const script = isOptional ? '[ ! -e "$1" ] || echo "$2" > "$1"' : 'echo "$2" > "$1"';
  await runTool('nsenter', [`--net=${netns}`, 'sh', '-c', script, 'sh', file, text]);
}

interface Pasta {
  readonly child: ChildProcess;
  readonly log: string;
  error: Error | undefined;
}

function startPasta(router: string, log: string): Pasta {
  const out = openSync(log, 'w', 0o600);
  const child = spawn(
    'pasta',
    [
      ...['--foreground', '--quiet', '--stderr', '--config-net', '--no-map-gw'],
      ...['-t', 'none', '-u', 'none', '-T', 'none', '-U', 'none'],
      ...['--dns-forward', DNS4, '--dns-forward', DNS6],
      ...['--netns', router],
    ],
    { cwd: '/', stdio: ['ignore', out, out], detached: true },
  );
  closeSync(out);
  const pasta: Pasta = { child, log, error: undefined };
  child.on('error', (error) => (pasta.error = error));
  child.unref();
  return pasta;
}

/** pasta gives the router the host's addresses and routes, and says nowhere when it has. */
async function waitForWayOut(
  { families }: RunPlan,
  pasta: Pasta,
  daemon: ProcessIdentity,
  signal: AbortSignal,
): Promise<void> {
  const { child, log } = pasta;
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    const there = familiesHere(String(daemon.pid));
    if (there.has4 >= families.has4 && there.has6 >= families.has6) return;
    if (signal.aborted) throw new LabInterrupted();
    const hasEnded = child.exitCode !== null || child.signalCode !== null;
    if (hasEnded || pasta.error !== undefined || performance.now() > deadlineMs) {
      const what = hasEnded ? 'pasta has ended' : (pasta.error?.message ?? 'pasta gave no route');
      throw new LabError(`there is no way out: ${what}; it said:\n${readLogTail(log)}`);
    }
    await sleep(LOOK_MS);
  }
}
