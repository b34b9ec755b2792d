/** Groups and their rules: template text in, rules as lines out, with what AWS would say to it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultEgress, load } from './helpers.ts';

interface Case {
  readonly what: string;
  /** The section Resources, indented by two; line 1 of the template is `Resources:`. */
  readonly resources: string;
  readonly rules: readonly string[];
  readonly problems?: readonly string[];
}

/** One group with one ingress rule, its properties in flow style on line 6. */
function ingress(rule: string): string {
  return `
  G:
    Type: AWS::EC2::SecurityGroup
    Properties: {GroupDescription: d, SecurityGroupIngress: [
${rule.replaceAll(/^/gm, '      ')}]}`;
}

function group(name: string, properties = ''): string {
  return `
  ${name}: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d${properties}}}`;
}

// prettier-ignore
const PROTOCOLS: readonly (readonly [rule: string, text: string])[] = [
  ['IpProtocol: tcp, FromPort: 80, ToPort: 81', 'tcp 80-81'],
  ['IpProtocol: "6", FromPort: "80", ToPort: "80"', 'tcp 80'],
  ['IpProtocol: TCP, FromPort: 0, ToPort: 65535', 'tcp 0-65535'],
  ['IpProtocol: 17, FromPort: 53, ToPort: 53', 'udp 53'],
  ['IpProtocol: icmp, FromPort: 8, ToPort: 0', 'icmp type 8 code 0'],
  ['IpProtocol: icmp, FromPort: 8, ToPort: -1', 'icmp type 8'],
  ['IpProtocol: 1, FromPort: -1, ToPort: -1', 'icmp'],
  ['IpProtocol: icmp, FromPort: 252, ToPort: 86', 'icmp type 252 code 86'],
  ['IpProtocol: icmpv6', 'icmpv6'],
  ['IpProtocol: 58, FromPort: 128, ToPort: "-1"', 'icmpv6 type 128'],
  ['IpProtocol: -1', 'all'],
  ['IpProtocol: "-1", FromPort: -1, ToPort: -1', 'all'],
  ['IpProtocol: "-1", FromPort: 0, ToPort: 65535', 'all'],
  ['IpProtocol: 50', '50'],
];

for (const [rule, text] of PROTOCOLS) {
  test(`{${rule}} is ${text}`, () => {
    const { rules, problems } = load(`Resources:${ingress(`{${rule}, CidrIp: 10.0.0.0/8}`)}`);
    assert.deepEqual(problems, []);
    assert.deepEqual(rules, [`st-G < ${text} from 10.0.0.0/8`, ...defaultEgress('st-G')]);
  });
}

const TCP = 'IpProtocol: tcp, FromPort: 80, ToPort: 80';

// prettier-ignore
const CASES: readonly Case[] = [
  {
    what: 'a group without rules gets the egress defaults of both families',
    resources: group('G'),
    rules: defaultEgress('st-G'),
  },
  {
    what: 'an empty egress list keeps the defaults',
    resources: group('G', ', SecurityGroupEgress: []'),
    rules: defaultEgress('st-G'),
  },
  {
    what: 'an egress list of nothing but NoValue keeps the defaults',
    resources: group('G', ', SecurityGroupEgress: [!Ref AWS::NoValue]'),
    rules: defaultEgress('st-G'),
  },
  {
    what: 'one inline egress rule takes the place of the defaults',
    resources: group('G', `, SecurityGroupEgress: [{${TCP}, CidrIp: 10.0.0.0/8}]`),
    rules: ['st-G > tcp 80 to 10.0.0.0/8'],
    problems: ["2:93 warning missing-property: 'G' has SecurityGroupEgress and no VpcId"],
  },
  {
    what: 'egress rules of a group whose VpcId is there after all',
    resources: `${group('A', `, VpcId: vpc-1, SecurityGroupEgress: [{${TCP}, CidrIp: 10.0.0.0/8}]`)}${group('B', `, SecurityGroupEgress: [{${TCP}, CidrIp: 10.0.0.0/8}], VpcId: !ImportValue vpc`)}`,
    rules: ['st-A > tcp 80 to 10.0.0.0/8', 'st-B > tcp 80 to 10.0.0.0/8'],
  },
  {
    what: 'egress rules of a group whose VpcId is nothing',
    resources: `${group('A', `, VpcId: !Ref AWS::NoValue, SecurityGroupEgress: [{${TCP}, CidrIp: 10.0.0.0/8}]`)}${group('B', `, VpcId: '', SecurityGroupEgress: [{${TCP}, CidrIp: 10.0.0.0/8}]`)}`,
    rules: ['st-A > tcp 80 to 10.0.0.0/8', 'st-B > tcp 80 to 10.0.0.0/8'],
    problems: ["2:119 warning missing-property: 'A' has SecurityGroupEgress and no VpcId", "3:104 warning missing-property: 'B' has SecurityGroupEgress and no VpcId"],
  },
  {
    what: 'the egress rules of a group without VpcId that are resources are as AWS wants them',
    resources: `${group('A')}
  E: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt A.GroupId, ${TCP}, CidrIp: 10.0.0.0/8}}`,
    rules: ['st-A > tcp 80 to 10.0.0.0/8'],
  },
  {
    what: 'names of groups in a VPC of the template: AWS looks in the default VPC',
    resources: `
  V: {Type: AWS::EC2::VPC}${group('A', ', GroupName: alpha, VpcId: !Ref V')}
  One: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupName: alpha, ${TCP}, SourceSecurityGroupName: alpha}}`,
    rules: ['alpha < tcp 80 from sg:alpha', ...defaultEgress('alpha')],
    problems: [
      "4:71 warning group-name-of-vpc: GroupName names the group 'A', which is in the VPC 'V'",
      "4:146 warning group-name-of-vpc: SourceSecurityGroupName names the group 'A', which is in the VPC 'V'",
    ],
  },
  {
    what: "CDK's sentinel is a rule like any other",
    resources: group('G', ', SecurityGroupEgress: [{CidrIp: 255.255.255.255/32, Description: Disallow all traffic, IpProtocol: icmp, FromPort: 252, ToPort: 86}]'),
    rules: ['st-G > icmp type 252 code 86 to 255.255.255.255/32'],
    problems: ["2:93 warning missing-property: 'G' has SecurityGroupEgress and no VpcId"],
  },
  {
    what: 'one egress resource takes the place of the defaults',
    resources: `${group('G')}
  E: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt G.GroupId, IpProtocol: -1, CidrIp: 127.0.0.1/32}}`,
    rules: ['st-G > all to 127.0.0.1/32'],
  },
  {
    what: 'rules that name each other\'s group, as resources of their own',
    resources: `${group('A')}${group('B')}
  AtoB: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt A.GroupId, ${TCP}, DestinationSecurityGroupId: !GetAtt B.GroupId}}
  BfromA: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt B.GroupId, ${TCP}, SourceSecurityGroupId: !GetAtt A.GroupId}}`,
    rules: ['st-A > tcp 80 to sg:st-B', 'st-B < tcp 80 from sg:st-A', ...defaultEgress('st-B')],
  },
  {
    what: 'groups in a VPC are found by Ref, groups outside one by name',
    resources: `${group('A', ', GroupName: alpha, VpcId: vpc-1')}${group('B', ', GroupName: beta')}
  One: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !Ref A, ${TCP}, SourceSecurityGroupName: !Ref B}}
  Two: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupName: !Ref B, ${TCP}, SourceSecurityGroupId: !Ref A}}`,
    rules: ['alpha < tcp 80 from sg:beta', ...defaultEgress('alpha'), 'beta < tcp 80 from sg:alpha', ...defaultEgress('beta')],
  },
  {
    what: 'a name where AWS wants an id works, with a warning',
    resources: `${group('A')}
  One: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt A.GroupId, ${TCP}, SourceSecurityGroupId: !Ref A}}`,
    rules: ['st-A < tcp 80 from sg:st-A', ...defaultEgress('st-A')],
    problems: ["3:159 warning group-name-as-id: SourceSecurityGroupId is the name 'st-A' of a group, not its id"],
  },
  {
    what: 'groups that name each other inline work; AWS refuses the circle',
    resources: `
  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${TCP}, SourceSecurityGroupId: !GetAtt B.GroupId}]}}
  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${TCP}, SourceSecurityGroupId: !GetAtt A.GroupId}]}}
  C: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${TCP}, SourceSecurityGroupId: !GetAtt A.GroupId}]}}`,
    rules: ['st-A < tcp 80 from sg:st-B', ...defaultEgress('st-A'), 'st-B < tcp 80 from sg:st-A', ...defaultEgress('st-B'), 'st-C < tcp 80 from sg:st-A', ...defaultEgress('st-C')],
    problems: ['2:170 warning circular-reference: circular dependency between resources: [A, B]'],
  },
  {
    what: 'a group that names itself inline',
    resources: `
  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${TCP}, SourceSecurityGroupId: !GetAtt A.GroupId}]}}`,
    rules: ['st-A < tcp 80 from sg:st-A', ...defaultEgress('st-A')],
    problems: ['2:170 warning circular-reference: circular dependency between resources: [A]'],
  },
  {
    what: 'prefix lists, by Ref and by GetAtt, both directions',
    resources: `
  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv4, PrefixListName: office, MaxEntries: 5, Entries: [{Cidr: 192.0.2.0/24, Description: north}, {Cidr: 198.51.100.7/24}]}}
  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: d
      SecurityGroupIngress: [{${TCP}, SourcePrefixListId: !Ref L}]
      SecurityGroupEgress: [{${TCP}, DestinationPrefixListId: !GetAtt L.PrefixListId}]`,
    rules: ['st-G < tcp 80 from pl:office', 'st-G > tcp 80 to pl:office'],
    problems: [
      '2:167 warning host-bits: CIDR block 198.51.100.7/24 has bits set beyond its prefix; AWS stores 198.51.100.0/24, and so do we',
      "8:28 warning missing-property: 'G' has SecurityGroupEgress and no VpcId",
    ],
  },
  {
    what: 'host bits are cut off, with a warning',
    resources: ingress(`{${TCP}, CidrIp: 100.68.0.18/18}`),
    rules: ['st-G < tcp 80 from 100.68.0.0/18', ...defaultEgress('st-G')],
    problems: ['5:59 warning host-bits: CIDR block 100.68.0.18/18 has bits set beyond its prefix; AWS stores 100.68.0.0/18, and so do we'],
  },
  {
    what: 'two peers make two rules, with a warning',
    resources: ingress(`{${TCP}, CidrIp: 0.0.0.0/0, CidrIpv6: "::/0"}`),
    rules: ['st-G < tcp 80 from 0.0.0.0/0', 'st-G < tcp 80 from ::/0', ...defaultEgress('st-G')],
    problems: ['5:70 warning several-peers: the rule names 2 sources (CidrIp, CidrIpv6); it is taken as one rule for each'],
  },
  {
    what: 'the same rule twice is one rule: inline AWS takes it, as a resource it does not',
    resources: `${ingress(`{${TCP}, CidrIp: 10.0.0.0/8},\n{IpProtocol: "6", FromPort: "80", ToPort: "80", CidrIp: 10.1.2.3/8}`)}
  R: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt G.GroupId, ${TCP}, CidrIp: 10.0.0.0/8}}`,
    rules: ['st-G < tcp 80 from 10.0.0.0/8', ...defaultEgress('st-G')],
    problems: [
      "6:7 warning duplicate-rule: ingress rule tcp 80 from 10.0.0.0/8 of 'G' is there already, from line 5",
      '6:63 warning host-bits: CIDR block 10.1.2.3/8 has bits set beyond its prefix; AWS stores 10.0.0.0/8, and so do we',
      "7:3 warning duplicate-rule: ingress rule tcp 80 from 10.0.0.0/8 of 'G' is there already, from line 5",
    ],
  },
  {
    what: 'one rule instead of a list of rules',
    resources: group('G', `, SecurityGroupIngress: {${TCP}, CidrIp: 10.0.0.0/8}`),
    rules: ['st-G < tcp 80 from 10.0.0.0/8', ...defaultEgress('st-G')],
    problems: ['2:94 warning bad-property: SecurityGroupIngress is one rule, not a list of rules; it is taken as a list of one'],
  },
  {
    what: 'ports that the protocol does not have are the mistake of whoever meant one port',
    resources: ingress('{IpProtocol: -1, FromPort: 22, ToPort: 22, CidrIp: 10.0.0.0/8}'),
    rules: ['st-G < all from 10.0.0.0/8', ...defaultEgress('st-G')],
    problems: ['5:34 warning ports-ignored: the ports 22 to 22 mean nothing with protocol -1: the rule allows all of it'],
  },
  {
    what: 'a missing description and unknown properties are warnings; what they may say is closed',
    resources: `
  G:
    Type: AWS::EC2::SecurityGroup
    Colour: red
    Properties:
      Paint: x
      SecurityGroupIngress: [{${TCP}, CidrIp: 10.0.0.0/8, SourceCidr: x}, {${TCP}, CidrIp: 10.1.0.0/16}]`,
    rules: ['st-G < tcp 80 from 10.1.0.0/16'],
    problems: [
      "2:3 warning missing-property: the group 'G' has no GroupDescription",
      "4:5 warning unknown-property: unknown attribute 'Colour' of the resource 'G'",
      "4:5 warning unknown-value: what else 'G' says can't be known here: its attribute 'Colour' is not known; the group has the rules that are written out, and no others",
      "6:7 warning unknown-property: unknown property 'Paint' of AWS::EC2::SecurityGroup; the group has the rules that are written out, and no others",
      "7:94 warning unknown-property: unknown property 'SourceCidr' of an ingress rule; the rule is left out",
    ],
  },
  {
    what: 'other kinds are passed over with one line; those that place groups are not mentioned',
    resources: `${group('G')}
  B: {Type: AWS::S3::Bucket, Properties: {BucketName: !Nonsense x}}
  C: {Type: AWS::S3::Bucket}
  R: {Type: AWS::IAM::Role}
  I: {Type: AWS::EC2::Instance}
  N: {Type: AWS::EC2::NetworkInterface}
  V: {Type: AWS::EC2::VPC}
  S: {Type: AWS::EC2::Subnet}
  P: {Type: AWS::EC2::SecurityGroupVpcAssociation, Properties: {GroupId: !GetAtt G.GroupId, VpcId: !Ref V}}`,
    rules: defaultEgress('st-G'),
    problems: ['3:3 notice passed-over: 3 resources make no security group rules and are passed over: 2 AWS::S3::Bucket, 1 AWS::IAM::Role'],
  },
];

for (const { what, resources, rules, problems } of CASES) {
  test(what, () => {
    const loaded = load(`Resources:${resources}\n`);
    assert.deepEqual(loaded.problems, problems ?? []);
    assert.deepEqual(loaded.rules, rules);
  });
}

test('ids are stable, names follow AWS, origins name the logical id', () => {
  const text = `Resources:${ingress(`{${TCP}, CidrIp: 10.0.0.0/8, Description: why}`)}
  R: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt G.GroupId, ${TCP}, CidrIp: 10.0.0.0/9}}`;
  const first = load(text).template!;
  const moved = load(`# a line more\n${text}`).template!;
  assert.deepEqual(
    first.groups.map((g) => [g.id, g.ingress.map((r) => r.id), g.egress.map((r) => r.id)]),
    moved.groups.map((g) => [g.id, g.ingress.map((r) => r.id), g.egress.map((r) => r.id)]),
  );
  const other = load(text, { stackName: 'other' }).template!;
  assert.notEqual(first.groups[0].id, other.groups[0].id);
  assert.equal(other.groups[0].name, 'other-G');
  const { origin, description } = first.groups[0].ingress[0];
  assert.deepEqual(origin, {
    file: 't.yaml',
    line: 5,
    column: 7,
    path: 'Resources.G.Properties.SecurityGroupIngress[0]',
    logicalId: 'G',
  });
  assert.equal(description, 'why');
  assert.deepEqual(first.groups[0].ingress[1].origin, {
    file: 't.yaml',
    line: 6,
    column: 3,
    path: 'Resources.R',
    logicalId: 'R',
  });
});

test('prefix lists keep their entries and what they count', () => {
  const { template } = load(`Resources:
  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv6, PrefixListName: six, MaxEntries: 7, Entries: [{Cidr: "2001:db8::/32", Description: docs}]}}
`);
  const [list] = template!.prefixLists;
  assert.equal(list.name, 'six');
  assert.equal(list.family, 6);
  assert.equal(list.maxEntries, 7);
  assert.deepEqual(list.entries, [
    { cidr: { family: 6, words: [0x20010db8, 0, 0, 0], length: 32 }, description: 'docs' },
  ]);
  assert.match(list.id, /^pl-[0-9a-f]{17}$/);
});

test('groups outside the template are asked for, by id, by name and with their account', () => {
  const asked: string[] = [];
  const resolveGroup = (reference: string): string | undefined => {
    asked.push(reference);
    return reference === 'web' ? 'sg-00000000000000001' : undefined;
  };
  const { rules, problems } = load(
    `Resources:${ingress(`{${TCP}, SourceSecurityGroupId: web},
{${TCP}, SourceSecurityGroupId: sg-0123456789abcdef0},
{${TCP}, SourceSecurityGroupId: sg-0123456789abcdef0, SourceSecurityGroupOwnerId: "999999999999"}`)}`,
    { resolveGroup },
  );
  assert.deepEqual(asked, ['web', 'sg-0123456789abcdef0', '999999999999/sg-0123456789abcdef0']);
  assert.deepEqual(rules, ['st-G < tcp 80 from sg:sg-00000000000000001', ...defaultEgress('st-G')]);
  assert.deepEqual(problems, [
    "6:74 warning unknown-value: SourceSecurityGroupId can't be known here: the group 'sg-0123456789abcdef0' is not defined here; the rule is left out",
    "7:74 warning unknown-value: SourceSecurityGroupId can't be known here: the group '999999999999/sg-0123456789abcdef0' is not defined here; the rule is left out",
  ]);
});

test('a rule for a group outside is handed over if the caller takes it, else it is an error', () => {
  const text = `Resources:
  R: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: web, ${TCP}, CidrIp: 10.0.0.0/8}}
`;
  const resolveGroup = (): string => 'sg-00000000000000001';
  const refused = load(text, { resolveGroup });
  assert.deepEqual(refused.problems, [
    "2:3 error outside-group: 'R' adds a rule to a group that this template does not define",
  ]);
  const taken = load(text, { resolveGroup, acceptsOutsideRules: true });
  assert.deepEqual(taken.problems, []);
  assert.deepEqual(
    taken.template!.outsideRules.map(({ groupId, rule }) => [
      groupId,
      rule.direction,
      rule.origin.logicalId,
    ]),
    [['sg-00000000000000001', 'egress', 'R']],
  );
});
