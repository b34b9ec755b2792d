/**
 * A box for a test file that makes namespaces and daemons: network, mounts, processes, IPC and host name are its own, and
 * so are /run (with /run/netns, labs, and sockets) and /dev/shm. So files that run at the same time can't meet, whatever names
 * and ports they use. When its first process ends, in whatever way, the kernel ends all the others and takes the
 * namespaces away.
 */
import { spawnSync } from 'node:child_process';

const UNSHARE = ['--net', '--mount', '--pid', '--ipc', '--uts'];
const PROCESSES = ['--fork', '--kill-child', '--mount-proc'];
const PREPARE = `
mount -t tmpfs -o mode=755 run /run && mkdir /run/netns || exit
[ ! -d /dev/shm ] || mount -t tmpfs -o mode=1777 shm /dev/shm || exit
ip link set lo up || exit
`;
/** The shell stays: as the first process it has to collect what is left behind by its parent, as Node.js doesn't. */
const SCRIPT = `${PREPARE} "$@"; exit $?`;

/** The command that runs another one in a box. Its descriptors and its exit code pass through. */
export function inBox(command: readonly string[]): readonly [string, ...string[]] {
  return ['unshare', ...UNSHARE, ...PROCESSES, 'bash', '-c', SCRIPT, 'box', ...command];
}

/** Whether there can be one here; it needs root. */
export function canHaveBoxes(): boolean {
  const [command, ...args] = inBox(['true']);
  return process.getuid?.() === 0 && spawnSync(command, args, { stdio: 'ignore' }).status === 0;
}
