#!/usr/bin/env node
/**
 * secgroup-api: the server of EC2's API, a program of its own. It parses what strangers send, so it holds no right on
 * the machine but to listen and to read its keys.
 *
 * Exit codes: 0 stopped by a signal, 1 it can't listen or something failed, 2 wrong arguments.
 */
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import { isIP } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { pino, type Logger } from 'pino';
import { advising, type Advice } from '../service/failure.ts';
import { createLog } from '../service/log.ts';
import { onStopSignal } from '../service/stop-signals.ts';
import { version } from '../service/version.ts';
import type { ApiConsoleOptions } from '../api-console/start-console.ts';
import type { ServedConsole } from '../console/console.ts';
import { UnknownActions, type AccessRecord } from './access-log.ts';
import { Dispatcher } from './dispatch.ts';
import { KeyRing } from './keys.ts';
import { apiCommand, endpointFault, type ApiOptions } from './options.ts';
import { openEstate } from './open-estate.ts';
import { RequestCounts } from './request-counts.ts';
import { servedActions } from './served-actions.ts';
import { ApiServer } from './server.ts';
import { RequestLimit } from './token-bucket.ts';

const STDOUT = 1;
/** Of lines of the access log that nobody takes: more are dropped. */
const UNREAD_MAX = 1 << 20;
/** How many requests may come at once, in seconds of the rate. */
const BURST_S = 2;
const CONSOLE_ADVICE: Advice = {
  EADDRINUSE: 'stop the program that has it, or give --console another port',
  fallback: 'correct --console',
};
const METRICS_ADVICE: Advice = {
  EADDRINUSE: 'stop the program that has it, or give --metrics another port',
  fallback: 'correct --metrics',
};
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

// Answers are made of the estate and dropped. V8 would let them grow to four times of what is in use: 470 MB, with ten
// thousand groups, in place of 270. With 20 in place of 100 it would be 230 MB, and a page of 1,000 groups would take
// half as long again (Node.js 20).
setFlagsFromString('--heap-growing-percent=100');

const command = apiCommand((options) => void run(options));
command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
command.parse();

async function run(options: ApiOptions): Promise<void> {
  const log = createLog(undefined, process.env);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the server failed');
    process.exit(EXIT_FAILED);
  });
  const keys = new KeyRing(options.keys, (error) =>
    log.error(`no key is accepted: ${error.message}`),
  );
  const keyCount = keys.size;
  const fault = endpointFault(options, keyCount);
  if (fault !== undefined) {
    process.stderr.write(`secgroup-api: ${fault}\n`);
    process.exit(EXIT_USAGE);
  }
  try {
    await serve(options, keys, log);
  } catch (error) {
    const { host, port } = options.listen;
    process.stderr.write(
      `secgroup-api: can't serve at ${host} port ${port}: ${(error as Error).message}\n`,
    );
    process.exit(EXIT_FAILED);
  }
  if (keyCount === 0)
    log.warn(
      `${options.keys} has no key: requests are refused until sgctl api key create made one`,
    );
}

async function serve(options: ApiOptions, keys: KeyRing, log: Logger): Promise<void> {
  const { listen, region, requestsPerSecond } = options;
  const access = pino.destination({ fd: STDOUT, sync: false, maxLength: UNREAD_MAX });
  // Who read it has gone: requests are served all the same.
  access.on('error', () => undefined);
  const unknown = new UnknownActions(log);
  const counts = new RequestCounts();
  const { managed, close } = await openEstate({ ...options, log });
  const now = (): number => Date.now();
  const onAccess = (record: AccessRecord): void => {
    counts.add(record);
    access.write(`${JSON.stringify({ time: new Date().toISOString(), ...record })}\n`);
  };
  const actions = servedActions(managed, { keys, now });
  const limit = new RequestLimit(requestsPerSecond, requestsPerSecond * BURST_S);
  const dispatcher = new Dispatcher({ actions, keys, limit, unknown, log, now, onAccess });
  const tls = readTls(options);
  const server = await ApiServer.listen(dispatcher, { ...listen, ...tls, log });
  const page =
    options.console === undefined
      ? undefined
      : await serveConsole({
          ...{ managed, actions, keys, limit, region, version, log, now, onAccess },
          ...{ place: { ...options.console, ...tls }, daemon: options.consoleDaemon },
        });
  const metrics =
    options.metrics === undefined ? undefined : await serveMetrics(counts, options.metrics, log);
  log.info({ url: server.url, region }, 'listening');
  onStopSignal((signal) => {
    log.info({ signal, unknownActions: unknown.all }, 'stopping');
    metrics?.close();
    metrics?.closeAllConnections();
    void Promise.all([server.stop(), page?.stop()]).then(async () => {
      await close();
      access.end();
      process.exit(0);
    });
  });
}

function readTls({ tlsCert, tlsKey }: ApiOptions): {
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
} {
  if (tlsCert === undefined || tlsKey === undefined) return {};
  return { tls: { cert: readFileSync(tlsCert), key: readFileSync(tlsKey) } };
}

/** Loads the console only where it is asked for. @throws Error with the code of listen(2) */
async function serveConsole(options: ApiConsoleOptions): Promise<ServedConsole> {
  const { place, log } = options;
  const { startApiConsole } = await import('../api-console/start-console.ts');
  const what = `no console at ${place.host} port ${place.port}`;
  const served = await advising(what, CONSOLE_ADVICE, () => startApiConsole(options));
  const host = isIP(place.host) === 6 ? `[${place.host}]` : place.host;
  const scheme = place.tls === undefined ? 'http' : 'https';
  log.info({ console: `${scheme}://${host}:${served.port}/` }, 'console');
  return served;
}

/** @throws Error with the code of listen(2) */
async function serveMetrics(
  counts: RequestCounts,
  address: NonNullable<ApiOptions['metrics']>,
  log: Logger,
): Promise<Server> {
  const { createApiRegistry } = await import('../metrics/metrics-api.ts');
  const { listenForScrapes, scrapeUrl } = await import('../metrics/metrics-server.ts');
  const registry = createApiRegistry({ requests: () => counts.all, version });
  const what = `no metrics at ${address.host} port ${address.port}`;
  const server = await advising(what, METRICS_ADVICE, () =>
    listenForScrapes(registry, address, { log }),
  );
  log.info({ metrics: scrapeUrl(server) }, 'metrics');
  return server;
}
