/** These types describe the answer to a reload: what it changed or would change, or why it was refused. */
import type { Problem } from '../source/problem.ts';
import type { Connection } from './connections.ts';

/** Names and rules in the order of the files, as plain data for logs and `--json`. */
export interface Changes {
  readonly groups: NameChanges;
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    /** Only the description has changed. */
    readonly changed: readonly string[];
    /** How many are in force before and after, including those in `changed`. */
    readonly kept: number;
  };
  readonly prefixLists: NameChanges;
  readonly interfaces: NameChanges;
  readonly flowLogs: NameChanges;
  /** Lists whose order has changed, where the order matters: `interfaces`, or `rules of db`. */
  readonly order: readonly string[];
  /** Paths of other keys whose meaning has changed. */
  readonly settings: readonly string[];
}

export interface NameChanges {
  readonly added: readonly string[];
  readonly removed: readonly string[];
  readonly changed: readonly string[];
}

/** What a policy that is not in force yet would do to the tracked connections. */
export interface Impact {
  readonly kept: number;
  readonly cut: number;
  /** How many of the kept connections could not be opened again. */
  readonly keptButRefusedAnew: number;
  /** The first connections that would be cut, and the first that could not be opened again. */
  readonly cutConnections: readonly Connection[];
  /** The rules that had admitted most of the cut ones. */
  readonly cutByRule: readonly { readonly rule: string; readonly flows: number }[];
  readonly refusedAnewConnections: readonly Connection[];
}

export type ReloadResult =
  /** Nothing was changed: `problems` has at least one error. */
  | { readonly outcome: 'refused'; readonly problems: readonly Problem[] }
  /** Nothing was changed, since it was a dry run. */
  | {
      readonly outcome: 'planned';
      readonly changes: Changes;
      readonly impact: Impact;
      readonly problems: readonly Problem[];
    }
  | {
      readonly outcome: 'changed' | 'unchanged';
      readonly generation: number;
      readonly changes: Changes;
      readonly problems: readonly Problem[];
    };

export function hasChanges(changes: Changes): boolean {
  const { groups, rules, prefixLists, interfaces, flowLogs, order, settings } = changes;
  const isNone = ({ added, removed, changed }: NameChanges): boolean =>
    added.length + removed.length + changed.length === 0;
  return (
    ![groups, rules, prefixLists, interfaces, flowLogs].every(isNone) ||
    order.length + settings.length > 0
  );
}
