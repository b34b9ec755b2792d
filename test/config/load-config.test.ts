import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { formatAddress, formatCidr } from '../../src/addr/address.ts';
import { loadConfig } from '../../src/config/load-config.ts';
import type { Config } from '../../src/config/config.ts';
import { stableId } from '../../src/policy/ids.ts';
import type { Direction } from '../../src/policy/model.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { loadText, problemLines } from './config-text.ts';

const GOOD = `\
vpc: { cidrBlocks: [10.0.0.0/16, "fd00:10::/56"], subnets: [10.0.0.0/24] }
uplink: { tun: sg-uplink, netns: outside, addresses: [10.0.0.1/16, fd00:10::1/64], routes: [10.1.0.0/16], mtu: 9000 }
prefixLists:
  office:
    entries: [203.0.113.0/24, { cidr: 198.51.100.0/24, description: branch }]
    maxEntries: 20
    id: pl-0123456789abcdef0
securityGroups:
  web: {}
  db:
    description: Databases
    ingress:
      - { protocol: tcp, ports: 5432, from: "sg:web", description: app to db }
      - { protocol: tcp, ports: [8000-8010, 9000], from: [10.0.0.0/8, fd00:10::/64] }
      - { protocol: icmp, type: 8, from: "pl:office" }
      - { protocol: icmpv6, from: "::/0" }
      - { protocol: 50, from: pl-0123456789abcdef0 }
      - { protocol: all, from: self }
    egress: []
interfaces:
  eni-web-1:
    device: { kind: tun, netns: web-1, name: eth0 }
    addresses: [10.0.0.11, fd00:10::11]
    securityGroups: [web]
    sourceDestCheck: false
    connectionTracking: { tcpEstablishedTimeout: 350, udpTimeout: 45, udpStreamTimeout: 120 }
  eni-0a1b2c3d4e5f60718:
    device: { kind: tap, netns: 4711, name: tap9, mtu: 1400, configure: false, persist: true }
    addresses: [10.0.0.12]
  third:
    device: { netns: /run/netns/db, name: eth0 }
    addresses: [10.0.0.13]
    securityGroups: [db, web]
conntrack: { maxFlows: 1024, midstream: drop }
metrics: { listen: "[::1]:9469" }
`;

function good(text: string): Config {
  const { config, problems } = loadText(text);
  assert.deepEqual(problemLines(problems), []);
  assert.ok(config);
  return config;
}

function rulesOf(config: Config, groupName: string, direction: Direction): string[] {
  const group = [...config.model.groups.values()].find(({ name }) => name === groupName);
  assert.ok(group, groupName);
  return group[direction].map((rule) => ruleText(rule, config.model));
}

describe('a good configuration', () => {
  const config = good(GOOD);

  test('gives a rule for each port and each peer', () => {
    assert.deepEqual(rulesOf(config, 'db', 'ingress'), [
      'tcp 5432 from sg:web',
      'tcp 8000-8010 from 10.0.0.0/8',
      'tcp 8000-8010 from fd00:10::/64',
      'tcp 9000 from 10.0.0.0/8',
      'tcp 9000 from fd00:10::/64',
      'icmp type 8 from pl:office',
      'icmpv6 from ::/0',
      '50 from pl:office',
      'all from sg:db',
    ]);
  });

  test('an empty list of egress rules allows nothing, no list at all allows everything', () => {
    assert.deepEqual(rulesOf(config, 'db', 'egress'), []);
    assert.deepEqual(rulesOf(config, 'web', 'egress'), ['all to 0.0.0.0/0', 'all to ::/0']);
    assert.deepEqual(rulesOf(config, 'web', 'ingress'), []);
  });

  test('rules know where they were written', () => {
    const group = config.model.groups.get(stableId('sg', 'db'));
    assert.deepEqual(group?.ingress[0]?.origin, {
      file: 'secgroupd.yaml',
      line: 13,
      column: 9,
      path: 'securityGroups.db.ingress[0]',
    });
    assert.deepEqual(group?.origin, {
      file: 'secgroupd.yaml',
      line: 10,
      column: 3,
      path: 'securityGroups.db',
    });
    assert.equal(group?.ingress[0]?.description, 'app to db');
  });

  test('the default group is there, and on the interface that names none', () => {
    const [first, second, third] = [...config.model.interfaces.values()];
    assert.deepEqual(rulesOf(config, 'default', 'ingress'), ['all from sg:default']);
    assert.deepEqual(first?.groupIds, [stableId('sg', 'web')]);
    assert.deepEqual(second?.groupIds, [stableId('sg', 'default')]);
    assert.deepEqual(third?.groupIds, [stableId('sg', 'db'), stableId('sg', 'web')]);
  });

  test('interfaces have their settings, or the defaults of AWS', () => {
    const [first, second] = [...config.model.interfaces.values()];
    assert.equal(first?.id, stableId('eni', 'eni-web-1'));
    assert.deepEqual(first?.addresses.map(formatAddress), ['10.0.0.11', 'fd00:10::11']);
    assert.equal(first?.sourceDestCheck, false);
    assert.deepEqual(first?.connectionTracking, {
      tcpEstablishedTimeoutSec: 350,
      udpTimeoutSec: 45,
      udpStreamTimeoutSec: 120,
    });
    assert.equal(second?.id, 'eni-0a1b2c3d4e5f60718');
    assert.equal(second?.sourceDestCheck, true);
    assert.deepEqual(second?.connectionTracking, {
      tcpEstablishedTimeoutSec: 432000,
      udpTimeoutSec: 30,
      udpStreamTimeoutSec: 180,
    });
  });

  test('devices are found by the name, the path or the pid of their namespace', () => {
    assert.deepEqual(
      config.interfaces.map(
        ({ device: { kind, name, netns, netnsPath, mtu, configure, persist } }) => ({
          kind,
          name,
          netns,
          netnsPath,
          mtu,
          configure,
          persist,
        }),
      ),
      [
        {
          kind: 'tun',
          name: 'eth0',
          netns: 'web-1',
          netnsPath: '/run/netns/web-1',
          mtu: 1500,
          configure: true,
          persist: false,
        },
        {
          kind: 'tap',
          name: 'tap9',
          netns: '4711',
          netnsPath: '/proc/4711/ns/net',
          mtu: 1400,
          configure: false,
          persist: true,
        },
        {
          kind: 'tun',
          name: 'eth0',
          netns: '/run/netns/db',
          netnsPath: '/run/netns/db',
          mtu: 1500,
          configure: true,
          persist: false,
        },
      ],
    );
  });

  test('the uplink keeps the host part of its addresses', () => {
    const { uplink } = config;
    assert.deepEqual(
      uplink?.addresses.map(({ address, length }) => `${formatAddress(address)}/${length}`),
      ['10.0.0.1/16', 'fd00:10::1/64'],
    );
    assert.deepEqual(uplink?.routes.map(formatCidr), ['10.1.0.0/16']);
    assert.equal(uplink?.device.name, 'sg-uplink');
    assert.equal(uplink?.device.mtu, 9000);
  });

  test('addresses of the platform are the fixed ones and those of the VPC, and no service of it is exempt', () => {
    assert.deepEqual(config.special.reserved.map(formatAddress), [
      '169.254.169.253',
      'fd00:ec2::253',
      '169.254.169.254',
      'fd00:ec2::254',
      '169.254.170.2',
      '169.254.169.123',
      'fd00:ec2::123',
      '169.254.169.250',
      '169.254.169.251',
      'fd00:ec2::250',
      'fe80:ec2::1',
      '10.0.0.2',
      '10.0.0.1',
    ]);
    assert.deepEqual(config.special.exempt, []);
    assert.deepEqual(config.special.uplink.map(formatAddress), ['10.0.0.1', 'fd00:10::1']);
    assert.equal(config.special.allowsClassE, false);
  });

  test('the daemon gets its own settings', () => {
    assert.deepEqual(config.conntrack, {
      maxFlows: 1024,
      midstream: 'drop',
      maxHalfOpen: 256,
      maxOffloaded: 65_536,
      tcpWindow: 'check',
      accounting: true,
      exceptions: { tableFull: 'drop', invalid: 'drop', fragment: 'drop', eventsFull: 'pass' },
    });
    assert.deepEqual(config.metrics, { host: '::1', port: 9469 });
    assert.deepEqual(good('{}').conntrack, {
      maxFlows: 262144,
      midstream: 'accept',
      maxHalfOpen: 65536,
      maxOffloaded: 65_536,
      tcpWindow: 'check',
      accounting: true,
      exceptions: { tableFull: 'drop', invalid: 'drop', fragment: 'drop', eventsFull: 'pass' },
    });
    assert.equal(good('{}').metrics, undefined);
  });

  test('prefix lists have one family and a weight', () => {
    const list = config.model.prefixLists.get('pl-0123456789abcdef0');
    assert.deepEqual([list?.name, list?.family, list?.maxEntries], ['office', 4, 20]);
    assert.deepEqual(
      list?.entries.map(({ cidr, description }) => [formatCidr(cidr), description]),
      [
        ['203.0.113.0/24', ''],
        ['198.51.100.0/24', 'branch'],
      ],
    );
  });
});

describe('ids', () => {
  test('of rules survive reordering and a new description', () => {
    const text = (rules: string): string =>
      `securityGroups: { db: { ingress: [${rules}], egress: [] } }`;
    const idsOf = (config: Config): (string | undefined)[] =>
      config.model.groups
        .get(stableId('sg', 'db'))!
        .ingress.map(({ id }) => id)
        .sort();
    const a = '{ protocol: tcp, ports: 1, from: self }';
    const b = '{ protocol: udp, ports: 2-3, from: 10.0.0.0/8, description: DESCRIPTION }';
    assert.deepEqual(
      idsOf(good(text(`${a}, ${b}`))),
      idsOf(good(text(`${b.replace('DESCRIPTION', 'x')}, ${a}`))),
    );
  });

  test('may be given for groups', () => {
    const config = good(
      'securityGroups: { db: { id: sg-0123456789abcdef0, ingress: [{ protocol: all, from: sg-0123456789abcdef0 }] } }',
    );
    assert.deepEqual(rulesOf(config, 'db', 'ingress'), ['all from sg:db']);
    assert.equal(config.model.groups.get('sg-0123456789abcdef0')?.name, 'db');
  });
});

test('a default group in the file takes the place of the other', () => {
  const config = good(
    'securityGroups: { default: { ingress: [], egress: [] } }\ninterfaces: { a: { device: { name: a }, addresses: [10.0.0.9] } }',
  );
  assert.deepEqual(rulesOf(config, 'default', 'ingress'), []);
  assert.deepEqual(
    [...config.model.groups.values()].map(({ name, description }) => [name, description]),
    [['default', 'default VPC security group']],
  );
  assert.deepEqual([...config.model.interfaces.values()][0]?.groupIds, [stableId('sg', 'default')]);
  assert.deepEqual(rulesOf(good('securityGroups: { default: {} }'), 'default', 'ingress'), [
    'all from sg:default',
  ]);
});

describe('files', () => {
  const directory = mkdtempSync(join(tmpdir(), 'sgt-config-'));
  after(() => rmSync(directory, { recursive: true }));
  const write = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const options = { netnsDirectory: '/run/netns' };
  const template = (name: string, peer: string): string => `
Resources:
  Front:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: made by a template
      GroupName: ${name}
      SecurityGroupIngress: [{ IpProtocol: tcp, FromPort: 443, ToPort: 443, ${peer} }]
`;

  test('templates share the names of the configuration, in both directions', () => {
    write('web-stack.yaml', template('front', 'SourceSecurityGroupId: sg-0123456789abcdef0'));
    write('other.yaml', template('back', 'CidrIp: 10.0.0.0/8'));
    const file = write(
      'config.yaml',
      `
templates: [web-stack.yaml, { file: ./other.yaml, stackName: second }]
securityGroups:
  db:
    id: sg-0123456789abcdef0
    ingress:
      - { protocol: tcp, ports: 1, from: [sg:front, sg:second/Front] }
interfaces:
  a: { device: { name: a }, addresses: [10.0.0.9], securityGroups: [web-stack/Front, back] }
`,
    );
    const { config, problems } = loadConfig(file, options);
    assert.deepEqual(problemLines(problems), []);
    assert.ok(config);
    assert.deepEqual(rulesOf(config, 'db', 'ingress'), [
      'tcp 1 from sg:front',
      'tcp 1 from sg:back',
    ]);
    assert.deepEqual(rulesOf(config, 'front', 'ingress'), ['tcp 443 from sg:db']);
    const { groupIds } = [...config.model.interfaces.values()][0];
    assert.deepEqual(
      groupIds.map((id) => config.model.groups.get(id)?.name),
      ['front', 'back'],
    );
  });

  test('a template may add a rule to a group of the configuration', () => {
    write(
      'rule.yaml',
      `
Resources:
  Rule:
    Type: AWS::EC2::SecurityGroupIngress
    Properties: { GroupId: sg-0123456789abcdef0, IpProtocol: udp, FromPort: 53, ToPort: 53, CidrIp: 10.0.0.0/8 }
`,
    );
    const file = write(
      'config.yaml',
      'templates: [rule.yaml]\nsecurityGroups: { dns: { id: sg-0123456789abcdef0 } }\n',
    );
    const { config, problems } = loadConfig(file, options);
    assert.deepEqual(problemLines(problems), []);
    assert.deepEqual(rulesOf(config!, 'dns', 'ingress'), ['udp 53 from 10.0.0.0/8']);
    assert.deepEqual(rulesOf(config!, 'dns', 'egress'), ['all to 0.0.0.0/0', 'all to ::/0']);
  });

  test('a name that a template and the configuration both use is refused', () => {
    const stack = write('web-stack.yaml', template('DB', 'CidrIp: 10.0.0.0/8'));
    const file = write('config.yaml', 'securityGroups:\n  db: {}\ntemplates: [web-stack.yaml]\n');
    const { config, problems } = loadConfig(file, options);
    assert.equal(config, undefined);
    assert.deepEqual(
      problems.map(({ at, code, message }) => [at?.file, code, message]),
      [
        [
          stack,
          'duplicate-name',
          `the security group 'DB' exists already in ${file}:2 as 'db'; names are compared without regard to case`,
        ],
      ],
    );
  });

  test('a logical id that two templates have must be named with its stack', () => {
    write('one.yaml', template('x', 'CidrIp: 10.0.0.0/8'));
    write('two.yaml', template('y', 'CidrIp: 10.0.0.0/8'));
    const file = write(
      'config.yaml',
      'templates: [one.yaml, two.yaml]\nsecurityGroups: { a: { ingress: [{ protocol: all, from: sg:Front }] } }\n',
    );
    const { problems } = loadConfig(file, options);
    assert.deepEqual(
      problems.map(({ message, hint }) => [message, hint]),
      [["'Front' could be any of 2 security groups", 'write one of one/Front, two/Front']],
    );
  });

  test('the same stack twice, and a template that is not there, are told together', () => {
    write('one.yaml', template('x', 'CidrIp: 10.0.0.0/8'));
    const file = write('config.yaml', 'templates:\n  - one.yaml\n  - one.yaml\n  - missing.yaml\n');
    const { problems } = loadConfig(file, options);
    assert.deepEqual(
      problems.map(({ at, message }) => `${at?.file}:${at?.line}: ${message}`),
      [
        `${file}:3: the stack name 'one' is taken by the template on line 2`,
        `${join(directory, 'missing.yaml')}:0: the file can't be read: ENOENT`,
      ],
    );
  });

  test('a configuration that is not there is an error, not an exception', () => {
    const { config, problems } = loadConfig(join(directory, 'no', 'config.yaml'), options);
    assert.equal(config, undefined);
    assert.deepEqual(
      problems.map(({ code, message, path }) => [code, message, path]),
      [['file-unreadable', "the file can't be read: ENOENT", '']],
    );
  });
});
