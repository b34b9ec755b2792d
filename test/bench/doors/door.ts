/** A door: a way to the daemon, and what the same instances have without it. */
import type { Bench } from '../bench.ts';
import type { Rival } from '../rivals/rival.ts';

export interface Door {
  /** As `--only` takes it. */
  readonly name: string;
  /** For `--list`. */
  readonly about: string;
  readonly tools: readonly string[];
  /** Sets up the daemon behind that door, and what is native there. */
  start(bench: Bench): Promise<readonly [ours: Rival, native: Rival]>;
  /** What is measured of it beside the loads; once a round. */
  measure?(bench: Bench): Promise<void>;
}
