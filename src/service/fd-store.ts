/**
 * The FdStore lets devices outlive the process: systemd's descriptor store keeps copies of their descriptors.
 *
 * Theory of operation. A TUN device exists as long as a descriptor of it is open. Every opened device is handed to
 * the service manager (FDSTORE=1). The manager keeps it while the daemon is stopped, killed or replaced by a newer
 * version, and hands it to the next process (LISTEN_FDS). In between nobody reads: packets wait in the device's queue
 * until that is full, and nothing passes.
 *
 * The name of a descriptor is made from the device's namespace, name and kind, so the next process can find the one
 * it wants. Then it asks the kernel whether it really is that device (native/adopt.c). A descriptor that nobody
 * wants, or that is another device than its name says, is closed and removed from the store.
 *
 * Without a service manager nothing is kept, and the devices end with the process.
 */
import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  closeDevices,
  openOptions,
  tryDevices,
  type Device,
  type DeviceShelf,
  type DeviceSpec,
  type OpenedQueues,
  type Opening,
} from '../ports/device.ts';
import { isProcessPath } from '../ports/namespace.ts';
import type { Native, NativeError, OpenedDevice } from '../ports/native.ts';
import { isTunKind, portKind } from '../ports/port-kind.ts';
import type { Notifier, StoredFd } from './notify.ts';
import { tellProgress } from './progress.ts';

const NAME_DIGITS = 24;
/**
 * Digits (base64url, 60 bits) in the name of a queue. Names are short, because several queues make many descriptors.
 */
const QUEUE_NAME_DIGITS = 10;
/** Devices, between two words of progress. */
const CLOSED_AT_ONCE = 64;

/**
 * systemd passes all names in one environment variable. The kernel starts no program with a longer variable
 * (MAX_ARG_STRLEN of linux/binfmts.h: 32 pages of 4 KiB, with the final NUL), so the service could not be started
 * again.
 */
export const NAMES_BYTES_MAX = 131_072 - 1 - 'LISTEN_FDNAMES='.length;

/** How long to wait for the service manager to close descriptors. */
const RELEASE_WAIT_MS = 50;
const RELEASE_TRIES = 20;

/** Makes the name of a device in the store: at most 255 characters, no colon (sd_pid_notify_with_fds(3)). */
export function storedName({ kind, name, netnsPath }: DeviceSpec): string {
  const identity = JSON.stringify([netnsPath ?? null, name]);
  return `${kind}-${createHash('sha256').update(identity).digest('hex').slice(0, NAME_DIGITS)}`;
}

/**
 * Makes the names of a device's descriptors, one for each queue. The names contain the number of queues: queues are
 * numbered in the order in which they were attached, so a device with another number of queues is created anew.
 */
export function queueNames(spec: DeviceSpec): string[] {
  const { queues } = spec;
  if (queues === 1) return [storedName(spec)];
  const name = digestOf(spec).toString('base64url').slice(0, QUEUE_NAME_DIGITS);
  return Array.from({ length: queues }, (_, queue) => `${name}-${queue + 1}.${queues}`);
}

function digestOf({ kind, name, netnsPath }: DeviceSpec): Buffer {
  return createHash('sha256')
    .update(JSON.stringify([netnsPath ?? null, name, kind]))
    .digest();
}

/** Counts the bytes that names take in the variable, with their separators. */
function namesBytes(names: Iterable<string>): number {
  let bytes = 0;
  for (const name of names) bytes += name.length + 1;
  return bytes;
}

/** Checks for EINVAL: a kept device of the other kind has the name. */
function isNameTaken(opening: Opening): boolean {
  if (!('error' in opening)) return false;
  return ['EBUSY', 'EINVAL'].includes((opening.error as NativeError).code);
}

export class FdStore implements DeviceShelf {
  private readonly native: Native;
  private readonly notifier: Notifier;
  private readonly log: Logger;
  /** Descriptors from systemd that were not taken yet. */
  private readonly waiting: Map<string, number[]>;
  private readonly adopted = new Map<string, OpenedQueues>();
  private readonly kept = new Set<string>();
  /** A descriptor was removed from the store. */
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
   * Opens and configures the devices. Kept devices are taken over. A device that can't be opened does not prevent the
   * others. Kept devices that nobody wants are closed first, because one of another kind may hold a wanted name.
   * @returns one for each spec, in their order
   * @throws Error if descriptors or memory are short; everything that was opened is closed then
   */
  async openDevices(specs: readonly DeviceSpec[]): Promise<Opening[]> {
    this.discardOthers(specs);
    const tell = tellProgress(this.log, this.notifier, 'opening devices');
    let steps = 0;
    const onStep = (): void => tell({ done: ++steps, of: 2 * specs.length });
    const openings = tryDevices(this.native, specs, this, onStep);
    // The manager closes its copies a little later. Until then the device name is taken.
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

  /** Whether a service manager keeps the devices while no daemon runs. */
  get isKept(): boolean {
    return this.notifier.isConnected;
  }

  private discardOthers(wanted: readonly DeviceSpec[]): void {
    const names = new Set(wanted.flatMap(queueNames));
    const others = [...this.waiting.keys()].filter((name) => !names.has(name));
    for (const name of others) this.discard(name, 'no device of the configuration has it');
  }

  /**
   * Takes over a device that an earlier process left; undefined if it has to be opened.
   * @throws Error if the namespace is named by a process id that stands for another process now; it is never followed
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
      // The device has lost a queue, so its other queues have other numbers now.
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
        const queue = this.adopt(fds[0], there);
        fds.shift();
        // A name must stand for one descriptor only, because `removeFd` removes all with the name.
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

  /**
   * A device in the daemon's namespace that others configure is made for a container runtime, which moves and renames
   * it. Its own name is given to no other, so the descriptor's name in the store tells which it is.
   */
  private adopt(fd: number, there: DeviceSpec): OpenedDevice {
    const options = openOptions(there);
    try {
      return this.native.adoptDevice(fd, options);
    } catch (error) {
      if (there.netnsPath !== undefined || there.configure) throw error;
      return this.native.adoptDevice(fd, { ...options, moved: true });
    }
  }

  /** Stores copies of the descriptors that are not stored yet: all of a device, or none. */
  keep(devices: readonly Device[]): void {
    let bytes = namesBytes(this.kept);
    let left = 0;
    for (const { spec, fds } of devices) {
      // An attached one stays without its descriptors, and the host is kept from it meanwhile. A stream's guest has to
      // connect again anyway.
      if (!isTunKind(portKind(spec.kind))) continue;
      const names = queueNames(spec);
      const next = bytes + namesBytes(names.filter((name) => !this.kept.has(name)));
      if (next > NAMES_BYTES_MAX) {
        left++;
        continue;
      }
      bytes = next;
      for (const [queue, name] of names.entries()) {
        if (this.kept.has(name)) continue;
        this.notifier.storeFd(name, fds[queue]);
        this.kept.add(name);
      }
    }
    if (left > 0 && this.isKept)
      this.log.warn(
        { devices: left },
        'devices are not kept over a restart: there are more descriptors than systemd can hand over; their connections wait until they are opened again',
      );
  }

  /** Removes devices that are no longer wanted from the store. */
  drop(devices: readonly Device[]): void {
    for (const name of devices.flatMap(({ spec }) => queueNames(spec)))
      if (this.kept.delete(name)) this.notifier.removeFd(name);
  }

  /** Closes devices at a stop. The kernel takes 20 ms to close the last descriptor of one; many are closed at once. */
  close(devices: readonly Device[]): void {
    const tell = tellProgress(this.log, this.notifier, 'closing devices');
    for (let at = 0; at < devices.length; at += CLOSED_AT_ONCE) {
      const some = devices.slice(at, at + CLOSED_AT_ONCE);
      closeDevices(this.native, some);
      tell({ done: at + some.length, of: devices.length });
    }
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
