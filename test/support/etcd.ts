/**
 * Starts clusters of etcd for tests, on loopback, with ports that were free a moment ago and with a data directory that
 * goes with the test. A member can be killed and started again.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { run, start, type CommandResult, type Running } from './process.ts';
import { requireTools } from './require.ts';
import { until } from './until.ts';

/** etcd waits for the disk at each commit, of which tests make thousands: in memory where that can be. */
const FOLDERS = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export interface EtcdOptions {
  readonly members?: number;
  /** For each member. */
  readonly args?: readonly string[];
  /** Clients talk TLS: their URLs are https, and `args` say by which certificate. */
  readonly tls?: boolean;
  /** What etcdctl takes to get in. */
  readonly ctlArgs?: readonly string[];
}

/** Whether there is an etcd; if not, the test is skipped with the reason. */
export function requireEtcd(t: TestContext): boolean {
  return requireTools(t, 'etcd', 'etcdctl');
}

/** What the tests of a file share: it goes with `end`. */
export class Etcd {
  readonly members: readonly Member[];
  private readonly folder: string;
  private readonly ctlArgs: readonly string[];

  private constructor(folder: string, members: readonly Member[], ctlArgs: readonly string[]) {
    this.folder = folder;
    this.members = members;
    this.ctlArgs = ctlArgs;
  }

  /** Starts a cluster that ends with the test. */
  static async forTest(t: TestContext, options: EtcdOptions = {}): Promise<Etcd> {
    const etcd = await Etcd.start(options);
    t.after(() => etcd.end());
    return etcd;
  }

  static async start({ members: count = 1, args = [], tls, ctlArgs = [] }: EtcdOptions = {}) {
    const folder = mkdtempSync(join(FOLDERS, 'sgt-etcd-'));
    const ports = await freePorts(2 * count);
    const names = Array.from({ length: count }, (_, i) => `m${i}`);
    const peerOf = (i: number): string => `http://127.0.0.1:${ports[2 * i + 1]}`;
    const cluster = names.map((name, i) => `${name}=${peerOf(i)}`).join(',');
    const members = names.map((name, i) => {
      const endpoint = `127.0.0.1:${ports[2 * i]}`;
      const client = `${tls === true ? 'https' : 'http'}://${endpoint}`;
      return new Member(endpoint, client, [
        ...['--name', name, '--data-dir', join(folder, name), '--log-level', 'warn'],
        ...['--listen-client-urls', client, '--advertise-client-urls', client],
        ...['--listen-peer-urls', peerOf(i), '--initial-advertise-peer-urls', peerOf(i)],
        ...['--initial-cluster', cluster, '--initial-cluster-token', folder],
        ...args,
      ]);
    });
    const etcd = new Etcd(folder, members, ctlArgs);
    try {
      await Promise.all(members.map((member) => member.start()));
      await etcd.waitHealthy();
    } catch (error) {
      await etcd.end();
      throw error;
    }
    return etcd;
  }

  /** For the URL of a store. */
  get hosts(): string {
    return this.members.map(({ endpoint }) => endpoint).join(',');
  }

  /** Runs etcdctl, of all members or of one. @throws Error unless it ends well */
  async ctl(args: readonly string[], members = this.members, input = ''): Promise<string> {
    const result = await this.tryCtl(args, members, input);
    if (result.code !== 0) throw new Error(`etcdctl ${args.join(' ')}: ${result.stderr}`);
    return result.stdout;
  }

  tryCtl(args: readonly string[], members = this.members, input = ''): Promise<CommandResult> {
    const endpoints = members.map(({ client }) => client).join(',');
    const given = [...this.ctlArgs, '--endpoints', endpoints, ...args];
    const env = { ...process.env, ETCDCTL_API: '3' };
    return run('etcdctl', given, { env, input });
  }

  /** The member that leads. */
  async leader(): Promise<Member> {
    for (;;) {
      for (const member of this.members) {
        if (!member.isRunning) continue;
        const { code, stdout } = await this.tryCtl(['endpoint', 'status'], [member]);
        if (code === 0 && stdout.split(', ')[4] === 'true') return member;
      }
    }
  }

  /** Waits until each member that runs answers. */
  async waitHealthy(): Promise<void> {
    const running = this.members.filter(({ isRunning }) => isRunning);
    let said = '';
    await until(
      () => `etcd is well: ${said}`,
      async () => {
        const { code, stderr } = await this.tryCtl(['endpoint', 'health'], running);
        said = stderr;
        return code === 0;
      },
    );
  }

  /** Puts another cluster, an empty one, where this was. @param args beside, and in place of, those of each member */
  async replace(args: readonly string[] = []): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop('SIGKILL')));
    for (const name of readdirSync(this.folder))
      rmSync(join(this.folder, name), { recursive: true, force: true });
    await Promise.all(this.members.map((member) => member.start(args)));
    await this.waitHealthy();
  }

  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.stop('SIGKILL')));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** One server of a cluster. */
export class Member {
  /** `address:port` of its clients. */
  readonly endpoint: string;
  /** The same as a URL. */
  readonly client: string;
  private readonly args: readonly string[];
  private running: Running | undefined;

  constructor(endpoint: string, client: string, args: readonly string[]) {
    this.endpoint = endpoint;
    this.client = client;
    this.args = args;
  }

  get isRunning(): boolean {
    return this.running !== undefined;
  }

  get pid(): number {
    return this.running!.pid;
  }

  /** Starts it, or starts it again with the data that it had. */
  async start(args: readonly string[] = []): Promise<void> {
    this.running = await start('etcd', [...this.args, ...args]);
  }

  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    const { running } = this;
    this.running = undefined;
    await running?.stop(signal);
  }
}

/** Ports that nobody has, all at once so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from(
      { length: count },
      () =>
        new Promise<ReturnType<typeof createServer>>((resolve) => {
          const server = createServer().listen(0, '127.0.0.1', () => resolve(server));
        }),
    ),
  );
  const ports = servers.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}
