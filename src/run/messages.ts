/** Defines what `sgctl run` and its process inside agree on: messages over the channel of Node.js, and a code. */
import type { RunPlan } from './plan.ts';

/** The exit code where the command was not run, as env(1), timeout(1) and `docker run` have it. */
export const EXIT_NO_NETWORK = 125;

export interface RunStart {
  readonly plan: RunPlan;
  readonly argv: readonly string[];
  /** The command's, as the caller has it. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Who the command is. */
  readonly uid: number;
  readonly gid: number;
  /** Whether to tell at the end what was dropped. */
  readonly tellsDrops: boolean;
}

export type RunMessage =
  | { readonly kind: 'start'; readonly start: RunStart }
  /** For the command. */
  | { readonly kind: 'signal'; readonly signal: NodeJS.Signals };
