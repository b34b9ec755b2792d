/** The aws CLI with two servers, behind something that spreads connections over them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { awsClis, endpointOptions } from '../support/aws-cli.ts';
import { clientEnvironment } from '../support/api-program.ts';
import { run } from '../support/process.ts';
import { Spreader } from '../support/spreader.ts';
import { Servers, subnetOf } from './servers.ts';

const NO_GROUP = 'InvalidGroup.NotFound';
const NO_INTERFACE = 'InvalidNetworkInterfaceID.NotFound';

test('an aws CLI is there', (t) => {
  if (awsClis().length === 0) t.skip('needs aws (not found on the PATH)');
});

for (const cli of awsClis())
  test(`the aws CLI ${cli.version} makes, changes and deletes, several at once`, async (t) => {
    const servers = await Servers.start(t);
    const spreader = await Spreader.over(t, servers.urls);
    const subnet = await subnetOf(servers);
    const env = clientEnvironment(servers.folder, 'us-east-1', { ...servers, url: spreader.url });
    const aws = async (...args: readonly string[]): Promise<string> => {
      const all = ['ec2', ...args, '--output', 'text', ...endpointOptions(cli, spreader.url)];
      const { code, stdout, stderr } = await run(cli.path, all, {
        env,
      });
      return code === 0 ? stdout.trim() : (/\((\S+)\) when calling/.exec(stderr)?.[1] ?? stderr);
    };
    const live = async (name: string): Promise<void> => {
      const group = await aws('create-security-group', '--group-name', name, '--description', 'd', '--query', 'GroupId'); // prettier-ignore
      assert.match(group, /^sg-[0-9a-f]{17}$/);
      const of = ['--group-id', group];
      const port = ['--protocol', 'tcp', '--port', '443', '--cidr', '10.0.0.0/8'];
      assert.match(await aws('authorize-security-group-ingress', ...of, ...port), /^True/);
      assert.equal(await aws('authorize-security-group-ingress', ...of, ...port), 'InvalidPermission.Duplicate'); // prettier-ignore
      const ports = ['--query', 'SecurityGroups[].IpPermissions[].FromPort'];
      assert.equal(await aws('describe-security-groups', '--group-ids', group, ...ports), '443');
      const made = await aws('create-network-interface', '--subnet-id', subnet, '--groups', group, '--query', 'NetworkInterface.NetworkInterfaceId'); // prettier-ignore
      const groups = ['--query', 'NetworkInterfaces[].Groups[].GroupId'];
      assert.equal(await aws('describe-network-interfaces', '--network-interface-ids', made, ...groups), group); // prettier-ignore
      assert.equal(await aws('delete-network-interface', '--network-interface-id', made), '');
      assert.equal(await aws('describe-network-interfaces', '--network-interface-ids', made), NO_INTERFACE); // prettier-ignore
      await aws('delete-security-group', ...of);
      assert.equal(await aws('describe-security-groups', '--group-ids', group), NO_GROUP);
    };
    await Promise.all(['a', 'b'].map(live));
    assert.equal(spreader.taken.size, 2, 'both had connections');
  });
