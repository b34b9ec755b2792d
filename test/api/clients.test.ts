/** Real clients against the program itself: the aws CLI, boto3, curl and the SDK for JavaScript. Each where it is installed. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { awsClis, endpointOptions } from '../support/aws-cli.ts';
import { clientEnvironment, startApiProgram, type Key } from '../support/api-program.ts';
import { run, type Running } from '../support/process.ts';
import { requireTools } from '../support/require.ts';
import { ONLY_VPC_ID } from '../../src/policy/vpcs.ts';
import { runSgctl } from '../support/sgctl.ts';
import { requireSdk, sdkClient } from './sdk.ts';

const folder = mkdtempSync(join(tmpdir(), 'sgt-api-'));
const keysFile = join(folder, 'keys.json');

let server: Running;
let url = '';
let key: Key;

before(async () => {
  const more = ['--region', 'eu-central-1'];
  ({ server, url, key } = await startApiProgram(folder, { more }));
});
after(async () => {
  const { code } = await server.stop();
  rmSync(folder, { recursive: true, force: true });
  assert.equal(code, 0);
});

function environment(): NodeJS.ProcessEnv {
  return clientEnvironment(folder, 'eu-central-1', { url, key });
}

const IDENTITY = { Account: '123456789012', Arn: 'arn:aws:iam::123456789012:user/alice' };
const REGION = {
  OptInStatus: 'opt-in-not-required',
  RegionName: 'eu-central-1',
  Endpoint: 'ec2.eu-central-1.amazonaws.com',
};

test('an aws CLI is there', (t) => {
  if (awsClis().length === 0) t.skip('needs aws (not found on the PATH)');
});

for (const cli of awsClis())
  describe(`the aws CLI ${cli.version}`, () => {
    const aws = async (...args: string[]) =>
      run(cli.path, [...args, '--output', 'json', ...endpointOptions(cli, url)], {
        env: environment(),
      });

    test('asks who it is, and for regions and zones', async () => {
      const identity = await aws('sts', 'get-caller-identity');
      assert.equal(identity.code, 0, identity.stderr);
      const { UserId, ...rest } = JSON.parse(identity.stdout) as { UserId: string };
      assert.deepEqual(rest, IDENTITY);
      assert.match(UserId, /^AIDA[A-Z2-7]{17}$/);
      const regions = await aws('ec2', 'describe-regions');
      assert.deepEqual(JSON.parse(regions.stdout), { Regions: [REGION] });
      const zones = await aws(
        'ec2',
        'describe-availability-zones',
        '--filters',
        'Name=zone-name,Values=*b',
        '--query',
        'AvailabilityZones[].ZoneId',
      );
      assert.deepEqual(JSON.parse(zones.stdout), ['euc1-az2']);
    });

    test('shows what is not served, by its name', async () => {
      const { code, stderr } = await aws('ec2', 'run-instances', '--image-id', 'ami-1');
      assert.notEqual(code, 0);
      assert.match(
        stderr,
        /An error occurred \(InvalidAction\) when calling the RunInstances operation(?: \(reached max retries: 0\))?: The action RunInstances is not served here/,
      );
    });
  });

describe('boto3', () => {
  const boto3 = async (program: string) =>
    run('python3', ['-c', `import boto3, json\n${program}`], {
      env: environment(),
    });
  const isMissing = async (): Promise<boolean> => (await boto3('')).code !== 0;

  test('asks who it is, and for regions, also by a presigned address', async (t) => {
    if (!requireTools(t, 'python3')) return;
    if (await isMissing()) {
      t.skip('needs boto3');
      return;
    }
    const { code, stdout, stderr } = await boto3(`
import urllib.request
ec2 = boto3.client('ec2', endpoint_url='${url}')
sts = boto3.client('sts', endpoint_url='${url}')
address = ec2.generate_presigned_url('describe_regions', Params={'RegionNames': ['eu-central-1']}, HttpMethod='GET')
print(json.dumps({
  'account': sts.get_caller_identity()['Account'],
  'regions': ec2.describe_regions()['Regions'],
  'presigned': urllib.request.urlopen(address).status,
}))`);
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout), {
      account: '123456789012',
      regions: [REGION],
      presigned: 200,
    });
  });
});

test('curl --aws-sigv4', async (t) => {
  if (!requireTools(t, 'curl')) return;
  const curl = async (...args: string[]): Promise<string> => {
    const user = `${key.accessKeyId}:${key.secretAccessKey}`;
    return (
      await run('curl', ['-s', '--aws-sigv4', 'aws:amz:eu-central-1:ec2', '--user', user, ...args])
    ).stdout;
  };
  const asked = 'Action=DescribeRegions&Version=2016-11-15';
  const post = await curl(`${url}/`, '-d', asked);
  if (post.includes('IncompleteSignature')) {
    t.skip('needs a curl that signs as AWS says (7.75 or newer)');
    return;
  }
  assert.match(post, /<regionName>eu-central-1<\/regionName>/);
  assert.match(await curl(`${url}/?${asked}`), /<regionName>eu-central-1<\/regionName>/);
});

test('the SDK for JavaScript', async (t) => {
  if (!requireSdk(t)) return;
  const settings = { endpoint: url, region: 'eu-central-1', credentials: key };
  const sts = await sdkClient('sts', settings);
  const { UserId: _, ...identity } = await sts.call('GetCallerIdentity', {});
  assert.deepEqual(identity, IDENTITY);
  const ec2 = await sdkClient('ec2', settings);
  assert.deepEqual(await ec2.call('DescribeRegions', {}), { Regions: [REGION] });
  assert.deepEqual(
    await ec2.call('DescribeAccountAttributes', { AttributeNames: ['default-vpc'] }),
    {
      AccountAttributes: [
        { AttributeName: 'default-vpc', AttributeValues: [{ AttributeValue: ONLY_VPC_ID }] },
      ],
    },
  );
  await assert.rejects(ec2.call('DescribeSecurityGroups', { DryRun: 'x' }), {
    name: 'InvalidParameterValue',
  });
});

test('a key that is deleted is refused from then on, and nothing that was printed has the secret', async () => {
  const list = runSgctl(['api', 'key', 'list', '--keys', keysFile], {});
  assert.match(
    list.stdout,
    new RegExp(`^key +name +account +policy\n${key.accessKeyId} +alice +123456789012 +read\n$`),
  );
  assert.equal(statSync(keysFile).mode & 0o777, 0o600);
  const deleted = runSgctl(['api', 'key', 'delete', key.accessKeyId, '--keys', keysFile], {});
  assert.deepEqual([deleted.code, deleted.stdout], [0, `Deleted ${key.accessKeyId} of alice.\n`]);
  const again = runSgctl(['api', 'key', 'delete', key.accessKeyId, '--keys', keysFile], {});
  assert.deepEqual(
    [again.code, again.stderr],
    [1, `sgctl: there is no key ${key.accessKeyId}; sgctl api key list shows which there are\n`],
  );
  const { send } = await import('./request.ts');
  const got = await send(Number(new URL(url).port), key, { body: 'Action=DescribeRegions' });
  assert.deepEqual([got.status, got.code], [401, 'AuthFailure']);
  await server.waitFor(/"outcome":"AuthFailure"[^\n]*"reason":"unknown-key"/);
  const printed = server.stdout() + server.stderr() + list.stdout + readFileSync(keysFile, 'utf8');
  assert.ok(!printed.includes(key.secretAccessKey));
});
