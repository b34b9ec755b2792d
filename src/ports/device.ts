/**
 * Devices: opened in their namespace and, where asked, given addresses, routes and a link.
 *
 * Every device is opened before any is brought up: as long as the link is down no packet is queued, and
 * if one of them can't be had the others vanish again with their descriptors.
 */
import type { Lease } from '../wire/lease.ts';
import { removeSocket, socketAt } from './file-identity.ts';
import { findOnly } from './find-link.ts';
import type { LinkMatch } from './link-match.ts';
import { hostSide, type HostEnd } from './host-side.ts';
import { inNamespace } from './namespace.ts';
import type { Native, OpenedDevice, OpenOptions } from './native.ts';
import { atInstanceEnd, havePair, removePair } from './pair.ts';
import { isPairKind, isTunKind, portKind, type PortKindName } from './port-kind.ts';
import { shareSocket } from './socket-group.ts';
import { systemError } from './system-error.ts';

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
  /** A route that may be missing where others have one there: one address must not keep a device from all others. */
  readonly isOptional?: boolean;
}

/** What to open, in terms of the kernel alone. */
export interface DeviceSpec {
  readonly kind: PortKindName;
  /** Name of the interface; of a stream the path of its socket; with `match` a label (matchLabel). */
  readonly name: string;
  /** Which interface is attached, where its name alone does not say it. */
  readonly match?: LinkMatch;
  /** Path of the network namespace; undefined: the daemon's own. */
  readonly netnsPath: string | undefined;
  readonly mtu: number;
  readonly persist: boolean;
  /** How many queues it has: one a packet loop. */
  readonly queues: number;
  /** Give it addresses, routes, MTU and an up link; false where someone else does. */
  readonly configure: boolean;
  /** MAC address of the instance, 6 bytes: what a TAP that is configured gets, or what it is known to be. */
  readonly macAddress?: Uint8Array;
  /** No frame of the instance may come from another MAC address. */
  readonly isMacFixed?: boolean;
  readonly addresses: readonly Prefix[];
  /** Destinations that are reached through the device, without a gateway. */
  readonly routes: readonly Prefix[];
  /** Who may connect to a stream's socket beside the daemon's user, by name or number. */
  readonly socketGroup?: string;
  /** What the instance is told on its link; absent: nothing. */
  readonly lease?: Lease;
  /** Of a pair that we make: its other end. */
  readonly hostEnd?: HostEnd;
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
  /** Of a stream: tells its socket from another that has the path later. */
  readonly socket?: string | undefined;
  /** Of one that was there before it was opened, and is configured here. */
  readonly found?: Found;
  /** Optional routes that it was not given. */
  readonly lacking?: readonly Prefix[];
}

/** What a device had already of what it is given, so that it can be left as it was. */
interface Found {
  readonly mtu: number;
  readonly isUp: boolean;
  /** Addresses and routes (keyOf). */
  readonly addresses: Set<string>;
  readonly routes: Set<string>;
}

/** Whether the MTU is what the configuration says: nobody else says anything of it. */
export function hasOurMtu({ kind, configure }: DeviceSpec): boolean {
  const row = portKind(kind);
  return configure || row.isStream || isPairKind(row);
}

/** Where devices may lie that an earlier process left open. */
export interface DeviceShelf {
  /**
   * The device; undefined if it has to be opened.
   * @param there as `spec`, with a path of the namespace that can stand for no other
   */
  take(spec: DeviceSpec, there: DeviceSpec): OpenedQueues | undefined;
}

/** Whether two specs are of one device, which may have to be configured differently. */
export function isSameDevice(a: DeviceSpec, b: DeviceSpec): boolean {
  return (
    a.kind === b.kind &&
    a.name === b.name &&
    a.netnsPath === b.netnsPath &&
    a.persist === b.persist &&
    a.configure === b.configure &&
    a.socketGroup === b.socketGroup
  );
}

export function openOptions(spec: DeviceSpec): OpenOptions {
  const { kind, name, persist, netnsPath, queues } = hostSide(spec) ?? spec;
  return {
    kind,
    name,
    persist,
    ...(netnsPath === undefined ? {} : { netns: netnsPath }),
    ...(queues > 1 ? { queues } : {}),
  };
}

/** What came of opening a device: the device, or why it can't be had. */
export type Opening =
  | { readonly spec: DeviceSpec; readonly device: Device }
  | { readonly spec: DeviceSpec; readonly error: Error };

/** What is short for all devices, and not for one of them. */
const SHORTAGES: readonly string[] = ['EMFILE', 'ENFILE', 'ENOMEM'];

function asError(error: unknown): Error {
  if (!(error instanceof Error)) throw error;
  if (SHORTAGES.includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  return error;
}

/**
 * Opens all devices, or takes them from the shelf, then configures them. One that can't be had keeps no other
 * from it, and leaves nothing.
 * @param onStep called twice a device: with thousands of them all takes a while
 * @returns by spec, in their order
 * @throws Error if descriptors or memory are short; nothing of what was opened is left then
 */
export function tryDevices(
  native: Native,
  specs: readonly DeviceSpec[],
  shelf?: DeviceShelf,
  onStep?: () => void,
): Opening[] {
  const opened: Device[] = [];
  try {
    const openings = specs.map((spec): Opening => {
      onStep?.();
      try {
        const { device, isTaken } = openDevice(native, spec, shelf);
        if (isTaken) return { spec, device };
        opened.push(device);
        if (device.created || !spec.configure || spec.hostEnd !== undefined)
          return { spec, device };
        const { mtu, isUp } = device;
        const found = { mtu, isUp, addresses: new Set<string>(), routes: new Set<string>() };
        return { spec, device: { ...device, found } };
      } catch (error) {
        return { spec, error: asError(error) };
      }
    });
    return openings.map((opening): Opening => {
      onStep?.();
      if (!('device' in opening)) return opening;
      const { spec, device } = opening;
      try {
        return { spec, device: { ...device, lacking: configure(native, device) } };
      } catch (error) {
        const why = asError(error);
        const index = opened.findIndex(({ fds }) => fds === device.fds);
        if (index >= 0) opened.splice(index, 1);
        discardDevices(native, [device]);
        return { spec, error: why };
      }
    });
  } catch (error) {
    discardDevices(native, opened);
    throw error;
  }
}

/**
 * Opens all devices, as tryDevices, or none.
 * @throws Error of the first that fails; by then those that were opened are closed again
 */
export function openDevices(native: Native, specs: readonly DeviceSpec[]): Device[] {
  const openings = tryDevices(native, specs);
  const devices = openings.flatMap((one) => ('device' in one ? [one.device] : []));
  const failed = openings.find((one) => 'error' in one);
  if (failed === undefined) return devices;
  discardDevices(native, devices);
  throw failed.error;
}

function openDevice(
  native: Native,
  spec: DeviceSpec,
  shelf: DeviceShelf | undefined,
): { readonly device: Device; readonly isTaken: boolean } {
  const open = (namespace: string | undefined, held: string | undefined) => {
    const link = spec.match === undefined ? undefined : findOnly(native, spec.match, held);
    const there = { ...spec, netnsPath: held, name: link?.name ?? spec.name };
    const taken = shelf?.take(spec, there);
    const isPair = spec.hostEnd !== undefined;
    const opened = taken ?? (isPair ? openPair(native, spec, held) : openQueues(native, there));
    const device = { ...opened, spec, namespace };
    try {
      if (link !== undefined && link.ifindex !== device.ifindex)
        throw systemError('EAGAIN', 'open', `another interface is called ${link.name} by now`);
      // One that was moved (index 0) has the program that shares its packets out still.
      if (spec.queues > 1 && device.ifindex !== 0)
        native.steerQueues(device.fds[0], openOptions(there), spec.queues);
    } catch (error) {
      discardDevices(native, [device]);
      throw error;
    }
    return { device, isTaken: taken !== undefined };
  };
  const { netnsPath } = spec;
  if (netnsPath === undefined) {
    const opened = open(undefined, undefined);
    if (!portKind(spec.kind).isStream) return opened;
    const device = { ...opened.device, socket: socketAt(spec.name) };
    try {
      if (spec.socketGroup !== undefined) shareSocket(spec.name, spec.socketGroup);
    } catch (error) {
      closeDevices(native, [device]);
      throw error;
    }
    return { ...opened, device };
  }
  return inNamespace(netnsPath, (held, namespace) => open(namespace, held));
}

export function closeDevices(native: Native, devices: readonly Device[]): void {
  for (const { socket, spec } of devices) if (socket !== undefined) removeSocket(spec.name, socket);
  native.closeFds(Int32Array.from(devices.flatMap(({ fds }) => fds)));
}

/** Closes devices that were just opened. Pairs that were made for them are removed. */
function discardDevices(native: Native, devices: readonly Device[]): void {
  closeDevices(native, devices);
  for (const { spec, created } of devices)
    if (created && spec.hostEnd !== undefined) removePair(native, spec, true);
}

/**
 * Gives a device what `next` has beyond what it has now; takes nothing away.
 * @throws NativeError; what was given before it stays
 */
export function extendDevice(native: Native, device: Device, next: DeviceSpec): void {
  const { spec } = device;
  if (next.hostEnd !== undefined) setHostEnd(native, device, next);
  if (!next.configure) return;
  const addresses = missingFrom(spec.addresses, next.addresses);
  const routes = missingFrom(spec.routes, next.routes);
  if (next.mtu === spec.mtu && addresses.length + routes.length === 0) return;
  atDevice(native, device, (place) => {
    if (next.mtu !== spec.mtu) native.setLink(place.netns, place.ifindex, { mtu: next.mtu });
    give(native, device, place, { addresses, routes });
  });
}

/**
 * Takes from a device what `next` no longer has.
 * @throws NativeError of the first that can't be taken
 */
export function trimDevice(native: Native, device: Device, next: DeviceSpec): void {
  if (!next.configure) return;
  const { spec } = device;
  const addresses = missingFrom(next.addresses, spec.addresses);
  const routes = missingFrom(next.routes, spec.routes);
  if (addresses.length + routes.length === 0) return;
  atDevice(native, device, (place) => take(native, device, place, { addresses, routes }));
}

/**
 * Leaves a device that was there before as it was: without the addresses and routes it was given, and with the MTU and
 * the link it had. Any other is left alone.
 * @throws NativeError of the first that can't be taken
 */
export function restoreDevice(native: Native, device: Device): void {
  const { found, spec } = device;
  if (found === undefined) return;
  atDevice(native, device, (place) => {
    take(native, device, place, spec);
    native.setLink(place.netns, place.ifindex, {
      ...(found.mtu === 0 ? {} : { mtu: found.mtu }),
      up: found.isUp,
    });
  });
}

/** An interface in the kernel's words. */
interface Place {
  readonly netns: string | undefined;
  readonly ifindex: number;
}

type Prefixes = Pick<DeviceSpec, 'addresses' | 'routes'>;

/** Takes prefixes from a device, but for those that it had before. */
function take(
  native: Native,
  { found }: Device,
  { netns, ifindex }: Place,
  { addresses, routes }: Prefixes,
): void {
  for (const route of routes)
    if (found?.routes.has(keyOf(route)) !== true)
      unlessGone(() =>
        native.removeRoute(netns, ifindex, route.bytes, route.prefixLength, undefined),
      );
  for (const address of addresses)
    if (found?.addresses.has(keyOf(address)) !== true)
      unlessGone(() => native.removeAddress(netns, ifindex, address.bytes, address.prefixLength));
}

/** Whoever is behind the device may have taken it away before. */
function unlessGone(remove: () => void): void {
  try {
    remove();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ESRCH' && code !== 'EADDRNOTAVAIL') throw error;
  }
}

/**
 * Does `work` where the device is now: by its descriptor, since its path may stand for another namespace by now.
 * One of the daemon's own namespace is known by its index, and nobody without rights there can move it.
 */
function atDevice(native: Native, device: Device, work: (place: Place) => void): void {
  const { spec, fds, ifindex } = device;
  if (spec.hostEnd !== undefined) {
    atInstanceEnd(native, device, (netns, index) => work({ netns, ifindex: index }));
    return;
  }
  if (spec.netnsPath === undefined) {
    work({ netns: undefined, ifindex });
    return;
  }
  const place = native.locateDevice(fds[0], spec.kind);
  try {
    work({ netns: `/proc/self/fd/${place.netns}`, ifindex: place.ifindex });
  } finally {
    native.closeFd(place.netns);
  }
}

/** Gives a device prefixes, and notes which of them it had. One that fails keeps none of the others from it. */
function give(
  native: Native,
  { found }: Device,
  { netns, ifindex }: Place,
  { addresses, routes }: Prefixes,
): void {
  let failure: Error | undefined;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      failure ??= asError(error);
    }
  };
  for (const address of addresses)
    attempt(() => {
      if (!native.addAddress(netns, ifindex, address.bytes, address.prefixLength))
        found?.addresses.add(keyOf(address));
    });
  for (const route of routes)
    attempt(() => {
      if (!native.addRoute(netns, ifindex, route.bytes, route.prefixLength, undefined))
        found?.routes.add(keyOf(route));
    });
  if (failure !== undefined) throw failure;
}

/** @throws NativeError; nothing of what was opened is left then */
function openQueues(native: Native, spec: DeviceSpec): OpenedQueues {
  const options = openOptions(spec);
  const { fd, ...device } = native.openDevice(options);
  const fds = [fd];
  try {
    // Queues are numbered by when they were attached, and renumbered when one goes: if others hold some of a TUN
    // or TAP that was there, those opened here get numbers that no loop expects, also once the others are closed.
    if (spec.queues > 1 && !device.created && isTunKind(portKind(spec.kind)))
      native.steerQueues(fd, options, 1);
    while (fds.length < spec.queues) fds.push(native.openDevice(options).fd);
  } catch (error) {
    if (device.created && spec.persist) native.deleteLink(spec.netnsPath, device.ifindex);
    for (const open of fds) native.closeFd(open);
    throw error;
  }
  return { ...device, fds };
}

/**
 * Opens the host's end of a pair, which is made if it is not there.
 * @param held a path of the namespace that can stand for no other
 * @throws NativeError; nothing of what was made is left then
 */
function openPair(native: Native, spec: DeviceSpec, held: string | undefined): OpenedQueues {
  const created = havePair(native, spec, held, TX_QUEUE_LENGTH);
  try {
    const opened = { ...openQueues(native, spec), created };
    try {
      const { mtu, hostEnd } = spec;
      const change = { mtu, txQueueLength: TX_QUEUE_LENGTH, alias: hostEnd!.alias };
      if (!created) native.setLink(undefined, opened.ifindex, change);
      return opened;
    } catch (error) {
      for (const fd of opened.fds) native.closeFd(fd);
      throw error;
    }
  } catch (error) {
    if (created) removePair(native, spec, true);
    throw error;
  }
}

/** The host's end sends no frame that is longer than its MTU. */
function setHostEnd(native: Native, { ifindex, spec }: Device, { mtu, hostEnd }: DeviceSpec): void {
  const { alias } = hostEnd!;
  if (mtu !== spec.mtu || alias !== spec.hostEnd?.alias)
    native.setLink(undefined, ifindex, { mtu, alias });
}

/** @returns optional routes that others have */
function configure(native: Native, device: Device): readonly Prefix[] {
  const { spec } = device;
  const lacking: Prefix[] = [];
  if (!spec.configure) return lacking;
  atDevice(native, device, (place) => {
    native.setLink(place.netns, place.ifindex, {
      mtu: spec.mtu,
      txQueueLength: TX_QUEUE_LENGTH,
      up: true,
      ...(spec.macAddress === undefined ? {} : { macAddress: spec.macAddress }),
    });
    give(native, device, place, { addresses: spec.addresses, routes: [] });
    for (const route of spec.routes) {
      try {
        give(native, device, place, { addresses: [], routes: [route] });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        // On a device that was there before, whoever is behind it may have put the route there in their own way.
        if (!device.created) device.found?.routes.add(keyOf(route));
        else if (route.isOptional === true) lacking.push(route);
        else throw error;
      }
    }
  });
  return lacking;
}

/** Those of `wanted` that are not in `present`. */
function missingFrom(present: readonly Prefix[], wanted: readonly Prefix[]): Prefix[] {
  const keys = new Set(present.map(keyOf));
  return wanted.filter((prefix) => !keys.has(keyOf(prefix)));
}

function keyOf({ bytes, prefixLength }: Prefix): string {
  return `${bytes.join('.')}/${prefixLength}`;
}
