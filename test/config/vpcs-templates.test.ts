/** Templates whose groups are in more than one VPC. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { loadConfig } from '../../src/config/load-config.ts';
import { ruleText } from '../../src/policy/rules.ts';
import { groupLabel } from '../../src/policy/vpcs.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-vpcs-'));
after(() => rmSync(directory, { recursive: true }));

let count = 0;

interface Tried {
  /** `VPC/NAME`, or the name in one VPC, and its rules but those that AWS adds. */
  readonly groups: readonly string[];
  /** `interface: groups`. */
  readonly members: readonly string[];
  /** `file:line severity code: message`. */
  readonly problems: readonly string[];
  readonly hints: readonly (string | undefined)[];
}

function tryFiles(files: Readonly<Record<string, string>>): Tried {
  const folder = join(directory, String(count++));
  mkdirSync(folder);
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  const { config, problems } = loadConfig(join(folder, 'config.yaml'), {
    netnsDirectory: '/run/netns',
  });
  const told = problems.filter(({ severity }) => severity !== 'notice');
  const model = config?.model;
  return {
    groups: [...(model?.groups.values() ?? [])].flatMap((group) => [
      groupLabel(group),
      ...[...group.ingress, ...group.egress]
        .filter(({ implied }) => implied !== true)
        .map((rule) => `  ${ruleText(rule, model!)}`),
    ]),
    members: [...(model?.interfaces.values() ?? [])].map(
      ({ name, groupIds }) =>
        `${name}: ${groupIds.map((id) => groupLabel(model!.groups.get(id)!)).join(', ')}`,
    ),
    problems: told.map(({ at, severity, code, message }) => {
      const file = at?.file.replace(`${folder}/`, '') ?? '';
      return `${file}:${at?.line} ${severity} ${code}: ${message}`;
    }),
    hints: told.map(({ hint }) => hint),
  };
}

function group(id: string, name: string, vpc: string | undefined, more = ''): string {
  const vpcId = vpc === undefined ? '' : `, VpcId: ${vpc}`;
  return `  ${id}: {Type: AWS::EC2::SecurityGroup, Properties: {GroupName: ${name}, GroupDescription: d${vpcId}${more}}}\n`;
}

function vpc(id: string, block: string): string {
  return `  ${id}: {Type: AWS::EC2::VPC, Properties: {CidrBlock: ${block}}}\n`;
}

function from(peer: string, kind = 'SourceSecurityGroupId'): string {
  return `, SecurityGroupIngress: [{IpProtocol: tcp, FromPort: 80, ToPort: 80, ${kind}: ${peer}}]`;
}

function eni(name: string, address: string, more: string): string {
  return `  ${name}: { device: { netns: ${name}, name: eth0 }, addresses: [${address}], ${more} }\n`;
}

const NETS = `Resources:\n${vpc('One', '10.1.0.0/16')}${vpc('Two', '10.2.0.0/16')}`;
const CONFIG = 'templates: [net.yaml]\n';

describe('groups of two VPCs in one template', () => {
  test('are in two VPCs, also with one name, and each has a default group', () => {
    const tried = tryFiles({
      'config.yaml': `${CONFIG}interfaces:
${eni('a', '10.1.0.11', 'securityGroups: [net/WebOne]')}\
${eni('b', '10.2.0.11', 'securityGroups: [net/Two/web]')}\
${eni('c', '10.2.0.12', 'vpc: net/Two')}`,
      'net.yaml': `${NETS}${group('WebOne', 'web', '!Ref One')}\
${group('WebTwo', 'web', '!GetAtt Two.VpcId', from('!GetAtt Two.DefaultSecurityGroup'))}`,
    });
    assert.deepEqual(tried.problems, []);
    assert.deepEqual(tried.groups, [
      'net/One/default',
      'net/Two/default',
      'net/One/web',
      'net/Two/web',
      '  tcp 80 from sg:default',
    ]);
    assert.deepEqual(tried.members, ['a: net/One/web', 'b: net/Two/web', 'c: net/Two/default']);
  });

  test('must not name each other, by id or by name', () => {
    const tried = tryFiles({
      'config.yaml': CONFIG,
      'net.yaml': `${NETS}${group('A', 'a', '!Ref One')}\
${group('B', 'b', '!Ref Two', from('!GetAtt A.GroupId'))}\
${group('C', 'c', '!Ref Two', from('a', 'SourceSecurityGroupName'))}\
  D: {Type: AWS::EC2::SecurityGroupEgress, Properties: {GroupId: !Ref A, IpProtocol: '-1', DestinationSecurityGroupId: !Ref B}}
`,
    });
    const told = (named: string, name: string, vpcs: readonly [string, string]): string =>
      `the security group '${named}' is in the VPC 'net/${vpcs[0]}', and '${name}', whose rule names it, in 'net/${vpcs[1]}'`;
    assert.deepEqual(tried.problems, [
      `net.yaml:5 error other-vpc: ${told('a', 'b', ['One', 'Two'])}`,
      `net.yaml:6 error other-vpc: ${told('a', 'c', ['One', 'Two'])}`,
      "net.yaml:6 warning group-name-of-vpc: SourceSecurityGroupName names the group 'A', which is in the VPC 'One'",
      `net.yaml:7 error other-vpc: ${told('b', 'a', ['Two', 'One'])}`,
    ]);
    for (const hint of tried.hints) assert.match(hint!, /InvalidGroup\.NotFound/);
  });

  test('must not have one name in one of the VPCs', () => {
    const tried = tryFiles({
      'config.yaml': CONFIG,
      'net.yaml': `${NETS}${group('A', 'x', '!Ref One')}${group('B', 'x', '!Ref Two')}${group('C', 'X', '!Ref Two')}`,
    });
    assert.deepEqual(tried.problems, [
      "net.yaml:6 error duplicate-group-name: 'C' and 'B' have the same name 'X'",
      "net.yaml:6 error duplicate-name: the security group 'X' exists already in the VPC 'net/Two' on line 5 as 'x'; names are compared without regard to case",
    ]);
  });

  test('must not be on one interface, nor with a subnet of the other VPC', () => {
    const subnet = (id: string, of: string, block: string): string =>
      `  ${id}: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref ${of}, CidrBlock: ${block}}}\n`;
    const instance = (id: string, subnetId: string, address: string, groups: string): string =>
      `  ${id}: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref ${subnetId}, PrivateIpAddress: ${address}${groups}}}\n`;
    const tried = tryFiles({
      'config.yaml': `${CONFIG}interfaces:
  both: { device: { netns: both, name: eth0 }, from: net/Both }
  other: { device: { netns: other, name: eth0 }, from: net/Other }
  none: { device: { netns: none, name: eth0 }, from: net/None }
`,
      'net.yaml': `${NETS}${subnet('S1', 'One', '10.1.0.0/24')}${subnet('S2', 'Two', '10.2.0.0/24')}\
${group('A', 'a', '!Ref One')}${group('B', 'b', '!Ref Two')}\
${instance('Both', 'S1', '10.1.0.11', ', SecurityGroupIds: [!Ref A, !Ref B]')}\
${instance('Other', 'S2', '10.2.0.11', ', SecurityGroupIds: [!Ref A]')}\
${instance('None', 'S2', '10.2.0.12', '')}`,
    });
    assert.deepEqual(tried.problems, [
      "config.yaml:3 error other-vpc: the interface 'both' is in the VPC 'net/One', and has groups of others: 'b' in 'net/Two'",
      "config.yaml:4 error other-vpc: the interface 'other' is in the VPC 'net/Two', and has groups of others: 'a' in 'net/One'",
    ]);
  });

  test('an instance without groups has the default group of its subnet', () => {
    const tried = tryFiles({
      'config.yaml': `${CONFIG}interfaces:
  none: { device: { netns: none, name: eth0 }, from: net/None }
`,
      'net.yaml': `${NETS}  S2: {Type: AWS::EC2::Subnet, Properties: {VpcId: !Ref Two, CidrBlock: 10.2.0.0/24}}
${group('A', 'a', '!Ref One')}${group('B', 'b', '!Ref Two')}\
  None: {Type: AWS::EC2::Instance, Properties: {SubnetId: !Ref S2, PrivateIpAddress: 10.2.0.12}}
`,
    });
    assert.deepEqual(tried.problems, []);
    assert.deepEqual(tried.members, ['none: net/Two/default']);
  });

  test('a resource empties the default group of the VPC it names, and of all if it is not known', () => {
    const restrict = (id: string): string =>
      `  R: {Type: 'Custom::VpcRestrictDefaultSG', Properties: {DefaultSecurityGroupId: ${id}, ServiceToken: x}}\n`;
    const ofBoth = `${NETS}${group('A', 'a', '!Ref One', ', SecurityGroupEgress: []')}${group('B', 'b', '!Ref Two')}`;
    const rulesOf = (template: string): string[] => {
      const folder = join(directory, String(count++));
      mkdirSync(folder);
      writeFileSync(join(folder, 'config.yaml'), CONFIG);
      writeFileSync(join(folder, 'net.yaml'), template);
      const { config } = loadConfig(join(folder, 'config.yaml'), { netnsDirectory: '/run/netns' });
      return [...config!.model.groups.values()]
        .filter(({ name }) => name === 'default')
        .map((one) => `${groupLabel(one)} ${one.ingress.length + one.egress.length}`);
    };
    assert.deepEqual(rulesOf(ofBoth), ['net/One/default 3', 'net/Two/default 3']);
    assert.deepEqual(rulesOf(`${ofBoth}${restrict('!GetAtt Two.DefaultSecurityGroup')}`), [
      'net/One/default 3',
      'net/Two/default 0',
    ]);
    assert.deepEqual(rulesOf(`${ofBoth}${restrict('!ImportValue unknown')}`), [
      'net/One/default 0',
      'net/Two/default 0',
    ]);
  });
});

describe('groups of several templates', () => {
  const NET = `${NETS}Outputs:\n  O: {Value: !Ref One, Export: {Name: one}}\n`;

  test('are in the VPCs that imports, parameters and literals name', () => {
    const tried = tryFiles({
      'config.yaml': `templates:
  - net.yaml
  - app.yaml
  - { file: param.yaml, parameters: { Vpc: vpc-0a1b2c3d } }
`,
      'net.yaml': NET,
      'app.yaml': `Resources:\n${group('A', 'a', '!ImportValue one')}${group('B', 'b', 'vpc-0a1b2c3d')}`,
      'param.yaml': `Parameters: {Vpc: {Type: 'AWS::EC2::VPC::Id'}}\nResources:\n${group('C', 'a', '!Ref Vpc', from('b', 'SourceSecurityGroupName'))}`,
    });
    assert.deepEqual(tried.problems, []);
    assert.deepEqual(tried.groups, [
      'net/One/default',
      'vpc-0a1b2c3d/default',
      'net/One/a',
      'vpc-0a1b2c3d/b',
      'vpc-0a1b2c3d/a',
      '  tcp 80 from sg:b',
    ]);
  });

  test('of one VPC are in the one there is, with those of the configuration', () => {
    const tried = tryFiles({
      'config.yaml': `templates: [net.yaml, app.yaml]
securityGroups: { own: { ingress: [{ protocol: all, from: ['sg:a', 'sg:default'] }], egress: [] } }
interfaces:
${eni('x', '10.1.0.11', 'securityGroups: [own, a]')}`,
      'net.yaml': NET,
      'app.yaml': `Resources:\n${group('A', 'a', '!ImportValue one')}${group('B', 'b', undefined)}`,
    });
    assert.deepEqual(tried.problems, []);
    assert.deepEqual(tried.groups, [
      'default',
      'own',
      '  all from sg:a',
      '  all from sg:default',
      'a',
      'b',
    ]);
    assert.deepEqual(tried.members, ['x: own, a']);
  });

  test('that do not say are in a VPC of their own beside two others, and that is told where AWS knows better', () => {
    const tried = tryFiles({
      'config.yaml': 'templates: [net.yaml, app.yaml]\n',
      'net.yaml': `${NETS}${group('A', 'a', '!Ref One')}${group('B', 'b', '!Ref Two')}`,
      'app.yaml': `Parameters: {Vpc: {Type: 'AWS::EC2::VPC::Id'}}\nResources:\n${group('C', 'a', '!Ref Vpc')}${group('D', 'd', undefined)}`,
    });
    assert.deepEqual(tried.problems, [
      "app.yaml:3 warning unknown-value: VpcId of 'C' can't be known here: parameter 'Vpc' has no default and no value was given; the group is taken to be in the VPC 'default'",
    ]);
    assert.deepEqual(
      tried.groups.filter((line) => !line.includes('/default')),
      ['net/One/a', 'net/Two/b', 'default/a', 'default/d'],
    );
    assert.ok(tried.groups.includes('default/default'));
  });

  test('that do not say are where the configuration puts the template', () => {
    const app = `Resources:\n${group('C', 'a', undefined)}`;
    const vpcs = 'vpcs: { prod: { id: vpc-0a1b2c3d }, staging: {} }\n';
    const put = tryFiles({
      'config.yaml': `${vpcs}templates: [{ file: app.yaml, vpc: staging }, lit.yaml]\n`,
      'app.yaml': app,
      'lit.yaml': `Resources:\n${group('L', 'a', 'vpc-0a1b2c3d')}`,
    });
    assert.deepEqual(put.problems, []);
    assert.deepEqual(put.groups, ['prod/default', 'staging/default', 'staging/a', 'prod/a']);
    const missing = tryFiles({
      'config.yaml': `${vpcs}templates:\n  - app.yaml\n`,
      'app.yaml': app,
    });
    assert.deepEqual(missing.problems, [
      "config.yaml:3 error missing-vpc: the security group 'C' of the template is in no VPC: there are several, and nothing says in which it is",
    ]);
    assert.deepEqual(missing.hints, [
      'write vpc: NAME beside the file of the template; VPCs: prod, staging',
    ]);
    const unknown = tryFiles({
      'config.yaml': `${vpcs}templates:\n  - { file: app.yaml, vpc: x }\n`,
      'app.yaml': app,
    });
    assert.deepEqual(unknown.problems, ["config.yaml:3 error unknown-vpc: there is no VPC 'x'"]);
  });

  test('may be named by groups of the configuration that say they are there', () => {
    const tried = tryFiles({
      'config.yaml': `templates: [net.yaml]
securityGroups:
  own: { vpc: net/Two, ingress: [{ protocol: all, from: 'sg:b' }], egress: [] }
  lost: { ingress: [{ protocol: all, from: 'sg:b' }], egress: [] }
`,
      'net.yaml': `${NETS}${group('A', 'a', '!Ref One')}${group('B', 'b', '!Ref Two')}`,
    });
    assert.deepEqual(tried.problems, [
      "config.yaml:4 error other-vpc: the security group 'b' is in the VPC 'net/Two', and 'lost', whose rule names it, in 'default'",
    ]);
  });

  test('that share blocks may not both have interfaces here', () => {
    const tried = tryFiles({
      'config.yaml': `${CONFIG}interfaces:
${eni('x', '10.0.0.11', 'securityGroups: [a]')}${eni('y', '10.0.0.12', 'securityGroups: [b]')}`,
      'net.yaml': `Resources:\n${vpc('One', '10.0.0.0/16')}${vpc('Two', '10.0.0.0/16')}${group('A', 'a', '!Ref One')}${group('B', 'b', '!Ref Two')}`,
    });
    assert.deepEqual(tried.problems, [
      "net.yaml:3 error vpc-overlap: the block 10.0.0.0/16 of the VPC 'net/Two' overlaps the block 10.0.0.0/16 of the VPC 'net/One', and both have interfaces here",
    ]);
  });
});
