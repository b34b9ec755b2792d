/**
 * A world to try the real daemon in: namespaces for instances and for the outside, a configuration for them, the
 * daemon as a process of its own, and its metrics.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from '../support/guard-time.ts';
import { makeNetns } from '../support/netns.ts';
import type { Netns } from '../support/netns.ts';
import type { CommandResult, Running } from '../support/process.ts';
import { asOffloaded } from './offload-key.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';
import type { Scope } from '../support/scope.ts';
import { until } from '../support/until.ts';

export const MAIN = fileURLToPath(new URL('../../src/main.js', import.meta.url));
const SERVER = fileURLToPath(new URL('./server.js', import.meta.url));
const DROPS_END_LOOK_MS = 500;
/** How long an answer that is to come is waited for, on however busy a machine. */
const ANSWER_S = 30;
/** The same of a look that is repeated until there is one. */
export const LOOK_S = 3;

export function canRun(t: TestContext): boolean {
  return requireRoot(t) && requireTun(t) && requireTools(t, 'ip', 'ping', 'curl');
}

/** A folder that is gone with the test, and a file in it. Configurations: see offload-key.ts. */
export function temporaryFile(t: TestContext, name: string, text: string): string {
  const folder = mkdtempSync(join(tmpdir(), 'sgt-netns-'));
  t.after(() => {
    rmSync(folder, { recursive: true, force: true });
  });
  const file = join(folder, name);
  writeFileSync(file, asOffloaded(text));
  return file;
}

/** Namespaces by the names the test gives them. */
export async function makeNamespaces<Name extends string>(
  scope: Scope,
  names: readonly Name[],
): Promise<Record<Name, Netns>> {
  const made = await Promise.all(
    names.map(async (name) => [name, await makeNetns(scope)] as const),
  );
  return Object.fromEntries(made) as Record<Name, Netns>;
}

/** The daemon, as a child of the test. */
export class Daemon {
  private readonly child: ChildProcess;
  private log = '';
  /** Exit code or signal, once it has ended. */
  readonly ended: Promise<number | NodeJS.Signals | null>;

  private constructor(file: string, more: readonly string[] = []) {
    this.child = fork(MAIN, ['--config', file, ...more], {
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    });
    for (const stream of [this.child.stdout!, this.child.stderr!])
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.log += text;
      });
    this.ended = new Promise((resolve) => {
      this.child.once('close', (code, signal) => {
        resolve(code ?? signal);
      });
    });
  }

  /** Starts it and waits until packets flow; it is killed with the test at the latest. */
  static async start(scope: Scope, file: string, more: readonly string[] = []): Promise<Daemon> {
    const daemon = new Daemon(file, more);
    scope.after(() => daemon.kill());
    await new Promise<void>((resolve, reject) => {
      const fail = (why: string): void => {
        reject(new Error(`the daemon ${why}:\n${daemon.log}`));
      };
      const timer = setTimeout(fail, GUARD_MS, 'was not ready in time');
      daemon.child.once('message', () => {
        clearTimeout(timer);
        resolve();
      });
      void daemon.ended.then((how) => {
        clearTimeout(timer);
        fail(`ended with ${how}`);
      });
    });
    return daemon;
  }

  /** Starts it, and waits for nothing. */
  static begin(t: TestContext, file: string, more: readonly string[] = []): Daemon {
    const daemon = new Daemon(file, more);
    t.after(() => daemon.kill());
    return daemon;
  }

  /** Starts it for the sake of how it fails. */
  static async startAndEnd(
    t: TestContext,
    file: string,
    more: readonly string[] = [],
  ): Promise<{ readonly code: number | NodeJS.Signals | null; readonly log: string }> {
    const daemon = Daemon.begin(t, file, more);
    return { code: await daemon.ended, log: daemon.log };
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** What it has written: problems and log lines. */
  get output(): string {
    return this.log;
  }

  signal(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** SIGHUP: it reads its configuration again. */
  hangUp(): void {
    this.child.kill('SIGHUP');
  }

  /** Stops it in its tracks, so that packets gather in its devices' queues; or lets it go on. */
  pause(signal: 'SIGSTOP' | 'SIGCONT' = 'SIGSTOP'): void {
    this.child.kill(signal);
  }

  /** SIGKILL: it gets no chance to clean up. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.ended;
  }

  async stop(): Promise<number | NodeJS.Signals | null> {
    this.child.kill('SIGTERM');
    return this.ended;
  }

  /** The metrics as text. */
  async scrape(): Promise<string> {
    const url = /"url":"([^"]+)"/.exec(this.log)?.[1];
    if (url === undefined) throw new Error(`the daemon tells no metrics address:\n${this.log}`);
    // A connection that fetch keeps may just be ended by the server when the next request goes out.
    const response = await fetch(url, { headers: { connection: 'close' } });
    if (response.status !== 200) throw new Error(`${url} answered ${response.status}`);
    return response.text();
  }

  /** Samples by their name and labels, as they stand in the text. */
  async metrics(): Promise<Map<string, number>> {
    const lines = (await this.scrape()).split('\n').filter((line) => /^[a-z]/.test(line));
    return new Map(
      lines.map((line) => {
        const at = line.lastIndexOf(' ');
        return [line.slice(0, at), Number(line.slice(at + 1))];
      }),
    );
  }

  async flows(): Promise<number> {
    return (await this.metrics()).get('secgroupd_conntrack_flows')!;
  }

  /**
   * Drops while `action` ran, as `db ingress ingress-rules`: packets. Without those of link scope: a kernel looks for
   * routers and reports its multicast groups when it pleases.
   * @param atLeast as many are waited for: what nobody awaits an answer to may be on its way when `action` has ended
   */
  async dropsDuring(action: () => Promise<unknown>, atLeast = 0): Promise<Record<string, number>> {
    const before = await this.metrics();
    await action();
    let found: Record<string, number> = {};
    await until(
      () => `${atLeast} drops: ${JSON.stringify(found)}`,
      async () => {
        found = await this.dropsSince(before);
        return Object.values(found).reduce((sum, count) => sum + count, 0) >= atLeast;
      },
    );
    return found;
  }

  private async dropsSince(before: ReadonlyMap<string, number>): Promise<Record<string, number>> {
    const after = await this.metrics();
    const found: Record<string, number> = {};
    for (const [sample, value] of after) {
      const labels =
        /^secgroupd_dropped_packets_total\{interface="(.*)",direction="(.*)",reason="(.*)"\}$/.exec(
          sample,
        );
      const grown = value - (before.get(sample) ?? 0);
      if (labels === null || grown === 0 || labels[3] === 'link-scope') continue;
      found[labels.slice(1).join(' ')] = grown;
    }
    return found;
  }

  /** Waits until nothing drops any more: after a flood, its last packets still lie in the device's queue. */
  async dropsEnd(): Promise<void> {
    await until('no packet drops', async () => {
      const drops = await this.dropsDuring(() => sleep(DROPS_END_LOOK_MS));
      return Object.keys(drops).length === 0;
    });
  }
}

/** Starts a server (server.ts) in a namespace; resolves when it listens. */
export async function serve(netns: Netns, name: string): Promise<Running> {
  const server = await netns.start(process.execPath, [SERVER, name]);
  await server.waitFor(/^ready$/m);
  return server;
}

/** Requests of which there are as many follow each other quickly. */
const MANY = 6;

/**
 * `ping` that is over soon. After the last request it waits for an answer for twice as long as another one took, but at least for
 * the time between two requests: that of a few is such that an answer may be slower than others.
 */
export function ping(
  netns: Netns,
  address: string,
  count = 1,
  ...more: readonly string[]
): Promise<CommandResult> {
  const interval = count < MANY ? '0.5' : '0.1';
  return netns.run('ping', ['-c', String(count), '-i', interval, '-W', '2', ...more, address]);
}

/** The same, to be called where no answer is to come: fails if one does. */
export async function pingInVain(
  netns: Netns,
  address: string,
  count = 1,
  ...more: readonly string[]
): Promise<void> {
  const { code, stdout, stderr } = await ping(netns, address, count, '-W', '0.3', ...more);
  assert.match(stdout + stderr, / 100% packet loss/);
  assert.equal(code, 1);
}

/** `curl` for the text at a place; `''` when nothing came for that long. */
export async function get(netns: Netns, place: string, seconds = ANSWER_S): Promise<string> {
  const result = await netns.run('curl', ['-gsS', '-m', String(seconds), `http://${place}`]);
  return result.stdout;
}
