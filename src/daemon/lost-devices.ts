/**
 * LostDevices handles devices that can't be opened: at the start, at a reload, or after somebody deleted the device
 * or its namespace under a running daemon.
 *
 * That is an ordinary event where instances come and go. So it cuts off only that interface: packets to it can't be
 * delivered, and none come from it. The device is tried again every RETRY_MS, because a namespace is often created
 * later, or again with the same name. A reload that removes the interface ends the retries. Its flows stay until they
 * have been idle too long.
 *
 * A namespace that is named by a process id is never looked up again. By then the id may belong to another process,
 * of the host or of another instance. Such a device waits until the configuration names another place.
 *
 * A namespace whose name was deleted lives as long as a process or an open TUN is in it. So the device stays, and
 * processes in that namespace keep working. The device is given up when the name stands for another namespace, since
 * the configuration wants it there.
 *
 * An attached interface is looked at each second: who made it may delete it, take it down, or change it. The socket on
 * it would stay, and say nothing of that. The interfaces of a namespace are listed once a round for all that are found
 * by a match there (MatchedLinks).
 */
import type { Logger } from 'pino';
import { changeOfAttached } from '../ports/attached.ts';
import type { Device, DeviceSpec } from '../ports/device.ts';
import type { Link } from '../ports/link-match.ts';
import { isProcessPath, namespaceAt } from '../ports/namespace.ts';
import type { Native } from '../ports/native.ts';
import { portKind } from '../ports/port-kind.ts';
import { deviceLabel } from '../config/device-specs.ts';
import type { FdStore } from '../service/fd-store.ts';
import type { MatchedLinks } from './matched-links.ts';

const RETRY_MS = 1000;

export interface LostDevicesOptions {
  readonly native: Pick<Native, 'lookAtDevice' | 'listLinks'>;
  readonly matched: Pick<MatchedLinks, 'hold' | 'follow'>;
  readonly log: Logger;
  readonly store: Pick<FdStore, 'drop'>;
  /** Opens the device of a port and gives it to the loop. Rejects if that fails. */
  readonly reopen: (port: number) => Promise<void>;
  /** Takes a device from the loop and closes it, if it is still in use. */
  readonly giveUp: (device: Device, why?: string) => Promise<void>;
}

/** The interfaces of a namespace. @throws NativeError if they can't be listed */
type ListOf = (netns: string | undefined) => readonly Link[];

interface Waiting {
  readonly spec: DeviceSpec;
  /** Why it can't be opened, as last logged. */
  readonly reason: string;
}

export class LostDevices {
  private readonly options: LostDevicesOptions;
  private readonly ports = new Map<number, Waiting>();
  private timer: NodeJS.Timeout | undefined;
  private isStopped = false;

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

  /** Records a device that was lost. The caller closes it. */
  note(port: number, device: Device, why = 'it was deleted, or its namespace was'): void {
    const { log, store } = this.options;
    store.drop([device]);
    log.error(
      { device: deviceLabel(device.spec), port, why },
      'a device is gone; its interface is cut off until the device can be opened again',
    );
    this.add(port, device.spec, why);
  }

  /** Records a device that could not be opened. */
  await(port: number, spec: DeviceSpec, error: Error): void {
    this.options.log.error(
      { device: deviceLabel(spec), port, why: error.message },
      'a device can not be had; its interface waits for it, and the others run',
    );
    this.add(port, spec, error.message);
    // Others may fit as well, and must not wait for the next round.
    this.holdBack(spec, this.listOnce());
  }

  private add(port: number, spec: DeviceSpec, reason: string): void {
    this.ports.set(port, { spec, reason });
    if (!this.isStopped) this.timer ??= setInterval(() => void this.retry(), RETRY_MS).unref();
  }

  /** Gives up devices whose namespace name stands for another namespace now, and attached ones that have changed. */
  look(devices: readonly Device[]): void {
    const listOf = this.listOnce();
    for (const device of devices) {
      if (portKind(device.spec.kind).isAttached) {
        const why = this.changeOf(device, listOf);
        if (why !== undefined) void this.options.giveUp(device, why).then(() => this.retrySoon());
        continue;
      }
      const { netnsPath } = device.spec;
      if (netnsPath === undefined || device.namespace === undefined) continue;
      if (isProcessPath(netnsPath)) continue;
      const now = tryNamespaceAt(netnsPath);
      if (now !== undefined && now !== device.namespace) void this.options.giveUp(device);
    }
    this.options.matched.follow(devices, listOf);
  }

  private changeOf(device: Device, listOf: ListOf): string | undefined {
    try {
      const { match, netnsPath } = device.spec;
      const links = match === undefined ? undefined : listOf(netnsPath);
      return changeOfAttached(this.options.native, device, links);
    } catch (error) {
      return textOf(error);
    }
  }

  /** Lists the interfaces of each namespace when they are first asked for. */
  private listOnce(): ListOf {
    const lists = new Map<string | undefined, readonly Link[]>();
    return (netns) => {
      const links = lists.get(netns) ?? this.options.native.listLinks(netns);
      lists.set(netns, links);
      return links;
    };
  }

  /** Tries all again at once, because the obstacle may have been removed. */
  retrySoon(): void {
    if (this.ports.size > 0) void this.retry();
  }

  /** Forgets the device of a port, because it is no longer wanted. */
  forget(port: number): void {
    this.ports.delete(port);
    if (this.ports.size === 0) this.endRetries();
  }

  /** Ends the retries for good. A device that is lost while the daemon stops must not be opened again. */
  stop(): void {
    this.isStopped = true;
    this.endRetries();
  }

  private endRetries(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private async retry(): Promise<void> {
    const listOf = this.listOnce();
    for (const [port, { spec }] of this.ports) {
      if (this.isStopped) return;
      if (isProcessPath(spec.netnsPath)) continue;
      const why = this.holdBack(spec, listOf) ?? (await this.tryAt(port));
      if (why === undefined)
        this.options.log.info({ device: deviceLabel(spec), port }, 'a device is back');
      else this.noteReason(port, spec, why);
    }
  }

  /** Why what fits a match can't be opened now; undefined: it can be tried. */
  private holdBack(spec: DeviceSpec, listOf: ListOf): string | undefined {
    if (spec.match === undefined) return undefined;
    try {
      return this.options.matched.hold(spec, listOf(spec.netnsPath));
    } catch (error) {
      return textOf(error);
    }
  }

  private async tryAt(port: number): Promise<string | undefined> {
    try {
      await this.options.reopen(port);
      return undefined;
    } catch (error) {
      return textOf(error);
    }
  }

  private noteReason(port: number, spec: DeviceSpec, why: string): void {
    const device = deviceLabel(spec);
    const before = this.ports.get(port)?.reason;
    // The interface may have been removed meanwhile.
    if (before === undefined) return;
    this.ports.set(port, { spec, reason: why });
    // What fits a match changes by itself, and who did it wants to know why nothing passes.
    if (spec.match !== undefined && why !== before)
      this.options.log.warn({ device, port, why }, 'a device is still gone, for another reason');
    else this.options.log.debug({ device, port, why }, 'a device is still gone');
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function tryNamespaceAt(path: string): string | undefined {
  try {
    return namespaceAt(path);
  } catch {
    return undefined; // A process that is not ours may hide its namespace; nothing is known then.
  }
}
