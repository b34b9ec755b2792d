/** Runs the built `sgctl` as people run it. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { GUARD_MS } from './guard-time.ts';

export const SGCTL = fileURLToPath(new URL('../../src/cli/sgctl.js', import.meta.url));

export interface Ran {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs it to its end; after GUARD_MS it is killed, and there is no code. */
export function runSgctl(
  args: readonly string[],
  options: {
    readonly cwd?: string;
    readonly env?: NodeJS.ProcessEnv;
    /** What it reads of stdin. */
    readonly input?: string;
  } = {},
): Ran {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SGCTL, ...args], {
    ...options,
    timeout: GUARD_MS,
    encoding: 'utf8',
  });
  return { code: status, stdout, stderr };
}
