/** What only AWS can know: told with its path, left out, and never a reason to allow more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatProblem } from '../../src/source/problem.ts';
import { defaultEgress, load } from './helpers.ts';

const TCP = 'IpProtocol: tcp, FromPort: 80, ToPort: 80';
const KNOWN = `{${TCP}, CidrIp: 10.0.0.0/8}`;

// prettier-ignore
const REASONS: readonly (readonly [expression: string, reason: string])[] = [
  ['!Ref Office', "parameter 'Office' has no default and no value was given"],
  ['!Ref Stored', "'/net/office' is stored in AWS Systems Manager"],
  ['!Select [0, !Ref StoredList]', "'/net/list' is stored in AWS Systems Manager"],
  ['"{{resolve:ssm:/net/x:1}}"', "'{{resolve:ssm:/net/x:1}}' is resolved by AWS alone"],
  ['!ImportValue net', "no template here exports 'net'"],
  ['!GetAtt Lookup.Cidr', "the attribute Cidr of 'Lookup' (Custom::Lookup) is known to AWS alone"],
  ['!Ref Lookup', "the physical id of 'Lookup' (Custom::Lookup) is known to AWS alone"],
  ['{"Fn::Transform": {Name: Pick}}', "the macro 'Pick' runs in AWS alone"],
  ['!Sub "${Office}/32"', "parameter 'Office' has no default and no value was given"],
  ['!Join ["/", [!Ref Office, 32]]', "parameter 'Office' has no default and no value was given"],
  ['!If [Maybe, 10.0.0.0/8, 10.1.0.0/16]', "'/net/office' is stored in AWS Systems Manager"],
  ['!Select [0, !GetAZs eu-north-1]', "the availability zones of 'eu-north-1' are known to AWS alone"],
];

const FRAME = `Parameters:
  Office: {Type: String}
  Stored: {Type: "AWS::SSM::Parameter::Value<String>", Default: /net/office}
  StoredList: {Type: "AWS::SSM::Parameter::Value<List<String>>", Default: /net/list}
Conditions:
  Maybe: !Equals [!Ref Stored, x]
  NotSo: !And [!Equals [a, b], !Condition Maybe]
  SoOr: !Or [!Not [!Condition NotSo], !Condition Maybe]
Resources:
  Lookup: {Type: "Custom::Lookup"}
`;

const SKIPPED =
  '10:3 notice passed-over: 1 resource makes no security group rules and is passed over: 1 Custom::Lookup';

for (const [expression, reason] of REASONS) {
  test(`${expression}: ${reason}`, () => {
    const { rules, problems, raw } = load(`${FRAME}  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: d
      SecurityGroupIngress:
        - ${KNOWN}
        - IpProtocol: tcp
          FromPort: 80
          ToPort: 80
          CidrIp: ${expression}
`);
    assert.deepEqual(rules, ['st-G < tcp 80 from 10.0.0.0/8', ...defaultEgress('st-G')]);
    assert.equal(problems.length, 2);
    assert.equal(problems[0], SKIPPED);
    assert.match(problems[1], /^20:\d+ warning unknown-value: /);
    assert.ok(
      problems[1].endsWith(`: CidrIp can't be known here: ${reason}; the rule is left out`),
      problems[1],
    );
    assert.ok(
      raw[1].path.startsWith('Resources.G.Properties.SecurityGroupIngress[1].CidrIp'),
      raw[1].path,
    );
  });
}

test('what is certain in spite of an unknown part is used', () => {
  const { rules, problems } = load(`${FRAME}  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: d
      SecurityGroupIngress:
        - {${TCP}, CidrIp: !If [NotSo, !Ref Office, 10.0.0.0/8]}
        - {${TCP}, CidrIp: !If [SoOr, 10.1.0.0/16, !Ref Office]}
`);
  assert.deepEqual(problems, [SKIPPED]);
  assert.deepEqual(rules, [
    'st-G < tcp 80 from 10.0.0.0/8',
    'st-G < tcp 80 from 10.1.0.0/16',
    ...defaultEgress('st-G'),
  ]);
});

// prettier-ignore
const EGRESS: readonly (readonly [what: string, resources: string])[] = [
  ['a rule with an unknown peer', `G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupEgress: [{${TCP}, CidrIp: !Ref Office}]}}`],
  ['an unknown rule', 'G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupEgress: [!If [Maybe, !Ref "AWS::NoValue", {IpProtocol: -1, CidrIp: 0.0.0.0/0}]]}}'],
  ['an unknown list', `G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupEgress: !If [Maybe, [${KNOWN}], []]}}`],
  ['a resource with an unknown peer', `G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}
  E: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !GetAtt G.GroupId, ${TCP}, CidrIp: !Ref Office}}`],
  ['a resource that may not exist', `G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}
  E: {Type: AWS::EC2::SecurityGroupEgress, Condition: Maybe, Properties: {GroupId: !GetAtt G.GroupId, ${TCP}, CidrIp: 10.0.0.0/8}}`],
  ['a resource for this group or another', `G: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}
  E: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !If [Maybe, !GetAtt G.GroupId, sg-1], ${TCP}, CidrIp: 10.0.0.0/8}}`],
];

for (const [what, resources] of EGRESS) {
  test(`no egress defaults where egress is unknown: ${what}`, () => {
    const { template, rules, problems } = load(`${FRAME}  ${resources}\n`);
    assert.deepEqual(rules, []);
    assert.equal(template?.groups.length, 1);
    assert.equal(problems.filter((line) => line.includes('warning unknown-value: ')).length, 1);
    assert.equal(problems.filter((line) => line.includes(' error ')).length, 0);
  });
}

test('a group that may not exist is left out, and so is what refers to it', () => {
  const { rules, problems } =
    load(`${FRAME}  A: {Type: AWS::EC2::SecurityGroup, Condition: Maybe, Properties: {GroupDescription: d}}
  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${TCP}, SourceSecurityGroupId: !GetAtt A.GroupId}]}}
`);
  assert.deepEqual(rules, defaultEgress('st-B'));
  assert.deepEqual(
    problems.map((line) => line.replace(/^(\d+):\d+ /, '$1 ')),
    [
      SKIPPED.replace('10:3', '10'),
      "11 warning unknown-value: whether 'A' exists can't be known here: '/net/office' is stored in AWS Systems Manager; it is left out",
      "12 warning unknown-value: SourceSecurityGroupId can't be known here: '/net/office' is stored in AWS Systems Manager; the rule is left out",
    ],
  );
});

test('an unknown VpcId, description or tag costs nothing', () => {
  const { rules, problems } = load(`${FRAME}  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: !Sub "for \${Office}"
      VpcId: !Ref Office
      Tags: [{Key: k, Value: !Ref Office}]
`);
  assert.deepEqual(rules, defaultEgress('st-G'));
  assert.deepEqual(problems, [
    SKIPPED,
    "14:30 warning unknown-value: GroupDescription can't be known here: parameter 'Office' has no default and no value was given; it is left empty",
  ]);
});

test('what is supplied from outside is no longer unknown; the hint names the key', () => {
  const text = `${FRAME}  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: d
      SecurityGroupIngress:
        - {${TCP}, CidrIp: !Ref Stored}
        - {${TCP}, CidrIp: '{{resolve:ssm:/net/x:1}}'}
        - {${TCP}, CidrIp: !ImportValue net}
        - {${TCP}, CidrIp: !GetAtt Lookup.Cidr}
        - {${TCP}, CidrIp: !Select [1, !Ref StoredList]}
`;
  const before = load(text, { supplied: new Map() });
  const keys = before.raw
    .slice(1)
    .map(
      (problem) =>
        /\n {4}supply it in the configuration as '(.*)'$/.exec(formatProblem(problem))?.[1],
    );
  assert.deepEqual(keys, [
    'ssm:/net/office',
    'ssm:/net/x',
    'import:net',
    'getatt:Lookup.Cidr',
    'ssm:/net/list',
  ]);
  const after = load(text, {
    supplied: new Map([
      ['ssm:/net/office', '10.1.0.0/16'],
      ['ssm:/net/x', '10.2.0.0/16'],
      ['import:net', '10.3.0.0/16'],
      ['getatt:Lookup.Cidr', '10.4.0.0/16'],
      ['ssm:/net/list', '10.0.0.0/16, 10.5.0.0/16'],
    ]),
  });
  assert.deepEqual(after.problems, [SKIPPED]);
  assert.deepEqual(
    after.rules.slice(0, 5),
    [1, 2, 3, 4, 5].map((n) => `st-G < tcp 80 from 10.${n}.0.0/16`),
  );
});
