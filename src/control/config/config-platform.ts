/**
 * What the platform provides, and by which addresses: `platformServices`, `classE`, and what is reserved whatever
 * they say.
 * Sources: Amazon VPC User Guide, "Control traffic to your AWS resources using security groups" (which services and
 * addresses), and each service's own page for its port.
 */
import {
  formatAddress,
  parseAddress,
  sameAddress,
  sameAddresses,
  type Address,
} from '../../addr/address.ts';
import type { ExemptService, SpecialAddresses } from '../../policy/special-addresses.ts';
import { get, type Node } from '../../source/yaml.ts';
import { fail, readBoolean, readItems, readText, report, type Reader } from './config-reader.ts';
import type { VpcAddresses } from './config-vpc-directory.ts';
import type { UplinkConfig } from './config.ts';

export const PLATFORM_SERVICES = [
  'dns',
  'dhcp',
  'instance-metadata',
  'task-metadata',
  'time-sync',
  'windows-activation',
] as const;
export type PlatformService = (typeof PLATFORM_SERVICES)[number];

interface ServicePlace {
  /** Those that do not hang on the VPC. */
  readonly addresses: readonly Address[];
  readonly ports: readonly (readonly [protocol: 6 | 17, port: number])[];
}

const TCP = 6;
const UDP = 17;

const PLACES: Readonly<Record<PlatformService, ServicePlace>> = {
  dns: {
    addresses: ['169.254.169.253', 'fd00:ec2::253'].map(mustParse),
    ports: [
      [UDP, 53],
      [TCP, 53],
    ],
  },
  // What a renewal is sent to. A broadcast, and all of DHCPv6, ends at the link.
  dhcp: { addresses: [], ports: [[UDP, 67]] },
  'instance-metadata': {
    addresses: ['169.254.169.254', 'fd00:ec2::254'].map(mustParse),
    ports: [[TCP, 80]],
  },
  'task-metadata': { addresses: ['169.254.170.2'].map(mustParse), ports: [[TCP, 80]] },
  'time-sync': {
    addresses: ['169.254.169.123', 'fd00:ec2::123'].map(mustParse),
    ports: [[UDP, 123]],
  },
  'windows-activation': {
    addresses: ['169.254.169.250', '169.254.169.251', 'fd00:ec2::250'].map(mustParse),
    ports: [[TCP, 1688]],
  },
};

/** The router, to IPv6 hosts. */
const ROUTER_6 = mustParse('fe80:ec2::1');

/** Services behind which credentials are. */
const CREDENTIALS: ReadonlySet<PlatformService> = new Set(['instance-metadata', 'task-metadata']);

interface ServiceAt {
  readonly service: PlatformService;
  readonly node: Node;
}

/** Addresses that no interface may have, whether or not anything provides what AWS has there. */
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

/** Reads `platformServices`, and warns where one of them is the host's own. */
export function readSpecialAddresses(
  reader: Reader,
  root: Node,
  vpc: VpcAddresses,
  uplink: UplinkConfig | undefined,
  allowsClassE: boolean,
): SpecialAddresses {
  const services = readServices(reader, get(root, 'platformServices'));
  if (uplink !== undefined && uplink.device.netns === undefined)
    for (const one of services) warnOfHost(reader, one);
  return {
    reserved: reservedAddresses(vpc),
    uplink: uplink?.addresses.map(({ address }) => address) ?? [],
    exempt: services.flatMap(({ service }) => exemptBy(service, vpc)),
    allowsClassE,
  };
}

function readServices(reader: Reader, list: Node | undefined): readonly ServiceAt[] {
  return readItems(reader, list).flatMap((node) => {
    const text = readText(reader, node);
    if (text === undefined) return [];
    const service = PLATFORM_SERVICES.find((one) => one === text);
    if (service !== undefined) return [{ service, node }];
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

/** The uplink ends in the daemon's own namespace, most often the host's, which answers for the service or forwards to it. */
function warnOfHost(reader: Reader, { service, node }: ServiceAt): void {
  if (!CREDENTIALS.has(service)) return;
  const [address] = PLACES[service].addresses;
  report(
    reader,
    'warning',
    node,
    'host-credentials',
    `every instance may reach ${formatAddress(address)} as this host does; on a cloud host the credentials of the host's own role are there`,
    'leave it out, or give the uplink a `netns` in which only a service for instances is reached',
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

/** Whether both mean the same to packets. */
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

function mustParse(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
