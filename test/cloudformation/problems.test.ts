/** What is wrong with a template: each mistake with its line, its column and its message. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { load } from './helpers.ts';

const GOOD = 'IpProtocol: tcp, FromPort: 80, ToPort: 80';

/** Columns of the parts of a rule written on a line of its own, as `        - {…}`. */
const RULE = `Resources:
  G:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: d
      SecurityGroupIngress:
        - {`;

// prettier-ignore
const RULES: readonly (readonly [rule: string, problem: string])[] = [
  ['FromPort: 80, ToPort: 80, CidrIp: 10.0.0.0/8', '7:11 error missing-property: the rule has no IpProtocol'],
  [`IpProtocol: all, CidrIp: 10.0.0.0/8`, "7:24 error bad-protocol: Invalid value 'all' for IP protocol. Unknown protocol"],
  [`IpProtocol: 256, CidrIp: 10.0.0.0/8`, "7:24 error bad-protocol: Invalid value '256' for IP protocol. Unknown protocol"],
  [`IpProtocol: [tcp], CidrIp: 10.0.0.0/8`, '7:24 error bad-property: IpProtocol must be text, not a list'],
  [`IpProtocol: tcp, FromPort: 80, CidrIp: 10.0.0.0/8`, '7:39 error bad-ports: Invalid value for portRange. Must specify both from and to ports with TCP/UDP'],
  [`IpProtocol: tcp, CidrIp: 10.0.0.0/8`, '7:11 error bad-ports: Invalid value for portRange. Must specify both from and to ports with TCP/UDP'],
  [`IpProtocol: tcp, FromPort: -1, ToPort: -1, CidrIp: 10.0.0.0/8`, '7:39 error bad-ports: TCP/UDP (from) port (-1) out of range'],
  [`IpProtocol: tcp, FromPort: 90, ToPort: 80, CidrIp: 10.0.0.0/8`, '7:39 error bad-ports: the port range is reversed: it goes from 90 down to 80'],
  [`IpProtocol: tcp, FromPort: "0443", ToPort: 443, CidrIp: 10.0.0.0/8`, "7:39 error bad-ports: FromPort '0443' is not a number"],
  [`IpProtocol: tcp, FromPort: 0443, ToPort: 290, CidrIp: 10.0.0.0/8`, '7:39 error bad-ports: the port range is reversed: it goes from 291 down to 290'],
  [`${GOOD}, CidrIp: 10.0.0.0/8, CidrIP: 10.0.0.0/9`, "7:75 error unknown-property: unknown property 'CidrIP' of an ingress rule; did you mean 'CidrIp'?"],
  [`IpProtocol: tcp, FromPort: 1e2, ToPort: 443, CidrIp: 10.0.0.0/8`, "7:39 error bad-ports: FromPort '1e2' is not a number"],
  [`IpProtocol: tcp, FromPort: 80-90, ToPort: 443, CidrIp: 10.0.0.0/8`, "7:39 error bad-ports: FromPort '80-90' is not a number"],
  [`IpProtocol: icmp, FromPort: 256, ToPort: 0, CidrIp: 10.0.0.0/8`, '7:40 error bad-ports: ICMP type (256) out of range'],
  [`IpProtocol: icmp, FromPort: -1, ToPort: 3, CidrIp: 10.0.0.0/8`, '7:40 error bad-ports: ICMP code (3) is given for all types'],
  [GOOD, '7:11 error missing-peer: the rule names no source'],
  [`${GOOD}, CidrIp: "::/0"`, '7:63 error bad-cidr: CIDR block ::/0 is malformed'],
  [`${GOOD}, CidrIpv6: 10.0.0.0/8`, '7:65 error bad-cidr: CIDR block 10.0.0.0/8 is malformed'],
  [`${GOOD}, CidrIp: 10.0.0.1`, '7:63 error bad-cidr: CIDR block 10.0.0.1 is malformed'],
  [`${GOOD}, CidrIp: 010.0.0.0/8`, '7:63 error bad-cidr: CIDR block 010.0.0.0/8 is malformed'],
  [`${GOOD}, CidrIp: 10.0.0.0/33`, '7:63 error bad-cidr: CIDR block 10.0.0.0/33 is malformed'],
  [`${GOOD}, CidrIp: ~`, '7:63 error null-value: there is no value'],
  [`${GOOD}, CidrIp: 10.0.0.0/8, Description: "a < b"`, '7:88 error bad-description: Invalid rule description. Valid descriptions are strings less than 256 characters from the following set: a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*'],
];

for (const [rule, problem] of RULES) {
  test(`{${rule}}: ${problem}`, () => {
    const { template, problems } = load(`${RULE}${rule}}\n`);
    assert.deepEqual(problems, [problem]);
    assert.deepEqual(template?.groups[0]?.ingress, []);
  });
}

// prettier-ignore
const TEMPLATES: readonly (readonly [what: string, text: string, problems: readonly string[]])[] = [
  ['a list', '- a\n', ['1:1 error template-format: a template is a mapping with a section Resources, not a list']],
  ['no resources', 'Parameters: {}\n', ['1:1 error missing-resources: the template has no section Resources']],
  ['something else at the top', 'Groups: {A: {Kind: x}}\n', ['1:1 error missing-resources: the template has no section Resources']],
  ['an empty section', 'Resources: {}\n', ['1:12 error missing-resources: the section Resources is empty']],
  ['a section that is a list', 'Resources: []\n', ['1:12 error template-format: the section Resources must be a mapping, not a list']],
  ['an unknown section', 'Resource: {}\nResources: {B: {Type: AWS::EC2::VPC}}\n', ["1:1 error unknown-section: unknown section 'Resource'; did you mean 'Resources'?"]],
  ['a section of another name', 'Groups: {}\nResources: {B: {Type: AWS::EC2::VPC}}\n', ["1:1 warning unknown-section: unknown section 'Groups'"]],
  ['a logical id with a dash', 'Resources:\n  a-b: {Type: AWS::EC2::SecurityGroup}\n', ["2:3 error template-format: the logical id 'a-b' is not alphanumeric"]],
  ['a resource without a Type', 'Resources:\n  A: {Properties: {}}\n', ["2:3 error template-format: the resource 'A' has no Type"]],
  ['a resource that is text', 'Resources:\n  A: AWS::EC2::SecurityGroup\n', ["2:3 error template-format: the resource 'A' must be a mapping with Type and Properties, not a string"]],
  ['Properties that are a list', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: [a]}\n', ["2:50 error template-format: the Properties of 'A' must be a mapping, not a list"]],
  ['a condition that is not there', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Condition: No}\n', ["2:49 error unknown-condition: the template has no condition 'No'"]],
  ['two groups of one name', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, GroupName: Web}}\n  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, GroupName: "web "}}\n', ["3:3 error duplicate-group-name: 'B' and 'A' have the same name 'web'"]],
  ['a reserved name', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, GroupName: default}}\n', ["2:83 error bad-name: The security group 'default' is reserved"]],
  ['a name like an id', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, GroupName: sg-web}}\n', ['2:83 error bad-name: Value (sg-web) for parameter GroupName is invalid. Group names may not be in the format sg-*.']],
  ['a rule that names no group', `Resources:\n  A: {Type: AWS::EC2::SecurityGroupIngress, Properties: {${GOOD}, CidrIp: 10.0.0.0/8}}\n`, ["2:3 error missing-property: 'A' names no group"]],
  ['a list item that is no rule', 'Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [tcp]}}\n', ["2:95 error bad-property: a rule must be a mapping, not 'tcp'"]],
  ['a rule of another group in the list', `Resources:\n  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [!Ref R]}}\n  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d}}\n  R: {Type: AWS::EC2::SecurityGroupIngress, Properties: {GroupId: !GetAtt B.GroupId, ${GOOD}, CidrIp: 10.0.0.0/8}}\n`, ["2:100 error rule-reference: 'R' is not a rule for this list of 'A'"]],
  ['a group whose condition is false', `Conditions: {No: !Equals [a, b]}\nResources:\n  A: {Type: AWS::EC2::SecurityGroup, Condition: No}\n  R: {Type: AWS::EC2::SecurityGroup, Properties: {GroupDescription: d, SecurityGroupIngress: [{${GOOD}, SourceSecurityGroupId: !GetAtt A.GroupId}]}}\n`, ["4:170 error unresolved-reference: 'A' does not exist: its condition No is false"]],
  ['a prefix list with an entry of the other family', 'Resources:\n  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv4, PrefixListName: l, MaxEntries: 1, Entries: [{Cidr: "::/0"}]}}\n', ['2:120 error bad-cidr: CIDR block ::/0 is malformed']],
  ['a prefix list with more entries than it may have', 'Resources:\n  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv4, PrefixListName: l, MaxEntries: 1, Entries: [{Cidr: 10.0.0.0/8}, {Cidr: 11.0.0.0/8}]}}\n', ['2:100 error bad-property: the prefix list has 2 entries, more than its MaxEntries 1']],
  ['a prefix list without a family', 'Resources:\n  L: {Type: AWS::EC2::PrefixList, Properties: {PrefixListName: l, MaxEntries: 1}}\n', ["2:3 error missing-property: the prefix list 'L' has no AddressFamily"]],
  ['a prefix list without name and size', 'Resources:\n  L: {Type: AWS::EC2::PrefixList, Properties: {AddressFamily: IPv4}}\n', ["2:3 warning missing-property: the prefix list 'L' has no MaxEntries; 1 is taken", "2:3 warning missing-property: the prefix list 'L' has no PrefixListName; it is called 'st-L'"]],
  ['a transform', 'Transform: AWS::Serverless-2016-10-31\nResources: {B: {Type: AWS::EC2::VPC}}\n', ["1:12 warning transform: the transform 'AWS::Serverless-2016-10-31' runs in AWS alone; resources are read as they are written"]],
  ['what is no condition', 'Conditions:\n  C: !Sub a\nResources:\n  A: {Type: AWS::EC2::SecurityGroup, Condition: C}\n', ['2:11 error bad-function: this is not a condition']],
  ['And of one', 'Conditions:\n  C: !And [!Equals [a, b]]\nResources:\n  A: {Type: AWS::EC2::SecurityGroup, Condition: C}\n', ['2:11 error bad-function: Fn::And has the wrong arguments']],
];

for (const [what, text, problems] of TEMPLATES) {
  test(what, () => {
    assert.deepEqual(load(text).problems, problems);
  });
}

test('all mistakes are told at once', () => {
  const { problems } = load(
    `${RULE}${GOOD}}\n        - {${GOOD}, CidrIp: x}\n        - {IpProtocol: esp, CidrIp: 10.0.0.0/8}\n`,
  );
  assert.deepEqual(
    problems.map((line) => line.split(':')[0]),
    ['7', '8', '9'],
  );
});
