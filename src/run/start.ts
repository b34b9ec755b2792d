/**
 * Starts the process that makes the network of `sgctl run` and runs the command in it.
 *
 * It gets a user namespace, in which it is root, and a mount and a process namespace. When the first process of the
 * latter ends, the kernel kills all others: the daemon, pasta, the command and what that left behind. `setpriv` and
 * `unshare` have it killed as soon as this process ends, also by SIGKILL. A shell is that first process: it collects
 * whoever was orphaned, and as the first process it is not ended by the terminal's signals.
 *
 * The network namespace stays that of the caller: pasta needs it. The command gets another one.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { systemPath } from './tools-path.ts';

/** The command gets these, and the programs around it must not end by them. */
const NOT_FOR_THEM = 'HUP,INT,QUIT,TERM,USR1,USR2';

/** Its standard input, output and error are ours. It waits for a RunMessage. */
export function startInside(): ChildProcess {
  const inside = fileURLToPath(new URL('./run-inside.js', import.meta.url));
  const [command, ...args] = [
    ...['setpriv', '--pdeathsig', 'KILL', '--'],
    ...['env', `--ignore-signal=${NOT_FOR_THEM}`],
    ...['unshare', '--user', '--map-root-user', '--mount', '--pid', '--mount-proc'],
    ...['--fork', '--kill-child=KILL', '--'],
    ...['sh', '-c', '"$@"; exit "$?"', 'sh', process.execPath, '--enable-source-maps', inside],
  ] as const;
  return spawn(command, args, {
    env: { ...process.env, PATH: systemPath() },
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
}
