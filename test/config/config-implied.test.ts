/** `from` of an interface: resources that have network interfaces, with the groups they name. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readTemplateFiles, NO_SETTINGS } from '../../src/inputs/read-templates.ts';
import { interfaceLines } from '../../src/cli/template-interfaces.ts';
import { loadConfig } from '../../src/config/load-config.ts';

const directory = mkdtempSync(join(tmpdir(), 'sgt-implied-'));
after(() => rmSync(directory, { recursive: true }));

const TEMPLATE = `Parameters: { Given: { Type: AWS::EC2::SecurityGroup::Id } }
Resources:
  G: { Type: AWS::EC2::SecurityGroup, Properties: { GroupName: g, GroupDescription: d, VpcId: vpc-1 } }
  Service: { Type: AWS::ECS::Service, Properties: { NetworkConfiguration: { AwsvpcConfiguration: { SecurityGroups: [!Ref G] } } } }
  Some: { Type: AWS::RDS::DBCluster, Properties: { VpcSecurityGroupIds: [!Ref Given, !Ref G] } }
  None: { Type: AWS::RDS::DBCluster, Properties: { VpcSecurityGroupIds: [!Ref Given] } }
  Own: { Type: AWS::RDS::DBCluster, Properties: {} }
  Unclear: { Type: AWS::Lambda::Function, Properties: { VpcConfig: { SubnetIds: [s] } } }
  Outside: { Type: AWS::Lambda::Function, Properties: {} }
  Open: { Type: AWS::ElasticLoadBalancingV2::LoadBalancer, Properties: { Type: network } }
  Files: { Type: AWS::EFS::MountTarget, Properties: { IpAddress: 10.0.0.40, SecurityGroups: [!Ref G] } }
  Slip: { Type: AWS::EFS::MountTarget, Properties: { SecurityGroupIds: [!Ref G] } }
`;

/** The groups of the interface, and what was said: `severity code`. */
function tryInterface(keys: string): readonly [groups: string | undefined, problems: string[]] {
  writeFileSync(join(directory, 't.yaml'), TEMPLATE);
  const file = join(directory, 'config.yaml');
  writeFileSync(
    file,
    `templates: [{ file: t.yaml, stackName: st }]\ninterfaces: { web: { device: { name: a }, ${keys} } }\n`,
  );
  const { config, problems } = loadConfig(file, { netnsDirectory: '/run/netns' });
  const [network] = [...(config?.model.interfaces.values() ?? [])];
  const names = network?.groupIds.map((id) => config!.model.groups.get(id)!.name);
  return [names?.join(' '), problems.map(({ severity, code }) => `${severity} ${code}`)];
}

const ADDRESS = 'addresses: [10.0.0.9]';
// prettier-ignore
const CASES: readonly (readonly [keys: string, groups: string | undefined, problems?: readonly string[]])[] = [
  [`from: st/Service, ${ADDRESS}`, 'g'],
  [`from: Service, ${ADDRESS}`, 'g'],
  [`from: st/Some, ${ADDRESS}`, 'g', ['warning unknown-value']],
  [`from: st/None, ${ADDRESS}`, undefined, ['error missing-group', 'warning unknown-value']],
  [`from: st/None, ${ADDRESS}, securityGroups: [g]`, 'g'],
  [`from: st/Own, ${ADDRESS}`, 'default'],
  [`from: st/Unclear, ${ADDRESS}`, undefined, ['error missing-group', 'warning unknown-value']],
  [`from: st/Outside, ${ADDRESS}`, undefined, ['error unknown-placement']],
  [`from: st/Open, ${ADDRESS}`, undefined, ['error unknown-placement']],
  [`from: st/Open, ${ADDRESS}, securityGroups: [g]`, 'g'],
  ['from: st/Files', 'g'],
  ['from: st/Service', undefined, ['error missing-address']],
  [`from: st/Slip, ${ADDRESS}`, undefined, ['error missing-group', 'error unknown-property']],
];

for (const [keys, groups, problems] of CASES) {
  test(`${keys}: ${groups ?? 'refused'}`, () => {
    assert.deepEqual(tryInterface(keys), [groups, problems ?? []]);
  });
}

test('the list of sgctl check fits 80 columns', () => {
  const read = readTemplateFiles([{ file: 'st.yaml', text: TEMPLATE }], NO_SETTINGS);
  const interfaces = read.interfaces.get('st.yaml')!.map(({ shown }) => shown);
  assert.deepEqual(
    interfaces.map(({ from, groups, gaps }) => `${from} ${groups.join(' ')} ${gaps.length}`),
    [
      'st/Service g 0',
      'st/Some g 1',
      'st/None  1',
      'st/Own default 0',
      'st/Unclear  1',
      'st/Open  1',
      'st/Files g 0',
      'st/Slip  1',
    ],
  );
  const lines = interfaceLines(interfaces, 80);
  assert.equal(lines.length, interfaces.length + 1);
  assert.ok(lines.every((line) => line.length <= 80));
  assert.equal(lines[1], '  st/Service  ECS::Service                          g');
  assert.deepEqual(interfaceLines([], 80), []);
});
