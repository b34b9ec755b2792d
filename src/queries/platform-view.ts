/**
 * This file says where the platform's port is, for programs that answer there for the services of `platformServices`.
 */
import { formatAddress } from '../addr/address.ts';
import type { DevicePlace } from '../ports/device-place.ts';
import type { Observatory } from '../telemetry/observatory.ts';

export interface PlatformView {
  /** Path of its namespace, or `net:[4026532]` if it has no path. */
  readonly netns?: string;
  /** Those of the services. */
  readonly addresses: readonly string[];
}

/** @param placeOf gives the current name and namespace of a port's device; undefined if unknown */
export function findPlatform(
  observatory: Observatory,
  placeOf: (port: number) => DevicePlace | undefined,
): { readonly platform?: PlatformView } {
  const { model, interfaces } = observatory.config;
  const found = [...model.interfaces.values()].find(({ isPlatform }) => isPlatform === true);
  if (found === undefined) return {};
  const { id, name, addresses } = found;
  const [port] = [...observatory.portNames()].find(([, one]) => one === name) ?? [];
  const place = port === undefined ? undefined : placeOf(port);
  const configured = interfaces.find((one) => one.id === id)?.device.netnsPath;
  const netns = place === undefined ? configured : place.netnsPath;
  return {
    platform: {
      ...(netns === undefined ? {} : { netns }),
      addresses: addresses.map(formatAddress),
    },
  };
}
