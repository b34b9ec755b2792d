#!/usr/bin/env node
/**
 * secgroupd-docker: the network driver and the IPAM driver that Docker calls. It asks the daemon for interfaces and
 * addresses by the control socket, and has nft translate published ports. It opens no device itself.
 *
 * Exit codes: 0 stopped by a signal, 1 it can't listen or something failed, 2 wrong arguments.
 */
import { join } from 'node:path';
import { createLog } from '../../service/log.ts';
import { onStopSignal } from '../../service/stop-signals.ts';
import { version } from '../../service/version.ts';
import { askDaemon, releaseInterface, requestInterface, type Patience } from '../ask-daemon.ts';
import { startOwnDaemon } from '../own-daemon.ts';
import { HostNat } from './host-nat.ts';
import { IpamDriver, type Addresses } from './ipam-driver.ts';
import { NetworkDriver, OWNER, type Interfaces } from './network-driver.ts';
import { dockerCommand, type DockerOptions } from './options.ts';
import { PluginServer } from './plugin-server.ts';
import { DockerState } from './state.ts';

/** Docker waits for 30 s, and then gives up the container. */
const PATIENCE: Patience = { answerMs: 20_000, busyMs: 5000 };
const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const command = dockerCommand((options) => void run(options));
command.exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));
command.parse();

async function run(options: DockerOptions): Promise<void> {
  const log = createLog(undefined, process.env);
  process.on('uncaughtException', (error) => {
    log.fatal({ err: error }, 'the driver failed');
    process.exit(EXIT_FAILED);
  });
  const { socket, control, state: directory, withDaemon } = options;
  try {
    const daemon =
      withDaemon === undefined
        ? undefined
        : await startOwnDaemon({
            configFile: withDaemon,
            control,
            store: join(directory, 'store.db'),
            onEnd: (how) => {
              log.fatal({ how }, 'the daemon ended');
              process.exit(EXIT_FAILED);
            },
          });
    const state = new DockerState(directory);
    const nat = new HostNat(state);
    await nat.apply();
    const driver = new NetworkDriver({ state, nat, interfaces: interfacesOf(control) });
    const onActivate = (): void => driver.activate();
    const ipam = new IpamDriver({ addresses: addressesOf(control), endpoints: driver });
    const drivers = { NetworkDriver: driver.methods, IpamDriver: ipam.methods };
    const server = new PluginServer({ drivers, onActivate, log });
    await server.listen(socket, process.env);
    const { networks, endpoints } = state;
    log.info({ networks: networks.size, endpoints: endpoints.size, version }, 'listening');
    onStopSignal((signal) => {
      log.info({ signal }, 'stopping');
      void server
        .stop()
        .then(() => daemon?.stop())
        .then(() => process.exit(0));
    });
  } catch (error) {
    process.stderr.write(`secgroupd-docker: can't start: ${(error as Error).message}\n`);
    process.exit(EXIT_FAILED);
  }
}

/** A device in the namespace that Docker takes it from; Docker configures it. */
function interfacesOf(control: string): Interfaces {
  return {
    add: async ({ kind, name, ...asked }) => {
      const device = { kind, name, configure: false };
      await requestInterface(control, { ...asked, owner: OWNER, device }, PATIENCE);
    },
    remove: async (id) => {
      await releaseInterface(control, id, PATIENCE);
    },
    moved: async () => {
      const all = await askDaemon(control, 'interfaces', {}, PATIENCE);
      const moved = all.filter(({ netns }) => netns !== undefined);
      return new Set(moved.flatMap(({ id }) => id ?? []));
    },
  };
}

function addressesOf(control: string): Addresses {
  return {
    findSubnet: (question) => askDaemon(control, 'findSubnet', question, PATIENCE),
    lease: async (question) => {
      const { address } = await askDaemon(
        control,
        'leaseAddress',
        { ...question, owner: OWNER },
        PATIENCE,
      );
      return address;
    },
    release: async (vpc, address) => {
      await askDaemon(control, 'releaseAddress', { owner: OWNER, vpc, address }, PATIENCE);
    },
  };
}
