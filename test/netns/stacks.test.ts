/** `aws cloudformation deploy` on real packets: a stack's interface, group and rules are in force when its calls are over. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { EstateClient } from '../../src/estate/estate-client.ts';
import { openStore } from '../../src/store/open-store.ts';
import { awsClis, endpointOptions, type AwsCli } from '../support/aws-cli.ts';
import { clientEnvironment, startApiProgram } from '../support/api-program.ts';
import { run, type CommandResult } from '../support/process.ts';
import { canRun, Daemon, makeNamespaces, ping, pingInVain, temporaryFile } from './world.ts';

/** In the first subnet of the default VPC. */
const WEB = '172.31.0.100';

function template(device: string, blocks: readonly string[], name?: string): string {
  const rule = (block: string): object => ({
    IpProtocol: 'icmp',
    FromPort: 8,
    ToPort: -1,
    CidrIp: block,
  });
  const tag = (Key: string, Value: string): object => ({ Key: `secgroupd:${Key}`, Value });
  return JSON.stringify({
    Parameters: { Subnet: { Type: 'AWS::EC2::Subnet::Id' } },
    Resources: {
      Web: {
        Type: 'AWS::EC2::SecurityGroup',
        Properties: {
          GroupDescription: 'who may ping',
          SecurityGroupIngress: blocks.map(rule),
          ...(name === undefined ? {} : { GroupName: name }),
        },
      },
      Card: {
        Type: 'AWS::EC2::NetworkInterface',
        Properties: {
          SubnetId: { Ref: 'Subnet' },
          PrivateIpAddress: WEB,
          GroupSet: [{ 'Fn::GetAtt': ['Web', 'GroupId'] }],
          Tags: [tag('host', 'here'), tag('device', 'eth0'), tag('netns', device)],
        },
      },
      CDKMetadata: { Type: 'AWS::CDK::Metadata', Properties: { Analytics: 'v2' } },
    },
    Outputs: { Group: { Value: { 'Fn::GetAtt': ['Web', 'GroupId'] } } },
  });
}

async function firstSubnet(store: string): Promise<string> {
  const client = await EstateClient.open({
    store: await openStore(store, assert.fail),
    onTrouble: (message) => assert.fail(message),
  });
  const found = client.estate.list('subnets').find(({ zone }) => zone === 'us-east-1a');
  await client.close();
  assert.ok(found);
  return found.id;
}

test('a stack is deployed, deployed again, changed, rolled back and deleted', async (t) => {
  if (!canRun(t)) return;
  const clis = awsClis();
  if (clis.length === 0) t.skip('needs aws (not found on the PATH)');
  for (const cli of clis) await t.test(`aws CLI ${cli.version}`, (each) => deployAll(each, cli));
});

async function deployAll(t: TestContext, cli: AwsCli): Promise<void> {
  const { web, out } = await makeNamespaces(t, ['web', 'out']);
  const file = temporaryFile(
    t,
    'c.yaml',
    `uplink: { tun: up0, netns: ${out.path}, addresses: [10.9.0.1/24] }\n`,
  );
  const folder = dirname(file);
  const { server, url, key, store } = await startApiProgram(folder, { policy: 'write' });
  t.after(() => server.stop());
  const daemon = await Daemon.start(t, file, ['--store', store, '--host', 'here']);
  const env = clientEnvironment(folder, 'us-east-1', { url, key });
  const aws = (...args: readonly string[]): Promise<CommandResult> =>
    run(cli.path, [...args, ...endpointOptions(cli, url), '--output', 'text'], {
      env,
    });
  const subnet = await firstSubnet(store);
  const body = join(folder, 't.json');
  const deploy = async (blocks: readonly string[], name?: string): Promise<string> => {
    writeFileSync(body, template(web.path, blocks, name));
    const parameters = ['--parameter-overrides', `Subnet=${subnet}`];
    const { stdout, stderr } = await aws(
      'cloudformation',
      'deploy',
      ...['--stack-name', 'shop', '--template-file', body, ...parameters],
    );
    return stdout + stderr;
  };
  const status = async (): Promise<string> =>
    (
      await aws(
        'cloudformation',
        'describe-stacks',
        ...['--stack-name', 'shop', '--query', 'Stacks[].StackStatus'],
      )
    ).stdout.trim();

  assert.match(await deploy([]), /Successfully created\/updated stack - shop/, daemon.output);
  await pingInVain(out, WEB);
  assert.match(await deploy([]), /No changes to deploy. Stack shop is up to date/);
  assert.match(await deploy(['10.9.0.0/24']), /Successfully created\/updated stack - shop/);
  assert.equal((await ping(out, WEB)).code, 0, 'the rule is in force');

  await aws('ec2', 'create-security-group', '--group-name', 'taken', '--description', 'd');
  assert.match(await deploy(['192.0.2.0/24'], 'taken'), /Failed to create\/update the stack/);
  assert.equal(await status(), 'UPDATE_ROLLBACK_COMPLETE');
  assert.equal((await ping(out, WEB)).code, 0, 'the rule is still in force');

  assert.match(await deploy(['192.0.2.0/24']), /Successfully created\/updated stack - shop/);
  await pingInVain(out, WEB);
  assert.equal((await aws('cloudformation', 'delete-stack', '--stack-name', 'shop')).code, 0);
  const wait = ['wait', 'stack-delete-complete', '--stack-name', 'shop'];
  assert.equal((await aws('cloudformation', ...wait)).code, 0);
  assert.notEqual((await web.run('ip', ['link', 'show', 'eth0'])).code, 0, 'the device is gone');
  assert.equal(await daemon.stop(), 0);
}
