/**
 * Every key of the configuration, changed by itself: a reload says that something changed, or that it takes a restart;
 * and the policy is another one where packets are meant.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { compareConfigs, isSamePolicy, refuseFixedChanges } from '../../src/daemon/changes.ts';
import { hasChanges } from '../../src/queries/reload-result.ts';
import type { Config } from '../../src/config/config.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import { CONFIG_SCHEMA } from '../../src/config/schema.ts';
import { formatProblem, type Problem } from '../../src/source/problem.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgt-keys-'));
after(() => rmSync(folder, { recursive: true }));

const TEMPLATE = `Parameters:
  Port: { Type: Number, Default: 80 }
Resources:
  Web:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: !Sub '\${AWS::Region} \${AWS::AccountId} \${AWS::Partition}'
      SecurityGroupIngress:
        - { IpProtocol: tcp, FromPort: !Ref Port, ToPort: !Ref Port, CidrIp: '{{resolve:ssm:/office}}' }
  Host:
    Type: AWS::EC2::Instance
    Properties: { SecurityGroupIds: [!GetAtt Web.GroupId] }
`;
writeFileSync(join(folder, 't.yaml'), TEMPLATE);
writeFileSync(join(folder, 'other.yaml'), TEMPLATE.replace('tcp', 'udp'));
writeFileSync(
  join(folder, 'named.yaml'),
  TEMPLATE.replace('Properties:\n', 'Properties:\n      GroupName: shared\n'),
);
writeFileSync(join(folder, 'p.json'), '[]');
writeFileSync(join(folder, 'q.json'), '[{ "ParameterKey": "Port", "ParameterValue": "8443" }]');

type Tree = Record<string, unknown>;

const TEMPLATE_ENTRY = {
  file: 't.yaml',
  stackName: 'one',
  parametersFile: 'p.json',
  supplied: { 'ssm:/office': '203.0.113.0/24' },
};

const BASE: Tree = {
  uplink: {
    ...{ tap: 'up0', netns: 'out', addresses: ['198.51.100.7/24'] },
    ...{ gateways: ['198.51.100.1'], routes: ['192.0.2.0/24'] },
  },
  templates: [TEMPLATE_ENTRY],
  prefixLists: {
    office: { entries: [{ cidr: '203.0.113.0/24', description: 'a' }], maxEntries: 20 },
  },
  securityGroups: {
    web: {
      ingress: [
        { protocol: 'tcp', ports: 443, from: '0.0.0.0/0' },
        { protocol: 'icmp', type: 3, code: 4, from: '0.0.0.0/0' },
      ],
      egress: [
        { protocol: 'tcp', ports: 443, to: 'pl:office' },
        { protocol: 'icmp', type: 3, code: 4, to: '0.0.0.0/0' },
      ],
    },
  },
  interfaces: {
    one: {
      device: { kind: 'tap', netns: 'one', name: 'eth0' },
      addresses: ['10.0.0.11'],
      securityGroups: ['web'],
    },
  },
  flowLogs: { all: { file: '/var/log/sgt-none.log' } },
};
const ONE_VPC = { ...BASE, vpc: { cidrBlocks: ['10.0.0.0/16'], subnets: ['10.0.0.0/24'] } };
const FOUND: Tree = {
  interfaces: {
    one: {
      device: { kind: 'attach', alias: 'web-1', hostMac: 'fe:54:00:00:00:11' },
      addresses: ['10.0.0.11'],
    },
  },
};
const IN_VPC = {
  vpcs: { a: { cidrBlocks: ['10.0.0.0/16'], subnets: ['10.0.0.0/24'] }, b: {} },
  securityGroups: { web: { vpc: 'a' }, db: { vpc: 'b' } },
  interfaces: {
    one: {
      device: { netns: 'one', name: 'eth0' },
      addresses: ['10.0.0.11'],
      vpc: 'a',
    },
  },
  templates: [{ ...TEMPLATE_ENTRY, vpc: 'a' }],
};

const WITH_PLATFORM = {
  ...BASE,
  platformServices: ['dns'],
  platform: { tun: 'sg-platform', netns: 'platform' },
};

/** What a change of the key is. */
type Kind =
  /** Another policy. */
  | 'policy'
  /** Something else, with the policy as it was. */
  | 'rest'
  | 'restart';

/** The key, with a name and an index in the place of NAME and []. */
type KeyCase = readonly [
  key: string,
  value: unknown,
  kind: Kind,
  base?: Tree,
  more?: Readonly<Record<string, unknown>>,
];

const RULE = 'securityGroups.web.ingress[0]';
const OUT = 'securityGroups.web.egress[0]';
const LOG = 'flowLogs.all';
const CASES: readonly KeyCase[] = [
  ['vpc.cidrBlocks', ['10.0.0.0/17'], 'rest', ONE_VPC],
  ['vpc.cidrBlocks', ['10.0.0.0/8'], 'rest', ONE_VPC],
  ['vpc.cidrBlocks', ['10.0.0.0/16', '10.1.0.0/16'], 'rest', ONE_VPC],
  ['vpc.subnets', ['10.0.0.0/24', '10.0.1.0/24'], 'policy', ONE_VPC],
  ['vpcs.a.cidrBlocks', ['10.0.0.0/16', '10.1.0.0/16'], 'rest', IN_VPC],
  ['vpcs.a.subnets', ['10.0.1.0/24'], 'policy', IN_VPC],
  ['vpcs.b.id', 'vpc-0123456789abcdef0', 'policy', IN_VPC],
  ['uplink.tap', 'up1', 'policy'],
  [
    'uplink.tun',
    'up0',
    'policy',
    withKey(BASE, 'uplink.gateways', []),
    { 'uplink.tap': undefined },
  ],
  ['uplink.netns', 'out2', 'policy'],
  ['uplink.addresses', ['198.51.100.8/24'], 'policy'],
  ['uplink.gateways', ['198.51.100.2'], 'policy'],
  ['uplink.routes', ['192.0.2.0/25'], 'rest'],
  ['uplink.mtu', 1400, 'policy'],
  ['uplink.configure', false, 'policy'],
  ['uplink.persist', true, 'policy'],
  ['templates[0].file', 'other.yaml', 'policy'],
  ['templates[0].stackName', 'two', 'policy'],
  ['templates[0].region', 'eu-west-1', 'rest'],
  ['templates[0].accountId', '210987654321', 'rest'],
  ['templates[0].partition', 'aws-cn', 'rest'],
  ['templates[0].vpc', 'b', 'policy', IN_VPC],
  ['templates[0].parameters', { Port: 8080 }, 'policy'],
  ['templates[0].parametersFile', 'q.json', 'policy'],
  ['templates[0].supplied', { 'ssm:/office': '192.0.2.0/24' }, 'policy'],
  ['prefixLists.office.entries[0].cidr', '192.0.2.0/24', 'policy'],
  ['prefixLists.office.entries[0].description', 'b', 'rest'],
  ['prefixLists.office.maxEntries', 30, 'rest'],
  [
    'prefixLists.office.family',
    6,
    'policy',
    BASE,
    { 'prefixLists.office.entries[0].cidr': 'fd00::/64' },
  ],
  ['prefixLists.office.id', 'pl-0123456789abcdef0', 'policy'],
  ['securityGroups.web.description', 'The web', 'rest'],
  [`${RULE}.protocol`, 'udp', 'policy'],
  [`${RULE}.ports`, 80, 'policy'],
  ['securityGroups.web.ingress[1].type', 11, 'policy'],
  ['securityGroups.web.ingress[1].code', 3, 'policy'],
  [`${RULE}.from`, '10.0.0.0/8', 'policy'],
  [`${RULE}.description`, 'all', 'rest'],
  [`${RULE}.audit`, true, 'policy'],
  [`${OUT}.protocol`, 'udp', 'policy'],
  [`${OUT}.ports`, 80, 'policy'],
  ['securityGroups.web.egress[1].type', 11, 'policy'],
  ['securityGroups.web.egress[1].code', 3, 'policy'],
  [`${OUT}.to`, '10.0.0.0/8', 'policy'],
  [`${OUT}.description`, 'all', 'rest'],
  [`${OUT}.tlsName`, 'required', 'policy', withKey(BASE, `${OUT}.to`, 'dns:a.example')],
  [`${OUT}.audit`, true, 'policy'],
  ['securityGroups.web.id', 'sg-0123456789abcdef0', 'policy'],
  ['securityGroups.web.revocation', 'cut', 'policy'],
  ['securityGroups.web.audit', true, 'policy'],
  ['securityGroups.db.vpc', 'a', 'policy', IN_VPC],
  ['interfaces.one.device.kind', 'tun', 'policy'],
  ['interfaces.one.device.name', 'eth1', 'policy'],
  ['interfaces.one.device.netns', 'two', 'policy'],
  ['interfaces.one.device.mtu', 1400, 'policy'],
  ['interfaces.one.device.mac', '02:00:00:00:00:22', 'policy'],
  ['interfaces.one.device.configure', false, 'policy'],
  ['interfaces.one.device.persist', true, 'policy'],
  ['interfaces.one.device.dhcp', true, 'policy'],
  [
    'interfaces.one.device.path',
    '/run/b.sock',
    'policy',
    {
      interfaces: {
        one: { device: { kind: 'stream', path: '/run/a.sock' }, addresses: ['10.0.0.11'] },
      },
    },
  ],
  ['interfaces.one.device.alias', 'web-2', 'policy', FOUND],
  ['interfaces.one.device.hostMac', 'fe:54:00:00:00:12', 'policy', FOUND],
  [
    'interfaces.one.device.group',
    'kvm',
    'policy',
    {
      interfaces: {
        one: { device: { kind: 'stream', path: '/run/a.sock' }, addresses: ['10.0.0.11'] },
      },
    },
  ],
  [
    'interfaces.one.from',
    'one/Host',
    'policy',
    BASE,
    { 'interfaces.one.securityGroups': undefined },
  ],
  ['interfaces.one.addresses', ['10.0.0.12'], 'policy'],
  ['interfaces.one.securityGroups', ['default'], 'policy'],
  ['interfaces.one.vpc', 'b', 'policy', IN_VPC],
  ['interfaces.one.sourceDestCheck', false, 'policy'],
  ['interfaces.one.audit', true, 'policy'],
  ['interfaces.one.connectionTracking.tcpEstablishedTimeout', 600, 'policy'],
  ['interfaces.one.connectionTracking.udpTimeout', 45, 'policy'],
  ['interfaces.one.connectionTracking.udpStreamTimeout', 90, 'policy'],
  ['interfaces.one.connectionTracking.always', true, 'policy'],
  ['interfaces.one.connectionTracking.maxFlows', 1000, 'policy'],
  ['revocation', 'recheck', 'policy'],
  ['platformServices', ['dns'], 'policy'],
  ['platform.tun', 'sg-other', 'policy', WITH_PLATFORM],
  ['platform.netns', 'other', 'policy', WITH_PLATFORM],
  ['platform.mtu', 1400, 'policy', WITH_PLATFORM],
  ['platform', undefined, 'policy', WITH_PLATFORM],
  ['classE', true, 'policy'],
  ['dhcpOptions.domainNameServers', ['192.0.2.53'], 'rest'],
  ['workers', 2, 'restart'],
  ['busyPollUs', 50, 'restart'],
  ['offload', 'auto', 'restart'],
  ['conntrack.maxFlows', 10_000, 'restart'],
  ['conntrack.maxHalfOpen', 1000, 'restart'],
  ['conntrack.maxOffloaded', 2000, 'restart'],
  ['conntrack.exceptions.tableFull', 'pass', 'restart'],
  ['conntrack.exceptions.invalid', 'pass', 'restart'],
  ['conntrack.exceptions.fragment', 'pass', 'restart'],
  ['conntrack.exceptions.eventsFull', 'drop', 'restart'],
  ['conntrack.tcpWindow', 'ignore', 'restart'],
  ['conntrack.accounting', 'off', 'restart', { ...BASE, flowLogs: undefined }],
  ['conntrack.midstream', 'drop', 'restart'],
  ['names.minLifetime', 30, 'restart'],
  ['names.maxLifetime', 600, 'restart'],
  ['names.maxAddresses', 100, 'restart'],
  ['names.privateAddresses', 'accept', 'restart'],
  ['quotas.rulesPerGroup', 100, 'rest'],
  ['quotas.groupsPerInterface', 10, 'rest'],
  ['quotas.rulesTimesGroups', 500, 'rest'],
  ['quotas.prefixListEntries', 50, 'rest'],
  ['quotas.securityGroups', 100, 'rest'],
  ['metrics.listen', 9469, 'restart'],
  [`${LOG}.file`, '/var/log/sgt-other.log', 'rest'],
  [`${LOG}.format`, '${action}', 'rest'],
  [`${LOG}.aggregation`, 60, 'rest'],
  [`${LOG}.traffic`, 'reject', 'rest'],
  [`${LOG}.interfaces`, ['one'], 'rest'],
  [`${LOG}.rotate.sizeMb`, 5, 'rest'],
  [`${LOG}.rotate.keep`, 5, 'rest'],
  [`${LOG}.rotate.gzip`, true, 'rest'],
  [`${LOG}.values`, { region: 'eu-west-1' }, 'rest'],
  [`${LOG}.interfaceValues`, { one: { 'instance-id': 'i-1' } }, 'rest'],
];

/** A copy with another value at a key; undefined takes the key out. */
function withKey(tree: Tree, key: string, value: unknown): Tree {
  const copy = structuredClone(tree);
  const steps = key.replaceAll('[', '.').replaceAll(']', '').split('.');
  let at = copy;
  for (const step of steps.slice(0, -1)) at = (at[step] ??= {}) as Tree;
  at[steps.at(-1)!] = value;
  return copy;
}

function load(tree: Tree): Config {
  const file = join(folder, 'config.yaml');
  writeFileSync(file, JSON.stringify(tree));
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  assert.ok(config !== undefined, problems.map(formatProblem).join('\n'));
  return config;
}

function kindOf(before: Config, next: Config): Kind | 'unchanged' {
  const problems: Problem[] = [];
  refuseFixedChanges(before, next, problems);
  if (problems.length > 0) return 'restart';
  const changes = compareConfigs(before, next);
  if (!isSamePolicy(before, next, changes)) {
    assert.equal(hasChanges(changes), true, 'another policy, and nothing is told');
    return 'policy';
  }
  return hasChanges(changes) ? 'rest' : 'unchanged';
}

for (const [key, value, kind, base = BASE, more = {}] of CASES) {
  test(`${key}: ${kind}`, () => {
    const others = Object.entries(more);
    const changed = others.reduce((tree, [k, v]) => withKey(tree, k, v), withKey(base, key, value));
    const [before, next] = [load(base), load(changed)];
    assert.equal(kindOf(before, next), kind);
    assert.equal(kindOf(next, before), kind, 'and back');
    assert.equal(kindOf(before, load(base)), 'unchanged');
  });
}

interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | boolean;
  readonly items?: Schema;
}

/** Paths of the keys below which there are none that the schema knows. */
function leafKeys(schema: Schema, path: string): string[] {
  const { properties, additionalProperties, items } = schema;
  const below = [
    ...Object.entries(properties ?? {}).flatMap(([name, one]) =>
      leafKeys(one, path === '' ? name : `${path}.${name}`),
    ),
    ...(items?.properties === undefined ? [] : leafKeys(items, `${path}[]`)),
    ...(typeof additionalProperties === 'object' && additionalProperties.properties !== undefined
      ? leafKeys(additionalProperties, `${path}.NAME`)
      : []),
  ];
  return below.length > 0 ? below : [path];
}

test('no key is left out', () => {
  const named = /^(vpcs|prefixLists|securityGroups|interfaces|flowLogs)\.\w+/;
  const tried = CASES.map(([key]) => key.replace(named, '$1.NAME').replace(/\[\d\]/g, '[]'));
  const leaves = tried.filter((key) => key !== 'platform');
  assert.deepEqual([...new Set(leaves)].sort(), leafKeys(CONFIG_SCHEMA as Schema, '').sort());
});

test('the order, where it decides something', () => {
  const device = (name: string): Tree => ({ device: { netns: 'one', name }, addresses: [] });
  const first = { ...device('eth0'), addresses: ['10.0.0.11'] };
  const second = { ...device('eth1'), addresses: ['10.0.0.12'] };
  const before = load({ interfaces: { first, second } });
  const next = load({ interfaces: { second, first } });
  assert.deepEqual(compareConfigs(before, next).order, ['interfaces']);
  // The default route in the namespace is the other's now; packets are judged as before.
  assert.equal(kindOf(before, next), 'rest');

  const rules = [
    { protocol: 'tcp', ports: 443, from: '0.0.0.0/0' },
    { protocol: 'tcp', ports: '1-1000', from: '0.0.0.0/0' },
  ];
  const old = load({ securityGroups: { web: { ingress: rules } } });
  const turned = load({ securityGroups: { web: { ingress: rules.toReversed() } } });
  assert.deepEqual(compareConfigs(old, turned).order, ['rules of web']);
  assert.equal(kindOf(old, turned), 'policy');
});

test('groups of one name in two VPCs are two', () => {
  const vpcs = { a: {}, b: {} };
  const groups = (text: string): Tree => ({
    vpcs,
    templates: [
      { ...TEMPLATE_ENTRY, vpc: 'a', file: 'named.yaml' },
      { ...TEMPLATE_ENTRY, vpc: 'b', region: text, file: 'named.yaml', stackName: 'two' },
    ],
  });
  const changes = compareConfigs(load(groups('us-east-1')), load(groups('eu-west-1')));
  assert.deepEqual(changes.groups, { added: [], removed: [], changed: ['b/shared'] });
});
