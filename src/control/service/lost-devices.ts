/**
 * Devices that went away under a running daemon: their interface was deleted, or the namespace it was in.
 *
 * That is an ordinary event where instances come and go, so it cuts off the one interface and nothing
 * else: packets to it can't be delivered, and none come from it. It is tried again every RETRY_MS, since a
 * namespace is often made anew under its name; a reload that takes the interface out of the configuration
 * ends that. Its flows stay, until they are idle too long.
 *
 * A namespace whose name was deleted lives on for as long as anybody is in it, and an open TUN counts: the
 * device stays, and whoever is still in there keeps working. It is given up when the name stands
 * for another namespace, since that is where the configuration wants it now.
 */
import type { Logger } from 'pino';
import { namespaceAt, type Device } from '../../ports/device.ts';
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

export class LostDevices {
  private readonly options: LostDevicesOptions;
  private readonly ports = new Map<number, Device>();
  private timer: NodeJS.Timeout | undefined;

  constructor(options: LostDevicesOptions) {
    this.options = options;
  }

  has(port: number): boolean {
    return this.ports.has(port);
  }

  /** Takes note of a device that is gone; the caller closes it. */
  note(port: number, device: Device): void {
    const { log, store } = this.options;
    this.ports.set(port, device);
    store.drop([device]);
    log.error(
      { device: deviceLabel(device.spec), port },
      'a device is gone; its interface is cut off until the device can be opened again',
    );
    this.timer ??= setInterval(() => void this.retry(), RETRY_MS).unref();
  }

  /** Gives up devices whose namespace's name stands for another one by now. */
  look(devices: readonly Device[]): void {
    for (const device of devices) {
      const { netnsPath } = device.spec;
      if (netnsPath === undefined || device.namespace === undefined) continue;
      const now = tryNamespaceAt(netnsPath);
      if (now !== undefined && now !== device.namespace) void this.options.giveUp(device);
    }
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
      try {
        await this.options.reopen(port);
        this.options.log.info({ device: deviceLabel(spec), port }, 'a device is back');
      } catch (error) {
        const why = error instanceof Error ? error.message : String(error);
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
