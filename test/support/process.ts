/**
 * Runs programs from tests. They are bounded in time, and ended by their own process group, never by name.
 *
 * Every program leads a group of its own, so that whatever it started ends with it. The price: an interrupt at the
 * terminal doesn't reach it. `endAll` runs when this process exits.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { GUARD_MS } from './guard-time.ts';

export interface RunOptions {
  /** After this the whole group is killed, and the result says `timedOut`. Default GUARD_MS: name it only to test it. */
  readonly timeoutMs?: number;
  /** Written to its standard input, which is then closed. */
  readonly input?: string | Uint8Array;
  readonly cwd?: string;
  /** The whole environment; default our own. */
  readonly env?: NodeJS.ProcessEnv;
}

export interface CommandResult {
  /** Exit code; null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** A program running in the background. */
export interface Running {
  readonly pid: number;
  /** What it has printed so far. */
  stdout(): string;
  stderr(): string;
  /**
   * Waits until its standard output or error matches; at most GUARD_MS by default. If it ends first or time runs out,
   * throws with all that it printed.
   */
  waitFor(pattern: RegExp, timeoutMs?: number): Promise<RegExpExecArray>;
  /** The result, once it has ended by itself. */
  readonly ended: Promise<CommandResult>;
  /** Asks it to end (SIGTERM, or `signal`), kills it if it hasn't after GUARD_MS; fine if it already has. */
  stop(signal?: NodeJS.Signals): Promise<CommandResult>;
}

const groups = new Set<number>();
process.on('exit', endAll);

function endAll(): void {
  for (const pid of groups) signalGroup(pid, 'SIGKILL');
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  signalUnlessEnded(-pid, signal);
}

/** Signals a process, or with a negative number a group. Fine if it has ended, which is what a test wants. */
export function signalUnlessEnded(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Starts a program; throws if it can't be started (ENOENT). */
export async function start(
  command: string,
  args: readonly string[],
  options: Omit<RunOptions, 'timeoutMs'> = {},
): Promise<Running> {
  const child = spawn(command, args, {
    cwd: options.cwd,
    env: options.env ?? process.env,
    detached: true,
    stdio: 'pipe',
  });
  const printed = { stdout: '', stderr: '' };
  const listeners = new Set<() => void>();
  collect(child, 'stdout', printed, listeners);
  collect(child, 'stderr', printed, listeners);
  const ended = new Promise<CommandResult>((resolve) => {
    child.once('close', (code, signal) => {
      resolve({ code, signal, ...printed, timedOut: false });
    });
  });
  const pid = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('spawn', () => {
      resolve(child.pid!);
    });
  });
  groups.add(pid);
  child.once('close', () => groups.delete(pid));
  child.stdin.on('error', () => undefined); // It may end without reading (EPIPE); its exit code tells.
  child.stdin.end(options.input);
  return {
    pid,
    ended,
    stdout: () => printed.stdout,
    stderr: () => printed.stderr,
    waitFor: (pattern, timeoutMs = GUARD_MS) =>
      waitFor([command, ...args].join(' '), pattern, timeoutMs, printed, listeners, ended),
    stop: async (signal = 'SIGTERM') => {
      if (groups.has(pid)) signalGroup(pid, signal);
      const timer = setTimeout(signalGroup, GUARD_MS, pid, 'SIGKILL');
      const result = await ended;
      clearTimeout(timer);
      return result;
    },
  };
}

function collect(
  child: ChildProcess,
  name: 'stdout' | 'stderr',
  printed: Record<string, string>,
  listeners: ReadonlySet<() => void>,
): void {
  child[name]!.setEncoding('utf8').on('data', (text: string) => {
    printed[name] += text;
    for (const listener of listeners) listener();
  });
}

function waitFor(
  command: string,
  pattern: RegExp,
  timeoutMs: number,
  printed: { readonly stdout: string; readonly stderr: string },
  listeners: Set<() => void>,
  ended: Promise<CommandResult>,
): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    const look = (): boolean => {
      const match = pattern.exec(printed.stdout) ?? pattern.exec(printed.stderr);
      if (match !== null)
        finish(() => {
          resolve(match);
        });
      return match !== null;
    };
    const fail = (why: string): void => {
      finish(() => {
        reject(
          new Error(
            `'${command}' ${why} without printing ${String(pattern)}:\n${printed.stdout}${printed.stderr}`,
          ),
        );
      });
    };
    const timer = setTimeout(fail, timeoutMs, `ran for ${timeoutMs} ms`);
    const finish = (settle: () => void): void => {
      clearTimeout(timer);
      listeners.delete(look);
      settle();
    };
    listeners.add(look);
    if (!look())
      void ended.then(() => {
        if (!look()) fail('ended');
      });
  });
}

/** Runs a program to its end. Never throws for what it did; throws if it can't be started. */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandResult> {
  const running = await start(command, args, options);
  let timedOut = false;
  const timer = setTimeout(() => {
    timedOut = true;
    signalGroup(running.pid, 'SIGKILL');
  }, options.timeoutMs ?? GUARD_MS);
  const result = await running.ended;
  clearTimeout(timer);
  return { ...result, timedOut };
}

/** Runs a program that must succeed: returns its standard output, or throws with everything it printed. */
export async function mustRun(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.code === 0 && !result.timedOut) return result.stdout;
  const how = result.timedOut
    ? 'timed out'
    : result.signal !== null
      ? `was ended by ${result.signal}`
      : `exited with ${result.code}`;
  throw new Error(`'${[command, ...args].join(' ')}' ${how}:\n${result.stdout}${result.stderr}`);
}
