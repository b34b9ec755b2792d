/** The metrics of secgroup-api: what became of requests, in few classes, whatever strangers send. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { AccessRecord } from '../../src/api/access-log.ts';
import { endpointFault } from '../../src/api/options.ts';
import { RequestCounts } from '../../src/api/request-counts.ts';
import { startApiProgram } from '../support/api-program.ts';
import { send } from './request.ts';

const CASES: readonly (readonly [
  outcome: string,
  status: number,
  wanted: string,
  reason?: string,
])[] = [
  ['ok', 200, 'ok'],
  ['DryRunOperation', 412, 'dry-run'],
  ['InvalidAction', 400, 'unknown-action'],
  ['AuthFailure', 401, 'not-signed', 'wrong-signature'],
  ['MissingAuthenticationToken', 403, 'not-signed'],
  ['UnauthorizedOperation', 403, 'not-allowed'],
  ['AccessDenied', 403, 'not-allowed'],
  ['RequestLimitExceeded', 503, 'throttled'],
  ['Throttling', 400, 'throttled'],
  ['ServiceUnavailable', 503, 'unavailable'],
  // S3's and SSM's.
  ['NotImplemented', 501, 'unknown-action'],
  ['UnknownOperationException', 400, 'unknown-action'],
  ['SlowDown', 503, 'throttled'],
  ['ThrottlingException', 400, 'throttled'],
  ['AccessDeniedException', 403, 'not-allowed'],
  ['InternalError', 500, 'failed'],
  ['InvalidGroup.NotFound', 400, 'invalid'],
  ['constructor', 400, 'invalid'],
];

test('each code belongs to one of few classes', () => {
  for (const [outcome, status, wanted, reason] of CASES) {
    const counts = new RequestCounts();
    const record: AccessRecord = { requestId: '', from: '', outcome, status, ms: 0 };
    counts.add(reason === undefined ? record : { ...record, reason });
    counts.add({ ...record, ...(reason === undefined ? {} : { reason }), service: 'ec2' });
    assert.deepEqual(
      [...counts.all],
      [
        { service: 'none', outcome: wanted, count: 1 },
        { service: 'ec2', outcome: wanted, count: 1 },
      ],
    );
  }
});

test('metrics are told to loopback alone', () => {
  const options = { listen: { host: '127.0.0.1', port: 1 }, keys: 'k' };
  assert.equal(endpointFault({ ...options, metrics: { host: '::1', port: 1 } }, 0), undefined);
  assert.equal(
    endpointFault({ ...options, metrics: { host: '10.0.0.1', port: 1 } }, 1),
    'metrics are told without a key and without TLS: 10.0.0.1 is not loopback',
  );
});

test('a scrape has what came of requests, and no word of a stranger', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-api-metrics-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const { server, url, key } = await startApiProgram(folder, {
    more: ['--metrics', '127.0.0.1:0'],
  });
  t.after(() => server.stop());
  const [, address] = await server.waitFor(/"metrics":"([^"]+)"/);
  const port = Number(new URL(url).port);
  await send(port, key, { body: 'Action=DescribeRegions' });
  for (let i = 0; i < 3; i++) await send(port, key, { body: `Action=Stranger${i}` });
  await send(port, undefined, { body: 'Action=DescribeRegions' });
  const text = await (await fetch(address)).text();
  assert.deepEqual(
    text
      .split('\n')
      .filter((line) => line.startsWith('secgroupd_api_'))
      .sort(),
    [
      'secgroupd_api_requests_total{service="ec2",outcome="ok"} 1',
      'secgroupd_api_requests_total{service="ec2",outcome="unknown-action"} 3',
      'secgroupd_api_requests_total{service="none",outcome="not-signed"} 1',
    ],
  );
  assert.doesNotMatch(text, /Stranger/);
  assert.match(server.stderr(), /ec2:Stranger2/);
});
