/**
 * This file makes the names that doors give to what they add: the same runtime and the same ids of its own make the
 * same names at each call, so that a call can be made again, and a later one finds what an earlier one made.
 *
 * The MAC address follows from the interface's id (config/device-specs.ts `macAddressText`). The daemon's answer has it
 * for a TUN too, for a runtime that insists on one.
 */
import { sha256, stableId } from '../policy/ids.ts';

/** A device's name has at most 15 bytes (IFNAMSIZ, linux/if.h). `sg` and 12 digits leave room for one more. */
const DEVICE_DIGITS = 12;

/** The id of the interface that a runtime knows by these ids of its own. */
export function interfaceId(runtime: string, ...ids: string[]): string {
  return stableId('eni', runtime, ...ids);
}

/** The name of a device in the host's namespace, for the interface of this id. */
export function hostDeviceName(interfaceId: string): string {
  return `sg${sha256(interfaceId).slice(0, DEVICE_DIGITS)}`;
}

/** `10.77.0.5` → `10.77.0.5/32`: how runtimes that know subnets alone are told of one address. */
export function hostPrefix(address: string): string {
  return `${address}/${isIpv6(address) ? 128 : 32}`;
}

export function isIpv6(address: string): boolean {
  return address.includes(':');
}
