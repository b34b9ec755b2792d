/**
 * This is the main program of the daemon: it starts everything in order and handles signals. It runs when it is
 * imported (src/main.ts).
 *
 * Exit codes: 0 stopped by a signal, 1 the configuration is wrong or something failed, 2 wrong arguments.
 */
import type { Server } from 'node:net';
import type { Logger } from 'pino';
import { readTask, type RunArguments } from '../service/arguments.ts';
import { checkSystem } from '../config/check-system.ts';
import type { Config } from '../config/config.ts';
import type { ControlHandlers } from '../control-socket/control-server.ts';
import { Daemon } from './daemon.ts';
import type { EstateInForce } from './estate-in-force.ts';
import type { HandlerParts } from './handlers.ts';
import type { InterfaceCalls } from './interface-calls.ts';
import type { ApiPlace } from '../service/api-option.ts';
import { advising, endAtOnce, endOnSurprise, logFailure, type Advice } from '../service/failure.ts';
import { FdStore } from '../service/fd-store.ts';
import { loadConfig } from '../config/load-config.ts';
import { createLog } from '../service/log.ts';
import {
  Notifier,
  startWatchdog,
  takeServiceEnvironment,
  type ServiceEnvironment,
} from '../service/notify.ts';
import { describeDaemon, describeReload } from './status-text.ts';
import { Reloader } from './reloader.ts';
import { SnapshotStore, systemBootClock } from '../service/snapshot-store.ts';
import { onStopSignal } from '../service/stop-signals.ts';
import { version } from '../service/version.ts';
import { loadNative, type Native } from '../ports/native.ts';
import { formatProblem, hasErrors } from '../source/problem.ts';

/** What all parts of the running program share. */
interface Service {
  readonly args: RunArguments;
  readonly native: Native;
  readonly log: Logger;
  readonly notifier: Notifier;
  readonly environment: ServiceEnvironment;
}

/** Reads the configuration. If it has errors, prints its problems and returns undefined. */
function readConfig({
  config: file,
  netnsDir: netnsDirectory,
  deviceKind,
}: RunArguments): Config | undefined {
  const { config, problems } = loadConfig(file, { netnsDirectory, deviceKind });
  const all = [...problems];
  if (config !== undefined) checkSystem(config, all);
  for (const problem of all) process.stderr.write(`${formatProblem(problem)}\n`);
  return hasErrors(all) ? undefined : config;
}

function stopOnSignals(stop: () => Promise<void>, { log, native, notifier }: Service): void {
  onStopSignal((signal) => {
    log.info({ signal }, 'stopping');
    notifier.stopping();
    stop().then(
      () => process.exit(0),
      (error: unknown) => {
        logFailure(log, 'could not stop cleanly', error);
        native.exitNow(1);
      },
    );
  });
}

/** Reloads while the service manager waits. It ends with READY=1, whatever the outcome. */
async function reloadOnHangUp(
  daemon: Daemon,
  reloader: Reloader,
  notifier: Notifier,
): Promise<void> {
  notifier.reloading();
  // Log rotation expects this of a process that gets SIGHUP.
  daemon.flowLogs.reopen();
  notifier.ready(describeReload(daemon, await reloader.reload('SIGHUP')));
}

/** Starts everything that listens to the outside, loaded only once packets flow. @returns a function that stops it */
async function serve(
  daemon: Daemon,
  estate: EstateInForce | undefined,
  service: Service,
): Promise<() => Promise<void>> {
  const { args, log, notifier, environment } = service;
  await estate?.follow(daemon);
  const reloader = new Reloader({
    daemon: estate ?? daemon,
    file: args.config,
    netnsDirectory: args.netnsDir,
    deviceKind: args.deviceKind,
    log,
    onResult: (result) => notifier.status(describeReload(daemon, result)),
  });
  process.on('SIGHUP', () => void reloadOnHangUp(daemon, reloader, notifier));
  if (args.watch) reloader.watch();
  const closeSockets = await openSockets(args, { daemon, reloader, estate, log });
  const { watchdogMs } = environment;
  const watchdog =
    watchdogMs === undefined
      ? undefined
      : startWatchdog({
          notifier,
          log,
          intervalMs: watchdogMs,
          pulse: () => daemon.loop.pulse,
          nudge: () => daemon.loop.nudge(),
        });
  return async () => {
    watchdog?.stop();
    reloader.stopWatching();
    closeSockets();
    const close = (): Promise<void> => daemon.stop();
    await (estate === undefined ? close() : estate.stop(close));
  };
}

function socketAdvice(option: string): Advice {
  const tooLong = `the path of a socket has at most 107 bytes: name a shorter one with ${option}`;
  return {
    EADDRINUSE: `stop that one, or name another path with ${option}`,
    EEXIST: `name another path with ${option}, or move away what is there`,
    EINVAL: tooLong,
    ENAMETOOLONG: tooLong,
    fallback: `let this user make files in its directory, or name another path with ${option}`,
  };
}

/** Listens at the control socket, and at the one that answers little. @returns a function that ends both */
async function openSockets(
  { control, instances, apiPlace }: RunArguments,
  parts: Omit<HandlerParts, 'calls'>,
): Promise<() => void> {
  if (control === undefined && instances === undefined) return () => undefined;
  const { makeHandlers } = await import('./handlers.ts');
  const { listenForControl } = await import('../control-socket/control-server.ts');
  const calls = await openInterfaceCalls(parts.estate, apiPlace);
  const handlers = makeHandlers({ ...parts, calls });
  const { instance, platform } = handlers.methods;
  const listen = (option: string, path: string, answered: ControlHandlers): Promise<Server> =>
    advising(`no ${option} socket at ${path}`, socketAdvice(`--${option}`), () =>
      listenForControl(path, answered, {
        onError: (what, error) =>
          parts.log.error({ err: error, what }, `a request on the ${option} socket failed`),
      }),
    );
  const servers: Server[] = [];
  if (instances !== undefined)
    servers.push(
      await listen('instances', instances, { methods: { instance, platform }, streams: {} }),
    );
  if (control !== undefined) servers.push(await listen('control', control, handlers));
  return () => {
    for (const server of servers) server.close();
    handlers.stop();
  };
}

/** Without a store, or without who may change it, they can't be answered, and nobody waits for their modules. */
async function openInterfaceCalls(
  estate: EstateInForce | undefined,
  api: ApiPlace | undefined,
): Promise<InterfaceCalls | undefined> {
  if (estate === undefined || (estate.client === undefined && api === undefined)) return undefined;
  const { InterfaceCalls } = await import('./interface-calls.ts');
  if (estate.client !== undefined) {
    const { OwnDoorChanges } = await import('./door-changes.ts');
    return new InterfaceCalls(estate, new OwnDoorChanges(estate.client, estate.host));
  }
  const { ApiDoorChanges } = await import('./api-door-changes.ts');
  return new InterfaceCalls(estate, new ApiDoorChanges(api!));
}

function startDaemon(
  config: Config,
  estate: EstateInForce | undefined,
  service: Service,
): Promise<Daemon> {
  const { args, native, log, notifier, environment } = service;
  return Daemon.start({
    config,
    native,
    log,
    version,
    store: () => estate?.counts,
    releases: estate?.releases,
    isFenced: estate?.isFenced === true,
    timeScale: args.timeScale,
    devices: new FdStore(native, notifier, log, environment.stored),
    snapshots: new SnapshotStore({
      directory: args.stateDir ?? environment.stateDirectory,
      log,
      notifier,
      clock: systemBootClock(),
    }),
    onFailure: (error) => endAtOnce(log, native, error),
  });
}

/** Opens the store of what API calls made. Without it, what files declare is in force alone. */
async function openEstate(
  declared: Config,
  { args, native, log, environment }: Service,
): Promise<EstateInForce | undefined> {
  const { store, host, netnsDir: netnsDirectory, flowLogDir: flowLogDirectory } = args;
  if (store === undefined) return undefined;
  const { openEstateInForce } = await import('./open-estate.ts');
  const stateDirectory = args.stateDir ?? environment.stateDirectory;
  const places = { place: store, host, netnsDirectory, flowLogDirectory, stateDirectory };
  return openEstateInForce({
    ...{ ...places, log, declared, staleAfterMs: args.stale, setting: args.fence },
    clockMs: () => native.bootMs(),
  });
}

async function run(args: RunArguments): Promise<void> {
  const environment = takeServiceEnvironment(process.env, process.pid);
  const config = readConfig(args);
  if (config === undefined) {
    process.exitCode = 1;
    return;
  }
  const native = loadNative();
  const log = createLog(native, process.env);
  const notifier = new Notifier(native, environment.notifySocket, log);
  const service = { args, native, log, notifier, environment };
  try {
    const estate = await openEstate(config, service);
    const daemon = await startDaemon(estate?.join() ?? config, estate, service);
    endOnSurprise(log, native, () => daemon.stop());
    try {
      stopOnSignals(await serve(daemon, estate, service), service);
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    const { interfaces, groups } = daemon.status();
    log.info({ interfaces, groups, version }, 'packets flow');
    notifier.ready(describeDaemon(daemon));
    process.send?.({ kind: 'ready' });
  } catch (error) {
    logFailure(log, 'could not start', error);
    // Everything is stopped. A forgotten handle must not keep the process alive, because the service manager waits.
    native.exitNow(1);
  }
}

const task = readTask();
switch (task.kind) {
  case 'run':
    await run(task.args);
    break;
  case 'doctor': {
    const { runDoctor } = await import('../doctor/doctor.ts');
    process.exitCode = await runDoctor(task.args);
    break;
  }
  case 'store': {
    const { runStoreCommand } = await import('./store-command.ts');
    process.exitCode = await runStoreCommand(task.args);
    break;
  }
}
