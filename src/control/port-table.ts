/**
 * The ports there are: which interface has which, with which device, and what the packet loop is told of them.
 *
 * Port 0 is the uplink. An interface keeps its port as long as it keeps its device; a port that was given up rests:
 * it is not given to another until every flow has been held against the policy without it, so that no flow of one
 * interface can become another's.
 */
import type { Logger } from 'pino';
import type { PortSpec } from '../dataplane/messages.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import {
  extendDevice,
  isSameDevice,
  restoreDevice,
  trimDevice,
  type Device,
  type DeviceSpec,
} from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import type { Config } from './config/config.ts';
import { deviceLabel, interfaceDevice, NO_DEVICE, portOf, uplinkDevice } from './devices.ts';
import type { Attached } from './port-numbers.ts';

export interface PortTableOptions {
  readonly native: Native;
  readonly log: Logger;
  /** Whether the device of a port can't be had. */
  readonly isLost: (port: number) => boolean;
}

export class PortTable {
  private readonly options: PortTableOptions;
  readonly attached = new Map<number, Attached>();
  /** Ports that were given up, until no flow of theirs is left. */
  readonly resting = new Set<number>();
  uplink: Device | undefined;

  constructor(options: PortTableOptions) {
    this.options = options;
  }

  /** The device of a port; of one whose device can't be had: what it would be. */
  deviceAt(port: number): Device | undefined {
    return port === UPLINK_PORT ? this.uplink : this.attached.get(port)?.device;
  }

  /** Puts another device at a port that is in use. */
  replace(port: number, device: Device): void {
    if (port === UPLINK_PORT) this.uplink = device;
    else this.attached.set(port, { ...this.attached.get(port)!, device });
  }

  /** The devices that are open. */
  devices(): Device[] {
    const ports = [UPLINK_PORT, ...this.attached.keys()];
    return ports.flatMap((port) => (this.options.isLost(port) ? [] : (this.deviceAt(port) ?? [])));
  }

  /** By port, for the packet loop, with next hops as `config` has them. */
  specs(config: Config): PortSpec[] {
    const count = 1 + Math.max(0, ...this.attached.keys());
    return Array.from({ length: count }, (_, port) => {
      const device = this.deviceAt(port);
      return device === undefined || this.options.isLost(port)
        ? NO_DEVICE
        : portOf(device, port, config);
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
   * Gives devices what `next` has beyond what they have, and takes what it has no longer. Where that fails, because of
   * what the instance did to its device, it concerns that one alone. To be called when devices that were given up are
   * closed: an interface may get the default route that another had in its namespace.
   */
  configure(next: Config, ports: ReadonlyMap<InterfaceId, number>): void {
    const { native } = this.options;
    const kept = this.kept(next, ports);
    // Taken before given: what one gives up, another may get.
    for (const [device, spec] of kept)
      this.attempt(spec, 'an old address or route could not be removed', () =>
        trimDevice(native, device, spec),
      );
    for (const [device, spec] of kept)
      this.attempt(spec, 'an address or route could not be added', () =>
        extendDevice(native, device, spec),
      );
    for (const entry of next.interfaces) {
      const port = ports.get(entry.id)!;
      const { device } = this.attached.get(port)!;
      const spec = interfaceDevice(next, entry);
      this.attached.set(port, { id: entry.id, name: entry.name, device: { ...device, spec } });
    }
    const uplink = uplinkDevice(next);
    if (this.uplink !== undefined && uplink !== undefined)
      this.uplink = { ...this.uplink, spec: uplink };
  }

  /** Leaves a device that was there before as it was. */
  restore(device: Device): void {
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

  /** Each kept device with its spec in `next`. */
  private kept(next: Config, ports: ReadonlyMap<InterfaceId, number>): [Device, DeviceSpec][] {
    const { isLost } = this.options;
    const pairs: [Device, DeviceSpec][] = next.interfaces.flatMap(
      (entry): [Device, DeviceSpec][] => {
        const port = ports.get(entry.id)!;
        const attached = this.attached.get(port);
        return attached?.id === entry.id && !isLost(port)
          ? [[attached.device, interfaceDevice(next, entry)]]
          : [];
      },
    );
    const uplink = uplinkDevice(next);
    const isKept =
      this.uplink !== undefined &&
      uplink !== undefined &&
      isSameDevice(this.uplink.spec, uplink) &&
      !isLost(UPLINK_PORT);
    return isKept ? [...pairs, [this.uplink!, uplink]] : pairs;
  }
}
