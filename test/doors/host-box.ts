/**
 * A host of its own for the service of a runtime: process and mount namespaces in a network namespace of the test's. What
 * the service starts ends with the box, also where the service itself lets it go on.
 */
import { readFileSync } from 'node:fs';
import type { Netns } from '../support/netns.ts';
import { signalUnlessEnded, start } from '../support/process.ts';

export class HostBox {
  /** Its first process, as this one sees it. */
  readonly init: number;

  private constructor(init: number) {
    this.init = init;
  }

  /** @param script of bash, which makes the mounts; /run is empty before it */
  static async make(host: Netns, script: readonly string[]): Promise<HostBox> {
    const lines = [
      'mount -t tmpfs run /run',
      ...script,
      'echo ready',
      // As the first process it takes over whatever is left behind by its parent.
      'while :; do sleep 1000 & wait; done',
    ];
    const box = await start('nsenter', [
      ...[`--net=${host.path}`, 'unshare', '--mount', '--pid', '--fork', '--kill-child'],
      ...['--mount-proc', 'bash', '-ec', lines.join('\n')],
    ]);
    await box.waitFor(/^ready$/m);
    return new HostBox(childOf(box.pid));
  }

  /** What `start` and `run` take for a command in it. */
  enter(...command: readonly string[]): [command: string, args: readonly string[]] {
    return ['nsenter', ['-t', `${this.init}`, '--mount', '--net', '--pid', '--', ...command]];
  }

  /** Whoever removed its network namespace before has ended it. */
  end(): void {
    signalUnlessEnded(this.init, 'SIGKILL');
  }
}

/** What `enter` started, which is the only child of the nsenter that `start` gives. */
export function childOf(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim());
}
