/** The network interfaces that resources imply: every kind of the table, what there is without groups, and what closes. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { formatAddress } from '../../src/addr/address.ts';
import {
  INTERFACE_KINDS,
  KIND_SCALING_GROUP,
  type ListKind,
} from '../../src/cloudformation/interface-kinds.ts';
import { load } from './helpers.ts';

const LISTS = [...INTERFACE_KINDS].filter((entry): entry is [string, ListKind] => entry[1].reads === 'list'); // prettier-ignore

const GROUPS = {
  A: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'a', VpcId: 'vpc-1' } },
  B: { Type: 'AWS::EC2::SecurityGroup', Properties: { GroupDescription: 'b', VpcId: 'vpc-1' } },
};

/** `LOGICAL-ID: groups; gaps` of all interfaces that the resources imply. */
function interfacesOf(resources: object): string[] {
  const text = JSON.stringify({
    Parameters: { Given: { Type: 'AWS::EC2::SecurityGroup::Id' } },
    Conditions: {
      Never: { 'Fn::Equals': ['a', 'b'] },
      Unsure: { 'Fn::Equals': [{ Ref: 'Given' }, 'b'] },
    },
    Resources: { ...GROUPS, ...resources },
  });
  const { template } = load(text);
  assert.ok(template !== undefined);
  const names = new Map(template.groups.map(({ id, name }) => [id, name.replace('st-', '')]));
  return template.listInterfaces().map(({ logicalId, groupIds, gaps }) => {
    const groups = groupIds === undefined ? 'default' : groupIds.map((id) => names.get(id)).join(' '); // prettier-ignore
    return [`${logicalId}: ${groups}`.trimEnd(), ...gaps].join('; ');
  });
}

/** Properties with `value` at the end of the path. */
function nest(path: readonly string[], value: unknown): object {
  return path.reduceRight<unknown>((inner, segment) => {
    const name = segment.replace('[]', '');
    return { [name]: name === segment ? inner : [inner] };
  }, value) as object;
}

for (const [type, kind] of LISTS) {
  if (kind.path.length === 0) continue;
  const list = kind.path.at(-1)!;
  test(`${type}: ${kind.path.join('.')}`, () => {
    const named = nest(kind.path, [{ 'Fn::GetAtt': ['B', 'GroupId'] }, { Ref: 'A' }]);
    const both = interfacesOf({ X: { Type: type, Properties: named } });
    const more = kind.more === undefined ? '' : `; 'X' has more groups than it names: ${kind.more}`;
    assert.deepEqual(both, [`X: B A${more}`]);

    const unknown = interfacesOf({
      X: { Type: type, Properties: nest(kind.path, [{ Ref: 'Given' }]) },
    });
    assert.match(unknown[0], new RegExp(`^X:; ${list} can't be known here: parameter 'Given'`));

    const none = interfacesOf({ X: { Type: type, Properties: nest(kind.path, []) } });
    const { property, otherwise, without } = kind.variant ?? {};
    assert.equal(property === undefined, without === undefined);
    const expected = without?.[otherwise!] ?? kind.without;
    if (expected === 'no interface') assert.deepEqual(none, []);
    else if (expected === 'default') assert.deepEqual(none, ['X: default']);
    else assert.match(none[0], /^X:;.* it has no \w+, and AWS's pages don't say which groups/);

    const slip = interfacesOf({
      X: { Type: type, Properties: nest([...kind.path.slice(0, -1), `My${list}`], ['sg-1']) },
    });
    assert.deepEqual(slip.length, 1);
    assert.match(slip[0], new RegExp(`unknown property 'My${list}' of ${type}; did you mean`));
    if (kind.path.length > 1) assert.deepEqual(interfacesOf({ X: { Type: type } }), []);
  });
}

test("every kind of the table, with its properties, is one of AWS's", (t) => {
  const root = dirname(createRequire(import.meta.url).resolve('aws-cdk-lib/package.json'));
  const texts = readdirSync(root)
    .filter((name) => name.startsWith('aws-') && existsSync(join(root, name, 'lib')))
    .flatMap((name) =>
      readdirSync(join(root, name, 'lib'))
        .filter((file) => /^[a-z0-9]+\.generated\.js$/.test(file))
        .map((file) => readFileSync(join(root, name, 'lib', file), 'utf8')),
    );
  if (texts.length === 0) {
    t.skip('the AWS CDK has no generated code where it is looked for');
    return;
  }
  for (const [type, kind] of LISTS) {
    const text = texts.find((one) => one.includes(`"${type}"`));
    assert.ok(text !== undefined, type);
    const names = [...kind.path, kind.address, kind.variant?.property, kind.follows?.property];
    for (const name of names)
      if (name !== undefined)
        assert.match(text, new RegExp(`[{,]${name.replace('[]', '')}:`), `${type} ${name}`);
  }
});

const DATA = { LaunchTemplateData: { SecurityGroupIds: [{ Ref: 'A' }] } };
const TEMPLATE = { Type: 'AWS::EC2::LaunchTemplate', Properties: DATA };
const SPECIFICATION = { LaunchTemplateId: { Ref: 'T' }, Version: '1' };
const group = (Properties: object): object => ({ T: TEMPLATE, X: { Type: KIND_SCALING_GROUP, Properties } }); // prettier-ignore
const mixed = (more: object): object =>
  group({
    MixedInstancesPolicy: {
      LaunchTemplate: { LaunchTemplateSpecification: SPECIFICATION, ...more },
    },
  });
const one = (Type: string, Properties?: object, more?: object): object => ({ X: { Type, Properties, ...more } }); // prettier-ignore
const BALANCER = 'AWS::ElasticLoadBalancingV2::LoadBalancer';
const ENDPOINT = 'AWS::EC2::VPCEndpoint';
const MOUNT = 'AWS::EFS::MountTarget';
const cluster = (type: string, property: string): object => ({
  Type: `AWS::${type}::DBCluster`,
  Properties: { DBClusterIdentifier: 'main', [property]: [{ Ref: 'B' }] },
});
const member = (type: string, DBClusterIdentifier: unknown): object => ({
  C: cluster(type, 'VpcSecurityGroupIds'),
  X: { Type: `AWS::${type}::DBInstance`, Properties: { DBClusterIdentifier } },
});

// prettier-ignore
const CASES: readonly (readonly [what: string, resources: object, last: string | undefined])[] = [
  ['an application load balancer without groups', one(BALANCER, { Type: 'application' }), 'X: default'],
  ['a network load balancer with groups', one(BALANCER, { Type: 'network', SecurityGroups: [{ Ref: 'A' }] }), 'X: A'],
  ['a network load balancer without groups', one(BALANCER, { Type: 'network' }), 'X:; it has no groups: nothing filters'],
  ['a load balancer of a type that is not known', one(BALANCER, { Type: { Ref: 'Given' } }), "X:; the groups of 'X' can't be known here: it has no SecurityGroups, and AWS's pages don't say which groups it has then"],
  ['an interface endpoint without groups', one(ENDPOINT, { VpcEndpointType: 'Interface' }), 'X: default'],
  ['a gateway endpoint', one(ENDPOINT, { VpcEndpointType: 'Gateway' }), undefined],
  ['a launch template', { X: TEMPLATE }, 'X: A'],
  ['a launch template of interfaces', one('AWS::EC2::LaunchTemplate', { LaunchTemplateData: { NetworkInterfaces: [{ DeviceIndex: 1, Groups: [{ Ref: 'A' }] }, { DeviceIndex: 0, Groups: [{ Ref: 'B' }] }] } }), 'X: B'],
  ['a launch template that attaches an interface', { N: { Type: 'AWS::EC2::NetworkInterface', Properties: { GroupSet: [{ Ref: 'B' }] } }, ...one('AWS::EC2::LaunchTemplate', { LaunchTemplateData: { NetworkInterfaces: [{ DeviceIndex: 0, NetworkInterfaceId: { Ref: 'N' } }] } }) }, 'X: B'],
  ['a launch template without data', one('AWS::EC2::LaunchTemplate', {}), "X:; LaunchTemplateData can't be known here: it is not there"],
  ['a launch template without properties', one('AWS::EC2::LaunchTemplate'), "X:; LaunchTemplateData can't be known here: it is not there"],
  ['an Auto Scaling group', group({ LaunchTemplate: SPECIFICATION }), 'X: A'],
  ['one of mixed instances', mixed({ Overrides: [{ InstanceType: 'm5.large' }] }), 'X: A'],
  ['one of mixed instances of several templates', mixed({ Overrides: [{ LaunchTemplateSpecification: SPECIFICATION }] }), "X:; the groups of 'X' can't be known here: its Overrides name launch templates of their own"],
  ['one with a launch configuration', { L: { Type: 'AWS::AutoScaling::LaunchConfiguration', Properties: { SecurityGroups: [{ Ref: 'B' }] } }, ...one(KIND_SCALING_GROUP, { LaunchConfigurationName: { Ref: 'L' } }) }, 'X: B'],
  ['one with a launch configuration of elsewhere', one(KIND_SCALING_GROUP, { LaunchConfigurationName: 'other' }), "X:; the groups of 'X' can't be known here: its LaunchConfigurationName is no AWS::AutoScaling::LaunchConfiguration of this template"],
  ['one of a launch template of elsewhere', one(KIND_SCALING_GROUP, { LaunchTemplate: { LaunchTemplateId: 'lt-1' } }), "X:; LaunchTemplate can't be known here: it is no launch template of this template; the groups and addresses it gives the instance are not known"],
  ['one of nothing', one(KIND_SCALING_GROUP, {}), "X:; the groups of 'X' can't be known here: it names no launch template"],
  ['a member of a cluster', member('RDS', { Ref: 'C' }), 'X: B'],
  ['a member of a cluster, by its name', member('RDS', 'main'), 'X: B'],
  ['a member of a cluster, in a branch', member('RDS', { 'Fn::If': ['Never', 'other', { Ref: 'C' }] }), 'X: B'],
  ['a member of a cluster of elsewhere', member('RDS', 'other'), "X:; the groups of 'X' can't be known here: its DBClusterIdentifier is no AWS::RDS::DBCluster of this template"],
  ['a member of a DocumentDB cluster', member('DocDB', { Ref: 'C' }), 'X: B'],
  ['a member of a Neptune cluster', member('Neptune', { Ref: 'C' }), 'X: B'],
  ['a database with groups of EC2-Classic', one('AWS::RDS::DBInstance', { DBSecurityGroups: ['x'], VPCSecurityGroups: [{ Ref: 'A' }] }), 'X: A'],
  ['two targets with groups', one('AWS::Events::Rule', { Targets: [1, 2].map(() => ({ EcsParameters: { NetworkConfiguration: { AwsVpcConfiguration: { SecurityGroups: [{ Ref: 'A' }] } } } })) }), "X:; the groups of 'X' can't be known here: it has 2 Targets with groups"],
  ['an ECS service in the network of its host', one('AWS::ECS::Service', { Cluster: 'c' }), undefined],
  ['a misspelt way to the groups', one('AWS::ECS::Service', { NetworkConfiguration: { AwsvpcConfig: { SecurityGroups: [{ Ref: 'A' }] } } }), undefined],
  ['some groups known, some not', one(MOUNT, { SecurityGroups: [{ Ref: 'Given' }, { Ref: 'A' }] }), "X: A; SecurityGroups can't be known here: parameter 'Given' has no default and no value was given"],
  ['a macro among the properties', one(MOUNT, { 'Fn::Transform': { Name: 'AWS::Include' } }), "X:; SecurityGroups can't be known here: the macro 'AWS::Include' runs in AWS alone"],
  ['misspelt Properties', one(MOUNT, undefined, { Propertys: { SecurityGroups: [{ Ref: 'A' }] } }), "X:; what else 'X' says can't be known here: its attribute 'Propertys' is not known"],
  ['misspelt Properties of an instance', one('AWS::EC2::Instance', undefined, { Propertys: { SecurityGroupIds: [{ Ref: 'A' }] } }), "X:; what else 'X' says can't be known here: its attribute 'Propertys' is not known"],
  ['one that does not exist', one(MOUNT, { SecurityGroups: [{ Ref: 'A' }] }, { Condition: 'Never' }), undefined],
  ['one that may exist', one(MOUNT, { SecurityGroups: [{ Ref: 'A' }] }, { Condition: 'Unsure' }), "X: A; it may not exist: parameter 'Given' has no default and no value was given"],
];

for (const [what, resources, last] of CASES) {
  test(what, () => {
    assert.equal(
      interfacesOf(resources).find((line) => line.startsWith('X:')),
      last,
    );
  });
}

test('what is wrong with an interface that is listed is not reported', () => {
  const { template, raw } = load(
    JSON.stringify({ Resources: one(MOUNT, { SecurityGroups: 'x', IpAddress: 'y' }) }),
  );
  const before = [...raw];
  assert.equal(template?.listInterfaces().length, 1);
  assert.deepEqual(raw, before);
});

test('a mount target has its address', () => {
  const properties = { IpAddress: '10.0.0.9', SecurityGroups: [{ Ref: 'A' }] };
  const { template } = load(
    JSON.stringify({ Resources: { ...GROUPS, ...one(MOUNT, properties) } }),
  );
  const placed = template!.place('X', { addresses: true, groups: true });
  assert.ok(placed.ok);
  assert.deepEqual(placed.value.addresses.map(formatAddress), ['10.0.0.9']);
});

// prettier-ignore
test('asked for one that has none, it says why', () => {
  const asked = (resources: object): string => {
    const { template } = load(JSON.stringify({ Resources: { ...GROUPS, ...resources } }));
    const placed = template!.place('X', { addresses: false, groups: true });
    return placed.ok ? 'ok' : placed.message;
  };
  assert.equal(asked(one('AWS::Lambda::Function', {})), "'st/X' (AWS::Lambda::Function) has no network interface in a VPC: its properties name none");
  assert.equal(asked(one(BALANCER, { Type: 'network' })), `'st/X' (${BALANCER}) has no security groups, and nothing filters its traffic`);
});
