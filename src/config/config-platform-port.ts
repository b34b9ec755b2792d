/**
 * This file reads `platform`: the port behind which something here answers for the services of `platformServices`.
 *
 * On the packet path it is an interface that has the services' addresses, and no group. Its device is always in a
 * namespace of its own. In the host's it would take 169.254.169.254 from the host, whose own metadata is there.
 */
import { DEFAULT_CONNECTION_TRACKING } from '../policy/idle-timeouts.ts';
import { stableId } from '../policy/ids.ts';
import type { Address } from '../addr/address.ts';
import { get, type Node } from '../source/yaml.ts';
import { readDevice } from './config-devices.ts';
import type { InterfaceContext, InterfaceParts } from './config-interfaces.ts';
import { fail, originOf } from './config-reader.ts';
import { PLATFORM_PORT_NAME } from './platform-services.ts';

/** Undefined if there is none, or if it is unusable, which is reported. @param addresses of the services */
export function readPlatformPort(
  context: Pick<InterfaceContext, 'reader' | 'addresses' | 'devices' | 'netnsDirectory'>,
  section: Node | undefined,
  addresses: readonly Address[],
  interfaces: readonly InterfaceParts[],
): InterfaceParts | undefined {
  const { reader, devices, netnsDirectory } = context;
  if (section === undefined) return undefined;
  if (section.kind !== 'mapping') {
    reader.misses.push({ node: section, expected: 'a mapping' });
    return undefined;
  }
  const name = PLATFORM_PORT_NAME;
  const same = interfaces.find(({ network }) => network.name === name);
  if (same !== undefined) {
    const message = `an interface is called '${name}' too, on line ${same.network.origin.line}`;
    return fail(reader, section, 'duplicate-name', message, 'give the interface another name');
  }
  if (addresses.length === 0) {
    const hint = 'name some, as platformServices: [dns, instance-metadata], or leave platform out';
    return fail(reader, section, 'platform-without-services', 'nothing is there to answer for: platformServices names no service with an address', hint); // prettier-ignore
  }
  if (get(section, 'tun') === undefined)
    return fail(reader, section, 'missing-device', 'the platform has no device', 'write tun: sg-platform'); // prettier-ignore
  if (get(section, 'netns') === undefined) {
    const message = "the platform's device is in the host's own network namespace, and would take the services' addresses from the host"; // prettier-ignore
    const hint = 'make a namespace (ip netns add sg-platform), and name it: netns: sg-platform';
    return fail(reader, section, 'platform-in-host', message, hint);
  }
  const device = readDevice(reader, section, {
    kind: 'tun',
    nameNode: get(section, 'tun'),
    usesIpv6: addresses.some(({ family }) => family === 6),
    isInstance: true,
    netnsDirectory,
  });
  if (device === undefined) return undefined;
  devices.add(reader, device, section, 'the platform');
  for (const address of addresses) context.addresses.addPlatform(reader, address, section);
  const id = stableId('eni', name);
  return {
    network: {
      id,
      name,
      addresses,
      groupIds: [],
      sourceDestCheck: true,
      alwaysTracked: false,
      isPlatform: true,
      connectionTracking: DEFAULT_CONNECTION_TRACKING,
      origin: originOf({ at: section.at, path: section.path }),
    },
    config: { id, name, device, maxFlows: undefined, subnets: [] },
  };
}
