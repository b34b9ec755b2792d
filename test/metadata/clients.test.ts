/**
 * What real clients make of the metadata: the provider of AWS's SDK for JavaScript, botocore's fetchers, which the aws
 * CLI uses, and cloud-init's data source for EC2. Each asks a server in this process, at the endpoint that it is told.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { fromInstanceMetadata, httpRequest } from '@smithy/credential-provider-imds';
import { pino } from 'pino';
import { MetadataServer } from '../../src/metadata/metadata-server.ts';
import type { InstanceView } from '../../src/queries/instance-view.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { run } from '../support/process.ts';
import { WEB } from './instances.ts';

/** Where scripts/setup unpacks Debian's package. */
const CLOUD_INIT = '/var/cache/secgroupd-test/cloud-init/usr/lib/python3/dist-packages';
const TOLD: InstanceView = {
  ...WEB,
  ...{ instanceId: 'i-00000000000000077', deviceIndex: 0 },
  ...{ subnetId: 'subnet-00000000000000001', zone: 'eu-central-1b' },
};

interface World {
  readonly endpoint: string;
  readonly port: number;
  /** What was asked for, and how it was answered. */
  readonly asked: Map<string, number>;
}

async function serve(t: TestContext, instance: InstanceView): Promise<World> {
  const server = new MetadataServer({
    find: () => Promise.resolve(instance),
    hasTags: false,
    log: pino({ enabled: false }),
  }).makeServer();
  const asked = new Map<string, number>();
  server.prependListener('request', ({ method, url }, response) => {
    response.once('finish', () => asked.set(`${method} ${url}`, response.statusCode));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = server.address() as AddressInfo;
  return { endpoint: `http://127.0.0.1:${port}`, port, asked };
}

test('the SDK for JavaScript gets a token and what is there, and learns that there are no credentials', async (t) => {
  const { endpoint, port, asked } = await serve(t, TOLD);
  const before = process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT'];
  process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = endpoint;
  t.after(() => {
    if (before === undefined) delete process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT'];
    else process.env['AWS_EC2_METADATA_SERVICE_ENDPOINT'] = before;
  });
  const provider = fromInstanceMetadata({ maxRetries: 0, ec2MetadataV1Disabled: true });
  await assert.rejects(provider(), { name: 'ProviderError', statusCode: 404 });
  assert.equal(asked.get('PUT /latest/api/token'), 200);
  assert.equal(asked.get('GET /latest/meta-data/iam/security-credentials/'), 404);
  const ask = (path: string, method: string, headers: Record<string, string>): Promise<Buffer> =>
    httpRequest({ host: '127.0.0.1', port, path, method, headers, timeout: GUARD_MS });
  const token = await ask('/latest/api/token', 'PUT', {
    'x-aws-ec2-metadata-token-ttl-seconds': '21600',
  });
  const region = await ask('/latest/meta-data/placement/region', 'GET', {
    'x-aws-ec2-metadata-token': token.toString(),
  });
  assert.equal(region.toString(), 'eu-central-1');
});

const BOTOCORE = `
import json, os
from botocore.utils import InstanceMetadataFetcher, InstanceMetadataRegionFetcher
settings = {'timeout': 600, 'num_attempts': 1, 'base_url': os.environ['ENDPOINT']}
region = InstanceMetadataRegionFetcher(**settings).retrieve_region()
credentials = InstanceMetadataFetcher(**settings).retrieve_iam_role_credentials()
print(json.dumps([region, credentials]))
`;

/** Runs a script of Python, or skips the test where a module is missing. */
async function python(
  t: TestContext,
  program: string,
  script: string,
  env: Readonly<Record<string, string>>,
): Promise<string | undefined> {
  const { code, stdout, stderr } = await run(program, ['-c', script], {
    env: { ...process.env, ...env },
  });
  const missing = /ModuleNotFoundError: (.*)|not found|ENOENT/.exec(stderr);
  if (missing !== null) {
    t.skip(`${program}: ${missing[0]}`);
    return undefined;
  }
  assert.equal(code, 0, stderr);
  return stdout;
}

test('botocore, and so the aws CLI, learns its Region and that there are no credentials', async (t) => {
  for (const [instance, region] of [
    [TOLD, 'eu-central-1'],
    [WEB, null],
  ] as const) {
    const { endpoint, asked } = await serve(t, instance);
    const printed = await python(t, 'python3', BOTOCORE, { ENDPOINT: `${endpoint}/` });
    if (printed === undefined) return;
    assert.deepEqual(JSON.parse(printed), [region, {}]);
    assert.equal(asked.get('PUT /latest/api/token'), 200);
  }
});

const DATA_SOURCE = `
import json, os
from cloudinit import helpers
from cloudinit.sources import DataSourceEc2 as ec2
folder = os.environ['FOLDER']
settings = {'metadata_urls': [os.environ['ENDPOINT']], 'timeout': 600, 'max_wait': 600}
paths = helpers.Paths({'cloud_dir': folder, 'run_dir': folder})
source = ec2.DataSourceEc2({'datasource': {'Ec2': settings}}, None, paths)
# A machine says by its firmware that it is Amazon's; the test has none.
source._cloud_name = ec2.CloudNames.AWS
source._platform_type = 'ec2'
crawled = source.crawl_metadata()
source.metadata = crawled['meta-data']
source.identity = crawled['dynamic'].get('instance-identity', {}).get('document', {})
print(json.dumps([crawled, source.get_instance_id(), source.region, source.availability_zone],
                 default=lambda one: one.decode()))
`;

test('cloud-init finds an EC2 that it understands, and nothing that it asks for fails', async (t) => {
  if (!existsSync(CLOUD_INIT)) {
    t.skip(`cloud-init is not unpacked at ${CLOUD_INIT}; scripts/setup --for test does it`);
    return;
  }
  const { endpoint, asked } = await serve(t, TOLD);
  const folder = mkdtempSync(join(tmpdir(), 'sgt-cloud-init-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const env = { ENDPOINT: endpoint, FOLDER: folder, PYTHONPATH: CLOUD_INIT };
  const printed = await python(t, '/usr/bin/python3', DATA_SOURCE, env);
  if (printed === undefined) return;
  const [crawled, id, region, zone] = JSON.parse(printed) as [
    { 'meta-data': Record<string, unknown>; 'user-data': string },
    ...string[],
  ];
  assert.deepEqual([id, region, zone], [TOLD.instanceId, 'eu-central-1', TOLD.zone]);
  assert.equal(crawled['user-data'], '');
  const { hostname, network } = crawled['meta-data'] as {
    readonly hostname: string;
    readonly network: { readonly interfaces: { readonly macs: Record<string, unknown> } };
  };
  assert.equal(hostname, 'ip-10-0-0-11');
  const { macs } = network.interfaces;
  assert.deepEqual(Object.keys(macs), [WEB.macAddress]);
  // cloud-init makes the network of these.
  const own = macs[WEB.macAddress] as Record<string, unknown>;
  assert.deepEqual(own['local-ipv4s'], ['10.0.0.11', '10.0.0.12']);
  assert.deepEqual(own['ipv6s'], 'fd00:10::11');
  assert.equal(own['subnet-ipv4-cidr-block'], '10.0.0.0/24');
  const refused = [...asked].filter(([, status]) => status !== 200).map(([what]) => what);
  // There is no user data. AWS has nothing at this path either while there is none.
  assert.deepEqual(refused, ['GET /2021-03-23/user-data']);
});
