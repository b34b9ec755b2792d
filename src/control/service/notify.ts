/**
 * Talking to the service manager: sd_notify(3)'s protocol, spoken over its datagram socket.
 *
 * Without NOTIFY_SOCKET nobody listens, and everything here does nothing. A message that can't be sent
 * is logged and forgotten: packets flow whether or not somebody is told.
 */
import type { Logger } from 'pino';
import type { Native } from '../../ports/native.ts';

/** What systemd hands a service in its environment. */
export interface ServiceEnvironment {
  /** Path, or `@` and an abstract name; undefined: no service manager listens. */
  readonly notifySocket: string | undefined;
  /** How often the manager wants to hear that the service lives; undefined: never. */
  readonly watchdogMs: number | undefined;
  /** Descriptors handed over, from its descriptor store (control/service/fd-store.ts), with their names. */
  readonly stored: readonly StoredFd[];
  /** The first of STATE_DIRECTORY. */
  readonly stateDirectory: string | undefined;
}

export interface StoredFd {
  readonly fd: number;
  readonly name: string;
}

/** SD_LISTEN_FDS_START of sd-daemon.h. */
const LISTEN_FDS_START = 3;
/** More would be no store of ours: a port a device, and systemd's own limit is lower. */
const LISTEN_FDS_MAX = 4096;

const MICROSECONDS = 1000;

/**
 * Reads what systemd says in the environment and takes it out, so that nobody believes it a second time.
 * What is addressed to another process (WATCHDOG_PID, LISTEN_PID) is not for us.
 */
export function takeServiceEnvironment(
  environment: NodeJS.ProcessEnv,
  pid: number,
): ServiceEnvironment {
  const take = (name: string): string | undefined => {
    const value = environment[name];
    delete environment[name];
    return value === undefined || value === '' ? undefined : value;
  };
  const socket = take('NOTIFY_SOCKET');
  const watchdogUsec = Number(take('WATCHDOG_USEC') ?? 0);
  const watchdogPid = take('WATCHDOG_PID');
  const isWatched = watchdogPid === undefined || Number(watchdogPid) === pid;
  const count = Number(take('LISTEN_FDS') ?? 0);
  const names = (take('LISTEN_FDNAMES') ?? '').split(':');
  const listens = Number(take('LISTEN_PID')) === pid;
  take('LISTEN_PIDFDID');
  const isCount = Number.isInteger(count) && count > 0 && count <= LISTEN_FDS_MAX;
  return {
    notifySocket: socket?.startsWith('/') || socket?.startsWith('@') ? socket : undefined,
    watchdogMs: isWatched && watchdogUsec > 0 ? watchdogUsec / MICROSECONDS : undefined,
    stored: Array.from({ length: listens && isCount ? count : 0 }, (_, i) => ({
      fd: LISTEN_FDS_START + i,
      name: names[i] ?? '',
    })),
    stateDirectory: environment['STATE_DIRECTORY']?.split(':')[0],
  };
}

export class Notifier {
  private readonly native: Native;
  private readonly socket: string | undefined;
  private readonly log: Logger;

  constructor(native: Native, socket: string | undefined, log: Logger) {
    this.native = native;
    this.socket = socket;
    this.log = log;
  }

  /** Whether a service manager listens. */
  get isConnected(): boolean {
    return this.socket !== undefined;
  }

  ready(status: string): void {
    this.send(['READY=1', `STATUS=${oneLine(status)}`]);
  }

  status(status: string): void {
    this.send([`STATUS=${oneLine(status)}`]);
  }

  /** A reload has begun; `ready` ends it, whatever came of it. The time lets systemd tell it from an older one. */
  reloading(): void {
    const monotonicUsec = process.hrtime.bigint() / 1000n;
    this.send(['RELOADING=1', `MONOTONIC_USEC=${monotonicUsec}`, 'STATUS=reloading']);
  }

  stopping(): void {
    this.send(['STOPPING=1', 'STATUS=stopping']);
  }

  /** The packet loop lives. */
  beat(): void {
    this.send(['WATCHDOG=1']);
  }

  /** Asks for this much time from now on for starting or stopping. */
  extendTimeout(timeoutMs: number): void {
    this.send([`EXTEND_TIMEOUT_USEC=${Math.round(timeoutMs * MICROSECONDS)}`]);
  }

  /** Has the manager keep a copy of a descriptor, which it hands to the next process. */
  storeFd(name: string, fd: number): void {
    this.send(['FDSTORE=1', `FDNAME=${name}`], Int32Array.of(fd));
  }

  /** Has the manager close all descriptors that it keeps by this name. */
  removeFd(name: string): void {
    this.send(['FDSTOREREMOVE=1', `FDNAME=${name}`]);
  }

  private send(lines: readonly string[], fds = new Int32Array(0)): void {
    if (this.socket === undefined) return;
    try {
      this.native.sendDatagram(this.socket, Buffer.from(lines.join('\n')), fds);
    } catch (error) {
      this.log.warn({ err: error, message: lines[0] }, 'the service manager could not be told');
    }
  }
}

export interface WatchdogOptions {
  readonly notifier: Notifier;
  readonly log: Logger;
  /** WATCHDOG_USEC in milliseconds. */
  readonly intervalMs: number;
  /** A number that the packet loop changes with every round. */
  readonly pulse: () => number;
  /** Makes the loop go a round, also if it has nothing to do. */
  readonly nudge: () => void;
}

/**
 * Feeds the service manager's watchdog from the packet loop: twice an interval the loop is nudged, and
 * only if it has gone a round since the last time is the manager told that the service lives. So a loop
 * that hangs is restarted even though the control plane is well, and an idle one is not.
 */
export function startWatchdog(options: WatchdogOptions): { readonly stop: () => void } {
  const { notifier, log, intervalMs, pulse, nudge } = options;
  let last = pulse();
  let isStuck = false;
  nudge();
  const timer = setInterval(() => {
    const now = pulse();
    if (now !== last) notifier.beat();
    else if (!isStuck) log.error({ intervalMs }, 'the packet loop does not go on');
    isStuck = now === last;
    last = now;
    nudge();
  }, intervalMs / 2);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

/** A status is one line: a line break would begin another assignment of the protocol. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
