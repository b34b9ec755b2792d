/**
 * Devices that can't be had: at the start, at a reload, or since their interface was deleted under a running daemon,
 * or the namespace it was in.
 *
 * That is an ordinary event where instances come and go, so it cuts off the one interface and nothing
 * else: packets to it can't be delivered, and none come from it. It is tried again every RETRY_MS, since a
 * namespace is often made later, or anew under its name; a reload that takes the interface out of the configuration
 * ends that. Its flows stay, until they are idle too long.
 *
 * A namespace that is named by a process is never looked up again: its number may be another process's by then, of
 * the host or of another instance. Such a device waits until the configuration names another place.
 *
 * A namespace whose name was deleted lives on for as long as anybody is in it, and an open TUN counts: the
 * device stays, and whoever is still in there keeps working. It is given up when the name stands
 * for another namespace, since that is where the configuration wants it now.
 */
import type { Logger } from 'pino';
import { isProcessPath, namespaceAt, type Device, type DeviceSpec } from '../../ports/device.ts';
import { deviceLabel } from '../devices.ts';
import type { FdStore } from './fd-store.ts';

const RETRY_MS = 1000;

export interface LostDevicesOptions {
  readonly log: Logger;
  readonly store: FdStore;
  /** Opens the device of a port and hands it to the loop; rejects if that can't be done. */
  readonly reopen: (port: number) => Promise<void>;
  /** Takes a device from the loop and closes it, if it is still in use. */
  readonly giveUp: (device: Device) => Promise<void>;
}

interface Waiting {
  readonly spec: DeviceSpec;
  /** Why it can't be had, as it was last told. */
  readonly reason: string;
}

export class LostDevices {
  private readonly options: LostDevicesOptions;
  private readonly ports = new Map<number, Waiting>();
  private timer: NodeJS.Timeout | undefined;

  constructor(options: LostDevicesOptions) {
    this.options = options;
  }

  has(port: number): boolean {
    return this.ports.has(port);
  }

  /** Why a port has no device; undefined if it has one. */
  reasonOf(port: number): string | undefined {
    return this.ports.get(port)?.reason;
  }

  /** Takes note of a device that is gone; the caller closes it. */
  note(port: number, device: Device): void {
    const { log, store } = this.options;
    store.drop([device]);
    log.error(
      { device: deviceLabel(device.spec), port },
      'a device is gone; its interface is cut off until the device can be opened again',
    );
    this.add(port, device.spec, 'it was deleted, or its namespace was');
  }

  /** Takes note of a device that could not be opened. */
  await(port: number, spec: DeviceSpec, error: Error): void {
    this.options.log.error(
      { device: deviceLabel(spec), port, why: error.message },
      'a device can not be had; its interface waits for it, and the others run',
    );
    this.add(port, spec, error.message);
  }

  private add(port: number, spec: DeviceSpec, reason: string): void {
    this.ports.set(port, { spec, reason });
    this.timer ??= setInterval(() => void this.retry(), RETRY_MS).unref();
  }

  /** Gives up devices whose namespace's name stands for another one by now. */
  look(devices: readonly Device[]): void {
    for (const device of devices) {
      const { netnsPath } = device.spec;
      if (netnsPath === undefined || device.namespace === undefined) continue;
      if (isProcessPath(netnsPath)) continue;
      const now = tryNamespaceAt(netnsPath);
      if (now !== undefined && now !== device.namespace) void this.options.giveUp(device);
    }
  }

  /** Tries all again at once: what stood in the way may be gone. */
  retrySoon(): void {
    if (this.ports.size > 0) void this.retry();
  }

  /** Nobody wants the device of a port any more. */
  forget(port: number): void {
    this.ports.delete(port);
    if (this.ports.size === 0) this.stop();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async retry(): Promise<void> {
    for (const [port, { spec }] of this.ports) {
      if (isProcessPath(spec.netnsPath)) continue;
      try {
        await this.options.reopen(port);
        this.options.log.info({ device: deviceLabel(spec), port }, 'a device is back');
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
        // It may have been taken out meanwhile.
        if (this.ports.has(port)) this.ports.set(port, { spec, reason: why });
        this.options.log.debug({ device: deviceLabel(spec), port, why }, 'a device is still gone');
      }
    }
  }
}

function tryNamespaceAt(path: string): string | undefined {
  try {
    return namespaceAt(path);
  } catch {
    return undefined; // A process that is not ours may hide its namespace; nothing is known then.
  }
}
