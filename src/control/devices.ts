/** What the configuration says of devices, in the kernel's terms. */
import type { Logger } from 'pino';
import { addressBits, bytesOf, type Address, type Cidr } from '../addr/address.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import type { InterfaceId } from '../policy/model.ts';
import type { PortSpec } from '../dataplane/messages.ts';
import type { Device, DeviceSpec, Prefix } from '../ports/device.ts';
import type { Config, DeviceConfig, InterfaceConfig } from './config/config.ts';
import { nextHopsOf } from './next-hops.ts';

/** The device of an interface: its addresses, and everything else by way of it. */
export function interfaceDevice(config: Config, { id, device }: InterfaceConfig): DeviceSpec {
  const { addresses } = config.model.interfaces.get(id)!;
  // In the daemon's own namespace a default route would be the host's.
  const routes =
    device.netnsPath === undefined ? [] : defaultRoutes(addresses, leadsIn(config, id, device));
  const spec = deviceSpec(config, device, addresses.map(hostPrefix), routes);
  return device.kind === 'tap' && device.configure ? { ...spec, macAddress: macOf(id) } : spec;
}

/**
 * The MAC address of an interface: locally administered, the same at every start, from its id. Giving the
 * device one spares learning it: an instance that never speaks first could not be reached until then.
 */
function macOf(id: InterfaceId): Uint8Array {
  return Uint8Array.of(0x02, ...Buffer.from(id.slice(-10), 'hex'));
}

/** The uplink's device: its addresses, the configured routes, and a route to each interface's address. */
export function uplinkDevice(config: Config): DeviceSpec | undefined {
  const { uplink } = config;
  if (uplink === undefined) return undefined;
  const own = uplink.addresses.map(({ address, length }) => ({
    bytes: bytes(address),
    prefixLength: length,
  }));
  const hosts = config.interfaces.flatMap(({ id }) =>
    config.model.interfaces.get(id)!.addresses.map(hostPrefix),
  );
  const routes = [...uplink.routes.map(cidrPrefix), ...hosts];
  return deviceSpec(config, uplink.device, own, routes);
}

/** `eth0 in /run/netns/web-1`, for logs and errors. */
export function deviceLabel(spec: DeviceSpec): string {
  return spec.netnsPath === undefined ? spec.name : `${spec.name} in ${spec.netnsPath}`;
}

function deviceSpec(
  { workers }: Config,
  device: DeviceConfig,
  addresses: readonly Prefix[],
  routes: readonly Prefix[],
): DeviceSpec {
  const { kind, name, netnsPath, mtu, persist, configure } = device;
  const queues = workers;
  return { kind, name, netnsPath, mtu, persist, queues, configure, addresses, routes };
}

type Family = Address['family'];

/** By configuration: the first interface of each namespace and family, in the order of the file. */
const firstInterfaces = new WeakMap<Config, ReadonlyMap<string, InterfaceId>>();

/**
 * Whether the interface is the one by which its instance reaches everything, of several in one namespace: the first of
 * the file, as AWS gives the default route to the primary interface.
 */
function leadsIn(
  config: Config,
  id: InterfaceId,
  { netnsPath }: DeviceConfig,
): (family: Family) => boolean {
  let first = firstInterfaces.get(config);
  if (first === undefined) {
    const found = new Map<string, InterfaceId>();
    for (const { id: other, device } of config.interfaces)
      for (const { family } of device.configure
        ? config.model.interfaces.get(other)!.addresses
        : []) {
        const key = `${family} ${device.netnsPath}`;
        if (!found.has(key)) found.set(key, other);
      }
    first = found;
    firstInterfaces.set(config, first);
  }
  return (family: Family): boolean => first.get(`${family} ${netnsPath}`) === id;
}

/** An instance reaches everything through its interface: the gates are its only neighbour. */
function defaultRoutes(
  addresses: readonly Address[],
  leads: (family: Family) => boolean,
): Prefix[] {
  const families = new Set(addresses.map((address) => address.family));
  return [...families].filter(leads).map((family) => ({
    bytes: new Uint8Array(family === 4 ? 4 : 16),
    prefixLength: 0,
  }));
}

function hostPrefix(address: Address): Prefix {
  return { bytes: bytes(address), prefixLength: addressBits(address.family) };
}

function cidrPrefix(cidr: Cidr): Prefix {
  return { bytes: bytes(cidr), prefixLength: cidr.length };
}

function bytes(address: Address): Uint8Array {
  return Uint8Array.from(bytesOf(address));
}

export function logDevice(log: Logger, { spec, offloads }: Device): void {
  log.info(
    { device: spec.name, netns: spec.netnsPath, kind: spec.kind, offloads },
    'device opened',
  );
}

/** What a device would be that can't be had. */
export function absentDevice(spec: DeviceSpec): Device {
  const offloads = { checksum: false, tso4: false, tso6: false, uso: false };
  const { name } = spec;
  const none = {
    ...{ fds: [], ifindex: 0, mtu: 0, isUp: false },
    ...{ created: false, namespace: undefined },
  };
  return { ...none, name, offloads, spec };
}

/** A port that has no device. */
export const NO_DEVICE: PortSpec = { fds: [], isTap: false, takesUso: false, label: 'none' };

/** The port that a device has, as the packet loop wants to know it. */
export function portOf(device: Device, port: number, { uplink }: Config): PortSpec {
  const { fds, spec, offloads } = device;
  const { kind, macAddress } = spec;
  const mtu = knownMtu(device);
  return {
    fds,
    isTap: kind === 'tap',
    takesUso: offloads.uso,
    label: deviceLabel(spec),
    ...(mtu === 0 ? {} : { mtu }),
    ...(macAddress === undefined ? {} : { macAddress }),
    ...(port === UPLINK_PORT && uplink !== undefined ? { nextHops: nextHopsOf(uplink) } : {}),
  };
}

/**
 * Of a device that somebody else configures, the MTU it was found with; 0 if it was not there before: then it has the
 * kernel's first one until somebody gives it another.
 */
function knownMtu(device: Device): number {
  const { spec, created, mtu } = device;
  if (spec.configure) return spec.mtu;
  return created ? 0 : mtu;
}
