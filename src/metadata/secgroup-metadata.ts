#!/usr/bin/env node
/**
 * secgroup-metadata: answers for dns and instance-metadata of `platformServices`, at the port that `platform` names. It
 * asks the daemon where that is, and who asks, by a socket that answers nothing else.
 *
 * Exit codes: 0 stopped by a signal, 1 it can't start or something failed, 2 wrong arguments, 3 the port has other
 * addresses than those it answers at, and the service manager is to start it again.
 */
import { createServer } from 'node:net';
import type { Logger } from 'pino';
import { ask } from '../control-socket/control-client.ts';
import type { Endpoint } from '../api/options.ts';
import { loadNative } from '../ports/native.ts';
import type { PlatformView } from '../queries/platform-view.ts';
import { createLog } from '../service/log.ts';
import { onStopSignal } from '../service/stop-signals.ts';
import { version } from '../service/version.ts';
import { DnsForwarder, type DnsCounts } from './dns-forwarder.ts';
import { followPort } from './follow-port.ts';
import { Instances } from './instances.ts';
import { MetadataServer } from './metadata-server.ts';
import { metadataCommand, type MetadataCommandOptions } from './options.ts';
import { Resolvers } from './resolvers.ts';
import { bindSockets, giveUpRights, listenWith, receiveWith } from './sockets.ts';

const RESOLV_CONF = '/etc/resolv.conf';
const COUNTS_MS = 60_000;
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;
const EXIT_CHANGED = 3;

const command = metadataCommand((options) => void run(options));
command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
command.parse();

async function run(options: MetadataCommandOptions): Promise<void> {
  const log = createLog(undefined, process.env);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'it failed');
    process.exit(EXIT_FAILED);
  });
  onStopSignal((signal) => {
    log.info({ signal }, 'stopping');
    process.exit(0);
  });
  try {
    await start(options, log);
  } catch (error) {
    process.stderr.write(`secgroup-metadata: can't start: ${(error as Error).message}\n`);
    process.exit(EXIT_FAILED);
  }
}

async function start(options: MetadataCommandOptions, log: Logger): Promise<void> {
  const { instances: socket, user, resolver = [], tags } = options;
  const port = await findPort(socket);
  const bound = bindSockets(loadNative(), port);
  giveUpRights(user, socket);

  const instances = new Instances(socket);
  const metadata = new MetadataServer({
    find: (address) => instances.find(address),
    hasTags: tags,
    log,
  });
  for (const fd of bound.metadata) await listenWith(metadata.makeServer(), fd);

  const dns = new DnsForwarder(new Resolvers(RESOLV_CONF, resolver));
  for (const fd of bound.dnsStreams) {
    const server = createServer();
    dns.serveConnections(server);
    await listenWith(server, fd);
  }
  for (const { fd, isIpv6 } of bound.dnsDatagrams)
    dns.serveDatagrams(await receiveWith(fd, isIpv6));
  logCounts(dns.counts, log);
  // systemd.exec(5): set for each process of a unit.
  const isService = process.env['INVOCATION_ID'] !== undefined;
  followPort(port, {
    find: () => findPort(socket),
    isStartedAgain: isService,
    end: () => process.exit(EXIT_CHANGED),
    log,
  });
  if (options.metrics !== undefined) await serveMetrics(options.metrics, dns, metadata, log);
  log.info({ netns: port.netns, addresses: port.addresses, version }, 'listening');
}

async function findPort(socket: string): Promise<PlatformView> {
  const { platform } = await ask(socket, 'platform', {});
  if (platform === undefined)
    throw new Error(
      "the daemon's configuration has no `platform`; write platform: { tun: sg-platform, netns: sg-platform }",
    );
  return platform;
}

/** Tells once a minute what became of questions, if there were any. */
function logCounts(counts: DnsCounts, log: Logger): void {
  let before = { ...counts };
  setInterval(() => {
    if (JSON.stringify(counts) !== JSON.stringify(before)) log.info({ ...counts }, 'DNS so far');
    before = { ...counts };
  }, COUNTS_MS).unref();
}

/** @throws Error with the code of listen(2) */
async function serveMetrics(
  address: Endpoint,
  dns: DnsForwarder,
  metadata: MetadataServer,
  log: Logger,
): Promise<void> {
  const { createMetadataRegistry } = await import('../metrics/metrics-metadata.ts');
  const { listenForScrapes, scrapeUrl } = await import('../metrics/metrics-server.ts');
  const registry = createMetadataRegistry({
    dns: () => outcomesOf(dns.counts),
    requests: () => metadata.counts,
    version,
  });
  const server = await listenForScrapes(registry, address, { log });
  log.info({ metrics: scrapeUrl(server) }, 'metrics');
}

/** Each question is in one of these, but for those that wait. */
function outcomesOf(counts: DnsCounts): [string, number][] {
  const { answers, failed, limited, malformed, ignored } = counts;
  return Object.entries({ answered: answers, failed, limited, malformed, ignored });
}
