/** Templates by themselves whose groups are in several VPCs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_SETTINGS, readTemplateFiles } from '../../src/inputs/read-templates.ts';
import { groupLabel } from '../../src/policy/vpcs.ts';

const NETS = `Resources:
  One: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.1.0.0/16}}
  Two: {Type: AWS::EC2::VPC, Properties: {CidrBlock: 10.2.0.0/16}}
  A: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: a, GroupDescription: d, VpcId: !Ref One}}
`;

function group(vpc: string, peer: string): string {
  const rule = `{IpProtocol: '-1', SourceSecurityGroupId: ${peer}}`;
  return `  B: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: a, GroupDescription: d, VpcId: ${vpc}, SecurityGroupIngress: [${rule}]}}\n`;
}

test('groups of two VPCs in one template are told apart', () => {
  const read = readTemplateFiles(
    [{ file: 'net.yaml', text: NETS + group('!Ref Two', '!Ref B') }],
    NO_SETTINGS,
  );
  const { model, problems } = read.files.get('net.yaml')!;
  assert.deepEqual(
    problems.filter(({ severity }) => severity === 'error'),
    [],
  );
  assert.deepEqual([...model!.groups.values()].map(groupLabel), ['net/One/a', 'net/Two/a']);
});

test('a rule that names a group of another VPC is an error, also across templates', () => {
  const told =
    "the security group 'a' is in the VPC 'net/One', and 'a', whose rule names it, in 'net/Two'";
  const within = readTemplateFiles(
    [{ file: 'net.yaml', text: NETS + group('!Ref Two', '!Ref A') }],
    NO_SETTINGS,
  );
  const errors = within.files
    .get('net.yaml')!
    .problems.filter(({ severity }) => severity === 'error');
  assert.deepEqual(
    errors.map(({ code, at, message }) => [code, at?.line, message]),
    [['other-vpc', 5, told]],
  );
  assert.equal(within.files.get('net.yaml')!.model, undefined);

  const exported = `${NETS}Outputs:\n  O: {Value: !Ref A, Export: {Name: a}}\n`;
  const other = `Resources:\n${group('vpc-0a1b2c3d', '!ImportValue a')}`;
  const across = readTemplateFiles(
    [
      { file: 'net.yaml', text: exported },
      { file: 'app.yaml', text: other },
    ],
    NO_SETTINGS,
  );
  const { model, problems } = across.files.get('app.yaml')!;
  assert.equal(model, undefined);
  assert.ok(problems.some(({ code, at }) => code === 'other-vpc' && at?.file === 'app.yaml'));
  assert.ok(across.files.get('net.yaml')!.model !== undefined);
});
