/** What `sgctl console` does: finds what to look at, starts the console, and waits until it is stopped. */
import type { Command } from 'commander';
import { startConsole, type RunningConsole } from '../console/console.ts';
import { DaemonSource } from '../console/daemon-source.ts';
import { InputSource } from '../console/input-source.ts';
import type { Source } from '../console/source.ts';
import { ask } from '../control-socket/control-client.ts';
import { LabError } from '../lab/errors.ts';
import { version } from '../service/version.ts';
import { printable } from '../source/excerpt.ts';
import { NETNS_DIRECTORY, tellLoaded } from './check.ts';
import type { ConsoleOptions } from './console-options.ts';
import { runLive } from './live.ts';
import { printError } from './output.ts';
import { findSocket } from './socket.ts';
import { printJson } from './traffic-text.ts';

/** @returns false if the input has errors, which are printed  @throws Error if there is no daemon, or no port */
export async function runConsole(
  input: string | undefined,
  options: ConsoleOptions,
  command: Command,
): Promise<boolean> {
  const source =
    input === undefined ? await openDaemon(options) : await openInput(input, options, command);
  if (source === undefined) return false;
  const running = await start(source, options.port);
  await runLive(async (stop) => {
    // What waits for the listener may have been stopped already.
    const stopped = new Promise<void>((resolve) => {
      if (stop.signal.aborted) resolve();
      stop.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    print(running, input ?? findSocket(options), options.json === true);
    await stopped;
    await running.stop();
  });
  return true;
}

/** @throws ControlError if there is no daemon: later it may go and come, but now somebody waits for it */
async function openDaemon(options: ConsoleOptions): Promise<Source> {
  const socket = findSocket(options);
  await ask(socket, 'configuration', { unless: '' });
  return new DaemonSource(socket);
}

async function openInput(
  input: string,
  options: ConsoleOptions,
  command: Command,
): Promise<Source | undefined> {
  const { readTemplateOptions } = await import('./template-settings.ts');
  const settings = readTemplateOptions(options, command);
  const addresses = options.address ?? new Map<string, string>();
  const { loadInput } = await import('../inputs/load-input.ts');
  const loaded = loadInput(input, { netnsDirectory: NETNS_DIRECTORY, settings, addresses });
  const config = tellLoaded(input, loaded);
  if (config === undefined) return undefined;
  return new InputSource({ title: input, kind: loaded.kind, version, config });
}

async function start(source: Source, port: number): Promise<RunningConsole> {
  try {
    return await startConsole(source, { port, onError: printError });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EACCES' ? 'this user may not have it' : 'somebody else has it';
    throw new LabError(`no port ${port} on 127.0.0.1: ${why}`, 'give another --port, or 0 for any');
  }
}

function print({ url, port, token }: RunningConsole, about: string, isJson: boolean): void {
  if (isJson) {
    printJson({ url, port, token });
    return;
  }
  console.log(`The console of ${printable(about)} is at\n\n  ${url}\n`);
  console.log('Who has this address may ask what you may. Ctrl-C ends it.');
}
