/** Starts the daemon for a lab, detached from the terminal, and waits until packets flow. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LabError, LabInterrupted } from './errors.ts';
import { LAB_MARK, identify } from './processes.ts';
import type { ProcessIdentity } from './processes.ts';

export interface DaemonOptions {
  /** The command to run instead of this build's own daemon. The arguments below are added to it. */
  readonly command?: readonly string[];
  /** What runs it in its place, such as nsenter and its arguments; it must not fork. */
  readonly through?: readonly string[];
  readonly configFile: string;
  readonly netnsDirectory: string;
  readonly logFile: string;
  /** The socket on which the daemon takes requests of sgctl. */
  readonly controlSocket: string;
  readonly labId: string;
  readonly timeoutMs: number;
  readonly timeScale: number;
  /** Of devices of which the configuration says none; absent: the daemon's default. */
  readonly deviceKind?: string;
  /** Further arguments. */
  readonly more: readonly string[];
  readonly signal: AbortSignal;
  /** Called as soon as the process exists, before it is ready. */
  readonly started: (daemon: ProcessIdentity) => void;
  /** Called once a second until it is ready. */
  readonly waiting: (elapsedMs: number) => void;
}

const WAIT_TICK_MS = 1000;
const LOG_TAIL_LINES = 20;

function defaultCommand(): readonly string[] {
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  return [process.execPath, '--enable-source-maps', main];
}

/**
 * Returns when the daemon reports that it is ready. Throws LabError; then the daemon given to `started` may still
 * run.
 */
export async function startDaemon(options: DaemonOptions): Promise<void> {
  const [command = process.execPath, ...args] = [
    ...(options.through ?? []),
    ...(options.command ?? defaultCommand()),
  ];
  const log = openSync(options.logFile, 'w', 0o600);
  // It gets a session of its own, no terminal, and a working directory that can't be unmounted.
  const child = spawn(
    command,
    [
      ...args,
      ...['--config', options.configFile],
      ...['--netns-dir', options.netnsDirectory],
      ...['--control', options.controlSocket],
      ...(options.timeScale === 1 ? [] : ['--time-scale', String(options.timeScale)]),
      ...(options.deviceKind === undefined ? [] : ['--device-kind', options.deviceKind]),
      ...options.more,
    ],
    {
      cwd: '/',
      detached: true,
      env: { ...process.env, [LAB_MARK]: options.labId },
      stdio: ['ignore', log, log, 'ipc'],
    },
  );
  closeSync(log);
  const who = child.pid === undefined ? undefined : identify(child.pid);
  if (who !== undefined) options.started(who);
  try {
    await waitReady(child, options);
  } finally {
    if (child.connected) child.disconnect();
    child.unref();
  }
}

function waitReady(child: ChildProcess, options: DaemonOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now();
    const finish = (error?: LabError): void => {
      clearInterval(ticker);
      clearTimeout(timer);
      options.signal.removeEventListener('abort', onAbort);
      child.removeAllListeners();
      // A late 'error' (a failed disconnect) must not end the program, which no longer waits.
      child.on('error', () => undefined);
      if (error === undefined) resolve();
      else reject(error);
    };
    const onAbort = (): void => finish(new LabInterrupted());
    const ticker = setInterval(() => options.waiting(performance.now() - startedMs), WAIT_TICK_MS);
    const timer = setTimeout(() => {
      const message = `the daemon was not ready after ${options.timeoutMs / 1000} s`;
      finish(new LabError(`${message}; it said:\n${readLogTail(options.logFile)}`));
    }, options.timeoutMs);
    child.on('message', (message) => {
      if ((message as { kind?: unknown } | null)?.kind === 'ready') finish();
    });
    child.on('error', (error) => finish(new LabError(`cannot start the daemon: ${error.message}`)));
    child.on('exit', (code, signal) => {
      const how = signal === null ? `with exit code ${code}` : `by ${signal}`;
      const message = `the daemon ended ${how} before it was ready`;
      finish(new LabError(`${message}; it said:\n${readLogTail(options.logFile)}`));
    });
    if (options.signal.aborted) onAbort();
    else options.signal.addEventListener('abort', onAbort);
  });
}

/** The last lines of the daemon's log, in readable form. */
export function readLogTail(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trimEnd();
  } catch {
    text = '';
  }
  if (text === '') return '    (nothing)';
  const lines = text.split('\n').slice(-LOG_TAIL_LINES);
  return lines.map((line) => `    ${humanize(line)}`).join('\n');
}

/** Writes a line of pino's JSON as "message: error". Other lines stay as they are. */
function humanize(line: string): string {
  try {
    const { msg, err } = JSON.parse(line) as { msg?: string; err?: { message?: string } };
    if (msg === undefined) return line;
    const why = err?.message;
    return why === undefined || msg.includes(why) ? msg : `${msg}: ${why}`;
  } catch {
    return line;
  }
}
