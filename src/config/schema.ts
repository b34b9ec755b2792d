/**
 * This file has the JSON Schema of the configuration. Editors use it for completion and checks, and the loader to check
 * the shape. config/secgroupd.schema.json is this object as text; a test keeps the two equal.
 *
 * The schema says which keys there are, and what kind of value each has. The loader checks what a text means (whether
 * it is a block, whether the group exists), because it can say more about it.
 */
import { IDLE_TIMEOUTS } from '../policy/idle-timeouts.ts';
import type { QuotaName } from '../policy/quotas.ts';
import { PORT_KIND_NAMES } from '../ports/port-kind.ts';
import {
  BUSY_POLL_LIMITS,
  INTERFACE_FLOWS_LIMITS,
  MAX_ENTRIES_LIMITS,
  MTU_LIMITS,
  QUOTA_LIMITS,
  WORKERS_LIMITS,
} from './limits.ts';
import { GROUP_AUDIT, INTERFACE_AUDIT, RULE_AUDIT } from './schema-audit.ts';
import { FLOW_LOGS } from './schema-flow-logs.ts';
import { CONNTRACK } from './schema-conntrack.ts';
import { NAMES, TLS_NAME } from './schema-dns-names.ts';
import { ALIAS, HOST_MAC } from './schema-match.ts';
import { STREAM_KEYS } from './schema-stream.ts';
import { integer, list, mapping, within } from './schema-parts.ts';
import { peers } from './schema-peers.ts';
import { platformKeys, SERVED } from './schema-platform.ts';
import { TEMPLATES } from './schema-templates.ts';
import { GROUP_VPC, INTERFACE_VPC, VPC, VPCS } from './schema-vpcs.ts';

const CIDR_EXAMPLES = ['10.0.0.0/8', 'fd00:10::/64'];

const MTU = integer(MTU_LIMITS, {
  title: 'MTU',
  description:
    'Largest packet in bytes; at least 1280 where IPv6 is used. A longer one is cut where IPv4 allows, or drops as packet-too-big and its sender is told.',
});

const CONFIGURE = {
  type: 'boolean',
  default: true,
  title: 'Configure the device',
  description:
    'Give the device its addresses, its routes and its link state. Set false where someone else does, as the guest of a virtual machine.',
};

const CONFIGURE_INSTANCE = {
  type: 'boolean',
  title: 'Configure the device',
  description:
    "Give the device its addresses, its routes and its link state. Default: true with netns, false without, since nothing of the host's own namespace is configured unasked. Set false where someone else does, as the guest of a virtual machine. In the host's own namespace there is never a default route.",
};

const PERSIST = {
  type: 'boolean',
  default: false,
  title: 'Keep the device',
  description: 'Leave the device in place when the daemon ends.',
};

const NETNS = {
  type: ['string', 'integer'],
  title: 'Network namespace',
  description:
    "Where the device is: a name as `ip netns` has it, the path of a namespace (starts with '/'), or a process id. Absent: the daemon's own namespace.",
  examples: ['web-1', '/run/netns/web-1', 4711],
};

const DEVICE_NAME = { type: 'string', minLength: 1, maxLength: 15, examples: ['eth0'] };

const TIMEOUT_NOTE = 'Idle time-out in seconds, in the range AWS allows.';

function named(values: object, extra: object): object {
  return { type: 'object', additionalProperties: values, ...extra };
}

function rule(peerKey: 'from' | 'to', title: string): object {
  const icmp = { type: ['integer', 'string'], minimum: -1, maximum: 255 };
  return mapping(
    {
      protocol: {
        type: ['string', 'integer'],
        title: 'Protocol',
        description: 'tcp, udp, icmp, icmpv6, all, or an IANA protocol number.',
        examples: ['tcp', 'udp', 'icmp', 'icmpv6', 'all', 50],
      },
      ports: {
        type: ['integer', 'string', 'array'],
        minimum: 0,
        maximum: 65535,
        items: { type: ['integer', 'string'], minimum: 0, maximum: 65535 },
        title: 'Ports',
        description:
          "For tcp and udp: a port, a range 'FROM-TO', 'all', or a list of these, one rule each.",
        examples: [443, '8000-8010', [80, 443], 'all'],
      },
      type: {
        ...icmp,
        title: 'ICMP type',
        description:
          "For icmp and icmpv6: 0 to 255, or 'all'. For icmpv6 it may be left out, which means all.",
        examples: [8, 'all'],
      },
      code: {
        ...icmp,
        title: 'ICMP code',
        description: "For icmp and icmpv6: 0 to 255, or 'all', which is the default.",
        examples: [0, 'all'],
      },
      [peerKey]: peers(peerKey),
      description: { type: 'string', maxLength: 255, title: 'Description' },
      ...(peerKey === 'to' ? { tlsName: TLS_NAME } : {}),
      audit: RULE_AUDIT,
    },
    { title, required: ['protocol', peerKey] },
  );
}

const UPLINK = mapping(
  {
    tun: {
      ...DEVICE_NAME,
      title: 'TUN device',
      description: 'Name of the TUN device that is the uplink; this or tap.',
    },
    tap: {
      ...DEVICE_NAME,
      title: 'TAP device',
      description: 'Name of the TAP device that is the uplink; this or tun.',
    },
    netns: NETNS,
    addresses: list(
      { type: 'string' },
      {
        title: "The device's own addresses, with their prefix",
        examples: [['10.0.0.1/16', 'fd00:10::1/64']],
      },
    ),
    gateways: list(
      { type: 'string' },
      {
        title: 'Routers on its link',
        description:
          "Of a TAP: to whom packets go that are not for its own addresses' prefixes, one a family. Absent: to the host that has the device, by its first address.",
        examples: [['198.51.100.1', 'fe80::1']],
      },
    ),
    routes: list(
      { type: 'string' },
      { title: 'More that is reached through the device', examples: [['10.1.0.0/16']] },
    ),
    mtu: MTU,
    configure: CONFIGURE,
    persist: PERSIST,
  },
  { title: 'Uplink', description: 'Where packets go that are for no interface of this host.' },
);

const PREFIX_LISTS = named(
  mapping(
    {
      entries: list(
        {
          type: ['string', 'object'],
          additionalProperties: false,
          required: ['cidr'],
          properties: {
            cidr: { type: 'string', title: 'Block', examples: CIDR_EXAMPLES },
            description: { type: 'string', maxLength: 255, title: 'Description' },
          },
        },
        {
          title: 'Entries',
          description: 'CIDR blocks of one address family.',
          examples: [['203.0.113.0/24']],
        },
      ),
      maxEntries: integer(MAX_ENTRIES_LIMITS, {
        title: 'Most entries',
        description:
          'What a rule with this list counts against the quota of rules. The number of entries if absent.',
      }),
      family: {
        enum: [4, 6],
        title: 'Address family',
        description: 'Needed only for a list without entries.',
      },
      id: {
        type: 'string',
        title: 'Id',
        description:
          'An id as AWS gives: pl- and 17 hexadecimal digits. Made from the name if absent.',
      },
    },
    { required: ['entries'] },
  ),
  { title: 'Prefix lists', description: 'Managed prefix lists, by name.' },
);

/** What a change of rules does to existing connections (policy/model.ts). */
const REVOCATION = { enum: ['aws', 'recheck', 'cut'] };

const SECURITY_GROUPS = named(
  mapping(
    {
      description: { type: 'string', maxLength: 255, title: 'Description' },
      ingress: list(rule('from', 'Ingress rule'), {
        title: 'Ingress rules',
        description: 'What may reach the members. Nothing if absent.',
      }),
      egress: list(rule('to', 'Egress rule'), {
        title: 'Egress rules',
        description:
          'What the members may reach. If absent, everything, as AWS has it for a new group; [] means that they may initiate nothing.',
      }),
      id: {
        type: 'string',
        title: 'Id',
        description:
          'An id as AWS gives: sg- and 17 hexadecimal digits. Made from the name if absent.',
      },
      revocation: {
        ...REVOCATION,
        title: 'Revocation',
        description: 'As the section of that name, for this group.',
      },
      vpc: GROUP_VPC,
      audit: GROUP_AUDIT,
    },
    {},
  ),
  {
    title: 'Security groups',
    description:
      "Security groups, by name; by VPC/NAME where there are several VPCs and two have one name. 'default' may be given to replace the default group of the VPC.",
    examples: [
      {
        db: {
          description: 'Databases',
          ingress: [{ protocol: 'tcp', ports: 5432, from: 'sg:web' }],
          egress: [],
        },
      },
    ],
  },
);

const ADDRESSES_NOTE =
  'IPv4 and IPv6 addresses; the first of a family is the primary one. Needed unless the resource that from names has them.';

const INTERFACES = named(
  mapping(
    {
      device: mapping(
        {
          kind: {
            enum: [...PORT_KIND_NAMES],
            default: 'tun',
            title: 'Kind',
            description:
              'tun carries IP packets, tap Ethernet frames. veth is one end of a pair, whose other end is in the namespace of the daemon. attach takes an interface that is there already: one end of a veth pair, or a TAP that a hypervisor holds. stream is a unix socket that a hypervisor connects to without any right: QEMU with -netdev stream.',
          },
          name: {
            ...DEVICE_NAME,
            title: 'Device name',
            description:
              'Name of the device inside its namespace. For attach it may be a pattern, with * for any characters and ? for one. Needed but for a stream, and for attach with alias or hostMac.',
          },
          alias: ALIAS,
          hostMac: HOST_MAC,
          ...STREAM_KEYS,
          netns: NETNS,
          mtu: MTU,
          configure: CONFIGURE_INSTANCE,
          persist: PERSIST,
          dhcp: SERVED,
          mac: {
            type: 'string',
            title: 'MAC address of the instance',
            description:
              'For tap, veth, attach and stream: frames from another MAC address drop as mac-spoof, and a TAP that is configured, or a veth, gets it. Absent: these have one that follows from the id; otherwise it is learned from what comes from an address of the interface.',
            examples: ['02:00:00:00:00:11'],
          },
        },
        {
          title: 'Device',
          description:
            'The device that stands in for eth0 of the instance, or the interface that it is connected to.',
          if: { properties: { kind: { const: 'stream' } }, required: ['kind'] },
          then: { required: ['path'] },
          else: {
            if: { properties: { kind: { const: 'attach' } }, required: ['kind'] },
            else: { required: ['name'] },
          },
        },
      ),
      from: {
        type: 'string',
        title: 'Template resource',
        description:
          'STACK/LOGICAL-ID of a resource of a template that has network interfaces: an instance, a network interface, a load balancer, an ECS service, a database …; `sgctl check TEMPLATE` lists them. What this interface does not say itself it takes from there: groups, and if the template has them, addresses, source/destination check, time-outs.',
        examples: ['web-stack/WebServer'],
      },
      addresses: list(
        { type: 'string' },
        {
          minItems: 1,
          title: 'Private addresses',
          description: ADDRESSES_NOTE,
          examples: [['10.0.0.11', 'fd00:10::11']],
        },
      ),
      securityGroups: list(
        { type: 'string' },
        {
          minItems: 1,
          title: 'Security groups',
          description:
            'Names or ids, or STACK/LOGICAL-ID of a group of a template. The default group if absent.',
          examples: [['web']],
        },
      ),
      vpc: INTERFACE_VPC,
      audit: INTERFACE_AUDIT,
      sourceDestCheck: {
        type: 'boolean',
        default: true,
        title: 'Source/destination check',
        description:
          'Drop what the interface sends from, or gets for, an address it does not have. Set to false, it may forward the packets of strangers, never from the address of another interface, of the platform or of the uplink device.',
      },
      connectionTracking: mapping(
        {
          tcpEstablishedTimeout: integer(IDLE_TIMEOUTS.tcpEstablishedTimeoutSec, {
            title: 'TCP, established',
            description: TIMEOUT_NOTE,
          }),
          udpTimeout: integer(IDLE_TIMEOUTS.udpTimeoutSec, {
            title: 'UDP, one request',
            description: TIMEOUT_NOTE,
          }),
          udpStreamTimeout: integer(IDLE_TIMEOUTS.udpStreamTimeoutSec, {
            title: 'UDP, stream',
            description: TIMEOUT_NOTE,
          }),
          always: {
            type: 'boolean',
            default: false,
            title: 'Track always',
            description:
              'Track every flow, also those that rules for everywhere would leave untracked: what AWS does behind NAT gateways, load balancers and the like.',
          },
          maxFlows: integer(INTERFACE_FLOWS_LIMITS, {
            title: 'Most flows',
            description:
              'How many flows of this interface are tracked at once. No limit of its own if absent.',
          }),
        },
        { title: 'Connection tracking' },
      ),
    },
    {
      required: ['device'],
      if: { not: { required: ['from'] } },
      then: {
        required: ['addresses'],
        properties: { addresses: { description: ADDRESSES_NOTE } },
      },
    },
  ),
  {
    title: 'Interfaces',
    description: 'The elastic network interfaces of this host, by name or by an id as AWS gives.',
    examples: [
      {
        'eni-web-1': {
          device: { kind: 'tun', netns: 'web-1', name: 'eth0' },
          addresses: ['10.0.0.11', 'fd00:10::11'],
          securityGroups: ['web'],
        },
      },
    ],
  },
);

function quota(name: QuotaName, title: string, description: string): object {
  const limits = QUOTA_LIMITS[name];
  return {
    type: ['integer', 'string'],
    ...within(limits),
    title,
    description,
    examples: [limits.otherwise, 'off'],
  };
}

const QUOTAS = mapping(
  {
    rulesPerGroup: quota(
      'rulesPerGroup',
      'Rules a group',
      'Counted for each direction and family. A block counts 1, a prefix list its maxEntries, a group 1 in both families.',
    ),
    groupsPerInterface: quota(
      'groupsPerInterface',
      'Groups an interface',
      'AWS raises it up to 16.',
    ),
    rulesTimesGroups: quota(
      'rulesTimesGroups',
      'Rules times groups',
      'The most that the two quotas above may multiply to, and the most rules of one direction and family on an interface.',
    ),
    prefixListEntries: quota(
      'prefixListEntries',
      'Entries a prefix list',
      'Counted by maxEntries.',
    ),
    securityGroups: quota(
      'securityGroups',
      'Security groups',
      'Those of all VPCs together, which AWS counts by Region; those of templates count as well.',
    ),
  },
  {
    title: 'Quotas',
    description:
      "A number, or 'off'. Beyond a default of AWS is a warning, since it works here; beyond a quota stated here is an error.",
  },
);

const METRICS = mapping(
  {
    listen: {
      type: ['string', 'integer'],
      title: 'Listen address',
      description: 'HOST:PORT, [IPV6]:PORT, or a port alone for 127.0.0.1.',
      examples: ['127.0.0.1:9469', '[::1]:9469', 9469],
    },
  },
  { title: 'Prometheus metrics', required: ['listen'] },
);

/** The published schema, JSON Schema draft 7. */
export const CONFIG_SCHEMA: object = {
  $schema: 'http://json-schema.org/draft-07/schema#',
  title: 'secgroupd configuration',
  description:
    'Security groups, the interfaces they are on, and the devices that carry the packets.',
  ...mapping(
    {
      vpc: VPC,
      vpcs: VPCS,
      uplink: UPLINK,
      templates: TEMPLATES,
      prefixLists: PREFIX_LISTS,
      securityGroups: SECURITY_GROUPS,
      interfaces: INTERFACES,
      revocation: {
        ...REVOCATION,
        default: 'aws',
        title: 'Revocation',
        description:
          'What a change of rules does to the tracked connections that the rules of a group admitted, for groups that do not say themselves. aws: they live on. recheck: those that no rule admits any more end at once. cut: those that the very rule they came by no longer admits end at once.',
      },
      ...platformKeys({ tun: DEVICE_NAME, netns: NETNS, mtu: MTU }),
      workers: integer(WORKERS_LIMITS, {
        title: 'Packet loops',
        description:
          'How many threads decide packets. Each has a queue of every device, and all packets between two hosts come to the same one. More than one needs Linux 4.16 and CAP_BPF.',
      }),
      busyPollUs: integer(BUSY_POLL_LIMITS, {
        title: 'Busy polling',
        description:
          'For how many microseconds a packet loop goes on asking for packets before it sleeps, where they often come so soon. It takes processor time, and packets need not wait until the loop wakes up. 0: not at all.',
      }),
      offload: {
        enum: ['off', 'auto', 'on'],
        default: 'off',
        title: 'Fast path',
        description:
          'Whether the kernel forwards the packets of flows that the daemon has decided, between interfaces of the kinds attach and veth. auto: where it can. on: the daemon does not start where it can not. Needs CAP_BPF, CAP_NET_ADMIN and libbpf.',
      },
      conntrack: CONNTRACK,
      names: NAMES,
      quotas: QUOTAS,
      metrics: METRICS,
      flowLogs: FLOW_LOGS,
    },
    {},
  ),
};

/** The text of config/secgroupd.schema.json. */
export function schemaText(): string {
  return `${JSON.stringify(CONFIG_SCHEMA, null, 2)}\n`;
}
