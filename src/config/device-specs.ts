/** This file translates devices of the configuration into the kernel's terms. */
import { addressBits, bytesOf, type Address, type Cidr } from '../addr/address.ts';
import type { InterfaceId } from '../policy/model.ts';
import type { DeviceSpec, Prefix } from '../ports/device.ts';
import { isPairKind, portKind } from '../ports/port-kind.ts';
import type { Config, DeviceConfig, InterfaceConfig } from './config.ts';
import { hostEndOf } from './host-ends.ts';
import { leaseOf } from './leases.ts';

/** The device of an interface: its addresses, and a default route. */
export function interfaceDevice(config: Config, entry: InterfaceConfig): DeviceSpec {
  const { id, device } = entry;
  const { addresses } = config.model.interfaces.get(id)!;
  // In the daemon's own namespace it would replace the default route of the host.
  const routes =
    device.netnsPath === undefined ? [] : defaultRoutes(addresses, leadsIn(config, id, device));
  const lease = leaseOf(config, entry);
  const kind = portKind(device.kind);
  const isPair = isPairKind(kind);
  const spec = {
    ...deviceSpec(config, device, addresses.map(hostPrefix), routes),
    ...(lease === undefined ? {} : { lease }),
    ...(device.group === undefined ? {} : { socketGroup: device.group }),
    ...(isPair ? { hostEnd: hostEndOf(config, entry) } : {}),
  };
  if (!kind.hasEthernet) return spec;
  if (device.mac !== undefined) {
    const macAddress = Uint8Array.from(Buffer.from(device.mac.replaceAll(':', ''), 'hex'));
    return { ...spec, macAddress, isMacFixed: true };
  }
  return device.configure || isPair ? { ...spec, macAddress: macAddressOf(id) } : spec;
}

/**
 * The MAC address of an interface. It is locally administered, and made from the interface's id, so it is the same at
 * every start. Without a fixed address it would have to be learned, and an instance that never sends first could not be
 * reached.
 */
export function macAddressOf(id: InterfaceId): Uint8Array {
  // An id as AWS made them before 2018 has 8 digits.
  const digits = id.slice('eni-'.length).slice(-10).padStart(10, '0');
  return Uint8Array.of(0x02, ...Buffer.from(digits, 'hex'));
}

/** The same as text: `02:` and five pairs of digits. */
export function macAddressText(id: InterfaceId): string {
  return [...macAddressOf(id)].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

/** The uplink's device: its addresses, the configured routes, and a route to each interface's address. */
export function uplinkDevice(config: Config): DeviceSpec | undefined {
  const { uplink } = config;
  if (uplink === undefined) return undefined;
  const own = uplink.addresses.map(({ address, length }) => ({
    bytes: bytes(address),
    prefixLength: length,
  }));
  // The host keeps its own way to the platform: on a cloud its own metadata is at the same address.
  const hosts = config.interfaces.flatMap(({ id }) => {
    const { addresses, isPlatform } = config.model.interfaces.get(id)!;
    return isPlatform === true ? [] : addresses.map(hostPrefix);
  });
  const toInterfaces = hosts.map((prefix) => ({ ...prefix, isOptional: true }));
  const routes = [...uplink.routes.map(cidrPrefix), ...toInterfaces];
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
  const { kind, name, match, netnsPath, mtu, persist, configure } = device;
  const found = match === undefined ? {} : { match };
  const queues = workers;
  return { kind, name, ...found, netnsPath, mtu, persist, queues, configure, addresses, routes };
}

type Family = Address['family'];

/** For each configuration, the first interface of each namespace and family, in the order of the file. */
const firstInterfaces = new WeakMap<Config, ReadonlyMap<string, InterfaceId>>();

/**
 * Whether the instance's default route goes through this interface. Of several interfaces in one namespace it is the
 * first of the file, as AWS uses the primary interface.
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

/** The default routes of an instance. Its interface is its only way out. */
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
