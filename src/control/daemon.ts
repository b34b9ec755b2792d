/**
 * The daemon: devices, packet loop and metrics of one configuration, started in that order and stopped
 * in the reverse one. Nothing is touched before the configuration has been found right as a whole.
 */
import type { Server } from 'node:http';
import type { Logger } from 'pino';
import { Dataplane } from '../dataplane/dataplane.ts';
import { compilePolicy } from '../policy/compile.ts';
import { closeDevices, openDevices, type Device } from '../ports/device.ts';
import type { Native } from '../ports/native.ts';
import type { Config } from './config.ts';
import { deviceLabel, deviceSpecs } from './devices.ts';
import { createRegistry } from './metrics.ts';
import { listenForScrapes, scrapeUrl } from './metrics-server.ts';

export interface DaemonOptions {
  readonly config: Config;
  readonly native: Native;
  readonly log: Logger;
  readonly version: string;
  /** The packet loop has died; the process must end. */
  readonly onFailure: (error: Error) => void;
}

export interface Daemon {
  /** Stops the loop, closes the devices and the metrics port. */
  stop(): Promise<void>;
}

/**
 * Starts everything; resolves when packets flow.
 * @throws NativeError or Error of the first step that fails; what was opened by then is closed
 */
export async function startDaemon(options: DaemonOptions): Promise<Daemon> {
  const { config, native, log } = options;
  const specs = deviceSpecs(config);
  const devices = openDevices(native, specs);
  let dataplane: Dataplane | undefined;
  try {
    for (const device of devices) {
      log.info(
        { device: device.name, netns: device.spec.netnsPath, offloads: device.offloads },
        'device opened',
      );
    }
    dataplane = await startDataplane(options, devices);
    const server = await startMetrics(options, dataplane);
    const running = dataplane;
    return {
      async stop() {
        server?.close();
        server?.closeAllConnections();
        await running.stop();
        closeDevices(native, devices);
      },
    };
  } catch (error) {
    await dataplane?.stop();
    closeDevices(native, devices);
    throw error;
  }
}

async function startDataplane(
  { config, native, onFailure }: DaemonOptions,
  devices: readonly Device[],
): Promise<Dataplane> {
  const order = config.interfaces.map(({ id }) => id);
  const { policy } = compilePolicy({
    model: config.model,
    order,
    platformAddresses: config.platformAddresses,
    generation: 1,
  });
  return Dataplane.start(native, {
    ports: devices.map((device) => ({
      fd: device.fd,
      isTap: device.spec.kind === 'tap',
      label: deviceLabel(device.spec),
    })),
    hasUplink: config.uplink !== undefined,
    policy,
    idleTimeouts: order.map((id) => {
      const { connectionTracking } = config.model.interfaces.get(id)!;
      return {
        tcpEstablishedSec: connectionTracking.tcpEstablishedTimeoutSec,
        udpSec: connectionTracking.udpTimeoutSec,
        udpStreamSec: connectionTracking.udpStreamTimeoutSec,
      };
    }),
    maxFlows: config.conntrack.maxFlows,
    acceptsMidstream: config.conntrack.midstream === 'accept',
    onFailure,
  });
}

async function startMetrics(
  { config, log, version }: DaemonOptions,
  dataplane: Dataplane,
): Promise<Server | undefined> {
  if (config.metrics === undefined) return undefined;
  const names = config.interfaces.map(({ name }) => name);
  const registry = createRegistry({
    source: dataplane,
    ports: config.uplink === undefined ? names : [...names, 'uplink'],
    maxFlows: config.conntrack.maxFlows,
    version,
  });
  const server = await listenForScrapes(registry, config.metrics);
  log.info({ url: scrapeUrl(server) }, 'metrics');
  return server;
}
