/**
 * The state of a real Terraform that applied at the own API, and a plan that changes it.
 *
 * Starts early: Terraform makes and changes what it has made before.
 */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { compareModels } from '../../src/reach/compare.ts';
import { serviceTexts } from '../../src/policy/service-set.ts';
import { startApiProgram } from '../support/api-program.ts';
import { run } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { findTool, requireTools } from '../support/require.ts';
import { NEEDS_PROVIDER, terraformSettings } from '../support/terraform.ts';
import { describeModel, load, verdictOf } from './support.ts';

test('a state says what was applied, and a plan what it changes of it', async (t) => {
  if (!requireTools(t, 'terraform')) return;
  const settings = terraformSettings();
  if (settings === undefined) {
    t.skip(NEEDS_PROVIDER);
    return;
  }
  const folder = mkdtempSync(join(tmpdir(), 'sgt-state-'));
  const { server, url, key } = await startApiProgram(folder, { policy: 'write' });
  t.after(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const cwd = join(folder, 'terraform');
  mkdirSync(cwd);
  // Nobody is to have the interfaces: the tags that say who are left out.
  const text = readFileSync(join(repositoryRoot(), 'test/netns/terraform.tf'), 'utf8');
  writeFileSync(join(cwd, 'main.tf'), text.replace(/^ *"secgroupd:.*\n/gm, ''));
  writeFileSync(join(folder, 'rc'), settings);
  const env = {
    ...{
      PATH: process.env['PATH'],
      HOME: folder,
      TF_CLI_CONFIG_FILE: join(folder, 'rc'),
      TF_IN_AUTOMATION: '1',
    },
    ...{ AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey },
    ...{ AWS_ENDPOINT_URL: url, AWS_EC2_METADATA_DISABLED: 'true' },
  };
  const terraform = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await run(findTool('terraform')!, args, {
      cwd,
      env,
    });
    assert.equal(code, 0, `${stdout}${stderr}`);
    return stdout;
  };
  const set = (more: object): void =>
    writeFileSync(
      join(cwd, 'step.auto.tfvars.json'),
      JSON.stringify({ client_netns: 'c', web_netns: 'w', description: 'x', ...more }),
    );
  set({ open_port: 8080, offices: ['192.0.2.0/24'] });
  await terraform('init', '-input=false', '-no-color');
  await terraform('apply', '-auto-approve', '-input=false', '-no-color');
  const stateFile = join(folder, 'state.json');
  writeFileSync(stateFile, await terraform('show', '-json'));
  set({ open_port: 7000, offices: ['192.0.2.0/24', '198.51.100.0/24'] });
  await terraform('plan', '-input=false', '-no-color', '-out', 'plan.bin');
  const planFile = join(folder, 'plan.json');
  writeFileSync(planFile, await terraform('show', '-json', 'plan.bin'));

  const [state, plan] = [load(stateFile), load(planFile)];
  const raw = load(join(cwd, 'terraform.tfstate'));
  const plain = (lines: readonly string[]): readonly string[] =>
    lines.map((line) =>
      line.replace(/client-\d+/g, 'client').replace(/ [0-9a-f]*:[0-9a-f:]+$/, ''),
    );
  assert.deepEqual(plain(describeModel(state.config.model)), STATE);
  assert.deepEqual(describeModel(raw.config.model), describeModel(state.config.model));
  assert.equal(
    verdictOf(state.config, 'aws_network_interface.client -> aws_network_interface.web tcp 8080'),
    'allowed',
  );
  assert.equal(
    verdictOf(plan.config, 'aws_network_interface.client -> aws_network_interface.web tcp 8080'),
    'refused',
  );
  const changed = compareModels(state.config.model, plan.config.model).differences;
  const prior = compareModels(
    load(planFile, { isPrior: true }).config.model,
    plan.config.model,
  ).differences;
  const linesOf = (differences: typeof changed): readonly string[] =>
    differences
      .filter(({ families }) => families.includes(4))
      .map(
        ({ kind, from, to, services }) =>
          `${kind} ${from.join(' ')} -> ${to.join(' ')}: ${serviceTexts(services).join()}`,
      );
  assert.deepEqual(linesOf(changed), [
    'newly-allowed 198.51.100.0/24 -> aws_network_interface.web: tcp 443',
    'newly-allowed aws_network_interface.client -> aws_network_interface.web: tcp 7000',
    'no-longer-allowed aws_network_interface.client -> aws_network_interface.web: tcp 8080',
  ]);
  assert.deepEqual(linesOf(prior), linesOf(changed));
});

const STATE: readonly string[] = [
  'a: all from sg:a',
  'a: udp 53 from sg:b',
  'apart: 2001:db8::/32',
  'aws_network_interface.client: client, at 10.20.1.10',
  'aws_network_interface.web: web, at 10.20.1.20',
  'b: tcp 1024-65535 from sg:a',
  'client: all to 0.0.0.0/0',
  'client: all to ::/0',
  'client: tcp 8080 from pl:apart',
  'default: icmp type 8 code 0 from 10.20.0.0/16',
  'offices: 192.0.2.0/24',
  'web: all to 0.0.0.0/0',
  'web: all to ::/0',
  'web: tcp 443 from pl:offices',
  'web: tcp 8080 from sg:client',
];
