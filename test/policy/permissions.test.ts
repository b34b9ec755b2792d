import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { PrefixList, SecurityGroup } from '../../src/policy/model.ts';
import {
  readPermission,
  readRule,
  type PeerText,
  type RuleText,
} from '../../src/policy/permissions.ts';
import { ruleKey } from '../../src/policy/rules.ts';
import { makeGroup, must, ORIGIN, refusalsOf } from './group-texts.ts';

const VPC = { id: 'vpc-0123456789abcdef0', name: 'main' };
const OTHER_VPC = { id: 'vpc-11111111111111111', name: 'other' };
const own: SecurityGroup = { ...makeGroup([]), vpc: VPC };
const near: SecurityGroup = { ...own, id: 'sg-11111111111111111' };
const far: SecurityGroup = { ...own, id: 'sg-22222222222222222', vpc: OTHER_VPC };
const list: PrefixList = {
  id: 'pl-0123456789abcdef0',
  name: 'office',
  family: 4,
  maxEntries: 5,
  entries: [],
  origin: ORIGIN,
};
const source = {
  groups: new Map([own, near, far].map((group) => [group.id, group])),
  prefixLists: new Map([[list.id, list]]),
};

const v4 = (text: string): PeerText => ({ kind: 'cidrIpv4', text });

function read(
  protocol: string | number | undefined,
  ports: readonly (number | undefined)[],
  ...peers: readonly PeerText[]
): ReturnType<typeof readPermission> {
  const [fromPort, toPort] = ports;
  return readPermission({ protocol, fromPort, toPort, peers }, own, source);
}

describe('an IpPermission', () => {
  test('becomes a rule a peer, in the form that EC2 stores', () => {
    const permissions = must(
      read(
        'TCP',
        [22, 25],
        { kind: 'cidrIpv4', text: '100.68.0.18/18', description: 'office' },
        { kind: 'cidrIpv6', text: 'FD00:0:0:0::1/48' },
        { kind: 'group', text: own.id },
        { kind: 'prefixList', text: list.id, description: '' },
      ),
    );
    assert.deepEqual(
      permissions.map((permission) => [
        ruleKey({ ...permission, direction: 'ingress' }),
        permission.description,
      ]),
      [
        ['tcp 22-25 from 100.68.0.0/18', 'office'],
        ['tcp 22-25 from fd00::/48', undefined],
        [`tcp 22-25 from sg:${own.id}`, undefined],
        [`tcp 22-25 from pl:${list.id}`, ''],
      ],
    );
  });

  test('forgets ports where the protocol has none, as Terraform sends them', () => {
    const cases: readonly (readonly [string | number, readonly (number | undefined)[], string])[] =
      [
        ['-1', [0, 0], 'all from 10.0.0.0/8'],
        [-1, [], 'all from 10.0.0.0/8'],
        ['50', [80, 443], '50 from 10.0.0.0/8'],
        ['6', [80, 80], 'tcp 80 from 10.0.0.0/8'],
        ['58', [], 'icmpv6 from 10.0.0.0/8'],
        ['icmp', [8, -1], 'icmp type 8 from 10.0.0.0/8'],
        ['icmp', [252, 86], 'icmp type 252 code 86 from 10.0.0.0/8'],
      ];
    for (const [protocol, ports, expected] of cases) {
      const [permission] = must(read(protocol, ports, v4('10.0.0.0/8')));
      assert.equal(ruleKey({ ...permission, direction: 'ingress' }), expected);
    }
  });

  test('is refused in the words of AWS', () => {
    const ports = [22, 22];
    const value = 'InvalidParameterValue: ';
    const cases: readonly (readonly [ReturnType<typeof readPermission>, string])[] = [
      [
        read(undefined, ports, v4('10.0.0.0/8')),
        `${value}Invalid value 'null' for protocol. VPC security group rules must specify protocols explicitly.`,
      ],
      [
        read('all', ports, v4('10.0.0.0/8')),
        `${value}Invalid value 'all' for IP protocol. Unknown protocol.`,
      ],
      [
        read('tcp', [22], v4('10.0.0.0/8')),
        `${value}Invalid value for portRange. Must specify both from and to ports with TCP/UDP.`,
      ],
      [read('tcp', [-1, -1], v4('10.0.0.0/8')), `${value}TCP/UDP (from) port (-1) out of range`],
      [read('icmp', [3, 65535], v4('10.0.0.0/8')), `${value}ICMP code (65535) out of range`],
      [read('tcp', ports, v4('::/0')), `${value}CIDR block ::/0 is malformed`],
      [read('tcp', ports, v4('10.0.0.1')), `${value}CIDR block 10.0.0.1 is malformed`],
      [
        read('tcp', ports, { kind: 'cidrIpv6', text: '0.0.0.0/0' }),
        `${value}CIDR block 0.0.0.0/0 is malformed`,
      ],
      [
        read('tcp', ports, { ...v4('10.0.0.0/8'), description: 'a|b' }),
        `${value}Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*`,
      ],
      [
        read('tcp', ports, { kind: 'group', text: 'sg-00000000' }),
        "InvalidGroup.NotFound: The security group 'sg-00000000' does not exist",
      ],
      [
        read('tcp', ports, { kind: 'group', text: 'foo' }),
        'InvalidGroupId.Malformed: Invalid id: "foo" (expecting "sg-...")',
      ],
      [
        read('tcp', ports, { kind: 'group', text: far.id }),
        'InvalidGroup.NotFound: You have specified two resources that belong to different networks.',
      ],
      [
        read('tcp', ports, { kind: 'prefixList', text: 'pl-00000000' }),
        "InvalidPrefixListID.NotFound: The prefix list ID 'pl-00000000' does not exist",
      ],
      [
        read('tcp', ports, { kind: 'prefixList', text: 'office' }),
        'InvalidPrefixListId.Malformed: Invalid id: "office" (expecting "pl-...")',
      ],
      [
        read('tcp', ports),
        'MissingParameter: The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId',
      ],
    ];
    for (const [checked, expected] of cases) assert.deepEqual(refusalsOf(checked), [expected]);
  });

  test('is refused for all that is wrong with it', () => {
    const checked = read('esp', [], v4('x'), { kind: 'group', text: 'y', description: '?' });
    assert.deepEqual(
      refusalsOf(checked).map((text) => text.slice(0, 40)),
      [
        "InvalidParameterValue: Invalid value 'es",
        'InvalidParameterValue: CIDR block x is m',
        'InvalidGroupId.Malformed: Invalid id: "y',
        'InvalidParameterValue: Invalid rule desc',
      ],
    );
  });
});

describe('a SecurityGroupRuleRequest', () => {
  const request = (given: RuleText): readonly string[] => refusalsOf(readRule(given, own, source));
  const tcp = { protocol: 'tcp', fromPort: 22, toPort: 22 };

  test('has one peer', () => {
    const rule = must(
      readRule({ ...tcp, referencedGroupId: near.id, description: 'x' }, own, source),
    );
    assert.deepEqual(rule, {
      protocol: 6,
      fromPort: 22,
      toPort: 22,
      peer: { kind: 'group', groupId: near.id },
      description: 'x',
    });
    assert.deepEqual(request(tcp), [
      'MissingParameter: The request must contain exactly one of: cidrIp, cidrIpv6, prefixListId, or referencedGroupId',
    ]);
    assert.deepEqual(request({ ...tcp, cidrIpv4: '10.0.0.0/8', prefixListId: list.id }), [
      'InvalidParameterCombination: Only one of cidrIp, cidrIpv6, prefixListId, or referencedGroupId can be specified',
    ]);
  });

  test('takes no ports beside all protocols', () => {
    const all = { protocol: '-1', cidrIpv4: '10.0.0.0/8' };
    const text =
      'InvalidParameterValue: You may not specify all protocols and specific ports. Please specify each protocol and port range combination individually, or all protocols and no port range.';
    assert.deepEqual(request(all), []);
    assert.deepEqual(request({ ...all, fromPort: -1, toPort: -1 }), []);
    assert.deepEqual(request({ ...all, fromPort: 0, toPort: 0 }), [text]);
    assert.deepEqual(request({ ...all, toPort: 80 }), [text]);
  });
});
