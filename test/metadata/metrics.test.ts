/** What secgroup-metadata tells Prometheus. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { pino } from 'pino';
import { MetadataServer } from '../../src/metadata/metadata-server.ts';
import { metadataCommand, type MetadataCommandOptions } from '../../src/metadata/options.ts';
import { createMetadataRegistry } from '../../src/metrics/metrics-metadata.ts';
import { WEB } from './instances.ts';

test('requests are counted by the status of their answer, and questions by what became of them', async (t) => {
  const metadata = new MetadataServer({
    find: () => Promise.resolve(WEB),
    hasTags: false,
    log: pino({ enabled: false }),
  });
  const server = metadata.makeServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
    server.closeAllConnections();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/latest`;
  const ttl = { 'x-aws-ec2-metadata-token-ttl-seconds': '60' };
  await fetch(`${url}/api/token`, { method: 'PUT', headers: ttl });
  for (let i = 0; i < 2; i++) await fetch(`${url}/meta-data/`);
  const registry = createMetadataRegistry({
    dns: () => [
      ['answered', 3],
      ['limited', 1],
    ],
    requests: () => metadata.counts,
    version: '1.2.3',
  });
  const lines = (await registry.metrics()).split('\n');
  assert.deepEqual(
    lines.filter((line) => /^secgroupd_(dns|metadata)/.test(line)),
    [
      'secgroupd_dns_questions_total{outcome="answered"} 3',
      'secgroupd_dns_questions_total{outcome="limited"} 1',
      'secgroupd_metadata_requests_total{status="200"} 1',
      'secgroupd_metadata_requests_total{status="401"} 2',
    ],
  );
});

test('metrics are told on loopback alone, and the help shows no empty list', () => {
  const parse = (...args: readonly string[]): MetadataCommandOptions | undefined => {
    let options: MetadataCommandOptions | undefined;
    const command = metadataCommand((given) => (options = given)).exitOverride();
    command.configureOutput({ writeErr: () => undefined });
    command.parse(args, { from: 'user' });
    return options;
  };
  assert.deepEqual(parse('--metrics', '9108')?.metrics, { host: '127.0.0.1', port: 9108 });
  assert.throws(() => parse('--metrics', '0.0.0.0:9108'), /only on loopback/);
  const resolvers = parse('--resolver', '192.0.2.1', '--resolver', '[2001:db8::1]:5353')?.resolver;
  assert.equal(resolvers?.length, 2);
  assert.equal(parse()?.resolver, undefined);
  const help = metadataCommand(() => undefined).helpInformation();
  assert.doesNotMatch(help, /\[\]/);
});
