/** Addresses of IPv6 that only AWS will know: what depends on them is not decidable, and what does not is decided. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Config } from '../../src/config/config.ts';
import { plan, type Json, type Small } from './plan.ts';
import { load, verdictOf, writeFolder } from './support.ts';

const idOf = (address: string): Json => ({ references: [`${address}.id`, address] });
const ANYWHERE = {
  ...{ protocol: '-1', from_port: 0, to_port: 0 },
  ...{ cidr_blocks: ['0.0.0.0/0'], ipv6_cidr_blocks: ['::/0'] },
};
const tcp = (port: number, block: string): Json => ({
  ...{ protocol: 'tcp', from_port: port, to_port: port },
  ...(block.includes(':') ? { ipv6_cidr_blocks: [block] } : { cidr_blocks: [block] }),
});

interface Made {
  /** Of the subnet of a. */
  readonly subnet?: Json;
  readonly interface?: Json;
  readonly written?: Json;
}

/** `a` asks `b`, whose addresses are known. AWS computes `ipv6_addresses` of any interface that it makes. */
function planned(
  t: TestContext,
  { subnet = {}, interface: more = {}, written = {} }: Made,
): Config {
  const groups = {
    a: { egress: [ANYWHERE] },
    b: {
      ingress: [
        ...[tcp(80, '0.0.0.0/0'), tcp(80, '::/0'), tcp(443, '10.0.0.0/16')],
        ...[tcp(443, '2600:1::/64'), tcp(22, '2600:1::/56'), tcp(25, '2600:2::/64')],
      ],
    },
  };
  const resources: Small[] = [
    { address: 'aws_vpc.main', values: { cidr_block: '10.0.0.0/16' } },
    {
      address: 'aws_subnet.one',
      values: { cidr_block: '10.0.0.0/24', ...subnet },
      unknown: { vpc_id: true },
      expressions: { vpc_id: idOf('aws_vpc.main') },
    },
    ...Object.entries(groups).map(([name, values]) => ({
      address: `aws_security_group.${name}`,
      values: { name, ingress: [], egress: [], ...values },
      expressions: { ingress: {}, egress: {} },
    })),
    ...(['a', 'b'] as const).map((name, i): Small => ({
      address: `aws_network_interface.${name}`,
      values: {
        private_ips: [`10.0.0.${10 + i}`],
        ...(name === 'a' ? more : { ipv6_addresses: ['2600:1::b'] }),
      },
      unknown: {
        ...{ subnet_id: true, security_groups: true },
        ...(name === 'a' ? { ipv6_addresses: true } : {}),
      },
      expressions: {
        subnet_id: idOf('aws_subnet.one'),
        security_groups: idOf(`aws_security_group.${name}`),
        ...(name === 'a' ? written : {}),
      },
    })),
  ];
  const folder = writeFolder(t, { 'plan.json': plan(resources) });
  const { config, problems } = load(join(folder, 'plan.json'));
  assert.deepEqual(problems, []);
  return config;
}

const verdicts = (config: Config, from: string, to: string): readonly string[] =>
  [80, 443, 22, 25].map((port) => verdictOf(config, `${from} -> ${to} tcp ${port}`, undefined, 6));
const A = 'aws_network_interface.a';
const B = 'aws_network_interface.b';

test('an interface that will get one: everybody is allowed for certain, a block perhaps', (t) => {
  for (const made of [
    { subnet: { assign_ipv6_address_on_creation: true } },
    { interface: { ipv6_address_count: 1 }, written: { ipv6_address_count: {} } },
    { written: { ipv6_addresses: { references: ['var.six'] } } },
  ]) {
    const config = planned(t, made);
    const perhaps = 'undecidable';
    assert.deepEqual(verdicts(config, A, B), ['allowed', perhaps, perhaps, perhaps]);
    // Of IPv4 everything is known.
    assert.equal(verdictOf(config, `${A} -> ${B} tcp 443`), 'allowed');
    assert.equal(verdictOf(config, `${A} -> ${B} tcp 22`), 'refused');
  }
});

test('its subnet says in which block it is', (t) => {
  const subnet = { assign_ipv6_address_on_creation: true, ipv6_cidr_block: '2600:1::/64' };
  const config = planned(t, { subnet });
  assert.deepEqual(verdicts(config, A, B), ['allowed', 'allowed', 'allowed', 'refused']);
});

test('one that gets none is asked about IPv4 alone', (t) => {
  for (const made of [
    {},
    { interface: { ipv6_address_count: 0 }, written: { ipv6_address_count: {} } },
  ])
    // prettier-ignore
    assert.deepEqual(verdicts(planned(t, made), A, B), ['', '', '', '']);
});

test('an interface of a template has addresses that are not known, of IPv6 if it says so', (t) => {
  const group = (rules: readonly object[]): object => ({
    Type: 'AWS::EC2::SecurityGroup',
    Properties: { GroupDescription: 'x', SecurityGroupIngress: rules },
  });
  const network = (properties: object): object => ({
    Type: 'AWS::EC2::NetworkInterface',
    Properties: { SubnetId: 'subnet-1', GroupSet: [{ 'Fn::GetAtt': ['G', 'GroupId'] }], ...properties }, // prettier-ignore
  });
  const rule = (FromPort: number, CidrIpv6: string): object => ({ IpProtocol: 'tcp', FromPort, ToPort: FromPort, CidrIpv6 }); // prettier-ignore
  const folder = writeFolder(t, {
    'app.json': {
      Resources: {
        G: group([rule(80, '::/0'), rule(443, '2600:1::/64')]),
        Six: network({ Ipv6AddressCount: 1 }),
        Given: network({ Ipv6Addresses: [{ Ipv6Address: '2600:1::7' }] }),
        Four: network({}),
      },
    },
  });
  const { config } = load(join(folder, 'app.json'));
  const ask = (from: string, to: string, port: number): string =>
    verdictOf(config, `app/${from} -> app/${to} tcp ${port}`, undefined, 6);
  assert.deepEqual([ask('Six', 'Given', 80), ask('Given', 'Six', 443)], ['allowed', 'undecidable']);
  assert.deepEqual([ask('Four', 'Six', 80), ask('Six', 'Four', 80)], ['', '']);
});
