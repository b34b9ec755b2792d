/**
 * Devices that outlive the process: copies of their descriptors in systemd's descriptor store.
 *
 * Theory of operation. A TUN lives as long as a descriptor of it is open. Every device that is opened is
 * handed to the service manager (FDSTORE=1), which keeps it while the daemon is away, killed or replaced
 * by a newer one, and hands it to the next process (LISTEN_FDS). In between nobody reads: packets wait in
 * the device's queue until that is full, and nothing passes.
 *
 * A descriptor's name is made from what the device is (namespace, name, kind), so the next process knows
 * which one it wants; whether it really is that one is asked of the kernel (native/adopt.c). What nobody
 * wants, or is another device than its name says, is closed and taken out of the store.
 *
 * Without a service manager nothing is kept, and devices go with the process.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  isProcessPath,
  openOptions,
  tryDevices,
  type Device,
  type DeviceShelf,
  type DeviceSpec,
  type OpenedQueues,
  type Opening,
} from '../../ports/device.ts';
import type { Native, NativeError, OpenedDevice } from '../../ports/native.ts';
import type { Notifier, StoredFd } from './notify.ts';

const NAME_DIGITS = 24;

/** How long the service manager is waited for to close what it was told to. */
const RELEASE_WAIT_MS = 50;
const RELEASE_TRIES = 20;

/** The name a device has in the store: at most 255 characters, no colon (sd_pid_notify_with_fds(3)). */
export function storedName({ kind, name, netnsPath }: DeviceSpec): string {
  const identity = JSON.stringify([netnsPath ?? null, name]);
  return `${kind}-${createHash('sha256').update(identity).digest('hex').slice(0, NAME_DIGITS)}`;
}

/**
 * The names its descriptors have, one a queue. They say how many there are: queues are numbered by the order in
 * which they were attached, so a device with another number of them is made anew.
 */
function queueNames(spec: DeviceSpec): string[] {
  const name = storedName(spec);
  const { queues } = spec;
  if (queues === 1) return [name];
  return Array.from({ length: queues }, (_, queue) => `${name}-${queue + 1}of${queues}`);
}

/** EINVAL: a kept device of the other kind has the name. */
function isNameTaken(opening: Opening): boolean {
  if (!('error' in opening)) return false;
  return ['EBUSY', 'EINVAL'].includes((opening.error as NativeError).code);
}

export class FdStore implements DeviceShelf {
  private readonly native: Native;
  private readonly notifier: Notifier;
  private readonly log: Logger;
  /** Handed over by systemd and not taken yet. */
  private readonly waiting: Map<string, number[]>;
  private readonly adopted = new Map<string, OpenedQueues>();
  private readonly kept = new Set<string>();
  /** Something was taken out of the store. */
  private hasReleased = false;

  constructor(native: Native, notifier: Notifier, log: Logger, stored: readonly StoredFd[]) {
    this.native = native;
    this.notifier = notifier;
    this.log = log;
    this.waiting = new Map();
    for (const { fd, name } of stored) {
      const sameName = this.waiting.get(name);
      if (sameName === undefined) this.waiting.set(name, [fd]);
      else sameName.push(fd);
    }
  }

  /**
   * Opens and configures the devices, those that are kept by taking them over; one that can't be had keeps no other
   * from it. What else was handed over is closed first: another kind of device may have the name of one that is wanted.
   * @returns by spec, in their order
   * @throws Error if descriptors or memory are short; nothing of what was opened is left then
   */
  async openDevices(specs: readonly DeviceSpec[]): Promise<Opening[]> {
    this.discardOthers(specs);
    const openings = tryDevices(this.native, specs, this);
    // The manager closes its copies when it gets to it; until then such a name is taken.
    for (let tries = RELEASE_TRIES; tries > 0 && this.hasReleased; tries--) {
      const taken = [...openings.keys()].filter((i) => isNameTaken(openings[i]));
      if (taken.length === 0) break;
      await sleep(RELEASE_WAIT_MS);
      const again = tryDevices(
        this.native,
        taken.map((i) => specs[i]),
        this,
      );
      for (const [i, opening] of again.entries()) openings[taken[i]] = opening;
    }
    return openings;
  }

  /** Whether somebody keeps the devices while nobody runs. */
  get isKept(): boolean {
    return this.notifier.isConnected;
  }

  private discardOthers(wanted: readonly DeviceSpec[]): void {
    const names = new Set(wanted.flatMap(queueNames));
    const others = [...this.waiting.keys()].filter((name) => !names.has(name));
    for (const name of others) this.discard(name, 'no device of the configuration has it');
  }

  /**
   * The device, if an earlier process left it; undefined if it has to be opened.
   * @throws Error if it is named by a process whose number leads elsewhere now: that is never followed
   */
  take(spec: DeviceSpec, there: DeviceSpec): OpenedQueues | undefined {
    const before = this.adopted.get(storedName(spec));
    if (before !== undefined) return before;
    const names = queueNames(spec);
    const queues: OpenedDevice[] = [];
    for (const name of names) {
      const queue = this.takeQueue(name, spec, there);
      if (queue !== undefined) queues.push(queue);
    }
    if (queues.length < names.length) {
      // What is left of a device that has lost a queue has its others under other numbers.
      for (const { fd } of queues) this.native.closeFd(fd);
      for (const name of names) if (this.kept.delete(name)) this.release(name, []);
      return undefined;
    }
    const device = { ...queues[0], fds: queues.map(({ fd }) => fd) };
    this.adopted.set(storedName(spec), device);
    return device;
  }

  private takeQueue(name: string, spec: DeviceSpec, there: DeviceSpec): OpenedDevice | undefined {
    const fds = this.waiting.get(name) ?? [];
    while (fds.length > 0) {
      try {
        const queue = this.native.adoptDevice(fds[0], openOptions(there));
        fds.shift();
        // One name may stand for one descriptor only: `removeFd` takes out all of a name.
        if (fds.length > 0) this.discard(name, 'there is a second one of the name');
        else this.kept.add(name);
        this.waiting.delete(name);
        return queue;
      } catch (error) {
        if (isProcessPath(spec.netnsPath))
          throw new Error(
            `${spec.netnsPath} is not where ${spec.name} was made: the process is another's by now, and is not followed; name the instance's namespace by its path, or a process of it`,
            { cause: error },
          );
        this.log.warn(
          { err: error, device: spec.name, netns: spec.netnsPath },
          'a kept descriptor is not what its name says; the device is opened anew',
        );
        this.release(name, [fds.shift()!]);
      }
    }
    this.waiting.delete(name);
    return undefined;
  }

  /** Has copies of these descriptors kept, unless they are already. */
  keep(devices: readonly Device[]): void {
    for (const { spec, fds } of devices) {
      for (const [queue, name] of queueNames(spec).entries()) {
        if (this.kept.has(name)) continue;
        this.notifier.storeFd(name, fds[queue]);
        this.kept.add(name);
      }
    }
  }

  /** Has devices forgotten that are given up. */
  drop(devices: readonly Device[]): void {
    for (const name of devices.flatMap(({ spec }) => queueNames(spec)))
      if (this.kept.delete(name)) this.notifier.removeFd(name);
  }

  private discard(name: string, why: string): void {
    this.log.warn({ name, why }, 'a kept descriptor is closed');
    this.release(name, this.waiting.get(name) ?? []);
    this.waiting.delete(name);
  }

  private release(name: string, fds: readonly number[]): void {
    this.notifier.removeFd(name);
    for (const fd of fds) this.native.closeFd(fd);
    this.hasReleased = true;
  }
}
