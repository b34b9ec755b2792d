/**
 * This file talks to the service manager over its datagram socket, by the protocol of sd_notify(3).
 *
 * Without NOTIFY_SOCKET nobody listens, and everything here does nothing. A message that can't be sent is logged and
 * dropped. Packets flow either way.
 */
import type { Logger } from 'pino';
import type { Native } from '../ports/native.ts';

/** What systemd passes to a service in its environment. */
export interface ServiceEnvironment {
  /** Path, or `@` and an abstract name; undefined: no service manager listens. */
  readonly notifySocket: string | undefined;
  /** How often the manager expects a sign of life; undefined: never. */
  readonly watchdogMs: number | undefined;
  /** Descriptors from its descriptor store (service/fd-store.ts), with their names. */
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
/** An environment variable has no room for more names (fd-store.ts). */
const LISTEN_FDS_MAX = 65_536;

const MICROSECONDS = 1000;

/**
 * Reads systemd's variables and removes them from the environment, so that no child process uses them. Variables that
 * are addressed to another process (WATCHDOG_PID, LISTEN_PID) are ignored.
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

  /** Reports that a reload has begun. `ready` ends it, whatever its outcome. The time identifies this reload. */
  reloading(): void {
    const monotonicUsec = process.hrtime.bigint() / 1000n;
    this.send(['RELOADING=1', `MONOTONIC_USEC=${monotonicUsec}`, 'STATUS=reloading']);
  }

  stopping(): void {
    this.send(['STOPPING=1', 'STATUS=stopping']);
  }

  /** Reports that the packet loop is alive. */
  beat(): void {
    this.send(['WATCHDOG=1']);
  }

  /** Asks for this much more time, from now on, for starting or stopping. */
  extendTimeout(timeoutMs: number): void {
    this.send([`EXTEND_TIMEOUT_USEC=${Math.round(timeoutMs * MICROSECONDS)}`]);
  }

  /** Makes the manager keep a copy of a descriptor and pass it to the next process. */
  storeFd(name: string, fd: number): void {
    this.send(['FDSTORE=1', `FDNAME=${name}`], Int32Array.of(fd));
  }

  /** Makes the manager close all descriptors that it keeps under this name. */
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
  /** Makes the loop run one round, even if it has nothing to do. */
  readonly nudge: () => void;
}

/**
 * Feeds the service manager's watchdog from the packet loop. The loop is nudged twice in each interval. Only if it has
 * run a round since the last nudge does the manager get a sign of life. So a loop that hangs is restarted even if the
 * control plane is well, and an idle loop is not.
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

/** Makes a status one line: a line break would begin another assignment of the protocol. */
function oneLine(text: string): string {
  return text.replace(/[\r\n]+/g, ' ');
}
