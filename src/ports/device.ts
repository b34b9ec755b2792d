/**
 * TUN and TAP devices: opened in their namespace and, where asked, given addresses, routes and a link.
 *
 * Every device is opened before any is brought up: as long as the link is down no packet is queued, and
 * if one of them can't be had the others vanish again with their descriptors.
 */
import { statSync } from 'node:fs';
import {
  DEVICE_TAP,
  DEVICE_TUN,
  type Native,
  type OpenedDevice,
  type OpenOptions,
} from './native.ts';

/**
 * Packets the kernel queues towards the daemon; what comes to a full queue is lost. The default of 500 holds
 * 160,000 packets a second for 3 ms, and the scheduler may keep the daemon waiting for longer on a busy machine.
 * A packet waits in it no longer than it takes to judge those before it: 15 ms where all is small and full.
 */
const TX_QUEUE_LENGTH = 4000;

/** An address or a destination: 4 or 16 bytes, network order. */
export interface Prefix {
  readonly bytes: Uint8Array;
  readonly prefixLength: number;
}

/** What to open, in terms of the kernel alone. */
export interface DeviceSpec {
  readonly kind: 'tun' | 'tap';
  readonly name: string;
  /** Path of the network namespace; undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  readonly mtu: number;
  readonly persist: boolean;
  /** How many queues it has: one a packet loop. */
  readonly queues: number;
  /** Give it addresses, routes, MTU and an up link; false where someone else does. */
  readonly configure: boolean;
  /** For a TAP that is configured: its MAC address, 6 bytes. */
  readonly macAddress?: Uint8Array;
  readonly addresses: readonly Prefix[];
  /** Destinations that are reached through the device, without a gateway. */
  readonly routes: readonly Prefix[];
}

/** A device with all its queues. */
export interface OpenedQueues extends Omit<OpenedDevice, 'fd'> {
  /** Descriptors, in the order of the kernel's queue numbers. */
  readonly fds: readonly number[];
}

export interface Device extends OpenedQueues {
  readonly spec: DeviceSpec;
  /** The namespace it is in (namespaceAt); undefined: the daemon's own. */
  readonly namespace: string | undefined;
}

/**
 * Tells namespaces apart: a path may stand for another one later.
 * @returns undefined if none is there
 */
export function namespaceAt(path: string): string | undefined {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat === undefined ? undefined : `${stat.dev}:${stat.ino}`;
}

/** Where devices may lie that an earlier process left open. */
export interface DeviceShelf {
  /** The device, which stays the shelf's until all are had; undefined if it has to be opened. */
  take(spec: DeviceSpec): OpenedQueues | undefined;
}

/** Whether two specs are of one device, which may have to be configured differently. */
export function isSameDevice(a: DeviceSpec, b: DeviceSpec): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.netnsPath === b.netnsPath &&
    a.persist === b.persist &&
    a.configure === b.configure
  );
}

export function openOptions({ kind, name, persist, netnsPath, queues }: DeviceSpec): OpenOptions {
  return {
    kind: kind === 'tun' ? DEVICE_TUN : DEVICE_TAP,
    name,
    persist,
    ...(netnsPath === undefined ? {} : { netns: netnsPath }),
    ...(queues > 1 ? { multiQueue: true } : {}),
  };
}

/**
 * Opens all devices, or takes them from the shelf, then configures them.
 * @throws NativeError of the first that fails; by then those that were opened are closed again
 */
export function openDevices(
  native: Native,
  specs: readonly DeviceSpec[],
  shelf?: DeviceShelf,
): Device[] {
  const devices: Device[] = [];
  const opened: Device[] = [];
  try {
    for (const spec of specs) {
      const { netnsPath } = spec;
      // Before it is opened: if the path stands for another one in between, that shows later.
      const namespace = netnsPath === undefined ? undefined : namespaceAt(netnsPath);
      const taken = shelf?.take(spec);
      const device = { ...(taken ?? openQueues(native, spec)), spec, namespace };
      devices.push(device);
      if (taken === undefined) opened.push(device);
      if (spec.queues > 1) native.steerQueues(device.fds[0], openOptions(spec), spec.queues);
    }
    for (const device of devices) configure(native, device);
  } catch (error) {
    closeDevices(native, opened);
    throw error;
  }
  return devices;
}

export function closeDevices(native: Native, devices: readonly Device[]): void {
  for (const { fds } of devices) for (const fd of fds) native.closeFd(fd);
}

/**
 * Gives a device what `next` has beyond what it has now; takes nothing away.
 * @throws NativeError; what was given before it stays
 */
export function extendDevice(native: Native, device: Device, next: DeviceSpec): void {
  if (!next.configure) return;
  const { spec, ifindex } = device;
  if (next.mtu !== spec.mtu) native.setLink(spec.netnsPath, ifindex, { mtu: next.mtu });
  for (const { bytes, prefixLength } of missingFrom(spec.addresses, next.addresses))
    native.addAddress(spec.netnsPath, ifindex, bytes, prefixLength);
  for (const { bytes, prefixLength } of missingFrom(spec.routes, next.routes))
    native.addRoute(spec.netnsPath, ifindex, bytes, prefixLength, undefined);
}

/**
 * Takes from a device what `next` no longer has.
 * @throws NativeError of the first that fails
 */
export function trimDevice(native: Native, device: Device, next: DeviceSpec): void {
  if (!next.configure) return;
  const { spec, ifindex } = device;
  for (const { bytes, prefixLength } of missingFrom(next.routes, spec.routes))
    native.removeRoute(spec.netnsPath, ifindex, bytes, prefixLength, undefined);
  for (const { bytes, prefixLength } of missingFrom(next.addresses, spec.addresses))
    native.removeAddress(spec.netnsPath, ifindex, bytes, prefixLength);
}

/** @throws NativeError; nothing of what was opened is left then */
function openQueues(native: Native, spec: DeviceSpec): OpenedQueues {
  const options = openOptions(spec);
  const { fd, ...device } = native.openDevice(options);
  const fds = [fd];
  try {
    // Queues are numbered by when they were attached, and renumbered when one goes: if others hold some of a
    // device that was there, those opened here get numbers that no loop expects, also once the others are closed.
    if (spec.queues > 1 && !device.created) native.steerQueues(fd, options, 1);
    while (fds.length < spec.queues) fds.push(native.openDevice(options).fd);
  } catch (error) {
    if (device.created && spec.persist) native.deleteLink(spec.netnsPath, device.ifindex);
    for (const open of fds) native.closeFd(open);
    throw error;
  }
  return { ...device, fds };
}

function configure(native: Native, device: Device): void {
  const { spec, ifindex } = device;
  if (!spec.configure) return;
  native.setLink(spec.netnsPath, ifindex, {
    mtu: spec.mtu,
    txQueueLength: TX_QUEUE_LENGTH,
    up: true,
    ...(spec.macAddress === undefined ? {} : { macAddress: spec.macAddress }),
  });
  extendDevice(native, { ...device, spec: { ...spec, addresses: [], routes: [] } }, spec);
}

/** Those of `wanted` that are not in `present`. */
function missingFrom(present: readonly Prefix[], wanted: readonly Prefix[]): Prefix[] {
  const keys = new Set(present.map(keyOf));
  return wanted.filter((prefix) => !keys.has(keyOf(prefix)));
}

function keyOf({ bytes, prefixLength }: Prefix): string {
  return `${bytes.join('.')}/${prefixLength}`;
}
