/**
 * A world to try the Docker door in: a real dockerd with its own run directory, processes and images, in a namespace
 * that stands for a host; the daemon, with a stand-in for systemd, and the driver; and a client outside of that host.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { ask } from '../../src/control-socket/control-client.ts';
import type { OwnedInterfaceView } from '../../src/queries/owned-interfaces.ts';
import { MAIN, makeNamespaces } from '../netns/world.ts';
import { GUARD_MS } from '../support/guard-time.ts';
import { connect, uniqueName, type Netns } from '../support/netns.ts';
import { mustRun, run, start, type CommandResult, type Running } from '../support/process.ts';
import { findTool, requireRoot, requireTools, requireTun } from '../support/require.ts';
import { ServiceManager } from '../support/service-manager.ts';
import { childOf, HostBox } from './host-box.ts';

const DOOR = fileURLToPath(new URL('../../src/doors/docker/secgroupd-docker.js', import.meta.url));
export const CLIENT = '198.51.100.7';
export const CLIENT6 = '2001:db8:1::7';
export const HOST = '198.51.100.1';
export const HOST6 = '2001:db8:1::1';
/** What an instance sees of the host itself. */
export const UPLINK = '10.9.0.1';
export const IMAGE = 'sgt:1';
/** The client that comes with Debian's dockerd; a newer one on the PATH refuses to ask it for some things. */
const CLI = existsSync('/usr/bin/docker') ? '/usr/bin/docker' : 'docker';
const INTERVAL_MS = 50;
/** Of HTTP on port 80. */
const SERVER = ['httpd', '-f', '-p', '80', '-h', '/www'];
const CONTROLLERS = '/sys/fs/cgroup';

const CONFIGURATION = `
uplink: { tun: up0, addresses: [${UPLINK}/24, "fd00:9::1/64"] }
securityGroups:
  web:
    ingress:
      - { protocol: tcp, ports: 80, from: ${CLIENT}/32 }
      - { protocol: tcp, ports: 80, from: "${CLIENT6}/128" }
      - { protocol: tcp, ports: 80, from: sg:app }
  app: { ingress: [] }
  ping: { ingress: [{ protocol: icmp, type: 8, from: ${UPLINK}/32 }] }
`;

interface WorldOptions {
  /** More groups, as the configuration has them. */
  readonly groups?: string;
  /** Whether dockerd also has bridges, with its rules for iptables. */
  readonly hasBridges?: boolean;
}

/** Whether dockerd can be tried here; else the test is skipped with the reason. */
export function canRunDocker(t: TestContext): boolean {
  const tools = ['dockerd', 'docker', 'busybox', 'nft', 'ip', 'curl', 'ping', 'unshare', 'nsenter'];
  return requireRoot(t) && requireTun(t) && requireTools(t, ...tools);
}

/** Tries until it holds. @throws the last error */
export async function eventually(what: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + GUARD_MS;
  for (;;) {
    try {
      await what();
      return;
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(INTERVAL_MS);
    }
  }
}

export class DockerWorld {
  readonly host: Netns;
  readonly client: Netns;
  readonly folder: string;
  /** The daemon. */
  readonly service: ServiceManager;
  private readonly wanted: WorldOptions;
  private readonly cgroup = `/${uniqueName()}`;
  private box: HostBox | undefined;
  private dockerd: Running | undefined;
  private door: Running | undefined;

  private constructor(
    t: TestContext,
    { host, client }: { readonly host: Netns; readonly client: Netns },
    wanted: WorldOptions,
  ) {
    this.wanted = wanted;
    this.host = host;
    this.client = client;
    this.folder = mkdtempSync(join(tmpdir(), 'sgt-docker-'));
    t.after(() => this.cleanUp());
    mkdirSync(this.path('configuration'));
    const file = this.path('configuration/secgroupd.yaml');
    writeFileSync(file, CONFIGURATION + (wanted.groups ?? ''));
    const options = ['--config', file, '--control', this.control];
    // Where secgroup-api looks for it, too.
    const store = ['--store', this.path('store/store.db'), '--host', 'here'];
    const enter = ['nsenter', `--net=${host.path}`, process.execPath, MAIN];
    this.service = ServiceManager.make(t, [...enter, ...options, ...store]);
  }

  /** With all running, and a network `vpc` of both families. Skips the test where dockerd can't start. */
  static async make(t: TestContext, wanted: WorldOptions = {}): Promise<DockerWorld | undefined> {
    const names = await makeNamespaces(t, ['host', 'client']);
    const { host, client } = names;
    await connect(
      { netns: host, interfaceName: 'eth0', addresses: [`${HOST}/24`, `${HOST6}/64`] },
      { netns: client, interfaceName: 'eth0', addresses: [`${CLIENT}/24`, `${CLIENT6}/64`] },
    );
    await host.mustRun('sysctl', [
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
    ]);
    const world = new DockerWorld(t, names, wanted);
    await world.makeBox();
    if (!(await world.startDockerd())) {
      t.skip(`dockerd does not start here: ${world.dockerdLog.slice(-300)}`);
      return undefined;
    }
    await world.service.startReady();
    await world.startDoor();
    await world.makeImage();
    const subnets = ['--subnet', '10.77.0.0/24', '--ipv6', '--subnet', 'fd00:77::/64'];
    await world.docker('network', 'create', '-d', 'secgroupd', ...subnets, 'vpc');
    return world;
  }

  path(name: string): string {
    return join(this.folder, name);
  }

  get control(): string {
    return this.path('control.sock');
  }

  get dockerdLog(): string {
    return this.dockerd?.stderr() ?? '';
  }

  get doorLog(): string {
    return this.door?.stderr() ?? '';
  }

  /** `docker`, which must succeed. @returns what it printed, without the last line break */
  async docker(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.tryDocker(...args);
    assert.equal(code, 0, `docker ${args.join(' ')}: ${stderr}\n${this.doorLog}`);
    return stdout.trimEnd();
  }

  tryDocker(...args: readonly string[]): Promise<CommandResult> {
    const [command, all, options] = this.command(...args);
    return run(command, all, options);
  }

  /** What `start` takes for `docker` with these arguments. */
  command(...args: readonly string[]): [string, readonly string[], { env: NodeJS.ProcessEnv }] {
    const env = {
      ...process.env,
      DOCKER_HOST: `unix://${this.path('docker.sock')}`,
      DOCKER_CONFIG: this.folder,
    };
    return [CLI, args, { env }];
  }

  /** Starts a container with a server of HTTP on port 80 that tells who asks. */
  async serve(name: string, groups: string, ...more: readonly string[]): Promise<void> {
    // The option is a line of CSV, so what has commas in it is quoted.
    const network = ['--network', `name=vpc,"driver-opt=sg=${groups}"`];
    // As the first process of a container it would wait for SIGKILL anyway.
    more = [...more, '--stop-signal', 'SIGKILL'];
    await this.docker('run', '-d', '--name', name, ...network, ...more, IMAGE, ...SERVER);
  }

  /** The same, as the interface of a call, in a network of the driver. */
  serveAs(
    name: string,
    network: string,
    { eni, ip }: { readonly eni: string; readonly ip?: string },
  ): Promise<CommandResult> {
    const place = ['--network', `name=${network},driver-opt=eni=${eni}`];
    const address = ip === undefined ? [] : ['--ip', ip];
    const args = ['--name', name, ...place, ...address, '--stop-signal', 'SIGKILL'];
    return this.tryDocker('run', '-d', ...args, IMAGE, ...SERVER);
  }

  /** The file of a container's network namespace. */
  async netnsOf(name: string): Promise<string> {
    const key = await this.docker('inspect', '-f', '{{.NetworkSettings.SandboxKey}}', name);
    return `/proc/${this.box!.init}/root${key.replace(/^\/var/, '')}`;
  }

  async addressOf(name: string, family: '' | 'GlobalIPv6' = ''): Promise<string> {
    const member = family === '' ? 'IPAddress' : 'GlobalIPv6Address';
    return this.docker('inspect', '-f', `{{.NetworkSettings.Networks.vpc.${member}}}`, name);
  }

  /** What the daemon has for Docker, in force. */
  async interfaces(): Promise<readonly OwnedInterfaceView[]> {
    const all = await ask(this.control, 'listInterfaces', { owner: 'docker' });
    return all.filter(({ notInForce }) => notInForce === undefined);
  }

  /** What a server says about who asks; empty if nothing comes. */
  async whoAsks(from: Netns, place: string, seconds = 5): Promise<string> {
    const args = ['-gsS', '-m', String(seconds), `http://${place}/cgi-bin/who`];
    const { stdout } = await from.run('curl', args);
    return stdout.trim().replace(/^\[(?:::ffff:)?(.*)\]$/, '$1');
  }

  async startDoor(): Promise<void> {
    this.door = await this.host.start(process.execPath, [
      ...[DOOR, '--socket', this.path('plugins/secgroupd.sock')],
      ...['--control', this.control, '--state', this.path('door')],
    ]);
    await this.door.waitFor(/listening/);
  }

  async stopDoor(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    await this.door?.stop(signal);
  }

  /**
   * @param keeps whether containers outlive it (live-restore)
   * @returns whether it could be started
   */
  async startDockerd(keeps = true): Promise<boolean> {
    const options = [
      ...['--data-root', this.path('data'), '--exec-root', '/run/dx', '--pidfile', '/run/d.pid'],
      ...['-H', `unix://${this.path('docker.sock')}`, '--cgroup-parent', this.cgroup],
      ...['--bridge=none', '--ip6tables=false', '--ip-forward=false', '--storage-driver=vfs'],
      ...(this.wanted.hasBridges === true ? [] : ['--iptables=false', '--ip-masq=false']),
      ...(keeps ? ['--live-restore'] : []),
    ];
    const dockerd = await start(...this.box!.enter('dockerd', ...options));
    this.dockerd = dockerd;
    let hasEnded = false;
    void dockerd.ended.then(() => (hasEnded = true));
    for (const deadline = performance.now() + GUARD_MS; ; await sleep(INTERVAL_MS)) {
      if ((await this.tryDocker('version')).code === 0) return true;
      if (hasEnded || performance.now() > deadline) return false;
    }
  }

  async stopDockerd(signal: NodeJS.Signals): Promise<void> {
    const { dockerd } = this;
    if (dockerd === undefined) return;
    // Only dockerd itself: it ends containers in order.
    process.kill(childOf(dockerd.pid), signal);
    await dockerd.ended;
  }

  private async makeBox(): Promise<void> {
    const { folder } = this;
    this.box = await HostBox.make(this.host, [
      `mkdir -p /run/docker/plugins ${folder}/plugins ${folder}/data`,
      `mount --bind ${folder}/plugins /run/docker/plugins`,
      `mount -t tmpfs data ${folder}/data`,
    ]);
  }

  private async makeImage(): Promise<void> {
    const names = ['sh', 'sleep', 'ping', 'nc', 'httpd', 'ip'];
    const script = [
      'cd "$1" && mkdir -p root/bin root/www/cgi-bin && cp "$2" root/bin/busybox',
      ...names.map((name) => `ln -s busybox root/bin/${name}`),
      `printf '#!/bin/sh\\nprintf "\\\\n$REMOTE_ADDR\\\\n"\\n' > root/www/cgi-bin/who`,
      `printf '#!/bin/sh\nprintf "\\n"\nn=0; while :; do n=$((n+1)); echo "tick $n"; sleep 0.1; done\n' > root/www/cgi-bin/ticks`,
      'chmod +x root/www/cgi-bin/*',
      `tar -C root -c . | DOCKER_CONFIG="$1" "$3" -H "unix://$1/docker.sock" import - ${IMAGE}`,
    ];
    await mustRun('bash', ['-ec', script.join('\n'), '_', this.folder, findTool('busybox')!, CLI]);
  }

  private async cleanUp(): Promise<void> {
    this.box?.end();
    await this.dockerd?.ended;
    await this.door?.stop('SIGKILL');
    rmSync(this.folder, { recursive: true, force: true });
    // Container's control groups are empty now, and belong to nobody.
    for (const controller of readdirSync(CONTROLLERS)) {
      const folder = join(CONTROLLERS, controller, this.cgroup);
      if (existsSync(folder)) await run('find', [folder, '-depth', '-type', 'd', '-delete']);
    }
  }
}
