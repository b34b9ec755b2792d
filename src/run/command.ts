/**
 * Runs the command of `sgctl run` in its network.
 *
 * It is in a user namespace of its own, below the one that the network belongs to, as the caller and without a
 * capability. It can't trace the processes around it, enter their namespaces, or change its device and routes, and it
 * does not see them in /proc.
 *
 * Over /run lies an empty file system. There are the sockets by which a process asks others for something: Docker,
 * systemd and its user's D-Bus would start a program outside this network, systemd-resolved and nscd would look names
 * up outside, and our daemon would change the groups. What lies over it can't be taken away again by who comes from a
 * user namespace below (mount_namespaces(7)).
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { LabError } from '../lab/errors.ts';
import type { RunStart } from './messages.ts';
import type { RunNetwork } from './network.ts';
import { COMMAND } from './plan.ts';
import { findProgram } from './tools-path.ts';

/** $1: the user; $2: where resolv.conf is, or nothing; $3: its text. An old kernel shows the processes in /proc. */
const HIDE = `
mount -t tmpfs -o mode=755 tmpfs /run
[ -L /var/run ] || [ ! -d /var/run ] || mount -t tmpfs -o mode=755 tmpfs /var/run
mkdir -p "/run/user/$1"
chmod 700 "/run/user/$1"
if [ -n "$2" ]; then
  printf %s "$3" > /run/resolv.conf
  case $2 in
    /run/* | /var/run/*) mkdir -p "\${2%/*}"; printf %s "$3" > "$2" ;;
    *) mount --bind /run/resolv.conf "$2" ;;
  esac
fi
mount -t proc -o hidepid=2 proc /proc 2>/dev/null || mount -t proc proc /proc
echo hidden
exec sleep infinity
`;

/** Starts the command. Its standard input, output and error are ours. Throws LabError. */
export async function startCommand(
  { argv, env, cwd, uid, gid, plan }: RunStart,
  network: RunNetwork,
): Promise<ChildProcess> {
  const holder = await holdView(uid, network.resolvConf, plan.resolvConf);
  const [name = ''] = argv;
  // env(1) takes a word with '=' for a variable.
  const program = name.includes('=') ? ['sh', '-c', 'exec "$0" "$@"', ...argv] : argv;
  // The command's PATH, which these have as well, need not name them.
  const [nsenter, unshare, setEnv] = ['nsenter', 'unshare', 'env'].map(
    (tool) => findProgram(tool) ?? tool,
  );
  const [command, ...args] = [
    ...[nsenter, `--mount=/proc/${holder.pid}/ns/mnt`],
    ...[`--net=${join(network.netnsDirectory, COMMAND)}`, '--'],
    ...[unshare, '--user', `--map-user=${uid}`, `--map-group=${gid}`, '--'],
    ...[setEnv, `--chdir=${cwd}`, ...program],
  ] as const;
  return spawn(command, args, { cwd: '/', env, stdio: 'inherit' });
}

/** Makes the file systems as the command is to see them. @returns the process that holds their namespace */
function holdView(
  uid: number,
  resolvConf: string | undefined,
  text: string,
): Promise<ChildProcess> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      'unshare',
      ['--mount', 'sh', '-ec', HIDE, 'sh', String(uid), resolvConf ?? '', text],
      { cwd: '/', stdio: ['ignore', 'pipe', 'pipe'], detached: true },
    );
    let said = '';
    child.stderr.setEncoding('utf8').on('data', (more: string) => (said += more));
    child.stdout.once('data', () => {
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve(child);
    });
    child.on('error', ({ message }) => reject(new LabError(`cannot run unshare: ${message}`)));
    child.on('close', () => reject(new LabError(`cannot hide /run: ${said.trim()}`)));
  });
}
