/**
 * TUN and TAP devices: opened in their namespace and, where asked, given addresses, routes and a link.
 *
 * Every device is opened before any is brought up: as long as the link is down no packet is queued, and
 * if one of them can't be had the others vanish again with their descriptors.
 */
import { DEVICE_TAP, DEVICE_TUN, type Native, type OpenedDevice } from './native.ts';

/** Packets the kernel queues towards the daemon; the default 500 overflows while a batch is judged. */
const TX_QUEUE_LENGTH = 2000;

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
  /** Give it addresses, routes, MTU and an up link; false where someone else does. */
  readonly configure: boolean;
  /** For a TAP that is configured: its MAC address, 6 bytes. */
  readonly macAddress?: Uint8Array;
  readonly addresses: readonly Prefix[];
  /** Destinations that are reached through the device, without a gateway. */
  readonly routes: readonly Prefix[];
}

export interface Device extends OpenedDevice {
  readonly spec: DeviceSpec;
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

/**
 * Opens all devices, then configures them.
 * @throws NativeError of the first that fails; by then all of them are closed again
 */
export function openDevices(native: Native, specs: readonly DeviceSpec[]): Device[] {
  const devices: Device[] = [];
  try {
    for (const spec of specs) {
      const opened = native.openDevice({
        kind: spec.kind === 'tun' ? DEVICE_TUN : DEVICE_TAP,
        name: spec.name,
        persist: spec.persist,
        ...(spec.netnsPath === undefined ? {} : { netns: spec.netnsPath }),
      });
      devices.push({ ...opened, spec });
    }
    for (const device of devices) configure(native, device);
  } catch (error) {
    closeDevices(native, devices);
    throw error;
  }
  return devices;
}

export function closeDevices(native: Native, devices: readonly Device[]): void {
  for (const device of devices) native.closeFd(device.fd);
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
