/** This file has the part of the configuration's schema for the platform's services and reserved addresses. */
import { PLATFORM_SERVICES } from './platform-services.ts';
import { DNS_SERVERS_MAX } from './limits.ts';
import { list, mapping } from './schema-parts.ts';

const PLATFORM_SERVICES_LIST = list(
  { type: 'string', enum: [...PLATFORM_SERVICES] },
  {
    default: [],
    title: 'Platform services',
    description:
      "Services of the platform that something here provides: what an instance sends to them is never filtered, as in AWS, by address, protocol and port. dns: udp and tcp 53 of 169.254.169.253, fd00:ec2::253 and base + 2 of the VPC. dhcp: udp 67 of the subnets' routers. instance-metadata: tcp 80 of 169.254.169.254 and fd00:ec2::254. task-metadata: tcp 80 of 169.254.170.2. time-sync: udp 123 of 169.254.169.123 and fd00:ec2::123. windows-activation: tcp 1688 of 169.254.169.250, .251 and fd00:ec2::250. To an address of 169.254.0.0/16 or fd00:ec2::/32 without a service named here nothing is forwarded by the uplink, whatever the rules say. Where the uplink ends in the host, the metadata services are the host's own.",
    examples: [['dns', 'time-sync']],
  },
);

const DHCP_OPTIONS = mapping(
  {
    domainNameServers: list(
      { type: 'string' },
      {
        title: 'DNS servers',
        description: `At most ${DNS_SERVERS_MAX} of a family. Absent: the one of the platform, if dns is among platformServices. Rules judge what is sent to any other.`,
        examples: [['10.0.0.2', 'fd00:10::2']],
      },
    ),
  },
  {
    title: 'DHCP options',
    description:
      'What instances are told by DHCP, DHCPv6 and router advertisements beside their addresses.',
  },
);

export const SERVED = {
  type: 'boolean',
  title: 'DHCP',
  description:
    'For tap, attach and stream: whether the instance is told its addresses, its router and the MTU by DHCP, DHCPv6 and router advertisements, as in a VPC. Default: true where there is an instance that nothing here configures, as the guest of a virtual machine: attach and stream; tap with netns and configure: false. The daemon answers itself; no group has a say.',
};

const CLASS_E = {
  type: 'boolean',
  default: false,
  title: 'Class E addresses',
  description:
    'Take 240.0.0.0/4 for ordinary unicast addresses. Without it they are reserved (RFC 1112, RFC 6890): packets from and to them drop as martian, and no interface may have one.',
};

/** @param device the keys of its device */
function platformPort(device: object): object {
  return mapping(device, {
    title: "The platform's port",
    description:
      'A TUN in a namespace of its own, behind which a program here answers for all platformServices but dhcp (secgroup-metadata is one for dns and instance-metadata). It has their addresses. What is sent to these services goes there and never to the uplink; nothing else does. What comes from there passes as an answer to an instance, or not at all. In `sgctl interfaces` it is called platform.',
    examples: [{ tun: 'sg-platform', netns: 'sg-platform' }],
  });
}

/** The keys about the platform. @param device the keys of the device of its port */
export function platformKeys(device: object): Readonly<Record<string, object>> {
  return {
    platformServices: PLATFORM_SERVICES_LIST,
    platform: platformPort(device),
    dhcpOptions: DHCP_OPTIONS,
    classE: CLASS_E,
  };
}
