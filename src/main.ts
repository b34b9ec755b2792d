#!/usr/bin/env node
/**
 * secgroupd: start-up in order, signals, and nothing else.
 *
 * Exit codes: 0 stopped by a signal, 1 the configuration is wrong or something failed, 2 wrong arguments.
 */
import { Command, InvalidArgumentError } from 'commander';
import { pino, type Logger } from 'pino';
import { checkSystem } from './control/check-system.ts';
import type { Config } from './control/config.ts';
import { listenForControl } from './control/control-server.ts';
import { Daemon } from './control/daemon.ts';
import { loadConfig } from './control/load-config.ts';
import { Reloader } from './control/reloader.ts';
import { version } from './control/version.ts';
import { loadNative } from './ports/native.ts';
import { formatProblem, hasErrors } from './source/problem.ts';

interface Arguments {
  readonly config: string;
  readonly netnsDir: string;
  readonly control?: string;
  readonly watch: boolean;
  readonly timeScale: number;
}

const STDERR = 2;

/** Ages are int32 milliseconds: at 10,000 times real time they still tell 24 days from 48 within three minutes of silence. */
const TIME_SCALE_MAX = 10_000;

function parseScale(text: string): number {
  const scale = Number(text);
  if (!Number.isInteger(scale) || scale < 1 || scale > TIME_SCALE_MAX) {
    throw new InvalidArgumentError(`it goes from 1 to ${TIME_SCALE_MAX}`);
  }
  return scale;
}

function readArguments(): Arguments {
  return new Command('secgroupd')
    .description('AWS-style security groups on real packets: the daemon')
    .version(version)
    .option('-c, --config <file>', 'configuration file', '/etc/secgroupd/secgroupd.yaml')
    .option('--netns-dir <directory>', 'where named network namespaces are', '/run/netns')
    .option('--control <socket>', 'unix socket to take requests of sgctl at (default: none)')
    .option(
      '--time-scale <factor>',
      'let flows age so many times faster, to meet a time-out in a test',
      parseScale,
      1,
    )
    .option('--watch', 'reload when the configuration or a template changes', false)
    .addHelpText(
      'after',
      '\nSIGHUP reloads the configuration; a bad one is refused and what ran keeps running.',
    )
    .allowExcessArguments(false)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse()
    .opts<Arguments>();
}

/** The configuration, or undefined after its problems have been told. */
function readConfig({ config: file, netnsDir }: Arguments): Config | undefined {
  const { config, problems } = loadConfig(file, { netnsDirectory: netnsDir });
  const all = [...problems];
  if (config !== undefined) checkSystem(config, all);
  for (const problem of all) process.stderr.write(`${formatProblem(problem)}\n`);
  return hasErrors(all) ? undefined : config;
}

function stopOnSignals(stop: () => Promise<void>, log: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      log.info({ signal }, 'stopping');
      stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.fatal({ err: error }, 'could not stop cleanly');
          process.exit(1);
        },
      );
    });
  }
}

/** Everything that listens to the outside once packets flow; returns what stops it. */
async function serve(daemon: Daemon, args: Arguments, log: Logger): Promise<() => Promise<void>> {
  const reloader = new Reloader({ daemon, file: args.config, netnsDirectory: args.netnsDir, log });
  process.on('SIGHUP', () => void reloader.reload('SIGHUP'));
  if (args.watch) reloader.watch();
  const server =
    args.control === undefined
      ? undefined
      : await listenForControl(args.control, {
          status: () => Promise.resolve({ version, pid: process.pid, ...daemon.status() }),
          explain: (question) => Promise.resolve(daemon.explain(question)),
          reload: ({ dryRun }) =>
            dryRun === true ? Promise.resolve(reloader.plan()) : reloader.reload('sgctl'),
        });
  return async () => {
    reloader.stopWatching();
    server?.close();
    await daemon.stop();
  };
}

async function main(): Promise<void> {
  const args = readArguments();
  const config = readConfig(args);
  if (config === undefined) {
    process.exitCode = 1;
    return;
  }
  const log = pino(
    { base: null, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: STDERR, sync: true }),
  );
  const onFailure = (error: Error): void => {
    // Fail closed: devices close with the process, and nothing passes until somebody starts it again.
    log.fatal({ err: error }, 'the packet loop failed');
    process.exit(1);
  };
  try {
    const daemon = await Daemon.start({
      config,
      native: loadNative(),
      log,
      version,
      timeScale: args.timeScale,
      onFailure,
    });
    try {
      stopOnSignals(await serve(daemon, args, log), log);
    } catch (error) {
      await daemon.stop();
      throw error;
    }
    const { interfaces, groups } = daemon.status();
    log.info({ interfaces, groups, version }, 'packets flow');
    process.send?.({ kind: 'ready' });
  } catch (error) {
    log.fatal({ err: error }, 'could not start');
    process.exitCode = 1;
  }
}

await main();
