/**
 * The services that a platform can provide, and where each is: at which addresses, whatever the VPC, and ports.
 * Sources: Amazon VPC User Guide, "Control traffic to your AWS resources using security groups" (services and
 * addresses), and each service's own page for its port.
 */
import { formatAddress, parseAddress, type Address } from '../addr/address.ts';
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../policy/protocols.ts';

/** What the port of `platform` is called in `sgctl interfaces`, in metrics and the log. */
export const PLATFORM_PORT_NAME = 'platform';

export const PLATFORM_SERVICES = [
  'dns',
  'dhcp',
  'instance-metadata',
  'task-metadata',
  'time-sync',
  'windows-activation',
] as const;
export type PlatformService = (typeof PLATFORM_SERVICES)[number];

export interface ServicePlace {
  /** Services whose addresses do not depend on the VPC. */
  readonly addresses: readonly Address[];
  readonly ports: readonly (readonly [protocol: 6 | 17, port: number])[];
}

export const PLACES: Readonly<Record<PlatformService, ServicePlace>> = {
  dns: {
    addresses: ['169.254.169.253', 'fd00:ec2::253'].map(mustParse),
    ports: [
      [PROTOCOL_UDP, 53],
      [PROTOCOL_TCP, 53],
    ],
  },
  // Unicast renewals of instances that the daemon itself does not serve need this. Broadcasts and all of DHCPv6 stay
  // on the link.
  dhcp: { addresses: [], ports: [[PROTOCOL_UDP, 67]] },
  'instance-metadata': {
    addresses: ['169.254.169.254', 'fd00:ec2::254'].map(mustParse),
    ports: [[PROTOCOL_TCP, 80]],
  },
  'task-metadata': { addresses: ['169.254.170.2'].map(mustParse), ports: [[PROTOCOL_TCP, 80]] },
  'time-sync': {
    addresses: ['169.254.169.123', 'fd00:ec2::123'].map(mustParse),
    ports: [[PROTOCOL_UDP, 123]],
  },
  'windows-activation': {
    addresses: ['169.254.169.250', '169.254.169.251', 'fd00:ec2::250'].map(mustParse),
    ports: [[PROTOCOL_TCP, 1688]],
  },
};

/** The router's address for IPv6 hosts. */
export const ROUTER_6 = mustParse('fe80:ec2::1');

/** The addresses of a service that do not depend on the VPC, as text. */
export function addressTexts(service: PlatformService): readonly string[] {
  return PLACES[service].addresses.map(formatAddress);
}

function mustParse(text: string): Address {
  const parsed = parseAddress(text);
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.value;
}
