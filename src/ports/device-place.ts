/**
 * What a device is called now, and where it is: whoever is in its namespace may have given it another name, or moved
 * it, while it stays open here.
 */
import { fstatSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Device } from './device.ts';
import { namespaceAt } from './namespace.ts';
import type { Native } from './native.ts';

export interface DevicePlace {
  readonly name: string;
  /** Path of its namespace, or `net:[4026532]` where none leads there; undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  readonly netnsInode: number;
}

/** Where `ip netns` keeps names. */
const NETNS_DIRECTORY = '/run/netns';

/** Undefined if it can't be told: the device may be gone. */
export function findPlace(native: Native, device: Device): DevicePlace | undefined {
  const [fd] = device.fds;
  if (fd === undefined) return undefined;
  try {
    const { name, netns } = native.identifyDevice(fd, device.spec.kind);
    try {
      return { name, netnsPath: pathOf(netns, device), netnsInode: fstatSync(netns).ino };
    } finally {
      native.closeFd(netns);
    }
  } catch {
    return undefined;
  }
}

function pathOf(netns: number, { spec, namespace }: Device): string | undefined {
  const { dev, ino } = fstatSync(netns, { bigint: true });
  const here = `${dev}:${ino}`;
  if (here === (namespace ?? tryNamespaceAt('/proc/self/ns/net'))) return spec.netnsPath;
  const configured = spec.netnsPath === undefined ? [] : [dirname(spec.netnsPath)];
  for (const directory of new Set([...configured, NETNS_DIRECTORY]))
    for (const name of namesIn(directory)) {
      const path = join(directory, name);
      if (tryNamespaceAt(path) === here) return path;
    }
  return `net:[${ino}]`;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

function tryNamespaceAt(path: string): string | undefined {
  try {
    return namespaceAt(path);
  } catch {
    return undefined;
  }
}
