/** Runs the daemon under a stand-in for systemd (service-manager.py), with notifications and a store of descriptors. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { GUARD_MS } from './guard-time.ts';
import { repositoryRoot } from './repository.ts';

const SCRIPT = join(repositoryRoot(), 'test/support/service-manager.py');

/** A notification: its assignments, and how many descriptors came with it. */
export interface Said {
  readonly said: Readonly<Record<string, string>>;
  readonly fds: number;
  /** performance.now() when it came. */
  readonly atMs: number;
}

interface Line {
  readonly said?: Readonly<Record<string, string>>;
  readonly fds?: number;
  readonly started?: number;
  readonly ended?: number;
  readonly names?: readonly string[];
}

export class ServiceManager {
  private readonly child: ChildProcess;
  private readonly lines: (Line & { readonly atMs: number })[] = [];
  private readonly listeners = new Set<() => void>();
  private taken = 0;
  private errors = '';

  private constructor(child: ChildProcess) {
    this.child = child;
    let pending = '';
    child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const parts = (pending + text).split('\n');
      pending = parts.pop()!;
      const atMs = performance.now();
      for (const part of parts) this.lines.push({ ...(JSON.parse(part) as Line), atMs });
      for (const listener of this.listeners) listener();
    });
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.errors += text;
      for (const listener of this.listeners) listener();
    });
  }

  /** Makes a manager for a command; it ends, and ends the command, with the test. */
  static make(
    t: TestContext,
    command: readonly string[],
    environment: NodeJS.ProcessEnv = {},
  ): ServiceManager {
    const folder = mkdtempSync(join(tmpdir(), 'sgt-service-'));
    const child = spawn('python3', [SCRIPT, join(folder, 'notify'), ...command], {
      env: { ...process.env, ...environment },
      stdio: 'pipe',
    });
    const manager = new ServiceManager(child);
    t.after(async () => {
      const closed = new Promise((resolve) => child.once('close', resolve));
      child.stdin.end();
      await closed;
      rmSync(folder, { recursive: true, force: true });
    });
    return manager;
  }

  /** What the command has written to its standard output and error. */
  get output(): string {
    return this.errors;
  }

  /** All notifications so far. */
  get notifications(): Said[] {
    return this.lines.flatMap(({ said, fds, atMs }) =>
      said === undefined ? [] : [{ said, fds: fds ?? 0, atMs }],
    );
  }

  /** Starts the command. @returns its pid */
  async start(): Promise<number> {
    this.tell('start');
    return (await this.next(({ started }) => started !== undefined, 'start')).started!;
  }

  /** Starts the command and waits until it says READY=1. @returns its pid */
  async startReady(): Promise<number> {
    const pid = await this.start();
    await this.heard('READY', '1');
    return pid;
  }

  /** Sends it a signal and waits for its end. @returns its exit code, or minus the signal's number */
  async end(signal: 'TERM' | 'KILL'): Promise<number> {
    this.signal(signal);
    return this.ended();
  }

  async ended(): Promise<number> {
    return (await this.next(({ ended }) => ended !== undefined, 'end')).ended!;
  }

  signal(signal: 'TERM' | 'KILL' | 'HUP'): void {
    this.tell(`kill ${signal}`);
  }

  /** Puts an open file into the store. */
  store(file: string, name: string): void {
    this.tell(`store ${file} ${name}`);
  }

  /** Takes a descriptor out of the store, as a manager does that is short of room. */
  forget(name: string): void {
    this.tell(`forget ${name}`);
  }

  /** Names of the descriptors it keeps. */
  async names(): Promise<readonly string[]> {
    this.tell('names');
    return (await this.next(({ names }) => names !== undefined, 'tell names')).names!;
  }

  /** Waits for a notification with that assignment, behind everything waited for before. */
  async heard(name: string, value?: string): Promise<Said> {
    const { said, fds, atMs } = await this.next(
      (line) =>
        line.said !== undefined &&
        name in line.said &&
        (value ?? line.said[name]) === line.said[name],
      `say ${name}`,
    );
    return { said: said!, fds: fds!, atMs };
  }

  /** Waits until the command has written something. */
  async wrote(pattern: RegExp): Promise<RegExpExecArray> {
    let found = pattern.exec(this.errors);
    await this.until(
      () => (found = pattern.exec(this.errors)) !== null,
      `write ${String(pattern)}`,
    );
    return found!;
  }

  private tell(command: string): void {
    this.child.stdin!.write(`${command}\n`);
  }

  private async next(
    wanted: (line: Line) => boolean,
    what: string,
  ): Promise<Line & { atMs: number }> {
    let at = -1;
    await this.until(() => {
      at = this.lines.findIndex((line, i) => i >= this.taken && wanted(line));
      return at >= 0;
    }, what);
    this.taken = at + 1;
    return this.lines[at];
  }

  private until(holds: () => boolean, what: string): Promise<void> {
    return new Promise((resolve, reject) => {
      const look = (): boolean => {
        if (!holds()) return false;
        clearTimeout(timer);
        this.listeners.delete(look);
        resolve();
        return true;
      };
      const timer = setTimeout(() => {
        this.listeners.delete(look);
        reject(new Error(`the service did not ${what} in time:\n${this.errors}`));
      }, GUARD_MS);
      if (!look()) this.listeners.add(look);
    });
  }
}
