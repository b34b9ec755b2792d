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
 * An attached interface belongs to somebody else, who may delete it, rename it, take it down, or change it. The socket
 * on it would stay, and say nothing of that. So the kernel tells (LinkWatches), and only what it told of is looked at:
 * an interface that comes is guarded before it is opened, which may have to wait for its turn. One that is renamed
 * stays attached as long as it is the one that is meant: found by a match, it has to fit still; known by its name, it
 * is the one that had the name when it was opened.
 *
 * The host's end of a pair that we made is looked at in the same way. Who takes it down or unguards it only has it
 * opened again. Nothing tells when the namespace is there that a pair waits for, so that is tried each second.
 *
 * Where a watch says that it missed something, all interfaces of its namespace are looked at. Where there is none, they
 * are each second. And all are every SLOW_LOOKS seconds: the kernel tells nothing of an alias that is given to an
 * interface that is down, and two that fit must not wait to be up before both are kept from the host.
 */
import type { Logger } from 'pino';
import { changeOfHostSide } from '../ports/host-side-change.ts';
import type { Device, DeviceSpec } from '../ports/device.ts';
import { hostSide, whyGone } from '../ports/host-side.ts';
import { fitsMatch, type Link } from '../ports/link-match.ts';
import type { LinkNews } from '../ports/link-news.ts';
import { isProcessPath, namespaceAt } from '../ports/namespace.ts';
import type { Native } from '../ports/native.ts';
import { portKind } from '../ports/port-kind.ts';
import { deviceLabel } from '../config/device-specs.ts';
import type { FdStore } from '../service/fd-store.ts';
import type { GuardedLinks, Spot } from './guarded-links.ts';
import type { LinkWatches } from './link-watches.ts';

const SLOW_LOOKS = 30;

/** Why an attached interface can't be opened, where the kernel tells when that changes. */
const TOLD: ReadonlySet<string | undefined> = new Set(['ENODEV', 'ENETDOWN', 'ENOTUNIQ']);

export interface LostDevicesOptions {
  readonly native: Pick<Native, 'lookAtDevice' | 'listLinks'>;
  readonly guards: Pick<
    GuardedLinks,
    'hold' | 'follow' | 'followAt' | 'guardEarly' | 'guardStranger' | 'isGuardedFor'
  >;
  /** Tells by `hear`. */
  readonly watches: Pick<LinkWatches, 'has' | 'keep' | 'stop'>;
  readonly log: Logger;
  readonly store: Pick<FdStore, 'drop'>;
  /** The devices that are open. */
  readonly devices: () => readonly Device[];
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
  /** The kernel tells when that may have changed. */
  readonly isTold: boolean;
}

export class LostDevices {
  private readonly options: LostDevicesOptions;
  private readonly ports = new Map<number, Waiting>();
  /** Ports that are to be tried, in this order. */
  private readonly due = new Set<number>();
  private isTrying = false;
  /** Descriptors of devices that are being given up. */
  private readonly leaving = new WeakSet<readonly number[]>();
  private looks = 0;
  private listOf: ListOf;
  private isStopped = false;

  constructor(options: LostDevicesOptions) {
    this.options = options;
    this.listOf = this.listOnce();
  }

  has(port: number): boolean {
    return this.ports.has(port);
  }

  /** Why a port has no device; undefined if it has one. */
  reasonOf(port: number): string | undefined {
    return this.ports.get(port)?.reason;
  }

  /** Records a device that was lost. The caller closes it. */
  note(port: number, device: Device, why = whyGone(device.name)): void {
    const { log, store } = this.options;
    store.drop([device]);
    log.error(
      { device: deviceLabel(device.spec), port, why },
      'a device is gone; its interface is cut off until the device can be opened again',
    );
    this.ports.set(port, { spec: device.spec, reason: why, isTold: false });
  }

  /** Records a device that could not be opened. */
  await(port: number, spec: DeviceSpec, error: Error): void {
    this.options.log.error(
      { device: deviceLabel(spec), port, why: error.message },
      'a device can not be had; its interface waits for it, and the others run',
    );
    this.ports.set(port, { spec, reason: error.message, isTold: isTold(error) });
    // Others may fit as well, and must not wait for the next look.
    this.holdBack(spec, this.listOnce());
  }

  /**
   * Looks at what nobody tells of. To be called once a second. Gives up devices whose namespace name stands for another
   * namespace now, and attached ones that have changed; tries those again that are waited for.
   */
  look(): void {
    if (this.isStopped) return;
    const { guards, watches } = this.options;
    const isSlow = this.looks++ % SLOW_LOOKS === 0;
    this.watch();
    this.listOf = this.listOnce();
    const isMeant = (netns: string | undefined): boolean => isSlow || !watches.has(netns);
    guards.follow(this.listOf, isMeant);
    for (const device of this.options.devices()) {
      const side = hostSide(device.spec);
      if (side !== undefined && isMeant(side.netnsPath)) this.lookAtHostSide(device, side);
      if (!isAttached(device.spec)) this.lookAtPlace(device);
    }
    for (const [port, { spec, isTold: canWait }] of this.ports)
      if (!canWait || !isAttached(spec) || isMeant(spec.netnsPath)) this.due.add(port);
    void this.tryDue();
  }

  /** The kernel has told something of a namespace. */
  hear(netns: string | undefined, { links, unguarded, isAll }: LinkNews): void {
    if (this.isStopped) return;
    const { guards } = this.options;
    const spot: Spot = {
      netns,
      ifindexes: new Set(links.map(({ ifindex }) => ifindex)),
      names: new Set([...links.map(({ name }) => name), ...unguarded]),
    };
    const isMeant = (side: DeviceSpec, ifindex?: number): boolean =>
      side.netnsPath === netns &&
      (isAll ||
        (ifindex !== undefined && spot.ifindexes.has(ifindex)) ||
        (side.match === undefined
          ? spot.names.has(side.name)
          : links.some(
              (link) => fitsMatch(side.match!, link) || guards.isGuardedFor(side, link.ifindex),
            )));
    this.listOf = this.listOnce();
    if (isAll) guards.follow(this.listOf, (one) => one === netns);
    else guards.followAt(spot, this.listOf);
    for (const device of this.options.devices()) {
      const side = hostSide(device.spec);
      if (side !== undefined && isMeant(side, device.ifindex)) this.lookAtHostSide(device, side);
    }
    for (const [port, { spec }] of this.ports) {
      const side = hostSide(spec);
      if (side === undefined || !isMeant(side)) continue;
      this.guardComer(side);
      this.due.add(port);
    }
    void this.tryDue();
  }

  /** Has each namespace watched that has interfaces which the host is kept from, or is to have one. */
  private watch(): void {
    const specs = [
      ...this.options.devices().map(({ spec }) => spec),
      ...[...this.ports.values()].map(({ spec }) => spec),
    ];
    const sides = specs.flatMap((spec) => hostSide(spec) ?? []);
    this.options.watches.keep(new Set(sides.map(({ netnsPath }) => netnsPath)));
  }

  private lookAtPlace(device: Device): void {
    const { netnsPath } = device.spec;
    if (netnsPath === undefined || device.namespace === undefined) return;
    if (isProcessPath(netnsPath)) return;
    const now = tryNamespaceAt(netnsPath);
    if (now !== undefined && now !== device.namespace)
      this.giveUp(device, `its namespace was deleted, and ${netnsPath} is another one now`);
  }

  private lookAtHostSide(device: Device, side: DeviceSpec): void {
    const { native, guards } = this.options;
    let why: string | undefined;
    try {
      const links = this.listOf(side.netnsPath);
      why = changeOfHostSide(native, device, links);
      if (why === undefined && side.match === undefined) guards.guardStranger(side, links);
    } catch (error) {
      why = textOf(error);
    }
    if (why !== undefined) this.giveUp(device, why);
  }

  /** Gives a device up, once: its descriptors may be another's when it is given up again. */
  private giveUp(device: Device, why?: string): void {
    if (this.leaving.has(device.fds)) return;
    this.leaving.add(device.fds);
    void this.options.giveUp(device, why).then(() => {
      for (const [port, { spec }] of this.ports) if (spec === device.spec) this.due.add(port);
      return this.tryDue();
    });
  }

  /**
   * Guards the interface that a device waits for, since opening it has to wait for its turn.
   * @param spec hostSide
   */
  private guardComer(spec: DeviceSpec): void {
    try {
      const links = this.listOf(spec.netnsPath);
      if (this.holdBack(spec, this.listOf) !== undefined) return;
      const { match, name } = spec;
      const link = links.find((one) => (match ? fitsMatch(match, one) : one.name === name));
      if (link !== undefined) this.options.guards.guardEarly(spec, link);
    } catch {
      // What can't be listed can't be opened either, and that is told.
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
    if (this.isStopped) return;
    this.watch();
    this.listOf = this.listOnce();
    for (const port of this.ports.keys()) this.due.add(port);
    void this.tryDue();
  }

  /** Forgets the device of a port, because it is no longer wanted. */
  forget(port: number): void {
    this.ports.delete(port);
  }

  /** Ends it all for good. A device that is lost while the daemon stops must not be opened again. */
  stop(): void {
    this.isStopped = true;
    this.options.watches.stop();
  }

  /** Tries the ports that are due, one after the other. */
  private async tryDue(): Promise<void> {
    if (this.isTrying) return;
    this.isTrying = true;
    for (const port of this.due) {
      this.due.delete(port);
      const spec = this.ports.get(port)?.spec;
      if (this.isStopped) break;
      if (spec !== undefined && !isProcessPath(spec.netnsPath)) await this.tryOne(port, spec);
    }
    this.isTrying = false;
  }

  private async tryOne(port: number, spec: DeviceSpec): Promise<void> {
    const held = this.holdBack(spec, this.listOf);
    if (held !== undefined) {
      this.noteReason(port, held, true);
      return;
    }
    try {
      await this.options.reopen(port);
      this.options.log.info({ device: deviceLabel(spec), port }, 'a device is back');
    } catch (error) {
      this.noteReason(port, textOf(error), isTold(error));
    }
  }

  /** Why what fits a match can't be opened now; undefined: it can be tried. */
  private holdBack(spec: DeviceSpec, listOf: ListOf): string | undefined {
    if (spec.match === undefined) return undefined;
    try {
      return this.options.guards.hold(spec, listOf(spec.netnsPath));
    } catch (error) {
      return textOf(error);
    }
  }

  private noteReason(port: number, why: string, canWait: boolean): void {
    const before = this.ports.get(port);
    // The interface may have been removed meanwhile.
    if (before === undefined) return;
    const { spec } = before;
    const device = deviceLabel(spec);
    this.ports.set(port, { spec, reason: why, isTold: canWait });
    // What fits a match changes by itself, and who did it wants to know why nothing passes.
    if (spec.match !== undefined && why !== before.reason)
      this.options.log.warn({ device, port, why }, 'a device is still gone, for another reason');
    else this.options.log.debug({ device, port, why }, 'a device is still gone');
  }
}

function isAttached({ kind }: DeviceSpec): boolean {
  return portKind(kind).isAttached;
}

function isTold(error: unknown): boolean {
  return TOLD.has((error as NodeJS.ErrnoException).code);
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
