/**
 * A host for tests of `sgctl run`: a namespace with a default route to another one, where servers are, with a resolver
 * on its own loopback, and a user who is not root.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { connect, makeNetns, uniqueName, type Netns } from '../support/netns.ts';
import type { CommandResult, Running, RunOptions } from '../support/process.ts';
import { requireRoot, requireTools, requireTun } from '../support/require.ts';
import { SGCTL } from '../support/sgctl.ts';
import { until } from '../support/until.ts';

/** Debian's nobody. */
export const USER = 65_534;
export const SERVER = '203.0.113.5';
export const GATEWAY = '198.51.100.1';
export const HOST = '198.51.100.2';
export const SERVER6 = '2001:db8:5::5';

const GROUPS = `securityGroups:
  web:
    description: reaches one port of the server
    egress:
      - { protocol: tcp, ports: 8080, to: [${SERVER}/32, "${SERVER6}/128"] }
      - { protocol: icmp, type: 8, to: ${SERVER}/32 }
  nothing: { description: reaches nothing, egress: [] }
# For a service on this host; no concern of sgctl run.
uplink: { tun: sgt-never, addresses: [192.0.2.1/24] }
interfaces:
  eni-1: { device: { netns: sgt-never, name: eth0 }, addresses: [192.0.2.7], securityGroups: [web] }
`;

/** What the user needs: the device for everybody, without a change of the machine's own, and a resolver. */
const AS_A_USER = `
mount -t tmpfs tmpfs "$1"
mknod -m 666 "$1/tun" c 10 200
mount --bind "$1/tun" /dev/net/tun
printf 'nameserver 127.0.0.53\\nsearch test\\n' > "$1/resolv.conf"
mount --bind "$1/resolv.conf" /etc/resolv.conf
cd /
shift
exec setpriv --reuid=${USER} --regid=${USER} --clear-groups -- "$@"
`;

const HTTP = `
import http.server, sys, threading
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[1])); self.send_header('Content-Length', '2'); self.end_headers(); self.wfile.write(b'ok')
    def log_message(self, *args): pass
import socket
class Six(http.server.ThreadingHTTPServer): address_family = socket.AF_INET6
for place in sys.argv[2:]:
    address, port = place.rsplit('/', 1)
    kind = Six if ':' in address else http.server.ThreadingHTTPServer
    threading.Thread(target=kind((address, int(port)), Handler).serve_forever).start()
`;

/** Returns whether the machine has what these tests need; if not, the test has been skipped with the reason. */
export function hasRunNeeds(t: TestContext): boolean {
  if (!requireRoot(t) || !requireTun(t)) return false;
  const tools = [
    'pasta',
    'nft',
    'ip',
    'setpriv',
    'unshare',
    'nsenter',
    'dnsmasq',
    'python3',
    'curl',
  ];
  if (!requireTools(t, ...tools)) return false;
  const asUser = (...argv: string[]): boolean =>
    spawnSync('setpriv', [`--reuid=${USER}`, `--regid=${USER}`, '--clear-groups', '--', ...argv])
      .status === 0;
  if (!asUser('unshare', '--user', '--map-root-user', '--net', '--pid', '--fork', 'true')) {
    t.skip('users can make no user namespaces');
    return false;
  }
  if (!asUser('test', '-r', SGCTL)) {
    t.skip('a user can not read this build');
    return false;
  }
  return true;
}

export class RunWorld {
  readonly host: Netns;
  readonly outside: Netns;
  readonly file: string;
  /** In the environment of everything that a test starts by `sgctl run`. */
  readonly mark = uniqueName();
  private readonly directory: string;

  private constructor(host: Netns, outside: Netns, directory: string) {
    this.host = host;
    this.outside = outside;
    this.directory = directory;
    this.file = join(directory, 'groups.yaml');
    writeFileSync(this.file, GROUPS, { mode: 0o644 });
  }

  static async make(t: TestContext): Promise<RunWorld> {
    const directory = mkdtempSync(join(tmpdir(), 'sgt-run-'));
    chmodSync(directory, 0o755);
    t.after(() => rmSync(directory, { recursive: true, force: true }));
    const host = await makeNetns(t);
    const outside = await makeNetns(t);
    await connect(
      { netns: host, interfaceName: 'wan', addresses: [`${HOST}/24`, '2001:db8::2/64'] },
      { netns: outside, interfaceName: 'lan', addresses: [`${GATEWAY}/24`, '2001:db8::1/64'] },
    );
    await host.mustRun('ip', ['route', 'add', 'default', 'via', GATEWAY]);
    await host.mustRun('ip', ['-6', 'route', 'add', 'default', 'via', '2001:db8::1']);
    await host.mustRun('sh', ['-c', 'echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range']);
    await outside.mustRun('ip', ['address', 'add', `${SERVER}/32`, 'dev', 'lo']);
    await outside.mustRun('ip', ['address', 'add', `${SERVER6}/128`, 'dev', 'lo']);
    const world = new RunWorld(host, outside, directory);
    await world.startServers();
    return world;
  }

  /** Those of the host answer with another status, so that nobody is taken for another. */
  private async startServers(): Promise<void> {
    const places = [`${SERVER}/8080`, `${SERVER}/8081`, `${GATEWAY}/9090`, `${SERVER6}/8080`];
    await this.outside.start('python3', ['-c', HTTP, '200', ...places]);
    await this.host.start('python3', [
      ...['-c', HTTP, '203', '127.0.0.1/9090', '::1/9090', `${HOST}/9090`],
    ]);
    const records = [`--host-record=server.test,${SERVER}`, `--host-record=six.test,${SERVER6}`];
    await this.host.start('dnsmasq', [
      ...['--keep-in-foreground', '--no-resolv', '--no-hosts', '--port=53', '--user=root'],
      ...['--listen-address=127.0.0.53', '--bind-interfaces', '--conf-file=/dev/null', ...records],
    ]);
    const all = [...places.slice(0, 2), '127.0.0.1/9090'].map((one) => one.replace('/', ':'));
    for (const place of all)
      await until(`${place} answers`, async () => {
        const { code } = await this.host.run('curl', ['-s', '-m', '5', `http://${place}/`]);
        return code === 0;
      });
    await until('the resolver answers', async () => {
      const lookUp = 'import socket,sys; s=socket.socket(2,2); s.settimeout(2); ';
      const query = `s.sendto(bytes.fromhex("123401000001000000000000067365727665720474657374000001 0001".replace(" ","")),("127.0.0.53",53)); s.recv(512)`;
      return (await this.host.run('python3', ['-c', lookUp + query])).code === 0;
    });
  }

  /** The command line of `sgctl run` on the host as the user. */
  private commandLine(args: readonly string[]): readonly string[] {
    const at = mkdtempSync(join(this.directory, 'user-'));
    return ['-ec', AS_A_USER, 'sh', at, process.execPath, SGCTL, 'run', ...args];
  }

  private options(options: RunOptions): RunOptions {
    return {
      env: { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', SGT_RUN: this.mark },
      ...options,
    };
  }

  /** With `--config` and `--group web`. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.sgctl(['--config', this.file, '--group', 'web', '--', ...argv], options);
  }

  sgctl(args: readonly string[], options: RunOptions = {}): Promise<CommandResult> {
    return this.host.run('sh', this.commandLine(args), this.options(options));
  }

  start(argv: readonly string[]): Promise<Running> {
    const args = ['--config', this.file, '--group', 'web', '--', ...argv];
    return this.host.start('sh', this.commandLine(args), this.options({}));
  }

  /** Starts a shell's script by `sgctl run` on a terminal of its own. */
  startOnTerminal(script: string): OnTerminal {
    const args = ['--config', this.file, '--group', 'web', '--', 'sh', '-c', script];
    const [shell, ...words] = ['sh', ...this.commandLine(args)];
    const line = `exec ${[shell, ...words].map(quote).join(' ')}`;
    const child = spawn(
      'ip',
      [
        'netns',
        'exec',
        this.host.name,
        'script',
        '--quiet',
        '--return',
        '--command',
        line,
        '/dev/null',
      ],
      { env: this.options({}).env, stdio: ['pipe', 'pipe', 'inherit'] },
    );
    return new OnTerminal(child);
  }

  /** The pids of what was started by `sgctl run`, whoever it is, with the words of their command lines. */
  processes(): readonly { readonly pid: number; readonly words: readonly string[] }[] {
    return readdirSync('/proc').flatMap((name) => {
      try {
        if (!/^\d+$/.test(name)) return [];
        const environment = readFileSync(`/proc/${name}/environ`, 'latin1').split('\0');
        if (!environment.includes(`SGT_RUN=${this.mark}`)) return [];
        const words = readFileSync(`/proc/${name}/cmdline`, 'latin1').split('\0');
        return [{ pid: Number(name), words }];
      } catch {
        return []; // Ended meanwhile.
      }
    });
  }

  async assertGone(): Promise<void> {
    await until('everything has ended', () => this.processes().length === 0);
  }
}

/** A program with a terminal of its own, by script(1). */
export class OnTerminal {
  readonly ended: Promise<{ readonly code: number | null }>;
  private readonly child: ChildProcess;
  private said = '';

  constructor(child: ChildProcess) {
    this.child = child;
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.said += text));
    this.ended = new Promise((resolve) => child.once('close', (code) => resolve({ code })));
  }

  stdout(): string {
    return this.said;
  }

  type(text: string): void {
    this.child.stdin!.write(text);
  }

  async waitFor(pattern: RegExp): Promise<void> {
    const hasEnded = (): boolean => this.child.exitCode !== null;
    await until(`${pattern}`, () => pattern.test(this.said) || hasEnded());
    if (!pattern.test(this.said)) throw new Error(`it ended, and said:\n${this.said}`);
  }
}

function quote(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
