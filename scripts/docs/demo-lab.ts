/** The demo as a lab with traffic, for what docs/ shows of it: strangers, a web server, an application, its database. */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export const LAB = 'docs';
export const SGCTL = fileURLToPath(new URL('../../src/cli/sgctl.js', import.meta.url));

export class DemoLab {
  private readonly root: string;
  private readonly started: ChildProcess[] = [];

  /** Brings it up. @param root of the source tree */
  constructor(root: string) {
    this.root = root;
    this.run('lab', 'up', 'config/demo.yaml', '--name', LAB);
  }

  /** Runs sgctl to its end. @throws Error with what it said, if it fails */
  run(...args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync(process.execPath, [SGCTL, ...args], {
      cwd: this.root,
      encoding: 'utf8',
    });
    if (status !== 0) throw new Error(`sgctl ${args.join(' ')}: ${stderr}`);
    return stdout;
  }

  /** A web server that strangers use, and try more on than they should; an application behind it, and its database. */
  startTraffic(): void {
    this.serve('sgd-web', 443);
    this.serve('sgd-app', 8080);
    this.serve('sgd-db', 5432);
    this.forever('sgd-outside', 'curl -so /dev/null http://10.0.0.11:443/40000', 'sleep 0.1');
    this.forever('sgd-outside', 'curl -m 0.3 -so /dev/null http://10.0.0.13:5432/', 'sleep 1');
    this.forever('sgd-outside', 'curl -m 0.3 -so /dev/null http://10.0.0.11:22/', 'sleep 0.7');
    this.forever('sgd-web', 'curl -so /dev/null http://10.0.0.12:8080/2000000', 'sleep 0.2');
    this.forever('sgd-web', 'ping -qc 5 -i 0.5 10.0.0.12 >/dev/null');
    this.forever('sgd-app', "curl -gso /dev/null 'http://[fd00:10::13]:5432/9000'", 'sleep 0.5');
  }

  /** Runs a command line in a namespace until the lab is taken down. */
  inNamespace(name: string, script: string): void {
    this.started.push(
      spawn('ip', ['netns', 'exec', name, 'sh', '-c', script], { stdio: 'ignore', detached: true }),
    );
  }

  forever(name: string, ...commands: readonly string[]): void {
    this.inNamespace(name, `while :; do ${commands.join('; ')}; done`);
  }

  private serve(name: string, port: number): void {
    const server = `require('http').createServer((q, a) => a.end(Buffer.alloc(Number(q.url.slice(1)) || 100))).listen(${port}, '::')`;
    this.inNamespace(name, `exec "${process.execPath}" -e "${server}"`);
  }

  /** Ends what was started, and takes it down. */
  down(): void {
    for (const { pid } of this.started) {
      try {
        if (pid !== undefined) process.kill(-pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    this.run('lab', 'down', LAB);
  }
}
