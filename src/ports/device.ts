/**
 * TUN and TAP devices: opened in their namespace and, where asked, given addresses, routes and a link.
 *
 * Every device is opened before any is brought up: as long as the link is down no packet is queued, and
 * if one of them can't be had the others vanish again with their descriptors.
 */
import { DEVICE_TAP, DEVICE_TUN, type Native, type OpenedDevice } from './native.ts';

/** Packets the kernel queues towards the daemon; the default 500 overflows while a batch is judged. */
const TX_QUEUE_LENGTH = 2000;

export interface DeviceAddress {
  /** 4 or 16 bytes, network order. */
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
  readonly addresses: readonly DeviceAddress[];
  /** Destinations that are reached through the device, without a gateway. */
  readonly routes: readonly DeviceAddress[];
}

export interface Device extends OpenedDevice {
  readonly spec: DeviceSpec;
}

/**
 * Opens all devices, then configures them.
 * @throws NativeError of the first that fails; by then the ones before it are closed again
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
    for (const device of devices) if (device.spec.configure) configure(native, device);
  } catch (error) {
    closeDevices(native, devices);
    throw error;
  }
  return devices;
}

export function closeDevices(native: Native, devices: readonly Device[]): void {
  for (const device of devices) native.closeFd(device.fd);
}

function configure(native: Native, device: Device): void {
  const { spec, ifindex } = device;
  native.setLink(spec.netnsPath, ifindex, {
    mtu: spec.mtu,
    txQueueLength: TX_QUEUE_LENGTH,
    up: true,
  });
  for (const address of spec.addresses) {
    native.addAddress(spec.netnsPath, ifindex, address.bytes, address.prefixLength);
  }
  for (const route of spec.routes)
    native.addRoute(spec.netnsPath, ifindex, route.bytes, route.prefixLength, undefined);
}
