/** Writes what a runtime gets from ADD, in the version that it asked for, and reads such results. */
import type { OwnedInterfaceView } from '../../queries/owned-interfaces.ts';
import { isObject, optionalList, type JsonObject } from '../json-input.ts';
import { hostPrefix, isIpv6 } from '../names.ts';
import type { Attachment } from './environment.ts';
import type { CniVersion } from './versions.ts';

/** The result of ADD. The one interface is the only way out, so the default routes lead into it, without a gateway. */
export function formatResult(
  version: CniVersion,
  netns: string,
  { device, addresses, macAddress }: OwnedInterfaceView,
  dns: JsonObject | undefined,
): JsonObject {
  const isOld = version.startsWith('0.');
  const hasIpv4 = addresses.some((address) => !isIpv6(address));
  const hasIpv6 = addresses.some(isIpv6);
  return {
    cniVersion: version,
    interfaces: [
      {
        name: device.name,
        // A TUN has none, and Podman refuses a result without one.
        mac: macAddress,
        ...(version === '1.1.0' ? { mtu: device.mtu } : {}),
        sandbox: netns,
      },
    ],
    ips: addresses.map((address) => ({
      ...(isOld ? { version: isIpv6(address) ? '6' : '4' } : {}),
      address: hostPrefix(address),
      interface: 0,
    })),
    routes: [...(hasIpv4 ? [{ dst: '0.0.0.0/0' }] : []), ...(hasIpv6 ? [{ dst: '::/0' }] : [])],
    dns: dns ?? {},
  };
}

/** The addresses of a result, without their prefix length. They are not checked. */
export function addressesOf(result: JsonObject): readonly string[] {
  return listOf(result, 'ips').flatMap(addressOf);
}

/** Those of one interface; what names no interface, or one that the result does not have, counts as well. */
export function addressesOn(
  result: JsonObject,
  { ifName, netns }: Pick<Attachment, 'ifName' | 'netns'>,
): readonly string[] {
  const interfaces = listOf(result, 'interfaces');
  return listOf(result, 'ips')
    .filter(({ interface: index }) => {
      const of = typeof index === 'number' ? interfaces[index] : undefined;
      return of === undefined || (of['name'] === ifName && of['sandbox'] === netns);
    })
    .flatMap(addressOf);
}

function listOf(result: JsonObject, name: string): readonly JsonObject[] {
  return (optionalList(result, name) ?? []).map((one) => (isObject(one) ? one : {}));
}

function addressOf({ address }: JsonObject): readonly string[] {
  return typeof address === 'string' ? [address.replace(/\/\d+$/, '')] : [];
}
