/** A load: what is sent through each rival in turn, and what is read off it. */
import type { Bench } from '../bench.ts';
import type { Rival } from '../rivals/rival.ts';

export interface Load {
  /** As `--only` takes it. */
  readonly name: string;
  /** For `--list`. */
  readonly about: string;
  /** Rounds of a full run and of a quick one, unless `--rounds` says otherwise. */
  readonly rounds: readonly [full: number, quick: number];
  /** Once, before the first round. */
  prepare?(bench: Bench, rivals: readonly Rival[]): Promise<void>;
  /** One round of one rival: puts its figures into the collector. */
  measure(bench: Bench, rival: Rival): Promise<void>;
}
