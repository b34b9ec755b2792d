/** What DHCP tells an instance: which interfaces are served, and mask, router and DNS by what the configuration says. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { leaseOf } from '../../src/config/leases.ts';
import { formatProblem } from '../../src/source/problem.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgt-leases-'));
after(() => rmSync(folder, { recursive: true }));

/** The lease of the interface `a` in words. */
function leaseIn(text: string, device = 'kind: attach, name: vm1', more = ''): string {
  const file = join(folder, 'config.yaml');
  const one = `interfaces: { a: { device: { ${device} }, addresses: [10.0.0.11, 10.0.0.12, 'fd00:10::11', 'fd00:10::12']${more} } }\n`;
  writeFileSync(file, `${text}\n${one}`);
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  assert.ok(config, problems.map(formatProblem).join('\n'));
  const lease = leaseOf(config, config.interfaces[0]);
  if (lease === undefined) return 'none';
  const v4 = (word: number): string => formatAddress({ family: 4, words: [word] });
  const v6 = (words: readonly number[]): string => formatAddress({ family: 6, words: [...words] });
  const { address, prefixLength, router, dns } = lease.ipv4!;
  const six = lease.ipv6!;
  const dns6 = six.dns.length === 0 ? '-' : v6(six.dns);
  return `${v4(address)}/${prefixLength} by ${v4(router)} dns ${dns.map(v4).join() || '-'}; ${v6(six.address)} dns ${dns6}`;
}

const A6 = 'fd00:10::11 dns -';

test('served is who has Ethernet and is configured by nobody here, or as it is said', () => {
  const cases: readonly (readonly [device: string, isServed: boolean])[] = [
    ['kind: attach, name: vm1', true],
    ['kind: attach, name: vm1, dhcp: false', false],
    ['kind: tap, name: vm1', false],
    ['kind: tap, name: vm1, dhcp: true', true],
    ['kind: tap, name: eth0, netns: web', false],
    ['kind: tap, name: eth0, netns: web, dhcp: true', true],
    ['kind: tap, name: eth0, netns: web, configure: false', true],
    ['name: eth0, netns: web', false],
    ['name: eth0', false],
  ];
  for (const [device, isServed] of cases)
    assert.equal(leaseIn('', device) !== 'none', isServed, device);
});

test('mask and router are those of the smallest subnet, of the uplink, or of nothing', () => {
  const uplink = (list: string): string => `uplink: { tun: u, addresses: [${list}] }`;
  const cases: readonly (readonly [string, string])[] = [
    ['', `10.0.0.11/32 by 169.254.0.1 dns -; ${A6}`],
    [uplink('10.0.0.1/32'), `10.0.0.11/32 by 10.0.0.1 dns -; ${A6}`],
    [uplink("'fd00::1/64', 198.51.100.7/24, 10.0.0.3/24"), `10.0.0.11/24 by 10.0.0.3 dns -; ${A6}`],
    [
      `vpc: { subnets: [10.0.0.0/20, 10.1.0.0/24] }\n${uplink('10.0.0.3/24')}`,
      `10.0.0.11/20 by 10.0.0.1 dns -; ${A6}`,
    ],
  ];
  for (const [text, expected] of cases) assert.equal(leaseIn(text), expected, text);
});

test('DNS is what dhcpOptions says, or else what the platform provides', () => {
  const dns = 'platformServices: [dns, time-sync]';
  const link = '10.0.0.11/32 by 169.254.0.1 dns';
  const SIX = 'fd00:10::11 dns';
  assert.equal(leaseIn(dns), `${link} 169.254.169.253; ${SIX} fd00:ec2::253`);
  const vpc = `vpc: { cidrBlocks: [10.0.0.0/16] }\n${dns}`;
  assert.equal(leaseIn(vpc), `${link} 10.0.0.2; ${SIX} fd00:ec2::253`);
  const two = `vpcs: { a: { cidrBlocks: [10.1.0.0/16] }, b: { cidrBlocks: [10.0.0.0/16] } }\n${dns}`;
  const inB = ', vpc: b';
  assert.equal(leaseIn(two, undefined, inB), `${link} 10.0.0.2; ${SIX} fd00:ec2::253`);
  const own = "dhcpOptions: { domainNameServers: [192.0.2.1, '2001:db8::1', 192.0.2.2] }";
  assert.equal(leaseIn(`${own}\n${dns}`), `${link} 192.0.2.1,192.0.2.2; ${SIX} 2001:db8::1`);
  assert.equal(leaseIn(`dhcpOptions: { domainNameServers: [] }\n${dns}`), `${link} -; ${SIX} -`);
});
