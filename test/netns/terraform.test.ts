/**
 * Terraform and AWS's provider, unchanged, against the API: apply, nothing left to do, a change, nothing left to do,
 * destroy. After each step packets between two namespaces prove the rules.
 */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Netns } from '../support/netns.ts';
import { run, type CommandResult } from '../support/process.ts';
import { repositoryRoot } from '../support/repository.ts';
import { findTool, requireTools } from '../support/require.ts';
import { NEEDS_PROVIDER, terraformSettings } from '../support/terraform.ts';
import { startApiWorld, type ApiWorld } from './api-world.ts';
import { canRun, get, pingInVain, serve } from './world.ts';

const CONFIGURATION = join(repositoryRoot(), 'test/netns/terraform.tf');
const NO_CHANGES = 0;

const CLIENT = '10.20.1.10';
const WEB = '10.20.1.20';
/** Before and after the change; the server listens on both. */
const PORTS = [8080, 7000] as const;
const RESOURCES = 18;

class Terraform {
  private readonly folder: string;
  private readonly env: NodeJS.ProcessEnv;

  constructor(folder: string, env: NodeJS.ProcessEnv) {
    this.folder = folder;
    this.env = env;
  }

  /** Writes the configuration and where the provider is, and gets that. */
  static async init({ folder, key, url }: ApiWorld<string>, settings: string): Promise<Terraform> {
    const here = join(folder, 'terraform');
    mkdirSync(here);
    copyFileSync(CONFIGURATION, join(here, 'main.tf'));
    const settingsFile = join(folder, 'terraform.rc');
    writeFileSync(settingsFile, settings);
    const terraform = new Terraform(here, {
      PATH: process.env['PATH'],
      HOME: folder,
      TF_CLI_CONFIG_FILE: settingsFile,
      TF_IN_AUTOMATION: '1',
      AWS_ACCESS_KEY_ID: key.accessKeyId,
      AWS_SECRET_ACCESS_KEY: key.secretAccessKey,
      AWS_ENDPOINT_URL: url,
      AWS_EC2_METADATA_DISABLED: 'true',
    });
    await terraform.mustRun('init', '-input=false');
    return terraform;
  }

  /** What changes from step to step. */
  set(variables: object): void {
    writeFileSync(join(this.folder, 'step.auto.tfvars.json'), JSON.stringify(variables));
  }

  run(...args: readonly string[]): Promise<CommandResult> {
    const terraform = findTool('terraform')!;
    const [command, ...rest] = args;
    return run(terraform, [command, '-no-color', ...rest], {
      cwd: this.folder,
      env: this.env,
    });
  }

  async mustRun(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...args);
    assert.equal(code, 0, `terraform ${args.join(' ')}:\n${stdout}${stderr}`);
    return stdout;
  }

  apply(): Promise<string> {
    return this.mustRun('apply', '-auto-approve', '-input=false');
  }

  /** Fails, with what Terraform would change, unless everything is as its configuration says. */
  async hasNothingToDo(): Promise<void> {
    const { code, stdout, stderr } = await this.run('plan', '-input=false', '-detailed-exitcode');
    assert.equal(code, NO_CHANGES, stdout + stderr);
  }
}

/** Of the two ports one is open to the client, by IPv4 and by IPv6; nothing is open the other way, nor to pings. */
async function provePort(
  { web, client }: Record<'web' | 'client', Netns>,
  ipv6: string,
  open: number,
): Promise<void> {
  const [closed] = PORTS.filter((port) => port !== open);
  for (const host of [WEB, `[${ipv6}]`]) {
    assert.equal(await get(client, `${host}:${open}/`), 'web\n', `${host} port ${open}`);
    assert.equal(await get(client, `${host}:${closed}/`, 1), '', `${host} port ${closed}`);
  }
  assert.equal(await get(web, `${CLIENT}:${open}/`, 1), '');
  await pingInVain(client, WEB);
}

test('Terraform applies, finds nothing left to do, changes and destroys, and packets obey', async (t) => {
  if (!canRun(t) || !requireTools(t, 'terraform')) return;
  const settings = terraformSettings();
  if (settings === undefined) {
    t.skip(NEEDS_PROVIDER);
    return;
  }
  const world = await startApiWorld(t, ['web', 'client']);
  const { netns, daemon } = world;
  const { web, client } = netns;
  const terraform = await Terraform.init(world, settings);
  const places = { web_netns: web.name, client_netns: client.name };

  await t.test('apply', async () => {
    terraform.set({
      ...places,
      open_port: PORTS[0],
      offices: ['10.1.0.0/16', '10.2.0.0/16'],
      description: 'first',
    });
    const said = await terraform.apply();
    assert.match(said, new RegExp(`Resources: ${RESOURCES} added, 0 changed, 0 destroyed`));
    assert.match(await web.mustRun('ip', ['link', 'show', 'eth5']), / mtu 1400 /);
    await terraform.hasNothingToDo();
  });
  const ipv6 = (await terraform.mustRun('output', '-raw', 'web_ipv6')).trim();
  await serve(web, 'web');
  await serve(client, 'client');
  await provePort(netns, ipv6, PORTS[0]);

  await t.test('change', async () => {
    terraform.set({
      ...places,
      open_port: PORTS[1],
      offices: ['10.1.0.0/16', '10.3.0.0/16', '10.4.0.0/16'],
      description: 'second',
    });
    assert.match(await terraform.apply(), /Resources: 0 added, 5 changed, 0 destroyed/);
    await terraform.hasNothingToDo();
  });
  await provePort(netns, ipv6, PORTS[1]);

  await t.test('destroy', async () => {
    const said = await terraform.mustRun('destroy', '-auto-approve', '-input=false');
    assert.match(said, new RegExp(`Resources: ${RESOURCES} destroyed`));
  });
  assert.notEqual((await web.run('ip', ['link', 'show', 'eth5'])).code, 0, 'its device is gone');
  assert.equal(await daemon.stop(), 0, daemon.output);
});
