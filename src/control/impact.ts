/**
 * What a policy that is not in force yet would do to the connections there are (`sgctl reload --dry-run`).
 *
 * Reads the flow tables that the packet loop writes; a flow that changes meanwhile may be counted as it
 * was a moment ago. It changes nothing.
 */
import { FLOW_STATE, type FlowTable } from '../conntrack/table.ts';
import { flowOutlives, isAdmitted } from '../engine/revocation.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { readConnection, type Connection } from './views/connections.ts';

/** Connections told one by one; beyond that they are only counted. */
const LISTED_MAX = 100;

export interface Impact {
  readonly kept: number;
  readonly cut: number;
  /** Of those kept: how many could not be opened anew. */
  readonly keptButRefusedAnew: number;
  /** The first of those that would be cut, and of those that could not be opened anew. */
  readonly cutConnections: readonly Connection[];
  readonly refusedAnewConnections: readonly Connection[];
}

/**
 * @param policy the next one, compiled with the ports and rule numbers that are in use
 * @param names of interfaces by port
 */
export function assessImpact(
  tables: readonly FlowTable[],
  policy: CompiledPolicy,
  names: ReadonlyMap<number, string>,
): Impact {
  const matcher = new Matcher(policy);
  let kept = 0;
  let cut = 0;
  let keptButRefusedAnew = 0;
  const cutConnections: Connection[] = [];
  const refusedAnewConnections: Connection[] = [];
  for (const table of tables) {
    for (let flow = 0; flow < table.highWater; flow++) {
      if (table.words[flow * table.stride + table.keyWords + FLOW_STATE] === 0) continue;
      if (!flowOutlives(table, flow, policy, matcher)) {
        cut++;
        if (cutConnections.length < LISTED_MAX)
          cutConnections.push(readConnection(table, flow, names));
        continue;
      }
      kept++;
      if (isAdmitted(table, flow, policy, matcher, NO_RULE)) continue;
      keptButRefusedAnew++;
      if (refusedAnewConnections.length < LISTED_MAX)
        refusedAnewConnections.push(readConnection(table, flow, names));
    }
  }
  return { kept, cut, keptButRefusedAnew, cutConnections, refusedAnewConnections };
}
