/**
 * This file starts the metrics server. It loads the code once packets flow, because loading takes time, and explains
 * a failure in words.
 */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { metricsOf } from '../metrics/metrics.ts';
import type { Observatory } from '../telemetry/observatory.ts';
import { advising, type Advice } from '../service/failure.ts';

const ADVICE: Advice = {
  EADDRINUSE: 'stop the program that has it, or give metrics.listen another port',
  EADDRNOTAVAIL: 'no interface of this host has the address: give metrics.listen one that it has',
  EACCES: 'ports below 1024 take CAP_NET_BIND_SERVICE: give metrics.listen a higher one',
  fallback: 'correct metrics.listen',
};

/** @throws Error with the code of listen(2) */
export async function serveMetrics(
  observatory: Observatory,
  parts: Parameters<typeof metricsOf>[1],
  address: NonNullable<Config['metrics']>,
  log: Logger,
): Promise<Server> {
  const { createRegistry, metricsOf } = await import('../metrics/metrics.ts');
  const { listenForScrapes, scrapeUrl } = await import('../metrics/metrics-server.ts');
  const what = `no metrics at ${address.host} port ${address.port}`;
  const server = await advising(what, ADVICE, () =>
    listenForScrapes(createRegistry(metricsOf(observatory, parts)), address, { log }),
  );
  log.info({ url: scrapeUrl(server) }, 'metrics');
  return server;
}
