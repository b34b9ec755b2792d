/**
 * The two real hosts of the benchmark "cluster": a daemon each with 100 interfaces, a network of the kernel's between
 * their uplinks, and a client on one that asks a server on the other.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Daemon } from '../../netns/world.ts';
import { makeNetns, type Netns } from '../../support/netns.ts';
import type { Bench } from '../bench.ts';
import { Child } from './child.ts';
import { cpuMs } from '../../support/processor-time.ts';
import { nowMs } from './clock.ts';
import type { ProberQuestion } from './prober.ts';
import { addressText, APP, hostName, PER_HOST, WEB, type Place, type Size } from './rows.ts';

const PROBER = fileURLToPath(new URL('./prober.js', import.meta.url));
const ECHO = fileURLToPath(new URL('./echo.js', import.meta.url));

export const STEADY_PORT = 7000;
export const MARKER_PORTS: readonly number[] = Array.from({ length: 32 }, (_, i) => 7100 + i);
const CLIENT = 0;
const SERVER = 1;

export class RealHosts {
  readonly places = new Map<number, Place>();
  private readonly bench: Bench;
  private readonly url: string;
  private readonly netns: Readonly<Record<'client' | 'server' | 'devices' | 'fabric', Netns>>;
  private readonly daemons: Daemon[] = [];
  prober!: Child<ProberQuestion>;

  private constructor(bench: Bench, url: string, size: Size, netns: RealHosts['netns']) {
    this.bench = bench;
    this.url = url;
    this.netns = netns;
    for (const host of [CLIENT, SERVER])
      for (let i = 0; i < PER_HOST; i++) {
        const number = host * PER_HOST + i;
        const probed = host === CLIENT ? netns.client : netns.server;
        const device =
          i === 0
            ? { name: 'eth0', netns: probed.path, configure: true }
            : { name: `t${number}`, netns: netns.devices.path, configure: false };
        const groupIds = i > 0 ? size.groupsOf(number) : [host === CLIENT ? WEB : APP];
        this.places.set(number, { number, host: hostName(host), groupIds, device });
      }
  }

  static async make(bench: Bench, url: string, size: Size): Promise<RealHosts> {
    const make = (): Promise<Netns> => makeNetns(bench.scope);
    const netns = {
      ...{ client: await make(), server: await make() },
      ...{ devices: await make(), fabric: await make() },
    };
    await netns.fabric.mustRun('sysctl', ['-qw', 'net.ipv4.ip_forward=1']);
    return new RealHosts(bench, url, size, netns);
  }

  /** Starts the server, both daemons, and the client. */
  async begin(): Promise<void> {
    const { client, server } = this.netns;
    const ports = MARKER_PORTS.map(String);
    const echo = await server.start(process.execPath, [ECHO, String(STEADY_PORT), ...ports]);
    this.bench.scope.after(() => echo.stop());
    await this.startDaemon(CLIENT);
    await this.startDaemon(SERVER);
    const args = [addressText(SERVER * PER_HOST), String(STEADY_PORT), ...ports];
    const enter = ['ip', 'netns', 'exec', client.name];
    this.prober = Child.start<ProberQuestion>(this.bench, PROBER, args, enter);
  }

  /** Kills the server's daemon. */
  async killServer(): Promise<void> {
    await this.daemons[SERVER].kill();
  }

  async killBoth(): Promise<void> {
    await Promise.all(this.daemons.map((daemon) => daemon.kill()));
  }

  startBoth(): Promise<unknown> {
    return Promise.all([this.startDaemon(CLIENT), this.startDaemon(SERVER)]);
  }

  /**
   * Starts the server's daemon. @param port that is open
   * @returns milliseconds until it said that packets flow, and until one was answered
   */
  async startServer(
    port: number,
    hasCopy: boolean,
  ): Promise<{ readonly saidMs: number; readonly answeredMs: number }> {
    if (!hasCopy) rmSync(this.stateOf(SERVER), { recursive: true, force: true });
    const beganMs = nowMs();
    const answered = this.prober.ask({ kind: 'await', port }) as Promise<number>;
    await this.startDaemon(SERVER);
    const saidMs = nowMs() - beganMs;
    return { saidMs, answeredMs: (await answered) - beganMs };
  }

  /** Of both daemons. */
  cpuMs(): number {
    return this.daemons.reduce((sum, { pid }) => sum + cpuMs(pid), 0);
  }

  static readonly serverHost = hostName(SERVER);

  private stateOf(host: number): string {
    return this.bench.path(`state-${host}`);
  }

  private async startDaemon(host: number): Promise<void> {
    const [file, state] = [this.bench.path(`host-${host}.yaml`), this.stateOf(host)];
    mkdirSync(state, { recursive: true });
    const { fabric } = this.netns;
    writeFileSync(
      file,
      `uplink: { tun: up${host}, netns: ${fabric.path}, addresses: [10.9.${host}.1/24] }\n`,
    );
    this.daemons[host] = await Daemon.start(this.bench.scope, file, [
      ...['--store', this.url, '--host', hostName(host), '--state-dir', state],
      ...['--control', this.bench.path(`${hostName(host)}.sock`)],
    ]);
  }
}
