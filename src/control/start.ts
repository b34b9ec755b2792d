/**
 * The daemon's program: start-up in order, signals, and nothing else. It runs when it is imported (src/main.ts).
 *
 * Exit codes: 0 stopped by a signal, 1 the configuration is wrong or something failed, 2 wrong arguments.
 */
import type { Logger } from 'pino';
import { readTask, type RunArguments } from './service/arguments.ts';
import { checkSystem } from './config/check-system.ts';
import type { Config } from './config/config.ts';
import { Daemon } from './daemon.ts';
import { endOnSurprise, logFailure } from './service/failure.ts';
import { FdStore } from './service/fd-store.ts';
import { loadConfig } from './config/load-config.ts';
import { createLog } from './service/log.ts';
import {
  Notifier,
  startWatchdog,
  takeServiceEnvironment,
  type ServiceEnvironment,
} from './service/notify.ts';
import { describeDaemon, describeReload } from './service/status-text.ts';
import { Reloader } from './reloader.ts';
import { SnapshotStore, systemBootClock } from './service/snapshot-store.ts';
import { version } from './version.ts';
import { loadNative, type Native } from '../ports/native.ts';
import { formatProblem, hasErrors } from '../source/problem.ts';

/** What everything that runs has at hand. */
interface Service {
  readonly args: RunArguments;
  readonly native: Native;
  readonly log: Logger;
  readonly notifier: Notifier;
  readonly environment: ServiceEnvironment;
}

/** The configuration, or undefined after its problems have been told. */
function readConfig({ config: file, netnsDir }: RunArguments): Config | undefined {
  const { config, problems } = loadConfig(file, { netnsDirectory: netnsDir });
  const all = [...problems];
  if (config !== undefined) checkSystem(config, all);
  for (const problem of all) process.stderr.write(`${formatProblem(problem)}\n`);
  return hasErrors(all) ? undefined : config;
}

function stopOnSignals(stop: () => Promise<void>, { log, notifier }: Service): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping');
      notifier.stopping();
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          logFailure(log, 'could not stop cleanly', error);
          process.exit(1);
        },
      );
    });
  }
}

/** A reload that the service manager waits for: it ends with READY=1, whatever came of it. */
async function reloadOnHangUp(
  daemon: Daemon,
  reloader: Reloader,
  notifier: Notifier,
): Promise<void> {
  notifier.reloading();
  // As log rotation expects of who is told that the files were moved.
  daemon.observatory.reopenFlowLogs();
  notifier.ready(describeReload(daemon, await reloader.reload('SIGHUP')));
}

/** Everything that listens to the outside once packets flow, and is loaded only then; returns what stops it. */
async function serve(daemon: Daemon, service: Service): Promise<() => Promise<void>> {
  const { args, log, notifier, environment } = service;
  const reloader = new Reloader({
    daemon,
    file: args.config,
    netnsDirectory: args.netnsDir,
    log,
    onResult: (result) => notifier.status(describeReload(daemon, result)),
  });
  process.on('SIGHUP', () => void reloadOnHangUp(daemon, reloader, notifier));
  if (args.watch) reloader.watch();
  const closeControl =
    args.control === undefined ? undefined : await openControl(args.control, daemon, reloader, log);
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
    closeControl?.();
    await daemon.stop();
  };
}

/** Listens at the control socket; returns what ends that. */
async function openControl(
  path: string,
  daemon: Daemon,
  reloader: Reloader,
  log: Logger,
): Promise<() => void> {
  const { makeHandlers } = await import('./socket/handlers.ts');
  const { listenForControl } = await import('./socket/control-server.ts');
  const handlers = makeHandlers(daemon, reloader, log);
  const server = await listenForControl(path, handlers, {
    onError: (what, error) =>
      log.error({ err: error, what }, 'a request on the control socket failed'),
  });
  return () => {
    server.close();
    handlers.stop();
  };
}

function startDaemon(config: Config, service: Service): Promise<Daemon> {
  const { args, native, log, notifier, environment } = service;
  return Daemon.start({
    config,
    native,
    log,
    version,
    timeScale: args.timeScale,
    devices: new FdStore(native, notifier, log, environment.stored),
    snapshots: new SnapshotStore({
      directory: args.stateDir ?? environment.stateDirectory,
      log,
      notifier,
      clock: systemBootClock(),
    }),
    onFailure: (error) => {
      // Fail closed: nothing passes until somebody starts it again.
      log.fatal({ err: error }, 'the packet loop failed');
      process.exit(1);
    },
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
    const daemon = await startDaemon(config, service);
    endOnSurprise(log, () => daemon.stop());
    try {
      stopOnSignals(await serve(daemon, service), service);
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
    process.exitCode = 1;
  }
}

const task = readTask();
if (task.kind === 'run') await run(task.args);
else {
  const { runDoctor } = await import('./service/doctor.ts');
  process.exitCode = runDoctor(task.args);
}
