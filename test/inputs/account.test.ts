/** What EC2 answered, in a folder: written by its reference, and by the aws CLI of this project's own API. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { printCommands } from '../../src/inputs/account/commands.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { serviceTexts } from '../../src/policy/service-set.ts';
import { compareModels } from '../../src/reach/compare.ts';
import { awsClis, endpointOptions } from '../support/aws-cli.ts';
import { clientEnvironment, startApiProgram } from '../support/api-program.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run } from '../support/process.ts';
import { describeModel, load, subnetsOf, verdictOf, writeFolder } from './support.ts';

const WEB = 'sg-00000000000000001';
const DB = 'sg-00000000000000002';
const LIST = 'pl-00000000000000001';
const VPC = 'vpc-00000000000000001';

const tcp = (port: number, peers: object): object => ({
  IpProtocol: 'tcp',
  FromPort: port,
  ToPort: port,
  ...peers,
});

const GROUPS = {
  SecurityGroups: [
    {
      ...{ GroupId: WEB, GroupName: 'web', Description: 'web', VpcId: VPC },
      IpPermissions: [
        tcp(443, {
          IpRanges: [{ CidrIp: '0.0.0.0/0', Description: 'all' }],
          Ipv6Ranges: [{ CidrIpv6: '::/0' }],
        }),
        tcp(22, { PrefixListIds: [{ PrefixListId: LIST }] }),
      ],
      IpPermissionsEgress: [{ IpProtocol: '-1', IpRanges: [{ CidrIp: '0.0.0.0/0' }] }],
    },
    {
      ...{ GroupId: DB, GroupName: 'db', Description: 'db', VpcId: VPC },
      IpPermissions: [
        tcp(5432, {
          UserIdGroupPairs: [
            { GroupId: WEB, UserId: '123456789012' },
            { GroupId: 'sg-00000000000000009' },
          ],
        }),
      ],
      IpPermissionsEgress: [],
    },
  ],
};
const eni = (
  id: string,
  address: string,
  groups: readonly string[],
  more: object = {},
): object => ({
  ...{ NetworkInterfaceId: id, PrivateIpAddress: address, VpcId: VPC },
  ...{
    PrivateIpAddresses: [{ PrivateIpAddress: address }],
    Groups: groups.map((GroupId) => ({ GroupId })),
  },
  ...more,
});
const INTERFACES = {
  NetworkInterfaces: [
    eni('eni-00000000000000001', '10.0.0.10', [WEB], { Attachment: { InstanceId: 'i-1' } }),
    eni('eni-00000000000000002', '10.0.0.20', [DB], {
      TagSet: [{ Key: 'Name', Value: 'database' }],
    }),
    eni('eni-00000000000000003', '10.0.0.30', [], { InterfaceType: 'nat_gateway' }),
  ],
};
const INSTANCES = {
  Reservations: [{ Instances: [{ InstanceId: 'i-1', Tags: [{ Key: 'Name', Value: 'front' }] }] }],
};
const LISTS = {
  PrefixLists: [
    { PrefixListId: LIST, PrefixListName: 'offices', AddressFamily: 'IPv4', MaxEntries: 5 },
  ],
};
const ENTRIES = { Entries: [{ Cidr: '192.0.2.0/24', Description: 'hq' }] };

test('a folder: groups, lists, interfaces by the names of their instances, and what is missing', (t) => {
  const folder = writeFolder(t, {
    'a.json': GROUPS,
    'b.json': INTERFACES,
    'c.json': INSTANCES,
    'd.json': LISTS,
    [`prefix-list-${LIST}.json`]: ENTRIES,
    'other.json': '{"nothing": 1}',
  });
  const { config, kind, problems } = load(folder);
  assert.equal(kind, 'account');
  assert.deepEqual(
    problems.map(({ severity, message }) => `${severity}: ${message}`),
    ['notice: NetworkAcls and RouteTables are not in the folder, and are not judged'],
  );
  assert.deepEqual(describeModel(config.model), [
    'database: db, at 10.0.0.20',
    'db: tcp 5432 from sg:sg-00000000000000009',
    'db: tcp 5432 from sg:web',
    'eni-00000000000000003: , or others, at 10.0.0.30',
    'front: web, at 10.0.0.10',
    'offices: 192.0.2.0/24',
    'sg-00000000000000009: gaps ingress egress',
    'web: all to 0.0.0.0/0',
    'web: tcp 22 from pl:offices',
    'web: tcp 443 from 0.0.0.0/0',
    'web: tcp 443 from ::/0',
  ]);
  const verdicts = [
    ['front -> database tcp 5432', 'allowed'],
    ['internet -> front tcp 443', 'allowed'],
    ['192.0.2.7 -> front tcp 22', 'allowed'],
    ['internet -> front tcp 22', 'refused'],
    ['internet -> database tcp 5432', 'refused'],
    ['database -> front tcp 443', 'refused'],
    // A group of another account, whose members nobody here knows.
    ['10.9.9.9 -> database tcp 5432', 'undecidable'],
    // AWS filters nothing at a NAT gateway.
    ['front -> eni-00000000000000003 tcp 80', 'undecidable'],
  ];
  for (const [question, verdict] of verdicts)
    assert.equal(verdictOf(config, question), verdict, question);
});

test('without the interfaces and the entries of lists, these are not known', (t) => {
  const folder = writeFolder(t, { 'a.json': GROUPS, 'd.json': LISTS, 'e.json': ENTRIES });
  const { config, problems } = load(folder);
  assert.deepEqual(problems.map(({ code }) => code).sort(), [
    ...['missing-answer', 'missing-answer', 'unnamed-entries'],
  ]);
  assert.deepEqual(
    [...config.model.groups.values()].map(({ memberGaps }) => memberGaps?.length),
    [1, 1, 1],
  );
  assert.deepEqual(
    [...config.model.prefixLists.values()].map(({ gaps }) => gaps),
    [['its entries are not in the folder']],
  );
});

test('rules by themselves give the ids, and the rules in groups are not counted twice', (t) => {
  const rule = {
    SecurityGroupRuleId: 'sgr-00000000000000001',
    GroupId: WEB,
    IsEgress: false,
    IpProtocol: 'tcp',
    FromPort: 443,
    ToPort: 443,
    CidrIpv4: '0.0.0.0/0',
  };
  const folder = writeFolder(t, { 'a.json': GROUPS, 'r.json': { SecurityGroupRules: [rule] } });
  const web = load(folder).config.model.groups.get(WEB)!;
  assert.deepEqual(
    web.ingress.map(({ id }) => id === rule.SecurityGroupRuleId),
    [true, false, false],
  );
});

test('two interfaces with one address are an error that says what to do', (t) => {
  const two = {
    NetworkInterfaces: [
      eni('eni-00000000000000001', '10.0.0.10', [WEB]),
      eni('eni-00000000000000002', '10.0.0.10', [DB], { VpcId: 'vpc-2' }),
    ],
  };
  const folder = writeFolder(t, { 'a.json': GROUPS, 'b.json': two });
  assert.throws(() => load(folder), /have the same address 10\.0\.0\.10.*--vpc/);
});

const entry = (
  direction: 'in' | 'out',
  number: number,
  action: 'allow' | 'deny',
  block: string,
  service: object = { Protocol: '-1' },
): object => ({
  ...{ RuleNumber: number, RuleAction: action, Egress: direction === 'out', CidrBlock: block },
  ...service,
});
const ports = (From: number, To: number): object => ({ Protocol: '6', PortRange: { From, To } });
const open = (NetworkAclId: string, subnet: string): object => ({
  ...{ NetworkAclId, Associations: [{ SubnetId: subnet }] },
  Entries: [entry('in', 100, 'allow', '0.0.0.0/0'), entry('out', 100, 'allow', '0.0.0.0/0')],
});
const place = (id: string, address: string, group: string, subnet: string, name: string): object =>
  eni(id, address, [group], { SubnetId: subnet, TagSet: [{ Key: 'Name', Value: name }] });

test('what network ACLs and routes refuse is refused, and by which one', (t) => {
  const folder = writeFolder(t, {
    'a.json': GROUPS,
    'b.json': {
      NetworkInterfaces: [
        place('eni-00000000000000001', '10.0.0.10', WEB, 'subnet-a', 'front'),
        place('eni-00000000000000004', '10.0.0.11', WEB, 'subnet-a', 'front-2'),
        place('eni-00000000000000002', '10.0.1.20', DB, 'subnet-b', 'database'),
        place('eni-00000000000000005', '10.0.2.20', DB, 'subnet-c', 'other'),
      ],
    },
    'acls.json': {
      NetworkAcls: [
        {
          ...{ NetworkAclId: 'acl-b', Associations: [{ SubnetId: 'subnet-b' }] },
          Entries: [
            entry('in', 90, 'deny', '10.0.0.11/32', ports(5432, 5432)),
            entry('in', 100, 'allow', '10.0.0.0/16', ports(5432, 5432)),
            entry('out', 100, 'allow', '10.0.0.0/16', ports(1024, 65535)),
            entry('in', 32767, 'deny', '0.0.0.0/0'),
          ],
        },
        {
          ...{ NetworkAclId: 'acl-c', Associations: [{ SubnetId: 'subnet-c' }] },
          // No answers to the source ports below 32768, which some systems use.
          Entries: [
            entry('in', 100, 'allow', '10.0.0.0/16', ports(0, 65535)),
            entry('out', 100, 'allow', '10.0.0.0/16', ports(32768, 65535)),
          ],
        },
        open('acl-a', 'subnet-a'),
      ],
    },
    'routes.json': {
      RouteTables: [
        {
          ...{ RouteTableId: 'rtb-main', VpcId: VPC, Associations: [{ Main: true }] },
          Routes: [
            { DestinationCidrBlock: '10.0.0.0/16', GatewayId: 'local', State: 'active' },
            { DestinationCidrBlock: '0.0.0.0/0', NatGatewayId: 'nat-1', State: 'active' },
            { DestinationCidrBlock: '192.0.2.0/24', GatewayId: 'vgw-1', State: 'blackhole' },
          ],
        },
      ],
    },
  });
  const { config, problems } = load(folder);
  assert.deepEqual(problems, []);
  const verdicts = [
    ['front -> database tcp 5432', 'allowed'],
    ['front-2 -> database tcp 5432', 'refused'],
    ['front -> other tcp 5432', 'undecidable'],
    // Within a subnet nothing is asked.
    ['front -> front-2 tcp 443', 'allowed'],
    ['front -> internet tcp 443', 'allowed'],
    ['internet -> front tcp 443', 'refused'],
    ['front -> 192.0.2.9 tcp 443', 'refused'],
  ];
  for (const [question, verdict] of verdicts)
    assert.equal(verdictOf(config, question), verdict, question);
  assert.equal(verdictOf(config, 'front -> other tcp 5432', 40_000), 'allowed');
  assert.equal(verdictOf(config, 'front -> other tcp 5432', 1500), 'refused');
  assert.deepEqual(
    subnetsOf(config, 'front-2 -> database tcp 5432').filter((line) => !line.includes('lets it')),
    ['network-acl: refused by the network ACL acl-b of subnet-b, on the way in'],
  );
  assert.deepEqual(
    subnetsOf(config, 'internet -> front tcp 443').filter((line) => !line.includes('lets it')),
    [
      'route: refused by the route table rtb-main of subnet-a: its route is nat-1, which lets nobody in',
    ],
  );
});

test('a network ACL that lets more pass is a difference', (t) => {
  const withAcl = (port: number): PolicyModel => {
    const folder = writeFolder(t, {
      'a.json': GROUPS,
      'b.json': {
        NetworkInterfaces: [
          place('eni-00000000000000001', '10.0.0.10', WEB, 'subnet-a', 'front'),
          place('eni-00000000000000002', '10.0.1.20', DB, 'subnet-b', 'database'),
        ],
      },
      'acls.json': {
        NetworkAcls: [
          {
            ...{ NetworkAclId: 'acl-b', Associations: [{ SubnetId: 'subnet-b' }] },
            Entries: [
              entry('in', 100, 'allow', '10.0.0.0/16', ports(port, port)),
              entry('out', 100, 'allow', '0.0.0.0/0'),
            ],
          },
        ],
      },
    });
    return load(folder).config.model;
  };
  const { differences } = compareModels(withAcl(22), withAcl(5432));
  assert.deepEqual(
    differences.map(({ kind, from, to, services }) => [kind, from, to, serviceTexts(services)]),
    [
      ['newly-allowed', ['front'], ['database'], ['tcp 5432']],
      // Of a group of another account nobody knows where its members are.
      ['perhaps-newly-allowed', ['anybody in sg:sg-00000000000000009'], ['database'], ['tcp 5432']],
    ],
  );
});

test('an entry or a route that nobody can read decides nothing', (t) => {
  const folder = writeFolder(t, {
    'a.json': GROUPS,
    'b.json': {
      NetworkInterfaces: [
        place('eni-00000000000000001', '10.0.0.10', WEB, 'subnet-a', 'front'),
        place('eni-00000000000000002', '10.0.1.20', DB, 'subnet-b', 'database'),
      ],
    },
    'acls.json': {
      NetworkAcls: [
        open('acl-a', 'subnet-a'),
        {
          ...{ NetworkAclId: 'acl-b', Associations: [{ SubnetId: 'subnet-b' }] },
          Entries: [
            entry('in', 90, 'deny', 'nowhere', ports(5432, 5432)),
            entry('in', 100, 'allow', '0.0.0.0/0'),
            entry('out', 100, 'allow', '0.0.0.0/0'),
          ],
        },
      ],
    },
    'routes.json': {
      RouteTables: [
        {
          ...{ RouteTableId: 'rtb-a', VpcId: VPC, Associations: [{ Main: true }] },
          Routes: [
            { DestinationCidrBlock: '10.0.0.0/16', GatewayId: 'local' },
            { DestinationPrefixListId: 'pl-unknown', GatewayId: 'vpce-1' },
          ],
        },
      ],
    },
  });
  const { config } = load(folder);
  assert.equal(verdictOf(config, 'front -> database tcp 5432'), 'undecidable');
  assert.equal(verdictOf(config, 'front -> 192.0.2.9 tcp 443'), 'undecidable');
});

test('the commands, for a VPC, a Region and a profile; strange words are quoted', () => {
  const text = printCommands({ folder: "my 'own'", region: 'eu-west-1', profile: 'p', vpc: VPC });
  assert.match(
    text,
    /^aws ec2 --profile p --region eu-west-1 --output json describe-security-groups --filters Name=vpc-id,Values=vpc-00000000000000001 > 'my '\\''own'\\'''\/security-groups\.json$/m,
  );
  assert.doesNotMatch(text, /describe-security-group-rules/);
});

test('an aws CLI is there', (t) => {
  if (awsClis().length === 0) t.skip('needs aws (not found on the PATH)');
});

for (const cli of awsClis())
  test(`what the printed commands write with the aws CLI ${cli.version} against the own API`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-account-'));
    const { server, url, key } = await startApiProgram(folder, { policy: 'write' });
    t.after(async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const env = clientEnvironment(folder, 'us-east-1', { url, key });
    const more = endpointOptions(cli, url);
    // The commands call `aws`: this one, at this endpoint.
    const wrapper = join(folder, 'aws');
    writeFileSync(wrapper, `#!/bin/sh\nexec ${cli.path} "$@" ${more.join(' ')}\n`);
    chmodSync(wrapper, 0o755);
    const path = { ...env, PATH: `${folder}:${process.env['PATH']}` };
    const aws = async (...args: string[]): Promise<string> => {
      const done = await run(wrapper, ['ec2', ...args, '--output', 'text'], {
        env: path,
      });
      assert.equal(done.code, 0, done.stderr);
      return done.stdout.trim();
    };
    const group = async (name: string): Promise<string> =>
      aws(
        'create-security-group',
        '--group-name',
        name,
        '--description',
        name,
        '--query',
        'GroupId',
      );
    const [web, db] = [await group('web'), await group('db')];
    await aws(
      'authorize-security-group-ingress',
      '--group-id',
      db,
      '--protocol',
      'tcp',
      '--port',
      '5432',
      '--source-group',
      web,
    );
    await aws(
      'authorize-security-group-ingress',
      '--group-id',
      web,
      '--protocol',
      'tcp',
      '--port',
      '443',
      '--cidr',
      '0.0.0.0/0',
    );
    await aws(
      'create-managed-prefix-list',
      '--prefix-list-name',
      'offices',
      '--address-family',
      'IPv4',
      '--max-entries',
      '3',
      '--entries',
      'Cidr=192.0.2.0/24,Description=hq',
    );
    const subnet = await aws('describe-subnets', '--query', 'Subnets[0].SubnetId');
    for (const [name, id] of [
      ['front', web],
      ['database', db],
    ])
      await aws(
        'create-network-interface',
        '--subnet-id',
        subnet,
        '--groups',
        id,
        '--tag-specifications',
        `ResourceType=network-interface,Tags=[{Key=Name,Value=${name}}]`,
      );
    const account = join(folder, 'account');
    const script = printCommands({ folder: account });
    const { status, stderr } = spawnSync('sh', ['-c', script], {
      env: path,
      encoding: 'utf8',
      timeout: GUARD_MS,
    });
    assert.equal(status, 0, stderr);
    const { config, problems } = load(account);
    assert.deepEqual(
      problems.filter(({ severity }) => severity !== 'notice'),
      [],
    );
    const lines = describeModel(config.model).map((line) => line.replace(/, at .*/, ''));
    assert.deepEqual(lines, [
      'database: db',
      'db: all to 0.0.0.0/0',
      'db: tcp 5432 from sg:web',
      'default: all from sg:default',
      'default: all to 0.0.0.0/0',
      'front: web',
      'offices: 192.0.2.0/24',
      'web: all to 0.0.0.0/0',
      'web: tcp 443 from 0.0.0.0/0',
    ]);
    assert.equal(verdictOf(config, 'front -> database tcp 5432'), 'allowed');
    assert.equal(verdictOf(config, 'internet -> database tcp 5432'), 'refused');
  });
