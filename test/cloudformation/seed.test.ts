/** The example this project began with: loaded exactly as it stands, and as it should have been written. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadTemplateText } from '../../src/cloudformation/load-template.ts';
import { formatProblem, type Problem } from '../../src/source/problem.ts';
import {
  defaultEgress,
  findRoot,
  listRules,
  load,
  OPTIONS,
  readExample,
  shortProblem,
} from './helpers.ts';

const RULES = [
  'st-sg < tcp 80 from 0.0.0.0/0',
  'st-sg < tcp 80 from ::/0',
  'st-sg < tcp 443 from 0.0.0.0/0',
  'st-sg < tcp 443 from ::/0',
  ...defaultEgress('st-sg'),
];

test('the example file is the seed, byte for byte', (t) => {
  const bytes = readExample('security-groups.yaml');
  assert.equal(
    createHash('sha256').update(bytes).digest('hex'),
    '2e6210231c3b585a63feca5d7ce510a30e5626959bd282455e8cd5c0c09d0d20',
  );
  const seed = join(findRoot(), '../shared/seed/security-groups.txt');
  if (!existsSync(seed)) {
    t.diagnostic('the seed itself is not here: compared with its hash alone');
    return;
  }
  const text = readFileSync(seed);
  const start = text.indexOf('\nEC2SecurityGroup:\n') + 1;
  assert.ok(start > 0);
  assert.deepEqual(bytes, text.subarray(start));
});

test('it loads as its author meant it, and says what AWS would refuse', () => {
  const file = join(findRoot(), 'config/templates/security-groups.yaml');
  const problems: Problem[] = [];
  const text = readExample('security-groups.yaml').toString('utf8');
  const template = loadTemplateText(file, text, OPTIONS, problems);
  assert.deepEqual(listRules(template), RULES);
  assert.deepEqual(
    template?.groups.map((group) => [group.name, group.description, group.origin.logicalId]),
    [['st-sg', '', 'EC2SecurityGroup']],
  );
  assert.deepEqual(
    template.groups[0].ingress.map(({ origin, description }) => [
      origin.line,
      origin.column,
      origin.logicalId,
      description,
    ]),
    [
      [8, 1, 'EC2SecurityGroupIngressHttp', 'Allow HTTP access'],
      [8, 1, 'EC2SecurityGroupIngressHttp', 'Allow HTTP access'],
      [18, 1, 'EC2SecurityGroupIngressHttps', 'Allow HTTP access'],
      [18, 1, 'EC2SecurityGroupIngressHttps', 'Allow HTTP access'],
    ],
  );
  // prettier-ignore
  assert.deepEqual(problems.map(shortProblem), [
    '1:1 warning lost-indentation: the template has lost its indentation; it was restored from the names of its properties',
    '1:1 warning missing-resources: the template has no section Resources; the resources at the top are taken for it',
    "1:1 warning missing-property: the group 'EC2SecurityGroup' has no GroupDescription",
    '6:8 warning circular-reference: circular dependency between resources: [EC2SecurityGroup, EC2SecurityGroupIngressHttp, EC2SecurityGroupIngressHttps]',
    "6:8 warning rule-reference: SecurityGroupIngress refers to the rule 'EC2SecurityGroupIngressHttp', which adds itself to this group already",
    "7:8 warning rule-reference: SecurityGroupIngress refers to the rule 'EC2SecurityGroupIngressHttps', which adds itself to this group already",
    '12:1 warning several-peers: the rule names 2 sources (CidrIp, CidrIpv6); it is taken as one rule for each',
    '22:1 warning several-peers: the rule names 2 sources (CidrIp, CidrIpv6); it is taken as one rule for each',
  ]);
  for (const problem of problems) {
    assert.match(formatProblem(problem), /\n {4}AWS refuses it: /);
    assert.equal(problem.at?.file, file);
  }
});

const INDENTED = `
Resources:
  EC2SecurityGroup:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupName: !Sub '\${AWS::StackName}-sg'
      SecurityGroupIngress:
        - !Ref EC2SecurityGroupIngressHttp
        - !Ref EC2SecurityGroupIngressHttps
  EC2SecurityGroupIngressHttp:
    Type: AWS::EC2::SecurityGroupIngress
    Properties:
      CidrIp: 0.0.0.0/0
      CidrIpv6: ::/0
      Description: Allow HTTP access
      FromPort: 80
      GroupId: !GetAtt EC2SecurityGroup.GroupId
      IpProtocol: 6
      ToPort: 80
  EC2SecurityGroupIngressHttps:
    Type: AWS::EC2::SecurityGroupIngress
    Properties:
      CidrIp: 0.0.0.0/0
      CidrIpv6: ::/0
      Description: Allow HTTP access
      FromPort: 443
      GroupId: !GetAtt EC2SecurityGroup.GroupId
      IpProtocol: 6
      ToPort: 443
`;

function rule(port: number): object {
  return {
    Type: 'AWS::EC2::SecurityGroupIngress',
    Properties: {
      CidrIp: '0.0.0.0/0',
      CidrIpv6: '::/0',
      Description: 'Allow HTTP access',
      FromPort: port,
      GroupId: { 'Fn::GetAtt': ['EC2SecurityGroup', 'GroupId'] },
      IpProtocol: '6',
      ToPort: String(port),
    },
  };
}

const AS_DATA = {
  Resources: {
    EC2SecurityGroup: {
      Type: 'AWS::EC2::SecurityGroup',
      Properties: {
        GroupName: { 'Fn::Sub': '${AWS::StackName}-sg' },
        SecurityGroupIngress: [
          { Ref: 'EC2SecurityGroupIngressHttp' },
          { Ref: 'EC2SecurityGroupIngressHttps' },
        ],
      },
    },
    EC2SecurityGroupIngressHttp: rule(80),
    EC2SecurityGroupIngressHttps: rule(443),
  },
};

test('indented, without Resources, with CRLF and as JSON it is the same groups and rules', () => {
  const flat = load(readExample('security-groups.yaml').toString('utf8'));
  const withoutOrigins = (loaded: ReturnType<typeof load>): unknown =>
    JSON.parse(
      JSON.stringify(loaded.template?.groups, (key, value: unknown) =>
        key === 'origin' ? undefined : value,
      ),
    );
  for (const text of [
    INDENTED,
    INDENTED.replace('\nResources:\n', '').replaceAll(/^ {2}/gm, ''),
    INDENTED.replaceAll('\n', '\r\n'),
    readExample('security-groups.yaml').toString('utf8').replaceAll('\n', '\r\n'),
    JSON.stringify(AS_DATA),
    JSON.stringify(AS_DATA, undefined, 2),
  ]) {
    const loaded = load(text);
    assert.deepEqual(loaded.rules, RULES);
    assert.deepEqual(withoutOrigins(loaded), withoutOrigins(flat));
    assert.deepEqual(
      loaded.raw.filter((problem) => problem.severity !== 'warning'),
      [],
    );
  }
});
