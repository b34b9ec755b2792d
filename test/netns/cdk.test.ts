/**
 * `cdk deploy` with the default synthesizer on real packets: they obey what the app says, also after a change of it.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { clientEnvironment } from '../support/api-program.ts';
import { CdkApp, findCdk } from '../support/cdk.ts';
import { run } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { startApiWorld } from './api-world.ts';
import { canRun, ping, pingInVain } from './world.ts';

/** In the first subnet of the default VPC. */
const WEB = '172.31.0.100';

function appText(library: string, netns: string): string {
  return `
const { App, Stack } = require(${JSON.stringify(library)});
const ec2 = require(${JSON.stringify(join(library, 'aws-ec2'))});
const stack = new Stack(new App(), 'Shop');
const web = new ec2.CfnSecurityGroup(stack, 'Web', {
  groupDescription: 'who may ping',
  securityGroupIngress: [{ ipProtocol: 'icmp', fromPort: 8, toPort: -1, cidrIp: process.env.SHOP_FROM }],
});
new ec2.CfnNetworkInterface(stack, 'Card', {
  subnetId: process.env.SHOP_SUBNET,
  privateIpAddress: '${WEB}',
  groupSet: [web.attrGroupId],
  tags: [
    { key: 'secgroupd:host', value: 'here' },
    { key: 'secgroupd:netns', value: ${JSON.stringify(netns)} },
  ],
});
`;
}

test('cdk deploy, diff and destroy with the default synthesizer', async (t) => {
  if (!canRun(t) || !requireTools(t, 'aws')) return;
  const cdk = findCdk(t);
  if (cdk === undefined) return;
  const { daemon, folder, url, key, netns } = await startApiWorld(t, ['web']);
  const env = clientEnvironment(folder, 'us-east-1', { url, key });
  const query = ['--filters', 'Name=availability-zone,Values=us-east-1a'];
  const { stdout: subnet } = await run(
    'aws',
    ['ec2', 'describe-subnets', ...query, '--query', 'Subnets[0].SubnetId', '--output', 'text'],
    { env },
  );
  writeFileSync(join(folder, 'app.js'), appText(cdk.library, netns.web.path));
  const app = new CdkApp(cdk, folder, { url, key });
  const call = async (from: string, ...args: readonly string[]): Promise<string> => {
    const inputs = { SHOP_FROM: from, SHOP_SUBNET: subnet.trim() };
    const { code, stdout, stderr } = await app.call(args, inputs);
    assert.equal(code, 0, stdout + stderr + daemon.output);
    return stdout + stderr;
  };
  const deploy = ['deploy', '--require-approval', 'never'] as const;

  await call('192.0.2.0/24', ...deploy);
  await pingInVain(netns.out, WEB);
  assert.match(await call('192.0.2.0/24', 'diff', '--fail'), /There were no differences/);
  await call('10.9.0.0/24', ...deploy);
  assert.equal((await ping(netns.out, WEB)).code, 0, 'the rule is in force');
  await call('192.0.2.0/24', ...deploy);
  await pingInVain(netns.out, WEB);
  await call('192.0.2.0/24', 'destroy', '--force');
  assert.notEqual((await netns.web.run('ip', ['link', 'show', 'eth0'])).code, 0);
  assert.equal(await daemon.stop(), 0);
});
