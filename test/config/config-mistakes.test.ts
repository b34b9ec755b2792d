import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { loadText, problemLines } from './config-text.ts';

/** Texts with one mistake each, and what is said of it: place, path, message, and hint if it matters. */
type Case = readonly [text: string, line: string, hint?: string];

function checkAll(cases: readonly Case[]): void {
  for (const [text, line, hint] of cases) {
    const { config, problems } = loadText(text);
    assert.deepEqual(problemLines(problems), [line], text);
    if (hint !== undefined) assert.equal(problems[0]?.hint, hint, text);
    assert.equal(config === undefined, line.includes(' error '), text);
  }
}

const inRule = (rule: string): string =>
  `prefixLists: { office: { entries: [203.0.113.0/24] } }\nsecurityGroups:\n  web: { ingress: [ ${rule} ] }\n`;
const RULE = 'securityGroups.web.ingress[0]';

test('more interfaces than a daemon has ports for', () => {
  const addressed = (i: number): string =>
    `  i${i}: { device: { name: t${i} }, addresses: [10.${i >> 8}.${i & 255}.1] }`;
  const of = (count: number): string =>
    `interfaces:\n${Array.from({ length: count }, (_, i) => addressed(i)).join('\n')}\n`;
  assert.deepEqual(problemLines(loadText(of(4096)).problems), []);
  checkAll([
    [
      of(8192),
      '8193:3 error too-many-interfaces interfaces.i8191: there are 8192 interfaces, and a daemon has at most 8191',
      'run a second daemon for the rest',
    ],
  ]);
});

test('rules: protocols, ports, ICMP types', () => {
  checkAll([
    [
      inRule('{ protocol: tpc, ports: 22, from: self }'),
      `3:33 error bad-protocol ${RULE}.protocol: Invalid value 'tpc' for IP protocol. Unknown protocol.`,
    ],
    [
      inRule('{ protocol: 256, from: self }'),
      `3:33 error bad-protocol ${RULE}.protocol: Invalid value '256' for IP protocol. Unknown protocol.`,
    ],
    [
      inRule('{ protocol: 0x6, ports: 1, from: self }'),
      `3:33 error bad-protocol ${RULE}.protocol: Invalid value '0x6' for IP protocol. Unknown protocol.`,
    ],
    [
      inRule('{ protocol: tcp, from: self }'),
      `3:21 error missing-ports ${RULE}: a tcp rule needs ports`,
      'write ports: 443, ports: 8000-8010, or ports: all',
    ],
    [
      inRule('{ protocol: tcp, ports: 65536, from: self }'),
      `3:45 error bad-port ${RULE}.ports: TCP/UDP (from) port (65536) out of range`,
    ],
    [
      inRule('{ protocol: udp, ports: -1, from: self }'),
      `3:45 error bad-port ${RULE}.ports: TCP/UDP (from) port (-1) out of range`,
      'every port is 0 to 65535; -1 is for ICMP',
    ],
    [
      inRule('{ protocol: udp, ports: 80-70, from: self }'),
      `3:45 error bad-port ${RULE}.ports: the port range is reversed: it goes from 80 down to 70`,
      'the smaller port comes first: 70-80',
    ],
    [
      inRule('{ protocol: tcp, ports: 22:25, from: self }'),
      `3:45 error bad-port ${RULE}.ports: '22:25' is not a port or a range of ports`,
      'write 22-25',
    ],
    [
      inRule('{ protocol: tcp, ports: "80, 443", from: self }'),
      `3:45 error bad-port ${RULE}.ports: '80, 443' is not a port or a range of ports`,
      'write a list: [80, 443]',
    ],
    [
      inRule('{ protocol: tcp, ports: 080, from: self }'),
      `3:45 error bad-port ${RULE}.ports: '080' is not a port or a range of ports`,
      'write numbers without leading zeros',
    ],
    [
      inRule('{ protocol: tcp, ports: 1e3, from: self }'),
      `3:45 error bad-port ${RULE}.ports: '1e3' is not a port or a range of ports`,
    ],
    [
      inRule('{ protocol: tcp, ports: [80, https], from: self }'),
      `3:50 error bad-port ${RULE}.ports[1]: 'https' is not a port or a range of ports`,
    ],
    [
      inRule('{ protocol: tcp, ports: [], from: self }'),
      `3:45 error missing-ports ${RULE}.ports: the list of ports is empty`,
    ],
    [
      inRule('{ protocol: icmp, ports: 8, from: self }'),
      `3:46 error ports-without-use ${RULE}.ports: icmp has no ports`,
    ],
    [
      inRule('{ protocol: all, ports: 80, from: self }'),
      `3:45 error ports-without-use ${RULE}.ports: ports have no effect with protocol 'all'`,
    ],
    [
      inRule('{ protocol: 132, ports: 80, from: self }'),
      `3:45 error ports-without-use ${RULE}.ports: ports have no effect with protocol 132`,
    ],
    [
      inRule('{ protocol: tcp, ports: 80, type: 8, from: self }'),
      `3:55 error type-without-use ${RULE}.type: a rule for tcp has no ICMP type`,
    ],
    [
      inRule('{ protocol: all, code: 8, from: self }'),
      `3:44 error type-without-use ${RULE}.code: a rule for all has no ICMP code`,
    ],
    [
      inRule('{ protocol: icmp, from: self }'),
      `3:21 error missing-type ${RULE}: an icmp rule needs a type`,
    ],
    [
      inRule('{ protocol: icmpv6, code: 1, from: self }'),
      `3:47 error code-without-type ${RULE}.code: an ICMP code is given without a type`,
    ],
    [
      inRule('{ protocol: icmp, type: 256, from: self }'),
      `3:45 error bad-icmp ${RULE}.type: ICMP type (256) out of range`,
    ],
    [
      inRule('{ protocol: icmp, type: 3, code: 256, from: self }'),
      `3:54 error bad-icmp ${RULE}.code: ICMP code (256) out of range`,
    ],
    [
      inRule('{ protocol: icmp, type: all, code: 4, from: self }'),
      `3:56 error bad-icmp ${RULE}.code: ICMP code (4) is given for all types`,
    ],
    [
      inRule('{ protocol: icmp, type: echo, from: self }'),
      `3:45 error bad-icmp ${RULE}.type: 'echo' is not an ICMP type`,
    ],
  ]);
});

test('rules: peers', () => {
  const from = (peer: string): string => inRule(`{ protocol: all, from: ${peer} }`);
  checkAll([
    [
      from('10.0.0.1/8'),
      `3:44 error bad-cidr ${RULE}.from: '10.0.0.1/8' has bits set beyond its prefix`,
      'the block is 10.0.0.0/8; for the one host write 10.0.0.1/32',
    ],
    [
      from('10.0.0.1'),
      `3:44 error bad-cidr ${RULE}.from: '10.0.0.1' has no prefix length`,
      'for a single host write 10.0.0.1/32',
    ],
    [
      from('10.0.0.010/32'),
      `3:44 error bad-cidr ${RULE}.from: '10.0.0.010' is not an IP address`,
      'a part with a leading zero is octal to some programs; write 10.0.0.10 if you mean decimal',
    ],
    [
      from('10.0.0.0/33'),
      `3:44 error bad-cidr ${RULE}.from: '10.0.0.0/33' has a bad prefix length`,
    ],
    [
      from('fd00::1/64'),
      `3:44 error bad-cidr ${RULE}.from: 'fd00::1/64' has bits set beyond its prefix`,
      'the block is fd00::/64; for the one host write fd00::1/128',
    ],
    [
      from('[10.0.0.0/8, fd00:10::]'),
      `3:57 error wrong-kind ${RULE}.from[1]: expected a string, got a mapping`,
      'a value that ends in a colon must be quoted: "fd00:10::"',
    ],
    [
      from('web'),
      `3:44 error bad-peer ${RULE}.from: 'web' is not a CIDR block, a group or a prefix list`,
      'for the group write sg:web',
    ],
    [
      from('office'),
      `3:44 error bad-peer ${RULE}.from: 'office' is not a CIDR block, a group or a prefix list`,
      'for the prefix list write pl:office',
    ],
    [
      from('any'),
      `3:44 error bad-peer ${RULE}.from: 'any' is not a CIDR block, a group or a prefix list`,
      'for everywhere write ["0.0.0.0/0", "::/0"]',
    ],
    [
      from('example.org'),
      `3:44 error bad-peer ${RULE}.from: 'example.org' is not a CIDR block, a group or a prefix list`,
    ],
    [
      from('sg:wep'),
      `3:44 error unknown-group ${RULE}.from: there is no security group 'wep'; did you mean 'web'?`,
      'security groups: default, web',
    ],
    [
      from('sg:Web'),
      `3:44 error unknown-group ${RULE}.from: there is no security group 'Web'; did you mean 'web'?`,
    ],
    [
      from('sg-0123456789abcdef0'),
      `3:44 error unknown-group ${RULE}.from: there is no security group 'sg-0123456789abcdef0'`,
    ],
    [
      from('pl:ofice'),
      `3:44 error unknown-prefix-list ${RULE}.from: there is no prefix list 'ofice'; did you mean 'office'?`,
      'prefix lists: office',
    ],
    [from('[]'), `3:44 error missing-peer ${RULE}.from: the list 'from' is empty`],
    [inRule('{ protocol: all }'), `3:21 error missing-key ${RULE}: the key 'from' is missing`],
    [
      inRule('{ protocol: all, to: self }'),
      `3:42 error wrong-direction ${RULE}.to: an ingress rule has no 'to'`,
      "the other side of ingress is named with 'from'",
    ],
    [
      'securityGroups: { a: { egress: [{ protocol: all, from: self }] } }',
      "1:56 error wrong-direction securityGroups.a.egress[0].from: an egress rule has no 'from'",
    ],
    [
      inRule('{ protocol: icmp, type: 8, from: "::/0" }'),
      `3:54 warning family-mismatch ${RULE}.from: an icmp rule for ::/0 never matches`,
      'for IPv6 write protocol: icmpv6',
    ],
    [
      inRule('{ protocol: all, from: [self, sg:web] }'),
      `3:21 warning duplicate-rule ${RULE}: the rule 'all from sg:web' is given already in this rule`,
    ],
    [
      inRule('{ protocol: all, from: self, description: "ä" }'),
      `3:63 error bad-description ${RULE}.description: Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*`,
      'the character "ä" is not among them',
    ],
  ]);
});

test('keys and kinds', () => {
  checkAll([
    [
      inRule('{ protocol: tcp, portz: 80, from: self }'),
      `3:38 error unknown-key ${RULE}.portz: unknown key 'portz'; did you mean 'ports'?`,
      'known keys: protocol, ports, type, code, from, description, audit',
    ],
    [
      inRule('{ protocl: all, from: self }'),
      `3:23 error unknown-key ${RULE}.protocl: unknown key 'protocl'; did you mean 'protocol'?`,
    ],
    [
      inRule('{ protocol: all, from: self, <<: { a: 1 } }'),
      `3:50 error unknown-key ${RULE}["<<"]: merge keys ('<<') are not part of YAML 1.2`,
    ],
    [inRule('all'), `3:21 error wrong-kind ${RULE}: expected a mapping, got a string`],
    [
      'securityGroups: { a: { ingress: all } }',
      '1:33 error wrong-kind securityGroups.a.ingress: expected a list, got a string',
      'write [all]',
    ],
    [
      'securityGroups:\n  a:\n    egress:\n',
      '3:12 error wrong-kind securityGroups.a.egress: expected a list, got nothing',
      'write a value, or remove the key',
    ],
    ['securityGroups: [a]', '1:17 error wrong-kind securityGroups: expected a mapping, got a list'],
    ['[1]', '1:1 error wrong-kind : expected a mapping, got a list'],
    [
      'securitygroups: {}',
      "1:1 error unknown-key securitygroups: unknown key 'securitygroups'; did you mean 'securityGroups'?",
    ],
    [
      'conntrack: { midstream: acept }',
      "1:25 error bad-value conntrack.midstream: expected accept or drop, got 'acept'; did you mean 'accept'?",
    ],
    [
      'conntrack: { maxFlows: 0x100 }',
      "1:24 error bad-max-flows conntrack.maxFlows: '0x100' is not a plain decimal number",
    ],
    [
      'conntrack: { maxFlows: 8 }',
      '1:24 error bad-max-flows conntrack.maxFlows: maxFlows 8 is out of range',
      'it goes from 16 to 16000000',
    ],
    [
      'conntrack: { maxFlows: "100" }',
      '1:24 error wrong-kind conntrack.maxFlows: expected a whole number, got a string',
      'write 100 without quotes',
    ],
  ]);
});

test('groups and prefix lists', () => {
  checkAll([
    [
      'securityGroups: { Web: {}, web: {} }',
      "1:28 error duplicate-name securityGroups.web: the security group 'web' exists already on line 1 as 'Web'; names are compared without regard to case",
    ],
    [
      'securityGroups: { sg-web: {} }',
      '1:19 error bad-name securityGroups["sg-web"]: Value (sg-web) for parameter GroupName is invalid. Group names may not be in the format sg-*.',
    ],
    [
      'securityGroups: { a: { id: sg-1 } }',
      '1:28 error bad-id securityGroups.a.id: Invalid id: "sg-1" (expecting "sg-...")',
    ],
    [
      'securityGroups:\n  a: { id: sg-01234567 }\n  b: { id: sg-01234567 }',
      "3:3 error duplicate-id securityGroups.b: the id sg-01234567 is taken by the security group 'a' on line 2",
    ],
    [
      'securityGroups: { a: { description: "é" } }',
      '1:37 error bad-description securityGroups.a.description: Value (é) for parameter GroupDescription is invalid. Character sets beyond ASCII are not supported.',
    ],
    [
      'prefixLists: { a: { entries: [10.0.0.0/8, "fd00::/8"] } }',
      '1:43 error mixed-families prefixLists.a.entries[1]: fd00::/8 is IPv6 in a list of IPv4 blocks',
    ],
    [
      'prefixLists: { a: { entries: [10.0.0.0/8, 11.0.0.0/8], maxEntries: 1 } }',
      '1:68 error too-many-entries prefixLists.a.maxEntries: the list has 2 entries, more than its maxEntries 1',
    ],
    [
      'prefixLists: { a: { entries: [] } }',
      '1:30 error missing-family prefixLists.a.entries: a prefix list without entries needs a family',
    ],
    [
      'prefixLists: { a: { entries: [10.0.0.0/8, 10.0.0.0/8] } }',
      '1:43 warning duplicate-entry prefixLists.a.entries[1]: 10.0.0.0/8 is in the list already on line 1',
    ],
    [
      'prefixLists: { a: { entries: [{ cidr: 10.0.0.1/8 }] } }',
      "1:39 error bad-cidr prefixLists.a.entries[0].cidr: '10.0.0.1/8' has bits set beyond its prefix",
    ],
    [
      'prefixLists: { a: { entries: [10.0.0.0/8], id: pl-x } }',
      '1:48 error bad-id prefixLists.a.id: Invalid id: "pl-x" (expecting "pl-...")',
    ],
    [
      'prefixLists: { a: {} }',
      "1:19 error missing-key prefixLists.a: the key 'entries' is missing",
      'CIDR blocks of one address family.',
    ],
    [
      'prefixLists: { com.amazonaws.s3: { entries: [10.0.0.0/8] } }',
      `1:16 error bad-name prefixLists["com.amazonaws.s3"]: the name of a prefix list must not start with 'com.amazonaws'`,
    ],
  ]);
});

test('an uplink can be no veth', () => {
  const text = 'uplink: { veth: up0, addresses: [10.0.0.1/24] }\ninterfaces: {}\n';
  assert.deepEqual(problemLines(loadText(text).problems), [
    '1:9 error missing-device uplink: the uplink has no device',
    "1:11 error unknown-key uplink.veth: unknown key 'veth'",
  ]);
});

test('interfaces, devices, the uplink', () => {
  const one = (rest: string, device = 'name: eth0'): string =>
    `interfaces:\n  a: { device: { ${device} }, ${rest} }\n`;
  const two = (device: string, address: string): string =>
    `${one('addresses: [10.0.0.9]', 'name: eth0, netns: x')}  b: { device: { ${device} }, addresses: [${address}] }\n`;
  const OK = 'addresses: [10.0.0.9]';
  checkAll([
    [
      `workers: 2\n${one(OK, 'kind: stream, path: /run/vm.sock')}`,
      '3:16 error stream-workers interfaces.a.device: a stream has one queue, and there are 2 packet loops',
      'leave workers out, or give the machine a TAP (kind: attach)',
    ],
    [
      one(OK, 'kind: stream'),
      "2:16 error missing-key interfaces.a.device: the key 'path' is missing",
    ],
    [
      one(OK, 'path: /run/vm.sock, kind: stream, name: eth0'),
      "2:58 error stream-device interfaces.a.device.name: 'name' is of no use for a stream",
      'a stream has a socket (path) and no interface; leave this out',
    ],
    [
      one(OK, 'path: /run/vm.sock, kind: stream, netns: web'),
      "2:59 error stream-device interfaces.a.device.netns: 'netns' is of no use for a stream",
    ],
    [
      one(OK, 'path: /run/vm.sock, kind: stream, configure: false'),
      "2:63 error stream-device interfaces.a.device.configure: 'configure' is of no use for a stream",
    ],
    [
      one(OK, 'path: /run/vm.sock, kind: stream, persist: true'),
      "2:61 error stream-device interfaces.a.device.persist: 'persist' is of no use for a stream",
    ],
    [
      one(OK, 'name: eth0, netns: web, path: /run/vm.sock'),
      "2:48 error stream-device interfaces.a.device.path: 'path' is of no use for a tun",
      'write kind: stream, or leave this out',
    ],
    [
      one(OK, 'name: eth0, netns: web, group: kvm'),
      "2:49 error stream-device interfaces.a.device.group: 'group' is of no use for a tun",
      'write kind: stream, or leave this out',
    ],
    [
      one(OK, 'kind: stream, path: /run/vm.sock, group: a b'),
      "2:59 error bad-socket-group interfaces.a.device.group: 'a b' can't be the name of a group",
      'write a name or number of /etc/group',
    ],
    ...['vm.sock', '/run/../vm.sock', '/run//vm.sock', '/run/', '/.'].map(
      (path) =>
        [
          one(OK, `kind: stream, path: ${path}`),
          `2:38 error bad-socket-path interfaces.a.device.path: '${path}' can't be the path of a socket`,
          "write it whole and without '.', '..' and '//', as /run/secgroupd/vm1.sock",
        ] as const,
    ),
    [
      one(OK, `kind: stream, path: /${'x'.repeat(107)}`),
      "2:38 error bad-socket-path interfaces.a.device.path: the socket's path has 108 bytes",
      'Linux takes 107',
    ],
    [
      one(OK, 'name: vm1, kind: attach, configure: false'),
      "2:54 error attached-device interfaces.a.device.configure: 'configure' is of no use for an attached device",
      'who makes the device configures it; leave this out',
    ],
    [
      one(OK, 'kind: attach'),
      "2:16 error missing-key interfaces.a.device: the key 'name' is missing",
      'write the name of the interface, a pattern for it (vnet*), its alias or its hostMac',
    ],
    [
      one(OK, "kind: attach, name: '*?'"),
      "2:38 error bad-device-name interfaces.a.device.name: '*?' is every interface, also those of the host",
      'write more of the name (vnet*), its alias or its hostMac',
    ],
    [
      one(OK, "kind: attach, name: 'vnet/*'"),
      "2:38 error bad-device-name interfaces.a.device.name: the device name 'vnet/*' has a character Linux does not take",
    ],
    [
      one(OK, `kind: attach, alias: ${'x'.repeat(256)}`),
      '2:39 error bad-alias interfaces.a.device.alias: the alias has 256 bytes',
      'Linux takes 1 to 255',
    ],
    [
      one(OK, String.raw`kind: attach, alias: "web\u0007"`),
      '2:39 error bad-alias interfaces.a.device.alias: the alias has a character that nobody can read',
    ],
    [
      one(OK, 'kind: attach, alias: secgroupd 1f0c92d6 web'),
      "2:39 error bad-alias interfaces.a.device.alias: an alias that begins with 'secgroupd ' is that of a veth pair of secgroupd's own",
      'give the interface another one',
    ],
    [
      one(OK, 'kind: veth, netns: web'),
      "2:16 error missing-key interfaces.a.device: the key 'name' is missing",
    ],
    [
      one(OK, 'kind: veth, name: eth0, hostMac: fe:54:00:00:00:11'),
      "2:51 error match-of-own-device interfaces.a.device.hostMac: 'hostMac' is of no use for a veth: it finds an interface that somebody else made",
      'write kind: attach, or leave it out',
    ],
    [
      one(OK, 'kind: veth, name: eth0, path: /run/vm.sock'),
      "2:48 error stream-device interfaces.a.device.path: 'path' is of no use for a veth",
    ],
    [
      one(OK, 'kind: attach, hostMac: 03:00:00:00:00:01'),
      "2:41 error bad-mac interfaces.a.device.hostMac: '03:00:00:00:00:01' is not the MAC address of an interface",
      "write it as 'ip link show' does: fe:54:00:00:00:11",
    ],
    [
      one(OK, 'name: eth0, alias: web-1'),
      "2:37 error match-of-own-device interfaces.a.device.alias: 'alias' is of no use for a tun: it finds an interface that somebody else made",
      'write kind: attach, or leave it out',
    ],
    [
      `${one(OK, "kind: attach, name: 'vnet*'")}  b: { device: { kind: attach, alias: web-1 }, addresses: [10.0.0.8] }\n`,
      "3:16 error overlapping-devices interfaces.b.device: an interface can be both 'alias web-1' and 'vnet*' of interface 'a' on line 2",
      'tell them apart by their names, aliases or hostMac, as with name: veth* and name: vnet*',
    ],
    [
      `${one(OK, 'kind: attach, alias: web-1')}  b: { device: { kind: attach, alias: web-1 }, addresses: [10.0.0.8] }\n`,
      "3:16 error duplicate-device interfaces.b.device: the device 'alias web-1' belongs to interface 'a' on line 2 already",
    ],
    [
      `uplink: { tun: up0, addresses: [10.0.0.1/24] }\n${one(OK, "kind: attach, name: 'up*'")}`,
      "3:16 error overlapping-devices interfaces.a.device: an interface can be both 'up*' and 'up0' of the uplink on line 1",
    ],
    [
      one(OK, 'name: tap0, kind: tap, mac: 03:00:00:00:00:01'),
      "2:46 error bad-mac interfaces.a.device.mac: '03:00:00:00:00:01' is not the MAC address of a host",
      'write it as 02:00:00:00:00:11',
    ],
    [
      one(OK, 'name: eth0, mac: 02:00:00:00:00:01'),
      '2:35 error bad-mac interfaces.a.device.mac: a tun has no MAC address',
    ],
    [
      one(OK, 'name: eth0, dhcp: true'),
      '2:36 error dhcp-without-link interfaces.a.device.dhcp: a tun carries no Ethernet, so nobody can ask for an address there',
      'leave dhcp out',
    ],
    [
      'dhcpOptions: { domainNameServers: [10.0.0.2, resolver] }',
      "1:46 error bad-address dhcpOptions.domainNameServers[1]: 'resolver' is not an IP address",
    ],
    [
      'dhcpOptions: { domainNameServers: [10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, fd00::1, 10.0.0.5] }',
      '1:85 error too-many-dns-servers dhcpOptions.domainNameServers[5]: there are more than 4 DNS servers of IPv4',
      'AWS has at most 4 in a set; leave it out',
    ],
    [
      'uplink: { tun: up0, attach: eth1, addresses: [10.0.0.1/24] }',
      "1:21 error unknown-key uplink.attach: unknown key 'attach'",
    ],
    [
      one('addresses: [10.0.0.9/32]'),
      "2:44 error bad-address interfaces.a.addresses[0]: '10.0.0.9/32' is a CIDR block, not an address",
    ],
    [
      one('addresses: [10.0.0.300]'),
      "2:44 error bad-address interfaces.a.addresses[0]: '10.0.0.300' is not an IP address",
      'each of the four parts goes from 0 to 255',
    ],
    [
      one('addresses: ["fe80::1%eth0"]'),
      "2:44 error bad-address interfaces.a.addresses[0]: 'fe80::1%eth0' is not an IPv6 address",
    ],
    [
      one('addresses: ["::1"]'),
      '2:44 error bad-address interfaces.a.addresses[0]: ::1 is the loopback address, not an address of a host',
    ],
    [
      one('addresses: [240.0.0.11]'),
      '2:44 error bad-address interfaces.a.addresses[0]: 240.0.0.11 is a reserved address (class E), not an address of a host',
      'set `classE: true` to use this block as any other',
    ],
    [
      one('addresses: [255.255.255.255]'),
      '2:44 error bad-address interfaces.a.addresses[0]: 255.255.255.255 is the broadcast address, not an address of a host',
    ],
    [
      one('addresses: [169.254.169.254]'),
      '2:44 error reserved-address interfaces.a.addresses[0]: 169.254.169.254 is reserved for the platform',
    ],
    [
      one('addresses: []'),
      '2:43 error missing-address interfaces.a.addresses: an interface needs at least one address',
    ],
    [
      two('name: eth1', '10.0.0.9'),
      "3:44 error duplicate-address interfaces.b.addresses[0]: 10.0.0.9 belongs to interface 'a' on line 2 already",
    ],
    [
      two('name: eth0, netns: /run/netns/x', '10.0.0.8'),
      "3:16 error duplicate-device interfaces.b.device: the device 'eth0' in namespace /run/netns/x belongs to interface 'a' on line 2 already",
    ],
    [
      `uplink: { tun: up, addresses: [10.0.0.9/24] }\n${one(OK)}`,
      '3:44 error duplicate-address interfaces.a.addresses[0]: 10.0.0.9 belongs to the uplink on line 1 already',
    ],
    [
      one(`${OK}, securityGroups: []`),
      '2:71 error missing-group interfaces.a.securityGroups: an interface has at least one security group',
    ],
    [
      one(`${OK}, securityGroups: [deflaut]`),
      "2:72 error unknown-group interfaces.a.securityGroups[0]: there is no security group 'deflaut'; did you mean 'default'?",
    ],
    [
      one(`${OK}, securityGroups: [sg:default]`),
      "2:72 error unknown-group interfaces.a.securityGroups[0]: there is no security group 'sg:default'; did you mean 'default'?",
    ],
    [
      one(`${OK}, sourceDestCheck: "no"`),
      '2:72 error wrong-kind interfaces.a.sourceDestCheck: expected true or false, got a string',
    ],
    [
      one(`${OK}, connectionTracking: { tcpEstablishedTimeout: 59 }`),
      '2:100 error bad-timeout interfaces.a.connectionTracking.tcpEstablishedTimeout: tcpEstablishedTimeout 59 is out of range',
      'it goes from 60 to 432000',
    ],
    [
      one(`${OK}, connectionTracking: { udpTimeout: 61 }`),
      '2:89 error bad-timeout interfaces.a.connectionTracking.udpTimeout: udpTimeout 61 is out of range',
      'it goes from 30 to 60',
    ],
    [
      one(`${OK}, connectionTracking: { udpStreamTimeout: 181 }`),
      '2:95 error bad-timeout interfaces.a.connectionTracking.udpStreamTimeout: udpStreamTimeout 181 is out of range',
      'it goes from 60 to 180',
    ],
    [
      one(OK, 'name: a-very-long-name'),
      "2:24 error bad-device-name interfaces.a.device.name: the device name 'a-very-long-name' has 16 bytes",
      'Linux takes 1 to 15',
    ],
    [
      one(OK, 'name: tun%d'),
      "2:24 error bad-device-name interfaces.a.device.name: the device name 'tun%d' has a character Linux does not take",
    ],
    [
      one(OK, 'name: eth0, netns: ../x'),
      "2:37 error bad-netns interfaces.a.device.netns: '../x' is neither the name of a namespace nor a path",
    ],
    [
      one(OK, 'name: eth0, netns: 1.5'),
      "2:37 error bad-netns interfaces.a.device.netns: '1.5' is not a process id",
    ],
    [
      one(OK, 'name: eth0, mtu: 575'),
      '2:35 error bad-mtu interfaces.a.device.mtu: mtu 575 is out of range',
    ],
    [
      one('addresses: ["fd00::9"]', 'name: eth0, mtu: 1279'),
      '2:35 error bad-mtu interfaces.a.device.mtu: mtu 1279 is too small for IPv6',
    ],
    [
      one(OK, 'name: eth0, kind: vlan'),
      "2:36 error bad-value interfaces.a.device.kind: expected tun, tap, attach, veth or stream, got 'vlan'",
    ],
    [one(OK, 'kind: tun'), "2:16 error missing-key interfaces.a.device: the key 'name' is missing"],
    [
      `interfaces: { "a b": { device: { name: eth0 }, ${OK} } }`,
      `1:15 error bad-name interfaces["a b"]: 'a b' can't be the name of an interface`,
    ],
    [
      'uplink: { netns: x }',
      '1:9 error missing-device uplink: the uplink has no device',
      'write tun: NAME or tap: NAME',
    ],
    [
      'uplink: { tun: a, tap: b }',
      "1:24 error two-devices uplink.tap: the uplink has both 'tun' and 'tap'",
    ],
    [
      'uplink: { tun: a, addresses: [10.0.0.1] }',
      "1:31 error bad-address uplink.addresses[0]: '10.0.0.1' has no prefix length",
      'write the on-link prefix as well, as 10.0.0.1/24',
    ],
    [
      'uplink: { tun: a, addresses: [10.0.0.1/24], gateways: [10.0.0.2] }',
      '1:56 error gateway-without-link uplink.gateways[0]: only a TAP has a link with a gateway on it',
    ],
    [
      'uplink: { tap: a, addresses: [10.0.0.1/24], gateways: [10.0.0.2, 10.0.0.3] }',
      '1:66 error two-gateways uplink.gateways[1]: there is another gateway for IPv4',
    ],
    [
      'uplink: { tap: a, addresses: [10.0.0.1/24], gateways: [10.0.1.2] }',
      "1:56 error gateway-off-link uplink.gateways[0]: 10.0.1.2 is in no prefix of the uplink's addresses, so nobody on its link can be asked for it",
    ],
    [
      'uplink: { tun: a, routes: [10.0.0.1/8] }',
      "1:28 error bad-cidr uplink.routes[0]: '10.0.0.1/8' has bits set beyond its prefix",
    ],
  ]);
});

test('the VPC and the metrics', () => {
  checkAll([
    [
      'vpc: { cidrBlocks: [10.0.0.0/8] }',
      '1:21 warning vpc-size vpc.cidrBlocks[0]: 10.0.0.0/8 is no size AWS gives a VPC',
    ],
    [
      'vpc: { cidrBlocks: [10.0.0.0/16, 10.0.1.0/24] }',
      '1:34 error block-overlap vpc.cidrBlocks[1]: the block 10.0.1.0/24 overlaps the block 10.0.0.0/16',
    ],
    [
      'vpc: { cidrBlocks: [10.0.0.0/16], subnets: [10.1.0.0/24] }',
      '1:45 error subnet-outside-vpc vpc.subnets[0]: the subnet 10.1.0.0/24 is in no block of the VPC',
      'blocks: 10.0.0.0/16',
    ],
    [
      'vpc: { subnets: [10.1.0.0/24, 10.1.0.128/25] }',
      '1:31 error subnet-overlap vpc.subnets[1]: the subnet 10.1.0.128/25 overlaps the subnet 10.1.0.0/24',
    ],
    [
      'vpc: { cidrBlocks: [10.0.0.0/16] }\ninterfaces: { a: { device: { name: x }, addresses: [10.1.0.1] } }',
      '2:53 warning address-outside-vpc interfaces.a.addresses[0]: 10.1.0.1 is in no block of the VPC',
    ],
    [
      'vpc: { cidrBlocks: [10.0.0.0/16] }\ninterfaces: { a: { device: { name: x }, addresses: [10.0.0.2] } }',
      '2:53 error reserved-address interfaces.a.addresses[0]: 10.0.0.2 is reserved for the platform',
    ],
    [
      'platformServices: [dns, imds]',
      "1:25 error unknown-service platformServices[1]: 'imds' is no service of the platform",
      'services: dns, dhcp, instance-metadata, task-metadata, time-sync, windows-activation',
    ],
    [
      'platformServices: [dns, instance-metadata]\nuplink: { tun: u }',
      "1:25 warning host-credentials platformServices[1]: every instance may reach 169.254.169.254 as this host does; on a cloud host the credentials of the host's own role are there",
    ],
    [
      'platform: { tun: p, netns: p }',
      '1:11 error platform-without-services platform: nothing is there to answer for: platformServices names no service with an address',
      'name some, as platformServices: [dns, instance-metadata], or leave platform out',
    ],
    [
      'platformServices: [dhcp]\nplatform: { tun: p, netns: p }',
      '2:11 error platform-without-services platform: nothing is there to answer for: platformServices names no service with an address',
    ],
    [
      'platformServices: [dns]\nplatform: { netns: p }',
      '2:11 error missing-device platform: the platform has no device',
      'write tun: sg-platform',
    ],
    [
      'platformServices: [dns]\nplatform: { tun: p }',
      "2:11 error platform-in-host platform: the platform's device is in the host's own network namespace, and would take the services' addresses from the host",
      'make a namespace (ip netns add sg-platform), and name it: netns: sg-platform',
    ],
    [
      'platformServices: [dns]\nplatform: yes please',
      '2:11 error wrong-kind platform: expected a mapping, got a string',
    ],
    [
      'platformServices: [dns]\nplatform: { tun: p, netns: p, tap: q }',
      "2:31 error unknown-key platform.tap: unknown key 'tap'",
    ],
    [
      'platformServices: [dns]\nplatform: { tun: p, netns: p }\ninterfaces: { platform: { device: { name: a }, addresses: [10.0.0.9] } }',
      "2:11 error duplicate-name platform: an interface is called 'platform' too, on line 3",
      'give the interface another name',
    ],
    [
      'platformServices: [dns]\nplatform: { tun: p, netns: p }\nvpc: { cidrBlocks: [10.0.0.0/16] }\nuplink: { tun: u, netns: w, addresses: [10.0.0.2/16] }',
      '2:11 error duplicate-address platform: 10.0.0.2 belongs to the uplink on line 4 already',
      'give each interface its own addresses',
    ],
    [
      'metrics: { listen: "::1:9469" }',
      "1:20 error bad-listen metrics.listen: '::1:9469' is not an address to listen on",
      'write an IPv6 address in brackets: [::1]:9469',
    ],
    [
      'metrics: { listen: ":9469" }',
      "1:20 error bad-listen metrics.listen: ':9469' is not an address to listen on",
      'write 127.0.0.1:9469, or 0.0.0.0:9469 to be reached from everywhere',
    ],
    [
      'metrics: { listen: 65536 }',
      "1:20 error bad-listen metrics.listen: '65536' is not an address to listen on",
    ],
    [
      'metrics: { listen: "127.0.0.01:80" }',
      "1:20 error bad-listen metrics.listen: '127.0.0.01:80' is not an address to listen on",
    ],
  ]);
});

test('quotas of AWS are warnings, a family and a direction at a time', () => {
  const peers = (count: number): string =>
    Array.from({ length: count }, (_, i) => `10.0.${i}.0/24`).join(', ');
  const group = (list: string): string =>
    `securityGroups: { a: { ingress: [{ protocol: all, from: [${list}] }] } }`;
  assert.deepEqual(loadText(group(peers(60))).problems, []);
  assert.deepEqual(loadText(group(`${peers(60)}, "::/0"`)).problems, []);
  checkAll([
    [
      group(peers(61)),
      "1:19 warning quota-rules securityGroups.a: the security group 'a' has 61 ingress rules for IPv4, more than the 60 AWS takes unless its quota is raised",
    ],
    [
      'prefixLists: { p: { entries: [10.0.0.0/8], maxEntries: 61 } }\nsecurityGroups: { a: { ingress: [{ protocol: all, from: pl:p }] } }',
      "2:19 warning quota-rules securityGroups.a: the security group 'a' has 61 ingress rules for IPv4, more than the 60 AWS takes unless its quota is raised",
    ],
    [
      'securityGroups: { a: {}, b: {}, c: {}, d: {}, e: {}, f: {} }\ninterfaces: { i: { device: { name: x }, addresses: [10.0.0.9], securityGroups: [a, b, c, d, e, f] } }',
      "2:15 warning quota-memberships interfaces.i.securityGroups: the interface 'i' has 6 security groups, more than the 5 AWS takes unless its quota is raised",
    ],
  ]);
});

test('all mistakes of a file are told at once, in the order of the text', () => {
  const { config, problems } = loadText(`\
vpc: { cidrBlocks: [10.0.0.1/16] }
uplink: { tun: a-very-long-name, mtu: 1 }
colour: red
prefixLists:
  office: { entries: [203.0.113.0/24, "::/0"], maxEntries: 1 }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, portz: 80, from: 0.0.0.0/0 }
      - { protocol: tcp, ports: 80, from: sg:wep }
      - { protocol: icmp, ports: 8, to: self }
    egress: all
  WEB: {}
  db: []
interfaces:
  a: { device: { name: eth0, kind: tan }, addresses: [10.0.0.9], securityGroups: [dbs] }
  b: { device: { name: eth0 }, addresses: [10.0.0.9, 1.2.3], sourceDestCheck: 1 }
  c: {}
conntrack: { midstream: no }
metrics: { listen: x }
`);
  assert.equal(config, undefined);
  assert.deepEqual(problemLines(problems), [
    "1:21 error bad-cidr vpc.cidrBlocks[0]: '10.0.0.1/16' has bits set beyond its prefix",
    "2:16 error bad-device-name uplink.tun: the device name 'a-very-long-name' has 16 bytes",
    '2:39 error bad-mtu uplink.mtu: mtu 1 is out of range',
    "3:1 error unknown-key colour: unknown key 'colour'",
    '5:39 error mixed-families prefixLists.office.entries[1]: ::/0 is IPv6 in a list of IPv4 blocks',
    '5:60 error too-many-entries prefixLists.office.maxEntries: the list has 2 entries, more than its maxEntries 1',
    "9:26 error unknown-key securityGroups.web.ingress[0].portz: unknown key 'portz'; did you mean 'ports'?",
    "10:43 error unknown-group securityGroups.web.ingress[1].from: there is no security group 'wep'; did you mean 'web'?",
    '11:34 error ports-without-use securityGroups.web.ingress[2].ports: icmp has no ports',
    "11:41 error wrong-direction securityGroups.web.ingress[2].to: an ingress rule has no 'to'",
    '12:13 error wrong-kind securityGroups.web.egress: expected a list, got a string',
    "13:3 error duplicate-name securityGroups.WEB: the security group 'WEB' exists already on line 7 as 'web'; names are compared without regard to case",
    '14:7 error wrong-kind securityGroups.db: expected a mapping, got a list',
    "16:36 error bad-value interfaces.a.device.kind: expected tun, tap, attach, veth or stream, got 'tan'; did you mean 'tun'?",
    "16:83 error unknown-group interfaces.a.securityGroups[0]: there is no security group 'dbs'; did you mean 'db'?",
    "17:16 error duplicate-device interfaces.b.device: the device 'eth0' belongs to interface 'a' on line 16 already",
    "17:44 error duplicate-address interfaces.b.addresses[0]: 10.0.0.9 belongs to interface 'a' on line 16 already",
    "17:54 error bad-address interfaces.b.addresses[1]: '1.2.3' is not an IP address",
    '17:79 error wrong-kind interfaces.b.sourceDestCheck: expected true or false, got a number',
    "18:6 error missing-key interfaces.c: the key 'addresses' is missing",
    "18:6 error missing-key interfaces.c: the key 'device' is missing",
    "19:25 error bad-value conntrack.midstream: expected accept or drop, got 'no'",
    "20:20 error bad-listen metrics.listen: 'x' is not an address to listen on",
  ]);
});

describe('mutated texts', () => {
  const SEED = `\
vpc: { cidrBlocks: [10.0.0.0/16, "fd00:10::/56"], subnets: [10.0.0.0/24] }
uplink: { tun: up, netns: outside, addresses: [10.0.0.1/16], routes: [10.1.0.0/16], mtu: 1500 }
prefixLists: { office: { entries: [203.0.113.0/24, { cidr: 198.51.100.0/24 }], maxEntries: 20 } }
securityGroups:
  web: {}
  db:
    ingress:
      - { protocol: tcp, ports: [8000-8010, 22], from: ["sg:web", 10.0.0.0/8] }
      - { protocol: icmp, type: 8, code: all, from: "pl:office" }
    egress: []
interfaces:
  a: { device: { kind: tun, netns: web-1, name: eth0 }, addresses: [10.0.0.11], securityGroups: [web] }
conntrack: { maxFlows: 1024 }
metrics: { listen: 9469 }
`;
  const WORDS = [
    '',
    ' ',
    '\n',
    ':',
    '-',
    '[',
    ']',
    '{',
    '}',
    '"',
    "'",
    '&a ',
    '*a',
    '!x ',
    '!!set ',
    '~',
    '<<: ',
    '|',
    '#',
    '%',
    '0x1',
    '-1',
    '1e9',
    '.nan',
    'true',
    '::',
    '/',
    '__proto__: ',
    'constructor',
    '\0',
    '\u{1f600}',
    '\t',
  ];

  test('give a configuration or at least one error, and never an exception', () => {
    const mutation = fc.record({
      at: fc.nat(SEED.length),
      drop: fc.nat(6),
      put: fc.oneof(fc.constantFrom(...WORDS), fc.string({ maxLength: 4 })),
    });
    fc.assert(
      fc.property(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) => {
        let text = SEED;
        for (const { at, drop, put } of mutations)
          text = text.slice(0, at) + put + text.slice(at + drop);
        const { config, problems } = loadText(text);
        assert.equal(
          config === undefined,
          problems.some(({ severity }) => severity === 'error'),
        );
        for (const { at, message } of problems) {
          assert.ok(at !== undefined && at.line >= 1 && at.column >= 1, message);
          assert.ok(message !== '');
        }
      }),
      { numRuns: 2000 },
    );
  });

  test('values of any kind in any place are refused or understood, never thrown at', () => {
    const keys = [
      'vpc',
      'uplink',
      'templates',
      'prefixLists',
      'securityGroups',
      'interfaces',
      'conntrack',
      'metrics',
      'ingress',
      'egress',
      'protocol',
      'ports',
      'from',
      'device',
      'addresses',
      'name',
      'listen',
      'entries',
      'cidr',
      '__proto__',
      'toString',
    ];
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.constantFrom(null, true, 0, -1, 1.5, '', 'x', '10.0.0.0/8', 'self', 'tcp'),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(fc.constantFrom(...keys), tie('value'), { maxKeys: 4 }),
      ),
    }));
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...keys.filter((key) => key !== 'templates')), value, {
          minKeys: 1,
          maxKeys: 6,
        }),
        (document) => {
          const { config, problems } = loadText(JSON.stringify(document));
          assert.equal(
            config === undefined,
            problems.some(({ severity }) => severity === 'error'),
          );
        },
      ),
      { numRuns: 1000 },
    );
  });
});
