/**
 * What a device is called now, and where it is: whoever is in its namespace may have given it another name, or moved
 * it, while it stays open here.
 */
import { fstatSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Device } from './device.ts';
import { namespaceAt } from './namespace.ts';
import type { ListedLink, Native } from './native.ts';
import { leadsTo } from './pair.ts';

export interface DevicePlace {
  readonly name: string;
  /** Path of its namespace, or `net:[4026532]` where none leads there; undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  /** Undefined: of a pair, if no path leads to it. */
  readonly netnsInode: number | undefined;
  /** Of a pair: its other end. */
  readonly hostEnd?: { readonly device: string; readonly netnsInode: number };
}

const OWN_NAMESPACE = '/proc/self/ns/net';
/** Where `ip netns` keeps names. */
const NETNS_DIRECTORY = '/run/netns';
/** Where Docker does. */
const DOCKER_DIRECTORY = '/run/docker/netns';

/** Undefined if it can't be told: the device may be gone. */
export function findPlace(native: Native, device: Device): DevicePlace | undefined {
  const [fd] = device.fds;
  if (fd === undefined) return undefined;
  try {
    if (device.spec.hostEnd !== undefined) return placeOfPair(native, device);
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
  if (here === (namespace ?? tryNamespaceAt(OWN_NAMESPACE))) return spec.netnsPath;
  const paths = pathsIn([...directoryOf(spec), NETNS_DIRECTORY]);
  return paths.find((path) => tryNamespaceAt(path) === here) ?? `net:[${ino}]`;
}

/** The kernel tells by a number where the instance's end is. Each namespace that it may be in is held against that. */
function placeOfPair(native: Native, { spec, ifindex }: Device): DevicePlace | undefined {
  const link = native.lookAtLink(undefined, ifindex);
  if (link === undefined) return undefined;
  const hostEnd = { device: link.name, netnsInode: statSync(OWN_NAMESPACE).ino };
  const isThere = (path: string | undefined): boolean => leadsToPath(native, link, path);
  const nameIn = (path: string | undefined): string =>
    native.lookAtLink(path, link.link)?.name ?? spec.name;
  if (isThere(undefined))
    return {
      name: nameIn(undefined),
      netnsPath: undefined,
      netnsInode: hostEnd.netnsInode,
      hostEnd,
    };
  const path =
    [spec.netnsPath].find((one) => one !== undefined && isThere(one)) ??
    pathsIn([...directoryOf(spec), NETNS_DIRECTORY, DOCKER_DIRECTORY]).find(isThere);
  return path === undefined
    ? { name: spec.name, netnsPath: `nsid ${link.linkNetnsId}`, netnsInode: undefined, hostEnd }
    : { name: nameIn(path), netnsPath: path, netnsInode: statSync(path).ino, hostEnd };
}

function leadsToPath(native: Native, link: ListedLink, path: string | undefined): boolean {
  try {
    return leadsTo(native, link, path);
  } catch {
    return false; // What is no namespace, or gone, is not where the end is.
  }
}

function directoryOf({ netnsPath }: Device['spec']): readonly string[] {
  return netnsPath === undefined ? [] : [dirname(netnsPath)];
}

function pathsIn(directories: readonly string[]): string[] {
  return [...new Set(directories)].flatMap((directory) =>
    namesIn(directory).map((name) => join(directory, name)),
  );
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
