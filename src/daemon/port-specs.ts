/** This file makes the ports of the packet loops from devices and their configuration. */
import type { Logger } from 'pino';
import { addressOf, formatAddress } from '../addr/address.ts';
import type { Config } from '../config/config.ts';
import { deviceLabel } from '../config/device-specs.ts';
import type { OffloadPlace, PortSpec } from '../dataplane/messages.ts';
import { UPLINK_PORT } from '../policy/compiled.ts';
import { hasOurMtu, type Device, type DeviceSpec } from '../ports/device.ts';
import { NO_KIND } from '../ports/port-kind.ts';
import { nextHopsOf } from './next-hops.ts';

export function logDevice(log: Logger, device: Device): void {
  const { spec, offloads, name } = device;
  const found = spec.match === undefined ? {} : { interface: name };
  log.info(
    { device: spec.name, ...found, netns: spec.netnsPath, kind: spec.kind, offloads },
    'device opened',
  );
  warnOfLacking(log, device);
}

/** Says which interfaces the host does not reach by the device. */
export function warnOfLacking(log: Logger, { spec, lacking = [] }: Device): void {
  if (lacking.length === 0) return;
  const addresses = lacking.map(({ bytes }) => formatAddress(addressOf(bytes)));
  log.warn(
    { device: spec.name, addresses },
    'the host has other routes to these addresses, and does not reach their interfaces by the uplink; remove those routes and restart the daemon',
  );
}

/** Says that a guest has connected to a socket, or is gone: `why`. */
export function logGuest(log: Logger, device: string, why: string | undefined): void {
  if (why === undefined) log.info({ device }, 'a guest has connected');
  else log.info({ device, why }, 'a guest is gone; the next one can connect');
}

/** Makes a placeholder for a device that can't be opened. */
export function absentDevice(spec: DeviceSpec): Device {
  const offloads = { checksum: false, tso4: false, tso6: false, uso: false };
  const { name } = spec;
  const none = {
    ...{ fds: [], ifindex: 0, mtu: 0, isUp: false },
    ...{ created: false, namespace: undefined },
  };
  return { ...none, name, offloads, spec };
}

/** A port without a device. */
export const NO_DEVICE: PortSpec = { fds: [], kind: NO_KIND, takesUso: false, label: 'none' };

/** Describes the port of a device for the packet loop. */
export function portOf(
  device: Device,
  port: number,
  { uplink }: Config,
  offload?: OffloadPlace,
): PortSpec {
  const { fds, spec, offloads } = device;
  const { kind, macAddress, isMacFixed = false, lease } = spec;
  const mtu = knownMtu(device);
  return {
    fds,
    kind,
    takesUso: offloads.uso,
    label: deviceLabel(spec),
    ...(mtu === 0 ? {} : { mtu }),
    ...(macAddress === undefined ? {} : { macAddress, isMacFixed }),
    ...(lease === undefined ? {} : { lease }),
    ...(offload === undefined ? {} : { offload }),
    ...(port === UPLINK_PORT && uplink !== undefined ? { nextHops: nextHopsOf(uplink) } : {}),
  };
}

/**
 * Gives the MTU that a device configured by somebody else was found with. It is 0 if the device was not there before:
 * then it has the kernel's default until somebody sets another.
 */
function knownMtu(device: Device): number {
  const { spec, created, mtu } = device;
  if (hasOurMtu(spec)) return spec.mtu;
  return created ? 0 : mtu;
}
