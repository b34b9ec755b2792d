/**
 * The PortTable knows which interface has which port and which device. It opens and closes the devices, and describes
 * the ports for the packet loop.
 *
 * A change of the configuration takes four steps, each a method: `plan` (which ports), `open` (the new devices),
 * `take` (what has which port from now on), and, once the packet loops know the ports, `release` (the devices that are
 * no longer used). The first two change nothing in the table, and may throw. Who calls them puts the policy in force
 * between `take` and `release`.
 *
 * Port 0 is the uplink. An interface keeps its port as long as it keeps its device. A port that was given up is not
 * assigned again until every flow has been judged by the policy without it. So no flow of one interface can become a
 * flow of another.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import type { PortSpec } from '../dataplane/messages.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import {
  closeDevices,
  extendDevice,
  hasOurMtu,
  isSameDevice,
  openDevices,
  restoreDevice,
  trimDevice,
  type Device,
  type DeviceSpec,
  type Opening,
} from '../ports/device.ts';
import { findPlace, type DevicePlace } from '../ports/device-place.ts';
import type { Native } from '../ports/native.ts';
import type { FastPathPart } from '../ports/native-offload.ts';
import { removePair, removeStrays } from '../ports/pair.ts';
import type { Config } from '../config/config.ts';
import { isOfEstate } from '../estate/rows.ts';
import { deviceLabel, interfaceDevice, uplinkDevice } from '../config/device-specs.ts';
import { pairMark } from '../config/host-ends.ts';
import type { WaitingDevice } from '../queries/interfaces-view.ts';
import type { FdStore } from '../service/fd-store.ts';
import { describePart, joinFastPath, type FastPathChoice } from './choose-fast-path.ts';
import { openAdded, refuseStart, type AddedDevices } from './device-changes.ts';
import type { GuardedLinks } from './guarded-links.ts';
import type { LostDevices } from './lost-devices.ts';
import { absentDevice, logDevice, NO_DEVICE, portOf, warnOfLacking } from './port-specs.ts';
import { assignPorts, type Attached, type PortNumbers } from './port-numbers.ts';

export interface PortTableOptions {
  readonly native: Native;
  readonly log: Logger;
  /** Knows the ports whose device can't be opened. */
  readonly lost: LostDevices;
  /** Keeps the host from what is attached. */
  readonly guards: Pick<GuardedLinks, 'note' | 'release' | 'sweep'>;
  /** Keeps devices beyond the process. */
  readonly store: FdStore;
  /** The kernel's fast path. */
  readonly fastPath: () => FastPathChoice;
}

/** Which ports the interfaces of another configuration get. */
export interface PortPlan extends PortNumbers {
  /** Interfaces and uplink are the same objects as those in force: there is nothing to open, close or configure. */
  readonly isSame: boolean;
  /** Ports that are given up, with what has them. */
  readonly removed: readonly (readonly [port: number, Attached])[];
}

/** The devices of another configuration. */
export interface PortDevices extends AddedDevices {
  /** Ports that are given up, and the uplink's if it gets another device. */
  readonly givenUp: readonly number[];
  /** Open devices that nothing uses any more. */
  readonly closed: readonly Device[];
  /** What nothing uses any more, open or not. */
  readonly dropped: readonly DeviceSpec[];
}

/** All of a configuration that ports and devices are made from. */
interface Places {
  readonly interfaces: Config['interfaces'];
  readonly members: Config['model']['interfaces'];
  readonly uplink: Config['uplink'];
}

const NO_DEVICES: PortDevices = {
  ...{ openings: [], opened: [], givenUp: [], closed: [], dropped: [] },
  uplink: undefined,
};

export class PortTable {
  private readonly options: PortTableOptions;
  readonly attached = new Map<number, Attached>();
  /** Ports that were given up and may still have flows. */
  readonly resting = new Set<number>();
  uplink: Device | undefined;
  /** What the devices were last configured for; undefined while they are being changed. */
  private settled: (Places & Pick<PortPlan, 'ports'>) | undefined;
  /** The ports as they were described last; undefined if a device has changed since. */
  private described: (Places & { readonly specs: readonly PortSpec[] }) | undefined;

  constructor(options: PortTableOptions) {
    this.options = options;
  }

  /** The device of a port, or a placeholder if it can't be opened. */
  deviceAt(port: number): Device | undefined {
    return port === UPLINK_PORT ? this.uplink : this.attached.get(port)?.device;
  }

  /** The devices that are open. */
  devices(): Device[] {
    const { lost } = this.options;
    const ports = [UPLINK_PORT, ...this.attached.keys()];
    return ports.flatMap((port) => (lost.has(port) ? [] : (this.deviceAt(port) ?? [])));
  }

  /** Interfaces, and the uplink, whose device can't be opened yet. */
  waiting(): WaitingDevice[] {
    return this.names().flatMap(([port, name]) => {
      const reason = this.options.lost.reasonOf(port);
      const device = this.deviceAt(port);
      return reason === undefined || device === undefined
        ? []
        : [{ name, device: deviceLabel(device.spec), reason }];
    });
  }

  /** The current name and namespace of a port's device; undefined if unknown, or if it is not open. */
  placeOf(port: number): DevicePlace | undefined {
    const device = this.openAt(port);
    return device === undefined ? undefined : findPlace(this.options.native, device);
  }

  /** What part a port's device has in the fast path; undefined if it is not open. */
  partOf(port: number): FastPathPart | undefined {
    const device = this.openAt(port);
    return device === undefined ? undefined : describePart(this.options.fastPath(), device);
  }

  private openAt(port: number): Device | undefined {
    return this.options.lost.has(port) ? undefined : this.deviceAt(port);
  }

  /** Describes all ports for the packet loop, with the next hops of `config`; the same object while all is the same. */
  specs(config: Config): readonly PortSpec[] {
    const places = placesOf(config);
    if (this.described === undefined || !isSamePlaces(this.described, places))
      this.described = { ...places, specs: this.describe(config) };
    return this.described.specs;
  }

  private describe(config: Config): readonly PortSpec[] {
    const count = 1 + Math.max(0, ...this.attached.keys());
    return Array.from({ length: count }, (_, port) => {
      const device = this.deviceAt(port);
      const member = config.model.interfaces.get(this.attached.get(port)?.id ?? '');
      const isFenced = member !== undefined && isOfEstate(member);
      return device === undefined || this.options.lost.has(port)
        ? { ...NO_DEVICE, isFenced }
        : {
            ...portOf(device, port, config, this.options.fastPath().path?.placeOf(device)),
            isFenced,
          };
    });
  }

  numbers(): Map<InterfaceId, number> {
    return new Map([...this.attached].map(([port, { id }]) => [id, port]));
  }

  names(): [number, string][] {
    const names = [...this.attached].map(([port, { name }]): [number, string] => [port, name]);
    return this.uplink === undefined ? names : [[UPLINK_PORT, 'uplink'], ...names];
  }

  /**
   * Opens all devices of the first configuration.
   * @throws Error if every device is refused, or if descriptors or memory are short
   */
  async start(config: Config): Promise<void> {
    const { store, log, guards } = this.options;
    const uplink = uplinkDevice(config);
    const specs = config.interfaces.map((entry) => interfaceDevice(config, entry));
    this.removeStrays(config, specs);
    const openings = await store.openDevices(uplink === undefined ? specs : [...specs, uplink]);
    refuseStart(openings);
    guards.sweep(openings.map(({ spec }) => spec));
    config.interfaces.forEach((entry, i) => this.attach(i + 1, entry, openings[i]));
    if (uplink !== undefined) this.uplink = this.had(UPLINK_PORT, openings[specs.length]);
    for (const device of this.devices()) logDevice(log, device);
  }

  /** Has the open devices outlive the process, where something keeps them. */
  keep(): void {
    this.options.store.keep(this.devices());
  }

  /** Closes all devices. Those that outlive the process stay as they are, for the next process. */
  stop(): void {
    const { store } = this.options;
    const devices = this.devices();
    if (!store.isKept) for (const device of devices) this.restore(device);
    store.close(devices);
    const specs = [...this.attached.values()].map(({ device }) => device.spec);
    const ending = specs.filter(({ persist }) => !persist);
    if (!store.isKept) this.removePairs(ending, devices);
  }

  /** Finds the ports of `next`. @throws RangeError if there are too many interfaces */
  plan(next: Config): PortPlan {
    const { settled } = this;
    if (settled !== undefined && isSamePlaces(settled, placesOf(next)))
      return { ports: settled.ports, added: [], removed: [], isSame: true };
    const numbers = assignPorts(next, this.attached, this.resting);
    const removed = [...this.attached].filter(([port, { id }]) => numbers.ports.get(id) !== port);
    return { ...numbers, removed, isSame: false };
  }

  /**
   * Opens the devices that `next` has beyond what there is.
   * @throws Error if descriptors or memory are short; nothing of what was opened is left then
   */
  open(next: Config, { added, removed, isSame }: PortPlan): PortDevices {
    if (isSame) return NO_DEVICES;
    const { lost } = this.options;
    const openAt = (ports: readonly number[]): Device[] =>
      ports.flatMap((port) => (lost.has(port) ? [] : (this.deviceAt(port) ?? [])));
    const ports = removed.map(([port]) => port);
    const before = { givenUp: openAt(ports), uplink: this.uplink?.spec };
    const devices = openAdded(this.options, next, added, before);
    const losesUplink = devices.uplink !== undefined && this.uplink !== undefined;
    const givenUp = losesUplink ? [...ports, UPLINK_PORT] : ports;
    const isTakenOver = (device: Device): boolean =>
      devices.openings.some((one) => 'device' in one && one.device === device);
    const closed = openAt(givenUp).filter((device) => !isTakenOver(device));
    const dropped = ports
      .flatMap((port) => this.deviceAt(port)?.spec ?? [])
      .filter((spec) => !devices.openings.some((one) => isSameDevice(one.spec, spec)));
    return { ...devices, givenUp, closed, dropped };
  }

  /** Has the ports as planned. Ports that are given up rest until `rested` is called. */
  take({ added, removed, isSame }: PortPlan, { openings, uplink, givenUp }: PortDevices): void {
    if (isSame) return;
    this.settled = undefined;
    this.described = undefined;
    for (const port of givenUp) this.options.lost.forget(port);
    for (const [port] of removed) {
      this.attached.delete(port);
      this.resting.add(port);
    }
    added.forEach(([port, entry], i) => this.attach(port, entry, openings[i]));
    if (uplink === 'none') this.uplink = undefined;
    else if (uplink !== undefined) this.uplink = this.had(UPLINK_PORT, uplink);
  }

  /**
   * Closes devices that were given up. The packet loops must not use them any more. Attached ones are the host's again:
   * this is the only place where that happens, so that nothing else than a change of the configuration opens them.
   * Pairs that we made are removed.
   */
  release({ opened, closed, dropped }: PortDevices): void {
    const { native, store, guards } = this.options;
    store.keep(opened);
    store.drop(closed);
    for (const device of closed) {
      this.restore(device);
      this.options.fastPath().path?.detach(device);
    }
    closeDevices(native, closed);
    const kept = [...this.attached.values()].map(({ device }) => device.spec);
    const names = new Set(kept.map(({ hostEnd }) => hostEnd?.name));
    const ending = dropped.filter(({ hostEnd }) => !names.has(hostEnd?.name));
    this.removePairs(ending, closed);
    guards.release(dropped, kept);
  }

  /** Lets ports be assigned again: no flow of theirs is left that the policy in force did not judge. */
  rested({ removed }: PortPlan): void {
    for (const [port] of removed) this.resting.delete(port);
  }

  /**
   * Notes that the device of a port was lost, and why if that is known.
   * @returns the device, to be closed once the packet loops do not use it; undefined if there is none
   */
  lose(port: number, why?: string): Device | undefined {
    const { lost } = this.options;
    const device = this.deviceAt(port);
    if (device === undefined || lost.has(port)) return undefined;
    lost.note(port, device, why);
    this.options.fastPath().path?.detach(device);
    this.described = undefined;
    return device;
  }

  /**
   * Opens a lost device again.
   * @returns false if the port waits for none
   * @throws NativeError if it still can't be opened
   */
  reopen(port: number): boolean {
    const { native, lost, guards, store, log } = this.options;
    const before = this.deviceAt(port);
    if (before === undefined || !lost.has(port)) return false;
    const [device] = openDevices(native, [before.spec]);
    warnOfLacking(log, device);
    guards.note(device);
    joinFastPath(this.options.fastPath().path, device, log);
    if (port === UPLINK_PORT) this.uplink = device;
    else this.attached.set(port, { ...this.attached.get(port)!, device });
    lost.forget(port);
    this.described = undefined;
    store.keep([device]);
    return true;
  }

  /**
   * Configures devices: adds what is new in `next` and removes what it no longer has. An instance can change its own
   * device so that this fails; then only that device is affected. Call it after given-up devices are closed: an
   * interface may get the default route that another had in its namespace.
   * @returns whether the packet loops have to be told of a device that is kept: of its MTU, MAC address or lease
   */
  configure(next: Config, { ports, isSame }: PortPlan): boolean {
    if (isSame) return false;
    const { native } = this.options;
    const specs = next.interfaces.map((entry) => interfaceDevice(next, entry));
    const uplink = uplinkDevice(next);
    const kept = this.kept(next, ports, specs, uplink);
    const isOther = kept.some(([{ spec }, then]) => !isSameToLoops(spec, then));
    // Remove first, then add: one device may get what another gives up.
    for (const [device, spec] of kept)
      this.attempt(spec, 'an old address or route could not be removed', () =>
        trimDevice(native, device, spec),
      );
    for (const [device, spec] of kept)
      this.attempt(spec, 'an address or route could not be added', () =>
        extendDevice(native, device, spec),
      );
    next.interfaces.forEach(({ id, name }, i) => {
      const port = ports.get(id)!;
      const { device } = this.attached.get(port)!;
      this.attached.set(port, { id, name, device: { ...device, spec: specs[i] } });
    });
    if (this.uplink !== undefined && uplink !== undefined)
      this.uplink = { ...this.uplink, spec: uplink };
    this.settled = { ...placesOf(next), ports };
    this.described = undefined;
    return isOther;
  }

  private attach(port: number, { id, name }: Config['interfaces'][number], opening: Opening): void {
    this.attached.set(port, { id, name, device: this.had(port, opening) });
  }

  /** The device that was opened, or a placeholder until it can be opened. */
  private had(port: number, opening: Opening): Device {
    if ('device' in opening) {
      this.options.guards.note(opening.device);
      joinFastPath(this.options.fastPath().path, opening.device, this.options.log);
      return opening.device;
    }
    this.options.lost.await(port, opening.spec, opening.error);
    return absentDevice(opening.spec);
  }

  /** @param closed devices that were open until now */
  private removePairs(specs: readonly DeviceSpec[], closed: readonly Device[]): void {
    const open = new Set(closed.map(({ spec }) => spec));
    for (const spec of specs)
      if (spec.hostEnd !== undefined)
        this.attempt(spec, 'its veth pair could not be removed', () =>
          removePair(this.options.native, spec, open.has(spec)),
        );
  }

  /** Removes pairs of an earlier process that no interface has any more. */
  private removeStrays(config: Config, specs: readonly DeviceSpec[]): void {
    const { native, log } = this.options;
    const wanted = new Set(specs.flatMap(({ hostEnd }) => hostEnd?.name ?? []));
    try {
      const interfaces = removeStrays(native, pairMark(config), wanted);
      if (interfaces.length > 0)
        log.info({ interfaces }, 'removed veth pairs that an earlier daemon left');
    } catch (error) {
      log.warn({ err: error }, 'veth pairs that an earlier daemon left could not be looked for');
    }
  }

  /** Restores a device that existed before the daemon to what it was. */
  private restore(device: Device): void {
    this.attempt(device.spec, 'it could not be left as it was before', () =>
      restoreDevice(this.options.native, device),
    );
  }

  private attempt(spec: DeviceSpec, what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.options.log.warn({ err: error, device: deviceLabel(spec) }, what);
    }
  }

  /** Pairs each kept device with its spec in `next`. @param specs of its interfaces */
  private kept(
    next: Config,
    ports: ReadonlyMap<InterfaceId, number>,
    specs: readonly DeviceSpec[],
    uplink: DeviceSpec | undefined,
  ): [Device, DeviceSpec][] {
    const { lost } = this.options;
    const pairs = next.interfaces.flatMap(({ id }, i): [Device, DeviceSpec][] => {
      const port = ports.get(id)!;
      const attached = this.attached.get(port);
      return attached?.id === id && !lost.has(port) ? [[attached.device, specs[i]]] : [];
    });
    const isKept =
      this.uplink !== undefined &&
      uplink !== undefined &&
      isSameDevice(this.uplink.spec, uplink) &&
      !lost.has(UPLINK_PORT);
    return isKept ? [...pairs, [this.uplink!, uplink]] : pairs;
  }
}

function isSameToLoops(a: DeviceSpec, b: DeviceSpec): boolean {
  return (
    (a.mtu === b.mtu || !hasOurMtu(b)) &&
    a.isMacFixed === b.isMacFixed &&
    a.macAddress?.join() === b.macAddress?.join() &&
    isDeepStrictEqual(a.lease, b.lease)
  );
}

function placesOf({ interfaces, model, uplink }: Config): Places {
  return { interfaces, members: model.interfaces, uplink };
}

function isSamePlaces(a: Places, b: Places): boolean {
  return a.interfaces === b.interfaces && a.members === b.members && a.uplink === b.uplink;
}
