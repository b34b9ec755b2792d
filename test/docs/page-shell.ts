/**
 * The shell that a page's commands are typed into.
 *
 * Theory of operation. One bash for a page, so that directories, variables and background jobs are as for a reader. It is
 * process 1 of a process namespace, with network and mount namespaces of its own: /tmp, /run (so also /run/netns, labs, and the
 * control socket), /var/log, what container engines keep, and changes to /etc are the page's alone. Two pages, a page and another
 * test, or a page and its run before can't meet, whatever names they use; and when bash ends, in whatever way, the kernel ends all
 * it has started and takes the namespaces away. Not being root, the same is tried within a user namespace.
 *
 * A command is put into a file and sourced, so that one that is wrong can't take the protocol with it; its status comes back on
 * descriptor 3, its output through a file, which may go on being written by a process in the background.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from '../support/guard-time.ts';
import { terraformSettings } from '../support/terraform.ts';
import { awsClis } from '../support/aws-cli.ts';
import { repositoryRoot } from '../support/repository.ts';

const PROGRAMS = {
  sgctl: '../../src/cli/sgctl.js',
  secgroupd: '../../src/main.js',
  'secgroup-api': '../../src/api/secgroup-api.js',
  'secgroupd-cni': '../../src/doors/cni/secgroupd-cni.js',
  'secgroupd-netavark': '../../src/doors/netavark/secgroupd-netavark.js',
  'secgroupd-docker': '../../src/doors/docker/secgroupd-docker.js',
  'secgroup-metadata': '../../src/metadata/secgroup-metadata.js',
} as const;

const UNSHARE = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc'];
const PREPARE = `
mount -t tmpfs none /run && mkdir /run/netns /run/etc /run/work || exit
# The page's own files and the program may lie in /tmp. They stay where they are.
kept=()
for place in "$@"; do
  case $place in
    /tmp/*) kept+=("$place"); mkdir "/run/kept\${#kept[@]}" && mount --bind "$place" "/run/kept\${#kept[@]}" || exit ;;
  esac
done
mount -t tmpfs -o mode=1777 none /tmp || exit
for number in "\${!kept[@]}"; do
  mkdir -p "\${kept[number]}" && mount --bind "/run/kept$((number + 1))" "\${kept[number]}" || exit
done
cd "$PWD" || exit
mount -t tmpfs none /var/log || exit
for place in /var/lib/containers /var/lib/cni; do
  mkdir -p $place 2>/dev/null
  [ ! -d $place ] || mount -t tmpfs none $place || exit
done
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work none /etc 2>/dev/null ||
  { cp -a /etc/. /run/etc 2>/dev/null; mount --bind /run/etc /etc || exit; }
ip link set lo up || exit
`;

const privateArguments = (): string[] => [...(process.getuid?.() === 0 ? [] : ['-Ur']), ...UNSHARE];

/** Why there can be no namespaces or no TUN here; undefined if there can. */
export function whyNotPrivate(): string | undefined {
  const script = `${PREPARE} exec 4<>/dev/net/tun`;
  const { status, stderr, error } = spawnSync(
    'unshare',
    [...privateArguments(), 'bash', '-c', script],
    { encoding: 'utf8', env: environment('/nonexistent'), cwd: '/' },
  );
  if (status === 0) return undefined;
  return `no namespaces or no /dev/net/tun here: ${error?.message ?? stderr.trim()}`;
}

export interface Ran {
  readonly status: number;
  /** Standard output and errors, as they came. */
  readonly output: string;
}

export class PageShell {
  /** Where the commands are run. */
  readonly folder: string;
  private readonly base: string;
  private readonly child: ChildProcess;
  private readonly statuses: AsyncIterator<string>;
  private count = 0;

  /** @param config the folder that the page has a copy of */
  constructor(config: string, isPrivate: boolean) {
    this.base = realpathSync(mkdtempSync(join(tmpdir(), 'sgt-docs-')));
    this.folder = join(this.base, 'page');
    mkdirSync(this.folder);
    cpSync(config, join(this.folder, 'config'), { recursive: true });
    makePrograms(this.base);
    writeFileSync(terraformFile(this.base), terraformSettings() ?? '');
    const script = `${isPrivate ? PREPARE : ''} exec bash --norc --noprofile`;
    const bash = ['bash', '-c', script, 'page', this.base, repositoryRoot()];
    const [command, ...args] = isPrivate ? ['unshare', ...privateArguments(), ...bash] : bash;
    this.child = spawn(command, args, {
      cwd: this.folder,
      env: environment(this.base),
      stdio: ['pipe', 'ignore', 'inherit', 'pipe'],
      detached: true,
    });
    this.child.stdin?.on('error', () => undefined); // It has ended: run() tells.
    this.statuses = createInterface({ input: this.child.stdio[3] as Readable })[
      Symbol.asyncIterator
    ]();
  }

  /** Runs a command to its end. Throws if it does not end, or ends the shell. */
  async run(command: string): Promise<Ran> {
    this.count += 1;
    const file = join(this.base, `${this.count}.sh`);
    const out = join(this.base, `${this.count}.out`);
    writeFileSync(file, `${command}\n`);
    this.child.stdin?.write(
      `(exit \${__status-0}); . '${file}' >'${out}' 2>&1 </dev/null 3>&-; __status=$?; echo $__status >&3\n`,
    );
    const timer = setTimeout(() => this.kill(), GUARD_MS);
    const next = await this.statuses.next();
    clearTimeout(timer);
    const output = readFileSync(out, 'utf8');
    if (next.done === true)
      throw new Error(`it ended the shell, or ran for ${GUARD_MS / 1000} s; it said:\n${output}`);
    return { status: Number(next.value), output };
  }

  /** Ends everything that runs in it, and removes its files. */
  async close(): Promise<void> {
    const gone =
      this.child.exitCode !== null || this.child.signalCode !== null
        ? Promise.resolve()
        : new Promise((resolve) => this.child.once('exit', resolve));
    this.kill();
    await gone;
    rmSync(this.base, { recursive: true, force: true, maxRetries: 5 });
  }

  private kill(): void {
    const { pid, exitCode, signalCode } = this.child;
    if (pid === undefined || exitCode !== null || signalCode !== null) return;
    try {
      // The group: without a process namespace, what runs in the background is in it.
      process.kill(-pid, 'SIGKILL');
    } catch {
      // Gone in between.
    }
  }
}

function environment(base: string): NodeJS.ProcessEnv {
  return {
    PATH: [join(base, 'bin'), process.env['PATH'] ?? '', '/usr/sbin', '/sbin'].join(delimiter),
    HOME: join(base, 'page'),
    XDG_RUNTIME_DIR: base,
    LC_ALL: 'C.UTF-8',
    TERM: 'dumb',
    // Its provider is not downloaded.
    TF_CLI_CONFIG_FILE: terraformFile(base),
  };
}

function terraformFile(base: string): string {
  return join(base, 'terraform.rc');
}

/**
 * As `npm link` has them: a link called sgctl, so that it calls itself so. sudo does nothing: who runs the tests may all
 * there is. An aws CLI that reads no AWS_ENDPOINT_URL is told it as the pages say.
 */
function makePrograms(base: string): void {
  const bin = join(base, 'bin');
  const lib = join(base, 'lib');
  mkdirSync(bin);
  mkdirSync(lib);
  const program = (name: string, script: string): void => {
    writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
    chmodSync(join(bin, name), 0o755);
  };
  for (const [name, path] of Object.entries(PROGRAMS)) {
    symlinkSync(fileURLToPath(new URL(path, import.meta.url)), join(lib, name));
    program(name, `exec '${process.execPath}' '${join(lib, name)}' "$@"`);
  }
  program('sudo', 'exec "$@"');
  const [aws] = awsClis();
  if (aws?.knowsEndpointVariable === false)
    program(
      'aws',
      `exec '${aws.path}' \${AWS_ENDPOINT_URL:+--endpoint-url "$AWS_ENDPOINT_URL"} "$@"`,
    );
}
