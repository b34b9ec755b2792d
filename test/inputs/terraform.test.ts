/** Plans of Terraform: a stored one that a real Terraform made, planned anew where it is installed, and small ones. */
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { isObject } from '../../src/source/json-values.ts';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { findTool, requireTools } from '../support/require.ts';
import { NEEDS_PROVIDER, terraformSettings } from '../support/terraform.ts';
import { plan, type Json } from './plan.ts';
import { describeModel, load, PLAN, verdictOf, writeFolder } from './support.ts';

/** Everything that the stored plan says; what it leaves open is told as such. */
const DESCRIBED: readonly string[] = [
  'app: all to 0.0.0.0/0',
  'app: perhaps tcp 9 from 0.0.0.0/0',
  'app: tcp 8080 from sg:web',
  'aws_instance.app[0]: app, in 10.30.0.0/24',
  'aws_instance.app[1]: app, in 10.30.1.0/24',
  'aws_instance.lt: , perhaps app web, in 10.30.0.0/24',
  'aws_lb.front: web, in 10.30.0.0/16',
  'aws_network_interface.bare: default web, in 10.30.1.0/24',
  'aws_network_interface.db: db, at 10.30.0.20',
  'aws_network_interface.local: , or others, in 10.30.1.0/24',
  'aws_network_interface.of_module["k1"]: only, in 10.30.1.0/24',
  'aws_network_interface.of_module["k2"]: only, in 10.30.1.0/24',
  'aws_network_interface.several: a0 a1 bbb, in 10.30.1.0/24',
  'aws_network_interface.splat: , perhaps a0 a1, in 10.30.1.0/24',
  'aws_network_interface.value["q"]: bbb, in 10.30.1.0/24',
  'db: tcp 22 from 10.0.0.0/8',
  'db: tcp 22 from pl:offices',
  'db: tcp 5432 from sg:app',
  'db: tcp 5432 from sg:db',
  'module.ambiguous.aws_network_interface.this: , perhaps app web, in 10.30.0.0/24',
  'offices: 192.0.2.0/24 198.51.100.0/24',
  'web: all to 0.0.0.0/0',
  'web: perhaps tcp 9 from 0.0.0.0/0',
  'web: tcp 443 from 0.0.0.0/0',
]; // prettier-ignore

test('a plan: groups, rules, lists and interfaces, by references through modules, count and for_each', () => {
  const { config, kind, problems } = load(PLAN);
  assert.equal(kind, 'terraform-plan');
  assert.deepEqual(
    problems.map(({ code }) => code),
    [],
  );
  assert.deepEqual(describeModel(config.model), DESCRIBED);
});

const VERDICTS: readonly (readonly [question: string, verdict: string])[] = [
  ['sg:web -> sg:app tcp 8080', 'allowed'],
  ['aws_instance.app[0] -> aws_network_interface.db tcp 5432', 'allowed'],
  ['aws_instance.app[0] -> aws_network_interface.db tcp 22', 'allowed'],
  ['198.51.100.9 -> aws_network_interface.db tcp 22', 'allowed'],
  ['203.0.113.9 -> aws_network_interface.db tcp 22', 'refused'],
  ['internet -> sg:web tcp 443', 'allowed'],
  ['internet -> sg:app tcp 443', 'refused'],
  // Its group is one of two: neither open nor closed.
  ['internet -> sg:app tcp 9', 'undecidable'],
  ['internet -> sg:web tcp 9', 'undecidable'],
  ['internet -> aws_network_interface.db tcp 9', 'refused'],
  // Who it is in is one of two, and one of these could.
  ['aws_instance.lt -> aws_network_interface.db tcp 5432', 'undecidable'],
  ['internet -> aws_instance.lt tcp 443', 'undecidable'],
  ['internet -> aws_instance.lt tcp 25', 'refused'],
  // A local can hold any group.
  ['internet -> aws_network_interface.local tcp 25', 'undecidable'],
  // An address in the VPC may be that of somebody whom a launch template starts.
  ['10.30.7.7 -> aws_network_interface.db tcp 5432', 'undecidable'],
  // The default group is taken over, and has no rules.
  ['internet -> aws_network_interface.bare tcp 443', 'allowed'],
]; // prettier-ignore

for (const [question, verdict] of VERDICTS)
  test(`the plan: ${question}: ${verdict}`, () => {
    assert.equal(verdictOf(load(PLAN).config, question), verdict);
  });

test('a real Terraform plans the same', async (t) => {
  if (!requireTools(t, 'terraform')) return;
  const settings = terraformSettings();
  if (settings === undefined) {
    t.skip(NEEDS_PROVIDER);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'sgt-plan-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(repositoryRoot(), 'test/inputs/terraform'), folder, { recursive: true });
  const settingsFile = join(folder, 'terraform.rc');
  writeFileSync(settingsFile, settings);
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    TF_CLI_CONFIG_FILE: settingsFile,
    TF_IN_AUTOMATION: '1',
  };
  const terraform = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(findTool('terraform')!, args, {
      cwd: folder,
      env,
    });
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stdout;
  };
  await terraform('init', '-input=false', '-no-color');
  await terraform('plan', '-input=false', '-no-color', '-out', 'plan.bin');
  const file = join(folder, 'plan.json');
  writeFileSync(file, await terraform('show', '-json', 'plan.bin'));
  assert.deepEqual(describeModel(load(file).config.model), describeModel(load(PLAN).config.model));
});

const GROUP = { name: 'web', id: 'sg-0123456789abcdef0' };
const RULE = {
  security_group_id: GROUP.id,
  type: 'ingress',
  protocol: 'tcp',
  from_port: 22,
  to_port: 22,
  cidr_blocks: ['10.0.0.0/8'],
};
const LISTED = { protocol: 'tcp', from_port: 22, to_port: 22, cidr_blocks: ['10.0.0.0/8'] };

test('a rule that the plan removes is not there, although AWS listed it in its group', (t) => {
  const of = (actions: readonly string[]): readonly string[] => {
    const group = {
      address: 'aws_security_group.web',
      values: { ...GROUP, ingress: [LISTED] },
      actions: ['no-op'],
    };
    const rule = { address: 'aws_security_group_rule.ssh', values: RULE, before: RULE, actions };
    const folder = writeFolder(t, { 'plan.json': plan([group, rule]) });
    return describeModel(load(join(folder, 'plan.json')).config.model);
  };
  assert.deepEqual(of(['no-op']), ['web: tcp 22 from 10.0.0.0/8']);
  assert.deepEqual(of(['delete']), []);
});

test('a deferred change, and a plan that is not complete, leave everything open', (t) => {
  const group = { address: 'aws_security_group.web', values: GROUP };
  for (const more of [{ deferred_changes: [{}] }, { complete: false }, { errored: true }]) {
    const folder = writeFolder(t, { 'plan.json': plan([group], more) });
    const { config, problems } = load(join(folder, 'plan.json'));
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['incomplete-plan'],
    );
    assert.deepEqual(describeModel(config.model), ['web: gaps ingress egress']);
  }
});

test('unknown ports, blocks and peers of other resources leave the direction open', (t) => {
  const rule = (unknown: Json, expressions: Json): object =>
    plan([
      { address: 'aws_security_group.web', values: GROUP },
      {
        address: 'aws_vpc_security_group_ingress_rule.x',
        values: { security_group_id: GROUP.id, ip_protocol: 'tcp', from_port: 1, to_port: 1 },
        unknown,
        expressions,
      },
    ]);
  const cases = [
    rule({ cidr_ipv4: true }, { cidr_ipv4: { references: ['aws_eip.x.public_ip', 'aws_eip.x'] } }),
    rule(
      { from_port: true, cidr_ipv4: true },
      { from_port: { references: ['aws_db_instance.x.port'] }, cidr_ipv4: {} },
    ),
    rule(
      { referenced_security_group_id: true },
      {
        referenced_security_group_id: {
          references: ['aws_eks_cluster.x.vpc_config', 'aws_eks_cluster.x'],
        },
      },
    ),
    rule(
      { referenced_security_group_id: true },
      { referenced_security_group_id: { references: ['local.group'] } },
    ),
  ];
  for (const one of cases) {
    const folder = writeFolder(t, { 'plan.json': one });
    assert.deepEqual(describeModel(load(join(folder, 'plan.json')).config.model), [
      'web: gaps ingress',
    ]);
  }
});

test('a rule whose group nobody can tell may be one of any group', (t) => {
  const folder = writeFolder(t, {
    'plan.json': plan([
      { address: 'aws_security_group.web', values: GROUP },
      {
        address: 'aws_vpc_security_group_ingress_rule.x',
        values: { ip_protocol: 'tcp', from_port: 1, to_port: 1, cidr_ipv4: '0.0.0.0/0' },
        unknown: { security_group_id: true },
        expressions: { security_group_id: { references: ['local.group'] } },
      },
    ]),
  });
  assert.deepEqual(describeModel(load(join(folder, 'plan.json')).config.model), [
    'web: perhaps tcp 1 from 0.0.0.0/0',
  ]);
});

test('a rule that AWS refuses is an error', (t) => {
  const folder = writeFolder(t, {
    'plan.json': plan([
      {
        address: 'aws_security_group.web',
        values: { ...GROUP, ingress: [{ ...LISTED, cidr_blocks: ['10.0.0.300/8'] }] },
        expressions: { ingress: {} },
      },
    ]),
  });
  const { problems } = load2(join(folder, 'plan.json'));
  assert.deepEqual(problems, ['refused-rule']);
});

function load2(file: string): { readonly problems: readonly string[] } {
  let message = '[]';
  try {
    load(file);
  } catch (error) {
    message = (error as Error).message;
  }
  const problems: unknown = JSON.parse(message);
  return { problems: (problems as unknown[]).filter(isObject).map(({ code }) => String(code)) };
}

test('a state file, `show -json` of it, and an export of Pulumi say the same', (t) => {
  const group = { ...GROUP, ingress: [LISTED], egress: [] };
  const network = {
    id: 'eni-0123456789abcdef0',
    security_groups: [GROUP.id],
    private_ips: ['10.0.0.9'],
  };
  const resource = (type: string, name: string, values: Json): object => ({
    address: `${type}.${name}`,
    mode: 'managed',
    type,
    name,
    values,
  });
  const shown = {
    format_version: '1.0',
    terraform_version: '1.11.4',
    values: {
      root_module: {
        resources: [
          resource('aws_security_group', 'web', group),
          resource('aws_network_interface', 'web', network),
        ],
      },
    },
  };
  const stored = (type: string, values: Json): object => ({
    mode: 'managed',
    type,
    name: 'web',
    instances: [{ attributes: values }],
  });
  const state = {
    version: 4,
    terraform_version: '1.11.4',
    resources: [stored('aws_security_group', group), stored('aws_network_interface', network)],
  };
  const urn = (type: string, name: string): string => `urn:pulumi:dev::shop::${type}::${name}`;
  const exported = {
    version: 3,
    deployment: {
      resources: [
        {
          urn: urn('aws:ec2/securityGroup:SecurityGroup', 'aws_network_interface.other'),
          type: 'aws:ec2/securityGroup:SecurityGroup',
          id: GROUP.id,
          outputs: {
            name: 'web',
            ingress: [{ protocol: 'tcp', fromPort: 22, toPort: 22, cidrBlocks: ['10.0.0.0/8'] }],
          },
        },
        {
          urn: urn('aws:ec2/networkInterface:NetworkInterface', 'aws_network_interface.web'),
          type: 'aws:ec2/networkInterface:NetworkInterface',
          id: network.id,
          outputs: { securityGroups: [GROUP.id], privateIps: ['10.0.0.9'] },
        },
      ],
    },
  };
  const folder = writeFolder(t, {
    'shown.json': shown,
    'terraform.tfstate': state,
    'pulumi.json': exported,
  });
  for (const name of ['shown.json', 'terraform.tfstate', 'pulumi.json']) {
    const { config, kind } = load(join(folder, name));
    assert.equal(kind, 'terraform-state');
    assert.deepEqual(describeModel(config.model), [
      'aws_network_interface.web: web, at 10.0.0.9',
      'web: tcp 22 from 10.0.0.0/8',
    ]);
  }
});
