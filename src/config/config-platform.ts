/**
 * This file reads `platformServices` and `classE`: which services the platform provides, and at which addresses. Some
 * addresses are reserved whatever the configuration says.
 */
import { formatAddress, sameAddress, sameAddresses, type Address } from '../addr/address.ts';
import type { ExemptService, SpecialAddresses } from '../policy/special-addresses.ts';
import { type Node } from '../source/yaml.ts';
import { fail, readBoolean, readItems, readText, report, type Reader } from './config-reader.ts';
import type { VpcAddresses } from './config-vpc-directory.ts';
import type { UplinkConfig } from './config.ts';
import { PLACES, PLATFORM_SERVICES, ROUTER_6, type PlatformService } from './platform-services.ts';

/** Services that give out credentials. */
const CREDENTIALS: ReadonlySet<PlatformService> = new Set(['instance-metadata', 'task-metadata']);

export interface ServiceAt {
  readonly service: PlatformService;
  readonly node: Node;
}

/** Addresses that no interface may have, even if nothing here provides AWS's service there. */
export function reservedAddresses({
  dnsAddresses,
  routerAddresses,
}: VpcAddresses): readonly Address[] {
  const fixed = PLATFORM_SERVICES.flatMap((service) => PLACES[service].addresses);
  return [...fixed, ROUTER_6, ...dnsAddresses, ...routerAddresses];
}

export function readClassE(reader: Reader, root: Node): boolean {
  return readBoolean(reader, root, 'classE', false);
}

/** What the addresses of the platform's services depend on. */
export interface PlatformOptions {
  readonly vpc: VpcAddresses;
  readonly uplink: UplinkConfig | undefined;
  /** Whether `platform` is given: then nothing but its port leads to services. */
  readonly hasPort: boolean;
  readonly allowsClassE: boolean;
}

/** What `platformServices` means. Warns if one of the services would be answered by the host itself. */
export function makeSpecialAddresses(
  reader: Reader,
  services: readonly ServiceAt[],
  { vpc, uplink, hasPort, allowsClassE }: PlatformOptions,
): SpecialAddresses {
  if (!hasPort && uplink !== undefined && uplink.device.netns === undefined)
    for (const one of services) warnOfHost(reader, one);
  return {
    reserved: reservedAddresses(vpc),
    uplink: uplink?.addresses.map(({ address }) => address) ?? [],
    exempt: services.flatMap(({ service }) => exemptBy(service, vpc)),
    allowsClassE,
  };
}

/** The addresses of services that are behind `platform`. DHCP is not: the router's addresses are the daemon's. */
export function addressesOfServices(
  services: readonly ServiceAt[],
  { dnsAddresses }: VpcAddresses,
): readonly Address[] {
  return services.flatMap(({ service }) => [
    ...PLACES[service].addresses,
    ...(service === 'dns' ? dnsAddresses : []),
  ]);
}

/** Reads `platformServices`. */
export function readServices(reader: Reader, list: Node | undefined): readonly ServiceAt[] {
  const known = new Set<PlatformService>();
  return readItems(reader, list).flatMap((node) => {
    const text = readText(reader, node);
    if (text === undefined) return [];
    const service = PLATFORM_SERVICES.find((one) => one === text);
    if (service !== undefined) {
      if (known.has(service)) return [];
      known.add(service);
      return [{ service, node }];
    }
    const names = PLATFORM_SERVICES.join(', ');
    fail(
      reader,
      node,
      'unknown-service',
      `'${text}' is no service of the platform`,
      `services: ${names}`,
    );
    return [];
  });
}

/**
 * The uplink ends in the daemon's own namespace, usually the host's. The host then answers for the service, or
 * forwards.
 */
function warnOfHost(reader: Reader, { service, node }: ServiceAt): void {
  if (!CREDENTIALS.has(service)) return;
  const [address] = PLACES[service].addresses;
  report(
    reader,
    'warning',
    node,
    'host-credentials',
    `every instance may reach ${formatAddress(address)} as this host does; on a cloud host the credentials of the host's own role are there`,
    'leave it out, or have something here answer (`platform`), or give the uplink a `netns` in which only a service for instances is reached',
  );
}

function exemptBy(service: PlatformService, vpc: VpcAddresses): readonly ExemptService[] {
  const { addresses, ports } = PLACES[service];
  const ofVpc =
    service === 'dns' ? vpc.dnsAddresses : service === 'dhcp' ? vpc.routerAddresses : [];
  return [...addresses, ...ofVpc].flatMap((address) =>
    ports.map(([protocol, port]) => ({ address, protocol, port })),
  );
}

/** Whether both match the same packets. */
export function isSameSpecial(a: SpecialAddresses, b: SpecialAddresses): boolean {
  const isSameService = (one: ExemptService, other: ExemptService | undefined): boolean =>
    other !== undefined &&
    one.protocol === other.protocol &&
    one.port === other.port &&
    sameAddress(one.address, other.address);
  return (
    a.allowsClassE === b.allowsClassE &&
    a.exempt.length === b.exempt.length &&
    a.exempt.every((one, i) => isSameService(one, b.exempt[i])) &&
    sameAddresses(a.reserved, b.reserved) &&
    sameAddresses(a.uplink, b.uplink)
  );
}
