/**
 * What is written, taken by the programs that it is for: Terraform plans it, the aws CLI makes it at the own API.
 *
 * Starts early: the aws CLI is called for each group and each rule.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { printCommands } from '../../src/inputs/account/commands.ts';
import { writeCommands } from '../../src/outputs/write-commands.ts';
import { writeTerraform } from '../../src/outputs/write-terraform.ts';
import type { PolicyModel } from '../../src/policy/model.ts';
import { awsClis, endpointOptions } from '../support/aws-cli.ts';
import { clientEnvironment, startApiProgram } from '../support/api-program.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run } from '../support/process.ts';
import { findTool, requireTools } from '../support/require.ts';
import { NEEDS_PROVIDER, terraformSettings } from '../support/terraform.ts';
import { describeModel, load, writeFolder } from '../inputs/support.ts';

const CONFIGURATION = `
prefixLists:
  offices: { family: 4, entries: [192.0.2.0/24, { cidr: 198.51.100.0/24, description: 'its own' }] }
securityGroups:
  web server:
    description: web
    ingress:
      - { protocol: tcp, ports: 443, from: [0.0.0.0/0, '::/0'], description: 'all: $x' }
      - { protocol: tcp, ports: 22, from: 'pl:offices' }
    egress: [{ protocol: tcp, ports: 5432, to: 'sg:db' }]
  db:
    description: db
    audit: true
    ingress:
      - { protocol: tcp, ports: 5432, from: 'sg:web server' }
      - { protocol: icmp, type: 8, from: 10.0.0.0/8 }
      - { protocol: all, from: self }
      - { protocol: 47, from: 10.0.0.0/8 }
    egress: []
interfaces: {}
`;

function original(t: TestContext): PolicyModel {
  const { model } = load(join(writeFolder(t, { 'a.yaml': CONFIGURATION }), 'a.yaml')).config;
  return model;
}

/** The default group of a configuration is in none of the others. */
function linesOf(model: PolicyModel): readonly string[] {
  return describeModel({ ...model, interfaces: new Map() }).filter(
    (line) => !line.startsWith('default: '),
  );
}

test('a real Terraform plans what is written', async (t) => {
  if (!requireTools(t, 'terraform')) return;
  const settings = terraformSettings();
  if (settings === undefined) {
    t.skip(NEEDS_PROVIDER);
    return;
  }
  const model = original(t);
  const provider = {
    provider: {
      aws: {
        region: 'us-east-1',
        access_key: 'x',
        secret_key: 'x',
        skip_credentials_validation: true,
        skip_requesting_account_id: true,
        skip_metadata_api_check: true,
      },
    },
    terraform: { required_providers: { aws: { source: 'hashicorp/aws' } } },
  };
  const folder = writeFolder(t, {
    'groups.tf.json': writeTerraform(model).text,
    'provider.tf.json': provider,
    'terraform.rc': settings,
  });
  const env = {
    PATH: process.env['PATH'],
    HOME: folder,
    TF_CLI_CONFIG_FILE: join(folder, 'terraform.rc'),
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
  await terraform(
    'plan',
    '-input=false',
    '-no-color',
    '-var',
    'vpc_id=vpc-00000000000000001',
    '-out',
    'plan.bin',
  );
  const file = join(folder, 'plan.json');
  writeFileSync(file, await terraform('show', '-json', 'plan.bin'));
  assert.deepEqual(linesOf(load(file).config.model), linesOf(model));
});

for (const cli of awsClis().slice(0, 1))
  test(`the aws CLI ${cli.version} makes what is written, and it is read from the account again`, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-export-'));
    const { server, url, key } = await startApiProgram(folder, { policy: 'write' });
    t.after(async () => {
      await server.stop();
      rmSync(folder, { recursive: true, force: true });
    });
    const wrapper = join(folder, 'aws');
    writeFileSync(
      wrapper,
      `#!/bin/sh\nexec ${cli.path} "$@" ${endpointOptions(cli, url).join(' ')}\n`,
    );
    chmodSync(wrapper, 0o755);
    const env = {
      ...clientEnvironment(folder, 'us-east-1', { url, key }),
      PATH: `${folder}:${process.env['PATH']}`,
    };
    const sh = (script: string, more: NodeJS.ProcessEnv = {}): string => {
      const { status, stdout, stderr } = spawnSync('sh', ['-c', script], {
        env: { ...env, ...more },
        encoding: 'utf8',
        timeout: GUARD_MS,
      });
      assert.equal(status, 0, stderr);
      return stdout.trim();
    };
    const vpc = sh("aws ec2 describe-vpcs --query 'Vpcs[0].VpcId' --output text");
    const model = original(t);
    const { text, losses } = writeCommands(model);
    assert.deepEqual(losses, [
      'the group db is in audit mode: it gets the tag secgroupd:audit, and AWS enforces its rules all the same',
    ]);
    sh(text, { VPC: vpc });
    sh(printCommands({ folder: join(folder, 'account') }));
    assert.deepEqual(linesOf(load(join(folder, 'account')).config.model), linesOf(model));
  });

test('a hostile name becomes no command', (t) => {
  const file = {
    SecurityGroups: [
      {
        GroupId: 'sg-00000000000000001',
        GroupName: "\u0001(touch x)\u0001'; touch x; '`touch x`",
        Description: '$(touch x)\u001b[2J',
        IpPermissions: [
          {
            IpProtocol: 'tcp',
            FromPort: 1,
            ToPort: 1,
            IpRanges: [{ CidrIp: '10.0.0.0/8' }],
          },
        ],
        IpPermissionsEgress: [],
      },
    ],
    NetworkInterfaces: [],
  };
  const folder = writeFolder(t, { 'a.json': file });
  const { text } = writeCommands(load(join(folder, 'a.json')).config.model);

  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f`]/);
  const { stdout } = spawnSync(
    'sh',
    ['-c', `aws() { printf '%s\\n' "$@" >&2; echo id; }\n${text}ls`],
    { cwd: writeFolder(t, {}), env: { PATH: process.env['PATH'], VPC: 'v' }, encoding: 'utf8' },
  );
  assert.equal(stdout, '');
});
