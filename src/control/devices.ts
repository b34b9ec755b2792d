/** What the configuration says of devices, in the kernel's terms. */
import { addressBits, bytesOf, type Address, type Cidr } from '../addr/address.ts';
import type { DeviceAddress, DeviceSpec } from '../ports/device.ts';
import type { Config, DeviceConfig } from './config.ts';

/** One spec a port: the interfaces in their order, then the uplink if there is one. */
export function deviceSpecs(config: Config): DeviceSpec[] {
  const addressesOf = (id: string): readonly Address[] =>
    config.model.interfaces.get(id)!.addresses;
  const specs = config.interfaces.map(({ id, device }) => {
    const addresses = addressesOf(id);
    return deviceSpec(device, addresses.map(hostAddress), defaultRoutes(addresses));
  });
  const { uplink } = config;
  if (uplink !== undefined) {
    const hosts = config.interfaces.flatMap(({ id }) => addressesOf(id).map(hostAddress));
    const own = uplink.addresses.map(({ address, length }) => ({
      bytes: bytes(address),
      prefixLength: length,
    }));
    specs.push(deviceSpec(uplink.device, own, [...uplink.routes.map(cidrAddress), ...hosts]));
  }
  return specs;
}

/** `eth0 in /run/netns/web-1`, for logs and errors. */
export function deviceLabel(spec: DeviceSpec): string {
  return spec.netnsPath === undefined ? spec.name : `${spec.name} in ${spec.netnsPath}`;
}

function deviceSpec(
  device: DeviceConfig,
  addresses: readonly DeviceAddress[],
  routes: readonly DeviceAddress[],
): DeviceSpec {
  const { kind, name, netnsPath, mtu, persist, configure } = device;
  return { kind, name, netnsPath, mtu, persist, configure, addresses, routes };
}

/** An instance reaches everything through its interface: the gates are its only neighbour. */
function defaultRoutes(addresses: readonly Address[]): DeviceAddress[] {
  const families = new Set(addresses.map((address) => address.family));
  return [...families].map((family) => ({
    bytes: new Uint8Array(family === 4 ? 4 : 16),
    prefixLength: 0,
  }));
}

function hostAddress(address: Address): DeviceAddress {
  return { bytes: bytes(address), prefixLength: addressBits(address.family) };
}

function cidrAddress(cidr: Cidr): DeviceAddress {
  return { bytes: bytes(cidr), prefixLength: cidr.length };
}

function bytes(address: Address): Uint8Array {
  return Uint8Array.from(bytesOf(address));
}
