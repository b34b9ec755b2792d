/** Runs a daemon of a door's own, where no service manager does: in a managed plugin of Docker. */
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export interface OwnDaemonOptions {
  readonly configFile: string;
  readonly control: string;
  readonly store: string;
  /** Called when it ends. Whoever called ends too, and is started again with a new one. */
  readonly onEnd: (how: number | NodeJS.Signals | null) => void;
}

export interface OwnDaemon {
  /** Ends it in order. `onEnd` is not called. */
  readonly stop: () => Promise<void>;
}

/** Resolves when packets flow. @throws Error if it ends first */
export async function startOwnDaemon(options: OwnDaemonOptions): Promise<OwnDaemon> {
  const { configFile, control, store, onEnd } = options;
  const main = fileURLToPath(new URL('../main.js', import.meta.url));
  const args = ['--config', configFile, '--control', control, '--store', store, '--host', 'docker'];
  const child = fork(main, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  let isStopping = false;
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  await new Promise<void>((resolve, reject) => {
    child.once('message', () => resolve());
    child.once('error', reject);
    void ended.then((how) => reject(new Error(`the daemon ended with ${how}`)));
  });
  void ended.then((how) => {
    if (!isStopping) onEnd(how);
  });
  return {
    stop: async () => {
      isStopping = true;
      child.kill('SIGTERM');
      await ended;
    },
  };
}
