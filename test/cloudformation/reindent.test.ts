/** Lost indentation: what is restored, where problems in it are told to be, and what is refused. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { defaultEgress, load } from './helpers.ts';

const LOST =
  'warning lost-indentation: the template has lost its indentation; it was restored from the names of its properties';
const BARE =
  'warning missing-resources: the template has no section Resources; the resources at the top are taken for it';

test('comments, blank lines, sections before, attributes, quotes and lists are put back', () => {
  const { rules, problems } = load(`AWSTemplateFormatVersion: "2010-09-09"
# a comment
Description: 'One group: it''s flat' # so it is
Resources:

Web:
Type: "AWS::EC2::SecurityGroup"
DeletionPolicy: Retain
Properties:
GroupDescription: "flat \\x26 wide"
VpcId: !Ref AWS::NoValue

WebHttp:
Type: 'AWS::EC2::SecurityGroupIngress' # a comment
Properties:
GroupName: st-Web
IpProtocol: tcp
FromPort: 80
# between
ToPort: 80
CidrIpv6: ::/0
DependsOn: Web
`);
  assert.deepEqual(rules, ['st-Web < tcp 80 from ::/0', ...defaultEgress('st-Web')]);
  assert.deepEqual(problems, [`6:1 ${LOST}`]);
});

test('problems are told at the line and column of the file', () => {
  const { problems } = load(`Web:
Type: AWS::EC2::SecurityGroup
Properties:
GroupDescription: flat
WebHttp:
Type: AWS::EC2::SecurityGroupIngress
Properties:
GroupId: !GetAtt Web.GroupId
IpProtocol: tcp
FromPort: http
ToPort: 80
CidrIp: 10.0.0.0/8
`);
  assert.deepEqual(problems, [
    `1:1 ${LOST}`,
    `1:1 ${BARE}`,
    "10:11 error bad-ports: FromPort 'http' is not a number",
  ]);
});

test('a key given twice under one resource is told at its line', () => {
  const { problems } = load(
    'A:\nType: AWS::EC2::SecurityGroup\nProperties:\nGroupName: a\nGroupName: b\n',
  );
  assert.deepEqual(
    problems.filter((line) => line.includes('error')),
    ["5:1 error duplicate-key: key 'GroupName' is given twice: on line 4 and on line 5"],
  );
});

const HEAD = 'A:\nType: AWS::EC2::SecurityGroup\nProperties:\n';

// prettier-ignore
const REFUSED: readonly (readonly [what: string, text: string, line: number, shown: string])[] = [
  ['an indented line among them', `${HEAD}  GroupName: a\n`, 4, '  GroupName: a'],
  ['a mapping in a list', `${HEAD}SecurityGroupIngress:\n- IpProtocol: tcp\nFromPort: 80\n`, 4, 'SecurityGroupIngress:'],
  ['a list of mappings after a scalar', `${HEAD}SecurityGroupIngress:\n- !Ref B\n- IpProtocol: tcp\n`, 6, '- IpProtocol: tcp'],
  ['a nested mapping', `${HEAD}Tags:\nName: web\n`, 4, 'Tags:'],
  ['a property the kind does not have', `${HEAD}CidrIp: 10.0.0.0/8\n`, 4, 'CidrIp: 10.0.0.0/8'],
  ['a kind whose properties are not known here', 'B:\nType: AWS::S3::Bucket\nProperties:\nBucketName: b\n', 2, 'Type: AWS::S3::Bucket'],
  ['a property before Properties', 'A:\nType: AWS::EC2::SecurityGroup\nGroupName: a\n', 3, 'GroupName: a'],
  ['text that goes on', `${HEAD}GroupDescription: one\ntwo\n`, 5, 'two'],
  ['a block of text', `${HEAD}GroupDescription: |\ntext\n`, 4, 'GroupDescription: |'],
  ['a quote that is not closed', `${HEAD}GroupDescription: 'one\n`, 4, "GroupDescription: 'one"],
  ['a flow list', `${HEAD}SecurityGroupIngress: [!Ref B]\n`, 4, 'SecurityGroupIngress: [!Ref B]'],
  ['an anchor', `${HEAD}GroupName: &a web\n`, 4, 'GroupName: &a web'],
  ['a colon in a plain text', `${HEAD}GroupDescription: one: two\n`, 4, 'GroupDescription: one: two'],
  ['Properties twice', `${HEAD}Properties:\n`, 4, 'Properties:'],
  ['another section before', `Parameters:\nVpc:\nType: String\n${HEAD}`, 1, 'Parameters:'],
  ['another section after', `${HEAD}Outputs:\nId: 1\n`, 4, 'Outputs:'],
];

for (const [what, text, line, shown] of REFUSED) {
  test(`refused, not guessed: ${what}`, () => {
    const { template, problems } = load(text);
    assert.equal(template, undefined);
    const first = text.startsWith('Parameters') ? 4 : 1;
    assert.deepEqual(problems, [
      `${line}:1 error lost-indentation: the template has lost its indentation (line ${first}), and nobody can tell where '${shown}' belongs`,
    ]);
  });
}

test('an indented template is never taken for a flattened one', () => {
  const { problems } = load(`Resources:
  A:
    Type: AWS::EC2::SecurityGroup
    Properties:
      GroupDescription: |
        B:
        Type: AWS::EC2::SecurityGroup
`);
  assert.deepEqual(problems, [
    '5:25 error bad-description: Invalid security group description. Valid descriptions are strings less than 256 characters from the following set:  a-zA-Z0-9. _-:/()#,@[]+=&;{}!$*',
  ]);
});
