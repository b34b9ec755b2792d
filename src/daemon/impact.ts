/**
 * This file says what a policy that is not in force yet would do to tracked connections (`sgctl reload --dry-run`).
 *
 * It reads the flow tables in slices while the packet loop writes them. A flow that changes meanwhile may be counted
 * as it was a moment ago. It changes nothing.
 */
import { isUsed, ruleOf } from '../conntrack/entry.ts';
import type { FlowTable } from '../conntrack/table.ts';
import { flowOutlives, isAdmitted } from '../engine/revocation.ts';
import type { CompiledPolicy } from '../policy/compiled.ts';
import { Matcher, NO_RULE } from '../policy/match.ts';
import { readConnection, type Connection } from '../queries/connections.ts';
import type { Impact } from '../queries/reload-result.ts';
import { scanEntries } from '../telemetry/flow-scan.ts';

/** Rules listed with how many connections of theirs would be cut. */
const RULES_MAX = 20;
/** Connections listed one by one. Further ones are only counted. */
const LISTED_MAX = 100;

/**
 * @param policy the next policy, compiled with the ports and rule numbers in use
 * @param names of interfaces by port
 * @param textOf describes a rule by its number
 */
export async function assessImpact(
  tables: readonly FlowTable[],
  policy: CompiledPolicy,
  names: ReadonlyMap<number, string>,
  textOf: (rule: number) => string,
): Promise<Impact> {
  const matcher = new Matcher(policy);
  let kept = 0;
  let cut = 0;
  let keptButRefusedAnew = 0;
  const flowsCut = new Map<number, number>();
  const cutConnections: Connection[] = [];
  const refusedAnewConnections: Connection[] = [];
  await scanEntries(tables, (number, from, end) => {
    const table = tables[number];
    for (let flow = from; flow < end; flow++) {
      if (!isUsed(table, flow)) continue;
      if (!flowOutlives(table, flow, policy, matcher)) {
        cut++;
        const rule = ruleOf(table, flow);
        flowsCut.set(rule, (flowsCut.get(rule) ?? 0) + 1);
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
  });
  const cutByRule = [...flowsCut]
    .sort(([rule, flows], [other, others]) => others - flows || rule - other)
    .slice(0, RULES_MAX)
    .map(([rule, flows]) => ({ rule: textOf(rule), flows }));
  return { kept, cut, keptButRefusedAnew, cutConnections, cutByRule, refusedAnewConnections };
}
